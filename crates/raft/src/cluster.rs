//! Replicas of a group in one process, for tests, over a [`FakeNetwork`].

use std::collections::BTreeMap;
use std::fs;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use azimuth_engine::command::{Command, NewShard, Outcome, PutMode};
use azimuth_engine::data::{DataGroup, GroupOptions};
use azimuth_engine::ids::{CollectionId, GroupId, ShardId, ShardKey, VectorId};
use azimuth_engine::level::FeatureLevel;
use azimuth_engine::meta::MetaGroup;
use azimuth_engine::object::{Object, Properties, Value, Vector};
use azimuth_engine::replica::{LogPosition, StateMachine};
use azimuth_engine::schema::{Shard, TenantStatus};
use azimuth_engine::storage::StorageBudget;
use tokio::sync::watch;
use uuid::Uuid;

use crate::ProposeError;
use crate::consensus::double::Double;
use crate::consensus::fake_network::{Endpoint, FakeNetwork, Faults, add_member};
use crate::consensus::{Core, CoreOptions, Owner, SnapshotStore};
use crate::disk::DiskUse;
use crate::group::{Group, GroupStorage};
use crate::group_tests::number;
use crate::node::blocking;
use crate::options::{ProposerLimits, RaftTimings};
use crate::raftlog::{GroupLog, RaftLog};
use crate::recovery::recover;
use crate::state::StateCell;

const CLUSTER: Uuid = Uuid::from_u128(77);
const GROUP: GroupId = GroupId(1);
const PATIENCE: Duration = Duration::from_secs(120);

/// A state machine that the tests can open and compare.
pub(crate) trait Replicated: StateMachine {
    fn open(dir: &Path) -> Arc<Self>;
    fn hash(&self) -> Vec<u8>;
    /// Commands that may be carried out twice; a later `round` changes what an earlier one did.
    fn commands(round: u32) -> Vec<Command>;
}

impl Replicated for Double {
    fn open(dir: &Path) -> Arc<Self> {
        Arc::new(Self::open(dir).unwrap())
    }

    fn hash(&self) -> Vec<u8> {
        format!("{:?}", self.kept()).into_bytes()
    }

    fn commands(round: u32) -> Vec<Command> {
        (round * 10..round * 10 + 10).map(number).collect()
    }
}

pub(crate) const AT: ShardKey = ShardKey { collection: CollectionId(1), shard: ShardId::FIRST };

pub(crate) fn object(n: u64, round: u32) -> Object {
    let vector = (0..8).map(|dim| ((n * 31 + dim * 7 + u64::from(round)) % 101) as f32 / 101.0).collect();
    Object {
        id: Uuid::from_u64_pair(n.wrapping_mul(0x9e37_79b9_7f4a_7c15), n),
        created_ms: 1,
        updated_ms: round.into(),
        properties: Properties::from([("text".to_owned(), Value::Text(format!("passage {n} of round {round}")))]),
        vectors: [(VectorId::UNNAMED, Vector::Single(vector))].into(),
    }
}

fn shard(n: u32) -> Shard {
    let (id, name, group) = (ShardId(n), format!("shard{n}"), GroupId::FIRST_DATA);
    Shard { id, name, group, status: TenantStatus::Hot, read_only: false, version: 1 }
}

impl Replicated for DataGroup {
    fn open(dir: &Path) -> Arc<Self> {
        let mut options = GroupOptions::new(GROUP);
        options.index.graph_cutoff = 16;
        options.compaction_changes_min = 50;
        options.segment_entries_min = 60;
        Self::open(dir, options).unwrap().0
    }

    fn hash(&self) -> Vec<u8> {
        self.state_hash().unwrap().to_vec()
    }

    fn commands(round: u32) -> Vec<Command> {
        let put = |n| Command::Put { at: AT, mode: PutMode::Upsert, object: Box::new(object(n, round)) };
        let schema = Command::PutCollection(Box::new(crate::sample::collection(1, "Passage")));
        let from = u64::from(round) * 15;
        let gone = (from..from + 5).map(|n| Command::Delete { at: AT, id: object(n, 0).id });
        // Two more shards, in the wrong order; the last one of the round before is dropped.
        let shards = [round * 2 + 2, round * 2 + 1].map(shard).to_vec();
        let shards = Command::PutShards { collection: AT.collection, shards };
        let dropped = Command::DropShard(AT.collection, ShardId(round * 2));
        let dropped = (round > 0).then_some(dropped);
        let shards = [schema, shards].into_iter().chain(dropped);
        shards.chain((from..from + 40).map(put)).chain(gone).collect()
    }
}

impl Replicated for MetaGroup {
    fn open(dir: &Path) -> Arc<Self> {
        Self::open(dir, GROUP, &StorageBudget::default()).unwrap().0
    }

    fn hash(&self) -> Vec<u8> {
        self.state_hash().unwrap().to_vec()
    }

    fn commands(round: u32) -> Vec<Command> {
        let create = |n| Command::CreateCollection(Box::new(crate::sample::collection(0, &format!("C{n}"))));
        let gone = Command::DeleteCollection(CollectionId(round * 3 + 1));
        let collection = CollectionId(round * 3 + 2);
        let shards = (0..4).map(|n| shard(round + n));
        let shards = shards.map(|Shard { name, group, status, .. }| NewShard { name, group, status }).collect();
        let shards = Command::CreateShards { collection, shards };
        let dropped = Command::DropShards { collection, names: vec![shard(round + 1).name] };
        (round * 5..round * 5 + 5).map(create).chain([gone, shards, dropped]).collect()
    }
}

/// A replica on its directory.
pub(crate) struct Replica<S> {
    pub(crate) dir: PathBuf,
    pub(crate) log: RaftLog,
    pub(crate) group: Arc<Group<S>>,
    /// Where the state was after the start.
    pub(crate) started_at: Option<LogPosition>,
    _gate: watch::Sender<bool>,
    _disk: watch::Sender<DiskUse>,
}

impl<S: Replicated> Replica<S> {
    pub(crate) async fn start(node: u64, dir: &Path, network: &Arc<FakeNetwork>) -> Self {
        let log_dir = dir.join("raftlog");
        let store = Uuid::from_u128(node.into());
        // Tasks of openraft let go of the log a moment after the replica has stopped.
        let open = async {
            loop {
                let log_dir = log_dir.clone();
                match blocking(move || Ok(RaftLog::open(&log_dir, store)?)).await {
                    Err(error) if error.to_string().contains("lock hold by current process") => {}
                    opened => return opened.unwrap(),
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let log = within("the log is opened", open).await;
        let group_log = log.group(GROUP).unwrap();
        let state_dir = dir.join("state");
        fs::create_dir_all(&state_dir).unwrap();
        let state = S::open(&state_dir);
        let started_at = state.applied().unwrap().position;
        recover(state.as_ref(), &group_log).await.unwrap();
        assert_eq!(group_log.installing(), None);
        let owner = Owner { cluster: CLUSTER, store, group: GROUP };
        let storage = GroupStorage {
            state: Arc::new(StateCell::new(state)),
            log: group_log.clone(),
            snapshots: Arc::new(SnapshotStore::open(state_dir.join("snap"), owner).unwrap()),
        };
        let timings = RaftTimings {
            heartbeat: Duration::from_millis(150),
            election_min: Duration::from_millis(1_000),
            election_max: Duration::from_millis(2_000),
        };
        let options = CoreOptions { node, store, cluster: CLUSTER, timings };
        let (cell, snapshots) = (storage.state.clone(), storage.snapshots.clone());
        let core = Core::start(options, group_log, cell, snapshots, network.of(node)).await.unwrap();
        let (gate, disk) = (watch::channel(true).0, watch::channel(DiskUse::new(100)).0);
        // A leader that is cut off has to say so soon.
        let limits = ProposerLimits { write_timeout: Duration::from_secs(2), ..ProposerLimits::default() };
        let group = Arc::new(Group::new(storage, Arc::new(core), limits, gate.subscribe(), disk.subscribe()));
        network.attach(node, group.clone() as Arc<dyn Endpoint>);
        Self { dir: dir.to_path_buf(), log, group, started_at, _gate: gate, _disk: disk }
    }

    pub(crate) fn state(&self) -> Arc<S> {
        self.group.state()
    }

    pub(crate) fn applied(&self) -> Option<LogPosition> {
        self.state().applied().unwrap().position
    }

    pub(crate) fn group_log(&self) -> &GroupLog {
        self.group.log()
    }

    /// Stops it without making anything durable, as far as one process can.
    pub(crate) async fn stop(self) {
        self.group.core().shutdown().await.unwrap();
        let cell = Arc::downgrade(self.group.state_cell());
        drop(self.group);
        until("the replica lets go of its state", || cell.upgrade().is_none()).await;
        blocking(move || Ok(self.log.close(true)?)).await.unwrap();
    }
}

/// Waits until something holds.
pub(crate) async fn until(what: &str, holds: impl Fn() -> bool) {
    let wait = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    within(what, wait).await;
}

pub(crate) async fn within<T>(what: &str, wait: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("not in time: {what}"))
}

pub(crate) struct Cluster<S> {
    /// Each node has a folder of its number in it.
    pub(crate) dir: PathBuf,
    _temporary: Option<tempfile::TempDir>,
    pub(crate) network: Arc<FakeNetwork>,
    pub(crate) replicas: BTreeMap<u64, Replica<S>>,
}

impl<S: Replicated> Cluster<S> {
    /// Node 1 with others that it has brought in, as voters or as learners.
    pub(crate) async fn start(seed: u64, faults: Faults, others: &[u64], voters: bool) -> Self {
        let cluster = Self::at_the_initial_level(seed, faults, others, voters).await;
        cluster.raise_level(FeatureLevel::SUPPORTED).await;
        cluster
    }

    /// As [`Cluster::start`], with members that have not reported their feature levels.
    pub(crate) async fn at_the_initial_level(seed: u64, faults: Faults, others: &[u64], voters: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let network = FakeNetwork::new(seed, faults);
        let path = dir.path().to_path_buf();
        let mut cluster = Self { dir: path, _temporary: Some(dir), network, replicas: BTreeMap::new() };
        cluster.bring_in(others, voters).await;
        cluster
    }

    /// Node 1 and a learner on their folders below `dir`, which they may have used before.
    pub(crate) async fn with_learner(dir: &Path) -> Self {
        let network = FakeNetwork::new(1, Faults::default());
        let mut cluster = Self { dir: dir.to_path_buf(), _temporary: None, network, replicas: BTreeMap::new() };
        cluster.bring_in(&[2], false).await;
        cluster.raise_level(FeatureLevel::SUPPORTED).await;
        cluster
    }

    async fn bring_in(&mut self, others: &[u64], voters: bool) {
        self.restart(1).await;
        let leader = self.replicas[&1].group.core().clone();
        leader.lead_alone().await.unwrap();
        leader.wait_for(|health| health.leader).await;
        for &node in others {
            self.restart(node).await;
            within("a member is added", add_member(&leader, node, voters)).await.unwrap();
        }
    }

    /// Raises the level of the group on whichever node leads, as if every member had reported that it supports `level`.
    pub(crate) async fn raise_level(&self, level: FeatureLevel) {
        let reported = self.replicas.keys().map(|node| (*node, level)).collect();
        let raise = async {
            loop {
                for replica in self.replicas.values().filter(|replica| replica.group.core().health().leader) {
                    match replica.group.raise_level(&reported).await {
                        Ok(reached) if reached >= level => return,
                        Ok(_) | Err(ProposeError::NotLeader | ProposeError::Unknown(_)) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        within("the level is raised", raise).await;
    }

    /// Starts a node on its directory, which it may have used before.
    pub(crate) async fn restart(&mut self, node: u64) {
        let mut dir = self.dir.join(node.to_string());
        if let Some(replica) = self.replicas.remove(&node) {
            self.network.detach(node);
            dir.clone_from(&replica.dir);
            replica.stop().await;
        }
        let replica = Replica::start(node, &dir, &self.network).await;
        self.replicas.insert(node, replica);
    }

    /// Carries commands out on whichever node leads.
    pub(crate) async fn propose(&self, commands: Vec<Command>) -> Vec<Outcome> {
        let propose = async {
            loop {
                for replica in self.replicas.values().filter(|replica| replica.group.core().health().leader) {
                    match replica.group.propose(commands.clone()).await {
                        Ok(outcomes) => return outcomes,
                        Err(ProposeError::NotLeader | ProposeError::Unknown(_)) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        within("commands are carried out", propose).await
    }

    pub(crate) async fn rounds(&self, rounds: std::ops::Range<u32>) {
        for round in rounds {
            let outcomes = self.propose(S::commands(round)).await;
            assert!(outcomes.iter().all(|outcome| *outcome != Outcome::Repeated));
        }
    }

    /// Has every node that is not `away` make a snapshot and purge its log.
    pub(crate) async fn purge(&self, away: u64) {
        for (_, replica) in self.replicas.iter().filter(|(node, _)| **node != away) {
            let core = replica.group.core();
            let applied = core.health().applied;
            core.snapshot().await.unwrap();
            let health = within("the log is purged", core.wait_for(|health| health.purged >= applied)).await;
            assert_eq!(health.died, None);
        }
    }

    /// Waits until all have applied what the furthest has, and compares them.
    pub(crate) async fn converge(&self) {
        let furthest = || self.replicas.values().map(Replica::applied).max().unwrap();
        until("replicas have applied the same", || {
            self.replicas.values().all(|replica| replica.applied() == furthest())
        })
        .await;
        let hashes: Vec<_> = self.replicas.values().map(|replica| replica.state().hash()).collect();
        assert!(hashes.windows(2).all(|pair| pair[0] == pair[1]), "replicas differ at {:?}", furthest());
    }

    pub(crate) async fn stop(self) {
        for (node, replica) in self.replicas {
            self.network.detach(node);
            replica.stop().await;
        }
    }
}
