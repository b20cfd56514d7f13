//! A node: identity, log and groups, from start to stop.
//!
//! Start: take the directory and read who we are; open the log and check it; open the state of each group and hold it
//! against its log; start a replica of each, alone in its group; write an entry through each log (the *gate*). Stop:
//! take no more proposals, carry out what was taken, make the state durable, purge the log, close it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use azimuth_engine::data::{DataGroup, GroupOptions};
use azimuth_engine::ids::GroupId;
use azimuth_engine::level::FeatureLevel;
use azimuth_engine::maintain::IndexBudget;
use azimuth_engine::meta::MetaGroup;
use azimuth_engine::replica::StateMachine;
use tokio::sync::watch;

use crate::background::Background;
use crate::consensus::{Core, CoreOptions, EncodedCommand, NoPeers, Owner, Proposal, SnapshotStore};
use crate::disk::{DiskUse, Space};
use crate::error::{FatalError, StartError};
use crate::failure::Failure;
use crate::folder::Anchors;
use crate::group::{Group, GroupStorage};
use crate::identity::{DataDir, Identity};
use crate::metrics::LogMetrics;
use crate::options::NodeOptions;
use crate::progress::{Phase, Progress, Replay};
use crate::proposer::new_proposer_id;
use crate::raftlog::RaftLog;
use crate::recovery::recover;
use crate::reserve::Reserve;
use crate::state::StateCell;
use crate::supervisor::{Supervisor, Watched};

/// How often the progress of a replay is looked at.
const REPLAY_INTERVAL: Duration = Duration::from_millis(100);
/// The progress is logged once in so many looks.
const REPLAY_LOOKS_LOGGED: u64 = 50;

/// A running node.
pub struct Node {
    dir: DataDir,
    log: Arc<RaftLog>,
    meta: Arc<Group<MetaGroup>>,
    data: Arc<Group<DataGroup>>,
    supervisor: Supervisor,
    background: Arc<Background>,
    options: NodeOptions,
}

impl Node {
    /// Starts a node on its data directory. A new directory becomes a new node, alone in a new cluster; nothing else has
    /// to be configured and nobody is waited for.
    ///
    /// Returns when the groups are open and can be proposed to; [`Node::ready`] says when reads are right. Replay of a
    /// long log happens before it returns: follow `options.progress`. Needs a multi-threaded tokio runtime.
    ///
    /// # Errors
    /// [`StartError`]; nothing that was stored has been changed then.
    pub async fn start(options: NodeOptions) -> Result<Arc<Self>, StartError> {
        let data_path = options.data_path.clone();
        report(&options, |progress| progress.phase = Phase::Identity);
        let dir = blocking(move || DataDir::open(&data_path)).await?;
        let identity = dir.identity();
        tracing::info!(node_id = identity.node_id, store = %identity.store_uuid, cluster = %identity.cluster_id,
            created = dir.created(), "node identity");

        report(&options, |progress| progress.phase = Phase::Log);
        let log_dir = dir.log_dir();
        let disk = make_room(&options, &log_dir)?;
        let fresh = !log_dir.exists();
        if fresh && dir.group_dir(GroupId::META).join("GROUP").exists() {
            let text = format!("{} is missing, but there are groups", log_dir.display());
            return Err(StartError::Damaged(text));
        }
        let log = Arc::new(blocking(move || Ok(RaftLog::open(&log_dir, identity.store_uuid)?)).await?);

        let index_budget = IndexBudget::new(options.index_bytes_max, options.small_index_bytes_max);
        let opener = Opener { options: &options, dir: &dir, log: &log, disk: watch::channel(disk).0, index_budget };
        let opened = opener.open_groups().await;
        let disk = opener.disk;
        let (meta, data) = opened.inspect_err(|_| close_quietly(&log))?;
        let (failure, threads) = (Failure::new(), options.background_threads);
        let background =
            Arc::new(Background::start(data.group.state_cell(), threads, failure.clone(), disk.subscribe())?);
        report(&options, |progress| progress.phase = Phase::Gate);
        let watched = Watched {
            options: &options,
            log: &log,
            disk,
            anchors: Arc::new(anchors(&dir)?),
            gates: [meta.gate, data.gate],
            meta: &meta.group,
            data: &data.group,
        };
        let supervisor = Supervisor::start(watched, failure);
        Ok(Arc::new(Self { dir, log, meta: meta.group, data: data.group, supervisor, background, options }))
    }

    /// Who it is.
    pub fn identity(&self) -> Identity {
        self.dir.identity()
    }

    /// How far it is. Subscribe to `options.progress` to see the phases before [`Node::start`] returns.
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.options.progress.subscribe()
    }

    /// The group that holds the schema.
    pub fn meta(&self) -> &Group<MetaGroup> {
        &self.meta
    }

    /// The group that holds objects.
    pub fn data(&self) -> &Group<DataGroup> {
        &self.data
    }

    /// Metrics of the log that all groups share.
    pub fn log_metrics(&self) -> LogMetrics {
        LogMetrics { bytes: self.meta.log().bytes(), flushes: self.meta.log().flush_metrics() }
    }

    /// The log of all groups.
    #[cfg(test)]
    pub(crate) fn log(&self) -> &RaftLog {
        &self.log
    }

    /// How full the disk is, and whether writes are refused because of it.
    pub fn disk(&self) -> DiskUse {
        self.supervisor.disk()
    }

    /// Resolves once every group has applied an entry that was written after the start: from then on reads see
    /// everything that was ever acknowledged. Never resolves on a node that died before.
    pub async fn ready(&self) {
        self.supervisor.ready().await;
    }

    /// Whether [`Node::ready`] would resolve at once, and the node has not died since.
    pub fn is_ready(&self) -> bool {
        self.supervisor.is_ready()
    }

    /// Resolves when the node can no longer keep its promises: a replica died or the disk failed. The process must then
    /// end with a non-zero code, without a clean stop; a new start finds out what is on the disk.
    pub async fn fatal(&self) -> FatalError {
        self.supervisor.fatal().await
    }

    /// Reports an error with which a read of the groups' state ended. An error that the node must not survive, such as
    /// damage or a disk that does not answer, makes the node unready at once and resolves [`Node::fatal`].
    pub fn report(&self, error: &azimuth_engine::Error) {
        self.supervisor.failure().report_if_fatal("read from storage", error);
    }

    /// Gives the node up after [`Node::fatal`] without closing anything. RocksDB writes its memory tables when it is
    /// closed, and if the data folder was replaced these writes would go to another folder than its manifest; the log
    /// holds all of the data.
    pub fn abandon(self: Arc<Self>) {
        std::mem::forget(self);
    }

    /// Stops cleanly: no more proposals, those that were taken are carried out, state is made durable, the log purged
    /// and closed. The next start replays nothing. Takes seconds at most; the node answers nothing afterwards.
    ///
    /// # Errors
    /// When something could not be made durable. Nothing acknowledged is lost by that: it is in the log.
    pub async fn shutdown(&self) -> Result<(), StartError> {
        report(&self.options, |progress| progress.phase = Phase::Stopping);
        self.supervisor.stop();
        self.meta.proposer().close();
        self.data.proposer().close();
        self.stop_background().await;
        let timeout = self.options.flush.shutdown_timeout;
        let flushes = self.has_room_to_flush();
        let (meta, data) = tokio::join!(settle(&self.meta, timeout, flushes), settle(&self.data, timeout, flushes));
        let log = self.log.clone();
        let closed = blocking(move || Ok(log.close(flushes)?)).await;
        meta.and(data).and(closed)
    }

    /// Whether the disk has room for the state that is in memory only. The log holds that state too.
    fn has_room_to_flush(&self) -> bool {
        let in_memory_bytes = self.data.log().bytes();
        let space = Space::of(&self.options.data_path);
        let room = space.is_none_or(|space| space.free_bytes > in_memory_bytes + space.removals_free_bytes_min());
        if !room {
            tracing::warn!("the disk has no room to make the state durable; the next start applies the log again");
        }
        room
    }

    /// Ends the background threads and saves the indexes that they have built.
    async fn stop_background(&self) {
        let (background, data) = (self.background.clone(), self.data.state());
        let full = self.disk().refuses();
        let saved = tokio::task::spawn_blocking(move || {
            background.stop();
            if full { Ok(()) } else { data.save_indexes() }
        });
        match saved.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "save vector indexes; they are rebuilt at the next start"),
            Err(error) => tracing::error!(%error, "end the background threads"),
        }
    }
}

/// Carries out the commands that a group has accepted, makes its state durable if it `flushes`, and stops its replica.
async fn settle<S: StateMachine>(group: &Group<S>, timeout: Duration, flushes: bool) -> Result<(), StartError> {
    let core = group.core();
    let settled = tokio::time::timeout(timeout, async {
        group.proposer().drained().await;
        let applied = core.health().applied;
        if flushes && core.health().snapshot < applied {
            core.snapshot().await?;
            core.wait_for(|health| health.purged >= applied).await;
        }
        Ok::<_, String>(())
    })
    .await;
    match settled {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(group = %group.id(), error, "no snapshot at the stop"),
        Err(_) => tracing::warn!(group = %group.id(), "the snapshot at the stop took too long; the log keeps the rest"),
    }
    core.shutdown().await.map_err(StartError::Storage)?;
    let state = group.state();
    if flushes {
        blocking(move || Ok(state.flush()?)).await?;
    }
    Ok(())
}

/// A group that was opened, and where its gate is reported.
struct Opened<S> {
    group: Arc<Group<S>>,
    gate: watch::Sender<bool>,
}

/// What groups are opened with.
struct Opener<'a> {
    options: &'a NodeOptions,
    dir: &'a DataDir,
    log: &'a Arc<RaftLog>,
    disk: watch::Sender<DiskUse>,
    /// Shared by the data groups.
    index_budget: IndexBudget,
}

impl Opener<'_> {
    async fn open_groups(&self) -> Result<(Opened<MetaGroup>, Opened<DataGroup>), StartError> {
        let meta = self
            .open(GroupId::META, |dir, options| Ok(MetaGroup::open(&dir, options.group, &options.storage)?.0))
            .await?;
        let data = self.open(GroupId::FIRST_DATA, |dir, options| Ok(DataGroup::open(&dir, options)?.0)).await;
        match data {
            Ok(data) => Ok((meta, data)),
            Err(error) => {
                // The error that stopped us is the one to tell.
                let _ = meta.group.core().shutdown().await;
                Err(error)
            }
        }
    }

    async fn open<S: StateMachine>(
        &self,
        id: GroupId,
        open: impl FnOnce(PathBuf, GroupOptions) -> Result<Arc<S>, StartError> + Send + 'static,
    ) -> Result<Opened<S>, StartError> {
        let raft_log = self.log.clone();
        let log = blocking(move || Ok(raft_log.group(id)?)).await?;
        let known = log.vote()?.is_some();
        let dir = self.dir.claim_group(id, known)?;

        report(self.options, |progress| progress.phase = Phase::State(id));
        let group_options = GroupOptions {
            group: id,
            storage: self.options.storage.clone(),
            index: self.options.index,
            index_budget: self.index_budget.clone(),
            ..GroupOptions::new(id)
        };
        let state_dir = dir.clone();
        let state = blocking(move || open(state_dir, group_options)).await?;
        let replay = recover(state.as_ref(), &log).await?;
        let identity = self.dir.identity();
        let owner = Owner { cluster: identity.cluster_id, store: identity.store_uuid, group: id };
        let snapshots = Arc::new(SnapshotStore::open(dir.join("snap"), owner)?);
        let storage = GroupStorage { state: Arc::new(StateCell::new(state)), log, snapshots };

        let last_index = storage.log.bounds().last.map_or(0, |last| last.index);
        report(self.options, |progress| {
            progress.phase = Phase::Replay(id);
            progress.replay_entries += replay;
            progress.replays.push(Replay { group: id, applied_index: last_index.saturating_sub(replay), last_index });
        });
        follow_replay(self.options, id, &storage.state, last_index);
        tracing::info!(group = %id, entries = replay, "applying what the log has and the state has not");
        let options = CoreOptions {
            node: identity.node_id,
            store: identity.store_uuid,
            cluster: identity.cluster_id,
            timings: self.options.timings,
        };
        let (state, log, snapshots) = (storage.state.clone(), storage.log.clone(), storage.snapshots.clone());
        let core = Core::start(options, log, state, snapshots, NoPeers).await.map_err(StartError::Storage)?;
        core.lead_alone().await.map_err(StartError::Storage)?;
        let gate = watch::channel(false).0;
        let (limits, disk) = (self.options.proposer, self.disk.subscribe());
        let group = Group::new(storage, Arc::new(core), limits, gate.subscribe(), disk);
        Ok(Opened { group: Arc::new(group), gate })
    }
}

/// Writes an entry through the log of a group and waits until it is applied. The entry raises the feature level of a group
/// that has no other members; otherwise it is empty.
pub(crate) async fn pass_gate<S: StateMachine>(group: &Group<S>) -> Result<(), String> {
    let core = group.core();
    core.wait_for(|health| health.leader).await;
    let raise = group.raising_command(&BTreeMap::from([(core.node(), FeatureLevel::SUPPORTED)]));
    let commands: Result<Vec<_>, _> = raise.iter().map(EncodedCommand::new).collect();
    let proposal = commands.and_then(|commands| Proposal::new(new_proposer_id(), 1, &commands));
    let submitted = core.submit(proposal.map_err(|error| error.to_string())?).await;
    let submitted = submitted.map_err(|error| format!("{error:?}"))?;
    submitted.applied().await.map(|_| ()).map_err(|error| format!("{error:?}"))
}

/// Makes sure that the disk has room for the writes of a start: releases the reserve on a full disk, and sets it aside
/// on any other. Returns how full the disk was before: RocksDB's files come and go while it is opened.
fn make_room(options: &NodeOptions, log_dir: &Path) -> Result<DiskUse, StartError> {
    let (reserve, disk) = (Reserve::new(&options.data_path), DiskUse::new(options.disk_used_percent_max));
    let Some(space) = reserve.space() else { return Ok(disk) };
    let disk = disk.read(space);
    let needed = RaftLog::open_bytes_max(log_dir).saturating_add(2 * space.removals_free_bytes_min());
    if space.free_bytes < needed && reserve.release(needed - space.free_bytes, space)? {
        tracing::warn!(free_bytes = space.free_bytes, needed_bytes = needed, "gave space of RESERVE back to the disk");
    }
    match reserve.space() {
        Some(space) if space.free_bytes < needed => {
            tracing::warn!(free_bytes = space.free_bytes, needed_bytes = needed, "the disk may be too full to start");
        }
        Some(space) => {
            reserve.keep(space, disk).unwrap_or_else(|error| tracing::warn!(%error, "set disk space aside"));
        }
        None => {}
    }
    Ok(disk)
}

/// The parts of the data folder that must stay the same files and directories while it is open.
fn anchors(dir: &DataDir) -> Result<Anchors, StartError> {
    let groups = [GroupId::META, GroupId::FIRST_DATA].map(|group| dir.group_dir(group));
    Ok(Anchors::new(dir.parts(), groups, &dir.log_dir())?)
}

/// Reports the progress of a group until it has applied its log as of the start.
fn follow_replay<S: StateMachine>(options: &NodeOptions, id: GroupId, state: &Arc<StateCell<S>>, last_index: u64) {
    let options = options.clone();
    // Holds no reference that would delay a stop, and ends when the state is dropped.
    let state = Arc::downgrade(state);
    tokio::spawn(async move {
        for looks in 1_u64.. {
            let applied = state.upgrade().and_then(|state| state.get().applied().ok());
            let Some(applied) = applied else { return };
            let applied_index = applied.position.map_or(0, |position| position.index);
            report(&options, |progress| {
                let replays = progress.replays.iter_mut();
                replays.filter(|replay| replay.group == id).for_each(|replay| replay.applied_index = applied_index);
            });
            if applied_index >= last_index {
                return;
            }
            if looks % REPLAY_LOOKS_LOGGED == 0 {
                tracing::info!(group = %id, applied_index, last_index, "still applying what the log has");
            }
            tokio::time::sleep(REPLAY_INTERVAL).await;
        }
    });
}

fn report(options: &NodeOptions, change: impl FnOnce(&mut Progress)) {
    options.progress.send_modify(change);
}

fn close_quietly(log: &RaftLog) {
    // The error that stopped the start is the one to tell.
    let _ = log.close(false);
}

/// Runs `work` on a thread that may block.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StartError> + Send + 'static,
) -> Result<T, StartError> {
    tokio::task::spawn_blocking(work).await.map_err(|panic| StartError::Storage(panic.to_string()))?
}
