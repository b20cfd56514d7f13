//! Shards within the schema, as schemas of version 1 list them.

use serde::{Deserialize, Serialize};

use super::TenantStatus;
use crate::ids::ShardId;

/// A shard within a schema of version 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedShard {
    /// Unique within the collection.
    pub id: ShardId,
    /// Whether it takes requests.
    pub status: TenantStatus,
    /// Refuses writes when true.
    pub read_only: bool,
}
