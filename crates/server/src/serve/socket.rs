//! The socket of a connection: gives up when the peer takes nothing, reads in turns, and shows whether the peer is gone.

use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, RawFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

use super::peers::Connection;

/// Bytes that are read before they are processed: a burst of requests that are cancelled at once is seen in parts.
const TURN_BYTES: usize = 32 << 10;

/// How often the socket of a request without an answer is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// A client that has closed its sending side has its answer within this time, or none.
pub(super) const HALF_CLOSED_MAX: Duration = Duration::from_secs(2);

/// A TCP stream whose writes fail once the peer has taken nothing for a while.
pub(super) struct Socket {
    stream: TcpStream,
    connection: Arc<Connection>,
    stall_max: Duration,
    /// Since when the system has accepted no bytes.
    blocked: Option<Blocked>,
    turn_left: usize,
}

struct Blocked {
    until: Pin<Box<Sleep>>,
    /// Bytes that the system had not delivered at that time.
    queued: Option<usize>,
}

impl Socket {
    pub(super) fn new(stream: TcpStream, connection: Arc<Connection>, stall_max: Duration) -> Self {
        connection.opened(stream.as_raw_fd());
        Self { stream, connection, stall_max, blocked: None, turn_left: TURN_BYTES }
    }

    /// Small answers go out at once.
    ///
    /// # Errors
    ///
    /// The error of the system.
    pub(super) fn set_nodelay(&self) -> io::Result<()> {
        self.stream.set_nodelay(true)
    }

    /// Handles the result of a write. A write that must wait for the peer waits until `stall_max` has gone by without a
    /// byte delivered: the socket may count as full for long while a slow peer reads on.
    fn wrote(&mut self, wrote: Poll<io::Result<usize>>, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if wrote.is_ready() {
            if self.blocked.take().is_some() {
                self.connection.set_blocked(false);
            }
            return wrote;
        }
        self.connection.set_blocked(true);
        let (stall_max, queued) = (self.stall_max, queued(&self.stream));
        let blocked = self.blocked.get_or_insert_with(|| {
            let until = Box::pin(tokio::time::sleep(stall_max));
            Blocked { until, queued }
        });
        while blocked.until.as_mut().poll(cx).is_ready() {
            if queued.is_none() || queued >= blocked.queued {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the peer takes nothing")));
            }
            blocked.queued = queued;
            blocked.until.as_mut().reset(Instant::now() + stall_max);
        }
        Poll::Pending
    }
}

/// Returns once the client of an unanswered request of HTTP/1 is gone, or has closed its sending side for
/// [`HALF_CLOSED_MAX`]. A client that waits for its answer after that looks like one that has ended: its system says the
/// same of both until it is sent something.
///
/// To be awaited inside of the request only, which does not outlive the socket.
pub(super) async fn deserted(connection: &Connection) {
    let mut closed_at = None;
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        match connection.descriptor().map_or(Peer::Listening, peer) {
            Peer::Listening => closed_at = None,
            Peer::Gone => return,
            Peer::HalfClosed => {
                if closed_at.get_or_insert_with(Instant::now).elapsed() + LOOK_EVERY >= HALF_CLOSED_MAX {
                    return;
                }
            }
        }
    }
}

/// What the peer's system said of its side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Peer {
    Listening,
    /// It sends nothing more.
    HalfClosed,
    /// The connection is broken.
    Gone,
}

fn peer(descriptor: RawFd) -> Peer {
    #[cfg(target_os = "linux")]
    {
        let mut asked = libc::pollfd { fd: descriptor, events: libc::POLLRDHUP, revents: 0 };
        // SAFETY: the call reads and writes `asked` and nothing else, and returns at once.
        let found = unsafe { libc::poll(&raw mut asked, 1, 0) };
        if found == 1 && asked.revents & (libc::POLLERR | libc::POLLHUP) != 0 {
            return Peer::Gone;
        }
        if found == 1 && asked.revents & libc::POLLRDHUP != 0 {
            return Peer::HalfClosed;
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = descriptor;
    Peer::Listening
}

/// Bytes that were written and that the peer's system has not acknowledged.
fn queued(stream: &TcpStream) -> Option<usize> {
    #[cfg(target_os = "linux")]
    {
        let mut bytes: libc::c_int = 0;
        // SAFETY: the descriptor is open as long as the stream is; the call writes to `bytes` and nothing else.
        let failed = unsafe { libc::ioctl(stream.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) } != 0;
        usize::try_from(bytes).ok().filter(|_| !failed)
    }
    #[cfg(not(target_os = "linux"))]
    None
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.turn_left == 0 {
            self.turn_left = TURN_BYTES;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.turn_left = match &read {
            Poll::Ready(Ok(())) => self.turn_left.saturating_sub(buf.filled().len() - before),
            _ => TURN_BYTES,
        };
        read
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.wrote(wrote, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.wrote(wrote, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
