//! Groups: where replicated state lies on a node, and how entries of the log change it.
//!
//! A group is one Raft group with one RocksDB. [`DataGroup`] holds objects, [`MetaGroup`](crate::meta::MetaGroup)
//! the schema; both are a [`StateMachine`]. Every call is synchronous and may come from any thread.
//!
//! **One entry, one atomic write**: what a log entry changes, the record that stops it from being applied twice and
//! its position in the log go into one RocksDB batch, with the write-ahead log off and atomic flush on. After a crash
//! a group is at the state of one of its positions, [`StateMachine::applied`] says which, and the log brings the rest.
//!
//! Read next: `store` (the RocksDB of a group), `apply` (commands), `shard` (state in memory), `work` (background).

mod apply;
mod contain;
mod cost;
mod data;
mod departed;
mod doc_index;
mod draft;
mod due;
mod generation;
mod hash;
mod install;
mod ledger;
mod memory;
mod metrics;
mod near;
mod options;
mod read;
mod rebuilds;
mod records;
mod rows;
mod search;
mod shard;
mod snapshot;
mod store;
mod transaction;
mod unreadable;
mod vectors;
mod work;

#[cfg(test)]
mod contained_tests;

use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use data::DataGroup;
pub use generation::Generations;
pub use metrics::{GroupMetrics, ShardStatus, VectorStatus};
pub use options::{GroupOptions, OpenReport, StorageBudget};
pub use work::{WorkBudget, WorkReport};

pub(crate) use contain::{Attempt, Contained, contained};
pub(crate) use hash::Hasher;
pub(crate) use install::inspect;
pub(crate) use ledger::{Ledger, load_applied};
pub(crate) use read::{read_id, readable};
pub(crate) use records::ProposerRecord;
pub(crate) use shard::ShardView;
pub(crate) use store::{Changes, Cursor, Family, Store};

use crate::Result;
use crate::command::{Command, Outcome};

/// Place of an entry in a group's log. Grows with every entry of one log.
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
    /// Where in the log it stands.
    pub position: LogPosition,
    /// What it says.
    pub body: EntryBody,
}

/// What an entry of the log says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum EntryBody {
    /// Nothing; a new leader writes one.
    Blank,
    /// The group's members, encoded by whoever replicates. The engine keeps the newest and never looks inside.
    Membership(#[serde(with = "serde_bytes")] Vec<u8>),
    /// Commands.
    Batch(Batch),
}

/// Commands that are applied together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Batch {
    /// Who proposed it: unique per run of a process.
    pub proposer: u64,
    /// Number of the batch, growing, from 1, per proposer. A batch whose number is not above the newest one applied of its
    /// proposer answers [`Outcome::Repeated`] for each command and changes nothing.
    pub sequence: u64,
    /// In this order; later ones see what earlier ones did.
    pub commands: Vec<Command>,
}

/// How far a group is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Applied {
    /// The last entry that was applied.
    pub position: Option<LogPosition>,
    /// The newest membership entry and where it stands.
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
    /// A crash before the return leaves the old or the new state, never a mix. Readers of `self` finish on it; what it
    /// holds on the disk is removed when it is dropped. `self` must not apply, work or save afterwards: background work
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
