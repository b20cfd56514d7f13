//! Nodes that move to other slots: the changes of the graph.

use std::sync::atomic::Ordering;

use hashbrown::HashMap;

use super::repair::Surroundings;
use crate::vector::arena::{State, Tables, append_link, read_links};
use crate::vector::store::relocation::Relocation;

/// Nodes on their way, each with its source slot and its target slot.
#[derive(Default)]
pub(super) struct RelocatedNodes {
    pairs: Vec<Relocation>,
    forward: HashMap<u32, u32>,
}

impl RelocatedNodes {
    pub(super) fn new(pairs: Vec<Relocation>) -> Self {
        Self { forward: pairs.iter().copied().collect(), pairs }
    }

    pub(super) fn len(&self) -> usize {
        self.pairs.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    pub(super) fn pairs(&self) -> &[Relocation] {
        &self.pairs
    }

    pub(super) fn source_slots(&self) -> impl Iterator<Item = u32> {
        self.pairs.iter().map(|&(old, _)| old)
    }

    /// Calls off the relocation of the nodes in these source slots, which turned out to be dead. The pairs stay, so
    /// that positions among them remain valid.
    pub(super) fn call_off(&mut self, source_slots: &[u32]) {
        for old in source_slots {
            self.forward.remove(old);
        }
    }

    pub(super) fn forget_called_off(&mut self) {
        self.pairs.retain(|(old, _)| self.forward.contains_key(old));
    }

    /// Adds the target slots to the lists of the source slots, in one of which a graph search of the next view may
    /// arrive. A search that finds the source slot finds the target slot, which is as near.
    pub(super) fn attach(&self, around: Surroundings<'_>, moves: &[Relocation]) {
        let view = around.store.view();
        let mut links = Vec::new();
        for &(old, new) in moves {
            let Some(list) = view.tables.links(old, 0) else { continue };
            if view.tables.state(new).load(Ordering::Acquire) == State::FREE {
                // The document was deleted before the node moved.
                continue;
            }
            let _lock = around.graph.lock(old);
            links.clear();
            read_links(list, &mut links);
            // The new slot's list has what gives way here.
            append_link(list, links.len().min(list.len() - 2), new);
        }
    }

    /// The slot where a node is to be found whose move is switched, or that does not move.
    pub(super) fn switched(&self, tables: &Tables, slot: u32) -> u32 {
        let is_switched = |new: &u32| {
            let state = tables.state(*new).load(Ordering::Acquire);
            state & State::LINKED != 0 && state & State::TARGET == 0
        };
        self.forward.get(&slot).copied().filter(is_switched).unwrap_or(slot)
    }

    /// Names the new slots of those of `links` that have moved, without repetitions and the node itself. Returns
    /// whether there were any.
    pub(super) fn translate(&self, node: u32, links: &mut Vec<u32>) -> bool {
        if self.forward.is_empty() || !links.iter().any(|slot| self.forward.contains_key(slot)) {
            return false;
        }
        let mut kept = 0;
        for at in 0..links.len() {
            let slot = self.forward.get(&links[at]).copied().unwrap_or(links[at]);
            if slot != node && !links[..kept].contains(&slot) {
                links[kept] = slot;
                kept += 1;
            }
        }
        links.truncate(kept);
        true
    }
}
