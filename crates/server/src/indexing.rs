//! Threads that do the engine's background work: linking pending vectors into graphs, repair, clean-up.
//!
//! They run at a lower priority than those that answer, so that queries and writes come first on a busy machine, and
//! sleep when nothing is due.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use azimuth_engine::group::{DataGroup, WorkBudget};

/// Nice value of the background threads.
const NICENESS: i32 = 15;
const PAUSE_MIN: Duration = Duration::from_millis(5);
const PAUSE_MAX: Duration = Duration::from_millis(200);
/// While there is work, indexes that have grown much are saved; looked for this often.
const SAVE_INTERVAL: Duration = Duration::from_secs(5);
/// Work that takes longer says how far it is, this often.
const REPORT_INTERVAL: Duration = Duration::from_secs(5);

/// The running threads; they end when this is told to stop.
pub(crate) struct Indexing {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

/// What the threads have in common.
#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    /// Something was linked or coded since the last save of everything.
    unsaved: AtomicBool,
}

impl Indexing {
    /// Starts the threads.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(crate) fn start(data: &Arc<DataGroup>, count: usize) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let mut threads = Vec::new();
        for i in 0..count {
            let (data, shared) = (data.clone(), shared.clone());
            let work = move || run(&data, &shared, (i == 0).then(Backlog::default));
            threads.push(thread::Builder::new().name(format!("index-{i}")).spawn(work)?);
        }
        Ok(Self { shared, threads })
    }

    /// Ends the threads; each finishes its present step first.
    pub(crate) fn stop(self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a background thread panicked");
            }
        }
    }
}

/// How long there has been work, for the log.
#[derive(Default)]
struct Backlog {
    since: Option<(Instant, u64)>,
    told: Option<Instant>,
}

impl Backlog {
    fn note(&mut self, data: &DataGroup, more: bool) {
        let now = Instant::now();
        if !more {
            if let (Some((since, queue)), Some(_)) = (self.since.take(), self.told.take()) {
                tracing::info!(
                    seconds = since.elapsed().as_secs(),
                    queue_at_first = queue,
                    "vectors are in their graphs"
                );
            }
            return;
        }
        match self.since {
            None => self.since = Some((now, data.metrics().vector_queue)),
            Some((since, _)) => {
                if self.told.unwrap_or(since) + REPORT_INTERVAL <= now {
                    self.told = Some(now);
                    tracing::info!(queue = data.metrics().vector_queue, "vectors wait to be linked into graphs");
                }
            }
        }
    }
}

/// The thread that keeps the `backlog` also saves.
fn run(data: &DataGroup, shared: &Shared, mut backlog: Option<Backlog>) {
    lower_priority();
    let budget = WorkBudget::default();
    let (mut pause, mut looked) = (PAUSE_MIN, Instant::now());
    while !shared.stop.load(Ordering::Relaxed) {
        let report = match data.work(&budget) {
            Ok(report) => report,
            Err(error) => {
                tracing::error!(%error, "background work failed; it goes on after a pause");
                thread::sleep(PAUSE_MAX);
                continue;
            }
        };
        if report.linked + report.coded + report.given_back > 0 {
            shared.unsaved.store(true, Ordering::Relaxed);
        }
        if let Some(backlog) = &mut backlog {
            backlog.note(data, report.more);
        }
        if report.more {
            pause = PAUSE_MIN;
            if backlog.is_some() && looked.elapsed() >= SAVE_INTERVAL {
                told(data.save_grown_indexes());
                looked = Instant::now();
            }
            continue;
        }
        if backlog.is_some() && shared.unsaved.swap(false, Ordering::Relaxed) {
            told(data.save_indexes());
        }
        thread::sleep(pause);
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

fn told(saved: azimuth_engine::Result<()>) {
    if let Err(error) = saved {
        tracing::warn!(%error, "save vector indexes; they will be rebuilt after a crash");
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
