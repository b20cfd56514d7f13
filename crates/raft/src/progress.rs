//! How far the start of a node is.

use azimuth_engine::ids::GroupId;

/// A phase of the start, in this order. Its text is for people: see [`Phase::text`].
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

impl Phase {
    /// The current work, in words.
    pub fn text(self) -> &'static str {
        match self {
            Self::Identity => "reading the identity",
            Self::Log => "checking the log",
            Self::State(_) => "opening the state",
            Self::Replay(_) => "applying the log",
            Self::Gate => "writing the first entry",
            Self::Ready => "bringing the schema up to date",
            Self::Stopping => "stopping",
        }
    }
}

/// How far the start of a node is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// What it is doing.
    pub phase: Phase,
    /// Entries of the log that had to be applied again, over all groups known so far.
    pub replay_entries: u64,
    /// How far each group is, in the order in which they are opened.
    pub replays: Vec<Replay>,
}

/// How far a group is with applying the entries of its log that its state lacked at the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replay {
    /// The group.
    pub group: GroupId,
    /// The last entry applied; 0 before the first.
    pub applied_index: u64,
    /// The last entry of the log at the start.
    pub last_index: u64,
}
