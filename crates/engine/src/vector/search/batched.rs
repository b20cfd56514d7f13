//! Several searches at once.
//!
//! A graph search goes its own way through the graph, but searches that compare the same vectors one after another do
//! it in blocks that stay in the processor's cache: each vector comes from memory once, not once for each search. That
//! is what waits for the graph, small indexes, flat indexes, and short allow lists that several searches have in
//! common.

use roaring::RoaringTreemap;

use super::plan::SearchPlan;
use super::{Execution, begin, pending_slots};
use crate::interrupt;
use crate::vector::config::IndexConfig;
use crate::vector::core::Core;
use crate::vector::scan::allow::Allow;
use crate::vector::scan::exact::{Chunks, chunks_of, scan};
use crate::vector::store::view::View;
use crate::vector::{Neighbor, SearchRequest};

/// Bytes of codes, or of originals where there are no codes, that one block has: a part of a core's own cache.
const BLOCK_BYTES: usize = 256 << 10;
/// Slots of a block, at least and at most.
const BLOCK_SLOTS: (usize, usize) = (128, 4_096);

/// Runs searches over one view; their queries were checked. The answers are those of each search by itself.
pub(in crate::vector) fn search_many(
    core: &Core,
    config: &IndexConfig,
    requests: &[SearchRequest<'_>],
) -> Vec<Vec<Neighbor>> {
    let view = core.store.view();
    let begun = requests.iter().map(|request| {
        let allow = request.allow.map(Allow::new);
        let (plan, query, top) = begin(core, &view, config, request, allow.as_ref());
        (plan, query, top, allow)
    });
    let (mut queries, mut rest) = (Vec::with_capacity(requests.len()), Vec::with_capacity(requests.len()));
    for (plan, query, top, allow) in begun {
        queries.push(query);
        rest.push((plan, top, allow));
    }
    let mut searches: Vec<Search<'_>> = queries
        .iter()
        .zip(rest)
        .zip(requests)
        .map(|((query, (plan, top, allow)), request)| Search {
            plan,
            allowed: request.allow,
            execution: Execution { core, view: &view, query, allow, top, pending_compared: false },
        })
        .collect();
    let mut lists: Vec<Option<&RoaringTreemap>> = Vec::new();
    for request in requests {
        if !lists.iter().any(|list| is_same(*list, request.allow)) {
            lists.push(request.allow);
        }
    }
    for list in lists {
        scan_together(core, &view, list, &mut searches);
    }
    searches.into_iter().map(|search| search.execution.run(search.plan)).collect()
}

struct Search<'a> {
    plan: SearchPlan,
    allowed: Option<&'a RoaringTreemap>,
    execution: Execution<'a>,
}

/// Whether two searches have one list: the caller hands in the same one, not an equal one.
fn is_same(a: Option<&RoaringTreemap>, b: Option<&RoaringTreemap>) -> bool {
    a.map(std::ptr::from_ref) == b.map(std::ptr::from_ref)
}

/// Does the part that searches with the allow list `list` have in common.
fn scan_together(core: &Core, view: &View, list: Option<&RoaringTreemap>, searches: &mut [Search<'_>]) {
    let with_list = || searches.iter().filter(|search| is_same(search.allowed, list));
    let is_scan = |search: &Search<'_>| matches!(search.plan, SearchPlan::ScanAll | SearchPlan::ScanAllowed);
    let is_graph_search = |search: &Search<'_>| search.plan != SearchPlan::Empty && !is_scan(search);
    let scans = with_list().filter(|search| is_scan(search)).count() > 1;
    let searches_graph = with_list().filter(|search| is_graph_search(search)).count() > 1 && !view.pending.is_empty();
    let allow = list.map(Allow::new);
    let mut members: Vec<&mut Search<'_>> =
        searches.iter_mut().filter(|search| is_same(search.allowed, list)).collect();
    if scans {
        let mut members: Vec<_> = members.iter_mut().filter(|search| is_scan(search)).collect();
        let executions = members.iter_mut().map(|search| &mut search.execution).collect();
        match &allow {
            None => in_blocks(core, view, chunks_of(core.store.shown(view)), executions),
            Some(allow) => in_blocks(core, view, allow.slots(&core.store), executions),
        }
        // Nothing is left to be compared.
        members.iter_mut().for_each(|search| search.plan = SearchPlan::Empty);
    }
    if searches_graph {
        let graph_searches =
            members.iter_mut().filter(|search| is_graph_search(search)).map(|search| &mut search.execution);
        let mut executions: Vec<_> = graph_searches.collect();
        executions.iter_mut().for_each(|execution| execution.pending_compared = true);
        in_blocks(core, view, chunks_of(pending_slots(view, allow.as_ref())), executions);
    }
}

/// Compares the slots of `chunks` with each query, a block at a time.
fn in_blocks(core: &Core, view: &View, mut chunks: impl Chunks, mut searches: Vec<&mut Execution<'_>>) {
    let bytes = match view.tables.codec() {
        Some(codec) => codec.stride(),
        None => core.dim * size_of::<f32>(),
    };
    let (least, most) = BLOCK_SLOTS;
    let block_slots = (BLOCK_BYTES / bytes.max(1)).clamp(least, most);
    let mut chunk = Vec::new();
    loop {
        chunk.clear();
        chunks(&mut chunk);
        if chunk.is_empty() {
            return;
        }
        for block in chunk.chunks(block_slots) {
            for search in &mut searches {
                if interrupt::is_raised() {
                    return;
                }
                let slots = chunks_of(block.iter().copied());
                scan(view, &core.kernels, search.query, slots, &mut search.top);
            }
        }
    }
}
