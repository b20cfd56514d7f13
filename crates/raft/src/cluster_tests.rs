//! Snapshots bring replicas up that were away, and a crash at any step of an install leaves a replica that starts and
//! goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use azimuth_engine::command::{Command, Outcome};
use azimuth_engine::data::DataGroup;
use azimuth_engine::ids::VectorId;
use azimuth_engine::level::FeatureLevel;
use azimuth_engine::maintain::WorkBudget;
use azimuth_engine::meta::MetaGroup;
use azimuth_engine::object::{Object, Vector};
use azimuth_engine::query::{Include, Near, Query, Rank};
use azimuth_engine::replica::StateMachine;
use azimuth_engine::storage::Generations;

use crate::ProposeError;
use crate::cluster::{AT, Cluster, Replica, Replicated, object, until, within};
use crate::consensus::Step;
use crate::consensus::double::Double;
use crate::consensus::fake_network::Faults;
use crate::node::blocking;

/// A learner that was away gets a snapshot. Returns the cluster with node 2 behind, and cut off from a purged log.
async fn behind<S: Replicated>(seed: u64, faults: Faults) -> Cluster<S> {
    let cluster = Cluster::<S>::start(seed, faults, &[2], false).await;
    cluster.rounds(0..3).await;
    cluster.converge().await;
    // A crash falls back to the flushed state.
    cluster.replicas[&2].state().flush().unwrap();
    cluster.network.cut(2, true);
    cluster.rounds(3..7).await;
    cluster.purge(2).await;
    assert!(cluster.replicas[&2].applied() < cluster.replicas[&1].group_log().bounds().purged);
    cluster
}

async fn is_brought_up<S: Replicated>() {
    let mut cluster = behind::<S>(1, Faults::default()).await;
    cluster.network.cut(2, false);
    cluster.converge().await;
    until("the leader knows that the snapshot arrived", || *cluster.network.transfers.lock() == (1, 0)).await;
    let follower = &cluster.replicas[&2];
    let log = follower.group_log().clone();
    until("the log is purged up to the snapshot", || log.installing().is_none()).await;
    assert!(log.bounds().purged.is_some() && log.bounds().purged <= follower.state().durable());
    assert!(follower.group.snapshot().await.unwrap().is_some(), "it could bring up others");
    drop(log);

    cluster.rounds(7..9).await;
    cluster.converge().await;
    cluster.restart(2).await;
    cluster.rounds(9..10).await;
    cluster.converge().await;
    assert_eq!(cluster.network.transfers.lock().0, 1, "the log was enough");
    cluster.stop().await;
}

/// The rolling upgrade of a cluster: no member meets a command of the new level before all members support the level.
#[tokio::test(flavor = "multi_thread")]
async fn the_level_is_raised_once_every_member_supports_it() {
    let mut cluster = Cluster::<DataGroup>::at_the_initial_level(1, Faults::default(), &[2, 3], true).await;
    let leader = cluster.replicas[&1].group.clone();
    let schema = Command::PutCollection(Box::new(crate::sample::collection(1, "Passage")));
    cluster.propose(vec![schema]).await;
    let shards = || vec![Command::PutShards { collection: AT.collection, shards: Vec::new() }];
    let (needed, reached) = (FeatureLevel::SHARD_COMMANDS, FeatureLevel::INITIAL);
    let upgraded =
        |nodes: &[u64]| nodes.iter().map(|node| (*node, FeatureLevel::SUPPORTED)).collect::<BTreeMap<_, _>>();
    let mut one_is_old = upgraded(&[1, 2, 3]);
    one_is_old.insert(3, FeatureLevel::INITIAL);
    for reported in [upgraded(&[]), upgraded(&[1, 2]), one_is_old, upgraded(&[2, 3, 4])] {
        assert_eq!(leader.raise_level(&reported).await, Ok(FeatureLevel::INITIAL), "{reported:?}");
        assert_eq!(leader.propose(shards()).await, Err(ProposeError::LevelTooLow { needed, reached }));
    }
    cluster.converge().await;

    cluster.network.cut(3, true);
    cluster.raise_level(FeatureLevel::SUPPORTED).await;
    assert_eq!(cluster.propose(shards()).await, [Outcome::Done]);
    cluster.purge(3).await;
    cluster.network.cut(3, false);
    cluster.converge().await;
    assert!(cluster.replicas.values().all(|replica| replica.state().level() == FeatureLevel::SUPPORTED));
    drop(leader);
    cluster.restart(3).await;
    assert_eq!(cluster.replicas[&3].state().level(), FeatureLevel::SUPPORTED, "from its state");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_was_away_is_brought_up_by_a_snapshot() {
    is_brought_up::<Double>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_group_that_was_away_is_brought_up_by_a_snapshot() {
    is_brought_up::<DataGroup>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_meta_group_that_was_away_is_brought_up_by_a_snapshot() {
    is_brought_up::<MetaGroup>().await;
}

/// Three voters, one of them away in turn, over a bad network.
async fn voters_take_turns(seed: u64) {
    let faults = Faults { lost: 3, doubled: 3, torn: 40, delay_ms_max: 3 };
    let mut cluster = Cluster::<DataGroup>::start(seed, faults, &[2, 3], true).await;
    cluster.rounds(0..2).await;
    for (turn, away) in [3, 2, 1, 3].into_iter().enumerate() {
        let round = u32::try_from(turn).unwrap() * 4 + 2;
        cluster.network.cut(away, true);
        cluster.rounds(round..round + 2).await;
        cluster.purge(away).await;
        if turn % 2 == 1 {
            // A node that was off, and not only cut off.
            cluster.restart(away).await;
        }
        cluster.network.cut(away, false);
        cluster.rounds(round + 2..round + 4).await;
        cluster.converge().await;
    }
    let (whole, torn) = *cluster.network.transfers.lock();
    println!("seed {seed}: {whole} snapshots arrived, {torn} did not");
    assert!(whole > 0);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn voters_over_a_bad_network_end_with_the_same_state() {
    let seed: u64 = std::env::var("AZIMUTH_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(rand::random);
    println!("AZIMUTH_SEED={seed}");
    voters_take_turns(seed).await;
}

/// A copy that was made while no file came or went.
fn copy_as_killed(from: &Path, to: &Path) {
    loop {
        let before = names_below(from);
        let copied = before.iter().try_for_each(|path| {
            let target = to.join(path.strip_prefix(from).unwrap());
            fs::create_dir_all(target.parent().unwrap())?;
            fs::copy(path, target).map(|_| ())
        });
        match copied {
            Ok(()) if names_below(from) == before => return,
            Ok(()) => {}
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{error}"),
        }
        fs::remove_dir_all(to).unwrap();
    }
}

/// Paths of all files below a folder; those of a folder that goes meanwhile are left out.
fn names_below(dir: &Path) -> BTreeSet<PathBuf> {
    let mut names = BTreeSet::new();
    for path in fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            names.extend(names_below(&path));
        } else {
            names.insert(path);
        }
    }
    names
}

/// The files that kill -9 leaves at a step of an install: a copy without the contents of memory. From then on the replica
/// sends nothing to the leader.
async fn crashes_at<S: Replicated>(step: Step) {
    let mut cluster = behind::<S>(2, Faults::default()).await;
    let old = cluster.replicas[&2].applied();
    let new = cluster.replicas[&1].applied();
    let (from, to) = (cluster.replicas[&2].dir.clone(), cluster.dir.join("crashed"));
    let (crashed, network, copy) = (Arc::new(AtomicBool::new(false)), cluster.network.clone(), to.clone());
    let noted = crashed.clone();
    cluster.replicas[&2].group.core().on_install(move |at| {
        if at == step {
            network.cut(2, true);
            copy_as_killed(&from, &copy);
            noted.store(true, Ordering::SeqCst);
        }
    });
    cluster.network.cut(2, false);
    until("the crash", || crashed.load(Ordering::SeqCst)).await;
    until("the install ends all the same", || cluster.replicas[&2].applied() == new).await;
    let whole = cluster.replicas.remove(&2).unwrap();
    cluster.network.detach(2);
    whole.stop().await;

    // It starts alone, and goes on with the leader, which has gone on too.
    let replica = Replica::<S>::start(2, &to, &cluster.network).await;
    assert_eq!(replica.started_at, if step < Step::Replaced { old } else { new }, "{step:?}");
    cluster.replicas.insert(2, replica);
    cluster.rounds(7..8).await;
    cluster.network.cut(2, false);
    cluster.rounds(8..9).await;
    cluster.converge().await;
    assert_eq!(cluster.replicas[&2].group.core().health().died, None);
    cluster.restart(2).await;
    cluster.converge().await;
    cluster.stop().await;
}

async fn crashes_at_every_step<S: Replicated>() {
    for step in [Step::Begun, Step::Noted, Step::Replaced, Step::Built, Step::Purged] {
        crashes_at::<S>(step).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_at_any_step_of_an_install_leaves_the_old_or_the_new_state() {
    crashes_at_every_step::<Double>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_at_any_step_of_an_install_leaves_a_data_group_old_or_new() {
    crashes_at_every_step::<DataGroup>().await;
}

/// The reader's state, and the generation that it lies in, are there until the reader is done; the vector index of the
/// replica is brought up to date from its own files.
#[tokio::test(flavor = "multi_thread")]
async fn readers_finish_on_the_state_that_a_snapshot_replaces() {
    let cluster = behind::<DataGroup>(3, Faults::default()).await;
    let follower = &cluster.replicas[&2];
    let reader = follower.state();
    while reader.work(&WorkBudget::default()).unwrap().more {}
    reader.save_indexes().unwrap();
    let (hash, dir) = (reader.state_hash().unwrap(), follower.dir.join("state"));
    let generations = || Generations::new(&dir).all().unwrap();
    cluster.network.cut(2, false);
    cluster.converge().await;
    assert!(!Arc::ptr_eq(&reader, &follower.state()));
    assert_eq!((reader.state_hash().unwrap(), generations()), (hash, vec![1, 2]));
    drop(reader);
    until("the old generation is removed", || generations() == [2]).await;

    let leader = cluster.replicas[&1].state();
    for state in [&leader, &follower.state()] {
        while state.work(&WorkBudget::default()).unwrap().more {}
        assert_eq!(state.audit_inverted(AT).unwrap(), Vec::<String>::new());
    }
    for n in (0..120).step_by(7) {
        let found = nearest(&leader, &object(n, 6));
        assert_eq!(found.len(), 5);
        assert_eq!(nearest(&follower.state(), &object(n, 6)), found, "near object {n}");
    }
    drop(leader);
    cluster.stop().await;
}

/// Distances to the nearest objects.
fn nearest(state: &DataGroup, to: &Object) -> Vec<Option<f32>> {
    let Vector::Single(values) = to.vectors[&VectorId::UNNAMED].clone() else { panic!("one vector") };
    let rank = Rank::Near(Near::to(VectorId::UNNAMED, values, None));
    let query = Query { rank, filter: None, offset: 0, limit: 5, sort: Vec::new(), include: Include::default() };
    state.search(AT, &query).unwrap().into_iter().map(|hit| hit.distance).collect()
}

/// An install that fails ends the replica, also when the log waits for it.
#[tokio::test(flavor = "multi_thread")]
async fn an_install_that_fails_ends_the_replica_and_the_next_start_goes_on() {
    let mut cluster = behind::<Double>(4, Faults::default()).await;
    let follower = &cluster.replicas[&2];
    let old = follower.applied();
    *follower.state().install_fails.lock() = true;
    let core = follower.group.core().clone();
    cluster.network.cut(2, false);
    let health = within("the replica ends", core.wait_for(|_| false)).await;
    assert!(health.died.unwrap().contains("made to fail"));
    drop(core);
    assert_eq!(follower.group_log().installing().map(|at| at.index), cluster.replicas[&1].applied().map(|at| at.index));
    let follower = cluster.replicas.remove(&2).unwrap();
    cluster.network.detach(2);
    let dir = follower.dir.clone();
    // The core has ended, so its stop says why.
    let _ = follower.group.core().shutdown().await;
    drop(follower.group);
    blocking(move || Ok(follower.log.close(true)?)).await.unwrap();

    let replica = Replica::start(2, &dir, &cluster.network).await;
    assert_eq!(replica.started_at, old);
    cluster.replicas.insert(2, replica);
    cluster.converge().await;
    cluster.stop().await;
}
