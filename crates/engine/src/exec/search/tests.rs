//! Searches that hold a view while the shard changes under them.

use std::collections::{BTreeMap, BTreeSet};

use tempfile::tempdir;

use super::*;
use crate::command::{Command, PutMode};
use crate::data::{DataGroup, GroupOptions};
use crate::ids::{CollectionId, GroupId, ShardId};
use crate::interrupt::{Cause, Interrupt};
use crate::maintain::WorkBudget;
use crate::object::{Object, Vector};
use crate::query::{Combination, Near, Target};
use crate::replica::{Batch, Entry, EntryBody, LogPosition, StateMachine};
use crate::schema::{Collection, ListedShard, TenantStatus, VectorConfig, VectorIndexKind, VectorSpace};
use crate::storage::Family;
use crate::vector::{Distance, IndexConfig, IndexKind, IndexOptions};

const AT: ShardKey = ShardKey { collection: CollectionId(1), shard: ShardId::FIRST };
const FLAT: VectorId = VectorId(1);
const GRAPH: VectorId = VectorId(2);
const ROWS: VectorId = VectorId(3);
const OBJECTS: u64 = 40;

fn schema() -> Collection {
    let config = |id, kind, index, multi| VectorConfig {
        id,
        vectorizer: "none".into(),
        vectorizer_config: None,
        kind,
        index: IndexConfig { distance: Distance::L2Squared, kind: index, ..IndexConfig::default() },
        wire_config: "{}".into(),
        multi,
        muvera: None,
    };
    let graph = IndexConfig::default().kind;
    Collection {
        id: CollectionId(1),
        version: 1,
        name: "Thing".into(),
        vectors: VectorSpace {
            unnamed: None,
            named: BTreeMap::from([
                ("flat".to_owned(), config(FLAT, VectorIndexKind::Flat, IndexKind::Flat, false)),
                ("graph".to_owned(), config(GRAPH, VectorIndexKind::Hnsw, graph, false)),
                ("rows".to_owned(), config(ROWS, VectorIndexKind::Hnsw, graph, true)),
            ]),
        },
        listed: Some(BTreeMap::from([(
            "s0".to_owned(),
            ListedShard { id: ShardId::FIRST, status: TenantStatus::Hot, read_only: false },
        )])),
        ..Collection::default()
    }
}

fn apply(group: &DataGroup, commands: Vec<Command>) {
    let index = group.applied().expect("applied").position.map_or(0, |position| position.index) + 1;
    let body = EntryBody::Batch(Batch { proposer: 1, sequence: index, commands });
    group.apply(vec![Entry { position: LogPosition { term: 1, node: 1, index }, body }]).expect("apply");
}

/// Object `n` lies at `at` by every vector.
fn put(n: u64, at: f32) -> Command {
    let single = Vector::Single(vec![at, 0.5]);
    let vectors = [
        (FLAT, single.clone()),
        (GRAPH, single),
        (ROWS, Vector::Multi { dim: 2, rows: vec![at, 0.5, at + 1_000.0, 0.5] }),
    ];
    let object = Object {
        id: Uuid::from_u128(n.into()),
        created_ms: 1,
        updated_ms: 1,
        properties: crate::object::Properties::new(),
        vectors: vectors.into_iter().collect(),
    };
    Command::Put { at: AT, mode: PutMode::Upsert, object: Box::new(object) }
}

fn delete(n: u64) -> Command {
    Command::Delete { at: AT, id: Uuid::from_u128(n.into()) }
}

fn work(group: &DataGroup) {
    while group.work(&WorkBudget::default()).expect("work").more {}
}

fn open(dir: &std::path::Path) -> Arc<DataGroup> {
    let options = GroupOptions {
        index: IndexOptions { graph_cutoff: 8, ..IndexOptions::default() },
        ..GroupOptions::new(GroupId::FIRST_DATA)
    };
    let (group, _) = DataGroup::open(dir, options).expect("open");
    apply(&group, vec![Command::PutCollection(Box::new(schema()))]);
    apply(&group, (0..OBJECTS).map(|n| put(n, n as f32)).collect());
    group
}

/// The nearest to 0: by one target each, by two together, and within a distance.
fn queries() -> Vec<Query> {
    let target = |vector| {
        let values = vec![0.0, 0.5];
        let query = if vector == ROWS { Vector::Multi { dim: 2, rows: values } } else { Vector::Single(values) };
        Target { vector, query, weight: 1.0 }
    };
    let query = |vectors: &[VectorId], max_distance, limit| {
        let targets = vectors.iter().copied().map(target).collect();
        let rank = Rank::Near(Near { targets, combination: Combination::Sum, max_distance });
        Query { rank, filter: None, offset: 0, limit, sort: Vec::new(), include: Include::default() }
    };
    let mut queries: Vec<Query> = [FLAT, GRAPH, ROWS].iter().map(|vector| query(&[*vector], None, 5)).collect();
    queries.push(query(&[FLAT], None, 8));
    queries.push(query(&[GRAPH], None, 12));
    queries.push(query(&[GRAPH, ROWS], None, 6));
    queries.push(query(&[FLAT], Some(100.0), 20_000));
    queries.push(query(&[ROWS], Some(100.0), 20_000));
    queries
}

fn answer(search: &Search<'_>, query: &Query) -> Vec<u128> {
    let (matches, plan) = search.plan(query).expect("a plan");
    let found = search.find(query, &plan, matches.as_ref()).expect("hits");
    search.read(query, &plan, found).expect("objects").iter().map(|hit| hit.object.id.as_u128()).collect()
}

fn together(search: &Search<'_>, queries: &[Query]) -> Vec<Vec<u128>> {
    let mut answers = queries.iter().map(|_| None).collect::<Vec<_>>();
    search.answer_batched(queries, &mut answers);
    let ids = |(query, hits): (&Query, Option<Result<Vec<Hit>>>)| match hits {
        Some(hits) => hits.expect("hits").iter().map(|hit| hit.object.id.as_u128()).collect(),
        None => answer(search, query),
    };
    queries.iter().zip(answers).map(ids).collect()
}

fn context(group: &DataGroup) -> ReadContext<'_> {
    ReadContext { state: &group.state, maintenance: &group.maintenance }
}

fn begin<'a>(group: &'a DataGroup, schema: &'a Collection, shard: &'a Arc<Shard>) -> Search<'a> {
    Search::begin(context(group), schema, shard, &vectors_of(&queries())).expect("a search")
}

#[test]
fn a_search_answers_from_its_view_whatever_is_deleted_and_added_meanwhile() {
    let dir = tempdir().expect("a folder");
    let group = open(dir.path());
    let queries = queries();
    for has_graph in [false, true] {
        if has_graph {
            work(&group);
        }
        let (schema, shard) = group.state.known(AT).expect("known");
        let held = begin(&group, &schema, &shard);
        let before = together(&held, &queries);
        assert!(before.iter().all(|ids| ids.len() >= 5 && ids.iter().zip(0..).all(|(id, n)| *id == n)), "{before:?}");

        // The nearest objects are deleted, nearer ones are added, some are replaced.
        apply(&group, (0..10).map(delete).collect());
        apply(&group, (10..20).map(|n| put(n, -0.001 * n as f32)).chain((100..110).map(|n| put(n, 0.0))).collect());
        apply(&group, vec![delete(105), put(106, 50.0)]);
        let newer = begin(&group, &schema, &shard);
        work(&group);
        assert_eq!(together(&held, &queries), before, "graph: {has_graph}");
        let now: Vec<_> = queries.iter().map(|query| answer(&held, query)).collect();
        assert_eq!(now, before, "graph: {has_graph}");
        for ids in together(&newer, &queries) {
            let gone = ids.iter().any(|&id| id < 10 || id == 105 || id == 106);
            assert!(!gone && ids[..5].iter().all(|id| (100..110).contains(id)), "{ids:?}");
        }

        // Once no reader is left, the indexes hold exactly the live documents.
        drop((held, newer));
        work(&group);
        let live = &shard.state().live;
        for (vector, index) in shard.indexes.all_known() {
            assert_eq!(index.live_ids(), live.to_treemap(), "vector {vector}");
        }
        apply(&group, (100..110).map(delete).collect());
        apply(&group, (0..OBJECTS).map(|n| put(n, n as f32)).collect());
    }
}

#[test]
fn an_index_that_was_opened_later_is_not_taken_for_an_older_view() {
    let dir = tempdir().expect("a folder");
    let group = open(dir.path());
    let (schema, shard) = group.state.known(AT).expect("known");
    let old = shard.view(&group.state.store);
    apply(&group, vec![delete(0)]);
    let search = begin(&group, &schema, &shard);
    assert_eq!(answer(&search, &queries()[0]), [1, 2, 3, 4, 5]);
    assert!(shard.indexes.holding(FLAT, &old).is_none(), "it lacks what the older view has");
    assert!(shard.indexes.holding(FLAT, &search.view).is_some());
}

#[test]
fn readers_go_on_from_before_a_write_that_takes_rows_away() {
    let dir = tempdir().expect("a folder");
    let group = open(dir.path());
    let (schema, shard) = group.state.known(AT).expect("known");
    let listing = Query { rank: Rank::Listing { after: None }, limit: 100, ..queries()[0].clone() };
    shard.freeze(group.state.store.snapshot(), shard.derived());
    // The steps of a commit before it publishes.
    let mut changes = group.state.store.changes();
    for doc_id in shard.state().live.iter().map(DocId) {
        changes.delete(Family::Objects, &shard.prefix.object(doc_id));
    }
    changes.write().expect("a write");
    let search = Search::begin(context(&group), &schema, &shard, &BTreeSet::new()).expect("a search");
    assert_eq!(answer(&search, &listing).len() as u64, OBJECTS);
    shard.publish(Arc::default());
    let search = Search::begin(context(&group), &schema, &shard, &BTreeSet::new()).expect("a search");
    assert_eq!(answer(&search, &listing).len(), 0);
}

#[test]
fn an_interrupted_read_ends_with_its_cause_and_opens_indexes_all_the_same() {
    let dir = tempdir().expect("a folder");
    let group = open(dir.path());
    for cause in [Cause::Deadline, Cause::Cancelled] {
        let interrupt = Interrupt::new();
        interrupt.raise(cause);
        let mut queries = queries();
        let rank = Rank::Listing { after: None };
        let sort = vec![crate::query::Sort { property: "_id".into(), descending: true }];
        queries.push(Query { rank: rank.clone(), ..queries[0].clone() });
        queries.push(Query { rank, sort, ..queries[0].clone() });
        for query in &queries {
            let ended = interrupt.watch(|| group.search(AT, query));
            assert!(matches!(ended, Err(Error::Interrupted(why)) if why == cause), "{query:?}: {ended:?}");
            assert!(group.search(AT, query).is_ok_and(|hits| hits.len() >= 5));
        }
        let ended = interrupt.watch(|| group.search_many(AT, &queries));
        assert!(ended.iter().all(|ended| matches!(ended, Err(Error::Interrupted(_)))), "{ended:?}");
    }
}
