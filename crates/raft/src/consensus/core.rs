//! A replica of a group: openraft with our storage under it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use azimuth_engine::command::Outcome;
use azimuth_engine::replica::{LogPosition, StateMachine};
use openraft::error::{CheckIsLeaderError, ClientWriteError, Fatal, RaftError};
use openraft::raft::ClientWriteResponse;
use openraft::{Config, Raft, RaftNetworkFactory, ServerState, SnapshotPolicy};
use tokio::sync::oneshot;
use uuid::Uuid;

use super::installation::Installation;
use super::log_store::LogStore;
use super::membership::Peer;
use super::proposal::Proposal;
use super::snapshot::{SnapshotFiles, SnapshotStore};
use super::state_machine::StateAdapter;
use super::types::{self, TypeConfig};
use crate::error::SnapshotError;
use crate::metrics::ReplicaMetrics;
use crate::options::RaftTimings;
use crate::raftlog::{GroupLog, Vote};
use crate::state::StateCell;

/// Appends in flight to a follower carry at most this many entries.
const REPLICATE_ENTRIES_MAX: u64 = 64;

/// What a replica is started with.
pub(crate) struct CoreOptions {
    /// This node.
    pub(crate) node: u64,
    /// Its data directory.
    pub(crate) store: Uuid,
    /// Of which cluster.
    pub(crate) cluster: Uuid,
    /// Clocks.
    pub(crate) timings: RaftTimings,
}

/// A running replica. Dropping it does not stop it; [`Core::shutdown`] does.
pub(crate) struct Core {
    raft: Raft<TypeConfig>,
    options: CoreOptions,
    installation: Installation,
    /// Held while a snapshot is installed.
    installing: Arc<tokio::sync::Mutex<()>>,
    metrics: Arc<ReplicaMetrics>,
}

/// Why a proposal was not taken, or what became of it is not known.
#[derive(Debug)]
pub(crate) enum SubmitRefused {
    /// Another node leads, or nobody: nothing happened.
    NotLeader,
    /// The core is dead or stopping: nothing happened.
    Stopped,
    /// The core ended on the way: it may or may not have happened.
    Lost(String),
}

/// Why reads cannot go on.
#[derive(Debug)]
pub(crate) enum ReadRefused {
    /// Another node leads, or a quorum does not answer.
    NotLeader,
    /// The core is dead or stopping.
    Stopped,
}

/// How a replica is.
#[derive(Debug, Clone)]
pub(crate) struct CoreHealth {
    /// Why it died; `None` while it lives.
    pub(crate) died: Option<String>,
    pub(crate) term: u64,
    pub(crate) leader: bool,
    pub(crate) applied: Option<LogPosition>,
    pub(crate) snapshot: Option<LogPosition>,
    pub(crate) purged: Option<LogPosition>,
    /// Milliseconds since a quorum answered a leader; `None` for others.
    pub(crate) quorum_ack_age_ms: Option<u64>,
}

/// A proposal on its way.
pub(crate) struct Submitted(oneshot::Receiver<Answer>);

type Answer = Result<ClientWriteResponse<TypeConfig>, ClientWriteError<u64, Peer>>;

impl Submitted {
    /// Waits until the proposal is applied, and gives the outcomes of its commands.
    pub(crate) async fn applied(self) -> Result<(LogPosition, Vec<Outcome>), SubmitRefused> {
        match self.0.await {
            Ok(Ok(response)) => Ok((types::position(&response.log_id), response.data)),
            Ok(Err(_)) => Err(SubmitRefused::NotLeader),
            Err(_) => Err(SubmitRefused::Lost("the node stopped before the write was answered".into())),
        }
    }
}

impl Core {
    /// Starts a replica: re-applies committed entries that the state lacks, then runs. An install that a crash
    /// interrupted must be settled before ([`recovery`](crate::recovery)).
    ///
    /// # Errors
    /// The text of the error of storage or openraft.
    pub(crate) async fn start<S: StateMachine>(
        options: CoreOptions,
        log: GroupLog,
        state: Arc<StateCell<S>>,
        snapshots: Arc<SnapshotStore>,
        network: impl RaftNetworkFactory<TypeConfig>,
    ) -> Result<Self, String> {
        let config = config(&options, log.group().0)?;
        let (limit, installation) = (state.clone(), Installation::new());
        let log_store = LogStore::new(log.clone(), Arc::new(move || limit.get().durable()), installation.clone());
        let metrics = Arc::new(ReplicaMetrics::default());
        let machine = StateAdapter::new(state, log, snapshots, installation.clone(), metrics.clone());
        let raft = Raft::new(options.node, config, network, log_store, machine).await;
        let raft = raft.map_err(|fatal| fatal.to_string())?;
        Ok(Self { raft, options, installation, installing: Arc::default(), metrics })
    }

    /// Makes this node the only voter of a group that has never had one, and its leader.
    pub(crate) async fn lead_alone(&self) -> Result<(), String> {
        if self.raft.is_initialized().await.map_err(|fatal| fatal.to_string())? {
            // A voter that is alone need not wait for an election timeout.
            return self.raft.trigger().elect().await.map_err(|fatal| fatal.to_string());
        }
        let peer = Peer { store: self.options.store, address: String::new() };
        let members = BTreeMap::from([(self.options.node, peer)]);
        // Elects, too.
        self.raft.initialize(members).await.map_err(|error| error.to_string())
    }

    /// Puts a proposal into the log, behind all that were submitted before.
    pub(crate) async fn submit(&self, proposal: Proposal) -> Result<Submitted, SubmitRefused> {
        let answer = self.raft.client_write_ff(proposal).await;
        answer.map(Submitted).map_err(|_| SubmitRefused::Stopped)
    }

    /// Waits until everything that was acknowledged before the call, by anybody, is applied here.
    pub(crate) async fn read_index(&self) -> Result<(), ReadRefused> {
        match self.raft.ensure_linearizable().await {
            Ok(_) => Ok(()),
            Err(RaftError::Fatal(_)) => Err(ReadRefused::Stopped),
            Err(RaftError::APIError(CheckIsLeaderError::ForwardToLeader(_)))
            | Err(RaftError::APIError(CheckIsLeaderError::QuorumNotEnough(_))) => Err(ReadRefused::NotLeader),
        }
    }

    /// How it is now.
    pub(crate) fn health(&self) -> CoreHealth {
        health(&self.raft.metrics().borrow())
    }

    /// This node.
    pub(crate) fn node(&self) -> u64 {
        self.options.node
    }

    /// Voters and learners of the group, as of the newest membership in the log.
    pub(crate) fn members(&self) -> BTreeSet<u64> {
        self.raft.metrics().borrow().membership_config.nodes().map(|(id, _)| *id).collect()
    }

    /// Time spent on applying entries since the start.
    pub(crate) fn apply_time(&self) -> Duration {
        self.metrics.apply_time()
    }

    /// The counts of the replica since its start.
    pub(crate) fn metrics(&self) -> &ReplicaMetrics {
        &self.metrics
    }

    /// Waits until `holds` says so of its health, or it died.
    pub(crate) async fn wait_for(&self, holds: impl Fn(&CoreHealth) -> bool) -> CoreHealth {
        let mut metrics = self.raft.metrics();
        loop {
            let health = health(&metrics.borrow_and_update());
            if health.died.is_some() || holds(&health) {
                return health;
            }
            if metrics.changed().await.is_err() {
                return CoreHealth { died: Some("the core ended".into()), ..health };
            }
        }
    }

    /// Asks for a snapshot, after which the log is purged up to it. Does not wait.
    pub(crate) async fn snapshot(&self) -> Result<(), String> {
        self.raft.trigger().snapshot().await.map_err(|fatal| fatal.to_string())
    }

    /// Replaces state and log by a snapshot that `leader` has sent, if it is newer. Returns the vote of this node
    /// afterwards: a leader whose vote is less leads no more, and nothing happened. Goes on when the caller does not wait.
    ///
    /// # Errors
    /// [`SnapshotError::Stopped`] when the core is dead or dies of it.
    pub(crate) async fn install(&self, leader: Vote, files: &Arc<SnapshotFiles>) -> Result<Vote, SnapshotError> {
        let refused = |error: &dyn ToString| SnapshotError::Refused(error.to_string());
        let snapshot = files.snapshot().map_err(|error| refused(&error))?;
        let position = files.manifest().position.ok_or_else(|| refused(&"it is empty"))?;
        let (raft, installation) = (self.raft.clone(), self.installation.clone());
        let alone = self.installing.clone().lock_owned().await;
        let install = tokio::spawn(async move {
            let _alone = alone;
            let _expected = installation.expect(position);
            raft.install_full_snapshot(types::openraft_vote(leader), snapshot).await
        });
        match install.await {
            Ok(Ok(response)) => Ok(types::stored_vote(&response.vote)),
            Ok(Err(fatal)) => Err(SnapshotError::Stopped(fatal.to_string())),
            Err(error) => Err(SnapshotError::Stopped(error.to_string())),
        }
    }

    /// openraft itself, for tests that connect replicas.
    #[cfg(test)]
    pub(super) fn raft(&self) -> &Raft<TypeConfig> {
        &self.raft
    }

    /// Calls `hook` at each step of the installs from now on.
    #[cfg(test)]
    pub(crate) fn on_install(&self, hook: impl FnMut(super::Step) + Send + 'static) {
        self.installation.on_step(hook);
    }

    /// Stops it. What is in the log and not applied stays in the log.
    pub(crate) async fn shutdown(&self) -> Result<(), String> {
        self.raft.shutdown().await.map_err(|error| error.to_string())
    }
}

fn config(options: &CoreOptions, group: u32) -> Result<Arc<Config>, String> {
    let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let config = Config {
        cluster_name: format!("{}/{group}", options.cluster),
        heartbeat_interval: millis(options.timings.heartbeat),
        election_timeout_min: millis(options.timings.election_min),
        election_timeout_max: millis(options.timings.election_max),
        max_payload_entries: REPLICATE_ENTRIES_MAX,
        snapshot_policy: SnapshotPolicy::Never,
        // With one voter nobody lags: what is in a snapshot need not stay in the log.
        max_in_snapshot_log_to_keep: 0,
        ..Config::default()
    };
    config.validate().map(Arc::new).map_err(|error| error.to_string())
}

fn health(metrics: &openraft::RaftMetrics<u64, Peer>) -> CoreHealth {
    CoreHealth {
        died: metrics.running_state.as_ref().err().map(|fatal| match fatal {
            Fatal::Stopped => "stopped".to_string(),
            other => other.to_string(),
        }),
        term: metrics.current_term,
        leader: metrics.state == ServerState::Leader,
        applied: metrics.last_applied.as_ref().map(types::position),
        snapshot: metrics.snapshot.as_ref().map(types::position),
        purged: metrics.purged.as_ref().map(types::position),
        quorum_ack_age_ms: metrics.millis_since_quorum_ack,
    }
}
