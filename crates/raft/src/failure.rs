//! Why the process must end: the first reason that any part of the node met.

use azimuth_engine::Error;
use tokio::sync::watch;

use crate::error::FatalError;

/// The first fatal failure of a node, once there is one. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Failure(watch::Sender<Option<FatalError>>);

impl Failure {
    /// Nothing has failed yet.
    pub(crate) fn new() -> Self {
        Self(watch::channel(None).0)
    }

    /// Records why the node must end, and logs it. The first reason stays.
    pub(crate) fn report(&self, reason: String) {
        self.0.send_if_modified(|found| {
            let first = found.is_none();
            if first {
                tracing::error!(reason, "the node must end");
                *found = Some(FatalError(reason));
            }
            first
        });
    }

    /// Records an error of the engine if it is one that the node must not survive. Returns whether it is.
    pub(crate) fn report_if_fatal(&self, doing: &str, error: &Error) -> bool {
        let fatal = error.is_fatal();
        if fatal {
            self.report(format!("{doing}: {error}"));
        }
        fatal
    }

    /// Whether the node must end.
    pub(crate) fn happened(&self) -> bool {
        self.0.borrow().is_some()
    }

    /// Resolves when the node must end.
    pub(crate) async fn wait(&self) -> FatalError {
        let mut found = self.0.subscribe();
        let reason = found.wait_for(Option::is_some).await.ok().and_then(|found| found.clone());
        match reason {
            Some(reason) => reason,
            // The sender lives as long as `self`, so this is not reached.
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_reason_stays() {
        let failure = Failure::new();
        assert!(!failure.report_if_fatal("read", &Error::Invalid("no such property".into())));
        assert!(!failure.happened());
        assert!(failure.report_if_fatal("read", &Error::Storage("the disk is gone".into())));
        failure.report("later".into());
        assert!(failure.happened());
        assert_eq!(failure.wait().await.to_string(), FatalError("read: storage: the disk is gone".into()).to_string());
    }
}
