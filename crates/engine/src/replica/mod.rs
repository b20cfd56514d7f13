//! Replication as the state of a group sees it: positions and entries of the log, and the [`StateMachine`] that applies
//! them.
//!
//! A group is one Raft group with one RocksDB. [`DataGroup`](crate::data::DataGroup) holds objects,
//! [`MetaGroup`](crate::meta::MetaGroup) the schema; both are a [`StateMachine`]. Every call is synchronous and may come
//! from any thread.
//!
//! **One entry, one atomic write**: the changes of a log entry, the record that stops the entry from being applied twice
//! and the position of the entry go into one RocksDB batch, with the write-ahead log off and atomic flush on. After a
//! crash a group is at the state of one of its positions; [`StateMachine::applied`] returns it, and the log holds the
//! entries after it.
//!
//! Read in this order: `applied` (position, members and proposers), `contain` (commands that cannot be carried out), `log`
//! (apply, flush and checkpoint, the same for both kinds of groups), `install` (checkpoints of other replicas), `hash`.

mod applied;
mod contain;
mod hash;
mod install;
mod log;

use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub(crate) use applied::{AppliedState, Executor};
pub(crate) use contain::{Attempt, Contained};
pub(crate) use hash::StateHasher;
pub(crate) use install::{inspect, open_beside};
pub(crate) use log::AppliedLog;

use contain::contained;

use crate::Result;
use crate::command::{Command, Outcome};
use crate::level::FeatureLevel;

/// Position of an entry in a group's log. Grows with every entry of one log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LogPosition {
    /// Term of the leader that wrote the entry.
    pub term: u64,
    /// That leader.
    pub node: u64,
    /// Number of the entry.
    pub index: u64,
}

/// An entry of a group's log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Position in the log.
    pub position: LogPosition,
    /// Content.
    pub body: EntryBody,
}

/// Content of an entry of the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum EntryBody {
    /// Nothing; a new leader writes one.
    Blank,
    /// The group's members, encoded by the replication layer. The engine keeps the newest and does not decode them.
    Membership(#[serde(with = "serde_bytes")] Vec<u8>),
    /// Commands.
    Batch(Batch),
}

/// Commands that are applied together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Batch {
    /// Id of the proposer: unique per run of a process.
    pub proposer: u64,
    /// Number of the batch, growing, from 1, per proposer. A batch whose number is not above the newest one applied of its
    /// proposer answers [`Outcome::Repeated`] for each command and changes nothing.
    pub sequence: u64,
    /// Applied in this order; later commands see the changes of earlier ones.
    pub commands: Vec<Command>,
}

/// How far a group has applied its log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Applied {
    /// The last entry that was applied.
    pub position: Option<LogPosition>,
    /// The newest membership entry and its position.
    pub membership: Option<(LogPosition, Vec<u8>)>,
}

/// Replicated state that is changed by entries of a log and by nothing else.
///
/// To ensure correctness:
/// - entries are applied in log order, each once, from one thread at a time;
/// - the log keeps everything above [`StateMachine::durable`];
/// - an `Err` of any call here stops the node ([`Error::is_fatal`](crate::Error::is_fatal)).
pub trait StateMachine: Send + Sync + 'static {
    /// How far the state in memory is.
    fn applied(&self) -> Result<Applied>;

    /// The feature level as of the last applied entry. Opening, inspecting and installing a state whose level this program
    /// does not support fails with [`Error::NewerLevel`](crate::Error::NewerLevel), and so does applying an entry that
    /// raises the level that far.
    fn level(&self) -> FeatureLevel;

    /// The position that a crash now would fall back to, at worst. The log may be purged up to it, never above.
    fn durable(&self) -> Option<LogPosition>;

    /// Applies `entries` in one atomic write. Returns the outcomes of each entry's commands, in order; blank and
    /// membership entries have none. Not durable on return: after a crash the log is applied again. A command that
    /// cannot be carried out has an outcome with the reason; a panic goes on to the caller.
    fn apply(&self, entries: Vec<Entry>) -> Result<Vec<Vec<Outcome>>>;

    /// As [`StateMachine::apply`], and a command that panics is refused on its own: `again` reads the entry with that
    /// number among `entries` once more. When a command panics, the entries are written one by one. The default
    /// implementation contains no panic.
    fn apply_contained(
        &self,
        entries: Vec<Entry>,
        again: &dyn Fn(usize) -> Result<Entry>,
    ) -> Result<Vec<Vec<Outcome>>> {
        let _ = again;
        self.apply(entries)
    }

    /// Makes everything applied so far durable and returns the position.
    fn flush(&self) -> Result<Option<LogPosition>>;

    /// Writes a consistent copy of the group's RocksDB to `dir`, which must not exist (hard links where the file
    /// system allows). What is returned was read from the copy itself.
    fn checkpoint(&self, dir: &Path) -> Result<Applied>;

    /// How far the checkpoint in `dir` is, which may be of another replica of the group. Changes nothing.
    ///
    /// # Errors
    /// [`Error::Damaged`](crate::Error::Damaged) when this program cannot open it as a checkpoint of the group; the
    /// state itself is not affected.
    fn inspect(&self, dir: &Path) -> Result<Applied>;

    /// Makes the checkpoint in `dir`, which is at `position`, the state of the group, durably, and returns that state.
    /// The files in `dir` must be synced and on the same file system; they are not changed, and not needed afterwards.
    ///
    /// A crash before the return leaves the old or the new state, never a mix. Readers of `self` finish on it; its files
    /// are removed when it is dropped. `self` must not apply, work or save afterwards: background work
    /// on it does nothing. After an error `self` is still the state on the disk.
    fn install(&self, dir: &Path, position: LogPosition) -> Result<Arc<Self>>
    where
        Self: Sized;

    /// Returns the error that stopped the state's storage in the background, if there was one and no call has returned
    /// it yet. Costs nothing as long as there is none.
    fn check_storage(&self) -> Result<()> {
        Ok(())
    }

    /// Gives the disk space of removed data back to the disk, as far as that is possible beside reads and writes. May
    /// read and write all of the state.
    fn reclaim_space(&self) -> Result<()> {
        Ok(())
    }
}
