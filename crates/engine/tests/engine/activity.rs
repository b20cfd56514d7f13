//! Inactive shards, and those that are used least, leave memory and come back while they are written, searched and deleted from.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use azimuth_engine::command::{Command, Outcome};
use azimuth_engine::data::{DataGroup, GroupOptions};
use azimuth_engine::ids::{CollectionId, GroupId, ShardId, ShardKey};
use azimuth_engine::maintain::WorkBudget;
use azimuth_engine::object::Value;
use azimuth_engine::query::{Include, Near, Query, Rank};
use azimuth_engine::schema::{Collection, MultiTenancy, Primitive, Shard, TenantStatus};
use azimuth_engine::vector::StepBudget;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tempfile::tempdir;
use uuid::Uuid;

use crate::support::{VECTOR, apply, collection, id, object, one, options, put, work};

const COLLECTION: CollectionId = CollectionId(1);

fn at(shard: u32) -> ShardKey {
    ShardKey { collection: COLLECTION, shard: ShardId(shard) }
}

fn record(shard: u32, version: u64, status: TenantStatus) -> Shard {
    let (name, group) = (format!("t{shard}"), GroupId::FIRST_DATA);
    Shard { id: ShardId(shard), name, group, status, read_only: false, version }
}

fn put_shard(group: &DataGroup, shard: u32, version: u64, status: TenantStatus) {
    let command = Command::PutShards { collection: COLLECTION, shards: vec![record(shard, version, status)] };
    assert_eq!(apply(group, vec![command]), [Outcome::Done]);
}

/// A group with a collection of these many shards.
fn open(dir: &std::path::Path, options: GroupOptions, shards: u32) -> Arc<DataGroup> {
    let (group, _) = DataGroup::open(dir, options).unwrap();
    let schema = Collection {
        multi_tenancy: MultiTenancy { enabled: true, ..MultiTenancy::default() },
        listed: None,
        listed_next: None,
        ..collection(COLLECTION.0, "Book", vec![one("n", Primitive::Int)])
    };
    apply(&group, vec![Command::PutCollection(Box::new(schema))]);
    (0..shards).for_each(|shard| put_shard(&group, shard, 1, TenantStatus::Hot));
    group
}

fn vector(n: u64) -> [f32; 2] {
    let angle = (n as f32 + 1.0) * 0.004;
    [angle.cos(), angle.sin()]
}

fn write(shard: u32, n: u64) -> Command {
    put(at(shard), object(n, &[("n", Value::Int(n.cast_signed()))], Some(&vector(n))))
}

/// The objects nearest to object `n`.
fn nearest(group: &DataGroup, shard: u32, n: u64) -> Vec<Uuid> {
    let query = Query {
        rank: Rank::Near(Near::to(VECTOR, vector(n).to_vec(), None)),
        filter: None,
        offset: 0,
        limit: 5,
        sort: Vec::new(),
        include: Include::default(),
    };
    group.search(at(shard), &query).expect("a search").into_iter().map(|hit| hit.object.id).collect()
}

#[test]
fn an_inactive_shard_leaves_memory_with_its_indexes() {
    let dir = tempdir().unwrap();
    let group = open(dir.path(), options(), 2);
    // The first has a graph, the second does not.
    for (shard, count) in [(0, 60), (1, 5)] {
        apply(&group, (0..count).map(|n| write(shard, n)).collect());
        assert_eq!(nearest(&group, shard, 3).first(), Some(&id(3)));
    }
    work(&group);
    let before = group.metrics();
    assert_eq!((before.shards_loaded, before.vector_queue), (2, 0));
    assert!(before.index_memory.resident_bytes() > 0);

    put_shard(&group, 0, 2, TenantStatus::Cold);
    work(&group);
    let cold = group.metrics();
    assert_eq!((cold.shards_loaded, cold.objects), (1, 5), "{cold:?}");
    assert!(!group.is_loaded(at(0)) && group.is_loaded(at(1)));
    put_shard(&group, 1, 2, TenantStatus::Frozen);
    work(&group);
    let cold = group.metrics();
    assert_eq!((cold.shards_loaded, cold.indexes_loaded, cold.index_memory.resident_bytes()), (0, 0, 0), "{cold:?}");

    // A request that was on the way finds everything, and leaves nothing in memory.
    assert_eq!(nearest(&group, 0, 7).first(), Some(&id(7)));
    apply(&group, vec![write(0, 60)]);
    work(&group);
    assert_eq!(group.metrics().shards_loaded, 0);

    // An active shard has its graph before the first search, and nothing waits to be linked.
    put_shard(&group, 0, 3, TenantStatus::Hot);
    work(&group);
    let hot = group.metrics();
    assert_eq!((hot.shards_loaded, hot.indexes_loaded, hot.vector_queue), (1, 1, 0), "{hot:?}");
    assert_eq!(group.shard_status(at(0)).unwrap().vector_queue, 0);
    assert_eq!(nearest(&group, 0, 60).first(), Some(&id(60)));

    // After a restart inactive shards stay on the disk.
    put_shard(&group, 0, 4, TenantStatus::Cold);
    drop(group);
    let (group, _) = DataGroup::open(dir.path(), options()).unwrap();
    work(&group);
    let opened = group.metrics();
    assert_eq!((opened.shards_loaded, opened.indexes_loaded), (0, 0), "{opened:?}");
    assert_eq!(group.count(at(0), None).unwrap(), 61);
}

#[test]
fn compaction_of_a_shard_rests_while_it_is_inactive() {
    let dir = tempdir().unwrap();
    let group = open(dir.path(), GroupOptions { compaction_changes_min: 10, ..options() }, 1);
    apply(&group, (0..60).map(|n| write(0, n)).collect());
    let step = WorkBudget { keys_max: 1, ..WorkBudget::default() };
    while group.work(&step).unwrap().compacted == 0 {}
    put_shard(&group, 0, 2, TenantStatus::Cold);
    let mut steps = 0;
    while group.work(&step).unwrap().more && steps < 1000 {
        steps += 1;
    }
    assert!(!group.is_loaded(at(0)), "loaded after {steps} steps");

    put_shard(&group, 0, 3, TenantStatus::Hot);
    assert!(std::iter::repeat_with(|| group.work(&step).unwrap()).take(1000).any(|report| report.compacted > 0));
    work(&group);
    assert_eq!(group.audit_inverted(at(0)).unwrap(), Vec::<String>::new());
}

#[test]
fn shards_beyond_the_limit_leave_memory() {
    let dir = tempdir().unwrap();
    let group = open(dir.path(), GroupOptions { loaded_shards_max: 16, ..options() }, 100);
    for shard in 0..100 {
        apply(&group, vec![write(shard, u64::from(shard))]);
    }
    work(&group);
    work(&group);
    let loaded = group.metrics().shards_loaded;
    assert!((1..=16).contains(&loaded), "{loaded} shards are in memory");
    for shard in 0..100 {
        assert!(group.exists(at(shard), id(u64::from(shard))).unwrap());
        assert_eq!(group.count(at(shard), None).unwrap(), 1);
    }
    // Those in use stay, whatever else is read.
    let used = || (0..8).for_each(|shard| assert_eq!(group.count(at(shard), None).unwrap(), 1));
    for shard in 20..100 {
        used();
        group.count(at(shard), None).unwrap();
        group.work(&WorkBudget::default()).unwrap();
    }
    used();
    assert!((0..8).all(|shard| group.is_loaded(at(shard))));
}

/// Shards of the test with threads; the odd ones are large enough for a graph.
const SHARDS: u32 = 8;
const ROUNDS: u64 = 120;
const SEED: u64 = 0x7e4a_4755;

/// Objects that a shard keeps from beginning to end.
fn lasting(shard: u32) -> u64 {
    if shard.is_multiple_of(2) { 5 } else { 60 }
}

/// One reader: lasting objects are always found, deleted ones never again, also in a shard that was just made inactive.
fn read(group: &DataGroup, seed: u64, done: &AtomicBool, round: &AtomicU64) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    while !done.load(Ordering::Acquire) {
        let shard = rng.random_range(0..SHARDS);
        let lasting = lasting(shard);
        let n = rng.random_range(0..lasting);
        assert_eq!(nearest(group, shard, n).first(), Some(&id(n)), "shard {shard}, seed {seed}");
        let gone = round.load(Ordering::Acquire);
        let found = nearest(group, shard, lasting + gone);
        let back = (0..gone).map(|n| id(lasting + n)).find(|id| found.contains(id));
        assert_eq!(back, None, "shard {shard}, seed {seed}: deleted before the search began");
        let count = group.count(at(shard), None).expect("a count");
        assert!((lasting..=lasting + 2).contains(&count), "shard {shard}, seed {seed}: {count} objects");
    }
}

#[test]
fn shards_may_leave_memory_at_any_time() {
    println!("seed {SEED}");
    let dir = tempdir().unwrap();
    let group = open(dir.path(), GroupOptions { loaded_shards_max: 3, ..options() }, SHARDS);
    for shard in 0..SHARDS {
        apply(&group, (0..=lasting(shard)).map(|n| write(shard, n)).collect());
    }
    let (done, round) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let budget = WorkBudget { vectors: StepBudget { link_max: 8, repair_max: 8 }, keys_max: 64 };
                while !done.load(Ordering::Acquire) {
                    group.work(&budget).expect("background work");
                }
            });
        }
        let readers: Vec<_> = (0..2)
            .map(|reader| {
                let (group, done, round) = (&group, &done, &round);
                scope.spawn(move || read(group, SEED + reader, done, round))
            })
            .collect();
        let mut rng = ChaCha8Rng::seed_from_u64(SEED);
        let mut versions = vec![1_u64; SHARDS as usize];
        for n in 0..ROUNDS {
            for shard in 0..SHARDS {
                let lasting = lasting(shard);
                apply(&group, vec![write(shard, lasting + n + 1)]);
                let gone = Command::Delete { at: at(shard), id: id(lasting + n) };
                assert_eq!(apply(&group, vec![gone]), [Outcome::Done]);
                if rng.random_bool(0.4) {
                    let version = &mut versions[shard as usize];
                    *version += 1;
                    let status = *[TenantStatus::Hot, TenantStatus::Cold].choose(&mut rng).expect("one of two");
                    put_shard(&group, shard, *version, status);
                }
            }
            round.store(n + 1, Ordering::Release);
            if readers.iter().any(std::thread::ScopedJoinHandle::is_finished) {
                break;
            }
        }
        done.store(true, Ordering::Release);
    });
    for shard in 0..SHARDS {
        assert_eq!(group.count(at(shard), None).unwrap(), lasting(shard) + 1);
        assert_eq!(group.audit_inverted(at(shard)).unwrap(), Vec::<String>::new());
        put_shard(&group, shard, u64::MAX, TenantStatus::Cold);
    }
    work(&group);
    let cold = group.metrics();
    assert_eq!((cold.shards_loaded, cold.indexes_loaded, cold.index_memory.resident_bytes()), (0, 0, 0), "{cold:?}");
}
