//! After deletes: lists that lead to dead nodes are rewritten around them, then the dead nodes' slots are given back. When
//! many slots are free, living nodes move into them in the same pass.
//!
//! One batch of dead nodes and moves at a time. Between two stages all views of the one before are waited for where it says so:
//! 1. *Take*: the batch is fixed, and the view is replaced. Builders choose neither dead neighbours nor those that are about
//!    to move, so once all older views are dropped (waits) no list gains a link to the batch.
//! 2. *Copy*, only with moves: their new slots are filled, and come into the lists of the old ones. The next view shows the
//!    new slots instead of the old ones (waits); then *switch*: the document map names them.
//! 3. *Rewrite*: every list of the graph is looked at once, a bounded number at a step. Where it leads to the batch, the
//!    living neighbours stay, those that moved are named by their new slots, and the dead ones are replaced by the best of
//!    their own living neighbours.
//! 4. *Retire*: nothing leads to the batch now. Its slots are free when all views up to now are dropped.
//! 5. *Shrink*, only when moves made it worth it: once they are free (waits), what lies behind the last slot in use is given back.

use std::sync::atomic::Ordering;

use super::heuristic::{Choice, replace};
use super::relocated::RelocatedNodes;
use super::scorer::{CodeScorer, RowScorer, Scorer};
use super::visited::Visited;
use crate::vector::arena::{State, Tables, UpperHandle, read_links, write_links};
use crate::vector::distance::Kernels;
use crate::vector::store::Store;
use crate::vector::store::graph::Graph;
use crate::vector::store::relocation::{self, FreeSlots, RELOCATIONS_PER_LOCK};

/// Where the repair of the present batch stands.
#[derive(Default)]
pub(in crate::vector) struct Repair {
    /// Dead nodes.
    batch: Vec<u32>,
    moves: RelocatedNodes,
    /// Both.
    members: Visited,
    /// The slots in use are to end lower.
    compacts: bool,
    stage: Stage,
    /// Upper blocks of retired nodes, and the renewal after which nobody reads them.
    blocks: Vec<(u64, UpperHandle)>,
}

/// Numbers of renewals stand for the views that are waited for.
#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Stage {
    #[default]
    Idle,
    Take(u64),
    /// Next move to copy.
    Copy(usize),
    HandOver(u64),
    /// Next move to switch.
    Switch(usize),
    /// Next slot to look at. Slots that the document map named may be retired after the renewal.
    Rewrite(u32, u64),
    Retire(u64),
    Shrink(u64),
    /// Chunks that are out of use leave memory.
    Settle(u64),
}

/// Result of a step.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::vector) struct RepairStep {
    pub rewritten: usize,
    pub freed: usize,
    pub moved: usize,
    pub given_back: usize,
    pub more: bool,
}

impl RepairStep {
    const MORE: Self = Self { rewritten: 0, freed: 0, moved: 0, given_back: 0, more: true };
}

/// The parts of the index that repair works on.
#[derive(Clone, Copy)]
pub(in crate::vector) struct Surroundings<'a> {
    pub store: &'a Store,
    pub graph: &'a Graph,
    pub kernels: &'a Kernels,
}

/// A pass over the graph is worth it from this share of dead nodes on, in 1/1000 of all nodes.
const DEAD_PER_MILLE_MIN: usize = 10;

/// And from this number on.
const DEAD_MIN: usize = 64;

/// Nodes that may be looked at in the time that a move takes.
const NODES_PER_MOVE: usize = 16;

impl Repair {
    /// One step: looks at up to `nodes_max` nodes, or does as much for moves. A pass over the whole graph starts only when
    /// dead nodes or free slots are numerous enough.
    pub(in crate::vector) fn step(&mut self, around: Surroundings<'_>, nodes_max: usize) -> RepairStep {
        self.free_blocks(around.store);
        let is_dropped = |renewal| around.store.writer.lock().is_dropped(renewal);
        match self.stage {
            Stage::Idle => return self.take(around),
            Stage::Take(renewal) if is_dropped(renewal) => {
                self.stage = match () {
                    () if !self.moves.is_empty() => Stage::Copy(0),
                    () if !self.batch.is_empty() => Stage::Rewrite(0, renewal),
                    () => Stage::Shrink(renewal),
                };
            }
            Stage::Copy(from) => return self.copy(around, from, nodes_max),
            Stage::HandOver(renewal) if is_dropped(renewal) => self.stage = Stage::Switch(0),
            Stage::Switch(from) => self.switch(around, from, nodes_max),
            Stage::Rewrite(from, renewal) => return self.rewrite(around, (from, renewal), nodes_max),
            Stage::Retire(renewal) if is_dropped(renewal) => return self.retire(around),
            Stage::Shrink(renewal) if is_dropped(renewal) => {
                self.compacts = false;
                let (given_back, renewal) = relocation::shrink(around.store);
                self.stage = renewal.map_or(Stage::Idle, Stage::Settle);
                return RepairStep { given_back, ..RepairStep::MORE };
            }
            Stage::Settle(renewal) if is_dropped(renewal) => self.stage = Stage::Idle,
            Stage::Take(_) | Stage::HandOver(_) | Stage::Retire(_) | Stage::Shrink(_) | Stage::Settle(_) => {}
        }
        RepairStep::MORE
    }

    fn take(&mut self, around: Surroundings<'_>) -> RepairStep {
        let store = around.store;
        let view = store.view();
        let high = store.high(&view);
        let mut writer = store.writer.lock();
        let dead_min = (high as usize * DEAD_PER_MILLE_MIN / 1000).max(DEAD_MIN);
        let is_worth_it = writer.dead.len() >= dead_min;
        let room = if view.pending.is_empty() { relocation::free_slots(&mut writer, high) } else { FreeSlots::Few };
        drop(writer);
        let end = match room {
            FreeSlots::Enough(free) => relocation::compact_end(store, &view, free),
            FreeSlots::Soon if !is_worth_it => return RepairStep::MORE,
            FreeSlots::Soon | FreeSlots::Few => None,
        };
        if !is_worth_it && end.is_none() {
            return RepairStep::default();
        }
        self.compacts = end.is_some();
        self.moves = RelocatedNodes::new(end.map_or_else(Vec::new, |end| relocation::begin(store, &view, end)));
        drop(view);
        let mut writer = store.writer.lock();
        self.batch = std::mem::take(&mut writer.dead);
        let hidden = if self.moves.is_empty() { 0 } else { State::TARGET };
        self.stage = Stage::Take(store.hide(&mut writer, hidden));
        drop(writer);
        self.members.start(store.view().tables.capacity());
        for slot in self.batch.iter().copied().chain(self.moves.source_slots()) {
            self.members.insert(slot);
        }
        self.move_entry(around);
        RepairStep::MORE
    }

    fn copy(&mut self, around: Surroundings<'_>, from: usize, nodes_max: usize) -> RepairStep {
        let to = from.saturating_add((nodes_max / NODES_PER_MOVE).max(1)).min(self.moves.len());
        let dropped_before = self.batch.len();
        for moves in self.moves.pairs()[from..to].chunks(RELOCATIONS_PER_LOCK) {
            relocation::copy(around.store, moves, &mut self.batch);
            self.moves.attach(around, moves);
        }
        self.moves.call_off(&self.batch[dropped_before..]);
        self.stage = Stage::Copy(to);
        if to == self.moves.len() {
            self.moves.forget_called_off();
            let mut writer = around.store.writer.lock();
            self.stage = Stage::HandOver(around.store.hide(&mut writer, State::SOURCE));
        }
        RepairStep { moved: to - from, ..RepairStep::MORE }
    }

    fn switch(&mut self, around: Surroundings<'_>, from: usize, nodes_max: usize) {
        let to = from.saturating_add(nodes_max.max(1)).min(self.moves.len());
        for moves in self.moves.pairs()[from..to].chunks(RELOCATIONS_PER_LOCK) {
            relocation::switch(around.store, moves);
        }
        self.stage = Stage::Switch(to);
        if to == self.moves.len() {
            self.move_entry(around);
            let mut writer = around.store.writer.lock();
            self.stage = Stage::Rewrite(0, around.store.renew(&mut writer));
        }
    }

    /// An entry point that moved is named by its new slot. A dead one gives way to the living node of the highest level.
    fn move_entry(&self, around: Surroundings<'_>) {
        let view = around.store.view();
        let tables = &view.tables;
        let _lock = around.graph.entry_lock.lock();
        let is_dead = |slot: u32| tables.state(slot).load(Ordering::Acquire) & State::LIVE == 0;
        let entry = around.graph.entry().map(|(slot, level)| (self.moves.switched(tables, slot), level));
        around.graph.set_entry(entry);
        if entry.is_none_or(|(slot, _)| tables.has(slot) && !is_dead(slot)) {
            return;
        }
        let linked = State::LIVE | State::LINKED;
        let best = (0..around.store.high(&view))
            .filter(|&slot| tables.state(slot).load(Ordering::Acquire) == linked)
            .map(|slot| (tables.level(slot), std::cmp::Reverse(slot)))
            .max();
        around.graph.set_entry(best.map(|(level, slot)| (slot.0, level)));
    }

    fn rewrite(&mut self, around: Surroundings<'_>, (from, renewal): (u32, u64), nodes_max: usize) -> RepairStep {
        let view = around.store.view();
        let tables = &*view.tables;
        let high = around.store.high(&view);
        let to = from.saturating_add(u32::try_from(nodes_max).unwrap_or(u32::MAX)).min(high);
        let mut step = RepairStep::MORE;
        let mut buffers = Buffers::default();
        for slot in from..to {
            if tables.state(slot).load(Ordering::Acquire) & State::LINKED == 0 || self.members.is_marked(slot) {
                continue;
            }
            for level in 0..=tables.level(slot) {
                step.rewritten += usize::from(self.rewrite_list(around, tables, slot, level, &mut buffers));
            }
        }
        self.stage = Stage::Rewrite(to, renewal);
        drop(view);
        if to >= high {
            // A builder that was busy when the batch was taken may have made one of it the entry point.
            self.move_entry(around);
            self.stage = Stage::Retire(renewal);
            if around.store.writer.lock().is_dropped(renewal) {
                step.freed = self.retire(around).freed;
            }
        }
        step
    }

    /// Replaces what of the list leads to the batch.
    fn rewrite_list(
        &self,
        around: Surroundings<'_>,
        tables: &Tables,
        slot: u32,
        level: usize,
        buffers: &mut Buffers,
    ) -> bool {
        let Some(list) = tables.links(slot, level) else { return false };
        let Buffers { links, candidates, .. } = buffers;
        let leads_to_batch = |links: &[u32]| links.iter().any(|&other| self.members.is_marked(other));
        links.clear();
        read_links(list, links);
        if !leads_to_batch(links) {
            return false;
        }
        let _lock = around.graph.lock(slot);
        links.clear();
        read_links(list, links);
        if self.moves.translate(slot, links) {
            write_links(list, links);
            if !leads_to_batch(links) {
                return true;
            }
        }
        candidates.clear();
        for &dead in links.iter().filter(|&&other| self.members.is_marked(other)) {
            if let Some(beyond) = tables.links(dead, level) {
                read_links(beyond, candidates);
            }
        }
        self.moves.translate(slot, candidates);
        let before = links.len();
        links.retain(|&other| tables.has(other) && !self.members.is_marked(other));
        let replaced = before - links.len();
        let linked = State::LIVE | State::LINKED;
        candidates.sort_unstable();
        candidates.dedup();
        candidates.retain(|&other| {
            other != slot
                && tables.has(other)
                && !links.contains(&other)
                && tables.state(other).load(Ordering::Acquire) == linked
        });
        if let Some(codec) = tables.linking_codec() {
            // SAFETY: the slot is linked under the view that the caller holds.
            let scorer = unsafe { CodeScorer::stored(tables, around.kernels, codec, slot) };
            choose(&scorer, slot, list, replaced, buffers);
        } else {
            // SAFETY: as above.
            let scorer = unsafe { RowScorer::stored(tables, around.kernels, slot) };
            choose(&scorer, slot, list, replaced, buffers);
        }
        true
    }

    fn retire(&mut self, around: Surroundings<'_>) -> RepairStep {
        let mut batch = std::mem::take(&mut self.batch);
        let moves = std::mem::take(&mut self.moves);
        let mut writer = around.store.writer.lock();
        let view = around.store.view();
        let take_handle = |slot| UpperHandle(view.tables.upper_handle(slot).swap(0, Ordering::AcqRel));
        let handles: Vec<UpperHandle> =
            batch.iter().map(|&slot| take_handle(slot)).filter(|handle| handle.level() > 0).collect();
        // The blocks of these are their new slots' now.
        batch.extend(moves.source_slots().inspect(|&slot| {
            take_handle(slot);
        }));
        drop(view);
        let renewal = around.store.retire(&mut writer, &batch);
        self.blocks.extend(handles.into_iter().map(|handle| (renewal, handle)));
        self.stage = if self.compacts { Stage::Shrink(renewal) } else { Stage::Idle };
        RepairStep { freed: batch.len() - moves.len(), ..RepairStep::MORE }
    }

    fn free_blocks(&mut self, store: &Store) {
        if self.blocks.is_empty() {
            return;
        }
        let mut writer = store.writer.lock();
        self.blocks.retain(|&(renewal, handle)| {
            let waiting = !writer.is_dropped(renewal);
            if !waiting {
                writer.free_upper(handle);
            }
            waiting
        });
    }
}

#[derive(Default)]
struct Buffers {
    links: Vec<u32>,
    candidates: Vec<u32>,
    scores: Vec<f32>,
    kept: Vec<u32>,
    choices: Vec<Choice>,
}

/// Writes `buffers.links` and the best of `buffers.candidates`, up to `added_max`, into `list`; the caller holds the node's
/// lock.
fn choose(
    scorer: &impl Scorer,
    node: u32,
    list: &[std::sync::atomic::AtomicU32],
    added_max: usize,
    buffers: &mut Buffers,
) {
    let Buffers { links, candidates, scores, kept, choices } = buffers;
    choices.clear();
    for (slots, is_link) in [(&*links, true), (&*candidates, false)] {
        // SAFETY: the candidates come from lists of links and are in the tables.
        unsafe { scorer.score(slots, scores) };
        choices.extend(scores.iter().zip(slots).map(|(&distance, &slot)| Choice { distance, slot, is_link }));
    }
    choices.sort_unstable_by(|a, b| a.distance.total_cmp(&b.distance).then(a.slot.cmp(&b.slot)));
    // SAFETY: as above.
    unsafe { replace(scorer, node, choices, (added_max, list.len() - 1), kept, scores) };
    write_links(list, kept);
}
