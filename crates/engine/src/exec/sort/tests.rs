//! Orders by columns against those by rows.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path as FilePath;
use std::sync::Arc;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tempfile::tempdir;

use super::*;
use crate::command::{Command, PutMode};
use crate::data::{DataGroup, GroupOptions};
use crate::ids::{CollectionId, GroupId, PropertyId, ShardId, ShardKey};
use crate::maintain::WorkBudget;
use crate::object::{Date, Object, Value, Vectors};
use crate::query::Sort;
use crate::replica::{Batch, Entry, EntryBody, LogPosition, StateMachine};
use crate::schema::{DataType, ListedShard, Primitive, Property, TenantStatus};
use crate::storage::Family;
use crate::storage::key::{self, InvKind, MetaKey, ShardPrefix};

const AT: ShardKey = ShardKey { collection: CollectionId(1), shard: ShardId::FIRST };

/// Orders compared at a time.
const ORDERS: usize = 6;

const TYPES: [(&str, Primitive, bool); 9] = [
    ("flag", Primitive::Boolean, false),
    ("int", Primitive::Int, false),
    ("number", Primitive::Number, false),
    ("text", Primitive::Text, false),
    ("date", Primitive::Date, false),
    ("ints", Primitive::Int, true),
    ("texts", Primitive::Text, true),
    ("flags", Primitive::Boolean, true),
    ("dates", Primitive::Date, true),
];

fn open(dir: &FilePath, options: impl FnOnce(&mut GroupOptions)) -> Arc<DataGroup> {
    let mut all = GroupOptions::new(GroupId::FIRST_DATA);
    options(&mut all);
    DataGroup::open(dir, all).expect("open").0
}

fn create(group: &DataGroup) {
    let property = |(name, of, list): (&str, Primitive, bool)| Property {
        id: PropertyId(0),
        name: name.into(),
        description: None,
        data_type: DataType::Primitive { of, list },
        tokenization: None,
        // Columns do not depend on other indexes.
        filterable: name.len() % 2 == 0,
        searchable: false,
        range_filterable: false,
        nested: Vec::new(),
        text_analyzer: None,
        module_config: None,
    };
    let mut collection = Collection {
        id: CollectionId(1),
        version: 1,
        name: "Thing".into(),
        properties: Some(TYPES.map(property).to_vec()),
        listed: Some(BTreeMap::from([(
            "s0".to_owned(),
            ListedShard { id: ShardId::FIRST, status: TenantStatus::Hot, read_only: false },
        )])),
        ..Collection::default()
    };
    collection.assign_ids().expect("ids are left");
    apply(group, vec![Command::PutCollection(Box::new(collection))]);
}

fn apply(group: &DataGroup, commands: Vec<Command>) {
    let index = group.applied().expect("applied").position.map_or(0, |position| position.index) + 1;
    let body = EntryBody::Batch(Batch { proposer: 1, sequence: index, commands });
    group.apply(vec![Entry { position: LogPosition { term: 1, node: 1, index }, body }]).expect("apply");
}

fn work(group: &DataGroup) {
    while group.work(&WorkBudget { keys_max: 300, ..WorkBudget::default() }).expect("work").more {}
}

/// Values that often tie, differ in case, are long, or cannot be told apart by their beginnings.
fn value(rng: &mut ChaCha8Rng, of: Primitive, list: bool) -> Value {
    if list {
        let count = [0, 1, 2, 90][rng.random_range(0..4)];
        return Value::List((0..count).map(|_| value(rng, of, false)).collect());
    }
    match of {
        Primitive::Boolean => Value::Bool(rng.random()),
        Primitive::Int => Value::Int([0, -1, i64::MIN, i64::MAX, rng.random_range(-300..300)][rng.random_range(0..5)]),
        Primitive::Number => {
            Value::Number([0.0, -0.0, f64::MIN, -0.5, f64::from(rng.random_range(-9..9))][rng.random_range(0..5)])
        }
        Primitive::Date => {
            let (unix_s, nanos) = (rng.random_range(-3..3), rng.random_range(0..2));
            Value::Date(Date { unix_s, nanos, offset_s: [0, 3_600][rng.random_range(0..2)] })
        }
        _ => {
            let word = ["a", "B", "b", "Ä", "ä", "ΣΣ", "", "zebra"][rng.random_range(0..8)];
            let times = [1, 2, 400][rng.random_range(0..3)];
            Value::Text(word.repeat(times))
        }
    }
}

fn put(rng: &mut ChaCha8Rng, n: u64) -> Command {
    let mut properties = BTreeMap::new();
    for (name, of, list) in TYPES {
        match rng.random_range(0..8) {
            0 => {}
            1 => drop(properties.insert(name.to_owned(), Value::Null)),
            _ => drop(properties.insert(name.to_owned(), value(rng, of, list))),
        }
    }
    let id = Uuid::from_u64_pair(n.wrapping_mul(0x9e37_79b9_7f4a_7c15), n);
    let (created_ms, updated_ms) = (rng.random_range(-2..2), rng.random_range(0..90_000));
    let object = Object { id, created_ms, updated_ms, properties, vectors: Vectors::new() };
    Command::Put { at: AT, mode: PutMode::Upsert, object: Box::new(object) }
}

/// Compares pages of random orders, and says how many of them columns gave.
fn compare(group: &DataGroup, rng: &mut ChaCha8Rng, seed: u64) -> usize {
    let (schema, shard) = group.state.known(AT).expect("the shard");
    let search = Search::begin(group.context(), &schema, &shard, &BTreeSet::new()).expect("a view");
    let view = search.view.index();
    let mut by_columns = 0;
    for _ in 0..ORDERS {
        let names: Vec<&str> = (TYPES.iter().map(|(name, ..)| *name))
            .chain(["_id", "_creationTimeUnix", "_lastUpdateTimeUnix"])
            .filter(|_| rng.random_range(0..5) == 0)
            .collect();
        let clause = |name: &&str| Sort { property: (*name).to_owned(), descending: rng.random() };
        let sort: Vec<Sort> = names.iter().map(clause).collect();
        let live = &search.view.state.live;
        let matches = rng.random::<bool>().then(|| {
            let share = rng.random_range(1..100);
            live.iter().filter(|_| rng.random_range(0..100) < share).collect::<RoaringTreemap>()
        });
        let after = rng.random::<bool>().then(|| Uuid::from_u128(rng.random()));
        let query = Query {
            rank: Rank::Listing { after },
            filter: None,
            offset: rng.random_range(0..5),
            limit: [1, 10, 100_000][rng.random_range(0..3)],
            sort,
            include: Include::default(),
        };
        let terms = SortTerms::new(&schema, &query.sort).expect("clauses");
        let columns = SortColumns::new(&schema, &view, &terms).filter(|_| view.has_columns());
        by_columns += usize::from(columns.is_some());
        let expected = search.first_of(&query, matches.as_ref(), &terms, None).expect("rows");
        let found = search.first_of(&query, matches.as_ref(), &terms, columns).expect("columns");
        assert_eq!(found, expected, "seed {seed}: {query:?}");
        assert_eq!(search.sorted(&query, matches.as_ref()).expect("a page"), expected, "seed {seed}: {query:?}");
    }
    by_columns
}

#[test]
fn columns_give_the_order_of_rows() {
    for seed in 0..4 {
        let dir = tempdir().expect("a folder");
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let group = open(dir.path(), |options| {
            options.segment_entries_min = [60, 512][seed as usize % 2];
            options.compaction_changes_min = 500;
        });
        create(&group);
        for round in 0..4 {
            for _ in 0..rng.random_range(1..8) {
                let count = [1, 3, 100, 500][rng.random_range(0..4)];
                let commands = (0..count).map(|_| {
                    let n = rng.random_range(0..1_500);
                    if rng.random_range(0..6) > 0 {
                        return put(&mut rng, n);
                    }
                    Command::Delete { at: AT, id: Uuid::from_u64_pair(n.wrapping_mul(0x9e37_79b9_7f4a_7c15), n) }
                });
                let commands = commands.collect();
                apply(&group, commands);
            }
            assert_eq!(compare(&group, &mut rng, seed), ORDERS, "seed {seed}");
            if round % 2 == 1 {
                work(&group);
                assert_eq!(compare(&group, &mut rng, seed), ORDERS, "seed {seed}");
            }
            assert_eq!(group.audit_inverted(AT).expect("an audit"), Vec::<String>::new(), "seed {seed}");
        }
    }
}

/// Removes all that this version writes and earlier ones did not.
fn make_old(group: &DataGroup) {
    let (store, at) = (&group.state.store, key::shard_bytes(AT));
    let mut changes = store.changes();
    changes.delete(Family::Meta, &key::meta(group.state.group, MetaKey::Columns, &at));
    for (key, _) in store.entries(Family::Inverted, ShardPrefix::new(group.state.group, AT).bytes()).expect("entries") {
        if key.get(key::PREFIX_BYTES + 2) == Some(&(InvKind::Column as u8)) {
            changes.delete(Family::Inverted, &key);
        }
    }
    changes.write().expect("write");
    group.flush().expect("flush");
}

#[test]
fn shards_of_earlier_versions_are_sorted_by_rows_until_they_have_columns() {
    let dir = tempdir().expect("a folder");
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    // Without segments and merges, so that all columns can be found.
    let no_segments = |options: &mut GroupOptions| options.segment_entries_min = usize::MAX;
    let group = open(dir.path(), no_segments);
    create(&group);
    let commands = (0..1_000).map(|n| put(&mut rng, n)).collect();
    apply(&group, commands);
    make_old(&group);
    drop(group);

    let group = open(dir.path(), no_segments);
    assert_eq!(compare(&group, &mut rng, 1), 0);
    let commands = (990..1_100).map(|n| put(&mut rng, n)).collect();
    apply(&group, commands);
    assert_eq!(compare(&group, &mut rng, 1), 0, "older objects have none");
    assert_eq!(group.audit_inverted(AT).expect("an audit"), Vec::<String>::new());
    // The comparison has asked for columns; objects are written meanwhile.
    assert!(group.work(&WorkBudget { keys_max: 300, ..WorkBudget::default() }).expect("work").more);
    let commands = (0..10).map(|n| put(&mut rng, n)).collect();
    apply(&group, commands);
    assert_eq!(compare(&group, &mut rng, 1), 0, "the conversion is running");
    group.flush().expect("flush");
    drop(group);
    let group = open(dir.path(), no_segments);
    work(&group);
    assert_eq!(compare(&group, &mut rng, 1), ORDERS);
    assert_eq!(group.audit_inverted(AT).expect("an audit"), Vec::<String>::new());
    group.flush().expect("flush");
    drop(group);
    let group = open(dir.path(), no_segments);
    assert_eq!(compare(&group, &mut rng, 1), ORDERS, "they stay");
    let metrics = group.metrics();
    assert_eq!((metrics.inverted_rebuilds, metrics.inverted_damaged), (0, 0));
}

#[test]
fn damaged_columns_are_rebuilt_and_rows_are_sorted_meanwhile() {
    let dir = tempdir().expect("a folder");
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let group = open(dir.path(), |options| options.segment_entries_min = usize::MAX);
    create(&group);
    let commands = (0..500).map(|n| put(&mut rng, n)).collect();
    apply(&group, commands);
    let sort = vec![Sort { property: "int".into(), descending: false }];
    let query = Query {
        rank: Rank::Listing { after: None },
        filter: None,
        offset: 0,
        limit: 500,
        sort,
        include: Include::default(),
    };
    let expected = group.search(AT, &query).expect("hits");
    let prefix = ShardPrefix::new(group.state.group, AT);
    let column = prefix.value(PropertyId(2), InvKind::Column, &[ColumnOf::Values as u8]);
    let mut changes = group.state.store.changes();
    let entries = group.state.store.entries(Family::Inverted, &column).expect("entries");
    assert!(!entries.is_empty());
    entries.iter().for_each(|(key, _)| changes.put(Family::Inverted, key, b"\x01\xff"));
    changes.write().expect("write");
    assert_eq!(group.search(AT, &query).expect("hits"), expected);
    assert_eq!(group.metrics().inverted_rebuilds, 1);
    work(&group);
    assert_eq!(group.search(AT, &query).expect("hits"), expected);
    assert_eq!(group.audit_inverted(AT).expect("an audit"), Vec::<String>::new());
    assert_eq!(group.metrics().inverted_rebuilds, 1, "read from columns again, without a finding");
}
