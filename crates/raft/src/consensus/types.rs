//! What openraft is told about us, and conversions at its border.

use std::io;
use std::sync::Arc;

use azimuth_engine::command::Outcome;
use azimuth_engine::replica::LogPosition;
use openraft::{CommittedLeaderId, LogId, StorageIOError};

use super::membership::Peer;
use super::proposal::Proposal;
use super::snapshot::SnapshotFiles;
use crate::raftlog::{LogError, Vote};

openraft::declare_raft_types!(
    /// Types of a group.
    pub(crate) TypeConfig:
        D = Proposal,
        R = Vec<Outcome>,
        NodeId = u64,
        Node = Peer,
        Entry = openraft::Entry<TypeConfig>,
        SnapshotData = SnapshotDir,
        AsyncRuntime = openraft::TokioRuntime,
);

pub(crate) type StorageError = openraft::StorageError<u64>;

/// A snapshot on this node: a directory that is never written to again; `None` before anything was received into it.
#[derive(Debug, Clone, Default)]
pub(crate) struct SnapshotDir(pub(crate) Option<Arc<SnapshotFiles>>);

pub(crate) fn position(id: &LogId<u64>) -> LogPosition {
    LogPosition { term: id.leader_id.term, node: id.leader_id.node_id, index: id.index }
}

pub(crate) fn log_id(position: LogPosition) -> LogId<u64> {
    LogId::new(CommittedLeaderId::new(position.term, position.node), position.index)
}

pub(crate) fn stored_vote(vote: &openraft::Vote<u64>) -> Vote {
    Vote { term: vote.leader_id.term, node: vote.leader_id.node_id, committed: vote.committed }
}

pub(crate) fn openraft_vote(vote: Vote) -> openraft::Vote<u64> {
    match vote.committed {
        true => openraft::Vote::new_committed(vote.term, vote.node),
        false => openraft::Vote::new(vote.term, vote.node),
    }
}

/// What openraft gets for a failure of the log; it stops the core.
pub(crate) fn log_failed(writing: bool, error: &LogError) -> StorageError {
    let error = openraft::AnyError::new(&io::Error::other(error.to_string()));
    match writing {
        true => StorageIOError::write_logs(error).into(),
        false => StorageIOError::read_logs(error).into(),
    }
}

/// What openraft gets for a failure of the state machine; it stops the core.
pub(crate) fn state_failed(error: &(impl ToString + ?Sized)) -> StorageError {
    StorageIOError::write_state_machine(openraft::AnyError::new(&io::Error::other(error.to_string()))).into()
}
