//! The parts of an index that exist once its dimension is known.

use parking_lot::Mutex;

use super::arena::Layout;
use super::distance::Kernels;
use super::hnsw::Repair;
use super::quantize::Requantization;
use super::store::Store;
use super::{Distance, IndexConfig, IndexKind, IndexOptions};

/// The parts of a non-empty index.
pub(super) struct Core {
    pub dim: usize,
    pub distance: Distance,
    pub kernels: Kernels,
    pub options: IndexOptions,
    pub store: Store,
    /// Also locked while the index gets or loses its graph.
    pub repair: Mutex<Repair>,
    /// A change of codes that goes on. Not locked while vectors are quantised.
    pub requantization: Mutex<Requantization>,
}

impl Core {
    pub(super) fn new(dim: usize, config: &IndexConfig, options: IndexOptions) -> Self {
        let m = config.hnsw().map_or(super::M_MIN, |hnsw| hnsw.m).clamp(super::M_MIN, super::M_MAX);
        Self::with(dim, config, options, Store::new(Layout::new(dim, m)))
    }

    /// Around a loaded store.
    pub(super) fn with(dim: usize, config: &IndexConfig, options: IndexOptions, store: Store) -> Self {
        Self {
            dim,
            distance: config.distance,
            kernels: Kernels::of(config.distance),
            options,
            store,
            repair: Mutex::default(),
            requantization: Mutex::default(),
        }
    }

    /// Whether an index of this size has a graph.
    pub(super) fn outgrows_scan(&self, config: &IndexConfig) -> bool {
        match config.kind {
            IndexKind::Flat => false,
            IndexKind::Hnsw(_) => self.store.len() > self.options.graph_cutoff,
            IndexKind::Dynamic { threshold, .. } => self.store.len() > threshold,
        }
    }

    /// Whether the index has outgrown the scan and has no graph yet.
    pub(super) fn wants_graph(&self, config: &IndexConfig) -> bool {
        self.store.view().graph.is_none() && self.outgrows_scan(config)
    }

    /// Vectors that the graph lacks: all of them while the index is about to get one.
    pub(super) fn waiting(&self, config: &IndexConfig) -> usize {
        if self.wants_graph(config) { self.store.len() } else { self.store.view().waiting() }
    }
}
