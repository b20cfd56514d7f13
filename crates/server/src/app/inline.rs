//! Decides which reads run on the thread of their connection.
//!
//! Handing a read to a thread that may block costs two switches between threads, more than many a search itself takes.
//! A read that has little to compare ([`Search::is_short`](super::search::Search::is_short)) runs on the thread that
//! serves the connection instead: at most on half of these threads at once, and only while such reads are in fact
//! short. Delays that no count predicts (cold files, a busy machine) are noticed by measuring time; such reads then run
//! on threads that may block until they are short again.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// The mean time above which reads are not run where they are asked.
const INLINE_MAX: Duration = Duration::from_millis(1);

/// Part of the mean that one read decides.
const WEIGHT: u64 = 8;

/// The reads that run where they were asked, and how long short ones took lately.
pub(super) struct InlineReads {
    running: AtomicUsize,
    running_max: usize,
    mean_nanos: AtomicU64,
}

/// The right to run here; given back when dropped.
pub(super) struct Here<'a>(&'a InlineReads);

impl InlineReads {
    /// For `workers` threads that serve connections.
    pub(super) fn new(workers: usize) -> Self {
        Self { running: AtomicUsize::new(0), running_max: (workers / 2).max(1), mean_nanos: AtomicU64::new(0) }
    }

    /// Leave to run one more read here; `None` if too many do, or if they take long.
    pub(super) fn enter(&self) -> Option<Here<'_>> {
        if u128::from(self.mean_nanos.load(Ordering::Relaxed)) > INLINE_MAX.as_nanos() {
            return None;
        }
        let enter = |running| (running < self.running_max).then_some(running + 1);
        self.running.fetch_update(Ordering::AcqRel, Ordering::Acquire, enter).ok().map(|_| Here(self))
    }

    /// Runs a read and takes its time into the mean.
    pub(super) fn timed<T>(&self, read: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = read();
        let nanos = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX) / WEIGHT;
        // Two at a time may lose one of their times: the mean is about the many.
        let mean = self.mean_nanos.load(Ordering::Relaxed);
        self.mean_nanos.store((mean - mean / WEIGHT).saturating_add(nanos), Ordering::Relaxed);
        result
    }
}

impl Drop for Here<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_threads_may_be_taken_and_one_always() {
        for (workers, at_once) in [(1, 1), (2, 1), (8, 4)] {
            let inline = InlineReads::new(workers);
            let mut taken: Vec<_> = (0..at_once).map(|_| inline.enter().expect("there is room")).collect();
            assert!(inline.enter().is_none(), "{workers}");
            taken.pop();
            assert!(inline.enter().is_some(), "{workers}");
        }
    }

    #[test]
    fn slow_reads_go_the_long_way_until_they_are_short_again() {
        let inline = InlineReads::new(2);
        inline.timed(|| std::thread::sleep(INLINE_MAX * 20));
        assert!(inline.enter().is_none());
        for _ in 0..100 {
            inline.timed(|| ());
        }
        assert!(inline.enter().is_some());
    }
}
