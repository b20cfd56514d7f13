//! Epoch reclamation: replaced views that readers may still hold, each with the slots that are free once no reader can
//! reach them.
//!
//! Readers hold an `Arc` of the view they began with and take no lock. A view that is replaced waits here in order; the
//! slots that only it and those before it reach are given out again when all of these are dropped. The count of an `Arc`
//! alone would not do: only taking the view out of it happens after the last use of every reader.

use std::collections::VecDeque;

use super::atomics::Arc;

/// Replaced views, oldest first. Used under the writer's lock.
pub(in crate::vector) struct Limbo<V> {
    waiting: VecDeque<(Arc<V>, Vec<u32>)>,
    replaced: u64,
    dropped: u64,
}

impl<V> Default for Limbo<V> {
    fn default() -> Self {
        Self { waiting: VecDeque::new(), replaced: 0, dropped: 0 }
    }
}

impl<V> Limbo<V> {
    /// Takes in a view that readers no longer begin with, and the slots that no newer view reaches.
    pub(in crate::vector) fn push(&mut self, view: Arc<V>, slots: Vec<u32>) {
        self.waiting.push_back((view, slots));
        self.replaced += 1;
    }

    /// Drops the views that nobody holds any more, up to the first that somebody does, and adds their slots to `free`.
    pub(in crate::vector) fn collect(&mut self, free: &mut Vec<u32>) {
        while let Some((view, slots)) = self.waiting.pop_front() {
            match Arc::try_unwrap(view) {
                Ok(view) => {
                    drop(view);
                    self.dropped += 1;
                    free.extend(slots);
                }
                Err(view) => {
                    self.waiting.push_front((view, slots));
                    return;
                }
            }
        }
    }

    /// Views taken in so far.
    pub(in crate::vector) fn replaced(&self) -> u64 {
        self.replaced
    }

    /// Views dropped so far.
    pub(in crate::vector) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// The slots that wait, by view.
    pub(in crate::vector) fn slots_mut(&mut self) -> impl Iterator<Item = &mut Vec<u32>> {
        self.waiting.iter_mut().map(|(_, slots)| slots)
    }
}
