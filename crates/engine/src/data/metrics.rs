//! Metrics of a data group, and the status of its shards.

use std::sync::atomic::Ordering;

use super::DataGroup;
use crate::ids::VectorId;
use crate::maintain::index_memory;
use crate::vector::{IndexMemory, IndexStats};

/// Metrics of a data group.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GroupMetrics {
    /// Collections known.
    pub collections: u64,
    /// Shards whose state is in memory.
    pub shards_loaded: u64,
    /// Objects of these shards.
    pub objects: u64,
    /// Vectors of the loaded indexes that wait to be linked into a graph.
    pub vector_queue: u64,
    /// Vector indexes in memory.
    pub indexes_loaded: u64,
    /// Bytes of the vector indexes in memory, by part.
    pub index_memory: IndexMemory,
    /// Bytes that the indexes of all groups may hold.
    pub index_bytes_max: u64,
    /// Bytes of rows that are not flushed yet.
    pub write_buffer_bytes: u64,
    /// Bytes of blocks in the cache (shared by all groups).
    pub block_cache_bytes: u64,
    /// Bytes of the table and blob files on disk.
    pub disk_bytes: u64,
    /// Rebuilds of inverted indexes that began since the group was opened.
    pub inverted_rebuilds: u64,
    /// Shards whose inverted index was damaged again after several rebuilds: filters that meet the damage fail.
    pub inverted_damaged: u64,
    /// Entries applied since the group was opened.
    pub entries_applied: u64,
    /// Commands applied since the group was opened.
    pub commands_applied: u64,
    /// Objects that cannot be decoded, as far as they were met since their shard was loaded.
    pub objects_unreadable: u64,
    /// Failures of vector indexes, which are built anew each time.
    pub index_failures: u64,
    /// Commands refused because they could not be carried out: each is a fault of this program, and is logged.
    pub commands_contained: u64,
    /// Versions of objects written with their index entries since the open: several changes of one object in one entry are one.
    pub versions_written: u64,
}

/// State of one shard.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ShardStatus {
    /// Objects that can be read.
    pub objects: u64,
    /// Vectors that wait to be linked into a graph, over all vectors of the shard.
    pub vector_queue: u64,
    /// One per vector that some object has or had.
    pub vectors: Vec<VectorStatus>,
}

/// State of one vector of a shard.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct VectorStatus {
    /// Which vector.
    pub vector: VectorId,
    /// Its length, once the first object fixed it.
    pub dimension: Option<u32>,
    /// Objects that have it.
    pub objects: u64,
    /// The index, if it is in memory.
    pub index: Option<IndexStats>,
}

impl DataGroup {
    /// Metrics as of now.
    pub fn metrics(&self) -> GroupMetrics {
        let shards = self.state.all_loaded();
        let indexes = self.maintenance.indexes.loaded();
        let store = &self.state.store;
        GroupMetrics {
            collections: self.state.collection_count() as u64,
            shards_loaded: shards.len() as u64,
            objects: shards.iter().map(|shard| shard.state().live.len()).sum(),
            vector_queue: indexes.iter().map(|(_, _, index)| index.vectors().pending_len() as u64).sum(),
            indexes_loaded: indexes.len() as u64,
            index_memory: index_memory(&indexes),
            index_bytes_max: self.maintenance.indexes.budget().bytes_max(),
            write_buffer_bytes: store.write_buffer_bytes(),
            block_cache_bytes: store.block_cache_bytes(),
            disk_bytes: store.disk_bytes(),
            inverted_rebuilds: self.maintenance.rebuilds_begun(),
            inverted_damaged: self.maintenance.rebuilds_given_up(),
            entries_applied: self.counters.entries_applied.load(Ordering::Relaxed),
            commands_applied: self.counters.commands_applied.load(Ordering::Relaxed),
            objects_unreadable: shards.iter().map(|shard| shard.unreadable.len()).sum(),
            index_failures: shards.iter().map(|shard| shard.indexes.failures()).sum(),
            commands_contained: self.counters.commands_contained.load(Ordering::Relaxed),
            versions_written: self.counters.versions_written.load(Ordering::Relaxed),
        }
    }
}
