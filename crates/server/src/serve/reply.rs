//! Bodies of answers: charged until their last byte has left the process, and cut into pieces that show how far the
//! transfer is.
//!
//! HTTP keeps the bytes of a body until the peer takes them. Every piece therefore carries the request's share: memory
//! held for a slow peer is charged to the request.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes};
use http::HeaderMap;
use http_body::{Body as HttpBody, Frame, SizeHint};
use parking_lot::Mutex;

use super::peers::{Connection, Running};
use super::streams::OnTheWay;
use crate::request_memory::{self, Refusal, Share};
use crate::weaviate::tree::Tree;

/// A larger answer is cut into pieces, and over HTTP/2 its end waits until they have left: so it is seen whether the peer
/// takes it. The end of a smaller one goes with it.
const SMALL_MAX: usize = 64 << 10;
/// Bytes of a piece: one frame of HTTP/2.
const PIECE_BYTES: usize = 16 << 10;
/// Bytes of JSON that lie in one piece of memory.
const CHUNK_BYTES: usize = 256 << 10;

/// The body of an answer, with everything that its request holds.
pub(super) struct Held {
    inner: Body,
    share: Arc<Mutex<Share>>,
    way: Arc<OnTheWay>,
    connection: Arc<Connection>,
    /// Whether the answer goes out over HTTP/2, which keeps streams apart.
    http2: bool,
    /// The rest of a frame that is cut into pieces.
    rest: Bytes,
    /// Whether there was a frame that is not small.
    large: bool,
    /// Whether the connection knows that.
    known: bool,
    /// The end of the body, while it waits.
    end: Option<Option<HeaderMap>>,
    _running: Option<Running>,
}

impl Held {
    pub(super) fn new(
        inner: Body,
        share: Arc<Mutex<Share>>,
        way: Arc<OnTheWay>,
        running: Option<Running>,
        (connection, http2): (Arc<Connection>, bool),
    ) -> Self {
        way.begin(connection.clone());
        let size = inner.size_hint();
        let large = size.lower() > SMALL_MAX as u64;
        if let Some(bytes) = size.exact().and_then(|bytes| usize::try_from(bytes).ok()) {
            // The body lies in memory as a whole. HTTP/2 asks for its first part only when the peer has room for it, which
            // may be late: the memory that was needed to make the answer must not stay charged until then.
            share.lock().settle(bytes);
        }
        Self {
            inner,
            share,
            way,
            connection,
            http2,
            rest: Bytes::new(),
            large,
            known: false,
            end: None,
            _running: running,
        }
    }

    fn piece(&mut self) -> Bytes {
        if self.http2 && self.large && !self.known {
            self.connection.large_begins(&self.way);
            self.known = true;
        }
        let bytes = if self.large {
            self.rest.split_to(PIECE_BYTES.min(self.rest.len()))
        } else {
            std::mem::take(&mut self.rest)
        };
        self.way.add(bytes.len());
        let waits = (self.http2 && !self.large).then(|| self.connection.given());
        let (share, way, connection) = (self.share.clone(), self.way.clone(), self.connection.clone());
        Bytes::from_owner(Piece { bytes, share, way, connection, waits })
    }

    /// Reduces the request's charge to the bytes that HTTP holds and the bytes still to come: all other memory was only
    /// needed to make the answer.
    fn settle(&self, frame_bytes: usize) {
        let later = usize::try_from(self.inner.size_hint().lower()).unwrap_or(usize::MAX);
        self.share.lock().settle(self.way.bytes().saturating_add(frame_bytes).saturating_add(later));
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.known {
            self.connection.large_ends(&self.way);
        }
    }
}

impl HttpBody for Held {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        loop {
            if !self.rest.is_empty() {
                let piece = self.piece();
                return Poll::Ready(Some(Ok(Frame::data(piece))));
            }
            if self.end.is_none() {
                let polled = Pin::new(&mut self.inner).poll_frame(cx);
                self.way.set_waits_for_answer(polled.is_pending());
                match ready!(polled).transpose() {
                    Err(error) => return Poll::Ready(Some(Err(error))),
                    Ok(None) => self.end = Some(None),
                    Ok(Some(frame)) => match frame.into_data() {
                        Ok(data) if data.is_empty() => return Poll::Ready(Some(Ok(Frame::data(data)))),
                        Ok(data) => {
                            self.settle(data.len());
                            self.large |= data.len() > SMALL_MAX;
                            self.rest = data;
                        }
                        Err(frame) => self.end = Some(frame.into_trailers().ok()),
                    },
                }
                continue;
            }
            if self.http2 && self.large {
                ready!(self.way.poll_empty(cx));
            }
            // After the end of the body was returned, there is nothing more.
            let trailers = self.end.replace(None).flatten();
            return Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))));
        }
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.end.is_none() && self.inner.is_end_stream() && !(self.http2 && self.large)
    }

    fn size_hint(&self) -> SizeHint {
        let (inner, rest) = (self.inner.size_hint(), self.rest.len() as u64);
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower() + rest);
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper + rest);
        }
        hint
    }
}

/// A part of an answer that HTTP holds; its memory is given back once it has been written.
struct Piece {
    bytes: Bytes,
    share: Arc<Mutex<Share>>,
    way: Arc<OnTheWay>,
    connection: Arc<Connection>,
    /// When the connection began to count this piece as waiting, if it does.
    waits: Option<u64>,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.share.lock().give(self.bytes.len());
        self.way.remove(self.bytes.len());
        self.connection.piece_left();
        if let Some(at) = self.waits {
            self.connection.taken(at);
        }
    }
}

/// An answer as JSON, charged while it is written; it never lies in one piece of memory, which would have to be copied as
/// it grows.
///
/// # Errors
/// There is no room for it. With `anyway` it is charged whether there is room or not.
pub(super) fn json(tree: &Tree, anyway: bool) -> Result<Body, Refusal> {
    let mut chunks = Chunks { done: VecDeque::new(), open: Vec::new(), anyway, refusal: None };
    let written = serde_json::to_writer(&mut chunks, tree);
    match (written, chunks.refusal) {
        (_, Some(refusal)) => return Err(refusal),
        (Ok(()), None) => {}
        // Values of JSON can always be written, and memory takes everything.
        (Err(error), None) => tracing::error!(%error, "write an answer"),
    }
    let Chunks { mut done, open, .. } = chunks;
    if done.is_empty() {
        return Ok(Body::from(open));
    }
    done.push_back(Bytes::from(open));
    Ok(Body::new(Chunked(done)))
}

struct Chunks {
    done: VecDeque<Bytes>,
    open: Vec<u8>,
    anyway: bool,
    refusal: Option<Refusal>,
}

impl Write for Chunks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.open.len() + bytes.len() > self.open.capacity() {
            self.grow(bytes.len())?;
        }
        self.open.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Chunks {
    /// Makes room for `bytes` more: a larger chunk while it is small, then a new one.
    fn grow(&mut self, bytes: usize) -> io::Result<()> {
        let capacity = match self.open.capacity() {
            full if full >= CHUNK_BYTES => {
                self.done.push_back(Bytes::from(std::mem::take(&mut self.open)));
                CHUNK_BYTES
            }
            small => (2 * small).max(1 << 10),
        };
        let capacity = capacity.max(self.open.len() + bytes);
        let more = capacity - self.open.capacity();
        if self.anyway {
            request_memory::force(more);
        } else if let Err(refusal) = request_memory::charge(more) {
            self.refusal = Some(refusal);
            return Err(io::Error::other(refusal));
        }
        self.open.reserve_exact(capacity - self.open.len());
        Ok(())
    }
}

/// A body of several chunks.
struct Chunked(VecDeque<Bytes>);

impl HttpBody for Chunked {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::convert::Infallible>>> {
        Poll::Ready(self.0.pop_front().map(|chunk| Ok(Frame::data(chunk))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.iter().map(|chunk| chunk.len() as u64).sum())
    }
}
