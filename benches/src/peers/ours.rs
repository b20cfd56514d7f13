//! The index of this project.

use std::path::Path;

use azimuth_engine::ids::DocId;
use azimuth_engine::vector::{
    Codes, HnswConfig, IndexConfig, IndexKind, IndexOptions, SearchRequest, StepBudget, VectorIndex,
};
use tempfile::TempDir;

use super::{BUILD_THREADS, Built, Engine, Graph, Pass, pass_here};
use crate::ann::{AnnSet, K};
use crate::clock::{Clock, Elapsed, anonymous_bytes};

/// One configuration of it.
#[derive(Debug)]
pub struct Ours {
    name: String,
    graph: Graph,
    codes: Codes,
    /// The folder goes after the index.
    index: Option<(Index, TempDir)>,
}

struct Index(VectorIndex);

impl std::fmt::Debug for Index {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.0.stats())
    }
}

impl Ours {
    /// Not built yet.
    #[must_use]
    pub fn new(name: &str, graph: Graph, codes: Codes) -> Self {
        Self { name: name.to_owned(), graph, codes, index: None }
    }
}

impl Engine for Ours {
    fn name(&self) -> &str {
        &self.name
    }

    fn build(&mut self, set: &AnnSet) -> Result<Built, String> {
        let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
        let before = anonymous_bytes();
        let (index, elapsed) = build(set, config(set, self.graph, self.codes), dir.path());
        // As in a server: once saved, the originals are read from their files, behind the page cache.
        index.save().map_err(|error| error.to_string())?;
        let bytes = anonymous_bytes().saturating_sub(before);
        self.index = Some((Index(index), dir));
        Ok(Built { wall: elapsed.wall.as_secs_f64(), cpu: elapsed.cpu.as_secs_f64(), bytes })
    }

    fn search(&mut self, set: &AnnSet, ef: usize) -> Result<Pass, String> {
        let (Index(index), _) = self.index.as_ref().ok_or("not built")?;
        Ok(pass_here(set, |query| answers(index, &ask(query, Some(ef)))))
    }
}

/// Settings for a set.
#[must_use]
pub fn config(set: &AnnSet, graph: Graph, codes: Codes) -> IndexConfig {
    let hnsw = HnswConfig { m: graph.m, ef_construction: graph.ef_construction, ..HnswConfig::default() };
    IndexConfig { distance: set.distance, kind: IndexKind::Hnsw(hnsw), codes, skip: false }
}

/// Does all background work there is.
pub fn work_all(index: &VectorIndex) {
    std::thread::scope(|scope| {
        for _ in 0..BUILD_THREADS {
            scope.spawn(|| while index.work(StepBudget::default()).more {});
        }
    });
    while index.work(StepBudget::default()).more {}
}

/// An index over the set and what inserting and linking took: inserted by one thread, linked by [`BUILD_THREADS`].
#[must_use]
pub fn build(set: &AnnSet, config: IndexConfig, dir: &Path) -> (VectorIndex, Elapsed) {
    let (index, _) = VectorIndex::open(dir, Some(set.dim), config, IndexOptions::default());
    let clock = Clock::start();
    for (doc, row) in (0..).zip(set.rows()) {
        index.insert(DocId(doc), row).expect("the row fits");
    }
    work_all(&index);
    let elapsed = clock.elapsed();
    (index, elapsed)
}

/// A request for the [`K`] nearest.
#[must_use]
pub fn ask(query: &[f32], ef: Option<usize>) -> SearchRequest<'_> {
    SearchRequest { query, k: K, ef, max_distance: None, allow: None }
}

/// Rows that answer.
#[must_use]
pub fn answers(index: &VectorIndex, request: &SearchRequest<'_>) -> Vec<u32> {
    let hits = index.search(request).expect("the query fits");
    hits.iter().map(|hit| u32::try_from(hit.doc_id.0).expect("a row")).collect()
}
