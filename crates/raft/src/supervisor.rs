//! Watches over a node: opens the gate after the start, sees that state gets durable in time, that replicas live, that
//! the disk has room, and says when the process must end.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use azimuth_engine::group::{DataGroup, StateMachine};
use azimuth_engine::meta::MetaGroup;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::disk::{self, DiskUse};
use crate::error::FatalError;
use crate::group::Group;
use crate::node::pass_gate;
use crate::options::{FlushLimits, NodeOptions};
use crate::progress::Phase;
use crate::raftlog::RaftLog;

/// How often the disk is looked at.
const DISK_INTERVAL: Duration = Duration::from_secs(2);

/// A leader with followers that has not heard of a quorum for this many election timeouts is cut off.
const QUORUM_TIMEOUTS: u32 = 2;

/// The watch over a node.
pub(crate) struct Supervisor {
    fatal: watch::Sender<Option<FatalError>>,
    gates: [watch::Receiver<bool>; 2],
    disk: watch::Receiver<DiskUse>,
    tasks: Vec<AbortHandle>,
}

impl Supervisor {
    /// Starts the watch. `gates` are opened when the groups may be read.
    pub(crate) fn start(
        options: &NodeOptions,
        log: &Arc<RaftLog>,
        disk: watch::Sender<DiskUse>,
        gates: [watch::Sender<bool>; 2],
        meta: &Arc<Group<MetaGroup>>,
        data: &Arc<Group<DataGroup>>,
    ) -> Self {
        let fatal = watch::channel(None).0;
        let mut supervisor = Self {
            fatal,
            gates: [gates[0].subscribe(), gates[1].subscribe()],
            disk: disk.subscribe(),
            tasks: Vec::new(),
        };
        let [meta_gate, data_gate] = gates;
        supervisor.watch_group(options, meta, meta_gate);
        supervisor.watch_group(options, data, data_gate);
        supervisor.spawn(watch_log(log.failure(), supervisor.fatal.clone()));
        supervisor.spawn(watch_disk(options.clone(), disk));
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
        self.gates.iter().all(|gate| *gate.borrow()) && self.fatal.borrow().is_none()
    }

    /// Resolves when the process must end.
    pub(crate) async fn fatal(&self) -> FatalError {
        let mut fatal = self.fatal.subscribe();
        let found = match fatal.wait_for(Option::is_some).await {
            Ok(found) => found.clone(),
            Err(_) => None,
        };
        match found {
            Some(error) => error,
            None => std::future::pending().await,
        }
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
        group: &Arc<Group<S>>,
        gate: watch::Sender<bool>,
    ) {
        self.spawn(open_gate(group.clone(), gate, self.fatal.clone()));
        self.spawn(watch_core(group.clone(), self.fatal.clone()));
        self.spawn(keep_durable(group.clone(), options.flush));
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

/// Tells the first reason and keeps it.
fn die(fatal: &watch::Sender<Option<FatalError>>, reason: String) {
    fatal.send_if_modified(|found| {
        let first = found.is_none();
        if first {
            tracing::error!(reason, "the node must end");
            *found = Some(FatalError(reason));
        }
        first
    });
}

async fn open_gate<S: StateMachine>(
    group: Arc<Group<S>>,
    gate: watch::Sender<bool>,
    fatal: watch::Sender<Option<FatalError>>,
) {
    match pass_gate(group.core()).await {
        Ok(()) => {
            gate.send_replace(true);
            // The gate stays open as long as somebody can look at it.
            gate.closed().await;
        }
        Err(reason) => {
            die(&fatal, format!("group {}: no entry could be written after the start: {reason}", group.id()));
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

async fn watch_core<S: StateMachine>(group: Arc<Group<S>>, fatal: watch::Sender<Option<FatalError>>) {
    let health = group.core().wait_for(|_| false).await;
    die(&fatal, format!("group {}: {}", group.id(), health.died.unwrap_or_default()));
}

async fn watch_log(mut failure: watch::Receiver<Option<String>>, fatal: watch::Sender<Option<FatalError>>) {
    if let Ok(text) = failure.wait_for(Option::is_some).await {
        die(&fatal, text.clone().unwrap_or_default());
    }
}

/// Asks for a snapshot when the log has grown, applying it took long or time has passed: it makes state durable and lets the
/// log be purged.
async fn keep_durable<S: StateMachine>(group: Arc<Group<S>>, limits: FlushLimits) {
    let mut last = Instant::now();
    let (mut at_last, mut applying_at_last) = (0, Duration::ZERO);
    loop {
        tokio::time::sleep(limits.check_interval).await;
        let grown = group.log().appended_bytes().saturating_sub(at_last);
        let health = group.core().health();
        let behind = health.snapshot < health.applied;
        let applying = group.core().apply_time();
        let costly = applying.saturating_sub(applying_at_last) >= limits.apply_time_max;
        let due = grown >= limits.log_bytes_max || costly || last.elapsed() >= limits.interval;
        if !behind || !due {
            continue;
        }
        tracing::debug!(group = %group.id(), log_bytes = grown, ?applying, "making state durable");
        let appended = group.log().appended_bytes();
        let before = health.snapshot;
        if group.core().snapshot().await.is_err() {
            // The core is dead, which `watch_core` reports.
            return;
        }
        group.core().wait_for(|health| health.snapshot > before).await;
        last = Instant::now();
        (at_last, applying_at_last) = (appended, applying);
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
        tokio::time::sleep(DISK_INTERVAL).await;
        let path = options.data_path.clone();
        let Ok(Some(used)) = tokio::task::spawn_blocking(move || disk::used_percent(&path)).await else { continue };
        let before = *disk.borrow();
        let now = before.read(used);
        if now.refuses() != before.refuses() {
            tracing::warn!(used_percent = used, refuses_writes = now.refuses(), "disk");
        }
        disk.send_replace(now);
    }
}
