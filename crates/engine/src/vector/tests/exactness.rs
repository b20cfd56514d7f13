//! Scans return exactly what a naive loop returns.

use roaring::RoaringTreemap;

use super::data::{exact, naive};
use super::*;

const ALL: [Distance; 5] =
    [Distance::Cosine, Distance::Dot, Distance::L2Squared, Distance::Manhattan, Distance::Hamming];

fn flat(distance: Distance) -> IndexConfig {
    IndexConfig { distance, kind: IndexKind::Flat, codes: Codes::Default, skip: false }
}

fn check_exact(index: &VectorIndex, distance: Distance, data: &Data, query: &[f32], allow: Option<&RoaringTreemap>) {
    let allowed = |i: usize| allow.is_none_or(|allow| allow.contains(doc(i).0));
    let expected = exact(distance, data, query, 10, allowed);
    let hits = index.search(&SearchRequest { allow, ..ask(query, 10) }).expect("the query fits");
    assert_eq!(hits.len(), expected.len());
    assert!(hits.is_sorted_by(|a, b| a.order(b).is_lt()));
    for (hit, (distance_expected, i)) in hits.iter().zip(&expected) {
        let tolerance = 2e-6 * distance_expected.abs().max(1.0);
        assert!((f64::from(hit.distance) - distance_expected).abs() <= tolerance, "{distance:?} {hit:?} {i}");
        assert_eq!(index.distance_to(hit.doc_id, query), Some(hit.distance));
        let row = usize::try_from((hit.doc_id.0 - doc(0).0) / 3).expect("a row");
        assert!(allowed(row) && (naive(distance, query, data.row(row)) - distance_expected).abs() <= tolerance);
    }
    let Some(&(middle, _)) = expected.get(4) else { return };
    let within = index.search_by_distance(query, middle as f32 + 1e-4, allow, usize::MAX).expect("the query fits");
    let all = exact(distance, data, query, usize::MAX, allowed);
    assert_eq!(within.len(), all.iter().filter(|(d, _)| *d <= f64::from(middle as f32 + 1e-4)).count());
}

/// Sizes below and above the one from which scans use codes.
#[test]
fn scans_are_exact() {
    for distance in ALL {
        for n in [1, 5, 9, 700, 3_000] {
            let mut data = Data::clustered(11, n, 40, 20, 0.5);
            if distance == Distance::Hamming {
                data.values.iter_mut().for_each(|value| *value = value.round());
            }
            let index = open(flat(distance));
            fill(&index, &data);
            assert_eq!(index.len(), n);
            work_all(&index, 1);
            assert_eq!(index.stats().searches_codes, n > 2_000 && distance.survives_rotation());
            let allow: RoaringTreemap = (0..n).filter(|i| i % 7 < 2).map(|i| doc(i).0).chain([5, u64::MAX]).collect();
            let queries = data.near(n.min(5), 0.1);
            for query in queries.rows() {
                check_exact(&index, distance, &data, query, None);
                check_exact(&index, distance, &data, query, Some(&allow));
            }
        }
    }
}

#[test]
fn pending_vectors_are_found_at_once_and_exactly() {
    let data = Data::clustered(3, 4_000, 24, 30, 0.4);
    let index = open(config(Distance::L2Squared, m16()));
    fill(&index, &data);
    assert_eq!(index.pending_len(), 4_000);
    for query in data.near(10, 0.2).rows() {
        check_exact(&index, Distance::L2Squared, &data, query, None);
    }
    // Half linked, half waiting.
    while index.pending_len() > 2_000 {
        index.work(StepBudget::default());
    }
    let queries = data.near(100, 0.2);
    let recall: f64 = queries
        .rows()
        .map(|query| {
            let hits = index.search(&ask(query, 10)).expect("the query fits");
            data::recall(&exact(Distance::L2Squared, &data, query, 10, |_| true), &hits)
        })
        .sum();
    assert!(recall / 100.0 > 0.97, "{recall}");
}

/// Between the last link of a segment and the view without it, what it holds is met twice.
#[test]
fn what_was_just_linked_is_found_once() {
    let data = Data::clustered(6, 3_000, 24, 30, 0.4);
    let index = open(config(Distance::L2Squared, m16()));
    let (before, after) = data.values.split_at(2_990 * data.dim);
    before.chunks_exact(data.dim).enumerate().for_each(|(i, row)| index.insert(doc(i), row).expect("fits"));
    work_all(&index, 1);
    after.chunks_exact(data.dim).zip(2_990..).for_each(|(row, i)| index.insert(doc(i), row).expect("fits"));
    let core = index.core().expect("it has vectors");
    let builder = hnsw::Builder { store: &core.store, kernels: &core.kernels, ef_construction: 128 };
    for segment in &core.store.view().pending {
        let slots = segment.claim(usize::MAX);
        hnsw::ScratchPool::with(|scratch| slots.iter().for_each(|&slot| builder.link(slot, scratch)));
        segment.finish(slots.len());
    }
    let view = core.store.view();
    assert!(!view.pending.is_empty() && view.waiting() == 0);
    let allow: RoaringTreemap = (0..data.len()).map(|i| doc(i).0).collect();
    let few: RoaringTreemap = (1_500..data.len()).map(|i| doc(i).0).collect();
    for row in 2_990..3_000 {
        for allow in [None, Some(&allow), Some(&few)] {
            let hits = index.search(&SearchRequest { allow, ..ask(data.row(row), 10) }).expect("fits");
            let docs: std::collections::BTreeSet<u64> = hits.iter().map(|hit| hit.doc_id.0).collect();
            assert_eq!((docs.len(), hits[0].doc_id), (10, doc(row)), "{hits:?}");
        }
    }
}

#[test]
fn unreasonable_wishes_are_met() {
    let data = Data::clustered(4, 3_000, 8, 10, 0.4);
    let index = open(config(Distance::L2Squared, m16()));
    fill(&index, &data);
    work_all(&index, 1);
    let allow: RoaringTreemap = (0..2_900).map(|i| doc(i).0).collect();
    for (k, ef) in [(usize::MAX, None), (10, Some(usize::MAX)), (2_999, Some(1)), (10, Some(0))] {
        for allow in [None, Some(&allow)] {
            let hits = index.search(&SearchRequest { ef, allow, ..ask(data.row(3), k) }).expect("fits");
            assert_eq!(hits.len(), k.min(if allow.is_some() { 2_900 } else { 3_000 }));
            assert!(hits.is_sorted_by(|a, b| a.order(b).is_lt()));
        }
    }
    let none = index.search(&SearchRequest { max_distance: Some(-1.0), ..ask(data.row(3), 10) }).expect("fits");
    assert!(none.is_empty());
    let near = index.search(&SearchRequest { max_distance: Some(0.0), ..ask(data.row(3), 10) }).expect("fits");
    assert_eq!(near.iter().map(|hit| hit.doc_id).collect::<Vec<_>>(), [doc(3)]);
}

#[test]
fn zero_vectors_under_cosine_are_at_one() {
    let index = open(flat(Distance::Cosine));
    index.insert(DocId(1), &[0.0; 8]).expect("fits");
    index.insert(DocId(2), &[1e-30; 8]).expect("fits");
    index.insert(DocId(3), &[3e38; 8]).expect("fits");
    let hits = index.search(&ask(&[1.0; 8], 10)).expect("fits");
    let expected: Vec<(u64, f32)> = vec![(2, 0.0), (3, 0.0), (1, 1.0)];
    let got: Vec<(u64, f32)> = hits.iter().map(|hit| (hit.doc_id.0, (hit.distance * 1e5).round() / 1e5)).collect();
    assert_eq!(got, expected);
    assert_eq!(index.distance_to(DocId(1), &[1.0; 8]), Some(1.0));
    let from_zero = index.search(&ask(&[0.0; 8], 10)).expect("fits");
    assert!(from_zero.iter().all(|hit| hit.distance == 1.0) && from_zero.len() == 3);
}

#[test]
fn what_does_not_fit_is_refused() {
    let index = open(config(Distance::Cosine, m16()));
    assert_eq!(index.search(&ask(&[1.0], 3)), Ok(vec![]));
    assert_eq!(index.insert(DocId(1), &[]), Err(VectorError::DimensionRange(0)));
    assert_eq!(index.insert(DocId(1), &[1.0, f32::NAN]), Err(VectorError::NotFinite(1)));
    index.insert(DocId(1), &[1.0, 2.0]).expect("fits");
    assert_eq!(index.insert(DocId(2), &[1.0]), Err(VectorError::Dimension { expected: 2, actual: 1 }));
    assert_eq!(index.search(&ask(&[1.0; 3], 3)), Err(VectorError::Dimension { expected: 2, actual: 3 }));
    assert_eq!(index.search(&ask(&[1.0, f32::INFINITY], 3)), Err(VectorError::NotFinite(1)));
    assert_eq!(index.search(&ask(&[1.0, 1.0], 0)), Ok(vec![]));
    assert_eq!(index.len(), 1);
}

#[test]
fn skipped_index_takes_and_refuses() {
    let index = open(IndexConfig { skip: true, ..flat(Distance::Cosine) });
    index.insert(DocId(1), &[1.0]).expect("accepted");
    assert_eq!((index.len(), index.search(&ask(&[1.0], 1))), (0, Err(VectorError::Skipped)));
}
