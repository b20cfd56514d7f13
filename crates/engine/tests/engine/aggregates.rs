//! Aggregates by columns and by rows are the same, and their parts add up; their memory is charged, and they can be ended.

use azimuth_engine::Error;
use azimuth_engine::data::DataGroup;
use azimuth_engine::ids::DocId;
use azimuth_engine::interrupt::{Cause, Interrupt};
use azimuth_engine::object::{Date, Value};
use azimuth_engine::query::{
    Aggregate, Among, Charge, Group, ShardAnswer, ShardRead, Summarised, Summary, merge_groups,
};
use azimuth_engine::schema::{DataType, Primitive};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tempfile::{TempDir, tempdir};

use crate::support::{apply, at, collection, object, one, open, property, put, text, work};

use azimuth_engine::command::Command;
use std::sync::Arc;

const NAMES: [&str; 6] = ["n", "x", "label", "tags", "day", "paid"];

/// A group with one collection of `count` random objects, some of which were written twice.
fn group(seed: u64, count: u64) -> (TempDir, Arc<DataGroup>) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let dir = tempdir().unwrap();
    let group = open(dir.path());
    let properties = vec![
        one("n", Primitive::Int),
        one("x", Primitive::Number),
        one("label", Primitive::Text),
        property("tags", DataType::Primitive { of: Primitive::Text, list: true }),
        one("day", Primitive::Date),
        one("paid", Primitive::Boolean),
    ];
    apply(&group, vec![Command::PutCollection(Box::new(collection(1, "Order", properties)))]);
    for round in 0..2 {
        let written = (0..count).filter(|_| round == 0 || rng.random_bool(0.3)).collect::<Vec<_>>();
        for batch in written.chunks(50) {
            let commands = batch.iter().map(|n| put(at(1), random(*n, &mut rng))).collect();
            apply(&group, commands);
        }
        work(&group);
    }
    (dir, group)
}

fn random(n: u64, rng: &mut ChaCha8Rng) -> azimuth_engine::object::Object {
    // A text that columns do not hold.
    let label = if rng.random_bool(0.1) { "long".repeat(100) } else { format!("label {}", rng.random_range(0..5)) };
    let tags = (0..rng.random_range(0..4)).map(|_| text(&format!("t{}", rng.random_range(0..3)))).collect();
    let day = Date { unix_s: rng.random_range(0..4) * 100, nanos: 0, offset_s: rng.random_range(0..2) * 3_600 };
    let all = [
        ("n", Value::Int(rng.random_range(-3..3))),
        ("x", Value::Number(f64::from(rng.random_range(-8..8)) / 4.0)),
        ("label", text(&label)),
        ("tags", Value::List(tags)),
        ("day", Value::Date(day)),
        ("paid", Value::Bool(rng.random_bool(0.5))),
    ];
    let some: Vec<(&str, Value)> = all.into_iter().filter(|_| rng.random_bool(0.8)).collect();
    object(n, &some, None)
}

fn aggregate(by: Option<&str>, charge: Charge) -> Aggregate {
    let summarised = |name: &str| Summarised { name: name.to_owned(), frequencies: true };
    Aggregate { group_by: by.map(str::to_owned), properties: NAMES.map(summarised).to_vec(), charge }
}

fn read(group: &DataGroup, among: Among, aggregate: Aggregate) -> azimuth_engine::Result<Vec<Group>> {
    match group.execute(ShardRead::Aggregate { at: at(1), among, aggregate })? {
        ShardAnswer::Groups(groups) => Ok(groups),
        other => panic!("{other:?}"),
    }
}

#[test]
fn columns_and_rows_give_the_same_and_parts_add_up() {
    for seed in 0..4 {
        println!("seed {seed}");
        let count = 300;
        let (_dir, group) = group(seed, count);
        for by in [None, Some("n"), Some("label"), Some("tags"), Some("day"), Some("paid"), Some("x")] {
            let whole = read(&group, Among::All, aggregate(by, Charge::default())).unwrap();
            // So few of a chunk are read by their rows.
            let doc_ids: Vec<DocId> = (0..2 * count).map(DocId).collect();
            let part = |doc_ids: &[DocId]| {
                read(&group, Among::Versions(doc_ids.to_vec()), aggregate(by, Charge::default())).unwrap()
            };
            let parts: Vec<Vec<Group>> = doc_ids.chunks(20).map(part).collect();
            assert_eq!(merge_groups(parts), whole, "by {by:?}");
            let objects: u64 = whole.iter().map(|group| group.count).sum();
            assert!(by.is_some() || objects == count, "{objects} objects");
            let ints = whole.iter().map(|group| match &group.properties[0] {
                Summary::Ints { values, sum } => {
                    let counted: i128 =
                        values.frequencies.iter().map(|(n, times)| i128::from(*n * *times as i64)).sum();
                    assert_eq!(counted, *sum);
                    values.count
                }
                other => panic!("{other:?}"),
            });
            assert!(ints.sum::<u64>() > 0);
        }
    }
}

#[test]
fn counts_need_no_values() {
    let (_dir, group) = group(1, 40);
    let nothing = Aggregate::default();
    let counted = read(&group, Among::All, nothing.clone()).unwrap();
    assert_eq!(counted, [Group { value: None, count: 40, properties: Vec::new() }]);
    let gone = vec![Command::Delete { at: at(1), id: crate::support::id(7) }];
    apply(&group, gone);
    assert_eq!(read(&group, Among::All, nothing.clone()).unwrap()[0].count, 39, "at once");
    assert_eq!(read(&group, Among::Versions(Vec::new()), nothing).unwrap()[0].count, 0);
    let by_nothing = Aggregate { group_by: Some("nothing".into()), ..Aggregate::default() };
    assert_eq!(read(&group, Among::All, by_nothing).unwrap(), []);
    let unknown = Summarised { name: "nothing".into(), frequencies: false };
    let refused = read(&group, Among::All, Aggregate { properties: vec![unknown], ..Aggregate::default() });
    assert!(matches!(refused, Err(Error::Invalid(why)) if why.contains("nothing")));
}

#[test]
fn memory_is_charged_and_an_interrupt_ends_it() {
    let (_dir, group) = group(2, 300);
    let refuse = Charge::new(|bytes| if bytes > 0 { Err(Error::TooLarge("no room".into())) } else { Ok(()) });
    let refused = read(&group, Among::All, aggregate(Some("x"), refuse));
    assert_eq!(refused, Err(Error::TooLarge("no room".into())));
    let interrupt = Interrupt::new();
    interrupt.raise(Cause::Cancelled);
    let ended = interrupt.watch(|| read(&group, Among::All, aggregate(None, Charge::default())));
    assert_eq!(ended, Err(Error::Interrupted(Cause::Cancelled)));
}
