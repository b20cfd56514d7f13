//! `/schema/{class}/tenants`: creation, list, status and deletion of tenants.

use std::collections::HashSet;
use std::sync::Arc;

use azimuth_engine::interrupt;
use azimuth_engine::schema::{Shard, ShardTable, TenantStatus};
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::message::{Reply, RestRequest};
use super::{decode, not_one_of};
use crate::app::App;
use crate::app::tenants::NamedTenant;
use crate::auth::{Access, Resource};
use crate::request_memory;
use crate::weaviate::tenants::{READING, refusal, word};
use crate::weaviate::tree::Tree;

/// The words that a status can be, in the order of the refusal of another one.
const STATUSES: [&str; 10] =
    ["ACTIVE", "INACTIVE", "OFFLOADED", "OFFLOADING", "ONLOADING", "HOT", "COLD", "FROZEN", "FREEZING", "UNFREEZING"];
/// Tenants whose status one request may change.
const UPDATES_MAX: usize = 100;
/// Length of the name of a tenant.
const NAME_BYTES_MAX: usize = 64;
/// Bytes of an answer for each tenant, its name aside.
const ANSWER_BYTES: usize = 256;

/// Answers a request on the tenants of a class, or on one of them.
pub(super) async fn handle(app: &Arc<App>, req: &RestRequest) -> Reply {
    let caller = match req.caller() {
        Ok(caller) => caller,
        Err(reply) => return reply,
    };
    let class = app.resolve(caller, req.segments.get(1).map_or("", String::as_str));
    let answer = match (&req.method, req.segments.get(3)) {
        (&Method::GET, None) => list(app, req, &class).await,
        (&Method::POST, None) => create(app, req, &class).await,
        (&Method::PUT, None) => update(app, req, &class).await,
        (&Method::DELETE, None) => delete(app, req, &class).await,
        // The body of an answer to HEAD is left out by the caller.
        (_, Some(name)) => get(app, req, &class, name),
        _ => Ok(Reply::empty(StatusCode::METHOD_NOT_ALLOWED)),
    };
    answer.unwrap_or_else(|reply| reply)
}

async fn list(app: &Arc<App>, req: &RestRequest, class: &str) -> Result<Reply, Reply> {
    let tenants = read_tenants(app, req, class)?;
    let list = move || {
        let mut list = Vec::with_capacity(tenants.len());
        for shard in tenants.iter() {
            interrupt::check()?;
            request_memory::charge(ANSWER_BYTES + shard.name.len())?;
            list.push(shown(shard).into());
        }
        Ok(Tree::List(list))
    };
    Ok(Reply::ok(app.compute(list).await?))
}

fn get(app: &Arc<App>, req: &RestRequest, class: &str, name: &str) -> Result<Reply, Reply> {
    let tenants = read_tenants(app, req, class)?;
    Ok(tenants.get(name).map_or_else(|| Reply::empty(StatusCode::NOT_FOUND), |shard| Reply::ok(shown(shard))))
}

fn read_tenants(app: &App, req: &RestRequest, class: &str) -> Result<ShardTable, Reply> {
    let permit = app.permit(req.caller()?, Access::Read, Resource::collection(class))?;
    Ok(app.tenants(&permit, class).map_err(|error| refusal(error, READING))?)
}

async fn create(app: &Arc<App>, req: &RestRequest, class: &str) -> Result<Reply, Reply> {
    let given = read(req)?;
    let permit = app.permit(req.caller()?, Access::Create, Resource::shards(class, None))?;
    check_names(&given)?;
    let tenants = given.iter().map(|tenant| tenant.named(Some(TenantStatus::Hot))).collect::<Result<_, _>>()?;
    app.create_tenants(&permit, class, tenants)
        .await
        .map_err(|error| refusal(error, "updating schema: TYPE_ADD_TENANT"))?;
    Ok(echo(&given))
}

async fn update(app: &Arc<App>, req: &RestRequest, class: &str) -> Result<Reply, Reply> {
    let given = read(req)?;
    let permit = app.permit(req.caller()?, Access::Update, Resource::shards(class, None))?;
    if given.len() > UPDATES_MAX {
        return Err(refuse(format!(
            "maximum number of tenants allowed to be updated simultaneously is {UPDATES_MAX}. Please reduce the number of \
             tenants in your request and try again"
        )));
    }
    check_names(&given)?;
    let tenants = given.iter().map(|tenant| tenant.named(None)).collect::<Result<_, _>>()?;
    app.update_tenants(&permit, class, tenants)
        .await
        .map_err(|error| refusal(error, "updating schema: TYPE_UPDATE_TENANT"))?;
    Ok(echo(&given))
}

async fn delete(app: &Arc<App>, req: &RestRequest, class: &str) -> Result<Reply, Reply> {
    let body = decode(req, "tenants", "[]string")?;
    let names = body.as_array().into_iter().flatten().map(|name| name.as_str().unwrap_or_default().to_owned());
    let names: Vec<String> = names.collect();
    let permit = app.permit(req.caller()?, Access::Delete, Resource::shards(class, None))?;
    if let Some(index) = names.iter().position(String::is_empty) {
        return Err(refuse(format!("empty tenant name at index {index}")));
    }
    let path = "updating schema: TYPE_DELETE_TENANT";
    app.delete_tenants(&permit, class, &names).await.map_err(|error| refusal(error, path))?;
    Ok(Reply::empty(StatusCode::OK))
}

fn refuse(text: impl AsRef<str>) -> Reply {
    Reply::error(StatusCode::UNPROCESSABLE_ENTITY, text.as_ref())
}

/// A tenant of a body.
struct Given {
    name: String,
    /// As it is echoed; `None` if none was given.
    status: Option<String>,
}

impl Given {
    /// The tenant with its status, `otherwise` if none was given.
    fn named(&self, otherwise: Option<TenantStatus>) -> Result<NamedTenant, Reply> {
        let status = match self.status.as_deref() {
            Some("HOT") => TenantStatus::Hot,
            Some("COLD") => TenantStatus::Cold,
            Some("FROZEN") => return Err(refuse("can't offload tenants, because offload-s3 module is not enabled")),
            None if let Some(otherwise) = otherwise => otherwise,
            other => {
                let (given, name) = (other.unwrap_or_default(), &self.name);
                return Err(refuse(format!("invalid activity status '{given}' for tenant \"{name}\"")));
            }
        };
        Ok(NamedTenant { name: self.name.clone(), status })
    }
}

/// The tenants of a body. Newer words for a status are read as the older ones.
fn read(req: &RestRequest) -> Result<Vec<Given>, Reply> {
    let body = decode(req, "body", "[]*models.Tenant")?;
    let mut tenants = Vec::new();
    for (index, tenant) in body.as_array().into_iter().flatten().enumerate() {
        if tenant.is_null() {
            return Err(refuse(format!("tenant at index {index} is null")));
        }
        let status = tenant["activityStatus"].as_str().filter(|status| !status.is_empty());
        if status.is_some_and(|status| !STATUSES.contains(&status)) {
            return Err(not_one_of("activityStatus in body", &STATUSES));
        }
        let status = status.map(|status| match status {
            "ACTIVE" => "HOT",
            "INACTIVE" => "COLD",
            "OFFLOADED" => "FROZEN",
            other => other,
        });
        let name = tenant["name"].as_str().unwrap_or_default().to_owned();
        tenants.push(Given { name, status: status.map(str::to_owned) });
    }
    Ok(tenants)
}

fn check_names(tenants: &[Given]) -> Result<(), Reply> {
    let mut seen = HashSet::with_capacity(tenants.len());
    for (index, Given { name, .. }) in tenants.iter().enumerate() {
        if name.is_empty() {
            return Err(refuse(format!("tenant name at index {index}: empty tenant name")));
        }
        if !is_name(name) {
            return Err(refuse(format!(
                "tenant name at index {index}:  '{name}' is not a valid tenant name. should only contain alphanumeric \
                 characters (a-z, A-Z, 0-9), underscore (_), and hyphen (-), with a length between 1 and {NAME_BYTES_MAX} \
                 characters"
            )));
        }
        if !seen.insert(name) {
            return Err(refuse(format!("tenant name {name} existed multiple times")));
        }
    }
    Ok(())
}

fn is_name(name: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// The tenants of a request as they were understood; a change is answered by them, not by the present state.
fn echo(given: &[Given]) -> Reply {
    let list = given.iter().map(|tenant| {
        let mut shown = json!({"name": tenant.name});
        if let Some(status) = &tenant.status {
            shown["activityStatus"] = Value::from(status.as_str());
        }
        shown
    });
    Reply::ok(Value::Array(list.collect()))
}

fn shown(shard: &Shard) -> Value {
    json!({"activityStatus": word(shard.status), "name": shard.name})
}
