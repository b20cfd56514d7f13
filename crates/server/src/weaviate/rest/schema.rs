//! `/schema`: collections and their properties.

use std::sync::Arc;

use azimuth_engine::meta::Catalog;
use azimuth_engine::schema::Collection;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::message::{Reply, RestRequest};
use super::{decode, missing, not_one_of};
use crate::app::schema::names;
use crate::app::{App, AppError, Change};
use crate::auth::{Access, Permit, Resource};
use crate::request_memory;
use crate::weaviate::schema::{decode_class, decode_new_property, render_class, render_property, update_class};
use crate::weaviate::texts;
use crate::weaviate::weight;

/// All tokenizations, in the order of error texts.
pub(super) const TOKENIZATIONS: [&str; 9] =
    ["word", "lowercase", "whitespace", "field", "trigram", "gse", "kagome_kr", "kagome_ja", "gse_ch"];
const DELETION_STRATEGIES: [&str; 3] = ["NoAutomatedResolution", "DeleteOnConflict", "TimeBasedResolution"];

/// Inverted indexes by name; the last two are one.
pub(super) const INDEXES: [&str; 4] = ["filterable", "searchable", "rangeFilters", "rangeable"];

/// Name of the body of a class in error texts.
const CLASS: &str = "objectClass";

/// Answers a request on a class, on all classes, or on the properties of one.
pub(super) async fn handle(app: &Arc<App>, req: &RestRequest) -> Reply {
    let name = names::upper_first(req.segments.get(1).map_or("", String::as_str));
    let properties = req.segments.len() == 3;
    let answer = match (&req.method, req.segments.len()) {
        (&Method::GET, 1) => list(app, req),
        (&Method::POST, 1) => create(app, req).await,
        (&Method::GET, 2) => get(app, req),
        (&Method::PUT, 2) => update(app, req, &name).await,
        (&Method::DELETE, 2) => delete(app, req, &name).await,
        (&Method::POST, 3) if properties => add_property(app, req, &name).await,
        (&Method::DELETE, 6) => drop_index(app, req, &name).await,
        _ => Ok(Reply::empty(StatusCode::METHOD_NOT_ALLOWED)),
    };
    answer.unwrap_or_else(|reply| reply)
}

/// Refusals of changes carry `allowed` beside the error.
fn refused(error: AppError) -> Reply {
    if !error.is_invalid() {
        return error.into();
    }
    let body = json!({"allowed": null, "error": [{"message": texts::app(&error)}]});
    Reply { status: StatusCode::UNPROCESSABLE_ENTITY, body: Some(body.into()) }
}

/// A change ended without the collection that it should have returned.
fn gone() -> Reply {
    AppError::Internal("a change of the schema left no collection".to_owned()).into()
}

/// The permit for the definition of a class.
pub(super) fn permit(app: &App, req: &RestRequest, access: Access, class: &str) -> Result<Permit, Reply> {
    Ok(app.permit(req.caller()?, access, Resource::collection(class))?)
}

fn list(app: &Arc<App>, req: &RestRequest) -> Result<Reply, Reply> {
    app.names(req.caller()?)?;
    let Ok(permit) = app.permit(req.caller()?, Access::Read, Resource::Collection(None)) else {
        return Ok(Reply::ok(json!({"classes": null})));
    };
    let mut classes = Vec::new();
    for collection in app.collections(&permit)? {
        let class = render_class(&collection);
        request_memory::charge(weight::json(&class)).map_err(AppError::from)?;
        classes.push(class);
    }
    Ok(Reply::ok(json!({"classes": classes})))
}

fn get(app: &Arc<App>, req: &RestRequest) -> Result<Reply, Reply> {
    let name = app.resolve(req.caller()?, &req.segments[1]);
    let permit = permit(app, req, Access::Read, &name)?;
    let found = app.collection(&permit, &name)?;
    Ok(found.map_or_else(|| Reply::empty(StatusCode::NOT_FOUND), |collection| Reply::ok(render_class(&collection))))
}

async fn create(app: &Arc<App>, req: &RestRequest) -> Result<Reply, Reply> {
    let class = decode(req, CLASS, "models.Class")?;
    check_words(&class)?;
    let name = names::upper_first(class["class"].as_str().unwrap_or_default());
    let permit = permit(app, req, Access::Create, &name)?;
    let change = |catalog: &Catalog, _: Option<&Arc<Collection>>| {
        decode_class(&app.settings, catalog, &class).map(Change::Create)
    };
    let created = app.change_collection(&permit, &name, change).await.map_err(refused)?.ok_or_else(gone)?;
    Ok(Reply::ok(render_class(&created)))
}

async fn update(app: &Arc<App>, req: &RestRequest, name: &str) -> Result<Reply, Reply> {
    let class = decode(req, CLASS, "models.Class")?;
    check_words(&class)?;
    let permit = permit(app, req, Access::Update, name)?;
    let change = |catalog: &Catalog, old: Option<&Arc<Collection>>| {
        let old = old.ok_or_else(|| Reply::empty(StatusCode::NOT_FOUND))?;
        update_class(&app.settings, catalog, old, &class).map(Change::Update).map_err(refused)
    };
    let updated = app.change_collection(&permit, name, change).await?.ok_or_else(gone)?;
    let mut shown = Collection::clone(&updated);
    let given = class["properties"].as_array().map_or(&[][..], Vec::as_slice);
    let place = |name: &str| {
        given.iter().position(|value| value["name"].as_str().map(names::lower_first).as_deref() == Some(name))
    };
    // The answer keeps the order of the request, though what is stored is sorted by name.
    shown.properties.iter_mut().for_each(|list| list.sort_by_key(|property| place(&property.name)));
    Ok(Reply::ok(render_class(&shown)))
}

/// Deleting what is not there succeeds.
async fn delete(app: &Arc<App>, req: &RestRequest, name: &str) -> Result<Reply, Reply> {
    let permit = permit(app, req, Access::Delete, name)?;
    app.delete_collection(&permit, name).await?;
    Ok(Reply::empty(StatusCode::OK))
}

async fn add_property(app: &Arc<App>, req: &RestRequest, name: &str) -> Result<Reply, Reply> {
    let value = decode(req, "body", "models.Property")?;
    check_tokenization(&value, "")?;
    let permit = permit(app, req, Access::Update, name)?;
    let mut shown = Value::Null;
    let change = |catalog: &Catalog, old: Option<&Arc<Collection>>| {
        let old = old.ok_or_else(|| AppError::Invalid(format!("class \"{name}\": not found")))?;
        let property = decode_new_property(catalog, old, &value)?;
        shown = render_property(&property);
        let mut new = Collection::clone(old);
        new.properties.get_or_insert_with(Vec::new).push(property);
        Ok(Change::Update(new))
    };
    app.change_collection(&permit, name, change).await.map_err(refused)?;
    Ok(Reply::ok(shown))
}

/// Takes an inverted index away from a property. What is stored stays; filters and keyword search refuse the property.
async fn drop_index(app: &Arc<App>, req: &RestRequest, name: &str) -> Result<Reply, Reply> {
    let (property_name, index) = (req.segments[3].as_str(), req.segments[5].as_str());
    if !INDEXES.contains(&index) {
        return Err(not_one_of("indexName in path", &INDEXES));
    }
    let permit = permit(app, req, Access::Update, name)?;
    let change = |_: &Catalog, old: Option<&Arc<Collection>>| {
        let old = old.ok_or_else(|| AppError::Invalid(format!("class \"{name}\": not found")))?;
        let mut new = Collection::clone(old);
        let property = new.properties.iter_mut().flatten().find(|property| property.name == property_name);
        let property =
            property.ok_or_else(|| AppError::Invalid(format!("property name {property_name}: not found")))?;
        let flag = match index {
            "filterable" => &mut property.filterable,
            "searchable" => &mut property.searchable,
            _ => &mut property.range_filterable,
        };
        Ok::<_, AppError>(if std::mem::take(flag) { Change::Update(new) } else { Change::Nothing })
    };
    app.change_collection(&permit, name, change).await?;
    Ok(Reply::empty(StatusCode::OK))
}

/// Refuses words that the model of a class does not list, before anything else is looked at.
fn check_words(class: &Value) -> Result<(), Reply> {
    for (at, property) in class["properties"].as_array().into_iter().flatten().enumerate() {
        check_tokenization(property, &format!("properties.{at}."))?;
    }
    let strategy = class["replicationConfig"]["deletionStrategy"].as_str().unwrap_or_default();
    if !strategy.is_empty() && !DELETION_STRATEGIES.contains(&strategy) {
        return Err(not_one_of("replicationConfig.deletionStrategy in body", &DELETION_STRATEGIES));
    }
    for (name, vector) in class["vectorConfig"].as_object().into_iter().flatten() {
        if vector.as_object().is_none_or(serde_json::Map::is_empty) {
            return Err(missing(&format!("vectorConfig.{name}")));
        }
    }
    Ok(())
}

fn check_tokenization(property: &Value, path: &str) -> Result<(), Reply> {
    let given = property["tokenization"].as_str().unwrap_or_default();
    if !given.is_empty() && !TOKENIZATIONS.contains(&given) {
        return Err(not_one_of(&format!("{path}tokenization in body"), &TOKENIZATIONS));
    }
    for (at, nested) in property["nestedProperties"].as_array().into_iter().flatten().enumerate() {
        check_tokenization(nested, &format!("{path}nestedProperties.{at}."))?;
    }
    Ok(())
}
