//! What one search or builder sees, from beginning to end.

use std::sync::Arc;

use super::arena::Tables;
use super::hnsw::Graph;
use super::pending::Segment;

/// An immutable picture of where everything lies. Replaced as a whole, never changed.
///
/// Holding a view keeps every slot that it can reach from being used again: the store waits until all views up to the
/// one in force when a slot was freed are dropped.
#[derive(Clone)]
pub(super) struct View {
    /// Chunks, their columns, and what the codes are.
    pub tables: Arc<Tables>,
    /// Waiting for the graph, oldest first. Always empty without a graph.
    pub pending: Vec<Arc<Segment>>,
    /// Entry point and locks, if there are links.
    pub graph: Option<Arc<Graph>>,
}

impl View {
    /// Vectors waiting for the graph.
    pub(super) fn waiting(&self) -> usize {
        self.pending.iter().map(|segment| segment.waiting()).sum()
    }
}
