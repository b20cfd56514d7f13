//! Nodes, cluster statistics and shards, of a cluster of one node.

use std::sync::Arc;

use azimuth_engine::ids::ShardKey;
use azimuth_engine::meta::Catalog;
use azimuth_engine::schema::{Collection, Shard, TenantStatus};
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::message::{Reply, RestRequest};
use super::root::WEAVIATE_VERSION;
use super::{decode, unsupported};
use crate::app::{App, AppResult};
use crate::auth::{Access, Permit, Resource};

/// `/nodes` and `/nodes/{class}`.
pub(super) async fn nodes(app: &Arc<App>, req: &RestRequest) -> Reply {
    answer_nodes(app, req).await.unwrap_or_else(|reply| reply)
}

async fn answer_nodes(app: &Arc<App>, req: &RestRequest) -> Result<Reply, Reply> {
    let verbose = match req.query.get("output").map_or("", String::as_str) {
        "" | "minimal" => false,
        "verbose" => true,
        other => {
            let message = format!("invalid output: {other:?}, possible values are: \"minimal\", \"verbose\"");
            return Err(Reply::error(StatusCode::UNPROCESSABLE_ENTITY, &message));
        }
    };
    let catalog = app.names(req.caller()?)?;
    let caller = req.caller()?;
    let class = req.segments.get(1).map(|name| app.resolve(caller, name));
    let resource = match (&class, verbose) {
        (_, false) => Resource::Nodes,
        (class, true) => Resource::NodeShards(class.as_deref().map(Into::into)),
    };
    let permit = app.permit(req.caller()?, Access::Read, resource)?;
    let collections = match &class {
        None => catalog.collections(),
        Some(name) => match catalog.find(name) {
            Some(collection) => vec![collection.clone()],
            None => return Err(Reply::error(StatusCode::NOT_FOUND, &format!("class \"{name}\" not found"))),
        },
    };
    let mut node = json!({
        "name": app.settings.hostname,
        "status": "HEALTHY",
        "version": WEAVIATE_VERSION,
        "operationalMode": app.settings.mode.name(),
        "batchStats": {"queueLength": 0, "ratePerSecond": 0},
        "shards": null,
    });
    if app.settings.async_indexing
        && let Some(stats) = node["batchStats"].as_object_mut()
    {
        // Clients take a missing queue as the sign of asynchronous indexing.
        stats.remove("queueLength");
    }
    if verbose {
        let wanted = req.query.get("shardName").filter(|name| !name.is_empty());
        let (shards, objects) = shards_of(app, &permit, &catalog, &collections, wanted).await?;
        node["stats"] = json!({"objectCount": objects, "shardCount": shards.len()});
        if !shards.is_empty() {
            node["shards"] = Value::Array(shards);
        }
    }
    Ok(Reply::ok(json!({"nodes": [node]})))
}

/// All shards that are loaded, and how many objects they have together.
async fn shards_of(
    app: &Arc<App>,
    permit: &Permit,
    catalog: &Catalog,
    collections: &[Arc<Collection>],
    wanted: Option<&String>,
) -> AppResult<(Vec<Value>, u64)> {
    let (mut shards, mut objects) = (Vec::new(), 0);
    for collection in collections {
        for shard in catalog.shards(collection.id).iter().filter(|shard| is_shown(shard, wanted)) {
            let at = ShardKey { collection: collection.id, shard: shard.id };
            let status = app.shard_status(permit, collection, &shard.name, at).await?;
            objects += status.objects;
            let mut shown = json!({
                "name": shard.name,
                "class": collection.name,
                "objectCount": status.objects,
                "vectorIndexingStatus": if status.vector_queue == 0 { "READY" } else { "INDEXING" },
                "vectorQueueLength": status.vector_queue,
                "compressed": false,
                "loaded": true,
                "asyncReplicationStatus": [],
                "numberOfReplicas": 1,
                "replicationFactor": collection.replication.factor,
            });
            let memory = status.index_memory;
            // Clients pass over what they do not know; small shards look as they always did.
            if memory.links_bytes > 0 {
                let parts = memory.parts().into_iter().map(|(part, bytes)| (part.to_owned(), Value::from(bytes)));
                shown["vectorIndexBytes"] = Value::Object(parts.collect());
            }
            shards.push(shown);
        }
    }
    Ok((shards, objects))
}

/// Whether a listing shows a shard: an active one, or the one of that name.
fn is_shown(shard: &Shard, wanted: Option<&String>) -> bool {
    shard.status == TenantStatus::Hot && wanted.is_none_or(|wanted| *wanted == shard.name)
}

/// `/cluster/statistics`.
pub(super) fn statistics(app: &Arc<App>, req: &RestRequest) -> Reply {
    let permit = req.caller().and_then(|caller| Ok(app.permit(caller, Access::Read, Resource::Cluster)?));
    if let Err(reply) = permit {
        return reply;
    }
    let ready = app.is_ready();
    Reply::ok(json!({
        "statistics": [{
            "name": app.settings.hostname,
            "status": "HEALTHY",
            "bootstrapped": ready,
            "dbLoaded": ready,
            "open": true,
            "ready": ready,
            "isVoter": true,
            "leaderId": app.settings.hostname,
            "candidates": {},
        }],
        "synchronized": ready,
    }))
}

/// `/schema/{class}/shards` and one shard of it.
pub(super) async fn shards(app: &Arc<App>, req: &RestRequest) -> Reply {
    let answer = if req.method == Method::GET { list_shards(app, req).await } else { update_shard(app, req).await };
    answer.unwrap_or_else(|reply| reply)
}

async fn list_shards(app: &Arc<App>, req: &RestRequest) -> Result<Reply, Reply> {
    let class = app.resolve(req.caller()?, req.segments.get(1).map_or("", String::as_str));
    let tenant = req.query.get("tenant").filter(|tenant| !tenant.is_empty());
    let resource = Resource::shards(&class, tenant.map(String::as_str));
    let permit = app.permit(req.caller()?, Access::Read, resource)?;
    let catalog = app.names(req.caller()?)?;
    let Some(collection) = catalog.find(&class) else {
        let message = format!("cannot get shards status for a non-existing index for {class}: not found");
        return Err(Reply::error(StatusCode::NOT_FOUND, &message));
    };
    let mut list = Vec::new();
    for shard in catalog.shards(collection.id).iter().filter(|shard| is_shown(shard, tenant)) {
        let at = ShardKey { collection: collection.id, shard: shard.id };
        let status = app.shard_status(&permit, collection, &shard.name, at).await?;
        let shown = if shard.read_only { "READONLY" } else { "READY" };
        list.push(json!({"name": shard.name, "status": shown, "vectorQueueSize": status.vector_queue}));
    }
    Ok(Reply::ok(Value::Array(list)))
}

async fn update_shard(app: &Arc<App>, req: &RestRequest) -> Result<Reply, Reply> {
    let class = app.resolve(req.caller()?, req.segments.get(1).map_or("", String::as_str));
    let shard = req.segments.get(3).map_or("", String::as_str);
    let body = decode(req, "body", "models.ShardStatus")?;
    let permit = app.permit(req.caller()?, Access::Update, Resource::shards(&class, Some(shard)))?;
    let given = body["status"].as_str().unwrap_or_default();
    let catalog = app.names(req.caller()?)?;
    let Some(collection) = catalog.find(&class) else {
        let message = format!(
            "updating db: TYPE_UPDATE_SHARD_STATUS: cannot update shard status to a non-existing index for {class}: not \
             found"
        );
        return Err(Reply::error(StatusCode::NOT_FOUND, &message));
    };
    let read_only = match given.to_uppercase().as_str() {
        "READONLY" => true,
        "READY" => false,
        _ => {
            let message = format!("'{given}' is not a valid shard status");
            return Err(Reply::error(StatusCode::UNPROCESSABLE_ENTITY, &message));
        }
    };
    let no_shard = || unsupported::no_shard(&class, shard);
    let known = catalog.shards(collection.id).get(shard).ok_or_else(no_shard)?;
    if known.read_only != read_only {
        app.set_read_only(&permit, collection, shard, read_only).await?.ok_or_else(no_shard)?;
    }
    Ok(Reply::ok(json!({"status": given})))
}
