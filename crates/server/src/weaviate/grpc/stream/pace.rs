//! The batch size that the server recommends to the client of a stream.
//!
//! A batch should take about [`TARGET`] of processing. The rate is an exponential moving average over the messages of the
//! stream, so the hint follows the load of the server.

use std::time::{Duration, Instant};

/// Time that the processing of one batch should take.
const TARGET: Duration = Duration::from_secs(1);
/// Weight of the newest message in the average.
const ALPHA: f64 = 0.25;
/// Members a second that are assumed at first.
const RATE_INITIAL: f64 = 200.0;
/// The smallest and the largest hint.
const BATCH_SIZES: (f64, f64) = (100.0, 1_000.0);
/// Hints are at least this far apart.
const HINT_EVERY: Duration = Duration::from_secs(5);

/// The rate of a stream and the last hint.
#[derive(Debug)]
pub(super) struct Pace {
    /// Members a second.
    rate: f64,
    hinted: Option<(i32, Instant)>,
}

impl Pace {
    pub(super) fn new() -> Self {
        Self { rate: RATE_INITIAL, hinted: None }
    }

    /// `members` were processed in `took`.
    pub(super) fn add(&mut self, members: usize, took: Duration) {
        if members > 0 {
            let rate = members as f64 / took.as_secs_f64().max(1e-6);
            self.rate += ALPHA * (rate - self.rate);
        }
    }

    /// The recommended batch size, if it has changed and the next hint is due: after the first message, then every
    /// [`HINT_EVERY`].
    pub(super) fn hint(&mut self, now: Instant) -> Option<i32> {
        let size = (self.rate * TARGET.as_secs_f64()).clamp(BATCH_SIZES.0, BATCH_SIZES.1) as i32;
        let due = match self.hinted {
            Some((hinted, at)) => hinted != size && now.duration_since(at) >= HINT_EVERY,
            None => true,
        };
        due.then(|| self.hinted.insert((size, now)).0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_follow_the_rate_and_are_rare() {
        let (mut pace, now) = (Pace::new(), Instant::now());
        pace.add(100, Duration::from_millis(10));
        assert_eq!(pace.hint(now), Some(1_000), "10,000 a second");
        assert_eq!(pace.hint(now + HINT_EVERY), None, "unchanged");
        for _ in 0..40 {
            pace.add(300, Duration::from_secs(1));
        }
        assert_eq!(pace.hint(now + HINT_EVERY / 2), None, "too early");
        assert_eq!(pace.hint(now + HINT_EVERY), Some(300));
        for _ in 0..40 {
            pace.add(1, Duration::from_secs(1));
        }
        pace.add(0, Duration::from_secs(1));
        assert_eq!(pace.hint(now + 2 * HINT_EVERY), Some(100), "the smallest hint");
    }
}
