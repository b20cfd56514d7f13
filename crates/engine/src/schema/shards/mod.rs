//! Shards of a collection, which are the tenants of a multi-tenant one: the record of each, and the table of all.
//!
//! Read in this order: [`Shard`], [`ShardTable`] (`table`), `given` (which ids were given), `listed` (shards within schemas
//! of version 1), `shared_map` (the map below the table).

mod given;
mod listed;
mod shared_map;
mod table;

use serde::{Deserialize, Serialize};

pub(crate) use given::GivenIds;
pub use listed::ListedShard;
pub use table::ShardTable;
pub(crate) use table::check_names;

use crate::ids::{GroupId, ShardId};

/// A shard, or a tenant of a multi-tenant collection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shard {
    /// Unique within the collection, and never assigned again.
    pub id: ShardId,
    /// Unique among the shards of the collection, and immutable.
    pub name: String,
    /// The group that holds its objects.
    pub group: GroupId,
    /// Whether the shard accepts requests.
    pub status: TenantStatus,
    /// Whether the shard refuses writes (`READONLY` on the wire).
    pub read_only: bool,
    /// Incremented by every change of the record. Data groups keep the record with the highest version.
    pub version: u64,
}

impl Shard {
    /// Whether it takes requests; an inactive shard leaves memory.
    pub fn is_active(&self) -> bool {
        self.status == TenantStatus::Hot
    }
}

/// Activity of a tenant. Shards of collections without tenants are always `Hot`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TenantStatus {
    /// Loaded, or loadable on demand.
    Hot,
    /// On disk; requests are refused.
    Cold,
    /// Offloaded to object storage.
    Frozen,
}
