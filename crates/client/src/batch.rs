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
/// When a call fails, what [`BatchWriter::acknowledged`] counts is stored (or listed as refused), and batches after it
/// may be: send everything from there again.
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
        }
    }

    /// Takes one object, sends a batch if one is full, and waits while too many are on the way.
    ///
    /// # Errors
    /// [`Error::Invalid`] if this object cannot be sent; the writer goes on without it, and its index is free again.
    /// Any other error is that of an earlier batch.
    pub async fn add(&mut self, object: &Object) -> Result<()> {
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

    /// Objects, counted from the first, that the server has answered for, without a gap.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// The refused objects that became known since the last call.
    pub fn take_failures(&mut self) -> Vec<ObjectFailure> {
        std::mem::take(&mut self.failures)
    }

    /// Sends what is open and waits until everything is answered.
    pub async fn flush(&mut self) -> Result<()> {
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

    async fn settle_one(&mut self) -> Result<()> {
        let Some(settled) = self.on_the_way.join_next().await else { return Ok(()) };
        let (first, count, answer) =
            settled.map_err(|error| Error::Protocol(format!("a batch ended early: {error}")))?;
        self.failures.extend(answer?);
        self.ahead.insert(first, count);
        while let Some(count) = self.ahead.remove(&self.acknowledged) {
            self.acknowledged += count;
        }
        Ok(())
    }
}
