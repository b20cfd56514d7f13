//! Many changes of one object in one entry are one write, whose outcomes are those of the changes one by one.

use std::collections::BTreeMap;

use azimuth_engine::command::{Command, Outcome, Patch};
use azimuth_engine::data::DataGroup;
use azimuth_engine::ids::DocId;
use azimuth_engine::object::{Beacon, Value, Vector};
use azimuth_engine::query::{Include, Projection};
use azimuth_engine::replica::StateMachine;
use azimuth_engine::schema::{DataType, Primitive};
use tempfile::TempDir;

use crate::support::{VECTOR, apply, at, collection, entry, id, object, one, open, property, put, text};

const CHANGES: u64 = 3_000;

fn beacon(n: u64) -> Beacon {
    Beacon { collection: Some("Book".into()), id: id(n) }
}

fn refer(n: u64) -> Command {
    let set = BTreeMap::from([("of".to_owned(), Value::References(vec![beacon(n)]))]);
    merge(Patch { set, ..Patch::default() })
}

fn merge(patch: Patch) -> Command {
    Command::Merge { at: at(1), id: id(1), patch: Box::new(patch), updated_ms: 9 }
}

fn group() -> (TempDir, std::sync::Arc<DataGroup>) {
    let dir = TempDir::new().unwrap();
    let group = open(dir.path());
    let properties = vec![one("title", Primitive::Text), property("of", DataType::Reference(vec!["Book".into()]))];
    let first = object(1, &[("title", text("red lamp"))], Some(&[1.0, 2.0]));
    apply(&group, vec![Command::PutCollection(Box::new(collection(1, "Book", properties))), put(at(1), first)]);
    (dir, group)
}

fn references(group: &DataGroup) -> Vec<Beacon> {
    let include = Include { properties: Projection::All, vectors: vec![VECTOR], ..Include::default() };
    let stored = group.get(at(1), id(1), &include).unwrap().expect("the object");
    assert_eq!(stored.object.vectors.get(&VECTOR), Some(&Vector::Single(vec![1.0, 2.0])));
    match stored.object.properties.get("of") {
        Some(Value::References(beacons)) => beacons.clone(),
        other => panic!("no references: {other:?}"),
    }
}

#[test]
fn changes_of_one_object_are_written_once_per_entry() {
    let (_dir, together) = group();
    let before = together.metrics().versions_written;
    let outcomes = apply(&together, (0..CHANGES).map(refer).collect());
    let wanted = (1..=CHANGES).map(|doc_id| Outcome::Written { doc_id: DocId(doc_id), created_ms: 1_001 });
    assert_eq!(outcomes, wanted.collect::<Vec<_>>());
    assert_eq!(together.metrics().versions_written - before, 1);
    assert_eq!(references(&together), (0..CHANGES).map(beacon).collect::<Vec<_>>());

    let (_dir, apart) = group();
    apart.apply((0..CHANGES).map(|n| entry(n + 2, vec![refer(n)])).collect()).unwrap();
    assert_eq!(apart.state_hash().unwrap(), together.state_hash().unwrap());

    // Puts of whole objects are folded too, and so is an object that is deleted before the entry ends.
    let before = together.metrics().versions_written;
    let mut commands: Vec<Command> =
        (0..CHANGES).map(|n| put(at(1), object(2, &[("title", text(&format!("take {n}")))], None))).collect();
    commands.push(put(at(1), object(3, &[], None)));
    commands.push(Command::Delete { at: at(1), id: id(3) });
    apply(&together, commands);
    assert_eq!(together.metrics().versions_written - before, 1);
    assert_eq!(together.count(at(1), None).unwrap(), 2);
}

#[test]
fn a_refused_change_among_others_changes_nothing() {
    let (_dir, group) = group();
    let wrong = Patch {
        set: BTreeMap::from([("title".to_owned(), text("never seen"))]),
        vectors: BTreeMap::from([(VECTOR, Some(Vector::Single(vec![1.0; 7])))]),
        ..Patch::default()
    };
    let outcomes = apply(&group, vec![refer(1), merge(wrong), refer(2)]);
    assert!(matches!(outcomes[1], Outcome::WrongDimension { given: 7, expected: 2, .. }), "{outcomes:?}");
    assert_eq!(references(&group), [beacon(1), beacon(2)]);
    let stored = group
        .get(at(1), id(1), &Include { properties: Projection::All, vectors: Vec::new(), ..Include::default() })
        .unwrap()
        .unwrap();
    assert_eq!(stored.object.properties["title"], text("red lamp"));
    assert_eq!(stored.doc_id, DocId(2));
}

#[test]
fn each_reference_that_is_taken_out_goes_once() {
    let (_dir, group) = group();
    let there = [1, 2, 1, 3, 1, 2];
    apply(&group, there.iter().map(|n| refer(*n)).collect());
    let gone = BTreeMap::from([("of".to_owned(), [1, 9, 2, 1].map(beacon).to_vec())]);
    apply(&group, vec![merge(Patch { remove_references: gone, ..Patch::default() })]);
    assert_eq!(references(&group), [3, 1, 2].map(beacon));
}

#[test]
fn a_version_is_deleted_only_while_it_is_the_present_one() {
    let (_dir, group) = group();
    let delete = |doc_id| Command::DeleteVersion { at: at(1), id: id(1), doc_id: DocId(doc_id) };
    let outcomes = apply(&group, vec![refer(1), delete(0)]);
    assert!(matches!(outcomes[1], Outcome::Conflict(_)), "{outcomes:?}");
    assert!(group.exists(at(1), id(1)).unwrap());
    assert_eq!(apply(&group, vec![delete(1), delete(1)]), [Outcome::Done, Outcome::NotFound]);
    assert!(!group.exists(at(1), id(1)).unwrap());
}
