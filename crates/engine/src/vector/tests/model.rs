//! Random operations against a map and a naive scan; saving and opening anew in between; many threads at once.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::data::{naive, normal};
use super::*;
use crate::vector::quantize::splitmix;

const DIM: usize = 16;

/// A vector that follows from its document: clustered, with duplicates.
fn vector_of(doc: u64) -> Vec<f32> {
    let kind = splitmix(doc) % 64;
    let own = if kind < 8 { 0 } else { doc };
    (0..DIM as u64).map(|j| 2.0 * normal(kind << 40 | j) + 0.5 * normal(own << 8 ^ j ^ 0xabcd_0000_0000_0000)).collect()
}

fn options() -> IndexOptions {
    IndexOptions { graph_cutoff: 100, ..IndexOptions::default() }
}

fn small() -> HnswConfig {
    HnswConfig { m: 8, ef_construction: 48, ef: 96, ..HnswConfig::default() }
}

fn nearest(model: &BTreeMap<u64, Vec<f32>>, distance: Distance, query: &[f32], k: usize) -> Vec<(f64, usize)> {
    let mut all: Vec<(f64, usize)> =
        model.iter().map(|(&doc, vector)| (naive(distance, query, vector), doc as usize)).collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    all.truncate(k);
    all
}

/// Everything the index says agrees with the model; exact calls exactly.
fn check(index: &VectorIndex, model: &BTreeMap<u64, Vec<f32>>, distance: Distance, query: &[f32]) -> f64 {
    assert_eq!(index.len(), model.len());
    let hits = index.search(&ask(query, 10)).expect("fits");
    let expected = nearest(model, distance, query, 10);
    assert_eq!(hits.len(), expected.len(), "as many as there are");
    for hit in &hits {
        let vector = model.get(&hit.doc_id.0).expect("only documents that are there");
        let exact = naive(distance, query, vector);
        assert!((f64::from(hit.distance) - exact).abs() <= 1e-5 * exact.abs().max(1.0), "{hit:?} {exact}");
    }
    let mut documents: Vec<u64> = hits.iter().map(|hit| hit.doc_id.0).collect();
    documents.sort_unstable();
    documents.dedup();
    assert_eq!(documents.len(), hits.len(), "each once");
    if let Some(&(bound, _)) = expected.last() {
        let within = index.search_by_distance(query, bound as f32 + 1e-3, None, usize::MAX).expect("fits");
        let count = model.values().filter(|vector| naive(distance, query, vector) <= bound + 1e-3).count();
        assert!(within.len().abs_diff(count) <= count / 50 + 1, "{} {count}", within.len());
        assert!(within.len() >= expected.len());
    }
    data::recall(&expected, &hits)
}

fn run(seed: u64, distance: Distance, kind: IndexKind) {
    run_with(seed, distance, kind, &[Codes::Default]);
}

/// With these codes in turn, each from a random moment on.
fn run_with(seed: u64, distance: Distance, kind: IndexKind, codes: &[Codes]) {
    println!("seed {seed} {distance:?} {kind:?} {codes:?}");
    let dir = tempfile::tempdir().expect("a folder");
    let mut codes = codes.iter().copied().cycle();
    let mut config = IndexConfig { distance, kind, codes: codes.next().expect("codes are given"), skip: false };
    let (mut index, _) = VectorIndex::open(dir.path(), None, config, options());
    let (mut model, mut next_doc) = (BTreeMap::new(), 0u64);
    let (mut recall, mut searches) = (0.0, 0);
    for step in 0..6_000u64 {
        let word = splitmix(seed << 32 | step);
        // Growing, shrinking to little, growing again.
        let growing = step % 3_000 < 2_000;
        match word % 100 {
            0..60 if growing => {
                next_doc += 1 + word % 3;
                let vector = vector_of(next_doc);
                index.insert(DocId(next_doc), &vector).expect("fits");
                model.insert(next_doc, vector);
            }
            0..75 => {
                let from = (word >> 20) % (next_doc + 1);
                let doc = model.range(from..).next().map(|(&doc, _)| doc);
                assert_eq!(doc.is_some_and(|doc| index.delete(DocId(doc))), doc.is_some());
                model.remove(&doc.unwrap_or(0));
            }
            75..90 => {
                index.work(StepBudget { link_max: 20, repair_max: 300 });
            }
            90..98 => {
                recall += check(&index, &model, distance, &vector_of(word));
                searches += 1;
            }
            98 => {
                index.save().expect("saved");
            }
            _ if word % 1_000 < 500 && word % 1_000 >= 200 => {
                config.codes = codes.next().expect("codes come again");
                index.update_config(config);
            }
            _ if word % 1_000 < 200 => {
                // What was saved comes back; the rest is inserted and deleted again.
                drop(index);
                let (opened, report) = VectorIndex::open(dir.path(), None, config, options());
                assert_eq!(report.dropped, Vec::<String>::new());
                assert_eq!(report.loaded as u64, opened.live_ids().len());
                for doc in opened.live_ids() {
                    if !model.contains_key(&doc) {
                        assert!(opened.delete(DocId(doc)));
                    }
                }
                for (&doc, vector) in &model {
                    opened.insert(DocId(doc), vector).expect("fits");
                }
                index = opened;
            }
            _ => {}
        }
    }
    assert_eq!(index.live_ids().iter().collect::<Vec<_>>(), model.keys().copied().collect::<Vec<_>>());
    println!("recall {}", recall / f64::from(searches));
    assert!(recall / f64::from(searches) >= 0.97, "{}", recall / f64::from(searches));
    for &doc in model.keys() {
        assert!(index.delete(DocId(doc)));
    }
    while index.work(StepBudget::default()).more {}
    assert!(index.is_empty() && index.search(&ask(&[0.0; DIM], 5)).expect("fits").is_empty());
    let stats = index.stats();
    assert_eq!(
        (stats.memory.originals_bytes, stats.memory.codes_bytes, stats.memory.links_bytes),
        (0, 0, 0),
        "memory is given back"
    );
}

#[test]
fn random_operations_agree_with_a_map() {
    let graph = IndexKind::Hnsw(small());
    for seed in 1..=4 {
        run(seed, Distance::L2Squared, graph);
        run(seed + 10, Distance::Cosine, graph);
    }
    run(20, Distance::Manhattan, graph);
    run(21, Distance::Dot, graph);
    run(22, Distance::L2Squared, IndexKind::Flat);
    run(23, Distance::L2Squared, IndexKind::Dynamic { threshold: 150, hnsw: small(), flat_codes: Codes::Default });
}

/// Inserts, deletes, saves and opens while codes of every kind take each other's place.
#[test]
fn every_kind_of_codes_agrees_with_a_map() {
    let kinds = [
        Codes::Rotational { bits: 4, rescore: Some(20) },
        Codes::Product { segments: 8, centroids: 16, training_limit: 150 },
        Codes::Rotational { bits: 1, rescore: Some(128) },
        Codes::Default,
        Codes::Scalar { training_limit: 120, rescore: Some(20) },
        Codes::None,
        Codes::Binary { rescore: Some(400) },
        Codes::Rotational { bits: 8, rescore: Some(0) },
    ];
    let graph = IndexKind::Hnsw(small());
    for seed in 31..=33 {
        run_with(seed, Distance::L2Squared, graph, &kinds);
        run_with(seed + 10, Distance::Cosine, IndexKind::Flat, &kinds);
    }
    let dynamic =
        IndexKind::Dynamic { threshold: 300, hnsw: small(), flat_codes: Codes::Binary { rescore: Some(300) } };
    run_with(51, Distance::L2Squared, dynamic, &kinds);
    run_with(52, Distance::Dot, dynamic, &kinds);
    run_with(53, Distance::Manhattan, graph, &kinds);
    for (seed, codes) in (60..).zip(kinds) {
        run_with(seed, Distance::L2Squared, graph, &[codes]);
    }
}

/// Writers, builders, searchers and a saver at once. Documents that are never deleted must always be found.
#[test]
fn threads_do_not_disturb_each_other() {
    threads(&[Codes::Default]);
}

/// The same while codes are changed.
#[test]
fn threads_and_changes_of_codes_do_not_disturb_each_other() {
    threads(&[
        Codes::Rotational { bits: 4, rescore: Some(20) },
        Codes::None,
        Codes::Default,
        Codes::Product { segments: 16, centroids: 16, training_limit: 500 },
        Codes::Scalar { training_limit: 500, rescore: Some(20) },
    ]);
}

fn threads(codes: &[Codes]) {
    let dir = tempfile::tempdir().expect("a folder");
    let config = IndexConfig { kind: IndexKind::Hnsw(small()), ..config(Distance::L2Squared, small()) };
    let (index, _) = VectorIndex::open(dir.path(), None, config, options());
    let (stop, kept) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for writer in 0..2u64 {
            let (index, stop, kept) = (&index, &stop, &kept);
            scope.spawn(move || {
                for step in 0..15_000u64 {
                    // Multiples of 16 stay, the others go soon after they came.
                    let doc = 2 * step + writer;
                    index.insert(DocId(doc), &vector_of(doc)).expect("fits");
                    if writer == 0 && doc % 16 == 0 {
                        kept.store(doc + 1, Ordering::Release);
                    }
                    if step >= 200 && (doc - 400) % 16 != 0 {
                        assert!(index.delete(DocId(doc - 400)));
                    }
                }
                stop.store(true, Ordering::Release);
            });
        }
        for _ in 0..2 {
            let (index, stop) = (&index, &stop);
            scope.spawn(move || {
                while !stop.load(Ordering::Acquire) || index.work(StepBudget { link_max: 16, repair_max: 500 }).more {
                    index.work(StepBudget { link_max: 16, repair_max: 500 });
                }
            });
        }
        let (index, stop, kept) = (&index, &stop, &kept);
        scope.spawn(move || {
            let (mut searches, mut found) = (0u64, 0u64);
            while !stop.load(Ordering::Acquire) {
                let Some(last) = kept.load(Ordering::Acquire).checked_sub(1) else { continue };
                let doc = splitmix(searches) % (last / 16 + 1) * 16;
                let vector = vector_of(doc);
                let hits = index.search(&ask(&vector, 3)).expect("fits");
                searches += 1;
                for hit in &hits {
                    let exact = naive(Distance::L2Squared, &vector, &vector_of(hit.doc_id.0));
                    assert!((f64::from(hit.distance) - exact).abs() < 1e-3, "a hit has the vector of its document");
                }
                found += u64::from(hits.first().is_some_and(|hit| hit.distance < 1e-3));
                assert!(index.distance_to(DocId(doc), &vector).is_some_and(|distance| distance < 1e-3));
            }
            println!("{found} of {searches}");
            assert!(found * 100 >= searches * 98, "{found} of {searches}");
        });
        scope.spawn(move || {
            let mut codes = codes.iter().cycle();
            while !stop.load(Ordering::Acquire) {
                index.save().expect("saved");
                index.update_config(IndexConfig { codes: *codes.next().expect("codes come again"), ..config });
            }
        });
    });
    while index.work(StepBudget::default()).more {}
    index.save().expect("saved");
    let ids = index.live_ids();
    drop(index);
    let (opened, report) = VectorIndex::open(dir.path(), None, config, options());
    assert_eq!((report.dropped, opened.live_ids()), (vec![], ids));
}

/// Everything is deleted, and memory given back, while vectors are coded and codes are changed.
#[test]
fn an_index_may_be_emptied_while_its_codes_change() {
    let binary = Codes::Binary { rescore: None };
    let product = Codes::Product { segments: 4, centroids: 4, training_limit: 200 };
    let kinds = [Codes::Default, binary, product, Codes::None, Codes::Rotational { bits: 1, rescore: None }];
    for kind in [IndexKind::Hnsw(small()), IndexKind::Flat] {
        let config = IndexConfig { kind, ..config(Distance::L2Squared, small()) };
        let (index, _) = VectorIndex::open(Path::new("/nonexistent"), None, config, options());
        for round in 0..40u64 {
            let documents = round * 1_000..round * 1_000 + 700;
            for doc in documents.clone() {
                index.insert(DocId(doc), &vector_of(doc)).expect("fits");
            }
            let done = AtomicBool::new(false);
            std::thread::scope(|scope| {
                for _ in 0..2 {
                    scope.spawn(|| {
                        while !done.load(Ordering::Acquire) {
                            index.work(StepBudget { link_max: 8, repair_max: 500 });
                        }
                    });
                }
                for codes in kinds {
                    index.update_config(IndexConfig { codes, ..config });
                    index.work(StepBudget { link_max: 1, repair_max: 1 });
                }
                for doc in documents {
                    assert!(index.delete(DocId(doc)));
                }
                done.store(true, Ordering::Release);
            });
            while index.work(StepBudget::default()).more {}
            assert!(index.is_empty() && index.search(&ask(&[0.0; DIM], 5)).expect("fits").is_empty());
            assert_eq!(
                (index.stats().memory.codes_bytes, index.stats().memory.originals_bytes),
                (0, 0),
                "round {round}"
            );
        }
    }
}
