//! A group's log as openraft wants to see it.
//!
//! A purge that belongs to an install waits for it in a task of its own, and the next change of the log waits for that
//! task: see [`Installation`].

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::ops::{Bound, Range, RangeBounds};
use std::sync::Arc;

use azimuth_engine::replica::LogPosition;
use openraft::storage::{LogFlushed, RaftLogStorage};
use openraft::{EntryPayload, LogId, LogState, RaftLogReader};
use tokio::task::JoinHandle;

use super::installation::{Installation, Step};
use super::membership;
use super::proposal::Proposal;
use super::types::{self, StorageError, TypeConfig};
use crate::raftlog::{GroupLog, Kind, LogError, Record};

type Entry = openraft::Entry<TypeConfig>;

/// Bytes of entries that one append to a follower carries at most: it must fit inside a heartbeat interval.
const REPLICATE_BYTES_MAX: usize = 1 << 20;

/// Bytes of proposals kept in memory between append and apply.
const RECENT_BYTES_MAX: usize = 16 << 20;

/// The position above which the log must not be purged; `None` when nothing may be.
pub(crate) type PurgeLimit = Arc<dyn Fn() -> Option<LogPosition> + Send + Sync>;

/// The writing side of a group's log. There is one per group.
pub(crate) struct LogStore {
    log: GroupLog,
    purge_limit: PurgeLimit,
    installation: Installation,
    /// The purge that waits for an install.
    waiting: Option<JoinHandle<Result<(), LogError>>>,
    recent: Recent,
}

impl LogStore {
    /// Gives openraft a log to write. Nothing above `purge_limit` will be purged.
    pub(crate) fn new(log: GroupLog, purge_limit: PurgeLimit, installation: Installation) -> Self {
        Self { log, purge_limit, installation, waiting: None, recent: Recent::default() }
    }

    /// Waits until the log is what openraft takes it for.
    async fn settled(&mut self) -> Result<(), LogError> {
        match self.waiting.take() {
            Some(purge) => purge.await.unwrap_or_else(|panic| Err(LogError::Storage(panic.to_string()))),
            None => Ok(()),
        }
    }

    async fn purge_to(&mut self, upto: LogPosition) -> Result<(), LogError> {
        self.settled().await?;
        self.recent.purge(upto.index);
        let limit = (self.purge_limit)();
        if Some(upto) <= limit {
            return self.log.purge(upto).await;
        }
        if !self.installation.covers(upto) {
            let text = format!("purge up to {upto:?}, but the state is durable only up to {limit:?}");
            return Err(LogError::Misuse(text));
        }
        let (log, installation) = (self.log.clone(), self.installation.clone());
        self.waiting = Some(tokio::spawn(async move {
            installation.wait(upto).await.map_err(LogError::Storage)?;
            log.purge(upto).await?;
            installation.at(Step::Purged);
            Ok(())
        }));
        Ok(())
    }
}

/// The reading side.
#[derive(Clone)]
pub(crate) struct LogReader {
    log: GroupLog,
}

/// Proposals that were appended and not yet read back for apply, so that apply need not read the log.
#[derive(Default)]
struct Recent {
    proposals: BTreeMap<u64, (LogPosition, Proposal)>,
    bytes: usize,
}

impl Recent {
    fn put(&mut self, position: LogPosition, proposal: Proposal) {
        self.bytes += proposal.payload().len();
        if let Some((_, replaced)) = self.proposals.insert(position.index, (position, proposal)) {
            self.bytes -= replaced.payload().len();
        }
        while self.bytes > RECENT_BYTES_MAX
            && let Some((_, (_, dropped))) = self.proposals.pop_first()
        {
            self.bytes -= dropped.payload().len();
        }
    }

    /// Takes the whole range out, if all of it is here.
    fn take(&mut self, range: Range<u64>) -> Option<Vec<Entry>> {
        if !range.clone().all(|index| self.proposals.contains_key(&index)) {
            return None;
        }
        let mut entries = Vec::new();
        for index in range {
            let (position, proposal) = self.proposals.remove(&index)?;
            self.bytes -= proposal.payload().len();
            entries.push(Entry { log_id: types::log_id(position), payload: EntryPayload::Normal(proposal) });
        }
        Some(entries)
    }

    fn clear(&mut self) {
        *self = Self::default();
    }

    /// Drops everything up to an index: a snapshot has it, so it is not applied any more.
    fn purge(&mut self, index: u64) {
        let Some(first) = index.checked_add(1) else { return self.clear() };
        let kept = self.proposals.split_off(&first);
        let dropped = std::mem::replace(&mut self.proposals, kept);
        self.bytes -= dropped.values().map(|(_, proposal)| proposal.payload().len()).sum::<usize>();
    }
}

impl RaftLogReader<TypeConfig> for LogReader {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + Send>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry>, StorageError> {
        read(&self.log, bounds(&range), usize::MAX)
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<Entry>, StorageError> {
        read(&self.log, start..end, REPLICATE_BYTES_MAX)
    }
}

impl RaftLogReader<TypeConfig> for LogStore {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + Send>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry>, StorageError> {
        let range = bounds(&range);
        if let Some(entries) = self.recent.take(range.clone()).filter(|entries| !entries.is_empty()) {
            return Ok(entries);
        }
        read(&self.log, range, usize::MAX)
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<Entry>, StorageError> {
        read(&self.log, start..end, REPLICATE_BYTES_MAX)
    }
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = LogReader;

    async fn get_log_state(&mut self) -> Result<LogState<TypeConfig>, StorageError> {
        let bounds = self.log.bounds();
        let (purged, last) = (bounds.purged.map(types::log_id), bounds.last.map(types::log_id));
        Ok(LogState { last_purged_log_id: purged, last_log_id: last })
    }

    async fn get_log_reader(&mut self) -> LogReader {
        LogReader { log: self.log.clone() }
    }

    async fn save_vote(&mut self, vote: &openraft::Vote<u64>) -> Result<(), StorageError> {
        self.log.save_vote(types::stored_vote(vote)).await.map_err(|error| types::log_failed(true, &error))
    }

    async fn read_vote(&mut self) -> Result<Option<openraft::Vote<u64>>, StorageError> {
        let vote = self.log.vote().map_err(|error| types::log_failed(false, &error))?;
        Ok(vote.map(types::openraft_vote))
    }

    async fn save_committed(&mut self, committed: Option<LogId<u64>>) -> Result<(), StorageError> {
        if let Some(committed) = committed {
            self.log.note_committed(types::position(&committed));
        }
        Ok(())
    }

    async fn read_committed(&mut self) -> Result<Option<LogId<u64>>, StorageError> {
        let committed = self.log.committed().map_err(|error| types::log_failed(false, &error))?;
        Ok(committed.map(types::log_id))
    }

    /// openraft 0.9 waits for the callback before it goes on, so nothing is lost by waiting here.
    async fn append<I>(&mut self, entries: I, callback: LogFlushed<TypeConfig>) -> Result<(), StorageError>
    where
        I: IntoIterator<Item = Entry> + Send,
        I::IntoIter: Send,
    {
        let entries: Vec<Entry> = entries.into_iter().collect();
        let records = entries.iter().map(record).collect::<Result<Vec<_>, _>>()?;
        let appended = match self.settled().await {
            Ok(()) => self.log.append(&records).await,
            failed => failed,
        };
        if appended.is_ok() {
            for entry in entries {
                if let EntryPayload::Normal(proposal) = entry.payload {
                    self.recent.put(types::position(&entry.log_id), proposal);
                }
            }
        }
        callback.log_io_completed(appended.as_ref().copied().map_err(|error| std::io::Error::other(error.clone())));
        appended.map_err(|error| types::log_failed(true, &error))
    }

    async fn truncate(&mut self, log_id: LogId<u64>) -> Result<(), StorageError> {
        self.recent.clear();
        self.settled().await.map_err(|error| types::log_failed(true, &error))?;
        self.log.truncate(log_id.index).await.map_err(|error| types::log_failed(true, &error))
    }

    async fn purge(&mut self, log_id: LogId<u64>) -> Result<(), StorageError> {
        self.purge_to(types::position(&log_id)).await.map_err(|error| types::log_failed(true, &error))
    }
}

fn bounds(range: &impl RangeBounds<u64>) -> Range<u64> {
    let start = match range.start_bound() {
        Bound::Included(start) => *start,
        Bound::Excluded(before) => before.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(last) => last.saturating_add(1),
        Bound::Excluded(end) => *end,
        Bound::Unbounded => u64::MAX,
    };
    start..end
}

fn read(log: &GroupLog, range: Range<u64>, bytes_max: usize) -> Result<Vec<Entry>, StorageError> {
    let records = log.read_limited(range, bytes_max).map_err(|error| types::log_failed(false, &error))?;
    records.into_iter().map(entry).collect()
}

fn record(entry: &Entry) -> Result<Record, StorageError> {
    let position = types::position(&entry.log_id);
    Ok(match &entry.payload {
        EntryPayload::Blank => Record { position, kind: Kind::Blank, payload: bytes::Bytes::new() },
        EntryPayload::Membership(members) => {
            Record { position, kind: Kind::Membership, payload: membership::encode(members)?.into() }
        }
        EntryPayload::Normal(proposal) => Record { position, kind: Kind::Batch, payload: proposal.payload().clone() },
    })
}

fn entry(record: Record) -> Result<Entry, StorageError> {
    let payload = match record.kind {
        Kind::Blank => EntryPayload::Blank,
        Kind::Membership => EntryPayload::Membership(membership::decode(&record.payload)?),
        Kind::Batch => EntryPayload::Normal(Proposal::of_payload(record.payload)),
    };
    Ok(Entry { log_id: types::log_id(record.position), payload })
}
