//! Bodies of requests: read within limits of size and time, and within the memory that all requests may take together.
//!
//! A body is charged with what it becomes, not with what it weighs on the wire: a number of a JSON list takes some sixty
//! bytes once it is read, a compressed message can unfold to a thousand times its size.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes};
use bytes::BytesMut;
use http::{HeaderMap, StatusCode};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use parking_lot::Mutex;
use tokio::time::{Instant, Sleep};
use tonic::Status;

use crate::request_memory::{self, Refusal, Share};
use crate::weaviate::rest::BodyError;
use crate::weaviate::rest::message::Reply;

/// A body must come faster than this once it has come for longer than twice the longest pause.
const BYTES_PER_SECOND_MIN: u64 = 1 << 10;
/// Bytes of memory that each separator of a JSON body stands for.
const SEPARATOR_BYTES: usize = 64;
/// The most that gzip can unfold a byte to.
const GZIP_RATIO_MAX: usize = 1_032;
/// What is read of the body of a request that is refused anyway, so that the connection can go on.
const REFUSED_BYTES_MAX: usize = 64 << 10;

/// The time that a body has: between its parts, and for all of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    began: Instant,
    stall_max: Duration,
}

impl Pace {
    /// A body whose client may send nothing for `stall_max` begins to come.
    pub(super) fn new(stall_max: Duration) -> Self {
        Self { began: Instant::now(), stall_max }
    }

    /// When the next part must be there, after `bytes`. A client that trickles is as bad as a silent one.
    fn deadline(self, bytes: usize) -> Instant {
        let earned = Duration::from_secs(bytes as u64 / BYTES_PER_SECOND_MIN);
        (Instant::now() + self.stall_max).min(self.began + 2 * self.stall_max + earned)
    }

    fn refusal(self) -> String {
        format!(
            "the body came too slowly: nothing for {} s, or less than {BYTES_PER_SECOND_MIN} bytes a second \
             (AZIMUTH_STALL_SECONDS_MAX)",
            self.stall_max.as_secs()
        )
    }
}

/// The whole body of a REST request, or why there is none.
///
/// # Errors
/// The answer to give at once: memory is short, or the client does not go on sending.
pub(super) async fn read(
    mut body: Incoming,
    bytes_max: usize,
    pace: Pace,
    share: &Mutex<Share>,
) -> Result<Result<Bytes, BodyError>, Reply> {
    let too_large = Ok(Err(BodyError::TooLarge { bytes_max }));
    if body.size_hint().lower() > bytes_max as u64 {
        return too_large;
    }
    let declared = usize::try_from(body.size_hint().lower()).unwrap_or(bytes_max);
    let mut read = BytesMut::with_capacity(declared.min(1 << 20));
    loop {
        let Ok(frame) = tokio::time::timeout_at(pace.deadline(read.len()), body.frame()).await else {
            return Err(Reply::coded(StatusCode::REQUEST_TIMEOUT, 408, &pace.refusal()));
        };
        let data = match frame {
            None => return Ok(Ok(read.freeze())),
            Some(Err(error)) => return Ok(Err(BodyError::Unreadable(format!("read the body: {error}")))),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => data,
                Err(_) => continue,
            },
        };
        if read.len() + data.len() > bytes_max {
            return too_large;
        }
        request_memory::charge_or_wait(share, cost(&data)).await.map_err(refuse_rest)?;
        read.extend_from_slice(&data);
    }
}

/// Reads a little of a body that nobody will look at.
pub(super) async fn discard(mut body: Incoming, pace: Pace) {
    let mut read = 0;
    while read < REFUSED_BYTES_MAX && !body.is_end_stream() {
        match tokio::time::timeout_at(pace.deadline(read), body.frame()).await {
            Ok(Some(Ok(frame))) => read += frame.data_ref().map_or(0, Bytes::len),
            _ => return,
        }
    }
}

/// What a part of a JSON body takes in memory once it is read.
fn cost(data: &[u8]) -> usize {
    let separators = data.iter().filter(|byte| matches!(byte, b',' | b':' | b'[' | b'{')).count();
    data.len() + separators * SEPARATOR_BYTES
}

fn refuse_rest(refusal: Refusal) -> Reply {
    match refusal.is_for_now() {
        false => Reply::coded(StatusCode::PAYLOAD_TOO_LARGE, 413, &refusal.to_string()),
        true => Reply::coded(StatusCode::SERVICE_UNAVAILABLE, 503, &refusal.to_string()),
    }
}

/// A request that did not begin may be sent again: the code for that is UNAVAILABLE.
pub(super) fn refuse_grpc(refusal: Refusal) -> Status {
    match refusal.is_for_now() {
        false => Status::resource_exhausted(refusal.to_string()),
        true => Status::unavailable(refusal.to_string()),
    }
}

/// Bytes of memory that a byte of a gRPC body can stand for.
pub(super) fn memory_ratio(headers: &HeaderMap) -> usize {
    let plain = headers.get("grpc-encoding").is_none_or(|encoding| encoding.as_bytes() == b"identity");
    if plain { 1 } else { GZIP_RATIO_MAX }
}

/// The body of a gRPC request, charged part by part; what its message becomes is charged when it is decoded.
pub(super) struct Metered {
    body: Body,
    share: Arc<Mutex<Share>>,
    /// Bytes of memory for a byte of the wire.
    ratio: usize,
    /// Left of what the request can be charged with: a message is not larger than this when it is unfolded.
    left: usize,
    pace: Pace,
    /// Bytes that were received.
    bytes: usize,
    /// When the next part must be there, while it is waited for.
    until: Option<Pin<Box<Sleep>>>,
}

impl Metered {
    /// `message_bytes_max` is the limit of a decoded message; the share is held by whoever holds the other `Arc`.
    pub(super) fn new(
        body: Body,
        headers: &HeaderMap,
        message_bytes_max: usize,
        pace: Pace,
        share: Arc<Mutex<Share>>,
    ) -> Self {
        let ratio = memory_ratio(headers);
        Self { body, share, ratio, left: message_bytes_max, pace, bytes: 0, until: None }
    }
}

impl HttpBody for Metered {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) else {
            let (pace, bytes) = (this.pace, this.bytes);
            let until = this.until.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(pace.deadline(bytes))));
            ready!(until.as_mut().poll(cx));
            return Poll::Ready(Some(Err(Status::deadline_exceeded(pace.refusal()))));
        };
        this.until = None;
        let frame = match frame {
            None => return Poll::Ready(None),
            Some(Ok(frame)) => frame,
            Some(Err(error)) => return Poll::Ready(Some(Err(Status::from_error(error.into())))),
        };
        let data_bytes = frame.data_ref().map_or(0, Bytes::len);
        this.bytes += data_bytes;
        let bytes = data_bytes.saturating_mul(this.ratio).min(this.left);
        this.left -= bytes;
        let added = this.share.lock().try_add(bytes);
        Poll::Ready(Some(added.map(|()| frame).map_err(refuse_grpc)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_small_values_cost_more_than_one_long_text() {
        assert_eq!(cost(b"[1,1,1]"), 7 + 3 * SEPARATOR_BYTES);
        assert_eq!(cost(&[b'x'; 100]), 100);
    }
}
