//! A group whose command panics, whose vector index fails, or whose row is garbage. No request is known to cause these
//! failures, so the tests cause them from within.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use tempfile::tempdir;
use uuid::Uuid;

use super::{DataGroup, GroupOptions};
use crate::command::{Command, Outcome, Patch, PutMode};
use crate::ids::{CollectionId, DocId, GroupId, PropertyId, ShardId, ShardKey, VectorId};
use crate::object::{Object, Value, Vector};
use crate::query::{Include, Near, Projection, Query, Rank};
use crate::replica::{Batch, Entry, EntryBody, LogPosition, StateMachine};
use crate::schema::{
    Collection, DataType, ListedShard, Primitive, Property, TenantStatus, Tokenization, VectorConfig, VectorIndexKind,
    VectorSpace,
};
use crate::storage::key::ShardPrefix;
use crate::storage::{Family, StorageBudget};
use crate::vector::IndexConfig;
use crate::{Error, Result};

thread_local! {
    /// Object whose writes panic on this thread.
    static FAILS: Cell<Option<Uuid>> = const { Cell::new(None) };
}

/// Panics if the running test has marked the command's object to fail.
pub(crate) fn fail_if_asked(command: &Command) {
    let id = match command {
        Command::Put { object, .. } => Some(object.id),
        Command::Merge { id, .. } | Command::Delete { id, .. } => Some(*id),
        _ => None,
    };
    assert!(id.is_none() || id != FAILS.get(), "made to fail");
}

const AT: ShardKey = ShardKey { collection: CollectionId(1), shard: ShardId::FIRST };

fn schema() -> Collection {
    let text = Property {
        id: PropertyId(0),
        name: "t".into(),
        description: None,
        data_type: DataType::one(Primitive::Text),
        tokenization: Some(Tokenization::Word),
        filterable: true,
        searchable: true,
        range_filterable: false,
        nested: Vec::new(),
        text_analyzer: None,
        module_config: None,
    };
    let vector = VectorConfig {
        id: VectorId::UNNAMED,
        vectorizer: "none".into(),
        vectorizer_config: None,
        kind: VectorIndexKind::Hnsw,
        index: IndexConfig::default(),
        wire_config: "{}".into(),
        multi: false,
        muvera: None,
    };
    let shard = ListedShard { id: ShardId::FIRST, status: TenantStatus::Hot, read_only: false };
    let mut made = Collection {
        id: AT.collection,
        version: 1,
        name: "Thing".into(),
        properties: Some(vec![text]),
        vectors: VectorSpace { unnamed: Some(vector), named: BTreeMap::new() },
        listed: Some(BTreeMap::from([("s".to_owned(), shard)])),
        ..Collection::default()
    };
    made.assign_ids().unwrap();
    made
}

fn id(n: u64) -> Uuid {
    Uuid::from_u128(n.into())
}

fn put(n: u64) -> Command {
    let object = Object {
        id: id(n),
        created_ms: 10,
        updated_ms: 10,
        properties: [("t".to_owned(), Value::Text(format!("word {n}")))].into(),
        vectors: [(VectorId::UNNAMED, Vector::Single(vec![n as f32, 1.0]))].into(),
    };
    Command::Put { at: AT, mode: PutMode::Upsert, object: Box::new(object) }
}

fn merge(n: u64) -> Command {
    let set = [("t".to_owned(), Value::Text("new".into()))].into();
    Command::Merge { at: AT, id: id(n), patch: Box::new(Patch { set, ..Patch::default() }), updated_ms: 20 }
}

fn delete(n: u64) -> Command {
    Command::Delete { at: AT, id: id(n) }
}

fn entry(index: u64, commands: Vec<Command>) -> Entry {
    let position = LogPosition { term: 1, node: 1, index };
    Entry { position, body: EntryBody::Batch(Batch { proposer: 1, sequence: index, commands }) }
}

fn open(dir: &Path) -> Arc<DataGroup> {
    let storage = StorageBudget::new(8 << 20, 64 << 20);
    DataGroup::open(dir, GroupOptions { storage, ..GroupOptions::new(GroupId::FIRST_DATA) }).unwrap().0
}

fn contained(group: &DataGroup, entries: &[Entry]) -> Vec<Vec<Outcome>> {
    group.apply_contained(entries.to_vec(), &|number| Ok(entries[number].clone())).unwrap()
}

fn near(group: &DataGroup, n: u64) -> Result<Vec<u128>> {
    let include = Include { properties: Projection::All, vectors: Vec::new(), ..Include::default() };
    let rank = Rank::Near(Near::to(VectorId::UNNAMED, vec![n as f32, 1.0], None));
    let query = Query { rank, filter: None, offset: 0, limit: 100, sort: Vec::new(), include };
    Ok(group.search(AT, &query)?.iter().map(|hit| hit.object.id.as_u128()).collect())
}

#[test]
fn a_command_that_panics_is_refused_on_every_replica() {
    FAILS.set(Some(id(7)));
    let entries = [
        entry(1, vec![Command::PutCollection(Box::new(schema()))]),
        entry(2, vec![put(1), put(7), put(2), merge(1)]),
        entry(3, vec![delete(7), put(3)]),
    ];
    let (left, right) = (tempdir().unwrap(), tempdir().unwrap());
    let (a, b) = (open(left.path()), open(right.path()));
    let together = contained(&a, &entries);
    let apart: Vec<_> = entries.iter().flat_map(|entry| contained(&b, std::slice::from_ref(entry))).collect();
    assert_eq!(together, apart);
    let refused = |outcome: &Outcome| matches!(outcome, Outcome::Refused(why) if why.contains("made to fail"));
    assert!(refused(&together[1][1]) && refused(&together[2][0]));
    assert_eq!(together.iter().flatten().filter(|outcome| !refused(outcome)).count(), 5);
    assert_eq!((a.metrics().commands_contained, a.count(AT, None).unwrap()), (2, 3));
    assert_eq!(a.state_hash().unwrap(), b.state_hash().unwrap());
    a.flush().unwrap();
    drop(a);
    let a = open(left.path());
    assert_eq!(a.applied().unwrap().position.unwrap().index, 3);
    assert_eq!(a.state_hash().unwrap(), b.state_hash().unwrap());
    FAILS.set(None);
}

#[test]
fn a_failing_vector_index_fails_no_apply_and_is_built_anew() {
    let dir = tempdir().unwrap();
    let group = open(dir.path());
    contained(&group, &[entry(1, vec![Command::PutCollection(Box::new(schema())), put(1), put(2)])]);
    assert_eq!(near(&group, 1).unwrap(), [1, 2]);
    let shard = group.state.shard(AT).unwrap();
    for (index, fail) in [(2, Ok(())), (3, Err(Error::Limit("full".into())))] {
        let failed =
            shard.indexes.contained(AT, VectorId::UNNAMED, || fail.map(|()| assert_ne!(index, 2, "made to fail")));
        assert!(failed.is_none() && shard.indexes.loaded(VectorId::UNNAMED).is_none());
        assert!(matches!(
            contained(&group, &[entry(index, vec![put(index + 1), delete(1)])])[0][0],
            Outcome::Written { .. }
        ));
        assert_eq!(near(&group, index + 1).unwrap()[0], u128::from(index) + 1);
    }
    assert_eq!((near(&group, 2).unwrap().len(), group.metrics().index_failures), (3, 2));
}

/// Puts garbage in place of a row.
fn overwrite(group: &DataGroup, family: Family, key: &[u8], garbage: &[u8]) {
    let mut changes = group.state.store.changes();
    changes.put(family, key, garbage);
    changes.write().unwrap();
}

#[test]
fn rows_of_garbage_are_left_out_and_heal() {
    let dir = tempdir().unwrap();
    let group = open(dir.path());
    contained(&group, &[entry(1, vec![Command::PutCollection(Box::new(schema()))])]);
    contained(&group, &[entry(2, (1..=6).map(put).collect())]);
    let prefix = ShardPrefix::new(GroupId::FIRST_DATA, AT);
    // Doc ids count from 0: objects 1, 2 and 3 lose their row, 4 its vector.
    for doc_id in 0..3 {
        overwrite(&group, Family::Objects, &prefix.object(DocId(doc_id)), b"\xffgarbage");
    }
    overwrite(&group, Family::Vectors, &prefix.vector(VectorId::UNNAMED, DocId(3)), b"garbage");
    group.flush().unwrap();
    drop(group);
    let group = open(dir.path());
    let mut found = near(&group, 5).unwrap();
    found.sort_unstable();
    assert_eq!(found, [5, 6]);
    let include = Include { properties: Projection::All, vectors: vec![VectorId::UNNAMED], ..Include::default() };
    for n in 1..=4 {
        assert!(matches!(group.get(AT, id(n), &include), Err(Error::Unreadable(_))), "{n}");
    }
    let outcomes =
        contained(&group, &[entry(3, vec![merge(1), merge(4), put(1), delete(2), put(4), merge(4)])]).remove(0);
    let expected = |at: usize| match &outcomes[at] {
        Outcome::Refused(why) => why.contains("can be replaced or deleted"),
        _ => false,
    };
    assert!(expected(0) && expected(1), "{outcomes:?}");
    assert!(matches!(
        outcomes[2..],
        [Outcome::Written { .. }, Outcome::Done, Outcome::Written { .. }, Outcome::Written { .. }]
    ));
    // After the other objects are deleted, statistics that still count unreadable ones must not keep the group from
    // opening.
    contained(&group, &[entry(4, (3..=6).map(delete).chain([merge(1)]).collect())]);
    group.flush().unwrap();
    drop(group);
    let group = open(dir.path());
    assert_eq!((group.count(AT, None).unwrap(), near(&group, 1).unwrap()), (1, vec![1]));
    assert_eq!(group.get(AT, id(1), &include).unwrap().unwrap().object.properties["t"], Value::Text("new".into()));
    contained(&group, &[entry(5, vec![delete(1)])]);
    assert_eq!(group.metrics().objects_unreadable, 0);
}
