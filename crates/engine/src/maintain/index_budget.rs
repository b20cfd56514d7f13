//! The memory of the vector indexes of a process: which of them leave memory.
//!
//! All data groups of a process share one budget, so that the groups together hold no more than the budget allows, and the least
//! recently used index of all groups leaves first. Any index may leave at any time: see `index_cache`.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::{Mutex, MutexGuard, RwLock};

use crate::ids::VectorId;
use crate::shard::Shard;
use crate::shard::doc_index::DocIndex;

/// Beyond a budget, indexes are dropped until this share of it is free, so that it is not exceeded at once again.
const FREED_SHARE: u64 = 8;

/// Memory that the vector indexes of all groups of a process share. Clones share one budget.
#[derive(Clone)]
pub struct IndexBudget(Arc<Shared>);

struct Shared {
    bytes_max: u64,
    small_bytes_max: u64,
    /// Logical clock for LRU eviction: counts the uses of the indexes of all groups.
    clock: AtomicU64,
    /// The indexes of each group.
    groups: Mutex<Vec<Weak<LoadedIndexes>>>,
    /// Locked while indexes are dropped from memory.
    dropping: Mutex<()>,
    /// Whether the indexes hold more than they may, with none left to drop.
    full: AtomicBool,
}

/// The indexes in memory of one group.
pub(crate) struct LoadedIndexes {
    pub list: Mutex<Vec<(Arc<Shard>, VectorId)>>,
    /// Indexes with at most this many vectors are small: they have no graph and no files.
    pub graph_cutoff: usize,
    /// Whether an installed checkpoint has taken the group's place: the files of the indexes are the new state's then, and the
    /// old state must not write them. Locked for reading while indexes are saved.
    pub replaced: RwLock<bool>,
}

/// An index that could be dropped.
struct Candidate {
    used: u64,
    bytes: u64,
    group: Arc<LoadedIndexes>,
    shard: Arc<Shard>,
    vector: VectorId,
    index: Arc<DocIndex>,
}

impl LoadedIndexes {
    /// Drops an index from memory, under [`IndexBudget::dropping`].
    pub(super) fn unload(&self, shard: &Arc<Shard>, vector: VectorId) {
        // In this order: once it has left memory, a query may open and list it again.
        self.list.lock().retain(|(listed, of)| !(Arc::ptr_eq(listed, shard) && *of == vector));
        shard.indexes.unload(vector);
    }
}

impl IndexBudget {
    /// A budget of `bytes_max` for the vector indexes in memory, without pages of mapped files, of which the vectors of
    /// small indexes without files may hold `small_bytes_max`. Beyond `bytes_max` the least recently used indexes
    /// are saved and dropped, and opened again when a search needs them. Beyond `small_bytes_max` the least recently used small
    /// ones are dropped, and built again from the rows.
    pub fn new(bytes_max: u64, small_bytes_max: u64) -> Self {
        Self(Arc::new(Shared {
            bytes_max,
            small_bytes_max,
            clock: AtomicU64::default(),
            groups: Mutex::default(),
            dropping: Mutex::default(),
            full: AtomicBool::default(),
        }))
    }

    /// Bytes that the indexes of all groups may hold.
    pub fn bytes_max(&self) -> u64 {
        self.0.bytes_max
    }

    /// Whether the indexes of all groups held more than the budget after the last step of background work of any group, with
    /// none left to drop.
    pub fn is_full(&self) -> bool {
        self.0.full.load(Ordering::Relaxed)
    }

    /// Adds the indexes of a group, for as long as the returned list lives.
    pub(super) fn join(&self, graph_cutoff: usize) -> Arc<LoadedIndexes> {
        let joined = Arc::new(LoadedIndexes { list: Mutex::default(), graph_cutoff, replaced: RwLock::new(false) });
        let mut groups = self.0.groups.lock();
        groups.retain(|group| group.strong_count() > 0);
        groups.push(Arc::downgrade(&joined));
        joined
    }

    /// The logical clock of all uses.
    pub(super) fn clock(&self) -> &AtomicU64 {
        &self.0.clock
    }

    /// Held while indexes are dropped: the slower of two threads that drop the same index could drop one that a query has
    /// opened again.
    pub(super) fn dropping(&self) -> MutexGuard<'_, ()> {
        self.0.dropping.lock()
    }

    /// Drops the least recently used indexes of all groups: small ones beyond their own budget, and any beyond the
    /// budget of all.
    pub(super) fn keep(&self) {
        // One at a time: the slower of two threads that drop the same index could drop one that a query has opened again.
        let Some(_alone) = self.0.dropping.try_lock() else { return };
        let groups: Vec<_> = self.0.groups.lock().iter().filter_map(Weak::upgrade).collect();
        // A group whose state is being replaced, or was, keeps its indexes for its last readers.
        let present: Vec<_> =
            groups.iter().filter_map(|group| Some((group, group.replaced.try_read_recursive()?))).collect();
        let (mut small, mut large, mut held) = (Vec::new(), Vec::new(), 0);
        for (group, replaced) in &present {
            for candidate in candidates(group).filter(|_| !**replaced) {
                held += candidate.bytes;
                let is_small = candidate.index.vectors().len() <= group.graph_cutoff;
                if is_small { &mut small } else { &mut large }.push(candidate);
            }
        }
        let small_bytes = small.iter().map(|candidate| candidate.bytes).sum();
        let freed = drop_some(small, small_bytes, self.0.small_bytes_max, |_| true);
        let left = held - freed;
        // Dropping an index that still has vectors to link would only have it opened again.
        let is_done = |index: &DocIndex| index.vectors().pending_len() == 0 && index.vectors().save().is_ok();
        let freed = drop_some(large, left, self.0.bytes_max, is_done);
        self.0.full.store(left - freed > self.0.bytes_max, Ordering::Relaxed);
    }
}

fn candidates(group: &Arc<LoadedIndexes>) -> impl Iterator<Item = Candidate> {
    let (listed, group) = (group.list.lock().clone(), group.clone());
    listed.into_iter().filter_map(move |(shard, vector)| {
        let (used, index) = shard.indexes.loaded_since(vector)?;
        let bytes = index.vectors().memory().resident_bytes();
        Some(Candidate { used, bytes, group: group.clone(), shard, vector, index })
    })
}

/// Drops those that `may` leave, least recently used first, until `held` bytes are well within `bytes_max`. Returns the
/// bytes dropped.
fn drop_some(mut candidates: Vec<Candidate>, held: u64, bytes_max: u64, may: impl Fn(&DocIndex) -> bool) -> u64 {
    if held <= bytes_max {
        return 0;
    }
    let enough = held - (bytes_max - bytes_max / FREED_SHARE);
    candidates.sort_unstable_by_key(|candidate| candidate.used);
    let mut freed = 0;
    for Candidate { bytes, group, shard, vector, index, .. } in candidates {
        if freed >= enough {
            break;
        }
        if may(&index) {
            group.unload(&shard, vector);
            freed += bytes;
        }
    }
    freed
}
