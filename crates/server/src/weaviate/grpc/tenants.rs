//! TenantsGet: which tenants a collection has, and whether they are active.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use azimuth_engine::schema::{Shard, TenantStatus};
use tonic::Status;

use super::search::find_collection;
use super::{status, took};
use crate::app::App;
use crate::auth::{Access, Caller, Resource};
use crate::pb::weaviate::tenants_get_request::Params;
use crate::pb::weaviate::{Tenant, TenantActivityStatus, TenantsGetReply, TenantsGetRequest};

/// Answers a request; without names all tenants, unknown names left out.
pub(super) fn tenants_get(
    app: &Arc<App>,
    caller: &Caller,
    request: TenantsGetRequest,
) -> Result<TenantsGetReply, Status> {
    let start = Instant::now();
    let refuse = |why: &str| Status::unknown(format!("get tenants: {why}"));
    if request.collection.is_empty() {
        return Err(refuse("missing collection "));
    }
    app.permit(caller, Access::Read, Resource::collection(&request.collection)).map_err(status)?;
    let names = match request.params {
        Some(Params::Names(names)) if names.values.is_empty() => {
            return Err(refuse("must specify at least one tenant name"));
        }
        Some(Params::Names(names)) => Some(names.values),
        None => None,
    };
    let failed = "failed to execute query: could not get tenants: could not get tenants:";
    let catalog = app.names(caller).map_err(status)?;
    let Ok(collection) = find_collection(&catalog, &request.collection) else {
        return Err(refuse(&format!("{failed} class not found")));
    };
    if !collection.multi_tenancy.enabled {
        return Err(refuse(&format!("{failed} multi-tenancy is not enabled for class {:?}", collection.name)));
    }
    let shards = catalog.shards(collection.id);
    let tenants = match names {
        // Each once, in the order of the names.
        Some(names) => {
            let names: BTreeSet<String> = names.into_iter().collect();
            names.iter().filter_map(|name| shards.get(name)).map(|shard| tenant(shard)).collect()
        }
        None => shards.iter().map(|shard| tenant(shard)).collect(),
    };
    Ok(TenantsGetReply { tenants, took: took(start) })
}

fn tenant(shard: &Shard) -> Tenant {
    let activity = match shard.status {
        TenantStatus::Hot => TenantActivityStatus::Hot,
        TenantStatus::Cold => TenantActivityStatus::Cold,
        TenantStatus::Frozen => TenantActivityStatus::Frozen,
    };
    Tenant { name: shard.name.clone(), activity_status: activity.into() }
}
