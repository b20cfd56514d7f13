//! The shards that a request concerns.

use std::sync::Arc;

use azimuth_engine::ids::ShardKey;
use azimuth_engine::schema::{Collection, Shard, ShardTable, TenantStatus, shard_of};
use uuid::Uuid;

use crate::app::search::VECTOR_SEARCH;

/// The shards of a collection that a request concerns: the shard of its tenant, or all.
#[derive(Debug, Clone)]
pub(crate) struct ShardTarget {
    /// The collection.
    pub(crate) collection: Arc<Collection>,
    /// In the order of their ids; not empty.
    shards: Vec<NamedShard>,
}

/// A shard with its name.
#[derive(Debug, Clone)]
pub(crate) struct NamedShard {
    /// Name of the shard, or of the tenant.
    pub(crate) name: String,
    /// Its ids.
    pub(crate) at: ShardKey,
}

impl ShardTarget {
    /// The shard of a tenant, or all shards when `tenant` is empty.
    ///
    /// # Errors
    /// The reason why the tenant is refused, without the path that front ends put before it.
    pub(crate) fn new(collection: Arc<Collection>, table: &ShardTable, tenant: &str) -> Result<Self, String> {
        let name = &collection.name;
        match (collection.multi_tenancy.enabled, tenant) {
            (true, "") => {
                return Err(format!("class {name} has multi-tenancy enabled, but request was without tenant"));
            }
            (false, tenant) if !tenant.is_empty() => {
                return Err(format!("class {name} has multi-tenancy disabled, but request was with tenant"));
            }
            _ => {}
        }
        let named = |shard: &Arc<Shard>| {
            let at = ShardKey { collection: collection.id, shard: shard.id };
            match shard.status {
                TenantStatus::Hot => Ok(NamedShard { name: shard.name.clone(), at }),
                TenantStatus::Cold | TenantStatus::Frozen => Err(format!("tenant not active: '{tenant}'")),
            }
        };
        let shards: Vec<NamedShard> = match tenant {
            "" => table.iter_by_id().map(named).collect::<Result<_, _>>()?,
            tenant => table.get(tenant).map(named).transpose()?.into_iter().collect(),
        };
        if shards.is_empty() {
            return Err(format!("tenant not found: {tenant:?}"));
        }
        Ok(Self { collection, shards })
    }

    /// The shards that references lead to: where `collection` has tenants, that of the object's own tenant.
    ///
    /// # Errors
    /// As [`ShardTarget::new`].
    pub(crate) fn behind(collection: Arc<Collection>, table: &ShardTable, tenant: &str) -> Result<Self, String> {
        let tenant = if collection.multi_tenancy.enabled { tenant } else { "" };
        Self::new(collection, table, tenant)
    }

    /// All shards, in the order of their ids.
    pub(crate) fn all(&self) -> impl Iterator<Item = ShardKey> {
        self.shards.iter().map(|shard| shard.at)
    }

    /// The shard, if it is a single one.
    pub(crate) fn only(&self) -> Option<ShardKey> {
        match self.shards.as_slice() {
            [only] => Some(only.at),
            _ => None,
        }
    }

    /// The first shard.
    pub(crate) fn first(&self) -> &NamedShard {
        &self.shards[0]
    }

    /// The shard that holds the object `id`, if it exists.
    pub(crate) fn of(&self, id: Uuid) -> ShardKey {
        let position = shard_of(id, self.shards.len(), virtual_shards(&self.collection)).unwrap_or_default();
        self.shards[position].at
    }

    /// The name of one of the shards.
    pub(crate) fn name_of(&self, at: ShardKey) -> &str {
        self.shards.iter().find(|shard| shard.at == at).map_or("", |shard| &shard.name)
    }

    /// Puts the path of a listing before the reason of a refusal.
    pub(crate) fn listing_error(collection: &Collection, why: &str) -> String {
        format!("explorer: list class: search: object search at index {}: {why}", collection.name.to_lowercase())
    }

    /// Puts the path of a vector search before the reason of a refusal.
    pub(crate) fn vector_error(collection: &Collection, why: &str) -> String {
        let index = collection.name.to_lowercase();
        format!("{VECTOR_SEARCH}: vector search: object vector search at index {index}: {why}")
    }
}

/// Number of virtual shards of a collection without tenants.
pub(crate) fn virtual_shards(collection: &Collection) -> u64 {
    u64::try_from(collection.sharding.actual_virtual_count).unwrap_or_default()
}
