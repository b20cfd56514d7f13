//! When and how long to wait before the same request is sent again.
//!
//! Only what [`Error::is_transient`](crate::Error::is_transient) says may pass is retried, and a request that may have
//! taken effect already is sent again only if a repeat has no further effect. The pause doubles from attempt to attempt
//! and a random half of it is left out, so that clients which failed together do not come back together.

use std::future::Future;
use std::time::Duration;

use crate::error::{Error, Failure};

/// How often to try, and the bounds of the pauses in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts in all, the first one included; 1 never retries, 0 counts as 1.
    pub attempts_max: u32,
    /// The longest first pause.
    pub pause_first: Duration,
    /// The longest pause of all.
    pub pause_max: Duration,
}

impl Default for RetryPolicy {
    /// Six attempts with pauses of at most 0.1, 0.2, 0.4, 0.8 and 1.6 seconds.
    fn default() -> RetryPolicy {
        RetryPolicy { attempts_max: 6, pause_first: Duration::from_millis(100), pause_max: Duration::from_secs(10) }
    }
}

impl RetryPolicy {
    /// A policy that reports the first failure.
    pub fn never() -> RetryPolicy {
        RetryPolicy { attempts_max: 1, ..RetryPolicy::default() }
    }

    /// The pause after failed attempt number `attempt` (from 1); `jitter` in `0.0..1.0` chooses from its upper half.
    fn pause(&self, attempt: u32, jitter: f64) -> Duration {
        let factor = 1_u32.checked_shl(attempt.saturating_sub(1)).unwrap_or(u32::MAX);
        let longest = self.pause_first.checked_mul(factor).unwrap_or(self.pause_max).min(self.pause_max);
        longest.mul_f64(0.5 + 0.5 * jitter.clamp(0.0, 1.0))
    }
}

/// What a second identical request would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// Nothing beyond what the first one did.
    Harmless,
    /// Something else than the first one did, for instance report "already exists".
    Visible,
}

/// Calls `attempt` until it succeeds, fails for good, or the policy is used up; the last error is reported.
pub(crate) async fn with_retry<T, F, Fut>(policy: RetryPolicy, repeat: Repeat, mut attempt: F) -> Result<T, Error>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, Failure>>,
{
    let mut attempts = 1;
    loop {
        let failure = match attempt().await {
            Ok(answer) => return Ok(answer),
            Err(failure) => failure,
        };
        let safe = repeat == Repeat::Harmless || !failure.may_have_run;
        if !safe || !failure.error.is_transient() || attempts >= policy.attempts_max {
            return Err(failure.error);
        }
        let pause = policy.pause(attempts, rand::random::<f64>());
        tracing::debug!(error = %failure.error, attempts, ?pause, "retrying");
        tokio::time::sleep(pause).await;
        attempts += 1;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn quick(attempts_max: u32) -> RetryPolicy {
        RetryPolicy { attempts_max, pause_first: Duration::from_micros(10), pause_max: Duration::from_micros(50) }
    }

    async fn attempts_of(policy: RetryPolicy, repeat: Repeat, error: Error, may_have_run: bool) -> u32 {
        let attempts = Cell::new(0);
        let outcome: Result<(), Error> = with_retry(policy, repeat, || {
            attempts.set(attempts.get() + 1);
            let error = error.clone();
            async move { Err(Failure { error, may_have_run }) }
        })
        .await;
        assert_eq!(outcome, Err(error));
        attempts.get()
    }

    #[tokio::test]
    async fn only_transient_errors_are_retried_and_only_as_often_as_allowed() {
        let unavailable = Error::Unavailable("x".into());
        assert_eq!(attempts_of(quick(4), Repeat::Harmless, unavailable.clone(), true).await, 4);
        assert_eq!(attempts_of(quick(0), Repeat::Harmless, unavailable.clone(), true).await, 1);
        assert_eq!(attempts_of(quick(4), Repeat::Harmless, Error::Limited("x".into()), false).await, 4);
        assert_eq!(attempts_of(quick(4), Repeat::Harmless, Error::Invalid("x".into()), false).await, 1);
        assert_eq!(attempts_of(quick(4), Repeat::Harmless, Error::Timeout("x".into()), true).await, 1);
        assert_eq!(attempts_of(quick(4), Repeat::Visible, unavailable.clone(), true).await, 1);
        assert_eq!(attempts_of(quick(4), Repeat::Visible, unavailable, false).await, 4);
    }

    #[tokio::test]
    async fn success_after_failures_is_success() {
        let attempts = Cell::new(0);
        let outcome = with_retry(quick(4), Repeat::Harmless, || {
            attempts.set(attempts.get() + 1);
            let error = Error::Unavailable("starting".into());
            let answer =
                if attempts.get() < 3 { Err(Failure { error, may_have_run: true }) } else { Ok(attempts.get()) };
            async move { answer }
        })
        .await;
        assert_eq!(outcome, Ok(3));
    }

    #[test]
    fn pauses_double_up_to_the_bound_and_jitter_takes_at_most_half() {
        let policy = RetryPolicy::default();
        for (attempt, longest_ms) in [(1, 100), (2, 200), (5, 1600), (8, 10_000), (40, 10_000), (400, 10_000)] {
            assert_eq!(policy.pause(attempt, 1.0), Duration::from_millis(longest_ms), "attempt {attempt}");
            assert_eq!(policy.pause(attempt, 0.0), Duration::from_millis(longest_ms) / 2, "attempt {attempt}");
        }
    }
}
