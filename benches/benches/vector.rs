//! The vector index in process, beside `hnsw_rs` and the bare scan, in one run.
//!
//! `cargo bench -p azimuth-benches --bench vector [-- part ..]`; parts: `scan`, `real`, `clustered`, `filter`, `churn`,
//! `save`, and `ours` for the default index alone. Without a part all run. `AZIMUTH_SHARED` names the folder that holds `data/minilm-docs`.
#![allow(clippy::print_stdout, reason = "a bench talks to its reader")]

use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use azimuth_benches::ann::{AnnSet, K};
use azimuth_engine::ids::DocId;
use azimuth_engine::vector::{
    Codes, Distance, HnswConfig, IndexConfig, IndexKind, IndexOptions, KernelTrial, SearchRequest, VectorIndex,
    WorkBudget,
};
use hnsw_rs::prelude::{AnnT, DistDot, DistL2, Hnsw};
use roaring::RoaringTreemap;
use simsimd::SpatialSimilarity;

const EFS: [usize; 5] = [16, 40, 64, 128, 256];
const THREADS: usize = 2;

fn main() {
    let parts: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let wanted = |part: &str| parts.is_empty() || parts.iter().any(|wanted| wanted == part);
    let real = AnnSet::real();
    if real.is_none() {
        println!("{} is absent: set AZIMUTH_SHARED; the parts on real data are left out", AnnSet::folder().display());
    }
    if let Some(set) = &real {
        if wanted("scan") {
            scans(set);
        }
        if wanted("real") {
            compare(set);
        }
        if parts.iter().any(|part| part == "ours") {
            compare_ours(set, "azimuth int8 + re-rank", Codes::Default);
        }
        if wanted("filter") {
            filters(set);
        }
        if wanted("churn") {
            churn(set);
        }
        if wanted("save") {
            saving(set);
        }
    }
    if wanted("clustered") {
        compare(&AnnSet::clustered(200_000, 500));
    }
}

fn config(set: &AnnSet, codes: Codes) -> IndexConfig {
    let hnsw = HnswConfig { m: 16, ef_construction: 128, ..HnswConfig::default() };
    IndexConfig { distance: set.distance, kind: IndexKind::Hnsw(hnsw), codes, skip: false }
}

fn work_all(index: &VectorIndex) {
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| while index.work(WorkBudget::default()).more {});
        }
    });
    while index.work(WorkBudget::default()).more {}
}

/// An index over the set, built by [`THREADS`] threads, and the seconds for inserting and for linking.
fn build(set: &AnnSet, config: IndexConfig, dir: &Path) -> (VectorIndex, f64, f64) {
    let (index, _) = VectorIndex::open(dir, Some(set.dim), config, IndexOptions::default());
    let begun = Instant::now();
    for (doc, row) in (0..).zip(set.rows()) {
        index.insert(DocId(doc), row).expect("the row fits");
    }
    let inserted = begun.elapsed().as_secs_f64();
    let begun = Instant::now();
    work_all(&index);
    (index, inserted, begun.elapsed().as_secs_f64())
}

fn ask<'a>(query: &'a [f32], ef: Option<usize>, allow: Option<&'a RoaringTreemap>) -> SearchRequest<'a> {
    SearchRequest { query, k: K, ef, max_distance: None, allow }
}

fn answers(index: &VectorIndex, request: &SearchRequest<'_>) -> Vec<u32> {
    let hits = index.search(request).expect("the query fits");
    hits.iter().map(|hit| u32::try_from(hit.doc_id.0).expect("a row")).collect()
}

const NOWHERE: &str = "/nonexistent/azimuth-bench";

/// What the machine allows: every vector compared, by us and by simsimd.
fn scans(set: &AnnSet) {
    println!("\n## exact scan of {} x {} ({})", set.rows().len(), set.dim, set.name);
    let n = set.rows().len() as f64;
    let show = |name: &str, queries_per_second: f64, recall: f64| {
        println!(
            "{name:32} {queries_per_second:8.0} QPS  {:6.1} ns a vector  recall {recall:.4}",
            1e9 / queries_per_second / n
        );
    };
    for (name, codes) in [("flat, f32", Codes::None), ("flat, int8 with bounds", Codes::Default)] {
        let config = IndexConfig { kind: IndexKind::Flat, ..config(set, codes) };
        let (index, _, _) = build(set, config, Path::new(NOWHERE));
        let outcome = set.measure(&set.truth, |query| answers(&index, &ask(query, None, None)));
        show(name, outcome.queries_per_second, outcome.recall);
    }
    let trial = KernelTrial::new(set.distance, set.dim, set.base.clone());
    let mut values = Vec::new();
    for (tier, name) in trial.tiers().into_iter().enumerate() {
        for (what, codes) in [("f32", false), ("int8 codes", true)] {
            let outcome = set.measure(&set.truth, |query| {
                if codes {
                    trial.score_codes(tier, query, &mut values);
                } else {
                    trial.score_rows(tier, query, &mut values);
                }
                black_box(&values);
                Vec::new()
            });
            show(&format!("kernel {name}, {what}"), outcome.queries_per_second, f64::NAN);
        }
    }
    let bytes: Vec<i8> = set.base.iter().map(|value| (value * 500.0).clamp(-127.0, 127.0) as i8).collect();
    let timed = |name: &str, body: &mut dyn FnMut(&[f32])| {
        let outcome = set.measure(&set.truth, |query| {
            body(query);
            Vec::new()
        });
        show(name, outcome.queries_per_second, f64::NAN);
    };
    timed("simsimd f32 dot, bare loop", &mut |query| {
        let sum: f64 = set.rows().map(|row| f32::dot(query, row).expect("one length")).sum();
        black_box(sum);
    });
    timed("simsimd int8 dot, bare loop", &mut |query| {
        let query: Vec<i8> = query.iter().map(|value| (value * 500.0).clamp(-127.0, 127.0) as i8).collect();
        let sum: f64 = bytes.chunks_exact(set.dim).map(|row| i8::dot(&query, row).expect("one length")).sum();
        black_box(sum);
    });
}

/// Build time, bytes and queries a second at recall, for ours and for hnsw_rs.
fn compare(set: &AnnSet) {
    let n = set.rows().len();
    println!(
        "\n## {} ({n} x {}), M 16, efConstruction 128, k 10; build with {THREADS} threads, queries with 1",
        set.name, set.dim
    );
    compare_ours(set, "azimuth int8 + re-rank", Codes::Default);
    compare_ours(set, "azimuth f32", Codes::None);
    match set.distance {
        Distance::L2Squared => compare_peer(set, DistL2 {}),
        _ => compare_peer(set, DistDot {}),
    }
}

fn compare_ours(set: &AnnSet, name: &str, codes: Codes) {
    let n = set.rows().len() as u64;
    let (index, inserted, linked) = build(set, config(set, codes), Path::new(NOWHERE));
    let stats = index.stats();
    let resident = stats.codes_bytes + stats.links_bytes + stats.directory_bytes;
    println!(
        "{name}: insert {inserted:.2} s, link {linked:.2} s, {} bytes a vector + {} of f32, levels {:?}",
        resident / n,
        (stats.originals_bytes + stats.originals_mapped_bytes) / n,
        stats.levels
    );
    for ef in EFS {
        let outcome = set.measure(&set.truth, |query| answers(&index, &ask(query, Some(ef), None)));
        println!("    ef {ef:4}: {:8.0} QPS  recall {:.4}", outcome.queries_per_second, outcome.recall);
    }
}

fn compare_peer<D: hnsw_rs::prelude::Distance<f32> + Send + Sync>(set: &AnnSet, distance: D) {
    let rows: Vec<Vec<f32>> = set.rows().map(<[f32]>::to_vec).collect();
    let numbered: Vec<(&Vec<f32>, usize)> = rows.iter().zip(0..).collect();
    let mut peer = Hnsw::<f32, D>::new(16, rows.len(), 16, 128, distance);
    let begun = Instant::now();
    peer.parallel_insert_data(&numbered);
    println!("hnsw_rs: build {:.2} s", begun.elapsed().as_secs_f64());
    peer.set_searching_mode(true);
    for ef in EFS {
        let outcome = set.measure(&set.truth, |query| {
            peer.search_neighbours(query, K, ef).iter().map(|hit| u32::try_from(hit.d_id).expect("a row")).collect()
        });
        println!("    ef {ef:4}: {:8.0} QPS  recall {:.4}", outcome.queries_per_second, outcome.recall);
    }
}

fn filters(set: &AnnSet) {
    println!("\n## filtered, {} (ef 64)", set.name);
    let (index, _, _) = build(set, config(set, Codes::Default), Path::new(NOWHERE));
    for percent in [0.01, 0.1, 1.0, 5.0, 10.0, 25.0, 50.0, 75.0, 99.0, 100.0] {
        let chosen = |i: u32| f64::from(i.wrapping_mul(2_654_435_761) >> 8) < percent / 100.0 * f64::from(1 << 24);
        let allow: RoaringTreemap = (0u32..).take(set.rows().len()).filter(|&i| chosen(i)).map(u64::from).collect();
        let truth = set.exact(chosen);
        let outcome = set.measure(&truth, |query| answers(&index, &ask(query, Some(64), Some(&allow))));
        println!("    {percent:6} %: {:8.0} QPS  recall {:.4}", outcome.queries_per_second, outcome.recall);
    }
    let outcome = set.measure(&set.truth, |query| answers(&index, &ask(query, Some(64), None)));
    println!("  no filter: {:8.0} QPS  recall {:.4}", outcome.queries_per_second, outcome.recall);
}

/// Half of the vectors deleted and inserted again as new documents, in random order, beside a fresh graph.
fn churn(set: &AnnSet) {
    println!("\n## churn, {}: half deleted and inserted anew", set.name);
    let (index, _, _) = build(set, config(set, Codes::Default), Path::new(NOWHERE));
    let n = set.rows().len() as u64;
    let show = |name: &str, index: &VectorIndex| {
        for ef in [64, 128] {
            let outcome = set.measure(&set.truth, |query| {
                let hits = index.search(&ask(query, Some(ef), None)).expect("the query fits");
                hits.iter().map(|hit| (hit.doc_id.0 % n) as u32).collect()
            });
            println!("    {name} ef {ef:4}: {:8.0} QPS  recall {:.4}", outcome.queries_per_second, outcome.recall);
        }
    };
    show("fresh  ", &index);
    let begun = Instant::now();
    let order: Vec<u64> = (0..n).map(|i| i * 7_919 % n).filter(|i| i % 2 == 0).collect();
    let rows: Vec<&[f32]> = set.rows().collect();
    for part in order.chunks(500) {
        for &row in part {
            assert!(index.delete(DocId(row)));
        }
        work_all(&index);
        for &row in part {
            index.insert(DocId(row + n), rows[row as usize]).expect("the row fits");
        }
        work_all(&index);
    }
    println!(
        "    churned {} in {:.1} s, {:?} tombstones",
        order.len(),
        begun.elapsed().as_secs_f64(),
        index.stats().tombstones
    );
    show("churned", &index);
}

fn saving(set: &AnnSet) {
    println!("\n## saving and opening, {}", set.name);
    let dir = tempfile::tempdir().expect("a folder");
    let (index, _, _) = build(set, config(set, Codes::Default), dir.path());
    let begun = Instant::now();
    let report = index.save().expect("saved");
    println!("    save {:.2} s, {report:?}", begun.elapsed().as_secs_f64());
    let begun = Instant::now();
    let report = index.save().expect("saved");
    println!("    save again {:.2} s, {report:?}", begun.elapsed().as_secs_f64());
    drop(index);
    let begun = Instant::now();
    let (index, report) =
        VectorIndex::open(dir.path(), Some(set.dim), config(set, Codes::Default), IndexOptions::default());
    println!("    open {:.3} s, {report:?}", begun.elapsed().as_secs_f64());
    let begun = Instant::now();
    let ids = index.live_ids();
    println!("    live ids {:.3} s ({})", begun.elapsed().as_secs_f64(), ids.len());
}
