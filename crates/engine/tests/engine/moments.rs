//! Every search beside writers answers from one state: its result is the naive answer of one of the states that were
//! published while the search ran, with nothing missing, repeated or newer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use azimuth_engine::command::Command;
use azimuth_engine::data::{DataGroup, GroupOptions};
use azimuth_engine::ids::VectorId;
use azimuth_engine::maintain::IndexBudget;
use azimuth_engine::object::{Value, Vector};
use azimuth_engine::query::{
    Combination, Filter, FilterValue, Include, Near, Operator, Path, Projection, Query, Rank, Subject, Target,
};
use azimuth_engine::schema::{Collection, Primitive, VectorConfig, VectorIndexKind};
use azimuth_engine::vector::{Distance, IndexConfig, IndexKind};
use parking_lot::Mutex;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tempfile::tempdir;
use uuid::Uuid;

use crate::support::{apply, at, collection, id, object, one, options, put, vector_config, work};

const PLAIN: VectorId = VectorId(1);
const ROWS: VectorId = VectorId(2);
const DIM: u32 = 4;
const OBJECTS: u64 = 120;
const ROUNDS: usize = 250;

/// A plain vector that is compared exactly, and a multi-vector; both by the squared distance.
fn schema() -> Collection {
    let mut collection = collection(1, "Thing", vec![one("kind", Primitive::Int)]);
    let config = |id, multi| VectorConfig {
        id,
        kind: VectorIndexKind::Flat,
        index: IndexConfig { distance: Distance::L2Squared, kind: IndexKind::Flat, ..IndexConfig::default() },
        multi,
        ..vector_config()
    };
    collection.vectors.unnamed = None;
    collection.vectors.named =
        BTreeMap::from([("plain".to_owned(), config(PLAIN, false)), ("rows".to_owned(), config(ROWS, true))]);
    collection
}

/// The properties by which a stored object is searched.
#[derive(Clone)]
struct Thing {
    kind: i64,
    plain: Vec<f32>,
    rows: Vec<f32>,
}

/// The objects of a published state.
type State = BTreeMap<u64, Thing>;

/// Multiples of 1/256: all sums of their squared differences are exact in `f32`, so that no order depends on rounding.
fn values(rng: &mut ChaCha8Rng, count: u32) -> Vec<f32> {
    (0..count).map(|_| rng.random_range(-256..256_i16).into()).map(|steps: f32| steps / 256.0).collect()
}

fn thing(rng: &mut ChaCha8Rng) -> Thing {
    let rows = rng.random_range(1..4) * DIM;
    Thing { kind: rng.random_range(0..3), plain: values(rng, DIM), rows: values(rng, rows) }
}

fn write(n: u64, thing: &Thing) -> Command {
    let mut object = object(n, &[("kind", Value::Int(thing.kind))], None);
    object.vectors.insert(PLAIN, Vector::Single(thing.plain.clone()));
    object.vectors.insert(ROWS, Vector::Multi { dim: DIM, rows: thing.rows.clone() });
    put(at(1), object)
}

fn squared(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum()
}

/// One search in all its parts.
struct Search {
    plain: Option<Vec<f32>>,
    rows: Option<Vec<f32>>,
    kind: Option<i64>,
    max_distance: Option<f32>,
    limit: usize,
}

impl Search {
    fn some(rng: &mut ChaCha8Rng) -> Self {
        let form = rng.random_range(0..4);
        let rows = rng.random_range(1..3) * DIM;
        Self {
            plain: (form != 1).then(|| values(rng, DIM)),
            rows: (form == 1 || form == 2).then(|| values(rng, rows)),
            kind: rng.random_bool(0.3).then(|| rng.random_range(0..3)),
            max_distance: (form == 3).then_some(1.5),
            // A combination of two targets uses a part of each target's candidates; here all of them, so that the
            // answer is exact.
            limit: if form == 2 { 1_000 } else { [3, 10, 1_000][rng.random_range(0..3)] },
        }
    }

    fn query(&self) -> Query {
        let target = |vector, query| Target { vector, query, weight: 1.0 };
        let plain = self.plain.clone().map(|query| target(PLAIN, Vector::Single(query)));
        let rows = self.rows.clone().map(|rows| target(ROWS, Vector::Multi { dim: DIM, rows }));
        let targets = plain.into_iter().chain(rows).collect();
        let near = Near { targets, combination: Combination::Sum, max_distance: self.max_distance };
        let path = Path { through: Vec::new(), subject: Subject::Property("kind".into()) };
        let is_kind = |kind| Filter::Compare { path, operator: Operator::Equal, value: FilterValue::Int(kind) };
        Query {
            rank: Rank::Near(near),
            filter: self.kind.map(is_kind),
            offset: 0,
            limit: self.limit,
            sort: Vec::new(),
            include: Include { properties: Projection::All, vectors: Vec::new(), ..Include::default() },
        }
    }

    /// Whether `found` is the answer of this state: the right objects at the right distances. Objects at one distance may
    /// come in any order, and any of them may be the last within the limit.
    fn is_answer(&self, state: &State, found: &[Uuid]) -> bool {
        let naive = self.naive(state);
        let distances: BTreeMap<Uuid, f64> = naive.iter().map(|(distance, id)| (*id, *distance)).collect();
        let distinct: BTreeSet<&Uuid> = found.iter().collect();
        distinct.len() == found.len()
            && found.len() == naive.len().min(self.limit)
            && found.iter().zip(&naive).all(|(id, (distance, _))| distances.get(id) == Some(distance))
    }

    /// All objects that match, by distance.
    fn naive(&self, state: &State) -> Vec<(f64, Uuid)> {
        let distance = |thing: &Thing| {
            let plain = self.plain.as_ref().map_or(0.0, |query| squared(query, &thing.plain));
            let nearest = |row: &[f32]| {
                thing.rows.chunks(DIM as usize).map(|other| squared(row, other)).fold(f64::INFINITY, f64::min)
            };
            plain + self.rows.iter().flat_map(|rows| rows.chunks(DIM as usize)).map(nearest).sum::<f64>()
        };
        let matching = state.iter().filter(|(_, thing)| self.kind.is_none_or(|kind| thing.kind == kind));
        let mut hits: Vec<(f64, u64)> = matching.map(|(n, thing)| (distance(thing), *n)).collect();
        hits.retain(|(distance, _)| self.max_distance.is_none_or(|max| *distance <= f64::from(max)));
        hits.sort_by(|a, b| a.0.total_cmp(&b.0));
        hits.into_iter().map(|(distance, n)| (distance, id(n))).collect()
    }
}

/// One writer's history: the state after each apply. The last may not be published yet.
struct History {
    states: Mutex<Vec<State>>,
    published: AtomicUsize,
}

impl History {
    /// Searches, and asks whether the answer is that of a state that was in force meanwhile.
    fn check(&self, searches: &[Search], answer: impl FnOnce() -> Vec<Vec<Uuid>>) {
        let first = self.published.load(Ordering::Acquire);
        let found = answer();
        let states = self.states.lock();
        for (search, found) in searches.iter().zip(&found) {
            let right = states[first..].iter().any(|state| search.is_answer(state, found));
            let (moments, naive) = (states.len() - first, search.naive(&states[first]));
            assert!(right, "of {moments} states none gives\n{found:?}, the first gives\n{naive:?}");
        }
    }
}

fn ids(hits: Vec<azimuth_engine::query::Hit>) -> Vec<Uuid> {
    hits.into_iter().map(|hit| hit.object.id).collect()
}

fn read(group: &DataGroup, history: &History, seed: u64, done: &AtomicBool) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    while !done.load(Ordering::Acquire) {
        if rng.random_bool(0.5) {
            let search = Search::some(&mut rng);
            history.check(std::slice::from_ref(&search), || {
                vec![ids(group.search(at(1), &search.query()).expect("a search"))]
            });
        } else {
            let searches: Vec<Search> = (0..4).map(|_| Search::some(&mut rng)).collect();
            let queries: Vec<Query> = searches.iter().map(Search::query).collect();
            history.check(&searches, || {
                group.search_many(at(1), &queries).into_iter().map(|hits| ids(hits.expect("a search"))).collect()
            });
        }
    }
}

fn run(options: GroupOptions) {
    let seed = rand::random();
    println!("seed {seed}");
    let dir = tempdir().unwrap();
    let (group, _) = DataGroup::open(dir.path(), options).unwrap();
    apply(&group, vec![Command::PutCollection(Box::new(schema()))]);
    let history = History { states: Mutex::new(vec![State::new()]), published: AtomicUsize::new(0) };
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (group, history, done) = (&*group, &history, &done);
        scope.spawn(move || {
            while !done.load(Ordering::Acquire) {
                work(group);
                std::thread::yield_now();
            }
        });
        let readers: Vec<_> =
            (1..4).map(|reader| scope.spawn(move || read(group, history, seed ^ reader, done))).collect();
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        for round in 0..ROUNDS {
            let mut state = history.states.lock().last().cloned().unwrap_or_default();
            let mut commands = Vec::new();
            for _ in 0..rng.random_range(1..8) {
                let n = rng.random_range(0..OBJECTS);
                if rng.random_bool(0.4) && state.remove(&n).is_some() {
                    commands.push(Command::Delete { at: at(1), id: id(n) });
                } else {
                    let thing = thing(&mut rng);
                    commands.push(write(n, &thing));
                    state.insert(n, thing);
                }
            }
            history.states.lock().push(state);
            apply(group, commands);
            history.published.store(round + 1, Ordering::Release);
            if readers.iter().any(std::thread::ScopedJoinHandle::is_finished) {
                break;
            }
        }
        done.store(true, Ordering::Release);
    });
    // Deleted documents are gone from the indexes once no reader is left.
    work(&group);
    let live = group.count(at(1), None).unwrap();
    for vector in group.shard_status(at(1)).unwrap().vectors {
        assert_eq!(vector.objects, live);
        if let Some(index) = vector.index.filter(|_| vector.vector == PLAIN) {
            assert_eq!(index.len as u64, live, "vector {}", vector.vector);
        }
    }
}

#[test]
fn searches_beside_writers_answer_from_one_moment() {
    run(GroupOptions { index_budget: IndexBudget::new(u64::MAX, 1 << 30), ..options() });
}

#[test]
fn searches_answer_from_one_moment_while_indexes_leave_memory() {
    run(options());
}
