//! The present state of a group, which an installed snapshot replaces as a whole.

use std::sync::Arc;

use arc_swap::ArcSwap;

/// The state of a group. Readers keep the one that they have taken; it ends with its last reader.
pub(crate) struct StateCell<S>(ArcSwap<S>);

impl<S> StateCell<S> {
    /// The state as it was opened.
    pub(crate) fn new(state: Arc<S>) -> Self {
        Self(ArcSwap::new(state))
    }

    /// The present state.
    pub(crate) fn get(&self) -> Arc<S> {
        self.0.load_full()
    }

    /// Puts another state in its place.
    pub(crate) fn replace(&self, state: Arc<S>) {
        self.0.store(state);
    }
}
