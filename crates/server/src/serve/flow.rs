//! The body of a stream of requests: it has no end, so its memory is that of the message that comes in.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes};
use http::HeaderMap;
use http_body::{Body as HttpBody, Frame};
use parking_lot::Mutex;
use tokio::time::{Instant, Sleep};
use tonic::Status;

use super::body::{memory_ratio, refuse_grpc};
use crate::request_memory::{self, Refusal, Share};

type Charging = Pin<Box<dyn Future<Output = Result<(), Refusal>> + Send>>;

/// A body whose parts wait for memory, and with them the client. The reader of the messages gives the memory back when a
/// message is complete. Between messages the client may be silent; within one it must go on.
pub(super) struct Flow {
    body: Body,
    share: Arc<Mutex<Share>>,
    /// Bytes of memory for a byte of the wire.
    ratio: usize,
    /// Bytes of a message at most.
    message_bytes_max: usize,
    stall_max: Duration,
    /// A part that waits for memory.
    charging: Option<(Frame<Bytes>, Charging)>,
    /// When the next part of an incomplete message must be there.
    until: Option<Pin<Box<Sleep>>>,
}

impl Flow {
    pub(super) fn new(
        body: Body,
        headers: &HeaderMap,
        message_bytes_max: usize,
        stall_max: Duration,
        share: Arc<Mutex<Share>>,
    ) -> Self {
        let ratio = memory_ratio(headers);
        Self { body, share, ratio, message_bytes_max, stall_max, charging: None, until: None }
    }

    /// Whether a part of a message was received, and not all of it.
    fn is_within_message(&self) -> bool {
        self.share.lock().bytes() > 0
    }
}

impl HttpBody for Flow {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        if this.charging.is_none() {
            let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) else {
                if this.is_within_message() {
                    let stall_max = this.stall_max;
                    let sleep = || Box::pin(tokio::time::sleep_until(Instant::now() + stall_max));
                    ready!(this.until.get_or_insert_with(sleep).as_mut().poll(cx));
                    let why = "a message of the stream came too slowly (AZIMUTH_STALL_SECONDS_MAX)";
                    return Poll::Ready(Some(Err(Status::deadline_exceeded(why))));
                }
                return Poll::Pending;
            };
            this.until = None;
            let frame = match frame {
                None => return Poll::Ready(None),
                Some(Ok(frame)) => frame,
                Some(Err(error)) => return Poll::Ready(Some(Err(Status::from_error(error.into())))),
            };
            let wire_bytes = frame.data_ref().map_or(0, Bytes::len);
            let left = this.message_bytes_max.saturating_sub(this.share.lock().bytes());
            let bytes = wire_bytes.saturating_mul(this.ratio).min(left);
            let share = this.share.clone();
            let charging = Box::pin(async move { request_memory::charge_or_wait(&share, bytes).await });
            this.charging = Some((frame, charging));
        }
        let Some((_, charging)) = &mut this.charging else { return Poll::Pending };
        let charged = ready!(charging.as_mut().poll(cx));
        let frame = this.charging.take().map(|(frame, _)| frame);
        Poll::Ready(frame.map(|frame| charged.map(|()| frame).map_err(refuse_grpc)))
    }

    fn is_end_stream(&self) -> bool {
        self.charging.is_none() && self.body.is_end_stream()
    }
}
