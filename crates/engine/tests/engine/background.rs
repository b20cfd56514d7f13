//! Background work: what it removes and joins, and that answers stay what they are.

use azimuth_engine::command::{Command, Outcome};
use azimuth_engine::data::{DataGroup, GroupOptions};
use azimuth_engine::ids::{CollectionId, ShardId};
use azimuth_engine::maintain::{IndexBudget, WorkBudget};
use azimuth_engine::object::Value;
use azimuth_engine::query::{Filter, FilterValue, Include, Near, Operator, Path, Query, Rank, Subject};
use azimuth_engine::replica::StateMachine;
use azimuth_engine::schema::Primitive;
use azimuth_engine::vector::StepBudget;
use tempfile::tempdir;

use crate::support::{VECTOR, apply, at, collection, copy_as_killed, id, object, one, open, options, put, text, work};

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
    let compacted = |group: &DataGroup| {
        let mut compacted = 0;
        loop {
            let report = group.work(&WorkBudget { keys_max: 64, ..WorkBudget::default() }).unwrap();
            compacted += report.compacted;
            if !report.more {
                return compacted;
            }
        }
    };
    let first = compacted(&group);
    // One entry per value and batch: at least the two terms and the number of each object.
    assert!(first > 900, "{first} entries compacted");
    assert_eq!(group.count(at(1), Some(&red())).unwrap(), 200);
    assert_eq!(group.state_hash().unwrap(), hash);
    assert_eq!(compacted(&group), 0, "nothing is due");

    group.flush().unwrap();
    drop(group);
    let group = open(dir.path());
    assert_eq!(group.state_hash().unwrap(), hash);
    assert_eq!(compacted(&group), 0, "the compaction is remembered");
    for n in 1_000..1_300 {
        apply(&group, vec![write(1, n)]);
    }
    let second = compacted(&group);
    // Times differ from object to object, terms and numbers were joined before.
    assert!(second < first + 600, "{second} entries compacted after {first}");
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
    assert_eq!(purged, 1);
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

/// Nearest neighbours of the query, by object.
fn nearest(group: &DataGroup, collection: u32, n: f32) -> Vec<uuid::Uuid> {
    let near = Near::to(VECTOR, vec![1.0, n], None);
    let query = Query {
        rank: Rank::Near(near),
        filter: None,
        offset: 0,
        limit: 5,
        sort: Vec::new(),
        include: Include::default(),
    };
    let hits = group.search(at(collection), &query).unwrap();
    hits.into_iter().map(|hit| hit.object.id).collect()
}

#[test]
fn graphs_beyond_the_budget_leave_memory_and_come_back_by_their_files() {
    let dir = tempdir().unwrap();
    let open = |bytes_max: u64| {
        let options = GroupOptions { index_budget: IndexBudget::new(bytes_max, 64), ..options() };
        DataGroup::open(dir.path(), options).unwrap().0
    };
    let group = open(u64::MAX);
    for collection in 1..=4 {
        apply(&group, vec![schema(collection)]);
        for n in 0..200 {
            apply(&group, vec![write(collection, n)]);
        }
    }
    work(&group);
    let all = group.metrics();
    assert_eq!((all.indexes_loaded, all.vector_queue), (4, 0));
    assert!(!group.index_memory_full());
    let wanted: Vec<_> = (1..=4).map(|collection| nearest(&group, collection, 50.0)).collect();
    group.flush().unwrap();
    drop(group);

    let bytes = all.index_memory.resident_bytes();
    let group = open(bytes / 2);
    for _ in 0..2 {
        for (collection, wanted) in (1..=4).zip(&wanted) {
            assert_eq!(nearest(&group, collection, 50.0), *wanted);
            work(&group);
            let held = group.metrics();
            assert!(held.index_memory.resident_bytes() <= bytes / 2, "{held:?} of {bytes}");
            assert!(held.indexes_loaded < 4, "{held:?}");
            assert!(!group.index_memory_full());
        }
    }
    // What still has vectors to link stays, and the budget is reported as exceeded.
    drop(group);
    let group = open(1);
    for n in 200..240 {
        apply(&group, vec![write(1, n)]);
    }
    nearest(&group, 1, 50.0);
    let pending = group.metrics();
    assert!(pending.indexes_loaded >= 1 && pending.vector_queue > 0, "{pending:?}");
    let mut was_full = false;
    let little = WorkBudget { vectors: StepBudget { link_max: 1, repair_max: 1 }, keys_max: 1 };
    while group.work(&little).unwrap().more {
        was_full |= group.index_memory_full();
    }
    assert!(was_full);
    assert!(!group.index_memory_full());
    assert_eq!(group.metrics().indexes_loaded, 0);
}

/// Works until nothing is due, and returns how many shards were inspected at.
fn inspected(group: &DataGroup) -> usize {
    let mut inspected = 0;
    loop {
        let report = group.work(&WorkBudget::default()).unwrap();
        inspected += report.inspected;
        if !report.more {
            return inspected;
        }
    }
}

#[test]
fn a_start_looks_only_at_what_changed_since_the_last_look() {
    const COLLECTIONS: u32 = 100;
    let dir = tempdir().unwrap();
    let [path, copy] = ["group", "copy"].map(|name| dir.path().join(name));
    let group = open(&path);
    for n in 1..=COLLECTIONS {
        apply(&group, vec![schema(n), write(n, 0)]);
    }
    assert_eq!(inspected(&group), 0, "one object each is nothing to inspect");
    group.flush().unwrap();
    drop(group);

    let group = open(&path);
    assert_eq!(inspected(&group), COLLECTIONS as usize, "all changed since the group was made");
    group.flush().unwrap();
    drop(group);

    let group = open(&path);
    assert_eq!(inspected(&group), 0, "nothing changed");
    apply(&group, vec![write(7, 1)]);
    apply(&group, vec![Command::Delete { at: at(9), id: id(0) }]);
    let crashed = copy_as_killed(&path);
    let after_crash = open(crashed.path());
    assert_eq!(inspected(&after_crash), 0, "it is where the last flush left it; the log brings both again");
    drop(after_crash);
    apply(&group, vec![write(10, 1), Command::DropCollection(CollectionId(10))]);
    group.flush().unwrap();
    drop(group);

    let group = open(&path);
    assert_eq!(inspected(&group), 2, "one grew, one lost an object, one is gone");
    apply(&group, vec![write(11, 1)]);
    // Makes the store durable at a position of which no flush recorded what is due.
    group.checkpoint(&copy).unwrap();
    drop(group);

    let group = open(&path);
    assert_eq!(inspected(&group), COLLECTIONS as usize - 1, "what is due at this position is not known");
}

/// What a crash in the middle of an import makes to be linked again is what was linked since the last save.
#[test]
fn graphs_that_grow_are_saved_before_they_are_complete() {
    let dir = tempdir().unwrap();
    let open = |dir: &std::path::Path| {
        let options = GroupOptions { save_growth_min: 100, ..options() };
        DataGroup::open(dir, options).unwrap().0
    };
    let group = open(dir.path());
    apply(&group, vec![schema(1)]);
    apply(&group, (0..1_000).map(|n| write(1, n)).collect());
    let step = WorkBudget { vectors: StepBudget { link_max: 10, repair_max: 10 }, keys_max: 50 };
    let link_until = |group: &DataGroup, waiting: u64| {
        nearest(group, 1, 50.0);
        while group.metrics().vector_queue > waiting {
            group.work(&step).unwrap();
        }
    };
    link_until(&group, 990);
    group.save_grown_indexes().unwrap();
    assert!(dir.path().join("hnsw").exists(), "what came in is worth a save");
    link_until(&group, 850);
    group.save_grown_indexes().unwrap();
    link_until(&group, 800);
    // Too little for another save.
    group.save_grown_indexes().unwrap();
    group.flush().unwrap();

    let crashed = copy_as_killed(dir.path());
    let opened = open(crashed.path());
    nearest(&opened, 1, 50.0);
    let waiting = opened.metrics().vector_queue;
    assert!((840..=850).contains(&waiting), "{waiting} of 1,000 wait to be linked");
    work(&opened);
    assert_eq!(nearest(&opened, 1, 50.0), {
        work(&group);
        nearest(&group, 1, 50.0)
    });
}
