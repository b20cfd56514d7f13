//! Which shard a request goes to: the only one of a collection, or its tenant's.

use std::sync::Arc;

use azimuth_engine::ids::{ShardId, ShardKey};
use azimuth_engine::meta::Catalog;
use azimuth_engine::schema::{Collection, Shard, TenantStatus};

use super::ObjectError;
use crate::app::{App, AppError, AppResult, Change};

/// The shard of `collection` that holds `tenant`'s objects.
///
/// # Errors
/// [`ObjectError::Shard`] in the wire's words.
pub(crate) fn route(collection: &Collection, tenant: Option<&str>) -> Result<ShardKey, ObjectError> {
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
        (false, None) => match collection.shard(None) {
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
pub(crate) fn route_to_write(collection: &Collection, tenant: Option<&str>) -> Result<ShardKey, ObjectError> {
    let at = route(collection, tenant)?;
    let shard = match tenant.filter(|tenant| !tenant.is_empty()) {
        Some(tenant) => collection.shards.get_key_value(tenant),
        None => collection.shards.iter().next(),
    };
    match shard {
        Some((name, shard)) if shard.read_only => {
            Err(ObjectError::Invalid(format!("shard {name} of class {} is read-only", collection.name)))
        }
        _ => Ok(at),
    }
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
