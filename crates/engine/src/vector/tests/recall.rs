//! Recall floors of the graph.

use roaring::RoaringTreemap;

use super::data::exact;
use super::*;

/// Mean recall@k over the queries.
fn mean_recall(index: &VectorIndex, distance: Distance, data: &Data, queries: &Data, ef: usize, k: usize) -> f64 {
    let sum: f64 = queries
        .rows()
        .map(|query| {
            let hits = index.search(&SearchRequest { ef: Some(ef), ..ask(query, k) }).expect("fits");
            assert_eq!(hits.len(), k);
            data::recall(&exact(distance, data, query, k, |_| true), &hits)
        })
        .sum();
    sum / queries.len() as f64
}

fn built(distance: Distance, hnsw: HnswConfig, codes: Codes, data: &Data) -> VectorIndex {
    let index = open(IndexConfig { codes, ..config(distance, hnsw) });
    fill(&index, data);
    work_all(&index, if data.len() > 20_000 { 2 } else { 1 });
    index
}

#[test]
fn clustered_data() {
    for distance in [Distance::Cosine, Distance::Dot, Distance::L2Squared, Distance::Manhattan] {
        let data = Data::clustered(5, 10_000, 48, 100, 0.5);
        let index = built(distance, m16(), Codes::Default, &data);
        let recall = mean_recall(&index, distance, &data, &data.near(100, 0.2), 64, 10);
        println!("{distance:?}: {recall}");
        assert!(recall >= 0.97, "{distance:?}: {recall}");
    }
}

#[test]
fn hamming_on_few_values() {
    let mut data = Data::clustered(5, 5_000, 64, 50, 0.5);
    data.values.iter_mut().for_each(|value| *value = (*value > 0.0).into());
    let index = built(Distance::Hamming, m16(), Codes::Default, &data);
    let recall = mean_recall(&index, Distance::Hamming, &data, &data.near(50, 0.0), 64, 10);
    assert!(recall >= 0.95, "{recall}");
}

/// Codes must not cost more than 0.002 of recall at the same ef, whatever the data look like.
#[test]
fn codes_lose_nothing_against_f32() {
    let dim = 96;
    let plain = Data::clustered(8, 8_000, dim, 200, 0.6);
    let change = |f: &dyn Fn(usize, usize, f32) -> f32| {
        let values = plain.values.iter().enumerate().map(|(i, &value)| f(i / dim, i % dim, value)).collect();
        Data { dim, values }
    };
    let sets = [
        ("clustered", change(&|_, _, value| value)),
        ("one dimension a thousand times larger", change(&|_, j, value| if j == 7 { value * 1000.0 } else { value })),
        ("heavy tails", change(&|_, _, value| value * value * value * value.abs())),
        ("tiny and huge norms", change(&|i, _, value| value * 10f32.powi((i % 9) as i32 - 4))),
        ("far from the origin", change(&|_, _, value| value + 50.0)),
        (
            "zeros and duplicates",
            change(&|i, j, value| match i % 10 {
                0 => 0.0,
                1 => (j % 3) as f32,
                _ => value,
            }),
        ),
    ];
    let mut below = Vec::new();
    for (name, data) in &sets {
        for distance in [Distance::Cosine, Distance::L2Squared] {
            let queries = data.near(200, 0.05);
            let plain = built(distance, m16(), Codes::None, data);
            let coded = built(distance, m16(), Codes::Default, data);
            let plain_recall = mean_recall(&plain, distance, data, &queries, 64, 10);
            let coded_recall = mean_recall(&coded, distance, data, &queries, 64, 10);
            println!(
                "{name} {distance:?}: f32 {plain_recall:.4}, codes {coded_recall:.4} ({})",
                coded.stats().searches_codes
            );
            // Where f32 itself is lost, the two graphs differ by luck as well.
            if coded_recall < plain_recall - 0.002 - 0.1 * (1.0 - plain_recall) {
                below.push(format!("{name} {distance:?}: {coded_recall} against {plain_recall}"));
            }
        }
    }
    assert!(below.is_empty(), "{below:?}");
}

/// Half of the vectors go, a few at a time: what repair leaves finds as much as a graph built over the rest.
#[test]
fn deletes_leave_a_graph_as_good_as_new() {
    let seed = 31;
    let data = Data::clustered(seed, 12_000, 64, 60, 0.8);
    let queries = data.near(200, 0.5);
    for codes in [Codes::Default, Codes::None] {
        let index = built(Distance::Cosine, m16(), codes, &data);
        let mut order: Vec<usize> = (0..data.len()).filter(|i| i % 2 == 0).collect();
        order.sort_by_key(|&i| quantize::splitmix(seed ^ (i as u64) << 8));
        for part in order.chunks(150) {
            part.iter().for_each(|&i| assert!(index.delete(doc(i))));
            work_all(&index, 1);
        }
        assert_eq!(index.stats().tombstones, 0);
        let rest = Data { dim: data.dim, values: data.rows().skip(1).step_by(2).flatten().copied().collect() };
        let fresh = built(Distance::Cosine, m16(), codes, &rest);
        let recall = |index: &VectorIndex, row_of: &dyn Fn(usize) -> usize| {
            let sum: f64 = queries
                .rows()
                .map(|query| {
                    let hits = index.search(&SearchRequest { ef: Some(24), ..ask(query, 10) }).expect("fits");
                    let truth = exact(Distance::Cosine, &data, query, 10, |i| i % 2 == 1);
                    let found = |i: usize| hits.iter().any(|hit| row_of(((hit.doc_id.0 - doc(0).0) / 3) as usize) == i);
                    truth.iter().filter(|&&(_, i)| found(i)).count() as f64 / truth.len() as f64
                })
                .sum();
            sum / queries.len() as f64
        };
        let (after, anew) = (recall(&index, &|row| row), recall(&fresh, &|row| 2 * row + 1));
        println!("seed {seed}, {codes:?}: after deletes {after:.4}, built anew {anew:.4}");
        assert!(after >= anew - 0.01, "seed {seed}, {codes:?}: {after} after deletes, {anew} built anew");
    }
}

/// With ties excluded from the neighbour heuristic the clump of identical vectors would cut off the others.
#[test]
fn duplicates_do_not_hide_the_others() {
    let others = Data::clustered(21, 500, 32, 500, 0.0);
    for distance in [Distance::Cosine, Distance::L2Squared, Distance::Dot] {
        for codes in [Codes::Default, Codes::None] {
            let mut data = Data { dim: 32, values: others.row(0).repeat(500) };
            data.values.extend_from_slice(&others.values);
            let options = IndexOptions { graph_cutoff: 10, ..IndexOptions::default() };
            let (index, _) = VectorIndex::open(
                Path::new("/nonexistent"),
                None,
                IndexConfig { codes, ..config(distance, m16()) },
                options,
            );
            fill(&index, &data);
            work_all(&index, 1);
            let found = |i: usize| {
                let hits = index.search(&ask(data.row(i), 1)).expect("fits");
                f64::from(hits[0].distance) <= exact(distance, &data, data.row(i), 1, |_| true)[0].0 + 1e-4
            };
            let count = (500..1000).filter(|&i| found(i)).count();
            assert_eq!(count, 500, "{distance:?} {codes:?}");
        }
    }
}

/// Allow lists of every size, spread evenly, by cluster, and around but without the query's own neighbourhood.
fn check_filters(index: &VectorIndex, distance: Distance, data: &Data, queries: &Data, floor: f64) {
    let n = data.len();
    let mut below = Vec::new();
    for percent in [0.01, 0.1, 1.0, 5.0, 10.0, 25.0, 50.0, 75.0, 99.0, 99.8] {
        let wanted = ((n as f64 * percent / 100.0) as usize).max(1);
        for kind in ["spread", "near excluded", "near only"] {
            let mut sum = 0.0;
            for (q, query) in queries.rows().enumerate() {
                let members: Vec<usize> = match kind {
                    "spread" => (0..n)
                        .filter(|&i| quantize::splitmix(i as u64 ^ (q as u64) << 32) % n as u64 <= wanted as u64)
                        .collect(),
                    _ => {
                        let mut order = exact(distance, data, query, n, |_| true);
                        if kind == "near excluded" {
                            order.reverse();
                        }
                        order.into_iter().take(wanted).map(|(_, i)| i).collect()
                    }
                };
                let rows: std::collections::HashSet<usize> = members.iter().copied().collect();
                let allow: RoaringTreemap = members.iter().map(|&i| doc(i).0).collect();
                let hits = index.search(&SearchRequest { allow: Some(&allow), ..ask(query, 10) }).expect("fits");
                assert_eq!(hits.len(), rows.len().min(10), "{percent} {kind}");
                assert!(hits.iter().all(|hit| allow.contains(hit.doc_id.0)));
                sum += data::recall(&exact(distance, data, query, 10, |i| rows.contains(&i)), &hits);
            }
            let recall = sum / queries.len() as f64;
            println!("{percent:5} % {kind:14} recall {recall:.4}");
            if recall < floor {
                below.push(format!("{percent} % {kind}: {recall}"));
            }
        }
    }
    assert!(below.is_empty(), "{below:?}");
}

#[test]
fn filters_on_clusters() {
    let data = Data::clustered(9, 12_000, 32, 60, 0.4);
    for filter_strategy in [FilterStrategy::Acorn, FilterStrategy::Sweeping] {
        for flat_search_cutoff in [40_000, 0] {
            let hnsw = HnswConfig { filter_strategy, flat_search_cutoff, ef: 100, ..m16() };
            let index = built(Distance::L2Squared, hnsw, Codes::Default, &data);
            println!("{filter_strategy:?}, cutoff {flat_search_cutoff}");
            check_filters(&index, Distance::L2Squared, &data, &data.near(20, 0.3), 0.98);
        }
    }
}

#[test]
fn shared_set() {
    let (Some(data), Some(queries)) = (Data::shared("base.fbin"), Data::shared("query.fbin")) else { return };
    let index = built(Distance::Cosine, m16(), Codes::Default, &data);
    let queries = Data { dim: queries.dim, values: queries.values[..100 * queries.dim].to_vec() };
    for (ef, floor) in [(64, 0.98), (128, 0.99)] {
        let recall = mean_recall(&index, Distance::Cosine, &data, &queries, ef, 10);
        println!("ef {ef}: {recall}");
        assert!(recall >= floor, "ef {ef}: {recall}");
    }
    println!("{:?}", index.stats());
    let few = Data { dim: queries.dim, values: queries.values[..10 * queries.dim].to_vec() };
    check_filters(&index, Distance::Cosine, &data, &few, 0.98);
}
