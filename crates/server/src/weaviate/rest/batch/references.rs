//! POST `/batch/references`.

use std::sync::Arc;

use http::StatusCode;
use serde_json::{Map, Value, json};

use super::outcome;
use crate::app::objects::references::{self, NewReference};
use crate::app::objects::{ObjectError, uuid_text};
use crate::app::schema::names::upper_first;
use crate::app::{App, AppError, AppResult};
use crate::request_memory;
use crate::weaviate::objects::beacon;
use crate::weaviate::rest::decode;
use crate::weaviate::rest::message::{Reply, RestRequest};
use crate::weaviate::texts;

/// Bytes of the answer for each reference.
const ANSWER_BYTES: usize = 1_024;

/// POST `/batch/references`.
pub(super) async fn add(app: &Arc<App>, req: &RestRequest) -> Result<Reply, Reply> {
    let Value::Array(given) = decode(req, "body", "[]*models.BatchReference")? else { return Err(empty()) };
    if given.is_empty() {
        return Err(empty());
    }
    let caller = req.caller()?;
    let aliases = app.known_aliases(caller);
    let permit = |parsed: Result<NewReference, ObjectError>| match parsed {
        Ok(reference) => references::permit(app, caller, &aliases, reference).map(Ok),
        Err(error) => Ok(Err(error)),
    };
    let references = given.iter().map(parse).map(permit).collect::<AppResult<Vec<_>>>()?;
    // As for objects: the memory for the answer is taken before the write.
    request_memory::wait_for(req.body.len() + ANSWER_BYTES * given.len()).await.map_err(AppError::from)?;
    let results = references::add_all(app, references).await.map_err(|error| match error {
        ObjectError::App(error) => error.into(),
        error => Reply::error(StatusCode::UNPROCESSABLE_ENTITY, &texts::object(&error)),
    })?;
    let answers = given.into_iter().zip(results).map(|(given, result)| {
        let mut answer = Map::new();
        let (from, to) = (text_of(&given, "from"), text_of(&given, "to"));
        if let (Ok(_), Some((_, rest))) = (source(from), from.split_once("://")) {
            answer.insert("from".to_owned(), Value::from(format!("weaviate://{rest}")));
        }
        if let Ok(parsed) = beacon::parse(to) {
            // What was written is shown with the collection that was filled in.
            let shown = match &result {
                Ok(written) => beacon::text(written.collection.as_deref(), written.id),
                Err(_) => to.replace(to.rsplit('/').next().unwrap_or_default(), &parsed.id.to_string()),
            };
            answer.insert("to".to_owned(), Value::from(shown));
        }
        answer.insert("result".to_owned(), outcome(&result.map_err(|error| texts::object(&error))));
        Value::Object(answer)
    });
    Ok(Reply::ok(json!(answers.collect::<Vec<_>>())))
}

fn text_of<'a>(given: &'a Value, name: &str) -> &'a str {
    given.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn empty() -> Reply {
    let text = "invalid params: length cannot be 0, need at least one reference for batching";
    Reply::error(StatusCode::UNPROCESSABLE_ENTITY, text)
}

fn parse(given: &Value) -> Result<NewReference, ObjectError> {
    let text = |name: &str| text_of(given, name);
    let from = source(text("from"));
    if let Some(host) = beacon::other_host(text("from")) {
        let why = format!("source class must always point to the local peer, but got {host}");
        return Err(ObjectError::Unreadable(why));
    }
    if let Some(host) = beacon::other_host(text("to")) {
        return Err(ObjectError::Unreadable(format!(
            "importing network references in batch is not possible. Please perform a regular non-batch import for \
             network references, got peer {host}"
        )));
    }
    let to = beacon::parse(text("to"));
    match (from, to) {
        (Ok((from, id, property)), Ok(to)) => {
            let tenant = Some(text("tenant")).filter(|tenant| !tenant.is_empty()).map(str::to_owned);
            Ok(NewReference { from, id, property, to, tenant })
        }
        (from, to) => {
            let whys: Vec<String> =
                [from.err(), to.err().map(|error| error.to_string())].into_iter().flatten().collect();
            Err(ObjectError::Unreadable(whys.join(", ")))
        }
    }
}

/// Collection, id and property of `weaviate://localhost/Class/uuid/property`.
fn source(text: &str) -> Result<(String, uuid::Uuid, String), String> {
    let (_, path) = text.split_once("://").and_then(|(_, rest)| rest.split_once('/')).unwrap_or_default();
    match path.split('/').collect::<Vec<_>>()[..] {
        [class, ..] if path.matches('/').count() == 2 && !class.starts_with(char::is_uppercase) => {
            Err(format!("className must start with an uppercase letter, but got {class}"))
        }
        [class, id, property] => match uuid_text::parse(id) {
            Some(id) => Ok((upper_first(class), id, property.to_owned())),
            None => Err(format!("invalid cref URI: 2nd path segment must be uuid, but got '{id}'")),
        },
        _ => {
            let path = if path.is_empty() { String::new() } else { format!("/{path}") };
            Err(format!(
                "invalid cref URI: must use long-form: path must be of format '/<className>/<uuid>/<propertyName>', \
                 but got '{path}'"
            ))
        }
    }
}
