//! Which shard a request goes to: the only one of a collection, or its tenant's.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use azimuth_engine::command::At;
use azimuth_engine::ids::ShardId;
use azimuth_engine::schema::{Collection, Shard, TenantStatus};

use super::{Draft, ObjectError};
use crate::app::{App, AppResult};

/// The shard of `collection` that holds `tenant`'s objects.
///
/// # Errors
/// [`ObjectError::Shard`] in the wire's words.
pub(crate) fn locate(collection: &Collection, tenant: Option<&str>) -> Result<At, ObjectError> {
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
    Ok(At { collection: collection.id, shard: shard.id })
}

/// As [`locate`], and refuses a shard that takes no writes.
///
/// # Errors
/// [`ObjectError::Shard`], or [`ObjectError::Invalid`] for a shard that is read-only.
pub(crate) fn locate_to_write(collection: &Collection, tenant: Option<&str>) -> Result<At, ObjectError> {
    let at = locate(collection, tenant)?;
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

/// Creates and activates the tenants that drafts name, in collections that ask for it.
///
/// # Errors
/// What a change of the schema ends with.
pub(crate) async fn open_tenants(app: &App, drafts: &[Draft]) -> AppResult<()> {
    let catalog = app.catalog()?;
    let mut named: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for draft in drafts.iter().filter(|draft| draft.unreadable.is_none()) {
        if let Some(tenant) = &draft.tenant {
            named.entry(&draft.collection).or_default().insert(tenant);
        }
    }
    for (collection, tenants) in named {
        if let Some(collection) = catalog.find(collection) {
            open(app, collection, &tenants, true).await?;
        }
    }
    Ok(())
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
    match tenant {
        None => Ok(collection.clone()),
        Some(tenant) => open(app, collection, &BTreeSet::from([tenant]), false).await,
    }
}

async fn open(
    app: &App,
    collection: &Arc<Collection>,
    tenants: &BTreeSet<&str>,
    create: bool,
) -> AppResult<Arc<Collection>> {
    let tenancy = &collection.multi_tenancy;
    if !tenancy.enabled || !(tenancy.auto_activation || (tenancy.auto_creation && create)) {
        return Ok(collection.clone());
    }
    let mut changed = None;
    for tenant in tenants.iter().filter(|tenant| is_tenant_name(tenant)) {
        match collection.shards.get(*tenant) {
            Some(shard) if shard.status == TenantStatus::Cold && tenancy.auto_activation => {
                let new = changed.get_or_insert_with(|| (**collection).clone());
                if let Some(shard) = new.shards.get_mut(*tenant) {
                    shard.status = TenantStatus::Hot;
                }
            }
            None if tenancy.auto_creation && create => {
                let new = changed.get_or_insert_with(|| (**collection).clone());
                let id = ShardId(new.next_shard_id);
                new.next_shard_id += 1;
                let shard = Shard { id, status: TenantStatus::Hot, read_only: false };
                new.shards.insert((*tenant).to_owned(), shard);
            }
            _ => {}
        }
    }
    match changed {
        None => Ok(collection.clone()),
        Some(new) => app.update_collection(collection, new).await,
    }
}

fn is_tenant_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}
