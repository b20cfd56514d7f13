//! Identifiers. Each is a newtype, so that a document id is never taken for a collection id.
//!
//! All of them are given out at apply time, grow monotonically and are never reused: a key that holds
//! one can never be read as belonging to something created later under the same name.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id! {
    /// A Raft group with a RocksDB of its own. Group 0 is the meta group, groups from 1 on hold data.
    GroupId(u32)
}
id! {
    /// A collection, for its whole life. A collection that is deleted and created again gets a new id.
    CollectionId(u32)
}
id! {
    /// A shard of a collection, or a tenant of a multi-tenant collection, unique within its collection.
    ShardId(u32)
}
id! {
    /// A property of a collection, nested ones included; unique within its collection.
    PropertyId(u16)
}
id! {
    /// A named vector of a collection; 0 is the unnamed vector. Unique within its collection.
    VectorId(u16)
}
id! {
    /// One version of one object inside a shard. An update gives a new one.
    DocId(u64)
}

/// A shard among the shards of all collections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ShardKey {
    /// The collection.
    pub collection: CollectionId,
    /// The shard, or the tenant's shard, of the collection.
    pub shard: ShardId,
}

impl ShardKey {
    /// All shards of a collection.
    pub(crate) fn all_of(collection: CollectionId) -> std::ops::RangeInclusive<Self> {
        Self { collection, shard: ShardId(0) }..=Self { collection, shard: ShardId(u32::MAX) }
    }
}

impl GroupId {
    /// The group that holds schema, placement and identities.
    pub const META: Self = Self(0);
    /// The first (on a single node: the only) group that holds objects.
    pub const FIRST_DATA: Self = Self(1);
}

impl ShardId {
    /// The only shard of a collection without tenants on a single node.
    pub const FIRST: Self = Self(0);
}

impl VectorId {
    /// The vector of a collection that was configured without a name.
    pub const UNNAMED: Self = Self(0);
}
