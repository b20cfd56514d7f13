//! Background work: giving the index the form that its size wants, linking what waits, repairing after deletes.

use std::sync::Arc;

use super::requantize;
use crate::vector::config::IndexConfig;
use crate::vector::core::Core;
use crate::vector::hnsw::{Builder, Repair, ScratchPool, Surroundings};
use crate::vector::quantize::Requantization;
use crate::vector::store::graph::Graph;
use crate::vector::{EF_CONSTRUCTION_MIN, StepBudget, StepReport};

/// One bounded step.
pub(in crate::vector) fn work(core: &Core, config: &IndexConfig, budget: StepBudget) -> StepReport {
    if core.store.len() == 0 {
        return empty(core);
    }
    let recoding = requantize::step(core, config);
    if core.wants_graph(config) {
        // Codes come first, so that the graph is linked on them.
        if recoding.more || requantize::is_wanted(core, config) {
            return StepReport { coded: recoding.coded, more: recoding.more, ..StepReport::default() };
        }
        add_graph(core, config);
        return StepReport { more: true, ..StepReport::default() };
    }
    let linked = link(core, config, budget.link_max);
    let mut progress =
        StepReport { linked, coded: recoding.coded, more: linked > 0 || recoding.more, ..StepReport::default() };
    let view = core.store.view();
    if let Some(graph) = view.graph.clone() {
        progress.more |= view.pending.iter().any(|segment| segment.has_unclaimed());
        drop(view);
        repair(core, &graph, budget, &mut progress);
    }
    core.store.writer.lock().collect();
    progress
}

fn empty(core: &Core) -> StepReport {
    let Some(mut repair) = core.repair.try_lock() else { return StepReport::default() };
    if core.store.reset_if_empty() {
        *repair = Repair::default();
        *core.requantization.lock() = Requantization::default();
    }
    core.store.writer.lock().collect();
    StepReport::default()
}

fn repair(core: &Core, graph: &Graph, budget: StepBudget, progress: &mut StepReport) {
    let Some(mut repair) = core.repair.try_lock() else { return };
    let around = Surroundings { store: &core.store, graph, kernels: &core.kernels };
    let step = repair.step(around, budget.repair_max);
    progress.repaired = step.rewritten;
    progress.freed = step.freed;
    progress.moved = step.moved;
    progress.given_back = step.given_back;
    progress.more |= step.more;
}

/// Links waiting vectors, oldest first.
fn link(core: &Core, config: &IndexConfig, max: usize) -> usize {
    let Some(hnsw) = config.hnsw() else { return 0 };
    let builder = Builder {
        store: &core.store,
        kernels: &core.kernels,
        ef_construction: hnsw.ef_construction.max(EF_CONSTRUCTION_MIN),
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

fn add_graph(core: &Core, config: &IndexConfig) {
    let Some(_form) = core.repair.try_lock() else { return };
    if core.wants_graph(config) {
        let layout = core.store.view().tables.layout;
        core.store.add_graph(Graph::new(layout.m, core.options.seed, None));
    }
}
