//! `/search/{class}/near-text`: the experimental search of Weaviate over REST, which has no other kind of search yet.
//!
//! The order of refusals is Weaviate's: the body, fields that are reserved, the caller, the setting that switches the
//! search on, the class, the parameters. No vectorizer makes vectors of texts here, so that every request ends with a
//! refusal. All errors of these routes have the envelope of handlers.

use std::fmt::Display;
use std::sync::Arc;

use azimuth_engine::schema::Collection;
use http::StatusCode;
use serde_json::Value;

use super::message::{Reply, RestRequest};
use super::{decode, missing, not_one_of};
use crate::app::App;
use crate::auth::{Access, Resource};

const CONSISTENCY_LEVELS: [&str; 3] = ["ONE", "QUORUM", "ALL"];
const METADATA: [&str; 6] = ["distance", "certainty", "score", "explainScore", "creationTime", "lastUpdateTime"];
/// Fields that Weaviate reserves for later.
const RESERVED: [&str; 6] = ["singlePrompt", "groupedTask", "groupBy", "numberOfGroups", "objectsPerGroup", "rerank"];

/// Whether a path belongs to the search: its errors have the envelope of handlers.
pub(super) fn owns(segments: &[String]) -> bool {
    matches!(segments, [first, _, _] if first == "search")
}

/// An error of the HTTP layer in the envelope of handlers.
pub(super) fn enveloped(reply: Reply) -> Reply {
    let body = reply.body.as_ref().and_then(|body| serde_json::to_value(body).ok()).unwrap_or_default();
    match body["message"].as_str() {
        Some(message) => Reply::error(reply.status, message),
        None => reply,
    }
}

/// Answers a request.
pub(super) fn handle(app: &Arc<App>, req: &RestRequest) -> Reply {
    near_text(app, req).map_or_else(enveloped, |never| match never {})
}

/// A search that is answered: there is none without a vectorizer.
enum Found {}

fn near_text(app: &App, req: &RestRequest) -> Result<Found, Reply> {
    let common = decode(req, "body", "models.SearchCommon")?;
    let own = decode(req, "body", "models.")?;
    check_words(&common)?;
    let query = own.get("query").and_then(Value::as_array).ok_or_else(|| missing("query"))?;
    if let Some(field) = RESERVED.into_iter().find(|field| common.get(field).is_some()) {
        return Err(unprocessable(format!("{field} is not yet supported")));
    }
    let caller = req.caller()?;
    let tenant = common["tenant"].as_str().filter(|tenant| !tenant.is_empty());
    let class = app.resolve(caller, &req.segments[1]);
    app.permit(caller, Access::Read, Resource::objects(&class, tenant))?;
    if !app.settings.rest_search {
        let text =
            "rest search api is experimental and not enabled; set EXPERIMENTAL_REST_SEARCH_ENABLED=true to enable";
        return Err(unprocessable(text));
    }
    let catalog = app.names(caller)?;
    let collection = catalog
        .find(&class)
        .ok_or_else(|| Reply::error(StatusCode::NOT_FOUND, &format!("could not find collection {class} in schema")))?;
    check_page(&common, app.settings.query_maximum_results, app.settings.query_default_limit)?;
    let target = target(collection, own["targetVector"].as_str().unwrap_or_default())?;
    check_query(query, &own)?;
    Err(unprocessable(format!(
        "near-text is not supported: collection {class} has no vectorizer module configured for target vector \"{target}\""
    )))
}

fn unprocessable(text: impl AsRef<str>) -> Reply {
    Reply::error(StatusCode::UNPROCESSABLE_ENTITY, text.as_ref())
}

fn bad(text: impl AsRef<str>) -> Reply {
    Reply::error(StatusCode::BAD_REQUEST, text.as_ref())
}

/// Refuses words that the model does not list.
fn check_words(common: &Value) -> Result<(), Reply> {
    let level = common["consistencyLevel"].as_str().unwrap_or_default();
    if !level.is_empty() && !CONSISTENCY_LEVELS.contains(&level) {
        return Err(not_one_of("consistencyLevel in body", &CONSISTENCY_LEVELS));
    }
    for (at, word) in common["returnMetadata"].as_array().into_iter().flatten().enumerate() {
        if !word.as_str().is_some_and(|word| METADATA.contains(&word)) {
            return Err(not_one_of(&format!("returnMetadata.{at} in body"), &METADATA));
        }
    }
    Ok(())
}

fn check_page(common: &Value, maximum: usize, default: usize) -> Result<(), Reply> {
    // The body was checked to hold whole numbers of 64 bits.
    let number = |field: &str| common.get(field).and_then(Value::as_i64);
    let (limit, offset) = (number("limit"), number("offset"));
    for (field, value) in [("limit", limit), ("offset", offset), ("autoLimit", number("autoLimit"))] {
        if let Some(value) = value.filter(|value| *value < 0) {
            return Err(bad(format!("{field} must not be negative, got {value}")));
        }
    }
    let (limit, offset) = (limit.unwrap_or_default().unsigned_abs(), offset.unwrap_or_default().unsigned_abs());
    let limit_or_default = if limit == 0 { default as u64 } else { limit };
    let page = offset.saturating_add(limit_or_default);
    let exceeds = |what: &str, value: &dyn Display| {
        bad(format!("{what} must not exceed QUERY_MAXIMUM_RESULTS ({maximum}), got {value}"))
    };
    let is_above = |value: u64| value > maximum as u64;
    match () {
        () if is_above(limit) => Err(exceeds("limit", &limit)),
        () if is_above(offset) => Err(exceeds("offset", &offset)),
        () if is_above(page) => Err(exceeds("offset + limit", &page)),
        () => Ok(()),
    }
}

/// The vector that is searched; empty for the one without a name.
fn target(collection: &Collection, given: &str) -> Result<String, Reply> {
    let (class, named) = (&collection.name, &collection.vectors.named);
    if given.is_empty() {
        if collection.vectors.unnamed.is_some() {
            return Ok(String::new());
        }
        if named.len() > 1 {
            let text = format!("collection {class} has multiple vectors, but no target vectors were provided");
            return Err(unprocessable(text));
        }
        return Ok(named.keys().next().cloned().unwrap_or_default());
    }
    if named.contains_key(given) {
        return Ok(given.to_owned());
    }
    let names: Vec<&str> = named.keys().map(String::as_str).collect();
    Err(bad(format!(
        "collection {class} does not have named vector {given} configured. Available named vectors [{}]",
        names.join(" ")
    )))
}

fn check_query(query: &[Value], own: &Value) -> Result<(), Reply> {
    if query.is_empty() || query.iter().any(|concept| concept.as_str().is_none_or(str::is_empty)) {
        return Err(bad("query must not be empty"));
    }
    let certainty = own.get("certainty").and_then(Value::as_f64);
    if certainty.is_some() && own.get("distance").is_some() {
        return Err(bad("near_text: cannot provide both distance and certainty"));
    }
    if let Some(certainty) = certainty.filter(|certainty| !(0.0..=1.0).contains(certainty)) {
        return Err(bad(format!("certainty must be between 0 and 1, got {certainty}")));
    }
    Ok(())
}
