//! Execution of a search as planned.

pub(in crate::vector) mod batched;
pub(in crate::vector) mod plan;
mod trial;

pub use trial::GraphSearchTrial;

use std::sync::atomic::Ordering;

use super::config::{FilterStrategy, HnswConfig, IndexConfig};
use super::core::Core;
use super::hnsw::{
    CandidateList, CodeScorer, FilteredSearch, RowScorer, Scorer, Scratch, ScratchPool, descend, filtered_search,
    search_level, search_level_while,
};
use super::quantize::CodeKind;
use super::scan::allow::Allow;
use super::scan::exact::{chunks_of, is_live, scan, scan_by_code};
use super::scan::query::{Query, finish};
use super::scan::top::Top;
use super::store::graph::Graph;
use super::store::view::View;
use super::{Neighbor, SearchRequest};
use plan::{Filtered, PROBE, ProbeEstimate, SearchEstimate, SearchPlan, Situation, compared, estimate_by_probe, plan};

/// Allowed nodes at which a filtered graph search begins beside the entry point.
const SEEDS: u64 = 12;

/// Runs one search; the query was checked.
pub(in crate::vector) fn search(core: &Core, config: &IndexConfig, request: &SearchRequest<'_>) -> Vec<Neighbor> {
    search_allowed(core, config, request, request.allow.map(Allow::new))
}

/// As [`search`], with an allow list made ready.
pub(in crate::vector) fn search_allowed(
    core: &Core,
    config: &IndexConfig,
    request: &SearchRequest<'_>,
    allow: Option<Allow<'_>>,
) -> Vec<Neighbor> {
    let view = core.store.view();
    let (plan, query, top) = begin(core, &view, config, request, allow.as_ref());
    Execution { core, view: &view, query: &query, allow, top, pending_compared: false }.run(plan)
}

/// How one search over a view will be answered, with its query made ready.
pub(in crate::vector) fn begin(
    core: &Core,
    view: &View,
    config: &IndexConfig,
    request: &SearchRequest<'_>,
    allow: Option<&Allow<'_>>,
) -> (SearchPlan, Query, Top) {
    let rescore = config.codes_with(view.graph.is_some()).rescore();
    let now = situation(core, view, config, request, allow);
    // A segment whose vectors have all been linked by now is scanned too, as long as it is in the view.
    let top = Top::new(now.k, request.max_distance.unwrap_or(f32::INFINITY), !view.pending.is_empty());
    let query = Query { rescore, ..Query::new(core.distance, request.query, view) };
    (plan(config.hnsw(), now), query, top)
}

/// The inputs of the plan, which do not depend on the query itself.
fn situation(
    core: &Core,
    view: &View,
    config: &IndexConfig,
    request: &SearchRequest<'_>,
    allow: Option<&Allow<'_>>,
) -> Situation {
    let rescore = config.codes_with(view.graph.is_some()).rescore();
    let waiting = view.waiting();
    let live = core.store.len();
    let tombstones = core.store.tombstones();
    Situation {
        live,
        tombstones,
        linked: if view.graph.is_some() { (live + tombstones).saturating_sub(waiting) } else { 0 },
        allowed: allow.map(Allow::len),
        k: request.k.min(live),
        ef: widened(config.hnsw(), request, view.tables.codec().map(|codec| (codec.kind(), rescore))),
    }
}

/// Components that a search for the `k` nearest without an allow list compares, at most as a rule.
pub(in crate::vector) fn cost(core: &Core, config: &IndexConfig, k: usize) -> usize {
    let request = SearchRequest { query: &[], k, ef: None, max_distance: None, allow: None };
    let now = situation(core, &core.store.view(), config, &request, None);
    compared(plan(config.hnsw(), now), config.hnsw(), now).saturating_mul(core.dim)
}

/// The `ef` asked for, raised to the candidates that are to be fetched by such codes.
fn widened(
    hnsw: Option<&HnswConfig>,
    request: &SearchRequest<'_>,
    codes: Option<(CodeKind, Option<usize>)>,
) -> Option<usize> {
    let Some((hnsw, (kind, rescore))) = hnsw.zip(codes) else { return request.ef };
    let ef = hnsw.ef_for(request.k, request.ef);
    Some(rescore.unwrap_or_else(|| kind.candidates_for(ef)).max(ef))
}

/// All within `max_distance`, by scan: a graph search could not promise it.
pub(in crate::vector) fn search_by_distance(core: &Core, request: &SearchRequest<'_>) -> Vec<Neighbor> {
    let view = core.store.view();
    let plan = match (core.store.len(), request.allow) {
        (0, _) => return Vec::new(),
        (_, None) => SearchPlan::ScanAll,
        (_, Some(_)) => SearchPlan::ScanAllowed,
    };
    let top = Top::new(request.k, request.max_distance.unwrap_or(f32::INFINITY), false);
    let query = Query::exact(core.distance, request.query, &view);
    let allow = request.allow.map(Allow::new);
    Execution { core, view: &view, query: &query, allow, top, pending_compared: false }.run(plan)
}

/// Slots of what waits for the graph and may be returned.
pub(in crate::vector) fn pending_slots(view: &View, allow: Option<&Allow<'_>>) -> impl Iterator<Item = u32> {
    let tables = &view.tables;
    let allowed = move |slot: &u32| {
        allow.is_none_or(|allow| is_live(tables, *slot) && allow.contains(tables.doc(*slot).load(Ordering::Relaxed)))
    };
    view.pending.iter().flat_map(|segment| segment.slots()).filter(allowed)
}

/// A search under way.
pub(in crate::vector) struct Execution<'a> {
    pub core: &'a Core,
    pub view: &'a View,
    pub query: &'a Query,
    pub allow: Option<Allow<'a>>,
    pub top: Top,
    /// Vectors that wait for the graph are in `top` already.
    pub pending_compared: bool,
}

impl Execution<'_> {
    pub(in crate::vector) fn run(mut self, plan: SearchPlan) -> Vec<Neighbor> {
        match plan {
            SearchPlan::Empty => {}
            SearchPlan::ScanAll | SearchPlan::ScanAllowed => self.scan_exactly(),
            SearchPlan::ScanByCode { ef } => {
                self.scan_pending();
                self.scan_by_code(ef);
            }
            SearchPlan::Graph { ef } => self.search_or_scan(GraphSearch::Plain { ef }, ef),
            SearchPlan::GraphFiltered(filtered) => self.search_or_scan(GraphSearch::Filtered(filtered), filtered.ef),
        }
        self.top.into_hits()
    }

    /// Everything that may be returned.
    fn scan_exactly(&mut self) {
        let Self { core, view, query, allow, top, .. } = self;
        match allow {
            None => scan(view, &core.kernels, query, chunks_of(core.store.shown(view)), top),
            Some(allow) => scan(view, &core.kernels, query, allow.slots(&core.store), top),
        }
    }

    /// Everything that may be returned, as well as a graph search would. What waits for the graph is in already.
    fn scan_by_code(&mut self, ef: usize) {
        let Self { core, view, query, allow, top, .. } = self;
        match allow {
            None => scan_by_code(view, &core.kernels, query, chunks_of(core.store.shown(view)), ef, top),
            Some(allow) => scan_by_code(view, &core.kernels, query, allow.slots(&core.store), ef, top),
        }
    }

    /// Runs a graph search and scans the vectors that wait for the graph; scans everything if the graph search does not
    /// find enough.
    fn search_or_scan(&mut self, how: GraphSearch, ef: usize) {
        self.scan_pending();
        if !self.with_scorer(how) {
            self.top.begin_anew();
            self.scan_by_code(ef);
        }
    }

    /// Scans the vectors that wait for the graph.
    fn scan_pending(&mut self) {
        let Self { core, view, query, allow, top, pending_compared } = self;
        if *pending_compared || view.pending.is_empty() {
            return;
        }
        scan(view, &core.kernels, query, chunks_of(pending_slots(view, allow.as_ref())), top);
    }

    /// Graph searches on codes or originals; `false` if the graph search did not find as many as there must be.
    fn with_scorer(&mut self, how: GraphSearch) -> bool {
        let Some(graph) = self.view.graph.clone() else { return false };
        let (tables, kernels) = (&*self.view.tables, &self.core.kernels);
        let query = self.query;
        ScratchPool::with(|scratch| match &query.code {
            Some(code) => {
                let scorer = CodeScorer::new(tables, kernels, code.view());
                self.search_graph(&graph, &scorer, how, scratch)
            }
            None => self.search_graph(&graph, &RowScorer::new(tables, kernels, &query.vector), how, scratch),
        })
    }

    fn search_graph(&mut self, graph: &Graph, scorer: &impl Scorer, how: GraphSearch, scratch: &mut Scratch) -> bool {
        let tables = &*self.view.tables;
        let Some((entry, level)) = graph.entry().filter(|&(entry, _)| tables.has(entry)) else { return false };
        let nearest = descend(tables, scorer, entry, level, 0, scratch);
        let finished = match how {
            GraphSearch::Plain { ef } => {
                search_level(tables, scorer, nearest, 0, ef, scratch, &mut |_, _| ());
                true
            }
            GraphSearch::Filtered(how) => self.search_filtered(scorer, nearest, how, scratch),
        };
        finished && self.collect(scratch)
    }

    /// `false` if a scan is better.
    fn search_filtered(&self, scorer: &impl Scorer, nearest: (f32, u32), how: Filtered, scratch: &mut Scratch) -> bool {
        let (view, tables) = (self.view, &*self.view.tables);
        let allow = self.allow.as_ref();
        let accept = |slot: u32| {
            view.shows(slot) && allow.is_none_or(|allow| allow.contains(tables.doc(slot).load(Ordering::Relaxed)))
        };
        let go = |starts: &[u32], ef, strategy, scratch: &mut Scratch| {
            let how = FilteredSearch { ef, strategy, seen_max: how.seen_max };
            filtered_search(tables, scorer, starts, how, &accept, scratch)
        };
        if how.strategy == FilterStrategy::Sweeping {
            let Some(wide) = how.wide_ef() else { return go(&[nearest.1], how.ef, how.strategy, scratch) };
            let mut judgement = SearchEstimate::Enough;
            let mut go_on = |candidates: &CandidateList, expanded| {
                if expanded == PROBE {
                    let nearest = candidates.iter().take(PROBE);
                    judgement = how.estimate_by_search(PROBE, nearest.filter(|&(_, slot)| accept(slot)).count());
                }
                judgement == SearchEstimate::Enough
            };
            search_level_while(tables, scorer, nearest, 0, wide, scratch, &mut |_, _| (), &mut go_on);
            return match judgement {
                SearchEstimate::Enough => true,
                SearchEstimate::Wider { ef } => {
                    search_level(tables, scorer, nearest, 0, ef, scratch, &mut |_, _| ());
                    true
                }
                SearchEstimate::Scan => false,
            };
        }
        search_level(tables, scorer, nearest, 0, PROBE, scratch, &mut |_, _| ());
        let mut starts: Vec<u32> = scratch.candidates.iter().map(|(_, slot)| slot).collect();
        let allowed = starts.iter().filter(|&&slot| accept(slot)).count();
        let ProbeEstimate::Search { ef, strategy } = estimate_by_probe(how, starts.len(), allowed) else {
            return false;
        };
        if let Some(allow) = allow {
            starts.extend(allow.sample(&self.core.store, self.view, SEEDS));
        }
        go(&starts, ef, strategy, scratch)
    }

    /// Offers the nodes that a graph search found and the filter allows, nearest first, on the originals.
    fn collect(&mut self, scratch: &mut Scratch) -> bool {
        let Self { core, view, query, top, allow, .. } = self;
        let tables = &*view.tables;
        let accept = |slot: u32| {
            view.shows(slot)
                && allow.as_ref().is_none_or(|allow| allow.contains(tables.doc(slot).load(Ordering::Relaxed)))
        };
        let mut found = 0;
        let Scratch { candidates, batch, scores, .. } = scratch;
        let mut candidates = candidates.iter().filter(|&(_, slot)| accept(slot)).peekable();
        let Some(code) = &query.code else {
            for (value, slot) in candidates {
                found += 1;
                top.offer(finish(query.distance, value), tables.doc(slot).load(Ordering::Relaxed));
            }
            return found >= top.wanted();
        };
        let read_max = if query.rescore == Some(0) { top.wanted() } else { usize::MAX };
        while let Some(&(approximate, slot)) = candidates.peek() {
            // SAFETY: the graph search's nodes are in the tables, which have codes, and in use while the view is held.
            let slack = code.likely_error(unsafe { tables.code(slot) });
            if found >= top.wanted() && (found >= read_max || finish(query.distance, approximate - slack) > top.bound())
            {
                break;
            }
            batch.clear();
            let size = RERANK_BATCH.min(read_max - found);
            batch.extend(candidates.by_ref().take(size).map(|(_, slot)| slot));
            // SAFETY: the graph search's nodes are in the tables and in use while the view is held.
            unsafe { RowScorer::new(tables, &core.kernels, &query.vector).score(batch, scores) };
            for (&slot, &value) in batch.iter().zip(scores.iter()) {
                top.offer(finish(query.distance, value), tables.doc(slot).load(Ordering::Relaxed));
            }
            found += batch.len();
        }
        found >= top.wanted()
    }
}

/// Originals read before it is asked again whether more are worth it.
const RERANK_BATCH: usize = 8;

#[derive(Clone, Copy)]
enum GraphSearch {
    Plain { ef: usize },
    Filtered(Filtered),
}
