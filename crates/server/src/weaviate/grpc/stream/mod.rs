//! BatchStream: objects and references in both directions of one call, with the server in charge of the pace.
//!
//! The messages of a stream are processed one after the other, in their order. A message is acknowledged once its members
//! are durable or refused, and the result of each member follows; so acknowledged members survive a crash, and a client
//! sends the others again. One message of a stream is in memory at a time, charged like a request of its own; while
//! memory is short the stream waits, then the members of the message are given back by `OutOfMemory`. Clients end the
//! stream after that, and open another one when `ShuttingDown` comes, which is sent when there is memory again.
//!
//! When the server stops, it says `ShuttingDown` and takes what the client still sends until the client ends the stream.

pub(crate) mod message;
mod pace;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use prost::Message;
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};
use tracing::Instrument;

use super::{batch, codec};
use crate::app::{App, deadline, effort};
use crate::auth::Caller;
use crate::modules::credentials::{self, Credentials};
use crate::pb::weaviate::BatchStreamReply;
use crate::request_memory::{self, BodyShare, Share};
use message::{Data, Names, Outcomes, StreamRequest};
use pace::Pace;

/// Open streams of the process.
pub(super) const STREAMS_MAX: usize = 1_000;
/// Replies that wait for the client; while there are more, nothing is processed.
const REPLIES_MAX: usize = 4;
/// Objects and references in one message.
const MEMBERS_MAX: usize = 100_000;
/// After `ShuttingDown` the client has this long to end the stream: less than the server takes to stop.
const GRACE: Duration = Duration::from_secs(6);
/// How often and how long a stream whose client waits for memory looks for it.
const ROOM_EVERY: Duration = Duration::from_millis(200);
const ROOM_WAIT_MAX: Duration = Duration::from_secs(300);

type Replies = mpsc::Sender<Result<BatchStreamReply, Status>>;

/// One stream.
struct Session {
    app: Arc<App>,
    caller: Caller,
    replies: Replies,
    /// Keys that the stream brought.
    credentials: Credentials,
    /// The memory of the received part of the next message.
    body: BodyShare,
    pace: Pace,
    /// Bytes of memory that the largest refused message needs.
    refused_bytes: usize,
}

/// The client is gone, and nothing can be sent any more.
struct Gone;

impl From<Gone> for Status {
    fn from(Gone: Gone) -> Self {
        Self::cancelled("the client has left the stream")
    }
}

/// Opens a stream, which runs on a task of its own for as long as the replies are taken.
pub(super) fn open(
    app: Arc<App>,
    caller: Caller,
    body: BodyShare,
    permit: OwnedSemaphorePermit,
    requests: Streaming<StreamRequest>,
) -> ReceiverStream<Result<BatchStreamReply, Status>> {
    let (replies, taken) = mpsc::channel(REPLIES_MAX);
    let credentials = credentials::current();
    let mut session = Session { app, caller, credentials, replies, body, pace: Pace::new(), refused_bytes: 0 };
    let run = async move {
        let _permit = permit;
        if let Err(status) = Box::pin(session.run(requests)).await {
            // A client that is gone needs no status.
            let _ = session.replies.send(Err(status)).await;
        }
    };
    tokio::spawn(run.instrument(tracing::Span::current()));
    ReceiverStream::new(taken)
}

impl Session {
    async fn run(&mut self, mut requests: Streaming<StreamRequest>) -> Result<(), Status> {
        let first = requests.message().await?;
        self.body.message_ended();
        match first {
            Some(StreamRequest { start: Some(_), .. }) => self.send(message::started()).await?,
            Some(_) => return Err(Status::unknown("first message must be a start message")),
            None => return Ok(()),
        }
        let mut stopping = self.app.stopping();
        let mut cut_at = None;
        loop {
            let received = tokio::select! {
                biased;
                () = self.replies.closed() => return Err(Gone.into()),
                () = stops(&mut stopping), if cut_at.is_none() => {
                    self.send(message::shutting_down()).await?;
                    cut_at = Some(tokio::time::Instant::now() + GRACE);
                    continue;
                }
                () = sleep_until(cut_at) => return Err(cut_off()),
                received = requests.message() => received?,
            };
            self.body.message_ended();
            match received {
                None | Some(StreamRequest { stop: Some(_), .. }) => break,
                Some(StreamRequest { data: Some(data), .. }) => self.take(data).await?,
                Some(_) => return Err(Status::unknown("a message of a stream must be data or a stop message")),
            }
        }
        if self.refused_bytes > 0 {
            self.wait_for_room().await?;
            self.send(message::shutting_down()).await?;
        }
        Ok(())
    }

    /// Processes a message and answers it.
    async fn take(&mut self, data: Bytes) -> Result<(), Status> {
        let (members, bytes) = codec::size_of_data(&data);
        if members > MEMBERS_MAX {
            let text = format!("a message has {members} objects and references; at most {MEMBERS_MAX} are allowed");
            return Err(Status::resource_exhausted(text));
        }
        let share = self.body.of_message();
        let charged = request_memory::charge_or_wait(&share, bytes).await;
        match charged {
            Ok(()) if self.app.takes_vectors() => {}
            Err(refusal) if !refusal.is_for_now() => {
                let names = Names::decode(&data).map_err(unreadable)?;
                let outcomes = Outcomes::all(&names, &refusal.to_string());
                return Ok(self.answer(names, outcomes).await?);
            }
            Ok(()) | Err(_) => {
                self.refused_bytes = self.refused_bytes.max(bytes);
                let names = Names::decode(&data).map_err(unreadable)?;
                return Ok(self.send(names.out_of_memory()).await?);
            }
        }
        let start = Instant::now();
        for part in Data::decode(data).map_err(unreadable)?.in_parts() {
            let names = Names::of(&part);
            let outcomes = self.write(part, share.clone()).await;
            self.answer(names, outcomes).await?;
        }
        self.pace.add(members, start.elapsed());
        if let Some(batch_size) = self.pace.hint(Instant::now()) {
            self.send(message::backoff(batch_size)).await?;
        }
        Ok(())
    }

    /// Writes objects, then references, with the memory of `share`.
    async fn write(&self, data: Data, share: Arc<Mutex<Share>>) -> Outcomes {
        let limit = self.app.settings.read_time_max;
        let written = async {
            let objects = match data.objects.filter(|objects| !objects.objects.is_empty()) {
                Some(request) => {
                    let count = request.objects.len();
                    let reply = Box::pin(batch::batch_objects(&self.app, &self.caller, request)).await;
                    outcomes(count, reply.map(|reply| reply.errors.into_iter().map(|error| (error.index, error.error))))
                }
                None => Vec::new(),
            };
            let references = match data.references.filter(|references| !references.references.is_empty()) {
                Some(request) => {
                    let count = request.references.len();
                    let reply = Box::pin(batch::batch_references(&self.app, &self.caller, request)).await;
                    outcomes(count, reply.map(|reply| reply.errors.into_iter().map(|error| (error.index, error.error))))
                }
                None => Vec::new(),
            };
            Outcomes { objects, references }
        };
        let written = credentials::within(self.credentials.clone(), request_memory::within_async(share, written));
        deadline::within(limit, effort::counted(written)).await
    }

    /// Returns when there is memory for the messages that were refused, or after [`ROOM_WAIT_MAX`].
    async fn wait_for_room(&self) -> Result<(), Gone> {
        let until = Instant::now() + ROOM_WAIT_MAX;
        let mut stopping = self.app.stopping();
        while Instant::now() < until && !*stopping.borrow_and_update() {
            let has_room = self.body.of_message().lock().try_add(self.refused_bytes).is_ok();
            if has_room && self.app.takes_vectors() {
                break;
            }
            tokio::select! {
                () = tokio::time::sleep(ROOM_EVERY) => {}
                () = self.replies.closed() => return Err(Gone),
            }
        }
        Ok(())
    }

    /// The acknowledgement of a message, then the result of each of its members.
    async fn answer(&self, names: Names, outcomes: Outcomes) -> Result<(), Gone> {
        self.send(names.acks()).await?;
        self.send(names.results(outcomes)).await
    }

    async fn send(&self, reply: BatchStreamReply) -> Result<(), Gone> {
        self.replies.send(Ok(reply)).await.map_err(|_| Gone)
    }
}

/// The error of each of `count` members; a call that failed as a whole failed for each.
fn outcomes(count: usize, reply: Result<impl Iterator<Item = (i32, String)>, Status>) -> Vec<Option<String>> {
    match reply {
        Ok(errors) => {
            let mut outcomes = vec![None; count];
            for (index, error) in errors {
                if let Some(outcome) = usize::try_from(index).ok().and_then(|index| outcomes.get_mut(index)) {
                    *outcome = Some(error);
                }
            }
            outcomes
        }
        Err(status) => vec![Some(status.message().to_owned()); count],
    }
}

#[expect(clippy::needless_pass_by_value, reason = "`map_err` passes errors by value")]
fn unreadable(error: prost::DecodeError) -> Status {
    Status::internal(format!("grpc: error unmarshalling request: {error}"))
}

/// The end of a stream whose client goes on although the server stops. Clients of Weaviate know a broken connection by
/// these words, and send members without a result on a new stream.
fn cut_off() -> Status {
    let seconds = GRACE.as_secs();
    Status::unavailable(format!("Connection reset: the server stops, and the stream was not ended within {seconds} s"))
}

/// Returns when the server stops.
async fn stops(stopping: &mut watch::Receiver<bool>) {
    // An error means that the application is gone.
    let _ = stopping.wait_for(|stopping| *stopping).await;
}

async fn sleep_until(instant: Option<tokio::time::Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant).await,
        None => std::future::pending().await,
    }
}
