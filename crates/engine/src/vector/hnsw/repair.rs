//! After deletes: lists that lead to dead nodes are rewritten around them, then the dead nodes' slots are given back.
//!
//! One batch of dead nodes at a time:
//! 1. *Take*: the batch is fixed, and the view is replaced. Builders choose no dead neighbours, so once all older views
//!    are dropped no list gains a link to the batch.
//! 2. *Rewrite*: every list of the graph is looked at once, a bounded number at a step. Where it leads to the batch, the
//!    living neighbours stay, and the dead ones are replaced by the best of their own living neighbours.
//! 3. *Retire*: nothing leads to the batch now. Its slots are free when all views up to now are dropped.

use std::sync::atomic::Ordering;

use super::graph::Graph;
use super::heuristic::{Choice, replace};
use super::scorer::{CodeScorer, RowScorer, Scorer};
use super::visited::Visited;
use crate::vector::arena::{State, Tables, UpperHandle, read_links, write_links};
use crate::vector::distance::Kernels;
use crate::vector::store::Store;

/// Where the repair of the present batch stands.
#[derive(Default)]
pub(in crate::vector) struct Repair {
    batch: Vec<u32>,
    members: Visited,
    stage: Stage,
    /// Upper blocks of retired nodes, and the renewal after which nobody reads them.
    blocks: Vec<(u64, UpperHandle)>,
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Stage {
    #[default]
    Idle,
    /// Waiting for views up to this renewal.
    Take(u64),
    /// Next slot to look at.
    Rewrite(u32),
}

/// What a step did.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::vector) struct RepairStep {
    pub rewritten: usize,
    pub freed: usize,
    pub more: bool,
}

/// What repair needs to know.
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

impl Repair {
    /// One step: looks at up to `nodes_max` nodes. A pass over the whole graph starts only when dead nodes are numerous
    /// enough.
    pub(in crate::vector) fn step(&mut self, around: Surroundings<'_>, nodes_max: usize) -> RepairStep {
        self.free_blocks(around.store);
        match self.stage {
            Stage::Idle => self.take(around),
            Stage::Take(renewal) => {
                if around.store.writer.lock().is_dropped(renewal) {
                    self.stage = Stage::Rewrite(0);
                }
                RepairStep { more: true, ..RepairStep::default() }
            }
            Stage::Rewrite(from) => self.rewrite(around, from, nodes_max),
        }
    }

    fn take(&mut self, around: Surroundings<'_>) -> RepairStep {
        let mut writer = around.store.writer.lock();
        let nodes = around.store.high(&around.store.view()) as usize;
        if writer.dead.len() < (nodes * DEAD_PER_MILLE_MIN / 1000).max(DEAD_MIN) {
            return RepairStep::default();
        }
        self.batch = std::mem::take(&mut writer.dead);
        self.stage = Stage::Take(around.store.renew(&mut writer));
        drop(writer);
        self.members.start(around.store.view().tables.capacity());
        for &slot in &self.batch {
            self.members.insert(slot);
        }
        self.move_entry(around);
        RepairStep { more: true, ..RepairStep::default() }
    }

    /// A dead entry point gives way to the living node of the highest level.
    fn move_entry(&self, around: Surroundings<'_>) {
        let view = around.store.view();
        let tables = &view.tables;
        let _lock = around.graph.entry_lock.lock();
        let is_dead = |slot: u32| tables.state(slot).load(Ordering::Acquire) & State::LIVE == 0;
        if around.graph.entry().is_none_or(|(slot, _)| tables.has(slot) && !is_dead(slot)) {
            return;
        }
        let linked = State::LIVE | State::LINKED;
        let best = (0..around.store.high(&view))
            .filter(|&slot| tables.state(slot).load(Ordering::Acquire) == linked)
            .map(|slot| (tables.level(slot), std::cmp::Reverse(slot)))
            .max();
        around.graph.set_entry(best.map(|(level, slot)| (slot.0, level)));
    }

    fn rewrite(&mut self, around: Surroundings<'_>, from: u32, nodes_max: usize) -> RepairStep {
        let view = around.store.view();
        let tables = &*view.tables;
        let high = around.store.high(&view);
        let to = from.saturating_add(u32::try_from(nodes_max).unwrap_or(u32::MAX)).min(high);
        let mut step = RepairStep { more: true, ..RepairStep::default() };
        let mut buffers = Buffers::default();
        for slot in from..to {
            if tables.state(slot).load(Ordering::Acquire) & State::LINKED == 0 || self.members.is_marked(slot) {
                continue;
            }
            for level in 0..=tables.level(slot) {
                step.rewritten += usize::from(self.rewrite_list(around, tables, slot, level, &mut buffers));
            }
        }
        self.stage = Stage::Rewrite(to);
        drop(view);
        if to >= high {
            // A builder that was busy when the batch was taken may have made one of it the entry point.
            self.move_entry(around);
            step.freed = self.retire(around);
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
        candidates.clear();
        for &dead in links.iter().filter(|&&other| self.members.is_marked(other)) {
            if let Some(beyond) = tables.links(dead, level) {
                read_links(beyond, candidates);
            }
        }
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

    fn retire(&mut self, around: Surroundings<'_>) -> usize {
        let batch = std::mem::take(&mut self.batch);
        let mut writer = around.store.writer.lock();
        let view = around.store.view();
        let handles: Vec<UpperHandle> = batch
            .iter()
            .map(|&slot| UpperHandle(view.tables.upper_handle(slot).swap(0, Ordering::AcqRel)))
            .filter(|handle| handle.level() > 0)
            .collect();
        drop(view);
        around.store.retire(&mut writer, &batch);
        let renewal = around.store.renew(&mut writer);
        self.blocks.extend(handles.into_iter().map(|handle| (renewal, handle)));
        self.stage = Stage::Idle;
        batch.len()
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
