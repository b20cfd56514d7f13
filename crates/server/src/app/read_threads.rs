//! Threads for reads that may block, and the priority of long reads.
//!
//! Every read begins with the priority of the process. A read that uses much processor time goes on with a lower one
//! ([`Running::lower_priority`]), so that long reads take processor time from one another and not from writes, short reads
//! and `ready`. Linux lets an ordinary process lower the priority of a thread but not raise it, so a thread of lower
//! priority ends after its read.

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use priority::Thread;

/// Time after which a thread without a job ends.
const IDLE_MAX: Duration = Duration::from_secs(10);

/// Pause before the processor time of a job is looked at again.
const PAUSE_MIN: Duration = Duration::from_millis(5);

/// A job, which is told its thread; returns true if the thread has a lower priority from then on.
type Job = Box<dyn FnOnce(Option<Thread>) -> bool + Send>;

/// Threads that are started on demand. The caller limits the number of jobs at once.
#[derive(Default)]
pub(super) struct ReadThreads {
    queue: Mutex<Queue>,
    has_job: Condvar,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    /// Threads that wait for a job.
    idle: usize,
}

/// A job that was handed to a thread.
pub(super) struct Running<T> {
    /// The result of the job; an error if the job panicked.
    pub(super) result: oneshot::Receiver<T>,
    place: Arc<Mutex<Place>>,
}

/// The thread on which a job runs.
#[derive(Default)]
struct Place {
    /// The thread and its processor time when the job began.
    thread: Option<(Thread, Duration)>,
    is_lowered: bool,
}

impl ReadThreads {
    /// Runs `job` on a thread that has no other work.
    ///
    /// # Errors
    /// The system refuses another thread.
    pub(super) fn run<T: Send + 'static>(
        self: &Arc<Self>,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<Running<T>> {
        let (send, result) = oneshot::channel();
        let place = Arc::new(Mutex::new(Place::default()));
        let of_job = place.clone();
        self.hand_over(Box::new(move |thread| {
            of_job.lock().thread = thread.and_then(|thread| Some((thread, thread.used()?)));
            if let Ok(result) = catch_unwind(AssertUnwindSafe(job)) {
                // Fails if the caller is gone.
                let _ = send.send(result);
            }
            let mut place = of_job.lock();
            place.thread = None;
            place.is_lowered
        }))?;
        Ok(Running { result, place })
    }

    fn hand_over(self: &Arc<Self>, job: Job) -> io::Result<()> {
        let mut queue = self.queue.lock();
        queue.jobs.push_back(job);
        if queue.jobs.len() <= queue.idle {
            self.has_job.notify_one();
            return Ok(());
        }
        let threads = self.clone();
        let started = std::thread::Builder::new().name("read".to_owned()).spawn(move || threads.work());
        if let Err(error) = started {
            queue.jobs.pop_back();
            return Err(error);
        }
        Ok(())
    }

    fn work(&self) {
        let thread = Thread::current();
        loop {
            let mut queue = self.queue.lock();
            if queue.jobs.is_empty() {
                queue.idle += 1;
                self.has_job.wait_for(&mut queue, IDLE_MAX);
                queue.idle -= 1;
            }
            let Some(job) = queue.jobs.pop_front() else { return };
            drop(queue);
            if job(thread) {
                return;
            }
        }
    }
}

impl<T> Running<T> {
    /// Lowers the priority of the job for the rest of its run if it has used this much processor time. Returns the time
    /// after which to try again; `None` if the priority is lower.
    pub(super) fn lower_priority(&self, used_min: Duration) -> Option<Duration> {
        // The lock keeps the thread at this job.
        let mut place = self.place.lock();
        let Some((thread, before)) = place.thread else { return Some(used_min) };
        let missing = used_min.saturating_sub(thread.used()?.saturating_sub(before));
        if !missing.is_zero() {
            return Some(missing.max(PAUSE_MIN));
        }
        if !place.is_lowered {
            thread.lower();
            place.is_lowered = true;
        }
        None
    }
}

#[cfg(target_os = "linux")]
mod priority {
    use std::time::Duration;

    /// Added to the nice value: a tenth of the share of a thread of the process.
    const NICE_STEP: libc::c_int = 10;
    const NICE_MAX: libc::c_int = 19;

    #[derive(Clone, Copy)]
    pub(super) struct Thread {
        id: libc::id_t,
        nice: libc::c_int,
        clock: libc::clockid_t,
    }

    impl Thread {
        /// The calling thread.
        pub(super) fn current() -> Option<Self> {
            let mut clock = 0;
            // SAFETY: `clock` outlives the call; 0 names the calling thread.
            let (id, nice, refused) = unsafe {
                let refused = libc::pthread_getcpuclockid(libc::pthread_self(), &raw mut clock);
                (libc::gettid(), libc::getpriority(libc::PRIO_PROCESS, 0), refused)
            };
            (refused == 0).then_some(Self { id: id.unsigned_abs(), nice, clock })
        }

        /// Processor time of the thread. The caller keeps the thread alive.
        pub(super) fn used(self) -> Option<Duration> {
            let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
            // SAFETY: `time` outlives the call.
            let refused = unsafe { libc::clock_gettime(self.clock, &raw mut time) };
            let (seconds, nanos) = (u64::try_from(time.tv_sec).ok()?, u32::try_from(time.tv_nsec).ok()?);
            (refused == 0).then(|| Duration::new(seconds, nanos))
        }

        /// Lowers the priority. The caller keeps the thread alive; a refusal by the system leaves the priority as it is.
        pub(super) fn lower(self) {
            // SAFETY: takes no memory.
            unsafe { libc::setpriority(libc::PRIO_PROCESS, self.id, (self.nice + NICE_STEP).min(NICE_MAX)) };
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod priority {
    use std::time::Duration;

    #[derive(Clone, Copy)]
    pub(super) struct Thread;

    impl Thread {
        pub(super) fn current() -> Option<Self> {
            None
        }

        pub(super) fn used(self) -> Option<Duration> {
            None
        }

        pub(super) fn lower(self) {}
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn nice() -> libc::c_int {
        // SAFETY: takes no memory; 0 names the calling thread.
        unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) }
    }

    #[tokio::test]
    async fn a_long_job_goes_on_with_a_lower_priority_and_the_next_one_does_not() {
        let threads = Arc::new(ReadThreads::default());
        let (begun, wait_for_begin) = mpsc::channel();
        let (go_on, wait) = mpsc::channel();
        let job = threads.run(move || {
            let before = nice();
            begun.send(()).expect("the test waits");
            while wait.try_recv().is_err() {
                std::hint::spin_loop();
            }
            (before, nice(), std::thread::current().id())
        });
        let job = job.expect("a thread");
        wait_for_begin.recv().expect("the job begins");
        assert!(job.lower_priority(Duration::from_secs(3_600)).is_some(), "it has not used an hour");
        while job.lower_priority(Duration::from_millis(1)).is_some() {
            tokio::task::yield_now().await;
        }
        go_on.send(()).expect("the job waits");
        let (before, after, thread) = job.result.await.expect("a result");
        assert!(after > before, "{before} {after}");

        let next = threads.run(|| (nice(), std::thread::current().id())).expect("a thread");
        let (nice, other) = next.result.await.expect("a result");
        assert_eq!(nice, before);
        assert_ne!(thread, other);
    }

    #[tokio::test]
    async fn a_thread_is_used_again_and_survives_a_panic() {
        let threads = Arc::new(ReadThreads::default());
        let mut used = Vec::new();
        for _ in 0..20 {
            let broken = threads.run(|| panic!("on purpose")).expect("a thread");
            let _: oneshot::error::RecvError = broken.result.await.map(|(): ()| ()).expect_err("the job panicked");
            let id = threads.run(|| std::thread::current().id()).expect("a thread").result.await.expect("a result");
            used.push(id);
        }
        used.dedup();
        assert!(used.len() < 20, "every job had a thread of its own");
    }

    #[tokio::test]
    async fn jobs_at_once_do_not_wait_for_one_another() {
        let threads = Arc::new(ReadThreads::default());
        let all = Arc::new(std::sync::Barrier::new(16));
        let jobs: Vec<_> = (0..16)
            .map(|_| {
                let all = all.clone();
                threads.run(move || all.wait().is_leader()).expect("a thread")
            })
            .collect();
        let mut leaders = 0;
        for job in jobs {
            leaders += usize::from(job.result.await.expect("a result"));
        }
        assert_eq!(leaders, 1);
    }
}
