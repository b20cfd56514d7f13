//! The lists of shards within schemas of version 1.

use serde::{Deserialize, Serialize};

use super::TenantStatus;
use crate::ids::ShardId;

/// A shard within a schema of version 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedShard {
    /// Unique within the collection.
    pub id: ShardId,
    /// Whether the shard accepts requests.
    pub status: TenantStatus,
    /// Whether the shard refuses writes.
    pub read_only: bool,
}
