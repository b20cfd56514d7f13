//! The memory that all RocksDBs of a node share.

use rocksdb::{Cache, WriteBufferManager};

/// Memory that the RocksDBs of a node share. Clones share one budget.
#[derive(Clone)]
pub struct StorageBudget {
    pub(super) cache: Cache,
    pub(super) write_buffers: WriteBufferManager,
}

impl StorageBudget {
    /// A budget of `cache_bytes` for blocks read and `write_buffer_bytes` for rows that are not flushed yet.
    pub fn new(cache_bytes: usize, write_buffer_bytes: usize) -> Self {
        Self {
            cache: Cache::new_lru_cache(cache_bytes),
            write_buffers: WriteBufferManager::new_write_buffer_manager(write_buffer_bytes, false),
        }
    }
}

impl Default for StorageBudget {
    fn default() -> Self {
        Self::new(64 << 20, 256 << 20)
    }
}
