//! Watches over a node: opens the gate after the start, sees that state gets durable in time, that replicas live, that
//! the disk has room, and says when the process must end.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use azimuth_engine::data::DataGroup;
use azimuth_engine::meta::MetaGroup;
use azimuth_engine::replica::StateMachine;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::disk::{DiskUse, Space};
use crate::error::FatalError;
use crate::failure::Failure;
use crate::folder::Anchors;
use crate::group::Group;
use crate::node::pass_gate;
use crate::options::{FlushLimits, NodeOptions};
use crate::progress::Phase;
use crate::raftlog::RaftLog;
use crate::reserve::Reserve;

/// How often the disk is looked at.
const DISK_INTERVAL: Duration = Duration::from_secs(2);
/// The same while less than this is free, because that much can be written between two checks.
const SCARCE_INTERVAL: Duration = Duration::from_millis(200);
const SCARCE_BYTES: u64 = 1 << 30;

/// How often the data folder and the state of the groups' storage are looked at.
const STORAGE_INTERVAL: Duration = Duration::from_secs(1);

/// Part of a small disk that the log since the last flush may take: making the state durable must be possible when the
/// disk is so full that writes are refused, or with the space of the reserve.
const LOG_DISK_SHARE: u64 = 32;

/// Bytes that making state durable writes beside the state.
const DURABLE_BYTES: u64 = 1 << 20;

/// A leader with followers that has not heard of a quorum for this many election timeouts is cut off.
const QUORUM_TIMEOUTS: u32 = 2;

/// On a full disk, space is reclaimed this long after the first removal at the earliest, and this many times after the
/// last one: background work removes data later than the command.
const RECLAIM_INTERVAL: Duration = Duration::from_secs(5);
const RECLAIM_REPEATS: u32 = 3;
/// Part of the time that reclaiming space may take.
const RECLAIM_SHARE: u32 = 4;

/// The watch over a node.
pub(crate) struct Supervisor {
    failure: Failure,
    gates: [watch::Receiver<bool>; 2],
    disk: watch::Receiver<DiskUse>,
    tasks: Vec<AbortHandle>,
}

/// The parts of a node that the supervisor watches.
pub(crate) struct Watched<'a> {
    pub(crate) options: &'a NodeOptions,
    pub(crate) log: &'a Arc<RaftLog>,
    pub(crate) disk: watch::Sender<DiskUse>,
    pub(crate) anchors: Arc<Anchors>,
    /// They are opened when the groups may be read.
    pub(crate) gates: [watch::Sender<bool>; 2],
    pub(crate) meta: &'a Arc<Group<MetaGroup>>,
    pub(crate) data: &'a Arc<Group<DataGroup>>,
}

impl Supervisor {
    /// Starts the watch.
    pub(crate) fn start(watched: Watched<'_>, failure: Failure) -> Self {
        let Watched { options, log, disk, anchors, gates, meta, data } = watched;
        let mut supervisor = Self {
            failure,
            gates: [gates[0].subscribe(), gates[1].subscribe()],
            disk: disk.subscribe(),
            tasks: Vec::new(),
        };
        let [meta_gate, data_gate] = gates;
        let reserve = Reserve::new(&options.data_path);
        let anchored = Anchored { anchors, reserve, failure: supervisor.failure.clone() };
        supervisor.watch_group(options, &anchored, meta, meta_gate);
        supervisor.watch_group(options, &anchored, data, data_gate);
        supervisor.spawn(watch_log(log.failure(), supervisor.failure.clone()));
        supervisor.spawn(watch_disk(options.clone(), disk));
        supervisor.spawn(watch_folder(anchored));
        supervisor.spawn(announce(supervisor.gates.clone(), options.clone()));
        supervisor
    }

    /// Resolves when all gates are open.
    pub(crate) async fn ready(&self) {
        for mut gate in self.gates.clone() {
            if gate.wait_for(|open| *open).await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Whether all gates are open and nothing died.
    pub(crate) fn is_ready(&self) -> bool {
        self.gates.iter().all(|gate| *gate.borrow()) && !self.failure.happened()
    }

    /// Resolves when the process must end.
    pub(crate) async fn fatal(&self) -> FatalError {
        self.failure.wait().await
    }

    /// The receiver of reasons why the process must end.
    pub(crate) fn failure(&self) -> &Failure {
        &self.failure
    }

    pub(crate) fn disk(&self) -> DiskUse {
        *self.disk.borrow()
    }

    /// Ends the watch, so that a replica that is stopped on purpose is not taken for one that died.
    pub(crate) fn stop(&self) {
        for task in &self.tasks {
            task.abort();
        }
    }

    fn watch_group<S: StateMachine>(
        &mut self,
        options: &NodeOptions,
        anchored: &Anchored,
        group: &Arc<Group<S>>,
        gate: watch::Sender<bool>,
    ) {
        self.spawn(open_gate(group.clone(), gate, self.failure.clone()));
        self.spawn(watch_core(group.clone(), self.failure.clone()));
        self.spawn(watch_storage(group.clone(), self.disk.clone(), self.failure.clone()));
        let disk_bytes = Space::of(&options.data_path).map_or(u64::MAX, |space| space.total_bytes);
        let log_bytes_max = options.flush.log_bytes_max.min(disk_bytes / LOG_DISK_SHARE);
        let limits = FlushLimits { log_bytes_max, ..options.flush };
        self.spawn(keep_durable(group.clone(), limits, self.disk.clone(), anchored.clone()));
        self.spawn(watch_quorum(group.clone(), options.timings.election_max * QUORUM_TIMEOUTS));
    }

    fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.push(tokio::spawn(task).abort_handle());
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.stop();
    }
}

async fn open_gate<S: StateMachine>(group: Arc<Group<S>>, gate: watch::Sender<bool>, failure: Failure) {
    match pass_gate(&group).await {
        Ok(()) => {
            gate.send_replace(true);
            // The gate stays open as long as somebody can look at it.
            gate.closed().await;
        }
        Err(reason) => {
            failure.report(format!("group {}: no entry could be written after the start: {reason}", group.id()));
        }
    }
}

async fn announce(gates: [watch::Receiver<bool>; 2], options: NodeOptions) {
    for mut gate in gates {
        if gate.wait_for(|open| *open).await.is_err() {
            return;
        }
    }
    options.progress.send_modify(|progress| progress.phase = Phase::Ready);
    tracing::info!("ready");
}

async fn watch_core<S: StateMachine>(group: Arc<Group<S>>, failure: Failure) {
    let health = group.core().wait_for(|_| false).await;
    failure.report(format!("group {}: {}", group.id(), health.died.unwrap_or_default()));
}

async fn watch_log(mut log: watch::Receiver<Option<String>>, failure: Failure) {
    if let Ok(text) = log.wait_for(Option::is_some).await {
        failure.report(text.clone().unwrap_or_default());
    }
}

/// Asks for a snapshot when the log has grown, applying it took long or time has passed: it makes state durable and lets the
/// log be purged.
///
/// When the disk gets full a snapshot is taken at once, while the disk has room; later the space of removed data is
/// given back to the disk.
async fn keep_durable<S: StateMachine>(
    group: Arc<Group<S>>,
    limits: FlushLimits,
    disk: watch::Receiver<DiskUse>,
    anchored: Anchored,
) {
    let mut last = Instant::now();
    let (mut at_last, mut applying_at_last) = (0, Duration::ZERO);
    let (mut reclaim, mut was_full) = (Reclaim::new(), false);
    loop {
        tokio::time::sleep(limits.check_interval).await;
        let grown = group.log().appended_bytes().saturating_sub(at_last);
        let health = group.core().health();
        if anchored.failure.happened() {
            return;
        }
        let full = disk.borrow().refuses();
        was_full &= full;
        let reclaims = full && reclaim.is_due(health.applied.map(|at| at.index));
        let behind = health.snapshot < health.applied;
        let applying = group.core().apply_time();
        let costly = applying.saturating_sub(applying_at_last) >= limits.apply_time_max;
        let got_full = full && !was_full;
        let due = got_full || grown >= limits.log_bytes_max || costly || last.elapsed() >= limits.interval;
        let flushes = reclaims || (behind && due);
        if !flushes {
            continue;
        }
        // The log written since the last snapshot is about as large as the state that is in memory only.
        if full && !anchored.has_room(grown + DURABLE_BYTES).await {
            continue;
        }
        // A snapshot creates files by their paths.
        if !anchored.check().await {
            return;
        }
        if reclaims {
            reclaim.run(&group).await;
        }
        tracing::debug!(group = %group.id(), log_bytes = grown, ?applying, "making state durable");
        // On a full disk the flush may fail. Within a snapshot a failure would end the replica, which must not happen
        // here.
        if full && !flushed(&group).await {
            continue;
        }
        let appended = group.log().appended_bytes();
        let before = health.snapshot;
        if group.core().snapshot().await.is_err() {
            // The core is dead, which `watch_core` reports.
            return;
        }
        if behind {
            group.core().wait_for(|health| health.snapshot > before).await;
        }
        (last, was_full) = (Instant::now(), full);
        (at_last, applying_at_last) = (appended, applying);
    }
}

/// Makes state durable outside of a snapshot. Returns whether that worked; if not, RocksDB tries again by itself.
async fn flushed<S: StateMachine>(group: &Arc<Group<S>>) -> bool {
    let state = group.state();
    match tokio::task::spawn_blocking(move || state.flush()).await {
        Ok(Ok(_)) => true,
        Ok(Err(error)) => {
            tracing::warn!(group = %group.id(), %error, "make state durable on a full disk");
            false
        }
        Err(error) => {
            tracing::error!(group = %group.id(), %error, "make state durable on a full disk");
            false
        }
    }
}

/// When space of removed data is reclaimed on a full disk.
struct Reclaim {
    applied: Option<u64>,
    repeats: u32,
    not_before: Instant,
}

impl Reclaim {
    fn new() -> Self {
        Self { applied: None, repeats: 0, not_before: Instant::now() }
    }

    /// Only removals are applied while the disk is full, so every entry may have left something to reclaim.
    fn is_due(&mut self, applied: Option<u64>) -> bool {
        let now = Instant::now();
        if self.applied != applied {
            if self.repeats == 0 {
                self.not_before = self.not_before.max(now + RECLAIM_INTERVAL);
            }
            (self.applied, self.repeats) = (applied, RECLAIM_REPEATS);
        }
        self.repeats > 0 && now >= self.not_before
    }

    async fn run<S: StateMachine>(&mut self, group: &Arc<Group<S>>) {
        let (state, began) = (group.state(), Instant::now());
        match tokio::task::spawn_blocking(move || state.reclaim_space()).await {
            Ok(Ok(())) => tracing::info!(group = %group.id(), seconds = began.elapsed().as_secs(), "reclaimed space"),
            // `watch_storage` or the snapshot finds a failure of the storage.
            Ok(Err(error)) => tracing::warn!(group = %group.id(), %error, "reclaim space of removed data"),
            Err(error) => tracing::error!(group = %group.id(), %error, "reclaim space of removed data"),
        }
        self.repeats -= 1;
        self.not_before = Instant::now() + RECLAIM_INTERVAL.max(began.elapsed() * RECLAIM_SHARE);
    }
}

/// Looks for failures that RocksDB met in the background and that no call has returned yet.
async fn watch_storage<S: StateMachine>(group: Arc<Group<S>>, disk: watch::Receiver<DiskUse>, failure: Failure) {
    let mut found = String::new();
    loop {
        tokio::time::sleep(STORAGE_INTERVAL).await;
        let state = group.state();
        let Ok(Err(error)) = tokio::task::spawn_blocking(move || state.check_storage()).await else { continue };
        // RocksDB goes on by itself once there is room.
        if !disk.borrow().refuses() {
            let doing = format!("group {}: background work of RocksDB", group.id());
            if failure.report_if_fatal(&doing, &error) {
                return;
            }
        }
        let text = error.to_string();
        if found != text {
            tracing::warn!(group = %group.id(), %error, "background work of RocksDB");
            found = text;
        }
    }
}

/// Ends the node when its folder, or a part of it, was removed or replaced.
async fn watch_folder(anchored: Anchored) {
    while anchored.check().await {
        tokio::time::sleep(STORAGE_INTERVAL).await;
    }
}

/// The data folder as it was opened, and the receiver of the report that it was removed or replaced.
#[derive(Clone)]
struct Anchored {
    anchors: Arc<Anchors>,
    reserve: Reserve,
    failure: Failure,
}

impl Anchored {
    /// Whether the disk has room for so many bytes, if need be after a part of the reserve is released.
    async fn has_room(&self, bytes: u64) -> bool {
        let reserve = self.reserve.clone();
        let look = move || {
            let space = reserve.space()?;
            if space.free_bytes < bytes && reserve.release(bytes - space.free_bytes, space).ok()? {
                tracing::warn!(bytes, "gave space of RESERVE back to the disk, so that state can be made durable");
            }
            reserve.space()
        };
        let space = tokio::task::spawn_blocking(look).await.ok().flatten();
        space.is_none_or(|space| space.free_bytes >= bytes)
    }

    /// Whether the folder is still the one that was opened; if not, the node must end.
    async fn check(&self) -> bool {
        let anchors = self.anchors.clone();
        match tokio::task::spawn_blocking(move || anchors.check()).await {
            Ok(Err(reason)) => {
                self.failure.report(format!("the data folder: {reason}"));
                false
            }
            _ => true,
        }
    }
}

/// Warns of a leader that its followers do not hear. Alone in its group a leader always hears itself.
async fn watch_quorum<S: StateMachine>(group: Arc<Group<S>>, age_max: Duration) {
    let mut cut_off = false;
    loop {
        tokio::time::sleep(age_max / 2).await;
        let age = group.core().health().quorum_ack_age_ms.map(Duration::from_millis);
        let now_cut_off = age.is_some_and(|age| age > age_max);
        if now_cut_off != cut_off {
            cut_off = now_cut_off;
            tracing::warn!(group = %group.id(), ?age, cut_off, "quorum of the group");
        }
    }
}

async fn watch_disk(options: NodeOptions, disk: watch::Sender<DiskUse>) {
    loop {
        let (path, before) = (options.data_path.clone(), *disk.borrow());
        let scarce = before.free_bytes < SCARCE_BYTES;
        tokio::time::sleep(if scarce { SCARCE_INTERVAL } else { DISK_INTERVAL }).await;
        let Ok(Some(now)) = tokio::task::spawn_blocking(move || look_at_disk(&path, before)).await else { continue };
        if now.refuses() != before.refuses() || now.refuses_removals() != before.refuses_removals() {
            tracing::warn!(
                used_percent = now.used_percent,
                refuses_writes = now.refuses(),
                refuses_removals = now.refuses_removals(),
                "disk"
            );
        }
        disk.send_replace(now);
    }
}

/// Reads how full the disk is; sets space aside while the disk has plenty, and gives it back when even removals have no
/// room.
fn look_at_disk(path: &std::path::Path, before: DiskUse) -> Option<DiskUse> {
    let reserve = Reserve::new(path);
    let space = reserve.space()?;
    let now = before.read(space);
    if !now.refuses_removals() {
        if let Err(error) = reserve.keep(space, now) {
            tracing::debug!(%error, "set disk space aside");
        }
        return Some(now);
    }
    match reserve.release(space.removals_free_bytes_min(), space) {
        Ok(true) => {
            tracing::warn!("gave space of RESERVE back to the disk, so that data can be removed");
            Some(now.read(reserve.space()?))
        }
        Ok(false) => Some(now),
        Err(error) => {
            tracing::warn!(%error, "give space of RESERVE back to the disk");
            Some(now)
        }
    }
}
