//! Background work: giving the index the form that its size wants, linking what waits, repairing after deletes.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::arena::{Rows, State};
use super::codes::{Code, Rotation};
use super::config::{Codes, IndexConfig, IndexKind};
use super::core::Core;
use super::distance::CODE_TRAILER_BYTES;
use super::hnsw::{Builder, Graph, Repair, ScratchPool, Surroundings};
use super::view::View;
use super::{Progress, WorkBudget};

/// One bounded step.
pub(super) fn work(core: &Core, config: &IndexConfig, budget: WorkBudget) -> Progress {
    if core.store.len() == 0 {
        return empty(core);
    }
    if wants_promotion(core, config) {
        promote(core, config);
        return Progress { more: true, ..Progress::default() };
    }
    let linked = link(core, config, budget.link_max);
    let mut progress = Progress { linked, more: linked > 0, ..Progress::default() };
    let view = core.store.view();
    if let Some(graph) = view.graph.clone() {
        progress.more |= view.pending.iter().any(|segment| segment.has_unclaimed());
        drop(view);
        repair(core, &graph, budget, &mut progress);
    }
    core.store.writer.lock().collect();
    progress
}

fn empty(core: &Core) -> Progress {
    let Some(mut repair) = core.repair.try_lock() else { return Progress::default() };
    if core.store.reset_if_empty() {
        *repair = Repair::default();
    }
    core.store.writer.lock().collect();
    Progress::default()
}

fn repair(core: &Core, graph: &Graph, budget: WorkBudget, progress: &mut Progress) {
    let Some(mut repair) = core.repair.try_lock() else { return };
    let around = Surroundings { store: &core.store, graph, kernels: &core.kernels, distance: core.distance };
    let step = repair.step(around, budget.repair_max);
    progress.repaired = step.rewritten;
    progress.freed = step.freed;
    progress.more |= step.more;
}

/// Links waiting vectors, oldest first.
fn link(core: &Core, config: &IndexConfig, max: usize) -> usize {
    let Some(hnsw) = config.hnsw() else { return 0 };
    let builder = Builder {
        store: &core.store,
        kernels: &core.kernels,
        distance: core.distance,
        ef_construction: hnsw.ef_construction.max(super::EF_CONSTRUCTION_MIN),
    };
    let view = core.store.view();
    let Some((segment, slots)) =
        view.pending.iter().map(|segment| (segment, segment.claim(max))).find(|(_, slots)| !slots.is_empty())
    else {
        if view.pending.iter().any(|segment| segment.is_done()) {
            core.store.drop_finished_segments();
        }
        return 0;
    };
    let segment = Arc::clone(segment);
    drop(view);
    ScratchPool::with(|scratch| {
        for &slot in &slots {
            builder.link(slot, scratch);
            segment.finish(1);
        }
    });
    if segment.is_done() {
        core.store.drop_finished_segments();
    }
    slots.len()
}

/// Whether the index has outgrown its form.
fn wants_promotion(core: &Core, config: &IndexConfig) -> bool {
    let view = core.store.view();
    let live = core.store.len();
    match config.kind {
        IndexKind::Flat => {
            live > core.options.graph_cutoff
                && view.rotation.is_none()
                && wants_codes(config)
                && !view.tables.layout.codes_refused
        }
        IndexKind::Hnsw(_) => live > core.options.graph_cutoff && view.graph.is_none(),
        IndexKind::Dynamic { threshold, .. } => live > threshold && view.graph.is_none(),
    }
}

/// Vectors that the graph lacks: all of them while the index is about to get one.
pub(super) fn waiting(core: &Core, config: &IndexConfig) -> usize {
    let view = core.store.view();
    if view.graph.is_none() && config.hnsw().is_some() && wants_promotion(core, config) {
        return core.store.len();
    }
    view.waiting()
}

fn wants_codes(config: &IndexConfig) -> bool {
    config.codes == Codes::Default && config.distance.survives_rotation()
}

fn promote(core: &Core, config: &IndexConfig) {
    let Some(_form) = core.repair.try_lock() else { return };
    if !wants_promotion(core, config) {
        return;
    }
    let view = core.store.view();
    let layout = view.tables.layout;
    let rotation = wants_codes(config)
        .then(|| Arc::new(Rotation::new(layout.dim_padded, core.options.seed)))
        .filter(|rotation| codes_fit(core, &view, rotation));
    let graph = config.hnsw().map(|_| Graph::new(layout.m, core.options.seed, None));
    drop(view);
    core.store.promote(rotation, graph);
}

/// Vectors and queries on which the codes are tried.
const TRIAL_VECTORS: usize = 2_048;
const TRIAL_QUERIES: usize = 32;
const TRIAL_K: usize = 10;

/// Share of the nearest that codes alone must find, in 1/100. On embeddings they find 99.
const FIT_PERCENT_MIN: usize = 93;

/// Whether eight bits resolve what distinguishes these vectors: the nearest by code are compared with the nearest.
fn codes_fit(core: &Core, view: &View, rotation: &Rotation) -> bool {
    let tables = &view.tables;
    let live: Vec<u32> = (0..core.store.high(view))
        .filter(|&slot| tables.state(slot).load(Ordering::Acquire) & State::LIVE != 0)
        .collect();
    let slots: Vec<u32> = live.iter().copied().step_by(live.len().div_ceil(TRIAL_VECTORS).max(1)).collect();
    let stride = tables.layout.dim_padded + CODE_TRAILER_BYTES;
    let mut rows = vec![0u8; slots.len() * stride];
    let mut scratch = Vec::new();
    let mut codes = Vec::with_capacity(slots.len());
    for (&slot, row) in slots.iter().zip(rows.chunks_exact_mut(stride)) {
        let mut code = Code::default();
        // SAFETY: seen live under this view; the row has room for a code and its trailer.
        unsafe {
            code.encode(rotation, tables.original(slot), &mut scratch);
            code.write(row.as_mut_ptr());
        }
        codes.push(code);
    }
    let bases = [rows.as_ptr()];
    let all: Vec<u32> = (0..).take(slots.len()).collect();
    let (mut exact, mut approximate) = (vec![0.0; slots.len()], vec![0.0; slots.len()]);
    let (mut found, mut wanted) = (0, 0);
    for i in (0..slots.len()).step_by(slots.len().div_ceil(TRIAL_QUERIES).max(1)) {
        // SAFETY: the slots were seen live under this view; the trial rows are all written.
        unsafe {
            core.kernels.score_rows(tables.originals(), tables.original(slots[i]), &slots, &mut exact);
            core.kernels.score_codes(
                Rows::new(&bases, 31, stride),
                &codes[i].query(core.distance),
                &all,
                &mut approximate,
            );
        }
        let (here, of) = agreement(&exact, &approximate);
        found += here;
        wanted += of;
    }
    found * 100 >= wanted * FIT_PERCENT_MIN
}

/// How many of the first by code are, by their true distance, among the first. Ties count.
fn agreement(exact: &[f32], approximate: &[f32]) -> (usize, usize) {
    let k = TRIAL_K.min(exact.len());
    let mut sorted = exact.to_vec();
    sorted.sort_unstable_by(f32::total_cmp);
    let Some(&bound) = sorted.get(k.saturating_sub(1)) else { return (0, 0) };
    let mut order: Vec<usize> = (0..exact.len()).collect();
    order.sort_unstable_by(|&a, &b| approximate[a].total_cmp(&approximate[b]));
    (order.iter().take(k).filter(|&&i| exact[i] <= bound).count(), k)
}
