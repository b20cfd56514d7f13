//! The vector indexes of a group that are in memory: opening, work in turn, saving. The `index_budget` decides which of them
//! leave memory.
//!
//! An index in memory is a copy of rows and files, so any may be dropped at any time; a query or background work that needs
//! the index opens it again by its files.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::{RwLockReadGuard, RwLockWriteGuard};

use super::index_budget::LoadedIndexes;
use super::{IndexBudget, WorkReport};
use crate::data::GroupOptions;
use crate::ids::{ShardKey, VectorId};
use crate::schema::{Collection, VectorIndexKind};
use crate::shard::doc_index::DocIndex;
use crate::shard::indexes::Opening;
use crate::shard::{Shard, ShardState};
use crate::storage::Store;
use crate::vector::{IndexMemory, IndexOptions, VectorIndex};
use crate::{Error, Result};

/// Rows that an object with several vectors is taken to have, before its index is opened and knows.
const ROWS_TYPICAL: u64 = 16;

/// An index in memory.
pub(crate) type Loaded = (Arc<Shard>, VectorId, Arc<DocIndex>);

/// The vector indexes in memory, with their budget.
pub(crate) struct IndexCache {
    /// Folder of the indexes' files.
    dir: PathBuf,
    options: IndexOptions,
    budget: IndexBudget,
    save_growth_min: usize,
    /// Indexes in memory.
    loaded: Arc<LoadedIndexes>,
    /// Counts the uses of the group's indexes.
    uses: AtomicU64,
    /// Number of the index that gets the next step of work.
    turn: AtomicUsize,
}

impl IndexCache {
    pub(super) fn new(dir: &Path, options: &GroupOptions) -> Self {
        Self {
            dir: dir.to_path_buf(),
            options: options.index,
            budget: options.index_budget.clone(),
            save_growth_min: options.save_growth_min,
            loaded: options.index_budget.join(options.index.graph_cutoff),
            uses: AtomicU64::default(),
            turn: AtomicUsize::default(),
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

    /// The inputs for opening the index of a vector; `None` when the schema does not know the vector.
    pub(crate) fn opening<'a>(
        &'a self,
        store: &'a Store,
        schema: &'a Collection,
        vector: VectorId,
    ) -> Option<Opening<'a>> {
        let (_, config) = schema.vector_by_id(vector)?;
        Some(Opening {
            store,
            dir: &self.dir,
            config,
            options: self.options,
            clock: self.budget.clock(),
            uses: &self.uses,
            opened: &self.loaded.list,
        })
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
        let listed = self.loaded.list.lock().clone();
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

    /// The budget that the indexes share with those of other groups.
    pub(crate) fn budget(&self) -> &IndexBudget {
        &self.budget
    }

    /// Keeps the group's state from being replaced while the guard lives; `None` once it was replaced.
    pub(crate) fn while_present(&self) -> Option<RwLockReadGuard<'_, bool>> {
        let replaced = self.loaded.replaced.read();
        (!*replaced).then_some(replaced)
    }

    /// Waits until no index is saved and no background work runs, and keeps both from beginning while the guard lives, or for
    /// good if it is set.
    pub(crate) fn replacing(&self) -> RwLockWriteGuard<'_, bool> {
        self.loaded.replaced.write()
    }

    /// Forgets the indexes of dropped shards.
    pub(super) fn forget(&self, dropped: impl Fn(&ShardKey) -> bool) {
        self.loaded.list.lock().retain(|(shard, _)| !dropped(&shard.at));
    }

    /// Saves the indexes of shards and drops them from memory, also those that still have vectors to link.
    pub(super) fn unload(&self, shards: &BTreeSet<ShardKey>) {
        let _alone = self.budget.dropping();
        let indexes: Vec<Loaded> = self.loaded().into_iter().filter(|(shard, ..)| shards.contains(&shard.at)).collect();
        for (shard, vector, index) in indexes {
            let vectors = index.vectors();
            // Small indexes have no files. Without new files the next opening reads more rows.
            if vectors.len() > self.options.graph_cutoff
                && let Err(error) = vectors.save()
            {
                tracing::warn!(at = ?shard.at, vector = vector.0, %error, "save the vector index of an inactive shard");
            }
            self.loaded.unload(&shard, vector);
        }
    }

    /// Drops the least recently used indexes of all groups that share the budget, as far as they exceed it.
    pub(super) fn keep_budget(&self) {
        self.budget.keep();
    }
}

/// Bytes of all these indexes, by part.
pub(crate) fn index_memory(indexes: &[Loaded]) -> IndexMemory {
    let mut sum = IndexMemory::default();
    indexes.iter().for_each(|(_, _, index)| sum += index.vectors().memory());
    sum
}
