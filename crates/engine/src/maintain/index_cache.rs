//! The vector indexes of a group that are in memory: opening, work in turn, saving, and which of them leave memory.
//!
//! An index in memory is a copy of rows and files, so any may be dropped at any time; a query or background work that needs
//! the index opens it again by its files.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::WorkReport;
use crate::data::GroupOptions;
use crate::ids::{ShardKey, VectorId};
use crate::schema::{Collection, VectorIndexKind};
use crate::shard::doc_index::DocIndex;
use crate::shard::indexes::Opening;
use crate::shard::{Shard, ShardState};
use crate::storage::Store;
use crate::vector::{IndexMemory, IndexOptions, VectorIndex};
use crate::{Error, Result};

/// Beyond a budget, indexes are dropped until this share of it is free, so that it is not exceeded at once again.
const FREED_SHARE: u64 = 8;

/// Rows that an object with several vectors is taken to have, before its index is opened and knows.
const ROWS_TYPICAL: u64 = 16;

/// An index in memory.
pub(crate) type Loaded = (Arc<Shard>, VectorId, Arc<DocIndex>);

/// The vector indexes in memory, with their budget.
pub(crate) struct IndexCache {
    /// Folder of the indexes' files.
    dir: PathBuf,
    options: IndexOptions,
    bytes_max: u64,
    small_bytes_max: u64,
    save_growth_min: usize,
    /// Indexes in memory.
    listed: Mutex<Vec<(Arc<Shard>, VectorId)>>,
    /// Logical clock for LRU eviction: counts the uses of all indexes.
    uses: AtomicU64,
    /// Number of the index that gets the next step of work.
    turn: AtomicUsize,
    /// Locked while indexes are dropped from memory.
    dropping: Mutex<()>,
    /// Whether the indexes hold more than they may, with none left to drop.
    full: AtomicBool,
}

/// An index that could be dropped.
struct Candidate {
    used: u64,
    bytes: u64,
    shard: Arc<Shard>,
    vector: VectorId,
    index: Arc<DocIndex>,
}

impl IndexCache {
    pub(super) fn new(dir: &Path, options: &GroupOptions) -> Self {
        Self {
            dir: dir.to_path_buf(),
            options: options.index,
            bytes_max: options.index_bytes_max,
            small_bytes_max: options.small_index_bytes_max,
            save_growth_min: options.save_growth_min,
            listed: Mutex::default(),
            uses: AtomicU64::default(),
            turn: AtomicUsize::default(),
            dropping: Mutex::default(),
            full: AtomicBool::default(),
        }
    }

    /// Folder of the indexes' files.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// How often indexes were used.
    pub(super) fn uses(&self) -> u64 {
        self.uses.load(Ordering::Acquire)
    }

    /// Bytes that the indexes may hold.
    pub(crate) fn bytes_max(&self) -> u64 {
        self.bytes_max
    }

    /// The inputs for opening the index of a vector; `None` when the schema does not know the vector.
    pub(crate) fn opening<'a>(
        &'a self,
        store: &'a Store,
        schema: &'a Collection,
        vector: VectorId,
    ) -> Option<Opening<'a>> {
        let (_, config) = schema.vector_by_id(vector)?;
        Some(Opening { store, dir: &self.dir, config, options: self.options, uses: &self.uses, opened: &self.listed })
    }

    /// As [`opening`](Self::opening); `None` also when the vector has no index that can be searched.
    pub(crate) fn searchable<'a>(
        &'a self,
        store: &'a Store,
        schema: &'a Collection,
        vector: VectorId,
    ) -> Option<Opening<'a>> {
        let opening = self.opening(store, schema, vector)?;
        let indexed = opening.config.kind != VectorIndexKind::None && !opening.config.index.skip;
        indexed.then_some(opening)
    }

    /// Vectors of a shard that are numerous enough for a graph.
    pub(crate) fn graphs(&self, schema: &Collection, state: &ShardState) -> Vec<VectorId> {
        let large = state.with_vector.iter().filter_map(|(&vector, members)| {
            let (_, config) = schema.vector_by_id(vector)?;
            let indexed = !config.index.skip && config.kind != VectorIndexKind::None;
            let each = if config.multi && config.muvera.is_none() { ROWS_TYPICAL } else { 1 };
            (indexed && members.len().saturating_mul(each) > self.options.graph_cutoff as u64).then_some(vector)
        });
        large.collect()
    }

    /// All indexes in memory.
    pub(crate) fn loaded(&self) -> Vec<Loaded> {
        let listed = self.listed.lock().clone();
        let loaded = listed.into_iter().filter_map(|(shard, vector)| {
            let index = shard.indexes.loaded(vector)?;
            Some((shard, vector, index))
        });
        loaded.collect()
    }

    /// One step of work on the first index, in turn, that has something to do.
    pub(super) fn work(&self, budget: crate::vector::StepBudget, report: &mut WorkReport) {
        let indexes = self.loaded();
        let mut worked = false;
        for n in 0..indexes.len() {
            let turn = self.turn.fetch_add(1, Ordering::Relaxed) % indexes.len();
            let (shard, vector, index) = &indexes[turn];
            if worked {
                report.more |= indexes.iter().any(|(_, _, index)| index.vectors().pending_len() > 0);
                return;
            }
            let work = || Ok(index.vectors().work(budget));
            let Some(progress) = shard.indexes.contained(shard.at, *vector, work) else { continue };
            report.linked += progress.linked;
            report.coded += progress.coded;
            report.given_back += progress.given_back;
            report.more |= progress.more;
            worked = progress.linked + progress.coded + progress.repaired + progress.freed + progress.moved > 0;
            tracing::trace!(at = ?shard.at, vector = vector.0, n, ?progress, "worked on a vector index");
        }
    }

    /// Writes the files of all indexes that have any.
    ///
    /// # Errors
    /// [`Error::Storage`] naming the first that failed; the others are written.
    pub(crate) fn save(&self) -> Result<()> {
        self.save_those(|_| true)
    }

    /// Writes the files of the indexes that have grown much since they were written.
    ///
    /// # Errors
    /// As [`save`](Self::save).
    pub(crate) fn save_grown(&self) -> Result<()> {
        self.save_those(|index| index.has_grown(self.save_growth_min))
    }

    fn save_those(&self, wanted: impl Fn(&VectorIndex) -> bool) -> Result<()> {
        let mut failed = None;
        for (shard, vector, index) in self.loaded() {
            if wanted(index.vectors())
                && let Err(error) = index.vectors().save()
            {
                failed.get_or_insert(format!("save vector {vector} of {:?}: {error}", shard.at));
            }
        }
        failed.map_or(Ok(()), |what| Err(Error::Storage(what)))
    }

    /// Whether the indexes held more than they may after the last step, with none left to drop.
    pub(crate) fn is_full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }

    /// Forgets the indexes of dropped shards.
    pub(super) fn forget(&self, dropped: impl Fn(&ShardKey) -> bool) {
        self.listed.lock().retain(|(shard, _)| !dropped(&shard.at));
    }

    /// Drops the least recently used indexes: small ones, which are rebuilt by reading their vectors, beyond their own
    /// budget, and any beyond the budget of all.
    pub(super) fn keep_budget(&self) {
        // One at a time: the slower of two threads that drop the same index could drop one that a query has opened again.
        let Some(_alone) = self.dropping.try_lock() else { return };
        let (mut small, mut all) = (Vec::new(), 0);
        let mut large = Vec::new();
        for candidate in self.candidates() {
            all += candidate.bytes;
            let is_small = candidate.index.vectors().len() <= self.options.graph_cutoff;
            if is_small { &mut small } else { &mut large }.push(candidate);
        }
        let small_bytes = small.iter().map(|candidate| candidate.bytes).sum();
        let freed = self.drop_some(small, small_bytes, self.small_bytes_max, |_| true);
        let left = all - freed;
        // Dropping an index that still has vectors to link would only have it opened again.
        let is_done = |index: &DocIndex| index.vectors().pending_len() == 0 && index.vectors().save().is_ok();
        let freed = self.drop_some(large, left, self.bytes_max, is_done);
        self.full.store(left - freed > self.bytes_max, Ordering::Relaxed);
    }

    fn candidates(&self) -> Vec<Candidate> {
        let listed = self.listed.lock().clone();
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
                self.listed.lock().retain(|(listed, of)| !(Arc::ptr_eq(listed, &shard) && *of == vector));
                shard.indexes.unload(vector);
                freed += bytes;
            }
        }
        freed
    }
}

/// Bytes of all these indexes, by part.
pub(crate) fn index_memory(indexes: &[Loaded]) -> IndexMemory {
    let mut sum = IndexMemory::default();
    indexes.iter().for_each(|(_, _, index)| sum += index.vectors().memory());
    sum
}
