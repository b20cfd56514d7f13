//! Threads for reads that may block, and the priority of long reads.
//!
//! A read begins with the priority of the process. A read that uses much processor time goes on with a lower one, so
//! that long reads take processor time from one another and not from writes, short reads and `ready`. Linux lets an
//! ordinary process lower the priority of a thread but not raise it, so a thread of lower priority ends after its read.
//! Work that is known to be long from its beginning has threads of its own, whose priority is low for life.
//!
//! A watching thread, which lives while there are reads, counts the processor time of the threads at intervals: a short
//! read pays no timer, and reads the clock of its thread twice.

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::Builder;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use super::effort::Effort;
use priority::Thread;

/// Time after which a thread without a job ends, and the watching thread without a job on any thread.
const IDLE_MAX: Duration = Duration::from_secs(10);
/// Interval at which running jobs are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// Nice levels by which the priority of long work is lowered: to a tenth of the processor time of an ordinary thread.
const LONG_LEVELS: i32 = 10;

/// A job and the request for which it runs.
type Job = (Box<dyn FnOnce() + Send>, Effort);

/// Threads that are started on demand. The caller limits the number of jobs at once.
#[derive(Default)]
pub(super) struct ReadThreads {
    /// Whether the threads have a low priority from their start.
    are_low: bool,
    queue: Mutex<Queue>,
    has_job: Condvar,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    /// Threads that wait for a job.
    idle: usize,
    workers: Vec<Arc<Mutex<Worker>>>,
    is_watched: bool,
    #[cfg(test)]
    started: usize,
}

/// A thread, as the watching one sees it.
struct Worker {
    /// `None` if its priority is not to be lowered.
    thread: Option<Thread>,
    is_running: bool,
    is_lowered: bool,
    /// The request of the running job.
    effort: Effort,
    /// Processor time up to which the job is counted.
    counted: Duration,
}

impl ReadThreads {
    /// Threads of low priority.
    pub(super) fn low() -> Self {
        Self { are_low: true, ..Self::default() }
    }

    /// Runs `job` on a thread that has no other work, and counts its processor time to `effort`. The result is an error if
    /// the job panics.
    ///
    /// # Errors
    /// The system refuses another thread.
    pub(super) fn run<T: Send + 'static>(
        self: &Arc<Self>,
        effort: Effort,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<oneshot::Receiver<T>> {
        let (send, result) = oneshot::channel();
        let job = move || {
            if let Ok(result) = catch_unwind(AssertUnwindSafe(job)) {
                // Fails if the caller is gone.
                let _ = send.send(result);
            }
        };
        self.hand_over((Box::new(job), effort))?;
        Ok(result)
    }

    fn hand_over(self: &Arc<Self>, job: Job) -> io::Result<()> {
        let mut queue = self.queue.lock();
        queue.jobs.push_back(job);
        if queue.jobs.len() <= queue.idle {
            drop(queue);
            self.has_job.notify_one();
            return Ok(());
        }
        let threads = self.clone();
        let started = Builder::new().name("read".to_owned()).spawn(move || threads.work());
        if let Err(error) = started {
            queue.jobs.pop_back();
            return Err(error);
        }
        #[cfg(test)]
        {
            queue.started += 1;
        }
        if !queue.is_watched && !self.are_low {
            let threads = self.clone();
            // Without the watching thread all reads keep their priority.
            queue.is_watched = Builder::new().name("read-watch".to_owned()).spawn(move || threads.watch()).is_ok();
        }
        Ok(())
    }

    fn work(&self) {
        let mut thread = Thread::current();
        if self.are_low {
            lower_own(LONG_LEVELS);
            thread = None;
        }
        let worker = Arc::new(Mutex::new(Worker::new(thread)));
        self.queue.lock().workers.push(worker.clone());
        while let Some((job, effort)) = self.next() {
            worker.lock().begin(effort);
            job();
            let mut worker = worker.lock();
            worker.end();
            if worker.is_lowered {
                break;
            }
        }
        self.queue.lock().workers.retain(|other| !Arc::ptr_eq(other, &worker));
    }

    /// The next job; `None` if there was none for a while.
    fn next(&self) -> Option<Job> {
        let mut queue = self.queue.lock();
        loop {
            // A thread that has just ended a job may take the one for which another thread was woken.
            if let Some(job) = queue.jobs.pop_front() {
                return Some(job);
            }
            queue.idle += 1;
            let waited = self.has_job.wait_for(&mut queue, IDLE_MAX);
            queue.idle -= 1;
            if waited.timed_out() && queue.jobs.is_empty() {
                return None;
            }
        }
    }

    /// Looks at the running jobs until no thread is left.
    fn watch(&self) {
        loop {
            std::thread::sleep(LOOK_EVERY);
            let mut queue = self.queue.lock();
            if queue.workers.is_empty() && queue.jobs.is_empty() {
                queue.is_watched = false;
                return;
            }
            let workers = queue.workers.clone();
            drop(queue);
            for worker in workers {
                worker.lock().look();
            }
        }
    }
}

impl Worker {
    fn new(thread: Option<Thread>) -> Self {
        Self { thread, is_running: false, is_lowered: false, effort: Effort::default(), counted: Duration::ZERO }
    }

    /// A job begins on the calling thread.
    fn begin(&mut self, effort: Effort) {
        (self.is_running, self.effort, self.counted) = (true, effort, own_time());
    }

    /// The job has ended on the calling thread.
    fn end(&mut self) {
        self.count(own_time());
        (self.is_running, self.effort) = (false, Effort::default());
    }

    fn count(&mut self, used: Duration) {
        self.effort.add(used.saturating_sub(self.counted));
        self.counted = used;
    }

    /// Counts what the running job has used since the last look, and lowers its priority if its request is long, this job
    /// and others together. The lock keeps the thread at its job.
    fn look(&mut self) {
        if !self.is_running || self.is_lowered {
            return;
        }
        let Some(thread) = self.thread else { return };
        let Some(used) = thread.used() else { return };
        self.count(used);
        if self.effort.is_long() {
            thread.lower(LONG_LEVELS);
            self.is_lowered = true;
        }
    }
}

/// Lowers the priority of the calling thread for its whole life, by a number of nice levels.
pub(crate) fn lower_own(levels: i32) {
    if let Some(thread) = Thread::current() {
        thread.lower(levels);
    }
}

/// Processor time of the calling thread; zero where the system does not tell it.
fn own_time() -> Duration {
    priority::own_time().unwrap_or_default()
}

#[cfg(target_os = "linux")]
mod priority {
    use std::time::Duration;

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
            read_clock(self.clock)
        }

        /// Lowers the priority. The caller keeps the thread alive; a refusal by the system leaves the priority as it is.
        pub(super) fn lower(self, levels: i32) {
            // SAFETY: takes no memory.
            unsafe { libc::setpriority(libc::PRIO_PROCESS, self.id, self.nice.saturating_add(levels).min(NICE_MAX)) };
        }
    }

    /// Processor time of the calling thread.
    pub(super) fn own_time() -> Option<Duration> {
        read_clock(libc::CLOCK_THREAD_CPUTIME_ID)
    }

    fn read_clock(clock: libc::clockid_t) -> Option<Duration> {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: `time` outlives the call.
        let refused = unsafe { libc::clock_gettime(clock, &raw mut time) };
        let (seconds, nanos) = (u64::try_from(time.tv_sec).ok()?, u32::try_from(time.tv_nsec).ok()?);
        (refused == 0).then(|| Duration::new(seconds, nanos))
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

        pub(super) fn lower(self, _: i32) {}
    }

    pub(super) fn own_time() -> Option<Duration> {
        None
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::super::effort::LONG_MIN;
    use super::*;

    fn nice() -> libc::c_int {
        // SAFETY: takes no memory; 0 names the calling thread.
        unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) }
    }

    #[tokio::test]
    async fn a_long_job_goes_on_with_a_lower_priority_and_the_next_one_does_not() {
        let threads = Arc::new(ReadThreads::default());
        let ordinary = nice();
        let long = threads.run(Effort::default(), move || {
            assert_eq!(nice(), ordinary);
            while nice() == ordinary {
                std::hint::spin_loop();
            }
            (nice(), std::thread::current().id())
        });
        let (lower, thread) = long.expect("a thread").await.expect("a result");
        assert!(lower > ordinary, "{lower} {ordinary}");
        let next = threads.run(Effort::default(), || (nice(), std::thread::current().id())).expect("a thread");
        let (next, other) = next.await.expect("a result");
        assert_eq!(next, ordinary);
        assert_ne!(thread, other);
    }

    #[tokio::test]
    async fn threads_of_low_priority_are_used_again() {
        let (threads, ordinary) = (Arc::new(ReadThreads::low()), nice());
        for _ in 0..20 {
            assert!(threads.run(Effort::default(), nice).expect("a thread").await.expect("a result") > ordinary);
        }
        assert!(threads.queue.lock().started < 20, "every job had a thread of its own");
    }

    fn compute(span: Duration) {
        let begun = own_time();
        while own_time() - begun < span {
            std::hint::spin_loop();
        }
    }

    #[test]
    fn jobs_that_wait_keep_their_priority() {
        let mut worker = Worker::new(Thread::current());
        let begun = own_time();
        worker.begin(Effort::default());
        std::thread::sleep(LONG_MIN * 2);
        worker.look();
        assert_eq!(worker.is_lowered, worker.counted - begun >= LONG_MIN);
    }

    #[test]
    fn the_jobs_of_a_request_count_together_while_they_run() {
        let effort = Effort::default();
        let mut first = Worker::new(Thread::current());
        first.begin(effort.clone());
        compute(LONG_MIN);
        let other = std::thread::spawn(move || {
            let mut second = Worker::new(Thread::current());
            second.begin(effort);
            second.look();
            let lowered_at_first = second.is_lowered;
            first.look();
            second.look();
            (lowered_at_first, second.is_lowered)
        });
        assert_eq!(other.join().expect("no panic"), (false, true));
    }

    #[tokio::test]
    async fn a_short_job_counts_when_it_ends() {
        let (threads, effort) = (Arc::new(ReadThreads::default()), Effort::default());
        for _ in 0..2 {
            assert!(!effort.is_long());
            let job = threads.run(effort.clone(), || compute(LONG_MIN / 2)).expect("a thread");
            job.await.expect("a result");
            // The result is sent before the job is counted.
            while threads.queue.lock().workers.iter().any(|worker| worker.lock().is_running) {
                tokio::task::yield_now().await;
            }
        }
        assert!(effort.is_long());
    }

    #[tokio::test]
    async fn a_thread_is_used_again_and_survives_a_panic() {
        let threads = Arc::new(ReadThreads::default());
        let mut used = Vec::new();
        for _ in 0..20 {
            threads
                .run(Effort::default(), || panic!("on purpose"))
                .expect("a thread")
                .await
                .map(|(): ()| ())
                .expect_err("a panic");
            let id = threads
                .run(Effort::default(), || std::thread::current().id())
                .expect("a thread")
                .await
                .expect("a result");
            used.push(id);
        }
        used.dedup();
        assert!(used.len() < 20, "every job had a thread of its own");
    }

    #[tokio::test]
    async fn threads_outlive_many_short_jobs_at_once() {
        let threads = Arc::new(ReadThreads::default());
        let job = |_| {
            let threads = threads.clone();
            tokio::spawn(async move {
                for _ in 0..2_000 {
                    threads.run(Effort::default(), || ()).expect("a thread").await.expect("a result");
                }
            })
        };
        for task in (0..8).map(job).collect::<Vec<_>>() {
            task.await.expect("all jobs end");
        }
        let started = threads.queue.lock().started;
        assert!(started <= 64, "{started} threads for eight jobs at once");
    }

    #[tokio::test]
    async fn jobs_at_once_do_not_wait_for_one_another() {
        let threads = Arc::new(ReadThreads::default());
        let all = Arc::new(std::sync::Barrier::new(16));
        let jobs: Vec<_> = (0..16)
            .map(|_| {
                let all = all.clone();
                threads.run(Effort::default(), move || all.wait().is_leader()).expect("a thread")
            })
            .collect();
        let mut leaders = 0;
        for job in jobs {
            leaders += usize::from(job.await.expect("a result"));
        }
        assert_eq!(leaders, 1);
    }
}
