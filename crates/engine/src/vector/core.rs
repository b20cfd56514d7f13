//! What an index has once it knows its dimension.

use parking_lot::Mutex;

use super::arena::Layout;
use super::distance::Kernels;
use super::hnsw::Repair;
use super::maintain::requantize::Recode;
use super::persist::Saved;
use super::store::Store;
use super::{Distance, IndexConfig, IndexOptions};

/// The parts of a non-empty index.
pub(super) struct Core {
    pub dim: usize,
    pub distance: Distance,
    pub kernels: Kernels,
    pub options: IndexOptions,
    pub store: Store,
    /// Also held while the index changes its form.
    pub repair: Mutex<Repair>,
    /// A change of codes that goes on. Not held while vectors are coded.
    pub recode: Mutex<Recode>,
    /// Held while a save goes on.
    pub saved: Mutex<Saved>,
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
            recode: Mutex::default(),
            saved: Mutex::default(),
        }
    }
}
