//! How much memory the vector indexes of a group hold, and which of them leave it.
//!
//! An index in memory is a copy of what rows and files hold, so any may be dropped at any time; it is opened again, by its
//! files, when a query or background work needs it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::data::DataGroup;
use crate::ids::VectorId;
use crate::shard::Shard;
use crate::shard::doc_index::DocIndex;
use crate::vector::IndexMemory;

/// What is dropped beyond a budget leaves this share of it free, so that it is not exceeded at once again.
const FREED_SHARE: u64 = 8;

/// An index that could be dropped.
struct Candidate {
    used: u64,
    bytes: u64,
    shard: Arc<Shard>,
    vector: VectorId,
    index: Arc<DocIndex>,
}

/// Bytes of all these indexes.
pub(crate) fn index_memory(indexes: &[(Arc<Shard>, VectorId, Arc<DocIndex>)]) -> IndexMemory {
    let mut sum = IndexMemory::default();
    indexes.iter().for_each(|(_, _, index)| sum += index.vectors().memory());
    sum
}

impl DataGroup {
    /// Whether the vector indexes hold more than [`GroupOptions::index_bytes_max`](super::GroupOptions::index_bytes_max)
    /// although everything that could leave memory has left. Known as of the last background step; no vector should be
    /// added while it holds.
    pub fn index_memory_full(&self) -> bool {
        self.agenda.memory_full.load(Ordering::Relaxed)
    }

    /// Drops the least recently used indexes: small ones, which are rebuilt by reading their vectors, beyond their own
    /// budget, and any beyond the budget of all.
    pub(crate) fn keep_memory_budget(&self) {
        // One at a time: of two that drop the same index, one could drop what a query has opened again in between.
        let Some(_alone) = self.agenda.dropping.try_lock() else { return };
        let (mut small, mut all) = (Vec::new(), 0);
        let mut large = Vec::new();
        for candidate in self.candidates() {
            all += candidate.bytes;
            let is_small = candidate.index.vectors().len() <= self.options.index.graph_cutoff;
            if is_small { &mut small } else { &mut large }.push(candidate);
        }
        let small_bytes = small.iter().map(|candidate| candidate.bytes).sum();
        let freed = self.drop_some(small, small_bytes, self.options.small_index_bytes_max, |_| true);
        let left = all - freed;
        // Dropping what still has vectors to link would only have it opened again.
        let is_done = |index: &DocIndex| index.vectors().pending_len() == 0 && index.vectors().save().is_ok();
        let freed = self.drop_some(large, left, self.options.index_bytes_max, is_done);
        self.agenda.memory_full.store(left - freed > self.options.index_bytes_max, Ordering::Relaxed);
    }

    fn candidates(&self) -> Vec<Candidate> {
        let listed = self.agenda.indexes.lock().clone();
        let mut candidates = Vec::with_capacity(listed.len());
        for (shard, vector) in listed {
            if let Some((used, index)) = shard.indexes.loaded_since(vector) {
                candidates.push(Candidate {
                    used,
                    bytes: index.vectors().memory().resident_bytes(),
                    shard,
                    vector,
                    index,
                });
            }
        }
        candidates
    }

    /// Drops those that `may` leave, least recently used first, until `held` bytes are well within `bytes_max`. Returns the
    /// bytes dropped.
    fn drop_some(
        &self,
        mut candidates: Vec<Candidate>,
        held: u64,
        bytes_max: u64,
        may: impl Fn(&DocIndex) -> bool,
    ) -> u64 {
        if held <= bytes_max {
            return 0;
        }
        let enough = held - (bytes_max - bytes_max / FREED_SHARE);
        candidates.sort_unstable_by_key(|candidate| candidate.used);
        let mut freed = 0;
        for Candidate { bytes, shard, vector, index, .. } in candidates {
            if freed >= enough {
                break;
            }
            if may(&index) {
                // In this order: once it has left memory, a query may open and list it again.
                self.agenda.indexes.lock().retain(|(listed, of)| !(Arc::ptr_eq(listed, &shard) && *of == vector));
                shard.indexes.unload(vector);
                freed += bytes;
            }
        }
        freed
    }
}
