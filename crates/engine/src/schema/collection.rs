//! A collection: its properties, vectors, shards and settings.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{DataType, InvertedConfig, Property, VectorConfig, VectorSpace};
use crate::ids::{CollectionId, PropertyId, ShardId, VectorId};

/// Everything that is known of one collection.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Collection {
    /// Given by the meta group when the collection is created; 0 before.
    pub id: CollectionId,
    /// Grows with every change; data groups keep the newest they have seen.
    pub version: u64,
    /// `^[A-Z][_0-9A-Za-z]{0,254}$`; unique without regard to case.
    pub name: String,
    /// Free text; `None` when it was never given.
    pub description: Option<String>,
    /// In the order of creation; `None` when the list was never given (the wire tells it from an empty one).
    pub properties: Option<Vec<Property>>,
    /// The unnamed and the named vectors.
    pub vectors: VectorSpace,
    /// Inverted index and keyword search.
    pub inverted: InvertedConfig,
    /// Hash sharding; zero-valued on a multi-tenant collection.
    pub sharding: Sharding,
    /// Copies of each shard.
    pub replication: Replication,
    /// Tenants, if there are any.
    pub multi_tenancy: MultiTenancy,
    /// Expiry of objects; `None` when never configured.
    pub object_ttl: Option<ObjectTtl>,
    /// Module settings as the JSON text that was given; the engine never looks inside.
    pub module_config: Option<String>,
    /// Shards or tenants by name.
    pub shards: BTreeMap<String, Shard>,
    /// Next property id to give out.
    pub next_property_id: u16,
    /// Next vector id to give out; named vectors start at 1.
    pub next_vector_id: u16,
    /// Next shard id to give out.
    pub next_shard_id: u32,
}

/// A shard, or a tenant of a multi-tenant collection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shard {
    /// Unique within the collection.
    pub id: ShardId,
    /// Whether it takes requests.
    pub status: TenantStatus,
    /// Refuses writes when true (`READONLY` on the wire).
    pub read_only: bool,
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

/// Hash sharding, as the wire reports it; zero-valued where there are tenants instead.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Sharding {
    pub virtual_per_physical: i64,
    pub desired_count: i64,
    pub actual_count: i64,
    pub desired_virtual_count: i64,
    pub actual_virtual_count: i64,
    pub key: String,
    pub strategy: String,
    pub function: String,
}

/// Copies of each shard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replication {
    /// Number of copies, at least 1.
    pub factor: i64,
    /// Wire name of the deletion strategy; `None` when an update left it out.
    pub deletion_strategy: Option<String>,
    /// Settings of asynchronous replication as the JSON text that was given: accepted, without effect under Raft.
    pub async_config: Option<String>,
}

impl Default for Replication {
    /// One copy.
    fn default() -> Self {
        Self { factor: 1, deletion_strategy: None, async_config: None }
    }
}

/// Multi-tenancy.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MultiTenancy {
    /// Whether each object belongs to a tenant. Immutable.
    pub enabled: bool,
    /// Create a tenant on its first write.
    pub auto_creation: bool,
    /// Activate a cold tenant on its first access.
    pub auto_activation: bool,
    /// The last update left these settings out, which the wire shows.
    #[serde(default)]
    pub left_out: bool,
}

/// Expiry of objects.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectTtl {
    /// Whether objects expire.
    pub enabled: bool,
    /// Seconds after `delete_on`.
    pub default_ttl_s: i64,
    /// `_creationTimeUnix`, `_lastUpdateTimeUnix` or a date property.
    pub delete_on: String,
    /// Hide expired objects before they are deleted.
    pub filter_expired: bool,
}

impl Collection {
    /// The properties, without the distinction between "none given" and "empty".
    pub fn properties(&self) -> &[Property] {
        self.properties.as_deref().unwrap_or_default()
    }

    /// The top-level property of that exact name.
    pub fn property(&self, name: &str) -> Option<&Property> {
        self.properties().iter().find(|p| p.name == name)
    }

    /// The configuration of a vector: `""` means the unnamed one.
    pub fn vector(&self, name: &str) -> Option<&VectorConfig> {
        self.vectors.get(name)
    }

    /// Name (empty for the unnamed one) and configuration of the vector with that id.
    pub fn vector_by_id(&self, id: VectorId) -> Option<(&str, &VectorConfig)> {
        self.vectors.iter().find(|(_, v)| v.id == id)
    }

    /// The only shard of a collection without tenants, or the shard of a tenant.
    pub fn shard(&self, tenant: Option<&str>) -> Option<&Shard> {
        match tenant {
            Some(name) => self.shards.get(name),
            None => self.shards.values().next(),
        }
    }

    /// Gives ids to properties (nested ones too) and vectors that have none yet. Called by the meta group at apply.
    pub fn assign_ids(&mut self) {
        let mut next = self.next_property_id.max(1);
        for property in self.properties.iter_mut().flatten() {
            assign(property, &mut next);
        }
        self.next_property_id = next;
        let mut next = self.next_vector_id.max(1);
        for vector in self.vectors.named_mut() {
            if vector.id == VectorId::UNNAMED {
                vector.id = VectorId(next);
                next += 1;
            }
        }
        self.next_vector_id = next;
    }
}

fn assign(property: &mut Property, next: &mut u16) {
    if property.id == PropertyId(0) {
        property.id = PropertyId(*next);
        *next += 1;
    }
    if let DataType::Primitive { .. } | DataType::Reference(_) = property.data_type {
        return;
    }
    for nested in &mut property.nested {
        assign(nested, next);
    }
}
