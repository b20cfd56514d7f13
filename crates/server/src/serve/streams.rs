//! The tasks of HTTP/2 streams: a stream whose answer the peer does not take is reset, and no other with it.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use hyper::rt::Executor;
use tokio::time::{Instant, Sleep};

use super::peers::Connection;

/// Runs each stream as a task of its own, for as long as the peer takes bytes of its answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Streams {
    /// A peer may take no byte of an answer for so long.
    pub(super) stall_max: Duration,
}

/// The progress of the answer to a request.
#[derive(Debug, Default)]
pub(super) struct OnTheWay {
    /// The connection, once there is an answer.
    connection: OnceLock<Arc<Connection>>,
    /// Bytes that were given to HTTP and have not left it.
    bytes: AtomicUsize,
    /// Pieces that have left.
    left: AtomicU64,
    waker: AtomicWaker,
}

tokio::task_local! {
    static ON_THE_WAY: Arc<OnTheWay>;
}

/// The answer of the stream that this task serves; outside of HTTP/2 an answer that is not watched.
pub(super) fn on_the_way() -> Arc<OnTheWay> {
    ON_THE_WAY.try_with(Arc::clone).unwrap_or_default()
}

impl OnTheWay {
    /// There is an answer.
    pub(super) fn begin(&self, connection: Arc<Connection>) {
        // A stream has one answer.
        let _ = self.connection.set(connection);
    }

    /// A piece is given to HTTP.
    pub(super) fn add(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Ordering::AcqRel);
    }

    /// A piece has left.
    pub(super) fn remove(&self, bytes: usize) {
        self.left.fetch_add(1, Ordering::Relaxed);
        if self.bytes.fetch_sub(bytes, Ordering::AcqRel) == bytes {
            self.waker.wake();
        }
    }

    /// Bytes that HTTP still holds.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Acquire)
    }

    /// Ready when everything has left.
    pub(super) fn poll_empty(&self, cx: &Context<'_>) -> Poll<()> {
        if self.bytes() == 0 {
            return Poll::Ready(());
        }
        self.waker.register(cx.waker());
        // The answer may have been written completely before the waker was registered.
        if self.bytes() == 0 { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl<S> Executor<S> for Streams
where
    S: Future + Send + 'static,
    S::Output: Send + 'static,
{
    fn execute(&self, stream: S) {
        let way = Arc::new(OnTheWay::default());
        tokio::spawn(ON_THE_WAY.scope(way.clone(), watched(stream, way, self.stall_max)));
    }
}

/// The progress of a stream and of its connection when it was last looked at.
struct Seen {
    timer: Pin<Box<Sleep>>,
    /// Pieces of the stream that had left.
    left: u64,
    /// Pieces of the connection that had left when one of the stream was last seen to leave.
    since_turn: u64,
    /// Pieces of the connection that had left.
    of_all: u64,
}

/// Runs a stream to its end, or until nothing of its answer has left for `stall_max` although its turn on the connection has
/// come: dropping it resets it. Streams of a connection take turns, so a stream waits while fewer pieces have left the
/// connection than two for each stream; when none have left, the peer takes nothing at all.
async fn watched<S: Future>(stream: S, way: Arc<OnTheWay>, stall_max: Duration) {
    let mut stream = pin!(stream);
    let mut seen: Option<Seen> = None;
    std::future::poll_fn(|cx| {
        if stream.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        let Some(connection) = way.connection.get() else { return Poll::Pending };
        let (left, of_all) = (way.left.load(Ordering::Relaxed), connection.pieces_left());
        let seen = seen.get_or_insert_with(|| Seen {
            timer: Box::pin(tokio::time::sleep(stall_max)),
            left,
            since_turn: of_all,
            of_all,
        });
        while seen.timer.as_mut().poll(cx).is_ready() {
            let turn_came = of_all - seen.since_turn >= 2 * connection.requests() as u64;
            if seen.left != left {
                (seen.left, seen.since_turn) = (left, of_all);
            } else if turn_came || seen.of_all == of_all {
                tracing::debug!("a stream is reset: the peer takes nothing of its answer");
                return Poll::Ready(());
            }
            seen.of_all = of_all;
            seen.timer.as_mut().reset(Instant::now() + stall_max);
        }
        Poll::Pending
    })
    .await;
}
