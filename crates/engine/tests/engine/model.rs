//! Random operations on a group beside a naive model of it, with flushes, restarts and kills in between.
//!
//! The seed is printed; `AZIMUTH_TEST_SEED=<n>` runs that one alone.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use azimuth_engine::command::{Command, Outcome, Patch, PutMode};
use azimuth_engine::data::DataGroup;
use azimuth_engine::ids::{CollectionId, DocId, GroupId, ShardId, ShardKey};
use azimuth_engine::object::{Beacon, FoundVersion, Object, Value, Vector};
use azimuth_engine::query::{
    Charge, Filter, FilterValue, IdSet, Include, Near, Operator, Path as FilterPath, Projection, Query, Rank,
    ShardAnswer, ShardRead, Sort, Subject,
};
use azimuth_engine::replica::{Entry, StateMachine};
use azimuth_engine::schema::{Collection, DataType, Primitive, Shard, TenantStatus};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tempfile::TempDir;
use uuid::Uuid;

use crate::support::{VECTOR, collection, copy_as_killed, entry, id, object, one, open, property, put, text, work};

const WORDS: [&str; 8] = ["red", "lamp", "Old", "table", "sea", "the", "blue", "Chair"];
const IDS: u64 = 40;

/// What a group should hold.
#[derive(Default)]
struct Model {
    collections: BTreeMap<CollectionId, Collection>,
    /// Records of the shards that a group should list.
    listed: BTreeMap<ShardKey, Shard>,
    shards: BTreeMap<ShardKey, ModelShard>,
    /// Shards that were listed or dropped once.
    heard: BTreeSet<ShardKey>,
    gone: Vec<CollectionId>,
}

#[derive(Default, Clone)]
struct ModelShard {
    next_doc_id: u64,
    dimension: Option<usize>,
    objects: BTreeMap<Uuid, (DocId, Object)>,
}

impl Model {
    fn known(&self, at: ShardKey) -> bool {
        self.listed.contains_key(&at)
    }

    fn drop_shard(&mut self, at: ShardKey) {
        self.heard.insert(at);
        self.listed.remove(&at);
        self.shards.remove(&at);
    }

    fn put_shard(&mut self, at: ShardKey, shard: &Shard) {
        if let Some(known) = self.listed.get_mut(&at) {
            if known.version < shard.version && known.name == shard.name {
                *known = shard.clone();
            }
        } else if self.heard.insert(at) {
            let of_name = |(other, known): (&ShardKey, &Shard)| {
                (other.collection == at.collection && known.name == shard.name).then_some(*other)
            };
            match self.listed.iter().find_map(of_name) {
                Some(newer) if newer.shard > at.shard => return,
                Some(older) => self.drop_shard(older),
                None => {}
            }
            self.listed.insert(at, shard.clone());
        }
    }

    fn apply(&mut self, command: &Command) -> Outcome {
        match command {
            Command::PutCollection(collection) => {
                if !self.gone.contains(&collection.id) {
                    self.collections.insert(collection.id, (**collection).clone());
                }
                Outcome::Done
            }
            Command::DropCollection(id) => {
                self.collections.remove(id);
                self.gone.push(*id);
                self.shards.retain(|at, _| at.collection != *id);
                self.listed.retain(|at, _| at.collection != *id);
                Outcome::Done
            }
            Command::DropShard(collection, shard) => {
                if self.collections.contains_key(collection) {
                    self.drop_shard(ShardKey { collection: *collection, shard: *shard });
                }
                Outcome::Done
            }
            Command::PutShards { collection, shards } => {
                if !self.collections.contains_key(collection) {
                    return Outcome::NotFound;
                }
                shards.iter().for_each(|shard| {
                    self.put_shard(ShardKey { collection: *collection, shard: shard.id }, shard);
                });
                Outcome::Done
            }
            Command::Put { at, mode, object } => {
                if !self.known(*at) {
                    return Outcome::NotFound;
                }
                let there = self.shards.entry(*at).or_default().objects.get(&object.id).cloned();
                match (mode, &there) {
                    (PutMode::Insert, Some(_)) => return Outcome::Exists,
                    (PutMode::Replace, None) => return Outcome::NotFound,
                    _ => {}
                }
                let created_ms = there.map_or(object.created_ms, |(_, there)| there.created_ms);
                self.write(*at, Object { created_ms, ..(**object).clone() })
            }
            Command::Merge { at, id, patch, updated_ms } => {
                let there = self.shards.get(at).and_then(|shard| shard.objects.get(id)).cloned();
                let Some((_, mut object)) = there.filter(|_| self.known(*at)) else { return Outcome::NotFound };
                object.updated_ms = *updated_ms;
                for (name, value) in &patch.set {
                    match (object.properties.get_mut(name), value) {
                        (Some(Value::References(there)), Value::References(more)) => there.extend(more.clone()),
                        _ => drop(object.properties.insert(name.clone(), value.clone())),
                    }
                }
                for (name, beacons) in &patch.replace_references {
                    object.properties.insert(name.clone(), Value::References(beacons.clone()));
                }
                for (name, gone) in &patch.remove_references {
                    let Some(Value::References(there)) = object.properties.get_mut(name) else { continue };
                    for beacon in gone {
                        let at = there.iter().position(|there| there == beacon);
                        at.into_iter().for_each(|at| drop(there.remove(at)));
                    }
                }
                patch.remove.iter().for_each(|name| drop(object.properties.remove(name)));
                for (vector, values) in &patch.vectors {
                    match values {
                        Some(values) => drop(object.vectors.insert(*vector, values.clone())),
                        None => drop(object.vectors.remove(vector)),
                    }
                }
                self.write(*at, object)
            }
            Command::Delete { at, id } => {
                let removed = self.shards.get_mut(at).and_then(|shard| shard.objects.remove(id));
                if removed.is_some() { Outcome::Done } else { Outcome::NotFound }
            }
            Command::DeleteVersion { at, id, doc_id } => {
                let Some(shard) = self.shards.get_mut(at) else { return Outcome::NotFound };
                match shard.objects.get(id) {
                    None => Outcome::NotFound,
                    Some((present, _)) if present != doc_id => {
                        Outcome::Conflict(format!("object {id} was written since it was read"))
                    }
                    Some(_) => {
                        shard.objects.remove(id);
                        Outcome::Done
                    }
                }
            }
            other => panic!("not in the model: {other:?}"),
        }
    }

    fn write(&mut self, at: ShardKey, object: Object) -> Outcome {
        let shard = self.shards.entry(at).or_default();
        if let Some(Vector::Single(values)) = object.vectors.get(&VECTOR) {
            let expected = *shard.dimension.get_or_insert(values.len());
            if expected != values.len() {
                let (given, expected) = (u32::try_from(values.len()).unwrap(), u32::try_from(expected).unwrap());
                return Outcome::WrongDimension { vector: VECTOR, given, expected };
            }
        }
        let doc_id = DocId(shard.next_doc_id);
        shard.next_doc_id += 1;
        let created_ms = object.created_ms;
        shard.objects.insert(object.id, (doc_id, object));
        Outcome::Written { doc_id, created_ms }
    }
}

/// Whether an object matches, by its properties alone.
fn matches(filter: &Filter, object: &Object) -> bool {
    match filter {
        Filter::And(all) => all.iter().all(|filter| matches(filter, object)),
        Filter::Or(any) => any.iter().any(|filter| matches(filter, object)),
        Filter::Not(filter) => !matches(filter, object),
        Filter::ReferenceIn { property, collection, ids } => match object.properties.get(property) {
            Some(Value::References(beacons)) => {
                let fits = |name: &String| name == collection;
                beacons.iter().any(|beacon| ids.contains(beacon.id) && beacon.collection.as_ref().is_none_or(fits))
            }
            _ => false,
        },
        Filter::Compare { path, operator, value } => {
            let Subject::Property(name) = &path.subject else { panic!("not in the model") };
            let found = object.properties.get(name);
            match (operator, value) {
                (Operator::NotEqual, FilterValue::Text(unwanted)) => match found {
                    // `NotEqual` matches a text that has none of the tokens.
                    Some(Value::Text(text)) => {
                        let words: Vec<String> = text.split(' ').map(str::to_lowercase).collect();
                        !unwanted.split(' ').any(|term| words.contains(&term.to_lowercase()))
                    }
                    _ => true,
                },
                (Operator::NotEqual, value) => {
                    let (path, value) = (path.clone(), value.clone());
                    !matches(&Filter::Compare { path, operator: Operator::Equal, value }, object)
                }
                (Operator::IsNull, FilterValue::Bool(null)) => {
                    let empty = match found {
                        None => true,
                        Some(Value::Text(text)) => text.is_empty(),
                        Some(Value::List(list)) => list.is_empty(),
                        Some(_) => false,
                    };
                    empty == *null
                }
                (Operator::Equal, FilterValue::Text(wanted)) => match found {
                    Some(Value::Text(text)) => {
                        let words: Vec<String> = text.split(' ').map(str::to_lowercase).collect();
                        wanted.split(' ').all(|term| words.contains(&term.to_lowercase()))
                    }
                    _ => false,
                },
                (operator, FilterValue::Int(wanted)) => {
                    let compare = |value: &Value| match value {
                        Value::Int(value) => match operator {
                            Operator::Equal => value == wanted,
                            Operator::GreaterThan => value > wanted,
                            Operator::GreaterThanEqual => value >= wanted,
                            Operator::LessThan => value < wanted,
                            _ => value <= wanted,
                        },
                        _ => false,
                    };
                    match found {
                        Some(Value::List(list)) => list.iter().any(compare),
                        Some(value) => compare(value),
                        None => false,
                    }
                }
                other => panic!("not in the model: {other:?}"),
            }
        }
    }
}

fn random_filter(rng: &mut ChaCha8Rng, depth: u32) -> Filter {
    let leaf = |name: &str, operator, value| Filter::Compare {
        path: FilterPath { through: Vec::new(), subject: Subject::Property(name.into()) },
        operator,
        value,
    };
    match rng.random_range(0..if depth == 0 { 6 } else { 9 }) {
        0 => leaf("title", Operator::Equal, FilterValue::Text(word(rng).into())),
        1 => leaf("title", Operator::NotEqual, FilterValue::Text(format!("{} {}", word(rng), word(rng)))),
        2 => {
            let operators = [
                Operator::Equal,
                Operator::NotEqual,
                Operator::GreaterThan,
                Operator::GreaterThanEqual,
                Operator::LessThan,
                Operator::LessThanEqual,
            ];
            let operator = operators[rng.random_range(0..operators.len())];
            leaf("pages", operator, FilterValue::Int(rng.random_range(-3..8)))
        }
        3 => leaf("sizes", Operator::Equal, FilterValue::Int(rng.random_range(0..5))),
        4 => {
            let name = ["title", "pages", "sizes", "late"][rng.random_range(0..3)];
            leaf(name, Operator::IsNull, FilterValue::Bool(rng.random_bool(0.5)))
        }
        5 => {
            // So many that they are looked up one by one, or all references are read.
            let others = if rng.random_bool(0.1) { 5_000 } else { 0 };
            let mut ids: Vec<Uuid> = (100..100 + others).map(id).collect();
            ids.extend((0..rng.random_range(0..3)).map(|_| id(rng.random_range(0..4))));
            Filter::ReferenceIn {
                property: if rng.random_bool(0.9) { "of" } else { "pages" }.into(),
                collection: if rng.random_bool(0.8) { "Book1" } else { "Book2" }.into(),
                ids: IdSet::new(ids),
            }
        }
        6 => Filter::Not(Box::new(random_filter(rng, depth - 1))),
        n => {
            let operands = (0..rng.random_range(1..4)).map(|_| random_filter(rng, depth - 1)).collect();
            if n == 7 { Filter::And(operands) } else { Filter::Or(operands) }
        }
    }
}

/// A word that is no stop word.
fn word(rng: &mut ChaCha8Rng) -> &'static str {
    loop {
        let word = WORDS[rng.random_range(0..WORDS.len())];
        if word != "the" {
            return word;
        }
    }
}

fn random_object(rng: &mut ChaCha8Rng) -> Object {
    let mut properties = Vec::new();
    if rng.random_bool(0.8) {
        let words: Vec<&str> = (0..rng.random_range(0..6)).map(|_| WORDS[rng.random_range(0..WORDS.len())]).collect();
        properties.push(("title", text(&words.join(" "))));
    }
    if rng.random_bool(0.7) {
        properties.push(("pages", Value::Int(rng.random_range(-3..8))));
    }
    if rng.random_bool(0.5) {
        let sizes = (0..rng.random_range(0..4)).map(|_| Value::Int(rng.random_range(0..5))).collect();
        properties.push(("sizes", Value::List(sizes)));
    }
    let length = if rng.random_bool(0.05) { 3 } else { 4 };
    let vector: Vec<f32> = (0..length).map(|_| rng.random_range(-1.0..1.0)).collect();
    let mut made = object(rng.random_range(0..IDS), &properties, rng.random_bool(0.8).then_some(&vector));
    made.created_ms = rng.random_range(0..1_000);
    made.updated_ms = rng.random_range(1_000..2_000);
    made
}

fn schema(id: u32, version: u64) -> Collection {
    let properties = vec![
        one("title", Primitive::Text),
        one("pages", Primitive::Int),
        property("sizes", DataType::list(Primitive::Int)),
        property("of", DataType::Reference(vec!["Book1".into()])),
    ];
    let mut made = collection(id, &format!("Book{id}"), properties);
    made.listed = None;
    made.listed_next = None;
    if version > 1 {
        made.properties.as_mut().unwrap().push(one("late", Primitive::Text));
        made.assign_ids().expect("ids are left");
    }
    made.version = version;
    made
}

/// The first shards of a collection.
fn first_shards(id: u32) -> Command {
    Command::PutShards { collection: CollectionId(id), shards: (0..2).map(|n| shard(n, n, 1)).collect() }
}

fn shard(id: u32, name: u32, version: u64) -> Shard {
    let (group, status) = (GroupId::FIRST_DATA, TenantStatus::Hot);
    Shard { id: ShardId(id), name: format!("s{name}"), group, status, read_only: false, version }
}

/// Records as the meta group may send them, in any order: of new shards, some under the name of an earlier one, and newer or
/// older ones of known shards.
fn random_shards(rng: &mut ChaCha8Rng, collection: CollectionId, model: &Model) -> Command {
    let heard = model.heard.range(ShardKey { collection, shard: ShardId(0) }..);
    let next = heard.take_while(|at| at.collection == collection).last().map_or(0, |at| at.shard.0 + 1);
    let one = |_| {
        let id = rng.random_range(next.saturating_sub(3)..next + 3);
        let name = if rng.random_bool(0.8) { id } else { id.saturating_sub(rng.random_range(0..3)) };
        let version = rng.random_range(1..6);
        Shard { read_only: version % 2 == 0, ..shard(id, name, version) }
    };
    Command::PutShards { collection, shards: (0..3).map(one).collect() }
}

fn beacons(rng: &mut ChaCha8Rng) -> Vec<Beacon> {
    let count = rng.random_range(0..4);
    (0..count).map(|_| Beacon { collection: Some("Book1".into()), id: id(rng.random_range(0..3)) }).collect()
}

/// A change of the references of one of few objects, so that many fall into one entry.
fn random_references(rng: &mut ChaCha8Rng) -> (Uuid, Patch) {
    let mut patch = Patch::default();
    let of = BTreeMap::from([("of".to_owned(), beacons(rng))]);
    match rng.random_range(0..4) {
        0 => patch.replace_references = of,
        1 => patch.remove_references = of,
        _ => patch.set.extend(of.into_iter().map(|(name, beacons)| (name, Value::References(beacons)))),
    }
    (id(rng.random_range(0..3)), patch)
}

/// The doc id that an object has, or one that it had or never had.
fn random_version(model: &Model, at: ShardKey, id: Uuid, rng: &mut ChaCha8Rng) -> DocId {
    let shard = model.shards.get(&at);
    let present = shard.and_then(|shard| shard.objects.get(&id)).filter(|_| rng.random_bool(0.7));
    present
        .map_or_else(|| DocId(rng.random_range(0..=shard.map_or(0, |shard| shard.next_doc_id))), |(doc_id, _)| *doc_id)
}

fn random_command(rng: &mut ChaCha8Rng, next_collection: &mut u32, model: &Model) -> Command {
    let collection = CollectionId(rng.random_range(1..=*next_collection));
    let listed: Vec<ShardKey> = model.listed.keys().filter(|at| at.collection == collection).copied().collect();
    let at = match rng.random_bool(0.95) && !listed.is_empty() {
        true => listed[rng.random_range(0..listed.len().min(3))],
        false => ShardKey { collection, shard: ShardId(rng.random_range(0..12)) },
    };
    match rng.random_range(0..1_000) {
        0..4 => {
            *next_collection += 1;
            Command::PutCollection(Box::new(schema(*next_collection, 1)))
        }
        4..6 => Command::DropCollection(collection),
        6..10 => Command::DropShard(collection, at.shard),
        10..25 => random_shards(rng, collection, model),
        25..600 => {
            let mode = [PutMode::Insert, PutMode::Replace, PutMode::Upsert][rng.random_range(0..3)];
            Command::Put { at, mode, object: Box::new(random_object(rng)) }
        }
        600..700 => {
            let (id, patch) = random_references(rng);
            Command::Merge { at, id, patch: Box::new(patch), updated_ms: rng.random_range(2_000..3_000) }
        }
        700..800 => {
            let from = random_object(rng);
            let mut patch = Patch { set: from.properties, ..Patch::default() };
            if rng.random_bool(0.3) {
                patch.remove.push("pages".into());
                patch.set.remove("pages");
            }
            let vector = from.vectors.get(&VECTOR).cloned();
            if rng.random_bool(0.5) {
                patch.vectors.insert(VECTOR, vector);
            }
            Command::Merge { at, id: from.id, patch: Box::new(patch), updated_ms: rng.random_range(2_000..3_000) }
        }
        800..900 => {
            let id = id(rng.random_range(0..IDS));
            Command::DeleteVersion { at, id, doc_id: random_version(model, at, id, rng) }
        }
        _ => Command::Delete { at, id: id(rng.random_range(0..IDS)) },
    }
}

fn cosine_distance(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum::<f64>();
    1.0 - dot(a, b) / (dot(a, a).sqrt() * dot(b, b).sqrt())
}

/// Compares everything that can be read.
fn check(group: &DataGroup, model: &Model, rng: &mut ChaCha8Rng) {
    let include = Include { properties: Projection::All, vectors: vec![VECTOR], ..Include::default() };
    for collection in model.collections.keys() {
        let table = group.shards(*collection);
        let of_it = |at: &&ShardKey| at.collection == *collection;
        let wanted = model.listed.iter().filter(|(at, _)| at.collection == *collection).map(|(_, shard)| shard);
        assert!(table.iter_by_id().map(Arc::as_ref).eq(wanted));
        assert!(table.iter().is_sorted_by_key(|shard| &shard.name) && table.iter().count() == table.len());
        for at in model.heard.iter().filter(of_it).copied() {
            if !model.known(at) {
                assert!(group.count(at, None).is_err());
                continue;
            }
            let record = &model.listed[&at];
            assert_eq!(table.get(&record.name).map(Arc::as_ref), Some(record));
            let empty = ModelShard::default();
            let wanted = model.shards.get(&at).unwrap_or(&empty);
            assert_eq!(group.count(at, None).unwrap(), wanted.objects.len() as u64);
            for n in 0..IDS {
                let stored = group.get(at, id(n), &include).unwrap().map(|stored| (stored.doc_id, stored.object));
                assert_eq!(stored, wanted.objects.get(&id(n)).cloned());
            }
            check_lists(group, at, wanted, rng);
            check_near(group, at, wanted, rng);
        }
    }
}

fn check_lists(group: &DataGroup, at: ShardKey, wanted: &ModelShard, rng: &mut ChaCha8Rng) {
    let query = |filter, after, sort| Query {
        rank: Rank::Listing { after },
        filter,
        offset: rng_offset(wanted),
        limit: 7,
        sort,
        include: Include { properties: Projection::All, vectors: Vec::new(), ..Include::default() },
    };
    let doc_ids =
        |query: &Query| -> Vec<DocId> { group.search(at, query).unwrap().iter().map(|hit| hit.doc_id).collect() };
    let page = |mut all: Vec<DocId>, query: &Query| -> Vec<DocId> {
        all.drain(..query.offset.min(all.len()));
        all.truncate(query.limit);
        all
    };
    let after = rng.random_bool(0.5).then(|| id(rng.random_range(0..IDS)));
    let by_id = query(None, after, Vec::new());
    let listed = wanted.objects.iter().filter(|(id, _)| after.is_none_or(|after| **id > after));
    assert_eq!(doc_ids(&by_id), page(listed.map(|(_, (doc_id, _))| *doc_id).collect(), &by_id));

    for _ in 0..4 {
        let filter = random_filter(rng, 2);
        let mut matching: Vec<&(DocId, Object)> =
            wanted.objects.values().filter(|(_, object)| matches(&filter, object)).collect();
        matching.sort_by_key(|(doc_id, _)| *doc_id);
        assert_eq!(group.count(at, Some(&filter)).unwrap(), matching.len() as u64, "{filter:?}");
        let by_doc_id = query(Some(filter.clone()), None, Vec::new());
        let found = page(matching.iter().map(|(doc_id, _)| *doc_id).collect(), &by_doc_id);
        assert_eq!(doc_ids(&by_doc_id), found, "{filter:?}");
        let (filters, charge) = (vec![filter.clone(), Filter::Not(Box::new(filter.clone()))], Charge::default());
        let ids = match group.execute(ShardRead::Ids { at, filters, limit: usize::MAX, charge }).unwrap() {
            ShardAnswer::Ids(of_filters) => of_filters.into_iter().map(|ids| IdSet::new(ids.unwrap())),
            other => panic!("{other:?}"),
        };
        let (of_filter, others): (Vec<_>, Vec<_>) =
            wanted.objects.values().partition(|(_, object)| matches(&filter, object));
        let ids_wanted = [of_filter, others].map(|all| IdSet::new(all.iter().map(|(_, object)| object.id).collect()));
        assert_eq!(ids.collect::<Vec<_>>(), ids_wanted, "{filter:?}");
        let version = |found: &FoundVersion| (found.id, found.doc_id);
        let (found, total) = group.matching(at, &filter, 3).unwrap();
        let ids: Vec<_> = found.iter().map(version).collect();
        assert_eq!(total, matching.len() as u64);
        assert_eq!(ids, matching.iter().take(3).map(|(doc_id, object)| (object.id, *doc_id)).collect::<Vec<_>>());
        let asked: HashSet<Uuid> = (0..3).map(|_| id(rng.random_range(0..IDS))).collect();
        let mut of: Vec<_> = group.matching_of(at, &filter, &asked).unwrap().iter().map(version).collect();
        of.sort_by_key(|(_, doc_id)| *doc_id);
        let wanted = matching.iter().filter(|(_, object)| asked.contains(&object.id));
        assert_eq!(of, wanted.map(|(doc_id, object)| (object.id, *doc_id)).collect::<Vec<_>>());

        let descending = rng.random_bool(0.5);
        let sort = vec![Sort { property: "pages".into(), descending }];
        let sorted = query(Some(filter), None, sort);
        let pages = |object: &Object| match object.properties.get("pages") {
            Some(Value::Int(pages)) => *pages,
            _ => i64::MIN,
        };
        matching.sort_by(|(_, a), (_, b)| {
            let order = pages(a).cmp(&pages(b));
            if descending { order.reverse() } else { order }
        });
        let found = page(matching.iter().map(|(doc_id, _)| *doc_id).collect(), &sorted);
        assert_eq!(doc_ids(&sorted), found, "{sorted:?}");
    }
}

fn rng_offset(wanted: &ModelShard) -> usize {
    wanted.objects.len() / 5
}

fn check_near(group: &DataGroup, at: ShardKey, wanted: &ModelShard, rng: &mut ChaCha8Rng) {
    let Some(dimension) = wanted.dimension else { return };
    let target: Vec<f32> = (0..dimension).map(|_| rng.random_range(-1.0..1.0)).collect();
    let filter = rng.random_bool(0.5).then(|| random_filter(rng, 1));
    let mut distances: Vec<(f64, DocId)> = Vec::new();
    for (doc_id, object) in wanted.objects.values() {
        if let Some(Vector::Single(values)) = object.vectors.get(&VECTOR)
            && filter.as_ref().is_none_or(|filter| matches(filter, object))
        {
            distances.push((cosine_distance(&target, values), *doc_id));
        }
    }
    distances.sort_by(|a, b| a.0.total_cmp(&b.0));
    let max_distance = rng.random_bool(0.3).then_some(0.7_f32);
    if let Some(max) = max_distance {
        distances.retain(|(distance, _)| *distance <= f64::from(max));
    }
    let near = Near::to(VECTOR, target, max_distance);
    let query =
        Query { rank: Rank::Near(near), filter, offset: 1, limit: 5, sort: Vec::new(), include: Include::default() };
    let hits = group.search(at, &query).unwrap();
    let expected: Vec<f64> = distances.iter().skip(1).take(5).map(|(distance, _)| *distance).collect();
    assert_eq!(hits.len(), expected.len(), "{query:?}");
    for (hit, expected) in hits.iter().zip(expected) {
        assert!((f64::from(hit.distance.unwrap()) - expected).abs() < 1e-4, "{hit:?}, expected {expected}");
    }
}

/// The group as a kill would leave it, and the entries after its position applied again.
fn kill(group: Arc<DataGroup>, dir: TempDir, log: &[Entry]) -> (Arc<DataGroup>, TempDir) {
    let durable = group.durable();
    let survived = copy_as_killed(dir.path());
    drop((group, dir));
    let group = open(survived.path());
    let position = group.applied().unwrap().position;
    assert!(position >= durable, "{position:?} is behind {durable:?}");
    let rest = log.iter().filter(|entry| Some(entry.position) > position).cloned().collect();
    group.apply(rest).unwrap();
    (group, survived)
}

fn run(seed: u64, steps: usize) {
    println!("AZIMUTH_TEST_SEED={seed}");
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut dir = TempDir::new().unwrap();
    let mut group = open(dir.path());
    let mut model = Model::default();
    let mut log: Vec<Entry> = Vec::new();
    let mut next_collection = 2;
    let create = |id| [Command::PutCollection(Box::new(schema(id, 1))), first_shards(id)];
    let first = (1..=next_collection).flat_map(create).collect();
    let mut pending: Vec<Vec<Command>> = vec![first];
    for step in 0..steps {
        for _ in 0..rng.random_range(1..4) {
            let commands = 0..rng.random_range(1..12);
            pending.push(commands.map(|_| random_command(&mut rng, &mut next_collection, &model)).collect());
        }
        if step == steps / 2 {
            let known: Vec<u32> = model.collections.keys().map(|id| id.0).collect();
            pending.push(known.iter().map(|id| Command::PutCollection(Box::new(schema(*id, 2)))).collect());
        }
        let entries: Vec<Entry> =
            pending.drain(..).zip(log.len() as u64 + 1..).map(|(commands, index)| entry(index, commands)).collect();
        let outcomes = group.apply(entries.clone()).unwrap();
        for (entry, outcomes) in entries.iter().zip(outcomes) {
            let azimuth_engine::replica::EntryBody::Batch(batch) = &entry.body else { panic!("only batches") };
            let wanted: Vec<Outcome> = batch.commands.iter().map(|command| model.apply(command)).collect();
            assert_eq!(outcomes, wanted, "seed {seed}, step {step}");
        }
        log.extend(entries);
        match rng.random_range(0..12) {
            0 => drop(group.flush().unwrap()),
            1 => {
                group.flush().unwrap();
                group.save_indexes().unwrap();
                drop(group);
                group = open(dir.path());
            }
            2 => (group, dir) = kill(group, dir, &log),
            3 => work(&group),
            _ => {}
        }
        if step % 4 == 0 {
            check(&group, &model, &mut rng);
        }
    }
    check(&group, &model, &mut rng);
    same_state_from_the_log(&group, &log, &mut rng);
}

/// The same log, cut otherwise and applied to empty groups, gives the same state.
fn same_state_from_the_log(group: &DataGroup, log: &[Entry], rng: &mut ChaCha8Rng) {
    let hash = group.state_hash().unwrap();
    for chunk_max in [1, 50] {
        let dir = TempDir::new().unwrap();
        let other = open(dir.path());
        let mut rest = log;
        while !rest.is_empty() {
            let (chunk, after) = rest.split_at(rng.random_range(1..=chunk_max).min(rest.len()));
            other.apply(chunk.to_vec()).unwrap();
            rest = after;
        }
        assert_eq!(other.state_hash().unwrap(), hash);
    }
}

#[test]
fn the_group_does_what_the_model_does() {
    if let Some(seed) = std::env::var("AZIMUTH_TEST_SEED").ok().and_then(|seed| seed.parse().ok()) {
        return run(seed, 120);
    }
    let fresh = rand::rng().next_u64();
    for seed in [1, 2, 3, fresh] {
        run(seed, 150);
    }
}

#[test]
fn a_repeated_batch_changes_nothing() {
    let dir = TempDir::new().unwrap();
    let group = open(dir.path());
    let at = ShardKey { collection: CollectionId(1), shard: ShardId(0) };
    let commands = vec![Command::PutCollection(Box::new(schema(1, 1))), first_shards(1), put(at, object(1, &[], None))];
    group.apply(vec![entry(1, commands.clone())]).unwrap();
    let hash = group.state_hash().unwrap();
    let mut again = entry(1, commands);
    again.position.index = 2;
    assert_eq!(group.apply(vec![again]).unwrap(), [vec![Outcome::Repeated; 3]]);
    assert_eq!(group.state_hash().unwrap(), hash);
    assert_eq!(group.applied().unwrap().position.unwrap().index, 2);
    assert!(group.apply(vec![entry(2, Vec::new())]).is_err(), "positions only grow");
}
