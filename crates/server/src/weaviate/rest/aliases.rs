//! `/aliases`: further names of collections.

use std::sync::Arc;

use azimuth_engine::schema::Alias;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::decode;
use super::message::{Reply, RestRequest};
use crate::app::aliases::{AliasError, resource};
use crate::app::schema::names::{NameError, upper_first};
use crate::app::{App, AppError};
use crate::auth::Access;
use crate::request_memory;
use crate::weaviate::texts;

/// Bytes of an answer for each alias, its names aside.
const ANSWER_BYTES: usize = 256;

/// Answers a request on all aliases, or on one.
pub(super) async fn handle(app: &Arc<App>, req: &RestRequest) -> Reply {
    let name = req.segments.get(1).map(|name| upper_first(name));
    let answer = match (&req.method, name) {
        (&Method::GET, None) => list(app, req),
        (&Method::POST, None) => create(app, req).await,
        (&Method::GET, Some(name)) => get(app, req, &name),
        (&Method::PUT, Some(name)) => update(app, req, name).await,
        (&Method::DELETE, Some(name)) => delete(app, req, &name).await,
        _ => Ok(Reply::empty(StatusCode::METHOD_NOT_ALLOWED)),
    };
    answer.unwrap_or_else(|reply| reply)
}

fn list(app: &App, req: &RestRequest) -> Result<Reply, Reply> {
    let class = req.query.get("class").filter(|class| !class.is_empty()).map(|class| upper_first(class));
    let aliases = app.aliases(req.caller()?, class.as_deref())?;
    let bytes = aliases.iter().map(|alias| ANSWER_BYTES + alias.name.len() + alias.collection.len()).sum();
    request_memory::charge(bytes).map_err(AppError::from)?;
    let shown: Vec<Value> = aliases.iter().map(|alias| shown(alias)).collect();
    Ok(Reply::ok(json!({"aliases": shown})))
}

fn get(app: &App, req: &RestRequest, name: &str) -> Result<Reply, Reply> {
    let (alias, _) = app.alias(req.caller()?, Access::Read, name).map_err(|error| refused(error, ""))?;
    Ok(Reply::ok(shown(&alias)))
}

async fn create(app: &App, req: &RestRequest) -> Result<Reply, Reply> {
    let body = body(req)?;
    let alias = Alias { name: text(&body, "alias"), collection: text(&body, "class") };
    let permit = app.permit(req.caller()?, Access::Create, resource(&alias))?;
    app.create_alias(&permit, &alias).await.map_err(|error| refused(error, "TYPE_CREATE_ALIAS"))?;
    Ok(Reply::ok(shown(&alias)))
}

async fn update(app: &App, req: &RestRequest, name: String) -> Result<Reply, Reply> {
    let alias = Alias { name, collection: text(&body(req)?, "class") };
    let permit = app.permit(req.caller()?, Access::Update, resource(&alias))?;
    app.update_alias(&permit, &alias).await.map_err(|error| refused(error, "TYPE_REPLACE_ALIAS"))?;
    Ok(Reply::ok(shown(&alias)))
}

async fn delete(app: &App, req: &RestRequest, name: &str) -> Result<Reply, Reply> {
    let path = "TYPE_DELETE_ALIAS";
    let found = app.alias(req.caller()?, Access::Delete, name);
    let (alias, permit) = found.map_err(|error| refused(error, path))?;
    app.delete_alias(&permit, &alias).await.map_err(|error| refused(error, path))?;
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}

fn body(req: &RestRequest) -> Result<Value, Reply> {
    decode(req, "body", "models.Alias")
}

/// A name in the body, its first letter in upper case.
fn text(body: &Value, field: &str) -> String {
    upper_first(body[field].as_str().unwrap_or_default())
}

fn shown(alias: &Alias) -> Value {
    json!({"alias": alias.name, "class": alias.collection})
}

/// The answer to a refused request; `path` names the command in it.
fn refused(error: AliasError, path: &str) -> Reply {
    let why = match error {
        AliasError::NotFound => return Reply::empty(StatusCode::NOT_FOUND),
        AliasError::App(error) => return error.into(),
        AliasError::NoCollection(name) => format!("target class \"{name}\" does not exist"),
        AliasError::Exists(name) => {
            format!("updating schema: {path}: create alias: {name}, alias already exists")
        }
        AliasError::Name(error @ (NameError::ClassExists(_) | NameError::SimilarClass(_))) => {
            format!("updating schema: {path}: create alias: {}", texts::name(&error))
        }
        AliasError::Name(error) => texts::name(&error),
    };
    Reply::error(StatusCode::UNPROCESSABLE_ENTITY, &format!("validation: {why}"))
}
