//! Groups on a state machine double: batches, order, back-pressure, the gate, what is purged, what survives.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use azimuth_engine::command::{Command, Outcome};
use azimuth_engine::ids::{CollectionId, GroupId};
use azimuth_engine::replica::LogPosition;
use openraft::storage::RaftLogStorage;
use tokio::sync::watch;
use uuid::Uuid;

use crate::consensus::double::Double;
use crate::consensus::{
    Core, CoreOptions, EncodedCommand, Installation, LogStore, NoPeers, Owner, Proposal, SnapshotStore,
};
use crate::disk::{DiskUse, Space};
use crate::error::ProposeError;
use crate::group::{Group, GroupStorage};
use crate::node::{blocking, pass_gate};
use crate::options::{ProposerLimits, RaftTimings};
use crate::raftlog::{GroupLog, Kind, RaftLog, Record};
use crate::state::StateCell;

const STORE: Uuid = Uuid::from_u128(1);
const GROUP: GroupId = GroupId(1);

pub(crate) struct Harness {
    log: RaftLog,
    pub(crate) group: Group<Double>,
    gate: watch::Sender<bool>,
    disk: watch::Sender<DiskUse>,
}

impl Harness {
    pub(crate) async fn open(dir: &Path, limits: ProposerLimits) -> Self {
        let log_dir = dir.join("raftlog");
        let log = blocking(move || Ok(RaftLog::open(&log_dir, STORE)?)).await.unwrap();
        let group_log = log.group(GROUP).unwrap();
        let state = Arc::new(StateCell::new(Arc::new(Double::open(dir).unwrap())));
        let owner = Owner { cluster: STORE, store: STORE, group: GROUP };
        let snapshots = Arc::new(SnapshotStore::open(dir.join("snap"), owner).unwrap());
        let options = CoreOptions { node: 5, store: STORE, cluster: STORE, timings: RaftTimings::default() };
        let storage = GroupStorage { state: state.clone(), log: group_log.clone(), snapshots: snapshots.clone() };
        let core = Core::start(options, group_log, state, snapshots, NoPeers).await.unwrap();
        core.lead_alone().await.unwrap();
        core.wait_for(|health| health.leader).await;
        let (gate, disk) = (watch::channel(false).0, watch::channel(DiskUse::new(90)).0);
        let group = Group::new(storage, Arc::new(core), limits, gate.subscribe(), disk.subscribe());
        Self { log, group, gate, disk }
    }

    pub(crate) async fn pass_gate(&self) {
        pass_gate(&self.group).await.unwrap();
        self.gate.send_replace(true);
    }

    /// Stops without making anything durable, as far as one process can.
    pub(crate) async fn stop(self) {
        self.group.core().shutdown().await.unwrap();
        drop(self.group);
        blocking(move || Ok(self.log.close(true)?)).await.unwrap();
    }
}

pub(crate) fn number(number: u32) -> Command {
    Command::DropCollection(CollectionId(number))
}

fn numbers(range: std::ops::Range<u32>) -> Vec<Command> {
    range.map(number).collect()
}

fn echoes(range: std::ops::Range<u32>) -> Vec<Outcome> {
    range.map(|number| Outcome::Refused(number.to_string())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn outcomes_come_in_the_order_of_the_commands() {
    let dir = tempfile::tempdir().unwrap();
    let limits = ProposerLimits { entry_commands_max: 100, entry_bytes_max: 300, ..ProposerLimits::default() };
    let harness = Harness::open(dir.path(), limits).await;
    assert_eq!(harness.group.propose(Vec::new()).await.unwrap(), []);
    assert_eq!(harness.group.propose(numbers(0..1_000)).await.unwrap(), echoes(0..1_000));
    let kept = harness.group.state().kept();
    assert_eq!(kept.numbers, (0..1_000).collect::<Vec<_>>());
    assert!(kept.batches.iter().all(|commands| (1..=100).contains(commands)), "{:?}", kept.batches);
    assert!(kept.batches.len() >= 10);
    harness.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_while_an_entry_is_under_way_goes_together() {
    let dir = tempfile::tempdir().unwrap();
    let harness = Arc::new(Harness::open(dir.path(), ProposerLimits::default()).await);
    harness.pass_gate().await;
    *harness.group.state().apply_takes.lock() = Duration::from_millis(100);
    let tasks: Vec<_> = (0..200)
        .map(|task| {
            let harness = harness.clone();
            tokio::spawn(async move {
                assert_eq!(harness.group.propose(vec![number(task)]).await.unwrap(), echoes(task..task + 1));
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let batches = harness.group.state().kept().batches;
    assert!(batches.len() < 20, "200 commands in {} entries", batches.len());
    let metrics = harness.group.metrics();
    assert_eq!(metrics.entry_commands.sum, 200);
    assert_eq!(metrics.queue_bytes, 0, "all room is given back");
    Arc::into_inner(harness).unwrap().stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_is_back_pressure_and_then_a_clear_error() {
    let dir = tempfile::tempdir().unwrap();
    let limits = ProposerLimits {
        entry_commands_max: 1,
        in_flight_max: 1,
        queue_bytes_max: 4 << 10,
        queue_timeout: Duration::from_millis(50),
        ..ProposerLimits::default()
    };
    let harness = Arc::new(Harness::open(dir.path(), limits).await);
    harness.pass_gate().await;
    *harness.group.state().apply_takes.lock() = Duration::from_millis(400);
    let tasks: Vec<_> = (0..20)
        .map(|task| {
            let harness = harness.clone();
            tokio::spawn(async move { harness.group.propose(vec![number(task)]).await })
        })
        .collect();
    let mut done = 0;
    for task in tasks {
        match task.await.unwrap() {
            Ok(_) => done += 1,
            Err(error) => assert!(matches!(error, ProposeError::Overloaded { queued_bytes: 4096 }), "{error}"),
        }
    }
    assert!((4..20).contains(&done), "{done} done");
    assert_eq!(harness.group.state().kept().numbers.len(), done, "what was refused did not happen");
    assert_eq!(harness.group.metrics().overloaded, 20 - done as u64);
    Arc::into_inner(harness).unwrap().stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_of_size_time_and_disk_have_their_own_errors() {
    let dir = tempfile::tempdir().unwrap();
    let limits =
        ProposerLimits { command_bytes_max: 1, write_timeout: Duration::from_millis(50), ..ProposerLimits::default() };
    let harness = Harness::open(dir.path(), limits).await;
    let error = harness.group.propose(vec![number(1)]).await.unwrap_err();
    assert_eq!(error, ProposeError::TooLarge { bytes: 2, bytes_max: 1 });
    harness.stop().await;

    let limits = ProposerLimits { command_bytes_max: 100, ..limits };
    let harness = Harness::open(dir.path(), limits).await;
    harness.pass_gate().await;
    let new = || Command::CreateCollection(Box::new(crate::sample::collection(0, "New")));
    harness.disk.send_modify(|disk| *disk = disk.read(Space::of_percent(95)));
    let error = harness.group.propose(vec![number(1), new()]).await.unwrap_err();
    assert_eq!(error, ProposeError::DiskFull { used_percent: 95, used_percent_max: 90 });
    harness.group.propose(vec![number(1)]).await.unwrap();
    harness.disk.send_modify(|disk| *disk = disk.read(Space::of_percent(99)));
    let error = harness.group.propose(vec![number(1)]).await.unwrap_err();
    assert_eq!(error, ProposeError::DiskFull { used_percent: 99, used_percent_max: 90 });
    harness.disk.send_modify(|disk| *disk = disk.read(Space::of_percent(80)));
    *harness.group.state().apply_takes.lock() = Duration::from_millis(500);
    let error = harness.group.propose(vec![number(1)]).await.unwrap_err();
    assert!(matches!(error, ProposeError::Unknown(_)), "{error}");
    assert_eq!(harness.group.metrics().unknown, 1);
    harness.group.proposer().drained().await;
    harness.group.core().wait_for(|health| health.applied.is_some_and(|at| at.index >= 3)).await;
    assert_eq!(harness.group.state().kept().numbers, [1], "it happened all the same");
    harness.group.proposer().close();
    assert_eq!(harness.group.propose(vec![number(1)]).await.unwrap_err(), ProposeError::Stopped);
    harness.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_batch_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let harness = Harness::open(dir.path(), ProposerLimits::default()).await;
    harness.pass_gate().await;
    let batch = || {
        let commands: Vec<_> = numbers(0..3).iter().map(|command| EncodedCommand::new(command).unwrap()).collect();
        Proposal::new(77, 1, &commands).unwrap()
    };
    let first = harness.group.core().submit(batch()).await.unwrap().applied().await.unwrap();
    let again = harness.group.core().submit(batch()).await.unwrap().applied().await.unwrap();
    assert_eq!(first.1, echoes(0..3));
    assert_eq!(again.1, vec![Outcome::Repeated; 3]);
    assert_eq!(harness.group.state().kept().numbers, [0, 1, 2]);
    harness.stop().await;
}

/// Bytes are decoded at apply, on every node: an entry that none can read ends them, by its number.
#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_cannot_be_decoded_ends_the_replica() {
    let dir = tempfile::tempdir().unwrap();
    let harness = Harness::open(dir.path(), ProposerLimits::default()).await;
    harness.pass_gate().await;
    let core = harness.group.core().clone();
    core.submit(Proposal::of_payload(bytes::Bytes::from_static(b"\xff"))).await.unwrap();
    let died = core.wait_for(|_| false).await.died.unwrap();
    assert!(died.contains("commands of entry 3"), "{died}");
    assert_eq!(harness.group.state().kept().numbers, [0; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_wait_for_the_gate_after_a_start() {
    let dir = tempfile::tempdir().unwrap();
    let harness = Harness::open(dir.path(), ProposerLimits::default()).await;
    let early = tokio::time::timeout(Duration::from_millis(50), harness.group.read_barrier()).await;
    assert!(early.is_err(), "a barrier before the gate must wait");
    harness.pass_gate().await;
    let applied = harness.group.core().health().applied;
    assert!(applied.is_some());
    harness.group.read_barrier().await.unwrap();
    harness.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_brings_back_what_the_state_lost_and_is_purged_only_up_to_what_it_keeps() {
    let dir = tempfile::tempdir().unwrap();
    let mut expected = Vec::new();
    for round in 0..4_u32 {
        let harness = Harness::open(dir.path(), ProposerLimits::default()).await;
        harness.pass_gate().await;
        assert_eq!(harness.group.state().kept().numbers, expected, "round {round}");
        for part in 0..10 {
            let from = round * 100 + part * 10;
            harness.group.propose(numbers(from..from + 10)).await.unwrap();
            expected.extend(from..from + 10);
            if part == 5 && round % 2 == 0 {
                let applied = harness.group.core().health().applied;
                harness.group.core().snapshot().await.unwrap();
                let health = harness.group.core().wait_for(|health| health.purged >= applied).await;
                assert_eq!(health.died, None);
                let metrics = harness.group.metrics();
                assert!(metrics.purged_index <= metrics.durable_index, "{metrics:?}");
                assert!(metrics.purged_index < metrics.last_index || part == 5);
            }
        }
        harness.stop().await;
    }
}

fn position(index: u64) -> LogPosition {
    LogPosition { term: 1, node: 1, index }
}

fn log_id(index: u64) -> openraft::LogId<u64> {
    openraft::LogId::new(openraft::CommittedLeaderId::new(1, 1), index)
}

/// A log with ten entries, whose state is durable up to the sixth.
async fn log_store(dir: &Path, installation: Installation) -> (RaftLog, GroupLog, LogStore) {
    let log_dir = dir.join("raftlog");
    let log = blocking(move || Ok(RaftLog::open(&log_dir, STORE)?)).await.unwrap();
    let group = log.group(GROUP).unwrap();
    let blank = |index| Record { position: position(index), kind: Kind::Blank, payload: bytes::Bytes::new() };
    group.append(&(0..10).map(blank).collect::<Vec<_>>()).await.unwrap();
    let store = LogStore::new(group.clone(), Arc::new(move || Some(position(5))), installation);
    (log, group, store)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_never_purged_above_what_is_durable() {
    let dir = tempfile::tempdir().unwrap();
    let (_log, group, mut store) = log_store(dir.path(), Installation::new()).await;
    assert!(store.purge(log_id(6)).await.is_err());
    assert_eq!(group.bounds().purged, None);
    store.purge(log_id(5)).await.unwrap();
    assert_eq!(group.bounds().purged, Some(position(5)));
}

/// openraft purges the log before the install is done; a leader may send entries behind the snapshot meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn the_purge_of_an_install_and_the_entries_after_it_wait_for_the_state() {
    let dir = tempfile::tempdir().unwrap();
    let installation = Installation::new();
    let (_log, group, mut store) = log_store(dir.path(), installation.clone()).await;
    let expected = installation.expect(position(20));
    assert!(store.purge(log_id(21)).await.is_err(), "beyond the snapshot");
    store.purge(log_id(20)).await.unwrap();
    group.begin_install(position(20)).await.unwrap();
    let truncating = tokio::spawn(async move { store.truncate(log_id(21)).await.map(|()| store) });
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!truncating.is_finished());
    assert_eq!(group.bounds().purged, None, "the state is not durable yet");
    assert_eq!(group.read(0..10).unwrap().len(), 10);
    installation.installed(position(20));
    truncating.await.unwrap().unwrap();
    let bounds = group.bounds();
    assert_eq!((bounds.purged, bounds.last, group.installing()), (Some(position(20)), Some(position(20)), None));
    drop(expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_waits_for_an_install_fails_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let installation = Installation::new();
    let (_log, group, mut store) = log_store(dir.path(), installation.clone()).await;
    let _expected = installation.expect(position(20));
    store.purge(log_id(20)).await.unwrap();
    installation.failed(&"the disk is gone");
    let error = store.truncate(log_id(21)).await.unwrap_err();
    assert!(error.to_string().contains("the disk is gone"), "{error}");
    assert_eq!(group.bounds().purged, None);
}
