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
    /// Unique within the collection, and never given again.
    pub id: ShardId,
    /// Unique among the shards of the collection. A shard keeps its name.
    pub name: String,
    /// The group that holds its objects.
    pub group: GroupId,
    /// Whether it takes requests.
    pub status: TenantStatus,
    /// Refuses writes when true (`READONLY` on the wire).
    pub read_only: bool,
    /// Grows with every change of the record; data groups keep the newest they have seen.
    pub version: u64,
}

/// Activity of a tenant. Shards of collections without tenants are always `Hot`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TenantStatus {
    /// Loaded, or loadable on demand.
    Hot,
    /// On disk, refuses requests.
    Cold,
    /// Offloaded to object storage.
    Frozen,
}
