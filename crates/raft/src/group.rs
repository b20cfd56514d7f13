//! A group on this node: its state to read from, and the way to change it.

use std::sync::Arc;

use azimuth_engine::command::{Command, Outcome};
use azimuth_engine::ids::GroupId;
use azimuth_engine::level::FeatureLevel;
use azimuth_engine::replica::StateMachine;
use tokio::sync::watch;

use crate::barrier::ReadBarrier;
use crate::consensus::{Core, ReceivedSnapshot, SnapshotReader, SnapshotReceiver, SnapshotStore};
use crate::disk::DiskUse;
use crate::error::{ProposeError, ReadError, SnapshotError};
use crate::level::{self, ReportedLevels};
use crate::metrics::GroupMetrics;
use crate::options::ProposerLimits;
use crate::proposer::{Proposer, new_proposer_id};
use crate::raftlog::{GroupLog, Vote};
use crate::state::StateCell;

/// Where a group lies on this node.
pub(crate) struct GroupStorage<S> {
    pub(crate) state: Arc<StateCell<S>>,
    pub(crate) log: GroupLog,
    pub(crate) snapshots: Arc<SnapshotStore>,
}

/// A group on this node.
pub struct Group<S> {
    id: GroupId,
    state: Arc<StateCell<S>>,
    snapshots: Arc<SnapshotStore>,
    core: Arc<Core>,
    log: GroupLog,
    proposer: Proposer,
    barrier: ReadBarrier,
}

impl<S: StateMachine> Group<S> {
    pub(crate) fn new(
        storage: GroupStorage<S>,
        core: Arc<Core>,
        limits: ProposerLimits,
        gate: watch::Receiver<bool>,
        disk: watch::Receiver<DiskUse>,
    ) -> Self {
        let GroupStorage { state, log, snapshots } = storage;
        let proposer = Proposer::start(core.clone(), new_proposer_id(), limits, disk);
        let barrier = ReadBarrier::start(core.clone(), gate);
        Self { id: log.group(), state, snapshots, core, log, proposer, barrier }
    }

    /// Its number.
    pub fn id(&self) -> GroupId {
        self.id
    }

    /// Its state, to read from. What a finished [`Group::propose`] changed is in it. A snapshot that another node sends
    /// puts a new state in its place, so a caller takes the state anew for each read and does not keep it for longer.
    pub fn state(&self) -> Arc<S> {
        self.state.get()
    }

    pub(crate) fn state_cell(&self) -> &Arc<StateCell<S>> {
        &self.state
    }

    /// The newest snapshot, to be sent to another node; `None` if there is none yet. It stays on the disk as long as the
    /// reader lives. Hashes the files that no reader has read before.
    ///
    /// # Errors
    /// [`SnapshotError::Storage`]
    pub async fn snapshot(&self) -> Result<Option<SnapshotReader>, SnapshotError> {
        let Some(files) = self.snapshots.current() else { return Ok(None) };
        let read = tokio::task::spawn_blocking(move || SnapshotReader::new(files));
        read.await.map_err(|panic| SnapshotError::Storage(panic.to_string()))?.map(Some)
    }

    /// Begins to receive a snapshot that another node of the group sends. Makes a directory.
    ///
    /// # Errors
    /// [`SnapshotError::Refused`] when the manifest is not valid, or not of this group, or the disk has no room.
    pub fn receive(&self, manifest: &[u8]) -> Result<SnapshotReceiver, SnapshotError> {
        self.snapshots.receive(manifest)
    }

    /// Replaces the state by a snapshot that was received from `leader`, if it is newer than what is committed here.
    /// Readers of the old state finish on it. A crash on the way leaves the old or the new state. Returns this node's
    /// vote: a leader whose vote is less leads no more, and nothing happened.
    ///
    /// # Errors
    /// [`SnapshotError::Refused`] when the state cannot be opened or is not what its manifest says; nothing has changed.
    pub async fn install(&self, leader: Vote, snapshot: ReceivedSnapshot) -> Result<Vote, SnapshotError> {
        let state = self.state();
        let check = tokio::task::spawn_blocking(move || snapshot.check(state.as_ref()).map(|()| snapshot));
        let snapshot = check.await.map_err(|panic| SnapshotError::Storage(panic.to_string()))??;
        self.core.install(leader, snapshot.files()).await
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
        level::check(&commands, || self.state().level())?;
        self.proposer.propose(commands).await
    }

    /// Returns once everything that was acknowledged before the call, on any node, can be read from
    /// [`Group::state`]. Calls that wait together share the cost.
    pub async fn read_barrier(&self) -> Result<(), ReadError> {
        self.barrier.pass().await
    }

    /// Raises the feature level of the group to the highest level that all of its members support, as far as `reported` has
    /// the levels of all of them. Returns the level of the group afterwards.
    ///
    /// # Errors
    /// As [`Group::propose`].
    pub async fn raise_level(&self, reported: &ReportedLevels) -> Result<FeatureLevel, ProposeError> {
        if let Some(raise) = self.raising_command(reported) {
            self.propose(vec![raise]).await?;
        }
        Ok(self.state().level())
    }

    /// The command that raises the level as far as the members of the group allow; `None` if the group stays as it is.
    pub(crate) fn raising_command(&self, reported: &ReportedLevels) -> Option<Command> {
        let members = self.core.members();
        let level = FeatureLevel::common(members.iter().map(|member| reported.get(member).copied()))?;
        (level > self.state().level()).then_some(Command::RaiseLevel(level))
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

    /// Its metrics.
    pub fn metrics(&self) -> GroupMetrics {
        let (health, state) = (self.core.health(), self.state());
        let counts = self.proposer.metrics();
        let ordering = std::sync::atomic::Ordering::Relaxed;
        GroupMetrics {
            term: health.term,
            leader: health.leader,
            level: state.level(),
            queue_bytes: self.proposer.queued_bytes(),
            queue_bytes_max: self.proposer.queue_bytes_max(),
            entry_commands: counts.entry_commands.snapshot(),
            entry_us: counts.entry_us.snapshot(),
            overloaded: counts.overloaded.load(ordering),
            unknown: counts.unknown.load(ordering),
            last_index: self.log.bounds().last.map(|last| last.index),
            committed_index: self.log.committed().ok().flatten().map(|committed| committed.index),
            applied_index: state.applied().ok().and_then(|applied| applied.position).map(|at| at.index),
            durable_index: state.durable().map(|durable| durable.index),
            purged_index: self.log.bounds().purged.map(|purged| purged.index),
            apply_us: self.core.metrics().apply_us.snapshot(),
            snapshots: self.core.metrics().snapshot_metrics(self.snapshot_bytes()),
            quorum_ack_age_ms: health.quorum_ack_age_ms,
        }
    }

    /// Bytes of the current snapshot.
    fn snapshot_bytes(&self) -> u64 {
        self.snapshots.current().and_then(|files| files.manifest().bytes()).unwrap_or_default()
    }
}
