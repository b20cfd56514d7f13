//! Settings of a data group.

use crate::ids::GroupId;
use crate::maintain::IndexBudget;
use crate::storage::StorageBudget;
use crate::vector::IndexOptions;

/// Settings of a data group.
#[derive(Clone)]
pub struct GroupOptions {
    /// Id of the group; written into every key.
    pub group: GroupId,
    /// Memory for RocksDB, shared by all groups of a node.
    pub storage: StorageBudget,
    /// Settings of the vector indexes that belong to the process.
    pub index: IndexOptions,
    /// Memory for vector indexes, shared by all groups of a node.
    pub index_budget: IndexBudget,
    /// Shards without graphs that may be in memory, each with the ids of its objects. Beyond it those that were not used for a
    /// while leave, and are loaded again by the next read or write.
    pub loaded_shards_max: usize,
    /// [`DataGroup::save_grown_indexes`] saves a vector index when this many vectors were inserted, or linked, since the last
    /// save, or a quarter of the saved ones, if that is more.
    ///
    /// [`DataGroup::save_grown_indexes`]: super::DataGroup::save_grown_indexes
    pub save_growth_min: usize,
    /// The inverted index of a shard is compacted when this many doc ids came or went since the last compaction, or half of
    /// those that were live then, if that is more.
    pub compaction_changes_min: u64,
    /// A batch with this many entries of the inverted index writes them as one segment, which background work merges:
    /// applying a hundred texts costs a third of the time that one key per entry would.
    pub segment_entries_min: usize,
}

impl GroupOptions {
    /// Defaults for that group, with budgets of its own.
    pub fn new(group: GroupId) -> Self {
        Self {
            group,
            storage: StorageBudget::default(),
            index: IndexOptions::default(),
            index_budget: IndexBudget::new(u64::MAX, 64 << 20),
            loaded_shards_max: 16_384,
            save_growth_min: 1 << 16,
            compaction_changes_min: 2_000,
            segment_entries_min: 512,
        }
    }
}
