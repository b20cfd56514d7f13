//! TenantsGet: which tenants a collection has, and whether they are active.

use std::sync::Arc;
use std::time::Instant;

use azimuth_engine::schema::{Shard, TenantStatus};
use tonic::Status;

use super::search::find_collection;
use super::{status, took};
use crate::app::App;
use crate::auth::{Access, Principal};
use crate::pb::weaviate::tenants_get_request::Params;
use crate::pb::weaviate::{Tenant, TenantActivityStatus, TenantsGetReply, TenantsGetRequest};

/// Answers a request; without names all tenants, unknown names left out.
pub(super) fn tenants_get(
    app: &Arc<App>,
    principal: &Principal,
    request: TenantsGetRequest,
) -> Result<TenantsGetReply, Status> {
    let start = Instant::now();
    let refuse = |why: &str| Status::unknown(format!("get tenants: {why}"));
    if request.collection.is_empty() {
        return Err(refuse("missing collection "));
    }
    let resource = format!("schema/collections/{}/shards/#", request.collection);
    app.auth.authorize(principal, Access::Read, &resource).map_err(status)?;
    let names = match request.params {
        Some(Params::Names(names)) if names.values.is_empty() => {
            return Err(refuse("must specify at least one tenant name"));
        }
        Some(Params::Names(names)) => Some(names.values),
        None => None,
    };
    let failed = "failed to execute query: could not get tenants: could not get tenants:";
    let catalog = app.catalog().map_err(status)?;
    let Ok(collection) = find_collection(&catalog, &request.collection) else {
        return Err(refuse(&format!("{failed} class not found")));
    };
    if !collection.multi_tenancy.enabled {
        return Err(refuse(&format!("{failed} multi-tenancy is not enabled for class {:?}", collection.name)));
    }
    let wanted = |name: &String| names.as_ref().is_none_or(|names| names.contains(name));
    let tenants = collection.shards.iter().filter(|(name, _)| wanted(name));
    Ok(TenantsGetReply { tenants: tenants.map(|(name, shard)| tenant(name, shard)).collect(), took: took(start) })
}

fn tenant(name: &str, shard: &Shard) -> Tenant {
    let activity = match shard.status {
        TenantStatus::Hot => TenantActivityStatus::Hot,
        TenantStatus::Cold => TenantActivityStatus::Cold,
        TenantStatus::Frozen => TenantActivityStatus::Frozen,
    };
    Tenant { name: name.to_owned(), activity_status: activity.into() }
}
