//! Which shards a request goes to: by the id of its object, all of a collection, or its tenant's.

use std::sync::Arc;

use azimuth_engine::ids::{ShardId, ShardKey};
use azimuth_engine::meta::Catalog;
use azimuth_engine::schema::{Collection, Shard, TenantStatus, shard_of};
use uuid::Uuid;

use super::ObjectError;
use crate::app::shards::{ShardTarget, virtual_shards};
use crate::app::{App, AppError, AppResult, Change};

/// The shard that holds the object `id` of `tenant`, or of a collection without tenants.
///
/// # Errors
/// [`ObjectError::Shard`] in the wire's words.
pub(crate) fn route(collection: &Collection, tenant: Option<&str>, id: Uuid) -> Result<ShardKey, ObjectError> {
    let refuse = |text: String| Err(ObjectError::Shard(text));
    let tenant = tenant.filter(|tenant| !tenant.is_empty());
    let shard = match (collection.multi_tenancy.enabled, tenant) {
        (true, None) => {
            let name = &collection.name;
            return refuse(format!("class {name} has multi-tenancy enabled, but request was without tenant"));
        }
        (false, Some(_)) => {
            let name = &collection.name;
            return refuse(format!("class {name} has multi-tenancy disabled, but request was with tenant"));
        }
        (true, Some(tenant)) => match collection.shard(Some(tenant)) {
            None => return refuse(format!("tenant not found: \"{tenant}\"")),
            Some(shard) if shard.status != TenantStatus::Hot => {
                return refuse(format!("tenant not active: '{tenant}'"));
            }
            Some(shard) => shard,
        },
        (false, None) => match shard_by_id(collection, id) {
            None => return refuse(format!("class {} has no shard", collection.name)),
            Some(shard) => shard,
        },
    };
    Ok(ShardKey { collection: collection.id, shard: shard.id })
}

/// As [`route`], and refuses a shard that takes no writes.
///
/// # Errors
/// [`ObjectError::Shard`], or [`ObjectError::Invalid`] for a shard that is read-only.
pub(crate) fn route_to_write(collection: &Collection, tenant: Option<&str>, id: Uuid) -> Result<ShardKey, ObjectError> {
    let at = route(collection, tenant, id)?;
    match collection.shards.iter().find(|(_, shard)| shard.id == at.shard) {
        Some((name, shard)) if shard.read_only => Err(ObjectError::Invalid(read_only(collection, name))),
        _ => Ok(at),
    }
}

/// The shard of a collection without tenants that holds the object `id`.
fn shard_by_id(collection: &Collection, id: Uuid) -> Option<&Shard> {
    let shards = &collection.shards;
    if shards.len() < 2 {
        return shards.values().next();
    }
    let mut in_order: Vec<&Shard> = shards.values().collect();
    in_order.sort_unstable_by_key(|shard| shard.id);
    in_order.get(shard_of(id, in_order.len(), virtual_shards(collection))?).copied()
}

/// The shards in which the objects of `tenant`, or of a collection without tenants, are written.
///
/// # Errors
/// As [`route_to_write`], for any of the shards.
pub(crate) fn targets_to_write(collection: &Arc<Collection>, tenant: Option<&str>) -> Result<ShardTarget, ObjectError> {
    let target = targets(collection, tenant)?;
    let shards = || collection.shards.iter().filter(|(_, shard)| target.all().any(|at| at.shard == shard.id));
    match shards().find(|(_, shard)| shard.read_only) {
        Some((name, _)) => Err(ObjectError::Invalid(read_only(collection, name))),
        None => Ok(target),
    }
}

/// The shards that hold the objects of `tenant`, or of a collection without tenants.
///
/// # Errors
/// As [`route`].
pub(crate) fn targets(collection: &Arc<Collection>, tenant: Option<&str>) -> Result<ShardTarget, ObjectError> {
    route(collection, tenant, Uuid::nil())?;
    ShardTarget::new(collection.clone(), tenant.unwrap_or_default()).map_err(ObjectError::Shard)
}

fn read_only(collection: &Collection, shard: &str) -> String {
    format!("shard {shard} of class {} is read-only", collection.name)
}

/// Activates a tenant that a read or a change of one object names, where the collection asks for it.
///
/// # Errors
/// What a change of the schema ends with.
pub(crate) async fn activate(
    app: &App,
    collection: &Arc<Collection>,
    tenant: Option<&str>,
) -> AppResult<Arc<Collection>> {
    let Some(tenant) = tenant.filter(|tenant| opened(collection, tenant, false).is_some()) else {
        return Ok(collection.clone());
    };
    let change = |_: &Catalog, there: Option<&Arc<Collection>>| {
        let Some((there, shard)) = there.and_then(|there| Some((there, opened(there, tenant, false)?))) else {
            return Ok::<_, AppError>(Change::Nothing);
        };
        let mut new = Collection::clone(there);
        put_tenant(&mut new, tenant, shard);
        Ok(Change::Update(new))
    };
    let changed = app.change_collection(&collection.name, change).await?;
    Ok(changed.unwrap_or_else(|| collection.clone()))
}

/// The tenant that is created or activated because an object names it; `None` when nothing has to be done.
pub(super) fn opened(collection: &Collection, tenant: &str, create: bool) -> Option<Shard> {
    let tenancy = &collection.multi_tenancy;
    if !tenancy.enabled || !is_tenant_name(tenant) {
        return None;
    }
    match collection.shards.get(tenant) {
        Some(shard) if shard.status == TenantStatus::Cold && tenancy.auto_activation => {
            Some(Shard { status: TenantStatus::Hot, ..shard.clone() })
        }
        None if tenancy.auto_creation && create => {
            Some(Shard { id: ShardId(collection.next_shard_id), status: TenantStatus::Hot, read_only: false })
        }
        _ => None,
    }
}

/// Puts a tenant that [`opened`] returned into effect.
pub(super) fn put_tenant(collection: &mut Collection, tenant: &str, shard: Shard) {
    collection.next_shard_id = collection.next_shard_id.max(shard.id.0.saturating_add(1));
    collection.shards.insert(tenant.to_owned(), shard);
}

fn is_tenant_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}
