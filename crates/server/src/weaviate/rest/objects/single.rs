//! GET, HEAD and DELETE of one object, with its class or (deprecated) without.

use std::sync::Arc;

use azimuth_engine::ids::{ShardKey, VectorId};
use azimuth_engine::object::Object;
use azimuth_engine::query::{Hit, Include, Projection};
use azimuth_engine::schema::Collection;
use http::StatusCode;
use serde_json::Value;
use uuid::Uuid;

use super::answer::{Words, refuse};
use super::request::path_id;
use crate::app::objects::{self, shard};
use crate::app::{App, AppError};
use crate::auth::{Access, Permit, Resource};
use crate::request_memory;
use crate::weaviate::objects::render;
use crate::weaviate::rest::message::{Reply, RestRequest};
use crate::weaviate::tree::Tree;
use crate::weaviate::weight;

/// The name of the collection of a path.
///
/// # Errors
/// 401
fn resolved(app: &App, req: &RestRequest, class: Option<&str>) -> Result<Option<String>, Reply> {
    let caller = req.caller()?;
    Ok(class.map(|class| app.resolve(caller, class)))
}

/// The collection of exactly that name.
///
/// # Errors
/// 404 when there is none.
pub(super) fn collection(app: &App, req: &RestRequest, class: &str) -> Result<Arc<Collection>, Reply> {
    let found = app.names(req.caller()?)?.find(class).cloned();
    found.ok_or_else(|| Reply::empty(StatusCode::NOT_FOUND))
}

/// An object's place: its collection and shard.
pub(super) type Place = (Arc<Collection>, ShardKey);

/// Where an object with that id is, in any collection without tenants (or, with one, in it).
pub(super) async fn anywhere(
    app: &App,
    req: &RestRequest,
    permit: &Permit,
    id: Uuid,
    tenant: Option<&str>,
) -> Result<Option<Place>, Reply> {
    let catalog = app.names(req.caller()?)?;
    let mut places: Vec<Place> = (catalog.collections().into_iter())
        .filter_map(|collection| shard::route(&catalog, &collection, tenant, id).ok().map(|at| (collection, at)))
        .collect();
    let shards: Vec<ShardKey> = places.iter().map(|(_, at)| *at).collect();
    let found = app.find_shard(permit, &shards, id).await?;
    Ok(found.map(|position| places.swap_remove(position)))
}

/// The place that a request names.
///
/// # Errors
/// 404, or what is wrong with its tenant, `prefix` before it.
async fn place(
    app: &App,
    req: &RestRequest,
    permit: &Permit,
    class: Option<&str>,
    id: Uuid,
    prefix: fn(&str) -> String,
) -> Result<Place, Reply> {
    let tenant = req.query.get("tenant").map(String::as_str).filter(|tenant| !tenant.is_empty());
    let Some(class) = class else {
        return anywhere(app, req, permit, id, tenant).await?.ok_or_else(|| Reply::empty(StatusCode::NOT_FOUND));
    };
    let collection = collection(app, req, class)?;
    let catalog = shard::activate(app, permit, &collection, tenant).await?;
    let prefix = prefix(&collection.name.to_lowercase());
    let words = Words { invalid: "", shard: &prefix, no_tenant: &prefix };
    let at = shard::route(&catalog, &collection, tenant, id).map_err(|error| refuse(error.into(), &words))?;
    Ok((collection, at))
}

fn permit(app: &App, req: &RestRequest, access: Access, class: Option<&str>, id: Uuid) -> Result<Permit, Reply> {
    let tenant = req.query.get("tenant").map(String::as_str).filter(|tenant| !tenant.is_empty());
    Ok(app.permit(req.caller()?, access, Resource::object(class, tenant, id))?)
}

/// GET of an object.
pub(super) async fn get(app: &Arc<App>, req: &RestRequest, class: Option<&str>, id: &str) -> Result<Reply, Reply> {
    let id = path_id(id)?;
    check_include(req)?;
    let given = |name: &str| req.query.get(name).is_some_and(|value| !value.is_empty());
    if given("node_name") && given("consistency_level") {
        let text = "consistency_level and node_name are mutually exclusive";
        return Err(Reply::error(StatusCode::BAD_REQUEST, text));
    }
    let class = resolved(app, req, class)?;
    let class = class.as_deref();
    let permit = permit(app, req, Access::Read, class, id)?;
    let found = place(app, req, &permit, class, id, reading).await;
    let (collection, at) = found.map_err(|refusal| match refusal.status {
        StatusCode::NOT_FOUND if class.is_none() && req.query.get("include").is_some_and(|words| !words.is_empty()) => {
            Reply::error(StatusCode::BAD_REQUEST, &format!("no object with id '{id}'"))
        }
        _ => refusal,
    })?;
    let include = include(req, &collection);
    let stored = app.object(&permit, &collection, at, id, include).await?;
    let stored = stored.ok_or_else(|| Reply::empty(StatusCode::NOT_FOUND))?;
    request_memory::charge(weight::object(&stored.object)).map_err(AppError::from)?;
    let tenant = req.query.get("tenant").filter(|_| collection.multi_tenancy.enabled);
    Ok(Reply::ok(shown(&collection, stored.object, tenant.map(String::as_str))))
}

fn reading(index: &str) -> String {
    format!("repo: object by id: search index {index}: determine shard: ")
}

/// Checks the words of `include`.
///
/// # Errors
/// 400 for an unknown one.
pub(super) fn check_include(req: &RestRequest) -> Result<(), Reply> {
    let words = req.query.get("include").filter(|include| !include.is_empty());
    match words.and_then(|words| words.split(',').find(|word| !matches!(*word, "vector" | "classification"))) {
        None => Ok(()),
        Some(word) => {
            let text = format!("unrecognized property '{word}' in ?include list");
            Err(Reply::error(StatusCode::BAD_REQUEST, &text))
        }
    }
}

/// What `include` asks for; vectors only.
pub(super) fn include(req: &RestRequest, collection: &Collection) -> Include {
    let wanted = req.query.get("include").is_some_and(|include| include.split(',').any(|part| part == "vector"));
    let vectors: Vec<VectorId> =
        if wanted { collection.vectors.iter().map(|(_, config)| config.id).collect() } else { Vec::new() };
    Include { properties: Projection::All, vectors, ..Include::default() }
}

/// The objects of hits as reads show them. Each hit is dropped as soon as its object was made.
///
/// # Errors
/// There is no memory for them.
pub(super) fn all_shown(
    collection: &Collection,
    hits: impl IntoIterator<Item = Hit>,
) -> azimuth_engine::Result<Vec<Tree>> {
    let shown = |hit: Hit| {
        request_memory::charge(weight::object(&hit.object))?;
        Ok(shown(collection, hit.object, None))
    };
    hits.into_iter().map(shown).collect()
}

/// An object as reads show it.
fn shown(collection: &Collection, object: Object, tenant: Option<&str>) -> Tree {
    let mut members = render::head(collection, &object);
    members.insert("properties".to_owned(), render::properties(&object.properties, true).into());
    members.insert("vectorWeights".to_owned(), Tree::NULL);
    render::put_vectors(&mut members, collection, object.vectors);
    if let Some(tenant) = tenant {
        members.insert("tenant".to_owned(), Value::from(tenant).into());
    }
    members.into()
}

/// HEAD of an object.
pub(super) async fn head(app: &Arc<App>, req: &RestRequest, class: Option<&str>, id: &str) -> Result<Reply, Reply> {
    let id = path_id(id)?;
    let class = resolved(app, req, class)?;
    let permit = permit(app, req, Access::Read, class.as_deref(), id)?;
    let (_, at) = place(app, req, &permit, class.as_deref(), id, reading).await?;
    let there = app.exists(&permit, at, id).await?;
    Ok(Reply::empty(if there { StatusCode::NO_CONTENT } else { StatusCode::NOT_FOUND }))
}

/// DELETE of an object: with its class it is done even if there was nothing to delete.
pub(super) async fn delete(app: &Arc<App>, req: &RestRequest, class: Option<&str>, id: &str) -> Result<Reply, Reply> {
    let id = path_id(id)?;
    let class = resolved(app, req, class)?;
    let class = class.as_deref();
    let permit = permit(app, req, Access::Delete, class, id)?;
    let deleting =
        |index: &str| format!("delete object from vector repo: delete from index \"{index}\": determine shard: ");
    let (_, at) = place(app, req, &permit, class, id, deleting).await?;
    let gone = objects::delete_one(app, &permit, at, id).await?;
    Ok(Reply::empty(if gone || class.is_some() { StatusCode::NO_CONTENT } else { StatusCode::NOT_FOUND }))
}
