//! Threads that do the engine's background work: linking pending vectors into graphs, repair, clean-up.
//!
//! They run at a lower priority than those that answer, so that queries and writes come first on a busy machine, and
//! sleep when nothing is due. An error that the node must not survive ends it; after any other the work is tried again,
//! less and less often.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use azimuth_engine::data::DataGroup;
use azimuth_engine::maintain::{WorkBudget, WorkReport};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::disk::DiskUse;
use crate::failure::Failure;
use crate::state::StateCell;

/// Nice value of the background threads.
const NICENESS: i32 = 15;
const PAUSE_MIN: Duration = Duration::from_millis(5);
const PAUSE_MAX: Duration = Duration::from_millis(200);
/// Longest pause after steps that failed; it doubles from [`PAUSE_MAX`].
const FAILED_PAUSE_MAX: Duration = Duration::from_secs(30);
/// A pause is slept in parts of this length, so that a stop is not waited for.
const NAP: Duration = Duration::from_millis(200);
/// While there is work, indexes that have grown much are saved; looked for this often.
const SAVE_INTERVAL: Duration = Duration::from_secs(5);
/// Work that takes longer says how far it is, this often.
const REPORT_INTERVAL: Duration = Duration::from_secs(5);

/// The running threads.
pub(crate) struct Background {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// What the threads have in common.
struct Shared {
    data: Arc<StateCell<DataGroup>>,
    failure: Failure,
    disk: watch::Receiver<DiskUse>,
    stop: AtomicBool,
    /// Something was linked or coded since the last save of everything.
    unsaved: AtomicBool,
}

impl Background {
    /// Starts `count` threads.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(crate) fn start(
        data: &Arc<StateCell<DataGroup>>,
        count: usize,
        failure: Failure,
        disk: watch::Receiver<DiskUse>,
    ) -> std::io::Result<Self> {
        let shared =
            Shared { data: data.clone(), failure, disk, stop: AtomicBool::default(), unsaved: AtomicBool::default() };
        let background = Self { shared: Arc::new(shared), threads: Mutex::default() };
        for i in 0..count {
            let shared = background.shared.clone();
            let work = move || run(&shared, (i == 0).then(Backlog::default));
            let thread = thread::Builder::new().name(format!("index-{i}")).spawn(work)?;
            background.threads.lock().push(thread);
        }
        Ok(background)
    }

    /// Ends the threads; each finishes its present step first.
    pub(crate) fn stop(&self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.lock().drain(..) {
            if thread.join().is_err() {
                tracing::error!("a background thread panicked");
            }
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // Not joined: a process that must end at once does not wait for a step.
        self.shared.stop.store(true, Ordering::Relaxed);
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
fn run(shared: &Shared, mut backlog: Option<Backlog>) {
    lower_priority();
    let (mut pause, mut failed_pause, mut looked) = (PAUSE_MIN, PAUSE_MAX, Instant::now());
    while !shared.stop.load(Ordering::Relaxed) {
        let report = match step(shared) {
            Ok(report) => report,
            Err(Failed::ForGood) => return,
            Err(Failed::ForNow) => {
                shared.sleep(failed_pause);
                failed_pause = (failed_pause * 2).min(FAILED_PAUSE_MAX);
                continue;
            }
        };
        failed_pause = PAUSE_MAX;
        let data = shared.data.get();
        if report.linked + report.coded + report.given_back > 0 {
            shared.unsaved.store(true, Ordering::Relaxed);
        }
        if let Some(backlog) = &mut backlog {
            backlog.note(&data, report.more);
        }
        if report.more {
            pause = PAUSE_MIN;
            if backlog.is_some() && looked.elapsed() >= SAVE_INTERVAL && shared.may_save() {
                told(data.save_grown_indexes());
                looked = Instant::now();
            }
            continue;
        }
        if backlog.is_some() && shared.may_save() && shared.unsaved.swap(false, Ordering::Relaxed) {
            told(data.save_indexes());
        }
        // A state that was replaced meanwhile ends now, not after the pause.
        drop(data);
        thread::sleep(pause);
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// The consequence of a failed step for the thread.
enum Failed {
    /// The node ends.
    ForGood,
    /// The step is tried again.
    ForNow,
}

fn step(shared: &Shared) -> Result<WorkReport, Failed> {
    let work = || shared.data.get().work(&WorkBudget::default());
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(report)) => Ok(report),
        Ok(Err(error)) if shared.failure.report_if_fatal("background work", &error) => Err(Failed::ForGood),
        Ok(Err(error)) => {
            tracing::error!(%error, "background work failed; it is tried again after a pause");
            Err(Failed::ForNow)
        }
        Err(_) => {
            tracing::error!("background work panicked; it is tried again after a pause");
            Err(Failed::ForNow)
        }
    }
}

impl Shared {
    /// Files of indexes are derived: on a full disk they do not take space that the log needs.
    fn may_save(&self) -> bool {
        !self.disk.borrow().refuses()
    }

    /// Sleeps, but not beyond a stop.
    fn sleep(&self, pause: Duration) {
        let since = Instant::now();
        while since.elapsed() < pause && !self.stop.load(Ordering::Relaxed) {
            thread::sleep(NAP.min(pause));
        }
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
