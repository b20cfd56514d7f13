//! Which shards a request goes to: by the id of its object, all of a collection, or its tenant's.

use std::sync::Arc;

use azimuth_engine::command::ShardChange;
use azimuth_engine::ids::ShardKey;
use azimuth_engine::meta::Catalog;
use azimuth_engine::schema::{Collection, Shard, ShardTable, TenantStatus, shard_of};
use uuid::Uuid;

use super::ObjectError;
use crate::app::access::beyond;
use crate::app::shards::{RouteError, ShardTarget, check_tenant, virtual_shards};
use crate::app::{App, AppResult};
use crate::auth::Permit;

/// The change that makes a tenant usable which an object names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opening {
    /// It does not exist.
    Create,
    /// It is inactive.
    Activate,
}

/// The shard that holds the object `id` of `tenant`, or of a collection without tenants.
///
/// # Errors
/// [`RouteError`]
pub(crate) fn route(
    catalog: &Catalog,
    collection: &Collection,
    tenant: Option<&str>,
    id: Uuid,
) -> Result<ShardKey, RouteError> {
    let shard = find(catalog.shards(collection.id), collection, tenant, id)?;
    Ok(ShardKey { collection: collection.id, shard: shard.id })
}

/// As [`route`], and refuses a shard that takes no writes.
///
/// # Errors
/// [`ObjectError::Route`], [`ObjectError::ReadOnly`]
pub(crate) fn route_to_write(
    catalog: &Catalog,
    collection: &Collection,
    tenant: Option<&str>,
    id: Uuid,
) -> Result<ShardKey, ObjectError> {
    let shard = find(catalog.shards(collection.id), collection, tenant, id)?;
    check_writable(collection, shard)?;
    Ok(ShardKey { collection: collection.id, shard: shard.id })
}

fn find<'a>(
    shards: &'a ShardTable,
    collection: &Collection,
    tenant: Option<&str>,
    id: Uuid,
) -> Result<&'a Arc<Shard>, RouteError> {
    match named_tenant(collection, tenant)? {
        Some(tenant) => match shards.get(tenant) {
            None => Err(RouteError::NotFound(tenant.to_owned())),
            Some(shard) if shard.status != TenantStatus::Hot => Err(RouteError::Inactive(tenant.to_owned())),
            Some(shard) => Ok(shard),
        },
        None => shard_by_id(collection, shards, id).ok_or_else(|| RouteError::NoShard(collection.name.clone())),
    }
}

/// The shard of a collection without tenants that holds the object `id`.
fn shard_by_id<'a>(collection: &Collection, shards: &'a ShardTable, id: Uuid) -> Option<&'a Arc<Shard>> {
    shards.at(shard_of(id, shards.len(), virtual_shards(collection))?)
}

fn check_writable(collection: &Collection, shard: &Shard) -> Result<(), ObjectError> {
    if shard.read_only {
        return Err(ObjectError::ReadOnly { collection: collection.name.clone(), shard: shard.name.clone() });
    }
    Ok(())
}

/// The shards that hold the objects of `tenant`, or of a collection without tenants, and whether one of them is read-only.
///
/// # Errors
/// As [`route`].
pub(crate) fn targets_to_write(
    catalog: &Catalog,
    collection: &Arc<Collection>,
    tenant: Option<&str>,
) -> Result<(ShardTarget, bool), RouteError> {
    let target = targets(catalog, collection, tenant)?;
    let shards = catalog.shards(collection.id);
    let read_only = target.all().filter_map(|at| shards.by_id(at.shard)).any(|shard| shard.read_only);
    Ok((target, read_only))
}

/// The shards that hold the objects of `tenant`, or of a collection without tenants.
///
/// # Errors
/// As [`route`].
pub(crate) fn targets(
    catalog: &Catalog,
    collection: &Arc<Collection>,
    tenant: Option<&str>,
) -> Result<ShardTarget, RouteError> {
    route(catalog, collection, tenant, Uuid::nil())?;
    let shards = catalog.shards(collection.id);
    ShardTarget::new(collection.clone(), shards, tenant.unwrap_or_default())
}

/// The tenant that a request names, where the collection has tenants.
///
/// # Errors
/// As [`check_tenant`].
pub(super) fn named_tenant<'t>(
    collection: &Collection,
    tenant: Option<&'t str>,
) -> Result<Option<&'t str>, RouteError> {
    check_tenant(collection, tenant.unwrap_or_default())?;
    Ok(tenant.filter(|tenant| !tenant.is_empty()))
}

/// Activates a tenant that a permitted read or change of objects names, where the collection asks for it. Returns the
/// catalog after that.
///
/// # Errors
/// The errors of a write.
pub(crate) async fn activate(
    app: &App,
    permit: &Permit,
    collection: &Collection,
    tenant: Option<&str>,
) -> AppResult<Arc<Catalog>> {
    if !permit.concerns(&collection.name) {
        return Err(beyond(permit));
    }
    let catalog = app.catalog()?;
    let shards = catalog.shards(collection.id);
    let Some(tenant) = tenant.filter(|tenant| opening(collection, shards, tenant, false).is_some()) else {
        return Ok(catalog);
    };
    // A tenant that was removed meanwhile is refused by `route`.
    // Boxed, so that the futures of all reads do not grow by that of this rare write.
    Box::pin(app.update_shards(collection.id, vec![activation(tenant)])).await?;
    app.catalog()
}

/// The change that makes a tenant active, unless it was given another status meanwhile.
pub(super) fn activation(tenant: &str) -> ShardChange {
    ShardChange {
        name: tenant.to_owned(),
        expected: Some(TenantStatus::Cold),
        status: Some(TenantStatus::Hot),
        read_only: None,
    }
}

/// Whether the tenant is created or activated because an object names it.
pub(super) fn opening(collection: &Collection, shards: &ShardTable, tenant: &str, create: bool) -> Option<Opening> {
    let tenancy = &collection.multi_tenancy;
    if !tenancy.enabled || !is_tenant_name(tenant) {
        return None;
    }
    match shards.get(tenant) {
        Some(shard) if shard.status == TenantStatus::Cold && tenancy.auto_activation => Some(Opening::Activate),
        None if tenancy.auto_creation && create => Some(Opening::Create),
        _ => None,
    }
}

fn is_tenant_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}
