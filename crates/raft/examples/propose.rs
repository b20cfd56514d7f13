//! Measures what the replication layer carries on this machine: `cargo run --release -p azimuth-raft --example propose`.
//!
//! Prints a line per load: how many commands a second were durable and applied, commands per entry, time per fsync.
#![allow(clippy::print_stdout)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use azimuth_engine::command::{Command, Outcome, PutMode};
use azimuth_engine::ids::{CollectionId, ShardId, ShardKey, VectorId};
use azimuth_engine::object::{Object, Properties, Value, Vector};
use azimuth_raft::{Node, NodeOptions, ProposerLimits};

#[path = "../testing/sample.rs"]
mod sample;

const SECONDS: u64 = 4;

/// A load: so many tasks, each with one call under way, each call with so many commands.
struct Load {
    name: &'static str,
    tasks: u64,
    commands: fn(u64) -> Vec<Command>,
}

const LOADS: [Load; 6] = [
    Load { name: "1 task, 1 small command", tasks: 1, commands: small },
    Load { name: "64 tasks, 1 small command", tasks: 64, commands: small },
    Load { name: "512 tasks, 1 small command", tasks: 512, commands: small },
    Load { name: "1 task, 100 objects with 384-d vectors", tasks: 1, commands: objects },
    Load { name: "4 tasks, 100 objects with 384-d vectors", tasks: 4, commands: objects },
    Load { name: "16 tasks, 100 objects with 384-d vectors", tasks: 16, commands: objects },
];

fn small(_number: u64) -> Vec<Command> {
    vec![Command::DropCollection(CollectionId(u32::MAX))]
}

fn objects(number: u64) -> Vec<Command> {
    let at = ShardKey { collection: CollectionId(1), shard: ShardId::FIRST };
    let object = |n: u64| {
        let vector = (0..384).map(|dim| ((n * 384 + dim) % 1_009) as f32 / 1_009.0).collect();
        Object {
            id: uuid::Uuid::from_u64_pair(n.wrapping_mul(0x9e37_79b9_7f4a_7c15), n),
            created_ms: 1,
            updated_ms: 1,
            properties: Properties::from([("text".to_owned(), Value::Text(format!("passage number {n}")))]),
            vectors: [(VectorId::UNNAMED, Vector::Single(vector))].into(),
        }
    };
    let put = |n| Command::Put { at, mode: PutMode::Upsert, object: Box::new(object(n)) };
    (number * 100..number * 100 + 100).map(put).collect()
}

#[tokio::main]
async fn main() {
    let in_flight = std::env::var("IN_FLIGHT").ok().and_then(|text| text.parse().ok());
    let linger_us = std::env::var("LINGER_US").ok().and_then(|text| text.parse().ok());
    let defaults = ProposerLimits::default();
    let proposer = ProposerLimits {
        in_flight_max: in_flight.unwrap_or(defaults.in_flight_max),
        linger: linger_us.map_or(defaults.linger, Duration::from_micros),
        ..defaults
    };
    let dir = tempfile::tempdir_in(".").expect("a directory on this disk");
    let started = Instant::now();
    let node = Node::start(NodeOptions { proposer, ..NodeOptions::new(dir.path()) }).await.expect("start");
    node.ready().await;
    println!("start of an empty node to ready: {:?}", started.elapsed());
    let collection = Command::PutCollection(Box::new(sample::collection(1, "Passage")));
    node.data().propose(vec![collection]).await.expect("collection");
    for load in &LOADS {
        run(&node, load).await;
    }
    let started = Instant::now();
    node.shutdown().await.expect("shutdown");
    println!("clean stop: {:?}", started.elapsed());
    drop(node);
    let started = Instant::now();
    let node = Node::start(NodeOptions::new(dir.path())).await.expect("start");
    node.ready().await;
    println!("start to ready with the data: {:?}", started.elapsed());
    node.shutdown().await.expect("shutdown");
}

async fn run(node: &Arc<Node>, load: &Load) {
    let (calls, commands) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let stop = Arc::new(AtomicBool::new(false));
    let before = (node.data().metrics(), node.log_metrics().flushes.sync_us);
    let started = Instant::now();
    let tasks: Vec<_> = (0..load.tasks)
        .map(|_| {
            let (node, calls, commands, stop) = (node.clone(), calls.clone(), commands.clone(), stop.clone());
            let make = load.commands;
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let batch = make(calls.fetch_add(1, Ordering::Relaxed));
                    let outcomes = node.data().propose(batch).await.expect("proposal");
                    assert!(outcomes.iter().all(|it| matches!(it, Outcome::Done | Outcome::Written { .. })));
                    commands.fetch_add(outcomes.len() as u64, Ordering::Relaxed);
                }
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_secs(SECONDS)).await;
    stop.store(true, Ordering::Relaxed);
    for task in tasks {
        task.await.expect("task");
    }
    let seconds = started.elapsed().as_secs_f64();
    let after = (node.data().metrics(), node.log_metrics().flushes.sync_us);
    let entries = (after.0.entry_commands.count() - before.0.entry_commands.count()) as f64;
    let syncs = (after.1.count() - before.1.count()) as f64;
    let sync_us = (after.1.sum - before.1.sum) as f64;
    let commands = commands.load(Ordering::Relaxed) as f64;
    println!(
        "{:42} {:8.0} commands/s  {:6.0} calls/s  {:6.1} commands/entry  {:5.0} fsyncs/s of {:4.2} ms",
        load.name,
        commands / seconds,
        commands / seconds / (load.commands)(0).len() as f64,
        commands / entries,
        syncs / seconds,
        sync_us / syncs / 1e3,
    );
}
