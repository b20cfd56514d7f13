//! The references of an object: POST adds one, PUT replaces all, DELETE takes one out.

use std::sync::Arc;

use azimuth_engine::object::Beacon;
use http::{Method, StatusCode};
use serde_json::Value;
use uuid::Uuid;

use super::answer::{Words, refuse};
use super::request::path_id;
use super::single::{Place, anywhere};
use crate::app::App;
use crate::app::objects::references::{self, Change};
use crate::app::objects::shard;
use crate::auth::{Access, Permit, Resource};
use crate::weaviate::objects::beacon::{self, BeaconError};
use crate::weaviate::rest::decode;
use crate::weaviate::rest::message::{Reply, RestRequest};
use crate::weaviate::texts;

/// Answers `/objects/{class}/{id}/references/{property}` and the form without a class.
pub(super) async fn handle(
    app: &Arc<App>,
    req: &RestRequest,
    class: Option<&str>,
    id: &str,
    property: &str,
) -> Result<Reply, Reply> {
    let id = path_id(id)?;
    let change = match req.method {
        Method::POST => Change::Add,
        Method::PUT => Change::Replace,
        _ => Change::Remove,
    };
    let body = decode(req, "body", if change == Change::Replace { "models.MultipleRef" } else { "models.SingleRef" })?;
    let refs = match body {
        Value::Array(refs) => refs,
        single => vec![single],
    };
    let uris = refs.iter().enumerate().map(|(at, one)| uri(one, (change == Change::Replace).then_some(at)));
    let uris: Vec<&str> = uris.collect::<Result<_, _>>()?;
    let caller = req.caller()?;
    let name = class.map(|class| app.resolve(caller, class));
    let permit = app.permit(caller, Access::Update, Resource::object(name.as_deref(), None, id))?;
    let (collection, at) = place(app, req, &permit, name.as_deref(), id, change).await?;
    let inputs =
        if change == Change::Remove { "msg:bad inputs code:400 err:" } else { "msg:validate inputs code:400 err:" };
    let refuse_input = |text: String| Reply::error(StatusCode::UNPROCESSABLE_ENTITY, &format!("{inputs}{text}"));
    let beacons = uris.into_iter().map(parse).collect::<Result<Vec<_>, _>>().map_err(refuse_input)?;
    let targets = references::targets(&collection, property).map_err(|error| refuse_input(texts::reference(&error)))?;
    let tenant = tenant(req);
    let beacons = complete(beacons, targets, change);
    if change != Change::Remove {
        let catalog = app.names(req.caller()?)?;
        let checked = beacons.iter().try_for_each(|to| references::check_tenancy(&catalog, &collection, to));
        checked.map_err(|error| refuse_input(texts::reference(&error)))?;
    }
    if !app.exists(&permit, at, id).await? {
        return Err(Reply::empty(StatusCode::NOT_FOUND));
    }
    if change != Change::Remove
        && let Some(id) = references::first_missing(app, &permit, at, &beacons, tenant).await?
    {
        let text = format!("msg:validate existence code:400 err:validate reference: no object with id {id} found");
        return Err(Reply::error(StatusCode::UNPROCESSABLE_ENTITY, &text));
    }
    let words = Words { invalid: "msg:bad request code:400 err:", shard: "", no_tenant: "" };
    let applied = references::apply(app, &permit, at, id, property, change, beacons).await;
    applied.map_err(|error| refuse(error, &words))?;
    Ok(Reply::empty(if change == Change::Remove { StatusCode::NO_CONTENT } else { StatusCode::OK }))
}

fn tenant(req: &RestRequest) -> Option<&str> {
    req.query.get("tenant").map(String::as_str).filter(|tenant| !tenant.is_empty())
}

/// The beacon of one reference, which must be a URI; `at` is its place in a list.
fn uri(reference: &Value, at: Option<usize>) -> Result<&str, Reply> {
    let text = reference.get("beacon").and_then(Value::as_str).unwrap_or_default();
    if text.is_empty() || text.contains("://") {
        return Ok(text);
    }
    let place = at.map_or_else(|| "beacon".to_owned(), |at| format!("{at}.beacon"));
    let message = format!("{place} in body must be of type uri: {}", Value::from(text));
    Err(Reply::coded(StatusCode::UNPROCESSABLE_ENTITY, 601, &message))
}

fn parse(text: &str) -> Result<Beacon, String> {
    if beacon::other_host(text).is_some() {
        return Err(BeaconError::NoHost.to_string());
    }
    beacon::parse(text).map_err(|error| match error {
        BeaconError::NoHost => error.to_string(),
        error => format!("invalid reference: {error}"),
    })
}

/// Fills in the collection where the property leads to only one; what is taken out is named as it was given.
fn complete(beacons: Vec<Beacon>, targets: &[String], change: Change) -> Vec<Beacon> {
    let complete = |mut beacon: Beacon| {
        if let (None, [only], true) = (&beacon.collection, targets, change != Change::Replace || targets.len() == 1) {
            beacon.collection = Some(only.clone());
        }
        beacon
    };
    beacons.into_iter().map(complete).collect()
}

async fn place(
    app: &Arc<App>,
    req: &RestRequest,
    permit: &Permit,
    class: Option<&str>,
    id: Uuid,
    change: Change,
) -> Result<Place, Reply> {
    let unprocessable = |text: String| Err(Reply::error(StatusCode::UNPROCESSABLE_ENTITY, &text));
    let tenant = tenant(req);
    let Some(class) = class else {
        return match (anywhere(app, req, permit, id, tenant).await?, change) {
            (Some(place), _) => Ok(place),
            (None, Change::Remove) => Err(Reply::empty(StatusCode::NOT_FOUND)),
            (None, _) => unprocessable(format!("msg:source object deprecated code:400 err:no object with id '{id}'")),
        };
    };
    let Some(collection) = app.names(req.caller()?)?.find(class).cloned() else {
        return unprocessable(format!(
            "msg:collection not found code:400 err:collection \"{class}\" not found in schema"
        ));
    };
    let catalog = shard::activate(app, permit, &collection, tenant).await?;
    let prefix = match change {
        Change::Add => "msg:source object code:422 err:determine shard: ".to_owned(),
        Change::Replace | Change::Remove => format!(
            "msg:source object code:422 err:repo: object by id: search index {}: determine shard: ",
            class.to_lowercase()
        ),
    };
    let words = Words { invalid: "", shard: &prefix, no_tenant: &prefix };
    let at = shard::route_to_write(&catalog, &collection, tenant, id).map_err(|error| refuse(error, &words))?;
    Ok((collection, at))
}
