//! Indexes leave memory and come back while they are written, searched and deleted from.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use azimuth_engine::command::{Command, Outcome};
use azimuth_engine::data::{DataGroup, GroupOptions};
use azimuth_engine::maintain::{IndexBudget, WorkBudget};
use azimuth_engine::object::Value;
use azimuth_engine::query::{Include, Near, Query, Rank};
use azimuth_engine::schema::Primitive;
use azimuth_engine::vector::StepBudget;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tempfile::tempdir;
use uuid::Uuid;

use crate::support::{VECTOR, apply, at, collection, id, object, one, options, put, work};

/// Collections; the odd ones are large enough for a graph, the even ones are not.
const COLLECTIONS: u32 = 6;
/// Rounds of the writer: in each an object comes to every collection, and one goes.
const ROUNDS: u64 = 150;
const SEED: u64 = 0x0dd1_e5e7;

/// Objects that a collection keeps from beginning to end.
fn lasting(collection: u32) -> u64 {
    if collection.is_multiple_of(2) { 5 } else { 60 }
}

/// Object `n`; no two point in the same direction.
fn write(collection: u32, n: u64) -> Command {
    let angle = (n as f32 + 1.0) * 0.004;
    put(at(collection), object(n, &[("n", Value::Int(n.cast_signed()))], Some(&[angle.cos(), angle.sin()])))
}

/// The objects nearest to object `n`.
fn nearest(group: &DataGroup, collection: u32, n: u64) -> Vec<Uuid> {
    let angle = (n as f32 + 1.0) * 0.004;
    let query = Query {
        rank: Rank::Near(Near::to(VECTOR, vec![angle.cos(), angle.sin()], None)),
        filter: None,
        offset: 0,
        limit: 5,
        sort: Vec::new(),
        include: Include::default(),
    };
    group.search(at(collection), &query).expect("a search").into_iter().map(|hit| hit.object.id).collect()
}

/// One reader: lasting objects are always found, deleted ones never again.
fn read(group: &DataGroup, seed: u64, done: &AtomicBool, round: &AtomicU64) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    while !done.load(Ordering::Acquire) {
        let collection = rng.random_range(1..=COLLECTIONS);
        let lasting = lasting(collection);
        let n = rng.random_range(0..lasting);
        assert_eq!(nearest(group, collection, n).first(), Some(&id(n)), "collection {collection}, seed {seed}");
        // What came in a round goes in the next.
        let gone = round.load(Ordering::Acquire);
        let found = nearest(group, collection, lasting + gone);
        assert_eq!(found.len(), 5, "collection {collection}, seed {seed}");
        let back = (0..gone).map(|n| id(lasting + n)).find(|id| found.contains(id));
        assert_eq!(back, None, "collection {collection}, seed {seed}: deleted before the search began");
    }
}

#[test]
fn indexes_may_leave_memory_at_any_time() {
    println!("seed {SEED}");
    let dir = tempdir().unwrap();
    // Room for about one graph; no index without one stays.
    let options = GroupOptions { index_budget: IndexBudget::new(12_000, 64), ..options() };
    let (group, _) = DataGroup::open(dir.path(), options).unwrap();
    for n in 1..=COLLECTIONS {
        let schema = collection(n, &format!("Book{n}"), vec![one("n", Primitive::Int)]);
        apply(&group, vec![Command::PutCollection(Box::new(schema))]);
        apply(&group, (0..=lasting(n)).map(|m| write(n, m)).collect());
    }
    let (done, round) = (AtomicBool::new(false), AtomicU64::new(0));
    let most = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let budget = WorkBudget { vectors: StepBudget { link_max: 8, repair_max: 8 }, keys_max: 64 };
                while !done.load(Ordering::Acquire) {
                    group.work(&budget).expect("background work");
                    most.fetch_max(group.metrics().indexes_loaded, Ordering::Relaxed);
                }
            });
        }
        let readers: Vec<_> = (0..2)
            .map(|reader| {
                let (group, done, round) = (&group, &done, &round);
                scope.spawn(move || read(group, SEED + reader, done, round))
            })
            .collect();
        for n in 0..ROUNDS {
            for collection in 1..=COLLECTIONS {
                let lasting = lasting(collection);
                apply(&group, vec![write(collection, lasting + n + 1)]);
                let gone = Command::Delete { at: at(collection), id: id(lasting + n) };
                assert_eq!(apply(&group, vec![gone]), [Outcome::Done]);
            }
            round.store(n + 1, Ordering::Release);
            if readers.iter().any(std::thread::ScopedJoinHandle::is_finished) {
                break;
            }
        }
        done.store(true, Ordering::Release);
    });
    assert!(most.load(Ordering::Relaxed) <= u64::from(COLLECTIONS), "an index is listed once");

    // Nothing that is in memory is forgotten by the figures, by the budget or by background work.
    let loaded = || {
        let status = |n| group.shard_status(at(n)).expect("the collection is there");
        (1..=COLLECTIONS).flat_map(|n| status(n).vectors).filter(|vector| vector.index.is_some()).count() as u64
    };
    for n in 1..=COLLECTIONS {
        assert_eq!(nearest(&group, n, 0).first(), Some(&id(0)));
    }
    assert_eq!(group.metrics().indexes_loaded, loaded());
    work(&group);
    let after = group.metrics();
    assert_eq!(after.indexes_loaded, loaded());
    assert_eq!(after.vector_queue, 0);
    assert!(after.index_memory.resident_bytes() <= 12_000 && !group.index_memory_full(), "{after:?}");
    for n in 1..=COLLECTIONS {
        assert_eq!(group.count(at(n), None).unwrap(), lasting(n) + 1);
    }
}
