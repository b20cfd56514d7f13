//! Searches by several vectors at once and by multi-vectors, against a plain map: writes, updates, deletes, background
//! work, restarts and kills.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use azimuth_engine::Error;
use azimuth_engine::command::{Command, Outcome};
use azimuth_engine::data::DataGroup;
use azimuth_engine::ids::{DocId, VectorId};
use azimuth_engine::object::{Object, Vector};
use azimuth_engine::query::{
    Combination, Filter, FilterValue, Include, Near, Operator, Path, Query, Rank, Subject, Target,
};
use azimuth_engine::replica::StateMachine;
use azimuth_engine::schema::{Collection, Primitive, VectorConfig, VectorIndexKind};
use azimuth_engine::vector::{Distance, IndexConfig, Muvera, QUERY_ROWS_MAX, ROWS_MAX};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tempfile::TempDir;
use uuid::Uuid;

use crate::support::{apply, at, collection, copy_as_killed, id, object, one, open, put, text, vector_config, work};

const ROWS: VectorId = VectorId(1);
const ENCODED: VectorId = VectorId(2);
const PLAIN: VectorId = VectorId(3);
const ALL: [VectorId; 3] = [ROWS, ENCODED, PLAIN];
const DIM: u32 = 6;

/// Rows of a multi-vector each, encodings of another, a plain vector; under cosine, dot and l2.
fn schema() -> Collection {
    let mut collection = collection(1, "Page", vec![one("kind", Primitive::Text)]);
    let config = |id, distance, multi, muvera| VectorConfig {
        id,
        kind: VectorIndexKind::Hnsw,
        index: IndexConfig { distance, ..IndexConfig::default() },
        multi,
        muvera,
        ..vector_config()
    };
    collection.vectors.unnamed = None;
    collection.vectors.named = BTreeMap::from([
        ("rows".to_owned(), config(ROWS, Distance::Cosine, true, None)),
        ("encoded".to_owned(), config(ENCODED, Distance::Dot, true, Some(Muvera::default()))),
        ("plain".to_owned(), config(PLAIN, Distance::L2Squared, false, None)),
    ]);
    collection
}

fn values(rng: &mut ChaCha8Rng, count: u32) -> Vec<f32> {
    (0..count).map(|_| rng.random_range(-1.0..1.0)).collect()
}

fn some_vector(rng: &mut ChaCha8Rng, vector: VectorId) -> Vector {
    if vector == PLAIN {
        return Vector::Single(values(rng, DIM));
    }
    let rows = rng.random_range(1..6) * DIM;
    Vector::Multi { dim: DIM, rows: values(rng, rows) }
}

fn some_object(rng: &mut ChaCha8Rng, n: u64) -> Object {
    let mut object = object(n, &[("kind", text(["red", "blue"][rng.random_range(0..2)]))], None);
    for vector in ALL {
        if rng.random_bool(0.8) {
            object.vectors.insert(vector, some_vector(rng, vector));
        }
    }
    object
}

fn pair(vector: VectorId, query: &[f32], stored: &[f32]) -> f64 {
    let of = |f: &dyn Fn(f64, f64) -> f64| query.iter().zip(stored).map(|(&x, &y)| f(x.into(), y.into())).sum::<f64>();
    match vector {
        ROWS => -of(&|x, y| x * y) / query.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt(),
        ENCODED => -of(&|x, y| x * y),
        _ => of(&|x, y| (x - y) * (x - y)),
    }
}

fn distance(target: &Target, object: &Object) -> Option<f64> {
    match (&target.query, object.vectors.get(&target.vector)?) {
        (Vector::Multi { rows: query, .. }, Vector::Multi { rows, .. }) => {
            let dim = DIM as usize;
            let nearest =
                |a: &[f32]| rows.chunks_exact(dim).map(|b| pair(target.vector, a, b)).fold(f64::INFINITY, f64::min);
            Some(query.chunks_exact(dim).map(nearest).sum())
        }
        (Vector::Single(query), Vector::Single(stored)) => Some(pair(target.vector, query, stored)),
        _ => None,
    }
}

type Model = BTreeMap<Uuid, (DocId, Object)>;

/// The answer by definition: each target names its nearest, those are combined.
fn expected(model: &Model, near: &Near, kind: Option<&str>, keep: usize) -> Vec<(f64, DocId)> {
    let matching =
        || model.values().filter(|(_, object)| kind.is_none_or(|kind| object.properties["kind"] == text(kind)));
    let by_target = |target: &Target| -> Vec<(f64, DocId)> {
        let mut all: Vec<_> =
            matching().filter_map(|(doc_id, object)| Some((distance(target, object)?, *doc_id))).collect();
        all.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        all
    };
    let lists: Vec<Vec<(f64, DocId)>> = near.targets.iter().map(by_target).collect();
    let several = lists.len() > 1;
    // For a sum all objects are candidates, so that no page depends on its own end.
    let keep_of_each = if several && near.combination != Combination::Minimum { usize::MAX } else { keep };
    let named: BTreeSet<DocId> =
        lists.iter().flat_map(|list| list.iter().take(keep_of_each)).map(|(_, doc_id)| *doc_id).collect();
    let of =
        |list: &[(f64, DocId)], doc_id| list.iter().find(|(_, other)| *other == doc_id).map(|(distance, _)| *distance);
    let complete: Vec<DocId> =
        named.iter().copied().filter(|doc_id| lists.iter().all(|list| of(list, *doc_id).is_some())).collect();
    let combined = |doc_id: DocId| -> f64 {
        let distances =
            || near.targets.iter().zip(&lists).filter_map(|(target, list)| Some((target, list, of(list, doc_id)?)));
        match near.combination {
            Combination::Minimum => distances().map(|(_, _, distance)| distance).fold(f64::INFINITY, f64::min),
            _ if !several => distances().map(|(_, _, distance)| distance).sum(),
            Combination::Sum => distances().map(|(target, _, distance)| f64::from(target.weight) * distance).sum(),
            Combination::RelativeScore => distances()
                .map(|(target, list, distance)| {
                    let all = || complete.iter().filter_map(|doc_id| of(list, *doc_id));
                    let (least, most) = (all().fold(f64::INFINITY, f64::min), all().fold(f64::NEG_INFINITY, f64::max));
                    f64::from(target.weight) * if most > least { (distance - least) / (most - least) } else { 1.0 }
                })
                .sum(),
        }
    };
    let part = if near.combination == Combination::Minimum || !several {
        named.into_iter().collect()
    } else {
        complete.clone()
    };
    let mut all: Vec<(f64, DocId)> = part.into_iter().map(|doc_id| (combined(doc_id), doc_id)).collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    all.retain(|(distance, _)| near.max_distance.is_none_or(|max| *distance <= f64::from(max)));
    all.truncate(keep);
    all
}

fn check(group: &DataGroup, model: &Model, rng: &mut ChaCha8Rng) {
    let count = rng.random_range(1..4);
    let targets = (0..count).map(|_| {
        let vector = ALL[rng.random_range(0..3)];
        Target { vector, query: some_vector(rng, vector), weight: rng.random_range(-0.5..2.0) }
    });
    let targets = targets.collect();
    let combination = [Combination::Minimum, Combination::Sum, Combination::RelativeScore][rng.random_range(0..3)];
    let max_distance = rng.random_bool(0.3).then(|| rng.random_range(-1.0..1.5));
    let near = Near { targets, combination, max_distance };
    let kind = rng.random_bool(0.5).then_some("red");
    let path = Path { through: Vec::new(), subject: Subject::Property("kind".into()) };
    let filter =
        kind.map(|kind| Filter::Compare { path, operator: Operator::Equal, value: FilterValue::Text(kind.into()) });
    let (offset, limit) = (rng.random_range(0..3), rng.random_range(1..30));
    let rank = Rank::Near(near.clone());
    let query = Query { rank, filter, offset, limit, sort: Vec::new(), include: Include::default() };
    let hits = group.search(at(1), &query).unwrap();
    let found: Vec<(f64, DocId)> = hits.iter().map(|hit| (f64::from(hit.distance.unwrap()), hit.doc_id)).collect();
    let want: Vec<_> = expected(model, &near, kind, offset + limit).into_iter().skip(offset).collect();
    assert_eq!(found.len(), want.len(), "{query:?}\n{found:?}\n{want:?}");
    for (found, want) in found.iter().zip(&want) {
        assert!((found.0 - want.0).abs() < 1e-3 && found.1 == want.1, "{query:?}: {found:?}, expected {want:?}");
    }
}

/// Pages of every size, one after the other, are the whole order: each object once, nearest first. Enough objects for a
/// sum to begin with fewer candidates.
#[test]
fn pages_of_a_search_by_several_vectors_are_the_exact_order() {
    const OBJECTS: u64 = 1_500;
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    let dir = TempDir::new().unwrap();
    let group = open(dir.path());
    let mut schema = schema();
    schema.vectors.named.retain(|name, _| name == "plain");
    let other = VectorConfig { id: VectorId(4), ..schema.vectors.named["plain"].clone() };
    schema.vectors.named.insert("other".to_owned(), other);
    apply(&group, vec![Command::PutCollection(Box::new(schema))]);
    let mut model = Model::new();
    for n in 0..OBJECTS {
        let mut object = object(n, &[("kind", text(["red", "blue"][rng.random_range(0..2)]))], None);
        for vector in [PLAIN, VectorId(4)] {
            if rng.random_bool(0.95) {
                object.vectors.insert(vector, Vector::Single(values(&mut rng, DIM)));
            }
        }
        let Outcome::Written { doc_id, .. } = apply(&group, vec![put(at(1), object.clone())])[0] else { panic!() };
        model.insert(object.id, (doc_id, object));
    }
    for combination in [Combination::Minimum, Combination::Sum, Combination::RelativeScore] {
        for (weights, kind, max_distance) in [
            ([1.0, 1.0], None, None),
            ([0.1, 2.0], Some("red"), None),
            ([0.0, 1.0], None, Some(1.5)),
            ([1.0, -0.5], None, None),
        ] {
            let target = |(vector, weight): (VectorId, f32)| Target {
                vector,
                query: Vector::Single(vec![0.25; DIM as usize]),
                weight,
            };
            let targets = [PLAIN, VectorId(4)].into_iter().zip(weights).map(target).collect();
            let near = Near { targets, combination, max_distance };
            let path = Path { through: Vec::new(), subject: Subject::Property("kind".into()) };
            let filter = kind.map(|kind: &str| Filter::Compare {
                path,
                operator: Operator::Equal,
                value: FilterValue::Text(kind.into()),
            });
            let wanted: Vec<DocId> =
                expected(&model, &near, kind, usize::MAX).into_iter().map(|(_, doc_id)| doc_id).collect();
            for limit in [7, 150] {
                let mut found = Vec::new();
                while found.len() < wanted.len().min(500) {
                    let rank = Rank::Near(near.clone());
                    let (filter, offset, sort) = (filter.clone(), found.len(), Vec::new());
                    let query = Query { rank, filter, offset, limit, sort, include: Include::default() };
                    let page = group.search(at(1), &query).unwrap();
                    assert!(!page.is_empty(), "{near:?}, offset {offset}");
                    found.extend(page.iter().map(|hit| hit.doc_id));
                }
                assert_eq!(found, wanted[..found.len()], "{near:?}, {limit}");
            }
        }
    }
}

fn run(seed: u64) {
    println!("AZIMUTH_TEST_SEED={seed}");
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut dir = TempDir::new().unwrap();
    let mut group = open(dir.path());
    apply(&group, vec![Command::PutCollection(Box::new(schema()))]);
    let mut model = Model::new();
    for _ in 0..300 {
        match rng.random_range(0..20) {
            0..=9 => {
                let objects: Vec<Object> = (0..rng.random_range(1..6))
                    .map(|_| {
                        let n = rng.random_range(0..70);
                        some_object(&mut rng, n)
                    })
                    .collect();
                let outcomes = apply(&group, objects.iter().cloned().map(|object| put(at(1), object)).collect());
                for (object, outcome) in objects.into_iter().zip(outcomes) {
                    let Outcome::Written { doc_id, .. } = outcome else { panic!("{outcome:?}") };
                    model.insert(object.id, (doc_id, object));
                }
            }
            10..=12 => {
                let gone = id(rng.random_range(0..70));
                apply(&group, vec![Command::Delete { at: at(1), id: gone }]);
                model.remove(&gone);
            }
            13 => work(&group),
            14 => {
                group.flush().unwrap();
                group.save_indexes().unwrap();
                drop(group);
                group = open(dir.path());
            }
            15 => (group, dir) = kill(group, dir),
            _ => check(&group, &model, &mut rng),
        }
    }
}

/// The group as a kill right after a flush leaves it: files of the indexes are as old as their last save.
fn kill(group: Arc<DataGroup>, dir: TempDir) -> (Arc<DataGroup>, TempDir) {
    group.flush().unwrap();
    let survived = copy_as_killed(dir.path());
    drop((group, dir));
    (open(survived.path()), survived)
}

#[test]
fn searches_by_several_vectors_do_what_the_model_does() {
    match std::env::var("AZIMUTH_TEST_SEED") {
        Ok(seed) => run(seed.parse().unwrap()),
        Err(_) => (0..6).for_each(run),
    }
}

#[test]
fn what_cannot_be_compared_is_refused() {
    let dir = TempDir::new().unwrap();
    let group = open(dir.path());
    apply(&group, vec![Command::PutCollection(Box::new(schema()))]);
    let mut large = object(1, &[], None);
    large.vectors.insert(ROWS, Vector::Multi { dim: 2, rows: vec![0.5; 2 * (ROWS_MAX + 1)] });
    let refused = apply(&group, vec![put(at(1), large.clone())]);
    assert!(matches!(&refused[0], Outcome::Refused(why) if why.contains("16384 are possible")), "{refused:?}");
    large.vectors.insert(ROWS, Vector::Multi { dim: 2, rows: vec![0.5; 2 * ROWS_MAX] });
    let written = apply(&group, vec![put(at(1), large)]);
    assert!(matches!(written[0], Outcome::Written { .. }), "{written:?}");

    let ask = |targets: Vec<Target>| {
        let rank = Rank::Near(Near { targets, combination: Combination::Minimum, max_distance: None });
        let query = Query { rank, filter: None, offset: 0, limit: 3, sort: Vec::new(), include: Include::default() };
        match group.search(at(1), &query) {
            Ok(hits) => format!("{} hits", hits.len()),
            Err(Error::Invalid(why)) => why,
            Err(other) => format!("{other:?}"),
        }
    };
    let target = |vector, query| Target { vector, query, weight: 1.0 };
    let rows = |dim, rows| Vector::Multi { dim, rows };
    assert_eq!(ask(vec![target(ROWS, rows(2, vec![0.5; 4]))]), "1 hits");
    assert_eq!(ask(Vec::new()), "0 target vectors were given, 1 to 64 are possible");
    assert_eq!(
        ask(vec![target(ROWS, Vector::Single(vec![0.5; 2]))]),
        "vector \"rows\" is searched with several vectors"
    );
    assert_eq!(ask(vec![target(PLAIN, rows(2, vec![0.5; 2]))]), "vector \"plain\" is searched with one vector");
    let why = ask(vec![target(ROWS, rows(3, vec![0.5; 3]))]);
    assert!(why.contains("given: 3, expected: 2"), "{why}");
    let long = rows(2, vec![0.5; 2 * (QUERY_ROWS_MAX + 1)]);
    assert_eq!(ask(vec![target(ROWS, long)]), "a query of 4097 vectors, 4096 are possible");
    let heavy = Target { weight: f32::NAN, ..target(ROWS, rows(2, vec![0.5; 2])) };
    assert_eq!(ask(vec![heavy]), "weight of target \"rows\" is not a finite number");
}
