//! A group on this node: its state to read from, and the way to change it.

use std::sync::Arc;

use azimuth_engine::command::{Command, Outcome};
use azimuth_engine::ids::GroupId;
use azimuth_engine::replica::StateMachine;
use tokio::sync::watch;

use crate::barrier::ReadBarrier;
use crate::consensus::Core;
use crate::disk::DiskUse;
use crate::error::{ProposeError, ReadError};
use crate::metrics::GroupMetrics;
use crate::options::ProposerLimits;
use crate::proposer::{Proposer, new_proposer_id};
use crate::raftlog::GroupLog;

/// A group on this node.
pub struct Group<S> {
    id: GroupId,
    state: Arc<S>,
    core: Arc<Core>,
    log: GroupLog,
    proposer: Proposer,
    barrier: ReadBarrier,
}

impl<S: StateMachine> Group<S> {
    pub(crate) fn new(
        state: Arc<S>,
        core: Arc<Core>,
        log: GroupLog,
        limits: ProposerLimits,
        gate: watch::Receiver<bool>,
        disk: watch::Receiver<DiskUse>,
    ) -> Self {
        let proposer = Proposer::start(core.clone(), new_proposer_id(), limits, disk);
        let barrier = ReadBarrier::start(core.clone(), gate);
        Self { id: log.group(), state, core, log, proposer, barrier }
    }

    /// Its number.
    pub fn id(&self) -> GroupId {
        self.id
    }

    /// Its state, to read from. What a finished [`Group::propose`] changed is in it.
    pub fn state(&self) -> &Arc<S> {
        &self.state
    }

    /// Carries out commands, in order, and returns one outcome per command. When it returns, what happened survives
    /// kill -9 and power loss and is seen by every later read of [`Group::state`].
    ///
    /// Commands are cut into log entries by size: after a crash or [`ProposeError::Unknown`] a part from the front may
    /// have happened, in order, each command wholly or not at all. No command is carried out twice.
    ///
    /// # Errors
    /// [`ProposeError`]; all but `Unknown` say that nothing happened. Dropping the future leaves the fate unknown.
    pub async fn propose(&self, commands: Vec<Command>) -> Result<Vec<Outcome>, ProposeError> {
        self.proposer.propose(commands).await
    }

    /// Returns once everything that was acknowledged before the call, on any node, can be read from
    /// [`Group::state`]. Calls that wait together share the cost.
    pub async fn read_barrier(&self) -> Result<(), ReadError> {
        self.barrier.pass().await
    }

    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.core
    }

    pub(crate) fn log(&self) -> &GroupLog {
        &self.log
    }

    pub(crate) fn proposer(&self) -> &Proposer {
        &self.proposer
    }

    /// Figures now.
    pub fn metrics(&self) -> GroupMetrics {
        let health = self.core.health();
        let counts = self.proposer.metrics();
        let ordering = std::sync::atomic::Ordering::Relaxed;
        GroupMetrics {
            term: health.term,
            leader: health.leader,
            queue_bytes: self.proposer.queued_bytes(),
            queue_bytes_max: self.proposer.queue_bytes_max(),
            entry_commands: counts.entry_commands.snapshot(),
            entry_us: counts.entry_us.snapshot(),
            overloaded: counts.overloaded.load(ordering),
            unknown: counts.unknown.load(ordering),
            last_index: self.log.bounds().last.map(|last| last.index),
            committed_index: self.log.committed().ok().flatten().map(|committed| committed.index),
            applied_index: self.state.applied().ok().and_then(|applied| applied.position).map(|at| at.index),
            durable_index: self.state.durable().map(|durable| durable.index),
            purged_index: self.log.bounds().purged.map(|purged| purged.index),
            log_bytes: self.log.bytes(),
            quorum_ack_age_ms: health.quorum_ack_age_ms,
            flushes: self.log.flush_metrics(),
        }
    }
}
