//! Nodes that move to other slots: what it takes of the graph.

use std::sync::atomic::Ordering;

use hashbrown::HashMap;

use super::repair::Surroundings;
use crate::vector::arena::{State, Tables, append_link, read_links};
use crate::vector::store::relocation::Move;

/// Nodes on their way, each with its old and its new slot.
#[derive(Default)]
pub(super) struct Moves {
    pairs: Vec<Move>,
    forward: HashMap<u32, u32>,
}

impl Moves {
    pub(super) fn new(pairs: Vec<Move>) -> Self {
        Self { forward: pairs.iter().copied().collect(), pairs }
    }

    pub(super) fn len(&self) -> usize {
        self.pairs.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    pub(super) fn pairs(&self) -> &[Move] {
        &self.pairs
    }

    pub(super) fn old_slots(&self) -> impl Iterator<Item = u32> {
        self.pairs.iter().map(|&(old, _)| old)
    }

    /// The nodes in these old slots turned out to be dead. They stay among the pairs, so that places there remain.
    pub(super) fn call_off(&mut self, old_slots: &[u32]) {
        for old in old_slots {
            self.forward.remove(old);
        }
    }

    pub(super) fn forget_called_off(&mut self) {
        self.pairs.retain(|(old, _)| self.forward.contains_key(old));
    }

    /// Names the new slots in the lists of the old ones, in one of which a walk of the next view may arrive. Whoever finds
    /// the old slot finds the new one, which is as near.
    pub(super) fn attach(&self, around: Surroundings<'_>, moves: &[Move]) {
        let view = around.store.view();
        let mut links = Vec::new();
        for &(old, new) in moves {
            let Some(list) = view.tables.links(old, 0) else { continue };
            if view.tables.state(new).load(Ordering::Acquire) == State::FREE {
                // Its document was deleted before it moved.
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
            state & State::LINKED != 0 && state & State::ARRIVING == 0
        };
        self.forward.get(&slot).copied().filter(is_switched).unwrap_or(slot)
    }

    /// Names the new slots of those of `links` that have moved, without repetitions and the node itself. Returns whether
    /// there were any.
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
