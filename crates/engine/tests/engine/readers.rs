//! Readers beside a writer: each read answers from one moment.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use azimuth_engine::command::Command;
use azimuth_engine::object::Value;
use azimuth_engine::query::{Filter, FilterValue, Include, Near, Operator, Path, Projection, Query, Rank, Subject};
use azimuth_engine::schema::Primitive;
use tempfile::tempdir;

use crate::support::{VECTOR, apply, at, collection, id, object, one, open, put, text, work};

const OBJECTS: u64 = 30;

#[test]
fn objects_that_are_only_ever_replaced_are_always_found() {
    let dir = tempdir().unwrap();
    let group = open(dir.path());
    let properties = vec![one("title", Primitive::Text), one("round", Primitive::Int)];
    apply(&group, vec![Command::PutCollection(Box::new(collection(1, "Book", properties)))]);
    let batch = |round: i64| -> Vec<Command> {
        let write = |n: u64| {
            let angle =
                f32::from(u16::try_from(n).unwrap()) * 0.1 + 0.001 * f32::from(i16::try_from(round % 100).unwrap());
            let properties = [("title", text("same title")), ("round", Value::Int(round))];
            put(at(1), object(n, &properties, Some(&[angle.cos(), angle.sin()])))
        };
        (0..OBJECTS).map(write).collect()
    };
    apply(&group, batch(0));

    let query = |rank, filter| {
        let include = Include { properties: Projection::All, vectors: Vec::new(), ..Include::default() };
        Query { rank, filter, offset: 0, limit: 100, sort: Vec::new(), include }
    };
    let near = || Rank::Near(Near::to(VECTOR, vec![1.0, 0.5], None));
    let title = || {
        let path = Path { through: Vec::new(), subject: Subject::Property("title".into()) };
        Some(Filter::Compare { path, operator: Operator::Equal, value: FilterValue::Text("title".into()) })
    };
    let listing = || Rank::Listing { after: None };
    let queries = [query(listing(), None), query(listing(), title()), query(near(), None), query(near(), title())];

    let done = AtomicBool::new(false);
    let (group, queries, done) = (&*group, &queries, &done);
    thread::scope(|scope| {
        for (reader, query) in queries.iter().enumerate() {
            scope.spawn(move || {
                let mut reads = 0_u64;
                while !done.load(Ordering::Relaxed) || reads < 20 {
                    let hits = group.search(at(1), query).unwrap();
                    let mut ids: Vec<_> = hits.iter().map(|hit| hit.object.id).collect();
                    ids.sort_unstable();
                    ids.dedup();
                    assert_eq!(ids.len() as u64, OBJECTS, "query {reader}, read {reads}");
                    let round = &hits[0].object.properties["round"];
                    assert!(hits.iter().all(|hit| hit.object.properties["round"] == *round), "a batch is seen whole");
                    assert!(group.get(at(1), id(reads % OBJECTS), &Include::default()).unwrap().is_some());
                    assert_eq!(group.count(at(1), query.filter.as_ref()).unwrap(), OBJECTS);
                    reads += 1;
                }
            });
        }
        for round in 1..300 {
            apply(group, batch(round));
            if round % 50 == 0 {
                work(group);
            }
        }
        done.store(true, Ordering::Relaxed);
    });
}
