//! The socket of a connection: gives up when the peer takes nothing, and reads in turns.

use std::io::{self, IoSlice};
use std::os::fd::AsRawFd;
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
