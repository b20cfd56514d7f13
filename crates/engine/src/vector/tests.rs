//! Whole-index tests: against exact search, on synthetic data and on the shared set where it is there.

mod batched;
mod data;
mod exactness;
mod interleavings;
mod model;
mod quantizers;
mod recall;
mod relocation;
mod saved;

use super::*;
use data::Data;

fn config(distance: Distance, hnsw: HnswConfig) -> IndexConfig {
    IndexConfig { distance, kind: IndexKind::Hnsw(hnsw), codes: Codes::Default, skip: false }
}

fn m16() -> HnswConfig {
    HnswConfig { m: 16, ef_construction: 128, ef: 64, ..HnswConfig::default() }
}

fn open(config: IndexConfig) -> VectorIndex {
    let (index, report) = VectorIndex::open(Path::new("/nonexistent"), None, config, IndexOptions::default());
    assert_eq!(report, LoadReport::default());
    index
}

fn fill(index: &VectorIndex, data: &Data) {
    for (i, vector) in data.rows().enumerate() {
        index.insert(doc(i), vector).expect("the vector fits");
    }
}

/// Documents are not slots: far apart, beyond 2^32.
fn doc(i: usize) -> DocId {
    DocId(0x1_0000_0000 + 3 * i as u64)
}

fn work_all(index: &VectorIndex, threads: usize) {
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| while index.work(StepBudget::default()).more {});
        }
    });
    while index.work(StepBudget::default()).more {}
    assert_eq!(index.pending_len(), 0);
}

fn ask<'a>(query: &'a [f32], k: usize) -> SearchRequest<'a> {
    SearchRequest { query, k, ef: None, max_distance: None, allow: None }
}

use std::path::Path;
