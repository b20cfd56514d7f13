//! The log as one group sees it.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use azimuth_engine::ids::GroupId;
use azimuth_engine::replica::LogPosition;
use parking_lot::Mutex;

use super::database::Database;
use super::flusher::{Change, Flusher, Step};
use super::key::{self, Meta};
use super::record::{self, Record, Vote};
use super::{LogError, Result};
use crate::metrics::FlushSnapshot;

/// First and last entry of a log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// The last entry that was purged; the log begins behind it.
    pub(crate) purged: Option<LogPosition>,
    /// The last entry; the purged one if there is none behind it.
    pub(crate) last: Option<LogPosition>,
}

impl Bounds {
    /// Index of the first entry that is there, or will be.
    fn first_index(&self) -> u64 {
        self.purged.map_or(0, |purged| purged.index + 1)
    }

    /// Index behind the last entry.
    fn end_index(&self) -> u64 {
        self.last.map_or(0, |last| last.index + 1)
    }
}

/// The log of one group. Clones are the same log; only one of them may write.
#[derive(Clone)]
pub(crate) struct GroupLog {
    group: GroupId,
    database: Arc<Database>,
    flusher: Arc<Flusher>,
    bounds: Arc<Mutex<Bounds>>,
    /// The last entry of a snapshot whose install has begun.
    installing: Arc<Mutex<Option<LogPosition>>>,
    appended_bytes: Arc<AtomicU64>,
}

impl GroupLog {
    /// Reads every entry once, so that damage is found now and not when the entry is needed.
    pub(super) fn open(group: GroupId, database: Arc<Database>, flusher: Arc<Flusher>) -> Result<Self> {
        let purged = database.position(group, Meta::Purged)?;
        let mut bounds = Bounds { purged, last: purged };
        database.vote(group)?;
        let committed = database.position(group, Meta::Committed)?;
        let installing = database.position(group, Meta::Installing)?;
        let mut stored_bytes = 0;
        database.scan(group, bounds.first_index(), |record| {
            if record.position.index != bounds.end_index() || bounds.last > Some(record.position) {
                let text = format!("group {group}: entry {:?} comes after {:?}", record.position, bounds.last);
                return Err(LogError::Damaged(text));
            }
            bounds.last = Some(record.position);
            stored_bytes += record.encoded_bytes() as u64;
            Ok(true)
        })?;
        if committed > bounds.last {
            let text = format!("group {group}: {committed:?} is committed, but the log ends at {:?}", bounds.last);
            return Err(LogError::Damaged(text));
        }
        Ok(Self {
            group,
            database,
            flusher,
            bounds: Arc::new(Mutex::new(bounds)),
            installing: Arc::new(Mutex::new(installing)),
            appended_bytes: Arc::new(stored_bytes.into()),
        })
    }

    /// The group.
    pub(crate) fn group(&self) -> GroupId {
        self.group
    }

    /// What the log holds.
    pub(crate) fn bounds(&self) -> Bounds {
        *self.bounds.lock()
    }

    /// Figures of the flusher, which all groups share.
    pub(crate) fn flush_metrics(&self) -> FlushSnapshot {
        self.flusher.metrics().snapshot()
    }

    /// Bytes of the log of all groups, about.
    pub(crate) fn bytes(&self) -> u64 {
        self.database.log_bytes()
    }

    /// Adds entries behind the last one. They can be read and are durable when this returns. Purged entries that come
    /// again are part of the state already, and left out.
    ///
    /// # Errors
    /// [`LogError::Misuse`] when they do not follow the last entry and one another.
    pub(crate) async fn append(&self, records: &[Record]) -> Result<()> {
        let Bounds { mut last, purged } = self.bounds();
        let mut encoded = Vec::with_capacity(records.len());
        for record in records {
            if purged.is_some_and(|purged| record.position.index <= purged.index) {
                continue;
            }
            if last.is_some_and(|last| record.position.index != last.index + 1 || record.position < last) {
                let text = format!("group {}: append of {:?} after {last:?}", self.group, record.position);
                return Err(LogError::Misuse(text));
            }
            last = Some(record.position);
            encoded.push((record.position.index, record.encode(self.group)?));
        }
        self.flusher.submit(Change(vec![Step::Entries(self.group, encoded)])).durable().await?;
        let bytes = records.iter().map(|record| record.encoded_bytes() as u64).sum();
        self.appended_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.bounds.lock().last = last;
        Ok(())
    }

    /// Bytes of this group that the log held when it was opened and took in since. Only grows.
    pub(crate) fn appended_bytes(&self) -> u64 {
        self.appended_bytes.load(Ordering::Relaxed)
    }

    /// Removes the entries from `index` on.
    pub(crate) async fn truncate(&self, index: u64) -> Result<()> {
        let bounds = self.bounds();
        if index < bounds.first_index() {
            let text = format!("group {}: truncate from {index}, but {:?} is purged", self.group, bounds.purged);
            return Err(LogError::Misuse(text));
        }
        if index >= bounds.end_index() {
            return Ok(());
        }
        let mut last = bounds.purged;
        if index > bounds.first_index() {
            let before = self.read(index - 1..index)?;
            last = before.first().map(|record| record.position).or(last);
        }
        let delete = Step::Delete { group: self.group, from: index, to: bounds.end_index() };
        self.flusher.submit(Change(vec![delete])).durable().await?;
        self.bounds.lock().last = last;
        Ok(())
    }

    /// Notes that the install of a snapshot begins, up to whose last entry the log will be purged. The note is durable
    /// when this returns, and ends with that purge.
    pub(crate) async fn begin_install(&self, position: LogPosition) -> Result<()> {
        let key = key::meta(self.group, Meta::Installing);
        self.flusher.submit(Change::put_meta(key, record::encode_position(position))).durable().await?;
        *self.installing.lock() = Some(position);
        Ok(())
    }

    /// The last entry of a snapshot whose install was begun, and up to which the log is not purged.
    pub(crate) fn installing(&self) -> Option<LogPosition> {
        *self.installing.lock()
    }

    /// Takes back the note of an install that did not happen.
    pub(crate) async fn abandon_install(&self) -> Result<()> {
        let delete = Step::DeleteMeta(key::meta(self.group, Meta::Installing));
        self.flusher.submit(Change(vec![delete])).durable().await?;
        *self.installing.lock() = None;
        Ok(())
    }

    /// Removes the entries up to `upto`; the note of it is written with the removal, which also ends the install of a
    /// snapshot up to there.
    pub(crate) async fn purge(&self, upto: LogPosition) -> Result<()> {
        let installed = self.installing().is_some_and(|position| position <= upto);
        if self.bounds().purged >= Some(upto) {
            return if installed { self.abandon_install().await } else { Ok(()) };
        }
        // From 0: dropping files can bring entries back that were purged earlier; nobody reads them.
        let delete = Step::Delete { group: self.group, from: 0, to: upto.index + 1 };
        let note = Step::Meta(key::meta(self.group, Meta::Purged), record::encode_position(upto));
        let end = installed.then(|| Step::DeleteMeta(key::meta(self.group, Meta::Installing)));
        self.flusher.submit(Change([note, delete].into_iter().chain(end).collect())).durable().await?;
        if installed {
            *self.installing.lock() = None;
        }
        {
            let mut bounds = self.bounds.lock();
            bounds.purged = Some(upto);
            bounds.last = bounds.last.filter(|last| last.index > upto.index).or(Some(upto));
        }
        let (database, group) = (self.database.clone(), self.group);
        let freed = tokio::task::spawn_blocking(move || database.drop_files(group, upto.index)).await;
        freed.map_err(|error| LogError::Storage(error.to_string()))?
    }

    /// The entries with indexes in `range`, as far as the log holds them.
    ///
    /// # Errors
    /// [`LogError::Damaged`] when one that the log must hold is missing or fails its check.
    pub(crate) fn read(&self, range: Range<u64>) -> Result<Vec<Record>> {
        self.read_limited(range, usize::MAX)
    }

    /// Like [`GroupLog::read`], but stops before the entry that would exceed `bytes_max`; gives at least one.
    pub(crate) fn read_limited(&self, range: Range<u64>, bytes_max: usize) -> Result<Vec<Record>> {
        let bounds = self.bounds();
        let range = range.start.max(bounds.first_index())..range.end.min(bounds.end_index());
        let mut records: Vec<Record> = Vec::new();
        let mut bytes = 0;
        let mut full = false;
        if range.is_empty() {
            return Ok(records);
        }
        self.database.scan(self.group, range.start, |record| {
            if record.position.index >= range.end {
                return Ok(false);
            }
            bytes += record.encoded_bytes();
            full = bytes > bytes_max && !records.is_empty();
            if full {
                return Ok(false);
            }
            let expected = records.last().map_or(record.position.index, |last| last.position.index + 1);
            if record.position.index != expected {
                return Err(self.missing(expected));
            }
            records.push(record);
            Ok(true)
        })?;
        match records.last() {
            Some(last) if full || last.position.index + 1 == range.end => Ok(records),
            Some(last) => Err(self.missing(last.position.index + 1)),
            None => Err(self.missing(range.start)),
        }
    }

    /// Stores a vote; it is durable when this returns, and so is everything that was asked for before.
    pub(crate) async fn save_vote(&self, vote: Vote) -> Result<()> {
        let key = key::meta(self.group, Meta::Vote);
        self.flusher.submit(Change::put_meta(key, vote.encode())).durable().await
    }

    /// The stored vote.
    pub(crate) fn vote(&self) -> Result<Option<Vote>> {
        self.database.vote(self.group)
    }

    /// Notes what is committed, with the next write. After a crash the note may be older.
    pub(crate) fn note_committed(&self, position: LogPosition) {
        self.flusher.ride_along(key::meta(self.group, Meta::Committed), record::encode_position(position));
    }

    /// The last note of what is committed.
    pub(crate) fn committed(&self) -> Result<Option<LogPosition>> {
        if let Some(noted) = self.flusher.rider(&key::meta(self.group, Meta::Committed)) {
            return record::decode_position(&noted, "committed position").map(Some);
        }
        self.database.position(self.group, Meta::Committed)
    }

    fn missing(&self, index: u64) -> LogError {
        LogError::Damaged(format!("entry {index} of group {} is missing", self.group))
    }
}
