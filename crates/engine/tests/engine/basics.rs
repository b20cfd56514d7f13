//! Writing, reading, listing and searching by vector, with a restart in between.

use azimuth_engine::command::{Command, Outcome, PutMode};
use azimuth_engine::object::{Value, Vector};
use azimuth_engine::query::{Include, Near, Projection, Query, Rank};
use azimuth_engine::replica::StateMachine;
use azimuth_engine::schema::Primitive;
use tempfile::tempdir;

use crate::support::{VECTOR, apply, at, collection, id, object, one, open, put, text, work};

fn schema() -> Command {
    let properties = vec![one("title", Primitive::Text), one("pages", Primitive::Int)];
    Command::PutCollection(Box::new(collection(1, "Book", properties)))
}

fn all() -> Include {
    Include { properties: Projection::All, vectors: vec![VECTOR], ..Include::default() }
}

fn listing(limit: usize) -> Query {
    let rank = Rank::Listing { after: None };
    Query { rank, filter: None, offset: 0, limit, sort: Vec::new(), include: Include::default() }
}

fn near(query: &[f32], limit: usize) -> Query {
    let near = Near::to(VECTOR, query.to_vec(), None);
    Query { rank: Rank::Near(near), ..listing(limit) }
}

#[test]
fn what_was_written_is_read_after_flush_and_restart() {
    let dir = tempdir().unwrap();
    let group = open(dir.path());
    apply(&group, vec![schema()]);
    let objects: Vec<_> = (0_u8..50)
        .map(|n| {
            let properties = [("title", text(&format!("book {n}"))), ("pages", Value::Int(n.into()))];
            object(n.into(), &properties, Some(&[f32::from(n), 1.0, 0.5]))
        })
        .collect();
    let outcomes = apply(&group, objects.iter().cloned().map(|object| put(at(1), object)).collect());
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Written { .. })), "{outcomes:?}");

    let check = |group: &azimuth_engine::data::DataGroup| {
        for object in &objects {
            let stored = group.get(at(1), object.id, &all()).unwrap().expect("the object is there");
            assert_eq!(stored.object, *object);
        }
        assert_eq!(group.get(at(1), id(999), &all()).unwrap(), None);
        assert_eq!(group.count(at(1), None).unwrap(), 50);
        let mut ids: Vec<_> = objects.iter().map(|object| object.id).collect();
        ids.sort_unstable();
        let listed: Vec<_> = group.search(at(1), &listing(100)).unwrap().iter().map(|hit| hit.object.id).collect();
        assert_eq!(listed, ids);
        let hits = group.search(at(1), &near(&[49.0, 1.0, 0.5], 3)).unwrap();
        assert_eq!(hits.iter().map(|hit| hit.object.id).collect::<Vec<_>>(), [id(49), id(48), id(47)]);
        assert_eq!(group.vector_dimension(at(1), VECTOR), Some(3));
    };
    check(&group);
    let hash = group.state_hash().unwrap();
    let position = group.flush().unwrap();
    work(&group);
    check(&group);
    drop(group);

    let group = open(dir.path());
    assert_eq!(group.applied().unwrap().position, position);
    assert_eq!(group.durable(), position);
    assert_eq!(group.state_hash().unwrap(), hash);
    check(&group);
}

#[test]
fn outcomes_tell_what_became_of_commands_of_one_batch() {
    let dir = tempdir().unwrap();
    let group = open(dir.path());
    apply(&group, vec![schema()]);
    let write = |mode, n, vector: &[f32]| Command::Put {
        at: at(1),
        mode,
        object: Box::new(object(n, &[("title", text("t"))], Some(vector))),
    };
    let outcomes = apply(
        &group,
        vec![
            write(PutMode::Insert, 1, &[1.0, 0.0]),
            write(PutMode::Insert, 1, &[1.0, 0.0]),
            write(PutMode::Replace, 2, &[1.0, 0.0]),
            write(PutMode::Upsert, 1, &[1.0, 0.0, 0.0]),
            write(PutMode::Replace, 1, &[0.0, 1.0]),
            Command::Delete { at: at(1), id: id(1) },
            Command::Delete { at: at(1), id: id(1) },
            write(PutMode::Insert, 1, &[f32::NAN, 1.0]),
            write(PutMode::Insert, 1, &[0.5, 1.0]),
            Command::Delete { at: at(9), id: id(1) },
        ],
    );
    assert!(matches!(outcomes[0], Outcome::Written { .. }));
    assert_eq!(outcomes[1], Outcome::Exists);
    assert_eq!(outcomes[2], Outcome::NotFound);
    assert_eq!(outcomes[3], Outcome::WrongDimension { vector: VECTOR, given: 3, expected: 2 });
    assert!(matches!(outcomes[4], Outcome::Written { created_ms: 1_001, .. }));
    assert_eq!(outcomes[5], Outcome::Done);
    assert_eq!(outcomes[6], Outcome::NotFound);
    assert!(matches!(outcomes[7], Outcome::Refused(_)));
    assert!(matches!(outcomes[8], Outcome::Written { .. }));
    assert_eq!(outcomes[9], Outcome::NotFound);

    let stored = group.get(at(1), id(1), &all()).unwrap().unwrap().object;
    assert_eq!(stored.vectors[&VECTOR], Vector::Single(vec![0.5, 1.0]));
    assert_eq!(group.count(at(1), None).unwrap(), 1);
}
