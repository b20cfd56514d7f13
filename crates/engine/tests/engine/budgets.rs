//! Memory that the data groups of one process share.

use std::path::Path;
use std::sync::Arc;

use azimuth_engine::command::Command;
use azimuth_engine::data::{DataGroup, GroupOptions};
use azimuth_engine::ids::GroupId;
use azimuth_engine::maintain::{IndexBudget, WorkBudget};
use azimuth_engine::query::{Include, Near, Query, Rank};
use azimuth_engine::replica::StateMachine;
use azimuth_engine::schema::Primitive;
use azimuth_engine::storage::StorageBudget;
use azimuth_engine::vector::StepBudget;
use tempfile::tempdir;
use uuid::Uuid;

use crate::support::{VECTOR, apply, at, collection, id, object, one, options, put, text, work};

const GROUPS: [GroupId; 2] = [GroupId(1), GroupId(2)];
const COLLECTIONS: u32 = 3;
const OBJECTS: u64 = 200;

/// Opens both groups with one budget.
fn open(dir: &Path, budget: &IndexBudget) -> [Arc<DataGroup>; 2] {
    let shared =
        GroupOptions { index_budget: budget.clone(), storage: StorageBudget::new(1 << 20, 64 << 20), ..options() };
    GROUPS.map(|group| {
        let options = GroupOptions { group, ..shared.clone() };
        DataGroup::open(&dir.join(format!("g{group}")), options).unwrap().0
    })
}

fn write(collection: u32, n: u64) -> Command {
    put(at(collection), object(n, &[("title", text("red lamp"))], Some(&[1.0, n as f32])))
}

fn fill(group: &DataGroup) {
    for n in 1..=COLLECTIONS {
        let schema = collection(n, &format!("Book{n}"), vec![one("title", Primitive::Text)]);
        apply(group, vec![Command::PutCollection(Box::new(schema))]);
        apply(group, (0..OBJECTS).map(|object| write(n, object)).collect());
    }
    work(group);
    group.flush().unwrap();
}

fn nearest(group: &DataGroup, collection: u32) -> Vec<Uuid> {
    let near = Near::to(VECTOR, vec![1.0, 50.0], None);
    let (rank, include) = (Rank::Near(near), Include::default());
    let query = Query { rank, filter: None, offset: 0, limit: 5, sort: Vec::new(), include };
    group.search(at(collection), &query).unwrap().into_iter().map(|hit| hit.object.id).collect()
}

fn held_bytes(groups: &[Arc<DataGroup>; 2]) -> u64 {
    groups.iter().map(|group| group.metrics().index_memory.resident_bytes()).sum()
}

#[test]
fn groups_of_a_process_share_the_memory_of_vector_indexes() {
    let dir = tempdir().unwrap();
    let groups = open(dir.path(), &IndexBudget::new(u64::MAX, 64));
    groups.iter().for_each(|group| fill(group));
    let all = held_bytes(&groups);
    let wanted = nearest(&groups[0], 1);
    assert_eq!((wanted.len(), groups[0].metrics().indexes_loaded), (5, COLLECTIONS.into()));
    drop(groups);

    // Each group alone would fit, both together do not.
    let budget = IndexBudget::new(all * 2 / 3, 64);
    let groups = open(dir.path(), &budget);
    for _ in 0..2 {
        for group in &groups {
            for collection in 1..=COLLECTIONS {
                assert_eq!(nearest(group, collection), wanted);
                work(group);
                assert!(held_bytes(&groups) <= budget.bytes_max(), "{} of {all}", held_bytes(&groups));
            }
        }
        let [first, second] = [&groups[0], &groups[1]].map(|group| group.metrics().indexes_loaded);
        assert_eq!(second, COLLECTIONS.into(), "its indexes were used last");
        assert!(first < COLLECTIONS.into(), "it had to give way, and does no work itself");
    }
    let [first, second] = [&groups[0], &groups[1]].map(|group| group.metrics());
    assert_eq!(first.index_bytes_max, second.index_bytes_max);

    // The state of the second group is replaced, as by a snapshot of another replica.
    let copy = dir.path().join("copy");
    let position = groups[1].checkpoint(&copy).unwrap().position.unwrap();
    let next = groups[1].install(&copy, position).unwrap();
    for _ in 0..2 {
        for collection in 1..=COLLECTIONS {
            assert_eq!([nearest(&groups[0], collection), nearest(&next, collection)], [wanted.clone(), wanted.clone()]);
            work(&groups[0]);
            work(&next);
        }
    }
    assert!(held_bytes(&[groups[0].clone(), next]) <= budget.bytes_max());
}

#[test]
fn a_group_without_room_is_full_for_all() {
    let dir = tempdir().unwrap();
    let groups = open(dir.path(), &IndexBudget::new(1, 64));
    groups.iter().for_each(|group| fill(group));
    assert!(groups.iter().all(|group| !group.index_memory_full()));
    apply(&groups[1], (OBJECTS..OBJECTS + 40).map(|n| write(1, n)).collect());
    nearest(&groups[1], 1);
    let mut was_full = [false; 2];
    let little = WorkBudget { vectors: StepBudget { link_max: 1, repair_max: 1 }, keys_max: 1 };
    while groups[1].work(&little).unwrap().more {
        groups.iter().zip(&mut was_full).for_each(|(group, was)| *was |= group.index_memory_full());
    }
    assert_eq!(was_full, [true; 2]);
    assert!(groups.iter().all(|group| !group.index_memory_full()));
    assert_eq!(nearest(&groups[0], 1), nearest(&groups[1], 1));
    assert!(nearest(&groups[0], 1).contains(&id(50)));
}

#[test]
fn groups_of_a_process_share_the_cache_and_the_write_buffers_of_rocksdb() {
    let dir = tempdir().unwrap();
    let groups = open(dir.path(), &IndexBudget::new(u64::MAX, 64));
    let bytes = || {
        let metrics = [&groups[0], &groups[1]].map(|group| group.metrics());
        metrics.map(|metrics| (metrics.block_cache_bytes, metrics.write_buffer_bytes))
    };
    let new = bytes()[0];
    fill(&groups[0]);
    apply(&groups[0], vec![write(1, 999)]);
    nearest(&groups[0], 1);
    let used = bytes();
    assert_eq!(used[0], used[1], "one cache and one set of write buffers");
    assert!(used[0].0 > new.0 && used[0].1 > 0, "{new:?} {used:?}");
}
