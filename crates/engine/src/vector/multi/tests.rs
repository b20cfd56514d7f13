//! Multi-vectors against exact late interaction: distances, recall of graph searches with and without filters, a model
//! with deletes, updates and restarts.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::ids::DocId;
use crate::vector::quantize::splitmix;
use crate::vector::slots::row_ids::row_id;
use crate::vector::{
    Codes, Distance, HnswConfig, IndexConfig, IndexKind, IndexOptions, Neighbor, StepBudget, VectorError,
};
use roaring::RoaringTreemap;

const DIM: usize = 24;

/// Documents by id, `[rows, DIM]`.
type Documents = BTreeMap<u64, Vec<f32>>;

/// Roughly normal from a counter.
fn noise(counter: u64) -> f32 {
    let uniform = |n: u64| (splitmix(counter ^ n << 60) >> 40) as f32 / 16_777_216.0;
    (0..4).map(uniform).sum::<f32>() * 1.7 - 3.4
}

/// A row of a word in a topic: words share directions, topics shift them, every use differs a little.
fn word(word: u64, topic: u64, usage: u64) -> Vec<f32> {
    let value = |j: u64| {
        noise(1 << 50 | word << 8 | j) + 0.6 * noise(2 << 50 | topic << 8 | j) + 0.5 * noise(3 << 50 | usage << 8 | j)
    };
    let row: Vec<f32> = (0..DIM as u64).map(value).collect();
    let norm = row.iter().map(|value| value * value).sum::<f32>().sqrt();
    row.into_iter().map(|value| value / norm).collect()
}

/// 4 to 31 rows; half of the words are those of the topic.
fn document(seed: u64) -> Vec<f32> {
    let topic = splitmix(seed) % 60;
    let rows = 4 + splitmix(seed ^ 1 << 40) % 28;
    let row = |n: u64| {
        let random = splitmix(seed << 8 ^ n);
        let of_topic = random & 1 == 0;
        word(if of_topic { topic * 20 + (random >> 8) % 20 } else { (random >> 8) % 1_200 }, topic, seed << 8 | n)
    };
    (0..rows).flat_map(row).collect()
}

fn documents(count: u64) -> Documents {
    // Ids are not dense, and beyond 32 bits.
    (0..count).map(|n| (0x1_0000_0000 + 3 * n, document(n))).collect()
}

/// Some rows of a document, disturbed.
fn query(of: &[f32], seed: u64) -> Vec<f32> {
    let disturbed = |(n, value): (usize, &f32)| value + 0.06 * noise(4 << 50 | seed << 20 | n as u64);
    of.iter().take(12 * DIM).enumerate().map(disturbed).collect()
}

/// The distance in f64 by the definition.
fn naive(distance: Distance, query: &[f32], rows: &[f32]) -> f64 {
    let pair = |a: &[f32], b: &[f32]| {
        let of = |f: &dyn Fn(f64, f64) -> f64| a.iter().zip(b).map(|(&x, &y)| f(x.into(), y.into())).sum::<f64>();
        match distance {
            Distance::Cosine => -of(&|x, y| x * y) / a.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt(),
            Distance::Dot => -of(&|x, y| x * y),
            Distance::L2Squared => of(&|x, y| (x - y) * (x - y)),
            Distance::Manhattan => of(&|x, y| (x - y).abs()),
            Distance::Hamming => of(&|x, y| if x == y { 0.0 } else { 1.0 }),
        }
    };
    let nearest = |a: &[f32]| rows.chunks_exact(DIM).map(|b| pair(a, b)).fold(f64::INFINITY, f64::min);
    query.chunks_exact(DIM).map(nearest).sum()
}

fn exact(
    distance: Distance,
    query: &[f32],
    documents: &Documents,
    k: usize,
    allowed: impl Fn(u64) -> bool,
) -> Vec<(f64, u64)> {
    let of = documents.iter().filter(|(doc, _)| allowed(**doc));
    let mut all: Vec<(f64, u64)> = of.map(|(doc, rows)| (naive(distance, query, rows), *doc)).collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    all.truncate(k);
    all
}

fn config(distance: Distance) -> IndexConfig {
    let hnsw = HnswConfig { m: 12, ef_construction: 64, ..HnswConfig::default() };
    IndexConfig { distance, kind: IndexKind::Hnsw(hnsw), codes: Codes::Default, skip: false }
}

fn options() -> IndexOptions {
    IndexOptions { graph_cutoff: 500, ..IndexOptions::default() }
}

fn open(dir: &Path, distance: Distance, muvera: Option<Muvera>) -> MultiIndex {
    let (index, report) = MultiIndex::open(dir, None, config(distance), muvera, options());
    assert_eq!(report.dropped, Vec::<String>::new());
    index
}

fn nowhere() -> &'static Path {
    Path::new("/nonexistent")
}

fn fill(index: &MultiIndex, documents: &Documents) {
    for (&doc, rows) in documents {
        index.insert(DocId(doc), DIM, rows).expect("the rows fit");
    }
}

fn work_all(index: &MultiIndex) {
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| while index.vectors().work(StepBudget::default()).more {});
        }
    });
    while index.vectors().work(StepBudget::default()).more {}
}

fn ask(index: &MultiIndex, documents: &Documents, request: &MultiRequest<'_>) -> Vec<Neighbor> {
    let hits = index.search(request, &mut |docs, take| fetch(documents, docs, take)).expect("the query fits");
    assert!(hits.windows(2).all(|pair| pair[0].order(&pair[1]).is_lt()), "{hits:?}");
    hits
}

fn fetch(documents: &Documents, docs: &RoaringTreemap, take: &mut dyn FnMut(DocId, &[f32])) {
    for doc in docs {
        documents.get(&doc).into_iter().for_each(|rows| take(DocId(doc), rows));
    }
}

fn request<'a>(rows: &'a [f32], k: usize, allow: Option<&'a RoaringTreemap>) -> MultiRequest<'a> {
    MultiRequest { dim: DIM, rows, k, max_distance: None, allow }
}

/// Hits have their true distances; share of those that are as near as the exact ones.
fn recall(distance: Distance, query: &[f32], documents: &Documents, hits: &[Neighbor], exact: &[(f64, u64)]) -> f64 {
    for hit in hits {
        let want = naive(distance, query, &documents[&hit.doc_id.0]);
        assert!((f64::from(hit.distance) - want).abs() < 1e-3, "{hit:?}: {want}");
    }
    let Some(&(bound, _)) = exact.last() else { return if hits.is_empty() { 1.0 } else { 0.0 } };
    assert_eq!(hits.len(), exact.len());
    let near = hits.iter().filter(|hit| f64::from(hit.distance) <= bound + 1e-4).count();
    near as f64 / exact.len() as f64
}

#[test]
fn small_collections_are_exact() {
    let documents = documents(60);
    let query = query(&documents[&0x1_0000_0000], 5);
    for distance in [Distance::Cosine, Distance::Dot, Distance::L2Squared, Distance::Manhattan, Distance::Hamming] {
        for muvera in [None, Some(Muvera::default())] {
            let index = open(nowhere(), distance, muvera);
            fill(&index, &documents);
            let want = exact(distance, &query, &documents, 60, |_| true);
            let hits = ask(&index, &documents, &request(&query, 100, None));
            assert_eq!(recall(distance, &query, &documents, &hits, &want), 1.0, "{distance:?} {muvera:?}");
            let (bound, doc) = want[20];
            let within = MultiRequest { max_distance: Some(bound as f32 + 1e-4), ..request(&query, 100, None) };
            let hits =
                index.search_by_distance(&within, &mut |docs, take| fetch(&documents, docs, take)).expect("fits");
            let beyond = want.iter().filter(|(other, _)| *other <= bound + 1e-4).count();
            assert!(hits.len() == beyond && hits.iter().any(|hit| hit.doc_id.0 == doc), "{distance:?} {muvera:?}");
            let found = index.distance_to(DocId(doc), DIM, &query, &mut |docs, take| fetch(&documents, docs, take));
            assert!(found.is_some_and(|found| (f64::from(found) - bound).abs() < 1e-3), "{found:?} {bound}");
            assert_eq!(index.distance_to(DocId(7), DIM, &query, &mut |docs, take| fetch(&documents, docs, take)), None);
        }
    }
}

/// Mean recall@10 over 40 queries, of everything and of parts of it.
fn floors(distance: Distance, muvera: Option<Muvera>, floors: &[(u64, f64)]) {
    let documents = documents(4_000);
    let index = open(nowhere(), distance, muvera);
    fill(&index, &documents);
    work_all(&index);
    let stats = index.vectors().stats();
    assert!(stats.levels.iter().sum::<usize>() > 1_000, "no graph: {stats:?}");
    for &(every, floor) in floors {
        let allowed = |doc: u64| splitmix(doc).is_multiple_of(every);
        let list: RoaringTreemap = documents.keys().copied().filter(|&doc| allowed(doc)).collect();
        let allow = (every > 1).then_some(&list);
        let mean = (0..40)
            .map(|n| {
                let query = query(&documents[&(0x1_0000_0000 + 3 * 97 * n)], n);
                let want = exact(distance, &query, &documents, 10, allowed);
                let hits = ask(&index, &documents, &request(&query, 10, allow));
                recall(distance, &query, &documents, &hits, &want)
            })
            .sum::<f64>()
            / 40.0;
        println!("{distance:?} {muvera:?}: one of {every} allowed: recall@10 {mean}");
        assert!(mean >= floor, "{distance:?} {muvera:?}: one of {every} allowed: {mean}");
    }
}

#[test]
fn walks_over_rows_find_the_nearest_documents() {
    floors(Distance::Cosine, None, &[(1, 0.98), (2, 0.98), (5, 0.98), (300, 1.0)]);
    floors(Distance::L2Squared, None, &[(1, 0.98), (2, 0.98)]);
}

#[test]
fn walks_over_encodings_find_most_of_them() {
    floors(Distance::Cosine, Some(Muvera::default()), &[(1, 0.95), (3, 0.95), (300, 1.0)]);
}

#[test]
fn what_does_not_fit_is_refused() {
    for muvera in [None, Some(Muvera::default())] {
        let index = open(nowhere(), Distance::Cosine, muvera);
        let insert = |dim, rows: &[f32]| index.insert(DocId(1), dim, rows);
        assert_eq!(insert(DIM, &[0.5; 3 * DIM]), Ok(()));
        assert_eq!(insert(4, &[0.5; 8]), Err(VectorError::Dimension { expected: DIM, actual: 4 }));
        assert_eq!(insert(DIM, &[]), Err(VectorError::DimensionRange(0)));
        assert_eq!(insert(DIM, &[f32::NAN; DIM]), Err(VectorError::NotFinite(0)));
        let long = vec![0.5; (ROWS_MAX + 1) * DIM];
        assert_eq!(insert(DIM, &long), Err(VectorError::Rows { max: ROWS_MAX, actual: ROWS_MAX + 1 }));
        let asked = index.search(&request(&long, 3, None), &mut |_, _| ());
        assert_eq!(asked, Err(VectorError::Rows { max: QUERY_ROWS_MAX, actual: ROWS_MAX + 1 }));
        let other = MultiRequest { dim: 2, ..request(&[0.5; 4], 3, None) };
        assert_eq!(index.search(&other, &mut |_, _| ()), Err(VectorError::Dimension { expected: DIM, actual: 2 }));
        assert_eq!(index.live_ids().iter().collect::<Vec<_>>(), [1]);
        assert!(index.delete(DocId(1)) && !index.delete(DocId(1)) && index.vectors().is_empty());
    }
}

#[test]
fn a_document_of_the_most_rows() {
    let index = open(nowhere(), Distance::Dot, None);
    let rows: Vec<f32> = (0..ROWS_MAX as u64 * 2).map(noise).collect();
    index.insert(DocId(9), 2, &rows).expect("fits");
    index.insert(DocId(10), 2, &rows[..4]).expect("fits");
    let found = index.distance_to(DocId(9), 2, &[1.0, 0.0], &mut |_, _| ());
    let want = rows.chunks_exact(2).map(|row| -row[0]).fold(f32::MAX, f32::min);
    assert_eq!(found, Some(want));
    assert!(index.delete(DocId(9)));
    assert_eq!((index.vectors().len(), index.live_ids().len()), (2, 1));
}

#[test]
fn a_torn_document_is_not_there_after_a_restart() {
    let dir = tempfile::tempdir().expect("a folder");
    let documents = documents(100);
    let index = open(dir.path(), Distance::Cosine, None);
    fill(&index, &documents);
    work_all(&index);
    let torn = DocId(0x1_0000_0000 + 3 * 40);
    // As a crash between two rows of a delete, or of an insert, leaves it.
    assert!(index.vectors().delete(row_id(torn.0, 0)));
    assert!(index.vectors().save().expect("saved").files > 0);
    let index = open(dir.path(), Distance::Cosine, None);
    let live = index.live_ids();
    assert!(live.len() == 99 && !live.contains(torn.0));
    assert_eq!(
        index.vectors().len(),
        documents.iter().filter(|(doc, _)| **doc != torn.0).map(|(_, rows)| rows.len() / DIM).sum::<usize>()
    );
    index.insert(torn, DIM, &documents[&torn.0]).expect("fits");
    let query = query(&documents[&torn.0], 3);
    let want = exact(Distance::Cosine, &query, &documents, 5, |_| true);
    let hits = ask(&index, &documents, &request(&query, 5, None));
    assert_eq!(hits[0].doc_id.0, want[0].1);
}

/// A document is seen whole or not at all, whatever comes and goes beside the search.
#[test]
fn searches_beside_writers_see_whole_documents() {
    let documents = documents(300);
    let index = open(nowhere(), Distance::Cosine, None);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..2u64)
            .map(|writer| {
                let (index, documents) = (&index, &documents);
                let own = move |doc: u64| splitmix(doc) & 1 == writer;
                scope.spawn(move || {
                    for round in 0..12 {
                        for (&doc, rows) in documents.iter().filter(|(doc, _)| own(**doc)) {
                            if splitmix(doc ^ round << 50).is_multiple_of(3) {
                                index.delete(DocId(doc));
                            } else {
                                index.insert(DocId(doc), DIM, rows).expect("fits");
                            }
                        }
                        index.vectors().work(StepBudget::default());
                    }
                })
            })
            .collect();
        let searcher = scope.spawn(|| {
            let mut searches = 0;
            while !done.load(Ordering::Acquire) || searches == 0 {
                let query = query(&document(searches), searches);
                for hit in ask(&index, &documents, &request(&query, 10, None)) {
                    let want = naive(Distance::Cosine, &query, &documents[&hit.doc_id.0]);
                    assert!((f64::from(hit.distance) - want).abs() < 1e-3, "{hit:?}: {want}");
                }
                searches += 1;
            }
        });
        writers.into_iter().for_each(|writer| writer.join().expect("a writer"));
        done.store(true, Ordering::Release);
        searcher.join().expect("the searcher");
    });
}

/// Inserts, deletes, background work, saves and restarts with the one rule of recovery, against a plain map.
fn model(seed: u64, muvera: Option<Muvera>) {
    println!("seed {seed}");
    let dir = tempfile::tempdir().expect("a folder");
    let mut index = open(dir.path(), Distance::Cosine, muvera);
    let mut model = Documents::new();
    let mut next = 1;
    for step in 0..600u64 {
        let random = splitmix(seed << 20 ^ step);
        match random % 20 {
            0..=11 => {
                let rows = document(seed << 20 | next);
                index.insert(DocId(next), DIM, &rows).expect("fits");
                model.insert(next, rows);
                next += 1;
            }
            12..=14 => {
                let gone = (random >> 8) % next;
                assert_eq!(index.delete(DocId(gone)), model.remove(&gone).is_some(), "step {step}");
            }
            15..=16 => drop(index.vectors().work(StepBudget { link_max: 200, repair_max: 2_000 })),
            17 => drop(index.vectors().save().expect("saved")),
            18 if random & 0x1000 == 0 => {
                // What came after the last save is gone with the process.
                drop(index);
                index = open(dir.path(), Distance::Cosine, muvera);
                let (held, wanted): (_, RoaringTreemap) = (index.live_ids(), model.keys().copied().collect());
                for doc in &held - &wanted {
                    assert!(index.delete(DocId(doc)));
                }
                for doc in &wanted - &held {
                    index.insert(DocId(doc), DIM, &model[&doc]).expect("fits");
                }
            }
            _ => {
                assert_eq!(index.live_ids(), model.keys().copied().collect(), "step {step}");
                let query = query(&document(random), step);
                let want = exact(Distance::Cosine, &query, &model, 5, |_| true);
                let hits = ask(&index, &model, &request(&query, 5, None));
                let recall = recall(Distance::Cosine, &query, &model, &hits, &want);
                assert!(recall >= 0.8, "step {step}: {recall}");
            }
        }
    }
}

#[test]
fn does_what_the_model_does() {
    model(31, None);
    model(32, Some(Muvera { ksim: 3, dprojections: 8, repetitions: 6 }));
}

/// Rows move into free slots one by one; documents are found whole at every step.
#[test]
fn documents_stay_whole_while_their_rows_move() {
    let index = open(nowhere(), Distance::Cosine, None);
    let mut documents = documents(260);
    fill(&index, &documents);
    while index.vectors().work(StepBudget::default()).more {}
    let gone: Vec<u64> = documents.keys().copied().filter(|&doc| splitmix(doc) % 5 < 3).collect();
    for doc in &gone {
        assert!(index.delete(DocId(*doc)));
        documents.remove(doc);
    }
    let mut moved = 0;
    for step in 0u64.. {
        let progress = index.vectors().work(StepBudget { link_max: 16, repair_max: 700 });
        moved += progress.moved;
        let (asked, rows) = documents.iter().nth(splitmix(step) as usize % documents.len()).expect("there are some");
        let rows = query(rows, step);
        let request = MultiRequest { dim: DIM, rows: &rows, k: 10, max_distance: None, allow: None };
        let within = index.search_by_distance(&MultiRequest { k: 1_000, ..request }, &mut |_, _| ()).expect("fits");
        let truth = exact(Distance::Cosine, &rows, &documents, 1_000, |_| true);
        assert_eq!(within.len(), truth.len(), "step {step}: each document once");
        for (hit, (distance, _)) in within.iter().zip(truth) {
            assert!((f64::from(hit.distance) - distance).abs() < 1e-3, "step {step}: {hit:?} {distance}");
        }
        let hits = index.search(&request, &mut |_, _| ()).expect("fits");
        assert_eq!((hits.len(), hits[0].doc_id), (10, DocId(*asked)), "step {step}");
        if !progress.more {
            break;
        }
    }
    assert!(moved > 100, "{moved} moved");
}
