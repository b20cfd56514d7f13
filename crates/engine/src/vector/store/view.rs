//! The view that one search or builder keeps from beginning to end.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::graph::Graph;
use crate::vector::arena::{State, Tables};
use crate::vector::slots::pending::PendingSegment;

/// An immutable picture of where everything lies. Replaced as a whole, never changed.
///
/// Holding a view keeps every slot that it can reach from being used again: the store waits until all views up to the
/// one in force when a slot was freed are dropped.
#[derive(Clone)]
pub(in crate::vector) struct View {
    /// Chunks, their columns, and what the codes are.
    pub tables: Arc<Tables>,
    /// Waiting for the graph, oldest first. Always empty without a graph.
    pub pending: Vec<Arc<PendingSegment>>,
    /// Entry point and locks, if there are links.
    pub graph: Option<Arc<Graph>>,
    /// Bits of a slot's [`State`] that keep it from being returned: of a vector that changes its slot one is shown.
    pub hidden: u8,
}

impl View {
    /// Whether a graph search, or a scan of all slots, may return the slot. A slot that the document map names need
    /// only be live.
    #[inline(always)]
    pub(in crate::vector) fn shows(&self, slot: u32) -> bool {
        self.tables.has(slot) && State::is_shown(self.tables.state(slot).load(Ordering::Acquire), self.hidden)
    }

    /// Vectors waiting for the graph.
    pub(in crate::vector) fn waiting(&self) -> usize {
        self.pending.iter().map(|segment| segment.waiting()).sum()
    }
}
