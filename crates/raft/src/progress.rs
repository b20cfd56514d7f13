//! How far the start of a node is.

use azimuth_engine::ids::GroupId;

/// A phase of the start, in this order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Taking the directory and reading who the node is.
    #[default]
    Identity,
    /// Opening the log and checking every entry in it.
    Log,
    /// Opening the state of a group.
    State(GroupId),
    /// Applying what the log has and the state has not.
    Replay(GroupId),
    /// Waiting until an entry written after the start is applied on every group.
    Gate,
    /// Everything answers.
    Ready,
    /// The node was told to stop.
    Stopping,
}

/// How far the start of a node is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// What it is doing.
    pub phase: Phase,
    /// Entries of the log that had to be applied again, over all groups known so far.
    pub replay_entries: u64,
}
