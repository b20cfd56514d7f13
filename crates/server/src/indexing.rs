//! Threads that do the engine's background work: linking pending vectors into graphs, repair, clean-up.
//!
//! They run at a lower priority than those that answer, so that queries and writes come first on a busy machine, and
//! sleep when nothing is due.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use azimuth_engine::group::{DataGroup, WorkBudget};

/// Nice value of the background threads.
const NICENESS: i32 = 15;
const PAUSE_MIN: Duration = Duration::from_millis(5);
const PAUSE_MAX: Duration = Duration::from_millis(200);

/// The running threads; they end when this is told to stop.
pub(crate) struct Indexing {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Indexing {
    /// Starts the threads.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(crate) fn start(data: &Arc<DataGroup>, count: usize) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut threads = Vec::new();
        for i in 0..count {
            let (data, stop) = (data.clone(), stop.clone());
            let work = move || run(&data, &stop, i == 0);
            threads.push(thread::Builder::new().name(format!("index-{i}")).spawn(work)?);
        }
        Ok(Self { stop, threads })
    }

    /// Ends the threads; each finishes its present step first.
    pub(crate) fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a background thread panicked");
            }
        }
    }
}

fn run(data: &DataGroup, stop: &AtomicBool, saves: bool) {
    lower_priority();
    let budget = WorkBudget::default();
    let (mut pause, mut unsaved) = (PAUSE_MIN, false);
    while !stop.load(Ordering::Relaxed) {
        let report = match data.work(&budget) {
            Ok(report) => report,
            Err(error) => {
                tracing::error!(%error, "background work failed; it goes on after a pause");
                thread::sleep(PAUSE_MAX);
                continue;
            }
        };
        unsaved |= report.linked + report.coded > 0;
        if report.more {
            pause = PAUSE_MIN;
            continue;
        }
        if saves && unsaved {
            unsaved = false;
            if let Err(error) = data.save_indexes() {
                tracing::warn!(%error, "save vector indexes; they will be rebuilt after a crash");
            }
        }
        thread::sleep(pause);
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

fn lower_priority() {
    #[cfg(target_os = "linux")]
    {
        // SAFETY: both calls take and return plain integers; 0 means the calling thread on Linux.
        let result = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICENESS) };
        if result != 0 {
            tracing::debug!("the background threads keep the normal priority");
        }
    }
}
