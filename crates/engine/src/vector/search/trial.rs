//! For the benches: the parts of a graph search that take its time.
//!
//! A graph search's distances are taken down once and can then be repeated without the graph search around them: in the
//! same order and batches, so that every row comes from where it came from in the graph search, or with rows that are
//! in the nearest cache. What lies between the two is waiting for memory, told without a machine's counters.

use std::cell::RefCell;
use std::sync::Arc;

use crate::vector::core::Core;
use crate::vector::hnsw::{CodeScorer, RowScorer, Scorer, Scratch, ScratchPool, descend, search_level};
use crate::vector::scan::query::Query;
use crate::vector::store::view::View;
use crate::vector::{SearchRequest, VectorIndex, search};

/// Queries over one state of an index, without filters, and the distances that their graph searches take.
pub struct GraphSearchTrial<'a> {
    index: &'a VectorIndex,
    core: &'a Core,
    view: Arc<View>,
    ef: usize,
    queries: Vec<Query>,
    traces: Vec<Trace>,
}

/// The batches of slots that one graph search compared.
#[derive(Default)]
struct Trace {
    slots: Vec<u32>,
    /// Where each batch ends.
    ends: Vec<usize>,
}

/// Rows that stay in the nearest cache: 16 codes of 400 bytes are 6.4 kB, 16 rows of f32 are 24 kB.
const CACHED_ROWS: usize = 16;

impl<'a> GraphSearchTrial<'a> {
    /// `None` without a graph. The queries fit the index.
    #[must_use]
    pub fn new<'q>(index: &'a VectorIndex, queries: impl Iterator<Item = &'q [f32]>, ef: usize) -> Option<Self> {
        let core = index.core()?;
        let view = core.store.view();
        view.graph.as_ref()?.entry()?;
        let queries: Vec<Query> = queries.map(|query| Query::new(core.distance, query, &view)).collect();
        let mut trial = Self { index, core, view, ef, queries, traces: Vec::new() };
        trial.traces = trial.queries.iter().map(|query| trial.trace(query)).collect();
        Some(trial)
    }

    /// Distances that all graph searches together take.
    #[must_use]
    pub fn distances(&self) -> usize {
        self.traces.iter().map(|trace| trace.slots.len()).sum()
    }

    /// Makes every query ready: checked, normalised, rotated, coded.
    pub fn prepare(&self) {
        for query in &self.queries {
            std::hint::black_box(Query::new(query.distance, &query.vector, &self.view));
        }
    }

    /// Every query's graph search, without what comes before and after it.
    pub fn graph_search(&self) {
        self.each(Step::Search);
    }

    /// The distances of every graph search and nothing else, in its order and batches.
    pub fn distances_alone(&self) {
        self.each(Step::Distances);
    }

    /// As many distances in as many batches, of rows that are in the nearest cache.
    pub fn distances_cached(&self) {
        self.each(Step::Cached);
    }

    /// Every query as a caller asks it, for `k` hits.
    pub fn search(&self, k: usize) {
        let config = self.index.config();
        for query in &self.queries {
            let request = SearchRequest { query: &query.vector, k, ef: Some(self.ef), max_distance: None, allow: None };
            std::hint::black_box(search::search(self.core, &config, &request));
        }
    }

    fn each(&self, step: Step) {
        let (tables, kernels) = (&*self.view.tables, &self.core.kernels);
        for (query, trace) in self.queries.iter().zip(&self.traces) {
            ScratchPool::with(|scratch| match &query.code {
                Some(code) => self.run(step, &CodeScorer::new(tables, kernels, code.view()), trace, scratch),
                None => self.run(step, &RowScorer::new(tables, kernels, &query.vector), trace, scratch),
            });
        }
    }

    fn run(&self, step: Step, scorer: &impl Scorer, trace: &Trace, scratch: &mut Scratch) {
        if matches!(step, Step::Search) {
            return self.search_by(scorer, scratch);
        }
        let near: Vec<u32> = trace.slots.iter().copied().take(CACHED_ROWS).collect();
        let mut start = 0;
        for &end in &trace.ends {
            let batch = &trace.slots[start..end];
            let repeated = batch.len().div_ceil(near.len().max(1));
            start = end;
            if matches!(step, Step::Distances) {
                // SAFETY: the graph search compared these slots under the view that is still held.
                unsafe { scorer.score(batch, &mut scratch.scores) };
                continue;
            }
            for part in 0..repeated {
                let rest = batch.len() - part * near.len();
                // SAFETY: as above.
                unsafe { scorer.score(&near[..rest.min(near.len())], &mut scratch.scores) };
            }
        }
    }

    fn search_by(&self, scorer: &impl Scorer, scratch: &mut Scratch) {
        let tables = &*self.view.tables;
        let entry = self.view.graph.as_ref().and_then(|graph| graph.entry());
        let Some((entry, level)) = entry.filter(|&(entry, _)| tables.has(entry)) else { return };
        let nearest = descend(tables, scorer, entry, level, 0, scratch);
        search_level(tables, scorer, nearest, 0, self.ef, scratch, &mut |_, _| ());
    }

    fn trace(&self, query: &Query) -> Trace {
        let (tables, kernels) = (&*self.view.tables, &self.core.kernels);
        ScratchPool::with(|scratch| match &query.code {
            Some(code) => self.recorded(CodeScorer::new(tables, kernels, code.view()), scratch),
            None => self.recorded(RowScorer::new(tables, kernels, &query.vector), scratch),
        })
    }

    fn recorded(&self, scorer: impl Scorer, scratch: &mut Scratch) -> Trace {
        let recording = Recording { scorer, trace: RefCell::default() };
        self.search_by(&recording, scratch);
        recording.trace.into_inner()
    }
}

/// The part of a graph search that is repeated.
#[derive(Clone, Copy)]
enum Step {
    Search,
    Distances,
    Cached,
}

/// Takes down what is compared.
struct Recording<S> {
    scorer: S,
    trace: RefCell<Trace>,
}

impl<S: Scorer> Scorer for Recording<S> {
    fn prefetch(&self, slots: &[u32]) {
        self.scorer.prefetch(slots);
    }

    unsafe fn score(&self, slots: &[u32], out: &mut Vec<f32>) {
        let mut trace = self.trace.borrow_mut();
        trace.slots.extend_from_slice(slots);
        let end = trace.slots.len();
        trace.ends.push(end);
        // SAFETY: handed on to the caller.
        unsafe { self.scorer.score(slots, out) };
    }

    unsafe fn of_stored(&self, slot: u32) -> Self {
        // SAFETY: handed on to the caller.
        Self { scorer: unsafe { self.scorer.of_stored(slot) }, trace: RefCell::default() }
    }
}
