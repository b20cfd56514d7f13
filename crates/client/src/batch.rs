//! Writing many objects: batches over gRPC, several on the way at a time, repeated when the server is away.
//!
//! A batch replaces objects that exist already, and every object carries the id that the client chose; so a batch that
//! is sent twice leaves what one would have left, and a whole import may be repeated.

use std::collections::BTreeMap;

use prost::Message;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::collection::Collection;
use crate::error::{Error, Result};
use crate::object::Object;
use crate::proto::weaviate::v1 as pb;

/// How objects are grouped and sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchOptions {
    /// Objects in one batch at most.
    pub objects_max: usize,
    /// Bytes in one batch at most; a single larger object goes alone.
    pub bytes_max: usize,
    /// Batches on the way at most; with all of them on the way, [`BatchWriter::add`] waits.
    pub in_flight_max: usize,
}

impl Default for BatchOptions {
    fn default() -> BatchOptions {
        BatchOptions { objects_max: 200, bytes_max: 8 << 20, in_flight_max: 4 }
    }
}

/// An object that the server refused; the others of its batch are stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectFailure {
    /// Position of the object, counted from 0 over everything given to the writer.
    pub index: u64,
    /// Its id.
    pub id: Uuid,
    /// The server's reason.
    pub message: String,
}

impl ObjectFailure {
    pub(crate) fn all_of(
        reply: pb::BatchObjectsReply,
        request: &pb::BatchObjectsRequest,
        first_index: u64,
    ) -> Result<Vec<ObjectFailure>> {
        let failure = |error: pb::batch_objects_reply::BatchError| {
            let position = usize::try_from(error.index).ok().filter(|position| *position < request.objects.len());
            let position =
                position.ok_or_else(|| Error::Protocol(format!("an error for object {} of a batch", error.index)))?;
            let id = Uuid::parse_str(&request.objects[position].uuid)
                .map_err(|error| Error::Protocol(format!("a batch with a bad id: {error}")))?;
            Ok(ObjectFailure { index: first_index + position as u64, id, message: error.error })
        };
        reply.errors.into_iter().map(failure).collect()
    }
}

/// What became of everything given to a [`BatchWriter`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BatchReport {
    /// Objects that were given.
    pub objects: u64,
    /// Those that were refused, in the order in which they were given.
    pub failures: Vec<ObjectFailure>,
}

/// Sends objects in batches while more are added. Memory is bounded by `in_flight_max + 1` batches.
///
/// When a batch fails as a whole, the writer is done: every later call gives the same error. What
/// [`BatchWriter::acknowledged`] counts is stored (or listed as refused), batches after it may be: send everything from
/// there again with a new writer.
#[derive(Debug)]
pub struct BatchWriter {
    collection: Collection,
    options: BatchOptions,
    open: Vec<pb::BatchObject>,
    open_bytes: usize,
    added: u64,
    on_the_way: JoinSet<(u64, u64, Result<Vec<ObjectFailure>>)>,
    /// Batches answered before an earlier one was: first index -> object count.
    ahead: BTreeMap<u64, u64>,
    acknowledged: u64,
    failures: Vec<ObjectFailure>,
    broken: Option<Error>,
}

impl BatchWriter {
    pub(crate) fn new(collection: Collection, options: BatchOptions) -> BatchWriter {
        BatchWriter {
            collection,
            options,
            open: Vec::new(),
            open_bytes: 0,
            added: 0,
            on_the_way: JoinSet::new(),
            ahead: BTreeMap::new(),
            acknowledged: 0,
            failures: Vec::new(),
            broken: None,
        }
    }

    /// Takes one object, sends a batch if one is full, and waits while too many are on the way.
    ///
    /// # Errors
    /// The error of an earlier batch, which [`BatchWriter::broken`] then gives, too; or else [`Error::Invalid`] because this
    /// object cannot be sent: the writer goes on without it, and its index is free again.
    pub async fn add(&mut self, object: &Object) -> Result<()> {
        self.check()?;
        let message = self.collection.to_proto(object)?;
        let bytes = message.encoded_len();
        if !self.open.is_empty() && self.open_bytes + bytes > self.options.bytes_max {
            self.send().await?;
        }
        self.open.push(message);
        self.open_bytes += bytes;
        self.added += 1;
        if self.open.len() >= self.options.objects_max {
            self.send().await?;
        }
        Ok(())
    }

    /// Objects that were taken so far.
    pub fn added(&self) -> u64 {
        self.added
    }

    /// Objects, counted from the first, that the server has answered for, without a gap.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// The error of the batch that failed as a whole, if one did.
    pub fn broken(&self) -> Option<&Error> {
        self.broken.as_ref()
    }

    /// The refused objects that became known since the last call.
    pub fn take_failures(&mut self) -> Vec<ObjectFailure> {
        std::mem::take(&mut self.failures)
    }

    /// Sends what is open and waits until everything is answered.
    pub async fn flush(&mut self) -> Result<()> {
        self.check()?;
        if !self.open.is_empty() {
            self.send().await?;
        }
        while !self.on_the_way.is_empty() {
            self.settle_one().await?;
        }
        Ok(())
    }

    /// Flushes and reports; failures taken before are not reported again.
    pub async fn finish(mut self) -> Result<BatchReport> {
        self.flush().await?;
        self.failures.sort_by_key(|failure| failure.index);
        Ok(BatchReport { objects: self.added, failures: self.failures })
    }

    async fn send(&mut self) -> Result<()> {
        while self.on_the_way.len() >= self.options.in_flight_max.max(1) {
            self.settle_one().await?;
        }
        let objects = std::mem::take(&mut self.open);
        self.open_bytes = 0;
        let count = objects.len() as u64;
        let first = self.added - count;
        let collection = self.collection.clone();
        self.on_the_way.spawn(async move { (first, count, collection.send_batch(objects, first).await) });
        Ok(())
    }

    fn check(&self) -> Result<()> {
        self.broken.clone().map_or(Ok(()), Err)
    }

    /// Waits for one answer. After an error the other batches on the way are still waited for, so that what they stored
    /// is known; their errors say nothing new.
    async fn settle_one(&mut self) -> Result<()> {
        while let Some(settled) = self.on_the_way.join_next().await {
            let settled = settled.map_err(|error| Error::Protocol(format!("a batch ended early: {error}")));
            match settled.and_then(|(first, count, answer)| Ok((first, count, answer?))) {
                Ok((first, count, failures)) => {
                    self.failures.extend(failures);
                    self.ahead.insert(first, count);
                }
                Err(error) => {
                    self.broken.get_or_insert(error);
                }
            }
            if self.broken.is_none() {
                break;
            }
        }
        while let Some(count) = self.ahead.remove(&self.acknowledged) {
            self.acknowledged += count;
        }
        self.check()
    }
}
