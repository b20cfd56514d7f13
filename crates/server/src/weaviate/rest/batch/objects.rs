//! POST `/batch/objects`: upserts; what is wrong with one object is said beside it.

use std::sync::Arc;

use azimuth_engine::command::PutMode;
use http::StatusCode;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::outcome;
use crate::app::objects::{self, Draft, ObjectError, Prepared, Purpose};
use crate::app::{App, AppError, AppResult, Permitted, now_ms};
use crate::request_memory;
use crate::weaviate::objects::render;
use crate::weaviate::rest::message::{Reply, RestRequest};
use crate::weaviate::rest::objects::{draft, object_id};
use crate::weaviate::rest::{decode, not_one_of};
use crate::weaviate::texts;
use crate::weaviate::weight;

/// Bytes that the answer adds to each object: id, class, times, the result, and its text.
const ANSWER_BYTES: usize = 1_024;
const FIELDS: [&str; 5] = ["ALL", "class", "schema", "id", "creationTimeUnix"];

/// POST `/batch/objects`.
pub(super) async fn create(app: &Arc<App>, req: &RestRequest) -> Result<Reply, Reply> {
    let mut body = decode(req, "body", "batch.BatchObjectsCreateBody")?;
    for (at, field) in body.get("fields").and_then(Value::as_array).into_iter().flatten().enumerate() {
        if !field.as_str().is_some_and(|field| FIELDS.contains(&field)) {
            return Err(not_one_of(&format!("body.fields.{at} in body"), &FIELDS));
        }
    }
    let mut given = objects_of(&mut body);
    if given.is_empty() {
        let text = "invalid param 'objects': cannot be empty, need at least one object for batching";
        return Err(Reply::error(StatusCode::UNPROCESSABLE_ENTITY, text));
    }
    let caller = req.caller()?;
    let aliases = app.known_aliases(caller);
    let permit = |draft| objects::permit(app, caller, &aliases, draft, Purpose::Write);
    let mut drafts = drafts(&mut given)?.into_iter().map(permit).collect::<AppResult<Vec<_>>>()?;
    // The memory for the answer is taken before the write, because a completed write must be answered.
    request_memory::wait_for(req.body.len() + ANSWER_BYTES * given.len()).await.map_err(AppError::from)?;
    let mut prepared = objects::prepare(app, &mut drafts, Purpose::Write).await.map_err(failed)?;
    // A batch of one object is refused as a request for its collection would be.
    if let [Err(ObjectError::UsageLimit(_))] = prepared.as_slice()
        && let Some(Err(limit)) = prepared.pop()
    {
        return Err(failed(limit));
    }
    // Properties went into the objects: those of refused objects are read again.
    let mut echoes = Vec::new();
    if prepared.iter().any(Result::is_err) {
        let mut body = decode(req, "body", "batch.BatchObjectsCreateBody")?;
        request_memory::wait_for(weight::json(&body)).await.map_err(AppError::from)?;
        echoes = objects_of(&mut body);
    }
    let mut echoes = echoes.into_iter();
    let now = now_ms();
    // Answers, and the time that is shown among the properties of collections that index times.
    let mut answers: Vec<(Map<String, Value>, Option<i64>)> = Vec::with_capacity(given.len());
    for ((given, draft), prepared) in
        given.into_iter().zip(drafts.into_iter().map(Permitted::into_inner)).zip(&prepared)
    {
        if let Ok(prepared) = &prepared {
            request_memory::wait_for(weight::properties(&prepared.object.properties)).await.map_err(AppError::from)?;
        }
        let echo = echoes.next().and_then(|mut echo| echo.remove("properties"));
        let properties = match &prepared {
            Ok(prepared) => render::properties(&prepared.object.properties, false),
            Err(_) => echo.filter(Value::is_object).unwrap_or_else(|| Value::Object(Map::new())),
        };
        let times = prepared.as_ref().ok().filter(|prepared| prepared.collection.inverted.index_timestamps);
        let times = times.map(|prepared| prepared.object.created_ms);
        answers.push((described(given, draft, properties, prepared.as_ref().ok(), now), times));
    }
    let written = objects::write(app, prepared, PutMode::Upsert).await.map_err(failed)?;
    let answers = answers.into_iter().zip(written).map(|((mut answer, times), result)| {
        if let (Ok(_), Some(now), Some(properties)) = (&result, times, answer.get_mut("properties")) {
            render::put_times(properties, now, now);
        }
        answer.insert("deprecations".to_owned(), Value::Null);
        answer.insert("result".to_owned(), outcome(&result.map_err(|error| texts::object(&error))));
        Value::Object(answer)
    });
    Ok(Reply::ok(Value::Array(answers.collect())))
}

fn objects_of(body: &mut Value) -> Vec<Map<String, Value>> {
    let objects = match body.get_mut("objects").map(Value::take) {
        Some(Value::Array(objects)) => objects,
        _ => Vec::new(),
    };
    let map = |object| if let Value::Object(map) = object { map } else { Map::new() };
    objects.into_iter().map(map).collect()
}

fn drafts(given: &mut [Map<String, Value>]) -> Result<Vec<Draft>, Reply> {
    let mut drafts = Vec::with_capacity(given.len());
    for (at, object) in given.iter_mut().enumerate() {
        let id = object_id(object, &format!("body.objects.{at}.id in body"))?;
        drafts.push(draft(object, Some(id.unwrap_or_else(Uuid::new_v4)))?);
    }
    Ok(drafts)
}

fn failed(error: ObjectError) -> Reply {
    match error {
        ObjectError::App(error) | ObjectError::UsageLimit(error) => error.into(),
        error => Reply::error(StatusCode::UNPROCESSABLE_ENTITY, &texts::object(&error)),
    }
}

/// The object as it was given, with what the server added: its id, its times, and values in their stored form.
fn described(
    mut given: Map<String, Value>,
    draft: Draft,
    properties: Value,
    prepared: Option<&Prepared>,
    now: i64,
) -> Map<String, Value> {
    // What is no map of properties is echoed.
    if given.get("properties").is_none_or(Value::is_null) {
        given.insert("properties".to_owned(), properties);
    }
    given.insert("class".to_owned(), Value::from(draft.collection));
    if let (false, Some(id)) = (given.get("id").and_then(Value::as_str).is_some_and(|id| !id.is_empty()), draft.id) {
        given.insert("id".to_owned(), Value::from(id.to_string()));
    }
    let now = prepared.map_or(now, |prepared| prepared.object.created_ms);
    given.insert("creationTimeUnix".to_owned(), Value::from(now));
    given.insert("lastUpdateTimeUnix".to_owned(), Value::from(now));
    given.retain(|name, value| match (name.as_str(), value) {
        ("vector", Value::Array(values)) => !values.is_empty(),
        ("vectors", Value::Object(vectors)) => !vectors.is_empty(),
        ("tenant", Value::String(tenant)) => !tenant.is_empty(),
        _ => true,
    });
    place_vectors(&mut given, prepared);
    given
}

/// Shows the vectors under the names that they are stored under.
fn place_vectors(given: &mut Map<String, Value>, prepared: Option<&Prepared>) {
    let Some(prepared) = prepared else { return };
    let default = given.get_mut("vectors").and_then(Value::as_object_mut).and_then(|vectors| vectors.remove("default"));
    match (default, &prepared.collection.vectors.unnamed) {
        (Some(vector), Some(_)) => {
            given.insert("vector".to_owned(), vector);
            given.remove("vectors");
        }
        (Some(vector), None) => {
            given["vectors"]["default"] = vector;
        }
        (None, Some(_)) => {}
        (None, None) => {
            let name = prepared.collection.vectors.named.keys().next();
            if let (Some(vector), Some(name)) = (given.remove("vector"), name) {
                let vectors = given.entry("vectors").or_insert_with(|| Value::Object(Map::new()));
                vectors[name.as_str()] = vector;
            }
        }
    }
}
