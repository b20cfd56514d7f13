//! The log of all groups of a node, in one RocksDB with its write-ahead log on.
//!
//! What it promises:
//! - what [`GroupLog`] said is written survives kill -9 and power loss, in the order in which it was asked for;
//! - one thread, the [`flusher`], writes: requests of all groups share one write and one fsync;
//! - damage is an error, at open or at read, and never the end of the log. Only the torn end of what nobody was told
//!   is written is cut; the [`tail`] file tells the one from the other;
//! - after a failed write nothing is written any more: the disk's state is unknown, the process must end.
//!
//! It knows neither openraft nor what entries say. Read next: [`record`] (format), [`database`] (options, families),
//! [`group_log`] (what a group sees), `docs/formats.md`.

mod database;
mod flusher;
mod group_log;
mod key;
mod record;
mod tail;

use std::path::Path;
use std::sync::Arc;

use azimuth_engine::ids::GroupId;
use azimuth_engine::storage::check_database_files;
use uuid::Uuid;

use database::Database;
use flusher::Flusher;
pub(crate) use group_log::GroupLog;
pub use record::Vote;
pub(crate) use record::{Kind, Record};
#[cfg(test)]
pub(crate) use record::{decode_position, encode_position};

use crate::metrics::FlushMetrics;
use crate::seal::seal;

/// Why the log does not do what it was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum LogError {
    /// What is stored fails its checks.
    #[error("raft log is damaged: {0}")]
    Damaged(String),
    /// The disk refused, now or earlier; what was asked for may or may not be stored.
    #[error("raft log cannot be written: {0}")]
    Storage(String),
    /// The request breaks a rule of the log; nothing was changed.
    #[error("raft log was misused: {0}")]
    Misuse(String),
    /// The log is closed.
    #[error("raft log is closed")]
    Closed,
}

impl From<rocksdb::Error> for LogError {
    fn from(error: rocksdb::Error) -> Self {
        match error.kind() {
            rocksdb::ErrorKind::Corruption => Self::Damaged(error.into_string()),
            _ => Self::Storage(error.into_string()),
        }
    }
}

impl From<azimuth_engine::Error> for LogError {
    fn from(error: azimuth_engine::Error) -> Self {
        match error {
            azimuth_engine::Error::Damaged(what) => Self::Damaged(what),
            other => Self::Storage(other.to_string()),
        }
    }
}

/// Result of a call on the log.
pub(crate) type Result<T> = std::result::Result<T, LogError>;

/// The open log of a node.
pub(crate) struct RaftLog {
    database: Arc<Database>,
    flusher: Arc<Flusher>,
}

impl RaftLog {
    /// Opens or creates the log in `dir` and starts its flusher thread.
    ///
    /// A new log records `store`; one that is there must have been recorded for it.
    ///
    /// # Errors
    /// [`LogError::Damaged`] when anything that was acknowledged is missing or fails a check. Nothing is repaired.
    pub(crate) fn open(dir: &Path, store: Uuid) -> Result<Self> {
        std::fs::create_dir_all(dir).map_err(|error| LogError::Storage(error.to_string()))?;
        check_database_files(dir)?;
        let tail = dir.join(tail::FILE_NAME);
        // The tail file is written after the database was made, and before anything is acknowledged.
        let database = Arc::new(Database::open(dir, !tail.exists())?);
        let tail = tail::Tail::open(&tail, database.sequence())?;
        let flusher = Arc::new(Flusher::start(database.clone(), tail)?);
        let log = Self { database, flusher };
        log.check_store(store)?;
        Ok(log)
    }

    /// Bytes of disk that opening the log in `dir` may take at most: RocksDB writes the content of its write-ahead logs
    /// into tables, and takes space ahead for a new write-ahead log.
    pub(crate) fn open_bytes_max(dir: &Path) -> u64 {
        let files = std::fs::read_dir(dir).into_iter().flatten().flatten();
        let logs = files.filter(|file| file.path().extension().is_some_and(|extension| extension == "log"));
        let replayed: u64 = logs.filter_map(|file| Some(file.metadata().ok()?.len())).sum();
        replayed.saturating_add(database::preallocated_bytes(dir))
    }

    /// The log of one group, checked from its first entry to its last.
    pub(crate) fn group(&self, group: GroupId) -> Result<GroupLog> {
        GroupLog::open(group, self.database.clone(), self.flusher.clone())
    }

    /// Lets the next sync fail, as a disk would.
    #[cfg(test)]
    pub(crate) fn fail_next_sync(&self) {
        self.flusher.fail_next_sync();
    }

    /// What the first failed write said, if there was one.
    pub(crate) fn failure(&self) -> tokio::sync::watch::Receiver<Option<String>> {
        self.flusher.failure()
    }

    /// Writes the waiting requests, ends the flusher thread and closes the database. Later requests fail. If it
    /// `flushes`, the next open need not read the write-ahead log.
    pub(crate) fn close(&self, flushes: bool) -> Result<()> {
        self.flusher.close()?;
        if flushes { self.database.flush_memory() } else { Ok(()) }
    }

    fn check_store(&self, store: Uuid) -> Result<()> {
        match self.database.meta(&key::store())? {
            None if self.database.sequence() == 0 && self.database.is_empty()? => {
                self.flusher.submit(flusher::Change::put_meta(key::store(), seal(store.as_bytes()))).wait()
            }
            None => Err(LogError::Damaged("it does not say which store it belongs to".into())),
            Some(bytes) => {
                let found = record::unseal(&bytes, "store id")?;
                if found == store.as_bytes() {
                    return Ok(());
                }
                let found = Uuid::from_slice(found).map_or_else(|_| "an unreadable id".into(), |id| id.to_string());
                Err(LogError::Damaged(format!("it belongs to store {found}, not to {store}")))
            }
        }
    }
}

#[cfg(test)]
mod tests;
