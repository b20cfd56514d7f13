//! Requests with large bodies, which are answered on threads of their own.
//!
//! Reading and checking a body of a megabyte takes a thread some ten milliseconds. On the threads that serve connections
//! the requests of all other connections would wait for it; between threads the system divides the processors, and these
//! threads have a low priority.

use std::future::Future;
use std::sync::OnceLock;

use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;
use tracing::Instrument;

use crate::app::read_threads::lower_own;

/// Bytes from which on a body is large.
const LARGE_BYTES: usize = 64 << 10;
/// Nice levels by which the priority of the threads is lowered: to a third of the processor time of an ordinary thread,
/// so that imports go on beside many searches.
const LARGE_LEVELS: i32 = 5;

/// The threads that answer requests with large bodies: as many as there are processors, started by the first such request.
#[derive(Default)]
pub(super) struct LargeRequests {
    /// `None` where the system refused the threads.
    runtime: OnceLock<Option<Runtime>>,
}

impl LargeRequests {
    /// Whether a request with a body of so many bytes is answered here.
    pub(super) fn takes(body_bytes: usize) -> bool {
        body_bytes >= LARGE_BYTES
    }

    /// Answers a request; it is given up when the returned future is dropped. `None` if it panics.
    pub(super) async fn run<F>(&self, request: F) -> Option<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let Some(runtime) = self.runtime.get_or_init(start) else { return Some(request.await) };
        let mut task = JoinSet::new();
        task.spawn_on(request.in_current_span(), runtime.handle());
        task.join_next().await?.inspect_err(|error| tracing::error!(%error, "answer a request with a large body")).ok()
    }
}

impl Drop for LargeRequests {
    fn drop(&mut self) {
        // A runtime cannot wait for its threads inside another one.
        if let Some(runtime) = self.runtime.take().flatten() {
            runtime.shutdown_background();
        }
    }
}

fn start() -> Option<Runtime> {
    let lower = || lower_own(LARGE_LEVELS);
    let started = Builder::new_multi_thread().enable_all().thread_name("large-request").on_thread_start(lower).build();
    started.inspect_err(|error| tracing::warn!(%error, "no threads for requests with large bodies")).ok()
}
