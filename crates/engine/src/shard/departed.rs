//! Documents that were deleted and are still in the vector indexes, because a reader may hold a state that has them.
//!
//! Epoch reclamation, as in [`crate::vector`]'s `limbo`: a replaced state waits here in order, with the documents that
//! the next state lacks. Those documents leave the indexes once no reader holds that state or an older one. A state
//! that no reader holds is dropped at once, and its documents wait with those of the state before it, so that no more
//! states are kept than readers hold, however long a reader takes.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::ids::{DocId, VectorId};

/// A document that is to leave the index of a vector.
pub(crate) type Gone = (VectorId, DocId);

/// Replaced states, oldest first.
pub(crate) struct Departed<S> {
    waiting: Mutex<VecDeque<(Arc<S>, Vec<Gone>)>>,
}

impl<S> Default for Departed<S> {
    fn default() -> Self {
        Self { waiting: Mutex::default() }
    }
}

impl<S> Departed<S> {
    /// Takes in a state that readers no longer begin with, and the documents that the newer one lacks. Every replaced
    /// state comes here, in order, also one that lost nothing: a reader of it keeps documents that go later.
    pub(crate) fn push(&self, state: Arc<S>, docs: Vec<Gone>) {
        self.waiting.lock().push_back((state, docs));
    }

    /// The documents that no reader's state has any more; each is returned once.
    pub(crate) fn collect(&self) -> Vec<Gone> {
        let mut waiting = self.waiting.lock();
        let mut free = Vec::new();
        let mut held: VecDeque<(Arc<S>, Vec<Gone>)> = VecDeque::new();
        for (state, mut docs) in waiting.drain(..) {
            // The count of an `Arc` alone is not enough: only taking the state out of the `Arc` happens after the last
            // use of every reader.
            match Arc::try_unwrap(state) {
                Ok(_) => held.back_mut().map_or(&mut free, |(_, before)| before).append(&mut docs),
                Err(state) => held.push_back((state, docs)),
            }
        }
        *waiting = held;
        free
    }

    /// Whether no document waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.lock().is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn docs(ids: &[u64]) -> Vec<Gone> {
        ids.iter().map(|id| (VectorId(0), DocId(*id))).collect()
    }

    #[test]
    fn documents_wait_for_every_older_reader() {
        let departed = Departed::default();
        let states: Vec<Arc<u32>> = (0..5).map(Arc::new).collect();
        let (first, third) = (states[0].clone(), states[2].clone());
        for (state, gone) in states.into_iter().zip([&[][..], &[1], &[2], &[3], &[4, 5]]) {
            departed.push(state, docs(gone));
        }
        assert_eq!(departed.collect(), docs(&[]));
        assert_eq!(departed.waiting.lock().len(), 2, "a state that nobody holds is dropped");
        drop(third);
        assert_eq!(departed.collect(), docs(&[]), "an older reader has them all");
        departed.push(Arc::new(5), docs(&[6]));
        drop(first);
        assert_eq!(departed.collect(), docs(&[1, 2, 3, 4, 5, 6]));
        assert!(departed.is_empty());
        assert_eq!(departed.collect(), docs(&[]), "each once");
    }

    #[test]
    fn documents_of_newer_states_wait_when_older_ones_leave() {
        let departed = Departed::default();
        let (first, second) = (Arc::new(0), Arc::new(1));
        departed.push(first.clone(), docs(&[1]));
        departed.push(second.clone(), docs(&[2]));
        drop(first);
        assert_eq!(departed.collect(), docs(&[1]));
        drop(second);
        assert_eq!(departed.collect(), docs(&[2]));
    }
}
