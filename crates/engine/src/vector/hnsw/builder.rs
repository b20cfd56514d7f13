//! Linking a vector into the graph, beside searches and other builders.
//!
//! Order of publication: all lists of the new node are written first, on every level; then its neighbours' lists are
//! extended, from level 0 up. So a search that reaches the node can go on from there.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::candidates::CandidateList;
use super::filtered::{FilteredSearch, filtered_search};
use super::heuristic::{select, self_distance};
use super::scorer::{CodeScorer, RowScorer, Scorer};
use super::scratch::Scratch;
use super::searcher::{descend, search_level};
use crate::vector::arena::{State, Tables, UpperHandle, append_link, read_links, write_links};
use crate::vector::config::FilterStrategy;
use crate::vector::distance::Kernels;
use crate::vector::store::Store;
use crate::vector::store::graph::Graph;
use crate::vector::store::view::View;

/// Links vectors into the graph.
#[derive(Clone, Copy)]
pub(in crate::vector) struct Builder<'a> {
    pub store: &'a Store,
    pub kernels: &'a Kernels,
    pub ef_construction: usize,
}

/// Nodes looked at for living neighbours when the usual candidates are all dead.
const SWEEP_MAX: usize = 100_000;

impl Builder<'_> {
    /// Links a pending slot, unless its document was deleted meanwhile.
    pub(in crate::vector) fn link(&self, slot: u32, scratch: &mut Scratch) {
        let view = self.store.view();
        let Some(graph) = view.graph.clone().filter(|_| view.tables.has(slot)) else { return };
        if view.tables.state(slot).load(Ordering::Acquire) & State::LIVE == 0 {
            return;
        }
        let level = graph.level_of(view.tables.doc(slot).load(Ordering::Relaxed));
        let Some(view) = self.place(view, &graph, slot, level) else { return };
        let tables = &*view.tables;
        let linking = Linking { graph: &graph, tables, ef_construction: self.ef_construction };
        if let Some(codec) = tables.linking_codec() {
            // SAFETY: the slot was seen live, and stays in use until repair has waited for this builder.
            let scorer = unsafe { CodeScorer::stored(tables, self.kernels, codec, slot) };
            linking.connect(&scorer, slot, level, scratch);
        } else {
            // SAFETY: as above.
            let scorer = unsafe { RowScorer::stored(tables, self.kernels, slot) };
            linking.connect(&scorer, slot, level, scratch);
        }
        tables.state(slot).fetch_or(State::LINKED, Ordering::AcqRel);
        linking.raise_entry(slot, level);
    }

    /// Empty lists on all levels of the node, and the view that has them; `None` if the graph was replaced meanwhile.
    /// The first view is kept until the second is there, so that the slot stays in use.
    fn place(&self, first: Arc<View>, graph: &Arc<Graph>, slot: u32, level: usize) -> Option<Arc<View>> {
        let mut handle = UpperHandle(0);
        if level > 0 {
            handle = self.store.allocate_upper(level, graph)?;
        }
        let view = self.store.view();
        drop(first);
        if !view.graph.as_ref().is_some_and(|present| Arc::ptr_eq(present, graph)) {
            return None;
        }
        let tables = &view.tables;
        tables.upper_handle(slot).store(handle.0, Ordering::Release);
        for level in 0..=level {
            if let Some(list) = tables.links(slot, level) {
                write_links(list, &[]);
            }
        }
        Some(view)
    }
}

/// Linking under one view.
struct Linking<'a> {
    graph: &'a Graph,
    tables: &'a Tables,
    ef_construction: usize,
}

impl Linking<'_> {
    fn connect(&self, scorer: &impl Scorer, slot: u32, level: usize, scratch: &mut Scratch) {
        let tables = self.tables;
        let Some((entry, top)) = self.first_or_entry(slot, level).filter(|&(entry, _)| tables.has(entry)) else {
            return;
        };
        let mut start = descend(tables, scorer, entry, top, level.min(top), scratch);
        let mut neighbours = vec![Vec::new(); level.min(top) + 1];
        for (level, kept) in neighbours.iter_mut().enumerate().rev() {
            let mut candidates = self.candidates(scorer, slot, start, level, scratch);
            start = scratch.candidates.iter().next().unwrap_or(start);
            if level == 0 && candidates.is_empty() {
                candidates = self.sweep(scorer, slot, start.1, scratch);
            }
            // SAFETY: the candidates come from a graph search.
            unsafe { select(scorer, slot, &candidates, tables.layout.m, kept, &mut scratch.scores) };
            if let Some(list) = tables.links(slot, level) {
                let _lock = self.graph.lock(slot);
                write_links(list, kept);
            }
        }
        if neighbours.first().is_none_or(Vec::is_empty) {
            // Nothing alive is in reach: the graph searches of later vectors begin here.
            let _lock = self.graph.entry_lock.lock();
            self.graph.set_entry(Some((slot, level)));
            return;
        }
        for (level, kept) in neighbours.iter().enumerate() {
            for &neighbour in kept {
                self.link_back(scorer, neighbour, slot, level, scratch);
            }
        }
    }

    /// Living nodes to choose neighbours from, nearest first; the candidate list of the graph search is left in
    /// `scratch`.
    fn candidates(
        &self,
        scorer: &impl Scorer,
        slot: u32,
        start: (f32, u32),
        level: usize,
        scratch: &mut Scratch,
    ) -> Vec<(f32, u32)> {
        let tables = self.tables;
        search_level(tables, scorer, start, level, self.ef_construction, scratch, &mut |_, _| ());
        // SAFETY: the node's data are written.
        let twin = unsafe { self_distance(scorer, slot, &mut scratch.scores) };
        let twins = scratch.candidates.iter().take_while(|&(distance, _)| distance <= twin).count();
        if twins * 2 <= self.ef_construction {
            return living(tables, slot, scratch);
        }
        // Identical vectors fill the candidate list: what else the graph search saw comes beside them.
        let mut others = CandidateList::default();
        others.reset(tables.layout.links_max(level));
        let mut observe = |distance: f32, other: u32| {
            if distance > twin {
                others.push(distance, other);
            }
        };
        search_level(tables, scorer, start, level, self.ef_construction, scratch, &mut observe);
        let alive = |other: u32| may_be_linked_to(tables, other);
        let mut candidates = living(tables, slot, scratch);
        candidates.retain(|&(distance, _)| distance <= twin);
        candidates.extend(others.iter().filter(|&(_, other)| alive(other)));
        candidates
    }

    /// The entry point; makes the node the entry point if it is the first.
    fn first_or_entry(&self, slot: u32, level: usize) -> Option<(u32, usize)> {
        if let Some(entry) = self.graph.entry() {
            return Some(entry);
        }
        let _lock = self.graph.entry_lock.lock();
        let entry = self.graph.entry();
        if entry.is_none() {
            self.graph.set_entry(Some((slot, level)));
        }
        entry
    }

    fn raise_entry(&self, slot: u32, level: usize) {
        if self.graph.entry().is_some_and(|(_, top)| level <= top) {
            return;
        }
        let _lock = self.graph.entry_lock.lock();
        if self.graph.entry().is_none_or(|(_, top)| level > top) {
            self.graph.set_entry(Some((slot, level)));
        }
    }

    /// Living nodes farther away, when deletes have left none among the nearest.
    fn sweep(&self, scorer: &impl Scorer, slot: u32, start: u32, scratch: &mut Scratch) -> Vec<(f32, u32)> {
        let tables = self.tables;
        let how = FilteredSearch { ef: tables.layout.m, strategy: FilterStrategy::Sweeping, seen_max: SWEEP_MAX };
        let alive = |slot: u32| may_be_linked_to(tables, slot);
        filtered_search(tables, scorer, &[start], how, &alive, scratch);
        living(tables, slot, scratch)
    }

    /// Adds `slot` to the list of `node`; a full list is chosen anew.
    fn link_back(&self, scorer: &impl Scorer, node: u32, slot: u32, level: usize, scratch: &mut Scratch) {
        let tables = self.tables;
        let Some(list) = tables.links(node, level) else { return };
        let Scratch { links, scores, batch, .. } = scratch;
        let _lock = self.graph.lock(node);
        links.clear();
        read_links(list, links);
        if links.contains(&slot) {
            return;
        }
        links.push(slot);
        if links.len() < list.len() {
            append_link(list, links.len() - 1, slot);
            return;
        }
        links.retain(|&other| tables.has(other) && tables.state(other).load(Ordering::Acquire) & State::DEAD == 0);
        // SAFETY: from a list of links, in the tables.
        let from_node = unsafe { scorer.of_stored(node) };
        // SAFETY: as above.
        unsafe { from_node.score(links, scores) };
        let mut candidates: Vec<(f32, u32)> = scores.iter().copied().zip(links.iter().copied()).collect();
        candidates.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        // SAFETY: as above.
        unsafe { select(&from_node, node, &candidates, list.len() - 1, batch, scores) };
        write_links(list, batch);
    }
}

fn may_be_linked_to(tables: &Tables, slot: u32) -> bool {
    State::may_be_linked_to(tables.state(slot).load(Ordering::Acquire))
}

/// The pool without nodes that are dead or about to leave their slot, and without the node itself.
fn living(tables: &Tables, slot: u32, scratch: &Scratch) -> Vec<(f32, u32)> {
    let alive = |other: u32| other != slot && may_be_linked_to(tables, other);
    scratch.candidates.iter().filter(|&(_, other)| alive(other)).collect()
}
