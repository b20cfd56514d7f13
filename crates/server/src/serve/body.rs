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
use tonic::Status;

use crate::memory::{Refusal, Share};
use crate::rest::BodyError;
use crate::rest::message::Reply;

/// A client has this long to send the next part of a body.
const STALL_MAX: Duration = Duration::from_secs(30);
/// Bytes of memory that each separator of a JSON body stands for.
const SEPARATOR_BYTES: usize = 64;
/// The most that gzip can unfold a byte to.
const GZIP_RATIO_MAX: usize = 1_032;
/// What is read of the body of a request that is refused anyway, so that the connection can go on.
const REFUSED_BYTES_MAX: usize = 64 << 10;

/// The whole body of a REST request, or why there is none.
///
/// # Errors
/// The answer to give at once: memory is short, or the client does not go on sending.
pub(super) async fn read(
    mut body: Incoming,
    bytes_max: usize,
    share: &mut Share,
) -> Result<Result<Bytes, BodyError>, Reply> {
    let too_large = Ok(Err(BodyError::TooLarge { bytes_max }));
    if body.size_hint().lower() > bytes_max as u64 {
        return too_large;
    }
    let declared = usize::try_from(body.size_hint().lower()).unwrap_or(bytes_max);
    let mut read = BytesMut::with_capacity(declared.min(1 << 20));
    loop {
        let Ok(frame) = tokio::time::timeout(STALL_MAX, body.frame()).await else {
            let text = format!("nothing of the body came for {} s", STALL_MAX.as_secs());
            return Err(Reply::coded(StatusCode::REQUEST_TIMEOUT, 408, &text));
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
        share.add(cost(&data)).await.map_err(refuse_rest)?;
        read.extend_from_slice(&data);
    }
}

/// Reads a little of a body that nobody will look at.
pub(super) async fn discard(mut body: Incoming) {
    let mut read = 0;
    while read < REFUSED_BYTES_MAX && !body.is_end_stream() {
        match tokio::time::timeout(STALL_MAX, body.frame()).await {
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
    match refusal {
        Refusal::TooLarge => Reply::coded(StatusCode::PAYLOAD_TOO_LARGE, 413, &refusal.to_string()),
        Refusal::Busy => Reply::coded(StatusCode::SERVICE_UNAVAILABLE, 503, &refusal.to_string()),
    }
}

/// The body of a gRPC request, charged part by part; what its message becomes is charged when it is decoded.
pub(super) struct Metered {
    body: Body,
    share: Arc<Mutex<Share>>,
    /// Bytes of memory for a byte of the wire.
    ratio: usize,
    /// Left of what the request can be charged with: a message is not larger than this when it is unfolded.
    left: usize,
}

impl Metered {
    /// `message_bytes_max` is the limit of a decoded message; the share is held by whoever holds the other `Arc`.
    pub(super) fn new(body: Body, headers: &HeaderMap, message_bytes_max: usize, share: Arc<Mutex<Share>>) -> Self {
        let plain = headers.get("grpc-encoding").is_none_or(|encoding| encoding.as_bytes() == b"identity");
        let ratio = if plain { 1 } else { GZIP_RATIO_MAX };
        Self { body, share, ratio, left: message_bytes_max }
    }
}

impl HttpBody for Metered {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let Some(frame) = ready!(Pin::new(&mut self.body).poll_frame(cx)) else { return Poll::Ready(None) };
        let frame = match frame {
            Ok(frame) => frame,
            Err(error) => return Poll::Ready(Some(Err(Status::from_error(error.into())))),
        };
        let bytes = frame.data_ref().map_or(0, |data| data.len().saturating_mul(self.ratio)).min(self.left);
        self.left -= bytes;
        let added = self.share.lock().try_add(bytes);
        Poll::Ready(Some(added.map(|()| frame).map_err(Status::from)))
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
