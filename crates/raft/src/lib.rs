//! Replication of engine commands: what a client was told is done survives.
//!
//! A [`Node`] owns a data directory and the groups in it. Commands go to [`Group::propose`], which batches them into
//! entries of a Raft log; an entry is acknowledged once it is on disk and applied to the engine's state, from which
//! reads are answered. With one voter per group nothing is waited for but the disk.
//!
//! Read in this order: [`node`] (start and stop), [`group`] (what the server calls), [`proposer`] (batches), [`level`] (rolling
//! upgrades),
//! [`raftlog`] (what survives), [`consensus`] (the only module that sees openraft), [`supervisor`] (when to end),
//! [`background`] (threads for the engine's own work).
//! The promises are in `docs/guarantees.md`, the formats in `docs/formats.md`.
//!
//! Invariants: every write goes through a log; an acknowledged entry is in the log or its effect is durable; nothing is
//! read before an entry written after the start is applied; a node whose disk failed says nothing any more.
#![warn(missing_docs)]

mod background;
mod barrier;
#[cfg(test)]
mod cluster;
#[cfg(test)]
mod cluster_tests;
mod consensus;
#[cfg(test)]
mod crash_tests;
mod disk;
mod error;
mod failure;
mod folder;
#[cfg(test)]
mod fuzz;
mod group;
#[cfg(test)]
mod group_tests;
mod identity;
mod level;
mod metrics;
mod node;
#[cfg(test)]
mod node_tests;
mod options;
mod progress;
mod proposer;
mod raftlog;
mod recovery;
mod reserve;
#[cfg(test)]
#[path = "../testing/sample.rs"]
mod sample;
mod seal;
mod state;
mod supervisor;

pub use consensus::{ReceivedSnapshot, SnapshotReader, SnapshotReceiver};
pub use disk::DiskUse;
pub use error::{FatalError, ProposeError, ReadError, SnapshotError, StartError};
pub use group::Group;
pub use identity::{FORMAT_VERSION, Identity};
pub use level::ReportedLevels;
pub use metrics::{
    COMMANDS_BOUNDS, FlushSnapshot, GroupMetrics, Histogram, LogMetrics, SnapshotMetrics, TIME_BOUNDS_US,
};
pub use node::Node;
pub use options::{FlushLimits, NodeOptions, ProposerLimits, RaftTimings};
pub use progress::{Phase, Progress, Replay};
pub use raftlog::Vote;
