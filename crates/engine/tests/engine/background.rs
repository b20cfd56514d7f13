//! Background work: what it removes and joins, and that answers stay what they are.

use azimuth_engine::command::{Command, Outcome};
use azimuth_engine::group::{StateMachine, WorkBudget};
use azimuth_engine::ids::{CollectionId, ShardId};
use azimuth_engine::object::Value;
use azimuth_engine::query::{Filter, FilterValue, Operator, Path, Subject};
use azimuth_engine::schema::Primitive;
use tempfile::tempdir;

use crate::support::{apply, at, collection, id, object, one, open, put, text, work};

fn schema(id: u32) -> Command {
    let properties = vec![one("title", Primitive::Text), one("pages", Primitive::Int)];
    Command::PutCollection(Box::new(collection(id, &format!("Book{id}"), properties)))
}

fn write(collection: u32, n: u64) -> Command {
    let properties = [("title", text("red lamp")), ("pages", Value::Int((n % 3).cast_signed()))];
    put(at(collection), object(n, &properties, Some(&[1.0, n as f32])))
}

fn red() -> Filter {
    let path = Path { through: Vec::new(), subject: Subject::Property("title".into()) };
    Filter::Compare { path, operator: Operator::Equal, value: FilterValue::Text("red".into()) }
}

#[test]
fn a_sweep_joins_entries_and_takes_dead_ones_out() {
    let dir = tempdir().unwrap();
    let group = open(dir.path());
    apply(&group, vec![schema(1)]);
    for n in 0..300 {
        apply(&group, vec![write(1, n)]);
    }
    for n in 0..100 {
        assert_eq!(apply(&group, vec![Command::Delete { at: at(1), id: id(n) }]), [Outcome::Done]);
    }
    let hash = group.state_hash().unwrap();
    let swept = |group: &azimuth_engine::group::DataGroup| {
        let mut swept = 0;
        loop {
            let report = group.work(&WorkBudget { keys_max: 64, ..WorkBudget::default() }).unwrap();
            swept += report.swept;
            if !report.more {
                return swept;
            }
        }
    };
    let first = swept(&group);
    // One entry per value and batch: at least the two terms and the number of each object.
    assert!(first > 900, "{first} entries swept");
    assert_eq!(group.count(at(1), Some(&red())).unwrap(), 200);
    assert_eq!(group.state_hash().unwrap(), hash);
    assert_eq!(swept(&group), 0, "nothing is due");

    group.flush().unwrap();
    drop(group);
    let group = open(dir.path());
    assert_eq!(group.state_hash().unwrap(), hash);
    assert_eq!(swept(&group), 0, "the sweep is remembered");
    for n in 1_000..1_300 {
        apply(&group, vec![write(1, n)]);
    }
    let second = swept(&group);
    // Times differ from object to object, terms and numbers were joined before.
    assert!(second < first + 600, "{second} entries swept after {first}");
    assert_eq!(group.count(at(1), Some(&red())).unwrap(), 500);
}

#[test]
fn what_was_dropped_is_removed_also_after_a_restart() {
    let dir = tempdir().unwrap();
    let group = open(dir.path());
    apply(&group, vec![schema(1), schema(2)]);
    for n in 0..50 {
        apply(&group, vec![write(1, n), write(2, n)]);
    }
    work(&group);
    group.save_indexes().unwrap();
    apply(&group, vec![Command::DropCollection(CollectionId(1))]);
    assert!(group.count(at(1), None).is_err());
    group.flush().unwrap();
    drop(group);

    let group = open(dir.path());
    let mut purged = 0;
    loop {
        let report = group.work(&WorkBudget { keys_max: 100, ..WorkBudget::default() }).unwrap();
        purged += report.purged;
        if !report.more {
            break;
        }
    }
    assert!(purged >= 50 * 3, "{purged} keys removed");
    assert_eq!(group.count(at(2), Some(&red())).unwrap(), 50);
    let indexes = std::fs::read_dir(dir.path().join("hnsw")).map(|entries| {
        entries.filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with("c1-")).count()
    });
    assert_eq!(indexes.unwrap_or(0), 0);

    // Its number is never valid again.
    assert_eq!(apply(&group, vec![schema(1), write(1, 1)]), [Outcome::Done, Outcome::NotFound]);
    let dropped = Command::DropShard(CollectionId(2), ShardId::FIRST);
    assert_eq!(apply(&group, vec![dropped, write(2, 1)]), [Outcome::Done, Outcome::NotFound]);
}
