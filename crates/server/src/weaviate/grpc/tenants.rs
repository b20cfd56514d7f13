//! TenantsGet: which tenants a collection has, and whether they are active.

use std::sync::Arc;
use std::time::Instant;

use azimuth_engine::schema::{Shard, TenantStatus};
use azimuth_engine::{Error, interrupt};
use tonic::Status;

use super::{status, took};
use crate::app::{App, AppError};
use crate::auth::{Access, Caller, Resource};
use crate::pb::weaviate::tenants_get_request::Params;
use crate::pb::weaviate::{Tenant, TenantActivityStatus, TenantsGetReply, TenantsGetRequest};
use crate::request_memory;
use crate::weaviate::tenants::{READING, refusal};

/// Bytes of a reply for each tenant, its name aside.
const REPLY_BYTES: usize = 64;

/// Answers a request; without names all tenants, unknown names left out.
pub(super) async fn tenants_get(
    app: &Arc<App>,
    caller: &Caller,
    request: TenantsGetRequest,
) -> Result<TenantsGetReply, Status> {
    let start = Instant::now();
    let refuse = |why: &str| Status::unknown(format!("get tenants: {why}"));
    if request.collection.is_empty() {
        return Err(refuse("missing collection "));
    }
    let class = app.resolve(caller, &request.collection);
    let permit = app.permit(caller, Access::Read, Resource::collection(&class)).map_err(status)?;
    let names = match request.params {
        Some(Params::Names(names)) if names.values.is_empty() => {
            return Err(refuse("must specify at least one tenant name"));
        }
        Some(Params::Names(names)) => Some(names.values),
        None => None,
    };
    let known = app.tenants(&permit, &class).map_err(|error| match refusal(error, READING) {
        AppError::Invalid(why) => refuse(&why),
        other => status(other),
    })?;
    let list = move || {
        let mut tenants = Vec::new();
        let mut add = |shard: &Shard| {
            interrupt::check()?;
            request_memory::charge(REPLY_BYTES + shard.name.len())?;
            tenants.push(tenant(shard));
            Ok::<_, Error>(())
        };
        match names {
            Some(names) => names.iter().filter_map(|name| known.get(name)).try_for_each(|shard| add(shard))?,
            None => known.iter().try_for_each(|shard| add(shard))?,
        }
        Ok(tenants)
    };
    let tenants = app.compute(list).await.map_err(status)?;
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
