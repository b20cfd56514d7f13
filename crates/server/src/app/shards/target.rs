//! The shards that a request concerns.

use std::sync::Arc;

use azimuth_engine::ids::ShardKey;
use azimuth_engine::meta::Catalog;
use azimuth_engine::schema::{Collection, Shard, ShardTable, TenantStatus, shard_of};
use uuid::Uuid;

/// The shards of a collection that a request concerns: the shard of its tenant, or all.
#[derive(Debug, Clone)]
pub(crate) struct ShardTarget {
    /// The collection.
    pub(crate) collection: Arc<Collection>,
    /// In the order of their ids; not empty.
    shards: Vec<NamedShard>,
}

/// Why a request does not lead to a shard. Front ends word it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RouteError {
    /// The collection has tenants, and the request names none.
    #[error("collection {0} has tenants, and the request names none")]
    Missing(String),
    /// The collection has no tenants, and the request names one.
    #[error("collection {0} has no tenants, and the request names one")]
    Unexpected(String),
    /// The tenant does not exist.
    #[error("tenant {0:?} does not exist")]
    NotFound(String),
    /// The tenant is inactive.
    #[error("tenant {0:?} is inactive")]
    Inactive(String),
    /// The collection has no shard.
    #[error("collection {0} has no shard")]
    NoShard(String),
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
    /// Why the tenant is refused.
    pub(crate) fn new(collection: Arc<Collection>, table: &ShardTable, tenant: &str) -> Result<Self, RouteError> {
        check_tenant(&collection, tenant)?;
        let named = |shard: &Arc<Shard>| {
            let at = ShardKey { collection: collection.id, shard: shard.id };
            match shard.status {
                TenantStatus::Hot => Ok(NamedShard { name: shard.name.clone(), at }),
                TenantStatus::Cold | TenantStatus::Frozen => Err(RouteError::Inactive(tenant.to_owned())),
            }
        };
        let shards: Vec<NamedShard> = match tenant {
            "" => table.iter_by_id().map(named).collect::<Result<_, _>>()?,
            tenant => table.get(tenant).map(named).transpose()?.into_iter().collect(),
        };
        if shards.is_empty() {
            return Err(RouteError::NotFound(tenant.to_owned()));
        }
        Ok(Self { collection, shards })
    }

    /// The shards that references lead to: where `collection` has tenants, that of the object's own tenant.
    ///
    /// # Errors
    /// As [`ShardTarget::new`].
    pub(crate) fn behind(collection: Arc<Collection>, table: &ShardTable, tenant: &str) -> Result<Self, RouteError> {
        let tenant = if collection.multi_tenancy.enabled { tenant } else { "" };
        Self::new(collection, table, tenant)
    }

    /// The shards that references to objects of the collection `name` lead to, from an object of `tenant`; `None` if there
    /// are no such objects.
    ///
    /// # Errors
    /// [`RouteError::Inactive`]
    pub(super) fn referenced(catalog: &Catalog, name: &str, tenant: &str) -> Result<Option<Self>, RouteError> {
        let Some(collection) = catalog.find(name) else { return Ok(None) };
        let table = catalog.shards(collection.id);
        if collection.multi_tenancy.enabled && table.get(tenant).is_none() {
            return Ok(None);
        }
        Self::behind(collection.clone(), table, tenant).map(Some)
    }

    /// The tenant of the shard; empty for none.
    pub(crate) fn tenant(&self) -> &str {
        if self.collection.multi_tenancy.enabled { &self.first().name } else { "" }
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
}

/// Checks that a request names a tenant (an empty name is none) where the collection has tenants, and only there.
///
/// # Errors
/// [`RouteError::Missing`], [`RouteError::Unexpected`]
pub(crate) fn check_tenant(collection: &Collection, tenant: &str) -> Result<(), RouteError> {
    match (collection.multi_tenancy.enabled, tenant.is_empty()) {
        (true, true) => Err(RouteError::Missing(collection.name.clone())),
        (false, false) => Err(RouteError::Unexpected(collection.name.clone())),
        _ => Ok(()),
    }
}

/// Number of virtual shards of a collection without tenants.
pub(crate) fn virtual_shards(collection: &Collection) -> u64 {
    u64::try_from(collection.sharding.actual_virtual_count).unwrap_or_default()
}
