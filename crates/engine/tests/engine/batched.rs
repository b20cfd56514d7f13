//! Batched queries: each is answered as it would be on its own, beside writers too.

use std::sync::atomic::{AtomicBool, Ordering};

use azimuth_engine::data::DataGroup;
use azimuth_engine::object::Value;
use azimuth_engine::query::{Filter, FilterValue, Include, Near, Operator, Path, Projection, Query, Rank, Subject};
use azimuth_engine::replica::StateMachine;
use azimuth_engine::schema::Primitive;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tempfile::tempdir;

use crate::support::{VECTOR, apply, at, collection, object, one, open, put, work};
use azimuth_engine::command::Command;

const DIM: usize = 12;

fn vector(rng: &mut ChaCha8Rng) -> Vec<f32> {
    (0..DIM).map(|_| rng.random_range(-1.0..1.0)).collect()
}

fn write(rng: &mut ChaCha8Rng, n: u64) -> Command {
    let kind = Value::Int(i64::try_from(n % 3).unwrap());
    put(at(1), object(n, &[("kind", kind)], Some(&vector(rng))))
}

fn kind(kind: i64) -> Filter {
    let path = Path { through: Vec::new(), subject: Subject::Property("kind".into()) };
    Filter::Compare { path, operator: Operator::Equal, value: FilterValue::Int(kind) }
}

/// Searches by vector with and without filters and bounds, a listing, and some that fail.
fn queries(rng: &mut ChaCha8Rng) -> Vec<Query> {
    let mut queries: Vec<Query> = (0..24)
        .map(|n| Query {
            rank: Rank::Near(Near::to(VECTOR, vector(rng), (n % 4 == 0).then_some(0.7))),
            filter: (n % 3 > 0).then(|| kind(n % 3 - 1)),
            offset: usize::from(n % 5 == 0),
            limit: [1, 10, 40][usize::try_from(n).unwrap() % 3],
            sort: Vec::new(),
            include: Include {
                properties: if n % 2 == 0 { Projection::All } else { Projection::None },
                vectors: Vec::new(),
                ..Include::default()
            },
        })
        .collect();
    let first = queries[0].clone();
    queries.push(Query { rank: Rank::Listing { after: None }, ..first.clone() });
    queries.push(Query { rank: Rank::Near(Near::to(VECTOR, vec![1.0; DIM + 1], None)), ..first.clone() });
    let path = Path { through: Vec::new(), subject: Subject::Property("unknown".into()) };
    let unknown = Filter::Compare { path, operator: Operator::Equal, value: FilterValue::Int(1) };
    queries.push(Query { filter: Some(unknown), ..first.clone() });
    queries.push(Query { limit: 0, ..first });
    queries
}

fn check(group: &DataGroup, queries: &[Query]) {
    let together = group.search_many(at(1), queries);
    assert_eq!(together.len(), queries.len());
    for (query, found) in queries.iter().zip(together) {
        match (found, group.search(at(1), query)) {
            (Ok(found), Ok(alone)) => assert_eq!(found, alone),
            (Err(found), Err(alone)) => assert_eq!(found.to_string(), alone.to_string()),
            (found, alone) => panic!("together {found:?}, alone {alone:?}"),
        }
    }
}

#[test]
fn queries_together_answer_as_each_by_itself() {
    let seed = rand::random();
    println!("seed {seed}");
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let dir = tempdir().unwrap();
    let group = open(dir.path());
    let queries = queries(&mut rng);
    assert!(group.search_many(at(1), &queries).iter().all(Result::is_err), "there is no such collection");
    apply(&group, vec![Command::PutCollection(Box::new(collection(1, "Thing", vec![one("kind", Primitive::Int)])))]);
    check(&group, &queries);
    for batch in 0..20 {
        let commands = (0..50).map(|n| write(&mut rng, batch * 50 + n)).collect();
        apply(&group, commands);
    }
    check(&group, &queries);
    work(&group);
    check(&group, &queries);
    let deleted = (0..1_000).step_by(7).map(|n| Command::Delete { at: at(1), id: crate::support::id(n) });
    apply(&group, deleted.collect());
    check(&group, &queries);
    work(&group);
    check(&group, &queries);
}

/// Whole answers, of objects that match, while objects come, change and go.
#[test]
fn queries_together_stay_whole_beside_writers() {
    let seed = rand::random();
    println!("seed {seed}");
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let dir = tempdir().unwrap();
    let group = open(dir.path());
    apply(&group, vec![Command::PutCollection(Box::new(collection(1, "Thing", vec![one("kind", Primitive::Int)])))]);
    let all: Vec<_> = (0..600).map(|n| write(&mut rng, n)).collect();
    apply(&group, all);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut rng = ChaCha8Rng::seed_from_u64(seed ^ 1);
            for _ in 0..300 {
                // The first 300 stay, so that there is always enough to be found.
                let n = rng.random_range(300..600);
                let command = match rng.random_range(0..3) {
                    0 => Command::Delete { at: at(1), id: crate::support::id(n) },
                    _ => write(&mut rng, n),
                };
                apply(&group, vec![command]);
            }
            done.store(true, Ordering::Release);
        });
        let indexing = scope.spawn(|| {
            while !done.load(Ordering::Acquire) {
                work(&group);
            }
        });
        while !done.load(Ordering::Acquire) && !writer.is_finished() {
            let queries: Vec<Query> = (0..12)
                .map(|n| Query {
                    rank: Rank::Near(Near::to(VECTOR, vector(&mut rng), None)),
                    filter: (n % 2 == 0).then(|| kind(1)),
                    offset: 0,
                    limit: 20,
                    sort: Vec::new(),
                    include: Include { properties: Projection::All, vectors: Vec::new(), ..Include::default() },
                })
                .collect();
            for (query, hits) in queries.iter().zip(group.search_many(at(1), &queries)) {
                let hits = hits.unwrap();
                assert_eq!(hits.len(), 20);
                assert!(hits.is_sorted_by(|a, b| a.distance <= b.distance));
                let right = |hit: &azimuth_engine::query::Hit| hit.object.properties["kind"] == Value::Int(1);
                assert!(query.filter.is_none() || hits.iter().all(right));
            }
        }
        writer.join().unwrap();
        indexing.join().unwrap();
    });
    assert!(group.applied().unwrap().position.is_some());
}
