//! The tasks of HTTP/2 streams: a stream whose answer the peer does not take is reset, and no other with it.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
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
    /// Order in which the streams began.
    number: u64,
    /// The connection, once there is an answer.
    connection: OnceLock<Arc<Connection>>,
    /// Bytes that were given to HTTP and have not left it.
    bytes: AtomicUsize,
    /// Pieces that have left.
    left: AtomicU64,
    /// Whether HTTP has room for the next piece, which is not made yet.
    waits_for_answer: AtomicBool,
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
    /// Order in which the streams began.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Pieces that have left so far.
    pub(super) fn pieces_left(&self) -> u64 {
        self.left.load(Ordering::Relaxed)
    }

    /// There is an answer.
    pub(super) fn begin(&self, connection: Arc<Connection>) {
        // A stream has one answer.
        let _ = self.connection.set(connection);
    }

    /// Whether HTTP asked for a piece that the server has not made yet: then the peer keeps nothing waiting.
    pub(super) fn set_waits_for_answer(&self, waits: bool) {
        self.waits_for_answer.store(waits, Ordering::Relaxed);
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
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let way = Arc::new(OnTheWay { number, ..OnTheWay::default() });
        tokio::spawn(ON_THE_WAY.scope(way.clone(), watched(stream, way, self.stall_max)));
    }
}

/// Pieces that a stream gets in its turn: the window that the peer opens for it is not known.
const TURN_MIN: u64 = 2;
const TURN_MAX: u64 = 64;

/// The progress of a stream and of its connection when it was last looked at.
struct Seen {
    timer: Pin<Box<Sleep>>,
    /// Pieces of the stream that had left.
    left: u64,
    /// Pieces of the stream that left in its last turn, within [`TURN_MIN`] and [`TURN_MAX`].
    turn: u64,
    /// Pieces of the connection that had left when one of the stream was last seen to leave.
    since_turn: u64,
    /// Pieces of the connection that had left.
    of_all: u64,
    /// Pieces of the large answers of older streams that had left.
    of_older: u64,
}

/// Runs a stream to its end, or until nothing of its answer has left for `stall_max` although its turn on the connection has
/// come: dropping it resets it. Streams of a connection take turns, so a stream waits while fewer pieces have left the
/// connection than its own last turn had for each stream. A peer may as well read one answer after the other: a stream
/// also waits while an older one goes on. When no piece has left at all, the peer takes nothing, unless its system is
/// the slow one, which [`Socket`](super::socket::Socket) watches.
async fn watched<S: Future>(stream: S, way: Arc<OnTheWay>, stall_max: Duration) {
    let mut stream = pin!(stream);
    let mut seen: Option<Seen> = None;
    std::future::poll_fn(|cx| {
        if stream.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        let Some(connection) = way.connection.get() else { return Poll::Pending };
        let (left, of_all) = (way.pieces_left(), connection.pieces_left());
        let seen = seen.get_or_insert_with(|| Seen {
            timer: Box::pin(tokio::time::sleep(stall_max)),
            left,
            turn: left.clamp(TURN_MIN, TURN_MAX),
            since_turn: of_all,
            of_all,
            of_older: connection.pieces_left_before(way.number),
        });
        while seen.timer.as_mut().poll(cx).is_ready() {
            let of_older = connection.pieces_left_before(way.number);
            // The end of an older stream counts as well: it may be the turn of this one.
            let older_moved = of_older != seen.of_older;
            let turn_came = of_all - seen.since_turn >= seen.turn * connection.requests() as u64;
            let taken = of_all != seen.of_all || connection.is_blocked();
            let waits_for_answer = way.waits_for_answer.load(Ordering::Relaxed);
            if waits_for_answer && way.bytes() == 0 {
                seen.since_turn = of_all;
            } else if seen.left != left {
                seen.turn = (left - seen.left).clamp(TURN_MIN, TURN_MAX);
                (seen.left, seen.since_turn) = (left, of_all);
            } else if !taken || (turn_came && !older_moved) {
                tracing::debug!("a stream is reset: the peer takes nothing of its answer");
                return Poll::Ready(());
            }
            (seen.of_all, seen.of_older) = (of_all, of_older);
            seen.timer.as_mut().reset(Instant::now() + stall_max);
        }
        Poll::Pending
    })
    .await;
}
