//! Processor time that the reads of a request have used.
//!
//! A request may consist of many reads (aliases of GraphQL, requests of a batch) that are short one by one. Once they have
//! used [`LONG_MIN`] together, those that run go on with a low priority, and every further read begins with it.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Processor time from which on the work for a request is long.
pub(super) const LONG_MIN: Duration = Duration::from_millis(5);

tokio::task_local! {
    static EFFORT: Effort;
}

/// The processor time of a request so far, shared by its reads.
#[derive(Debug, Clone, Default)]
pub(super) struct Effort(Arc<AtomicU64>);

/// Answers a request, whose reads are counted together.
pub(crate) async fn counted<F: Future>(request: F) -> F::Output {
    EFFORT.scope(Effort::default(), request).await
}

impl Effort {
    /// Of the request that this task answers; of work that no request began, a new one.
    pub(super) fn of_request() -> Self {
        EFFORT.try_with(Self::clone).unwrap_or_default()
    }

    /// Whether the request has used so much time that what follows has a low priority.
    pub(super) fn is_long(&self) -> bool {
        Duration::from_nanos(self.0.load(Ordering::Relaxed)) >= LONG_MIN
    }

    /// Counts processor time of a read.
    pub(super) fn add(&self, used: Duration) {
        self.0.fetch_add(u64::try_from(used.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_reads_of_a_request_count_together() {
        counted(async {
            for _ in 0..2 {
                assert!(!Effort::of_request().is_long());
                Effort::of_request().add(LONG_MIN / 2);
            }
            assert!(Effort::of_request().is_long());
        })
        .await;
        assert!(!Effort::of_request().is_long(), "no request");
        counted(async { assert!(!Effort::of_request().is_long(), "another request") }).await;
    }
}
