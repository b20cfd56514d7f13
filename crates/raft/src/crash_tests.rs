//! kill -9, again and again: a child process proposes numbered commands and prints what was acknowledged; the parent
//! kills it at a random moment and looks what is there.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command as Process, Stdio};
use std::sync::Arc;
use std::time::Duration;

use azimuth_engine::command::Outcome;
use azimuth_engine::meta::MetaGroup;
use rand::{RngExt, SeedableRng, rngs::StdRng};

use crate::cluster::Cluster;
use crate::consensus::double::Double;
use crate::group_tests::{Harness, number};
use crate::options::ProposerLimits;
use crate::{FlushLimits, Node, NodeOptions};

/// How often a child is killed, and when: after so many acknowledgements, and a while.
#[derive(Clone, Copy)]
struct Kills {
    rounds: usize,
    acks_max: usize,
    linger_ms_max: u64,
}

const KILLS: Kills = Kills { rounds: 24, acks_max: 120, linger_ms_max: 0 };
/// A snapshot is installed after every few acknowledgements.
const KILLS_IN_INSTALLS: Kills = Kills { rounds: 10, acks_max: 20, linger_ms_max: 60 };
const WRITERS: u32 = 4;
const DIR: &str = "AZIMUTH_CRASH_DIR";

/// Where the child works; `None` in the parent.
fn child_dir() -> Option<PathBuf> {
    std::env::var_os(DIR).map(PathBuf::from)
}

/// Runs `child` of this test binary in `dir` until it has acknowledged `acks`, and kills it a while later. Returns the
/// numbers that it acknowledged.
fn run_and_kill(child: &str, dir: &Path, acks: usize, linger: Duration) -> Vec<u32> {
    let mut process = Process::new(std::env::current_exe().unwrap())
        .args([child, "--exact", "--nocapture", "--test-threads", "1"])
        .env(DIR, dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut acknowledged = Vec::new();
    for line in BufReader::new(process.stdout.take().unwrap()).lines() {
        let Ok(line) = line else { break };
        let Some(number) = line.strip_prefix("ack ") else { continue };
        acknowledged.push(number.parse().unwrap());
        if acknowledged.len() == acks {
            std::thread::sleep(linger);
            process.kill().unwrap();
        }
    }
    let status = process.wait().unwrap();
    assert!(acknowledged.len() >= acks, "the child ended by itself after {}: {status}", acknowledged.len());
    acknowledged
}

/// Rounds of crashes; `check` gets every number that was ever acknowledged.
fn crash_loop(child: &str, kills: Kills, check: impl Fn(&Path, &BTreeSet<u32>)) {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged = BTreeSet::new();
    for round in 0..kills.rounds {
        let linger = Duration::from_millis(random.random_range(0..=kills.linger_ms_max));
        acknowledged.extend(run_and_kill(child, dir.path(), random.random_range(1..kills.acks_max), linger));
        check(dir.path(), &acknowledged);
        println!("round {round}: {} acknowledged so far", acknowledged.len());
    }
}

/// Prints an acknowledgement in one write.
fn acknowledge(number: u32) {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    out.write_all(format!("ack {number}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

/// Ends the child, so that the parent does not wait for it.
fn give_up(reason: &str) -> ! {
    eprintln!("child gives up: {reason}");
    std::process::exit(3)
}

#[tokio::test(flavor = "multi_thread")]
async fn child_with_double() {
    let Some(dir) = child_dir() else { return };
    let harness = Arc::new(Harness::open(&dir, ProposerLimits::default()).await);
    harness.pass_gate().await;
    let first = harness.group.state().kept().numbers.iter().max().map_or(0, |max| max + 1);
    for writer in 0..WRITERS {
        let harness = harness.clone();
        tokio::spawn(async move {
            for step in 0.. {
                let number_now = first + step * WRITERS + writer;
                let outcome = match harness.group.propose(vec![number(number_now)]).await {
                    Ok(outcome) => outcome,
                    Err(error) => give_up(&format!("{error}; {:?}", harness.group.core().health())),
                };
                assert_eq!(outcome, [Outcome::Refused(number_now.to_string())]);
                acknowledge(number_now);
                if step % 20 == 19 && writer == 0 {
                    harness.group.core().snapshot().await.unwrap();
                }
            }
        });
    }
    std::future::pending::<()>().await;
}

#[test]
fn kill_9_loses_and_doubles_nothing() {
    if child_dir().is_some() {
        return;
    }
    crash_loop("crash_tests::child_with_double", KILLS, |dir, acknowledged| {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let harness = Harness::open(dir, ProposerLimits::default()).await;
            harness.pass_gate().await;
            let numbers = harness.group.state().kept().numbers;
            let found: BTreeSet<u32> = numbers.iter().copied().collect();
            assert_eq!(found.len(), numbers.len(), "a command was applied twice");
            let lost: Vec<_> = acknowledged.difference(&found).collect();
            assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
            harness.stop().await;
        });
    });
}

/// Writes, purges the log, and has a learner take a snapshot, again and again.
#[tokio::test(flavor = "multi_thread")]
async fn child_with_installs() {
    let Some(dir) = child_dir() else { return };
    let cluster = Cluster::<Double>::with_learner(&dir).await;
    cluster.converge().await;
    let first = cluster.replicas[&1].state().kept().numbers.iter().max().map_or(0, |max| max + 1);
    for round in 0.. {
        cluster.network.cut(2, true);
        for step in 0..WRITERS {
            let number_now = first + round * WRITERS + step;
            let outcome = cluster.propose(vec![number(number_now)]).await;
            assert_eq!(outcome, [Outcome::Refused(number_now.to_string())]);
            acknowledge(number_now);
        }
        cluster.purge(2).await;
        cluster.network.cut(2, false);
        cluster.converge().await;
    }
}

#[test]
fn kill_9_of_replicas_that_install_snapshots_loses_and_doubles_nothing() {
    if child_dir().is_some() {
        return;
    }
    crash_loop("crash_tests::child_with_installs", KILLS_IN_INSTALLS, |dir, acknowledged| {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let cluster = Cluster::<Double>::with_learner(dir).await;
            cluster.converge().await;
            for replica in cluster.replicas.values() {
                let numbers = replica.state().kept().numbers;
                let found: BTreeSet<u32> = numbers.iter().copied().collect();
                assert_eq!(found.len(), numbers.len(), "a command was applied twice");
                let lost: Vec<_> = acknowledged.difference(&found).collect();
                assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
            }
            cluster.stop().await;
        });
    });
}

fn collection(number: u32) -> azimuth_engine::schema::Collection {
    crate::sample::collection(0, &format!("C{number}"))
}

fn options(dir: &Path) -> NodeOptions {
    let flush =
        FlushLimits { log_bytes_max: 8 << 10, check_interval: Duration::from_millis(20), ..FlushLimits::default() };
    NodeOptions { flush, ..NodeOptions::new(dir) }
}

fn created(meta: &MetaGroup) -> BTreeSet<u32> {
    let names = meta.catalog().collections().into_iter().map(|collection| collection.name.clone());
    names.map(|name| name.trim_start_matches('C').parse().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn child_with_node() {
    let Some(dir) = child_dir() else { return };
    let node = Node::start(options(&dir)).await.unwrap();
    node.ready().await;
    let first = created(&node.meta().state()).last().map_or(0, |max| max + 1);
    for writer in 0..WRITERS {
        let node = node.clone();
        tokio::spawn(async move {
            for step in 0.. {
                let number = first + step * WRITERS + writer;
                let command = azimuth_engine::command::Command::CreateCollection(Box::new(collection(number)));
                let outcome = match node.meta().propose(vec![command]).await {
                    Ok(outcome) => outcome,
                    Err(error) => give_up(&error.to_string()),
                };
                assert!(matches!(outcome[..], [Outcome::Collection(_)]), "{outcome:?}");
                acknowledge(number);
            }
        });
    }
    std::future::pending::<()>().await;
}

#[test]
fn kill_9_of_a_node_loses_nothing() {
    if child_dir().is_some() {
        return;
    }
    crash_loop("crash_tests::child_with_node", KILLS, |dir, acknowledged| {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let node = Node::start(options(dir)).await.unwrap();
            node.ready().await;
            let found = created(&node.meta().state());
            let lost: Vec<_> = acknowledged.difference(&found).collect();
            assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
            node.shutdown().await.unwrap();
        });
    });
}
