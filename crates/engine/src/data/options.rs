//! What a group is opened with, and what opening found.

use crate::ids::GroupId;
use crate::storage::StorageBudget;
use crate::vector::IndexOptions;

/// Settings of a group.
#[derive(Clone)]
pub struct GroupOptions {
    /// Which group it is; written into every key.
    pub group: GroupId,
    /// Memory for RocksDB, shared by all groups of a node.
    pub storage: StorageBudget,
    /// Settings of the vector indexes that belong to the process.
    pub index: IndexOptions,
    /// Bytes that the vector indexes of the group may hold in memory, pages of mapped files aside. Beyond it the least
    /// recently used ones are saved and dropped, and opened again when asked; [`DataGroup::index_memory_full`] tells when
    /// that is not enough.
    ///
    /// [`DataGroup::index_memory_full`]: super::DataGroup::index_memory_full
    pub index_bytes_max: u64,
    /// Bytes of vectors that small, file-less indexes may hold in memory over all shards; the least recently used
    /// ones are dropped beyond it and loaded again when asked.
    pub small_index_bytes_max: u64,
    /// While work on it goes on, a vector index is saved when so many vectors came in, or into its graph, since the last time,
    /// or a quarter of what was saved, if that is more: see [`DataGroup::save_grown_indexes`].
    ///
    /// [`DataGroup::save_grown_indexes`]: super::DataGroup::save_grown_indexes
    pub save_growth_min: usize,
    /// The inverted index of a shard is joined and cleaned when this many doc ids came or went since the last time, or half
    /// of what was live then, if that is more.
    pub sweep_changes_min: u64,
    /// A batch that gives rise to so many entries of the inverted index writes them as one segment, which the background
    /// takes apart: applying a hundred texts costs a third of what a key for each entry would.
    pub segment_entries_min: usize,
}

impl GroupOptions {
    /// Defaults for that group, with a storage budget of its own.
    pub fn new(group: GroupId) -> Self {
        Self {
            group,
            storage: StorageBudget::default(),
            index: IndexOptions::default(),
            index_bytes_max: u64::MAX,
            small_index_bytes_max: 64 << 20,
            save_growth_min: 1 << 16,
            sweep_changes_min: 2_000,
            segment_entries_min: 512,
        }
    }
}

/// What opening a group found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OpenReport {
    /// Generation that was opened.
    pub generation: u64,
    /// Whether the group was empty and has been created.
    pub created: bool,
    /// Collections that the group knows.
    pub collections: usize,
    /// What was put right on the way, one sentence each.
    pub notes: Vec<String>,
}
