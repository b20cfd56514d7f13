//! Errors of replication, named by what the caller must do.

use azimuth_engine::level::FeatureLevel;

/// Why a node does not start. The texts are for the person who operates it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StartError {
    /// Another process has the directory. Stop it first.
    #[error("the data directory {0} is in use by another process")]
    InUse(String),
    /// The directory is not ours, from a newer version, or parts of different nodes were mixed. Nothing was changed.
    #[error("{0}")]
    Refused(String),
    /// Stored data fails its checks. Nothing was repaired and nothing was cut.
    #[error("damaged data: {0}")]
    Damaged(String),
    /// The disk failed.
    #[error("storage: {0}")]
    Storage(String),
}

impl From<std::io::Error> for StartError {
    fn from(error: std::io::Error) -> Self {
        Self::Storage(error.to_string())
    }
}

impl From<azimuth_engine::Error> for StartError {
    fn from(error: azimuth_engine::Error) -> Self {
        match error {
            azimuth_engine::Error::Damaged(text) => Self::Damaged(text),
            azimuth_engine::Error::Storage(text) => Self::Storage(text),
            other => Self::Refused(other.to_string()),
        }
    }
}

impl From<crate::raftlog::LogError> for StartError {
    fn from(error: crate::raftlog::LogError) -> Self {
        match error {
            crate::raftlog::LogError::Damaged(_) => Self::Damaged(error.to_string()),
            other => Self::Storage(other.to_string()),
        }
    }
}

/// Why commands were not carried out, or what became of them is not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// The queue stayed full. Nothing happened; try later, with less at once.
    #[error("overloaded: {queued_bytes} bytes of writes are waiting already; try again later")]
    Overloaded {
        /// What was waiting.
        queued_bytes: u64,
    },
    /// There was no answer in time, or the node stopped on the way: some, all or none of the commands may have
    /// happened or may still happen.
    #[error("it is not known whether the write happened: {0}")]
    Unknown(String),
    /// This node does not lead the group. Nothing happened.
    #[error("this node does not lead the group")]
    NotLeader,
    /// The node is stopping. Nothing happened.
    #[error("the node is stopping")]
    Stopped,
    /// A command exceeds the limit. Nothing happened.
    #[error("a single write of {bytes} bytes exceeds the limit of {bytes_max}")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// A command needs a feature level that the group does not have yet: some member may run an older version. Nothing
    /// happened; it can be repeated once every node runs the newer version.
    #[error(
        "the write needs feature level {needed} and the group has level {reached}: the level is raised once every node of the \
         cluster runs a version that supports it"
    )]
    LevelTooLow {
        /// The level that the command needs.
        needed: FeatureLevel,
        /// The level of the group.
        reached: FeatureLevel,
    },
    /// The disk is too full to take writes; it takes them again by itself once there is room. Nothing happened.
    #[error("the disk is {used_percent} % full; writes are refused until it is below {used_percent_max} %")]
    DiskFull {
        /// Percent in use.
        used_percent: u8,
        /// The limit.
        used_percent_max: u8,
    },
}

/// Why a snapshot was not read, received or installed. The group goes on as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// It is not whole, not what its manifest says, or not for this group. It has to be sent again.
    #[error("the snapshot is refused: {0}")]
    Refused(String),
    /// The disk failed; the snapshot can be sent again.
    #[error("snapshot: {0}")]
    Storage(String),
    /// The node is stopping, or has to.
    #[error("the node is stopping: {0}")]
    Stopped(String),
}

impl From<std::io::Error> for SnapshotError {
    fn from(error: std::io::Error) -> Self {
        Self::Storage(error.to_string())
    }
}

/// Why a linearizable read cannot go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// This node does not lead the group, or a quorum does not answer it.
    #[error("this node does not lead the group")]
    NotLeader,
    /// It took too long to find out.
    #[error("no quorum confirmed the read in time")]
    Timeout,
    /// The node is stopping.
    #[error("the node is stopping")]
    Stopped,
}

/// Why a node must end: it can no longer keep its guarantees.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FatalError(pub String);
