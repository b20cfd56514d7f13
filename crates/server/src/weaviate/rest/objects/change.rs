//! POST, PUT and PATCH of an object, and its validation.

use std::sync::Arc;

use azimuth_engine::command::PutMode;
use http::StatusCode;
use serde_json::{Map, Value};

use super::answer::{Words, refuse};
use super::request::{draft, object_id, path_id};
use super::single;
use crate::app::objects::{self, Draft, ObjectError, Prepared, Purpose, shard};
use crate::app::schema::names::upper_first;
use crate::app::{App, AppError, AppResult, Permitted};
use crate::auth::Caller;
use crate::request_memory;
use crate::weaviate::objects::render;
use crate::weaviate::rest::decode;
use crate::weaviate::rest::message::{Reply, RestRequest};
use crate::weaviate::texts;
use crate::weaviate::tree::Members;
use crate::weaviate::weight;

const CREATE: Words<'_> = Words {
    invalid: "invalid object: ",
    shard: "determine shard: ",
    no_tenant: "put object: import into index: determine shard: ",
};
const BAD_REQUEST: &str = "msg:bad request code:400 err:";

fn body(req: &RestRequest) -> Result<Map<String, Value>, Reply> {
    match decode(req, "body", "models.Object")? {
        Value::Object(map) => Ok(map),
        _ => Ok(Map::new()),
    }
}

/// The draft of a request for one object, for a caller that may have it written or checked.
fn permitted(app: &App, caller: &Caller, draft: Draft, purpose: Purpose) -> AppResult<Permitted<Draft>> {
    objects::permit(app, caller, &app.known_aliases(caller), draft, purpose)
}

/// POST `/objects`.
pub(super) async fn create(app: &Arc<App>, req: &RestRequest) -> Result<Reply, Reply> {
    let mut body = body(req)?;
    let id = object_id(&body, "id in body")?;
    let draft = draft(&mut body, id)?;
    let draft = permitted(app, req.caller()?, draft, Purpose::Insert)?;
    if draft.collection.is_empty() && app.settings.autoschema_enabled {
        return Err(empty_class());
    }
    let index = draft.collection.to_lowercase();
    let no_tenant = format!("put object: import into index {index}: determine shard: ");
    let words = Words { no_tenant: &no_tenant, ..CREATE };
    let prepared = prepare_one(app, draft, Purpose::Insert).await.map_err(|error| refuse(error, &words))?;
    let given_id = body.get("id").and_then(Value::as_str).filter(|id| !id.is_empty()).map(str::to_lowercase);
    reserve(req, &prepared).await?;
    let mut answer = Answer::of(body, &prepared, true);
    if let Some(id) = given_id {
        answer.members.insert("id".to_owned(), Value::from(id).into());
    }
    let created_ms = write_one(app, prepared, PutMode::Insert).await.map_err(|error| refuse(error, &words))?;
    Ok(Reply::ok(answer.timed(created_ms)))
}

/// POST `/objects/validate`.
pub(super) async fn validate(app: &Arc<App>, req: &RestRequest) -> Result<Reply, Reply> {
    let mut body = body(req)?;
    let id = object_id(&body, "id in body")?;
    let draft = draft(&mut body, id)?;
    let draft = permitted(app, req.caller()?, draft, Purpose::Validate)?;
    if id.is_none() {
        return Err(refuse(ObjectError::Unreadable("invalid UUID length: 0".to_owned()), &CREATE));
    }
    prepare_one(app, draft, Purpose::Validate).await.map_err(|error| refuse(error, &CREATE))?;
    Ok(Reply::empty(StatusCode::OK))
}

/// PUT of an object.
pub(super) async fn replace(app: &Arc<App>, req: &RestRequest, _class: Option<&str>, id: &str) -> Result<Reply, Reply> {
    path_id(id)?;
    let mut body = body(req)?;
    let given = object_id(&body, "id in body")?;
    let same = body.get("id").and_then(Value::as_str) == Some(id);
    let draft = draft(&mut body, given)?;
    let draft = permitted(app, req.caller()?, draft, Purpose::Replace)?;
    if !same {
        let text = "invalid update: field 'id' is immutable";
        return Err(Reply::error(StatusCode::UNPROCESSABLE_ENTITY, text));
    }
    if draft.collection.is_empty() {
        return Err(empty_class());
    }
    let with_properties = !draft.properties.is_empty();
    let index = draft.collection.to_lowercase();
    let prefix = format!("repo: object by id: search index {index}: determine shard: ");
    let words = Words { invalid: "invalid object: ", shard: &prefix, no_tenant: &prefix };
    let permit = draft.permit();
    let collection = app.names(req.caller()?)?.find(&draft.collection).cloned();
    let collection = collection.ok_or_else(|| Reply::empty(StatusCode::NOT_FOUND))?;
    let catalog = shard::activate(app, &permit, &collection, draft.tenant.as_deref()).await?;
    let Some(id) = given else { return Err(empty_class()) };
    let at = shard::route(&catalog, &collection, draft.tenant.as_deref(), id);
    let at = at.map_err(|error| refuse(error.into(), &words))?;
    if !app.exists(&permit, at, id).await? {
        return Err(Reply::empty(StatusCode::NOT_FOUND));
    }
    let prepared = prepare_one(app, draft, Purpose::Replace).await.map_err(|error| refuse(error, &words))?;
    reserve(req, &prepared).await?;
    let answer = Answer::of(body, &prepared, with_properties);
    let created_ms = write_one(app, prepared, PutMode::Replace).await.map_err(|error| refuse(error, &words))?;
    Ok(Reply::ok(answer.timed(created_ms)))
}

/// PATCH of an object.
pub(super) async fn merge(app: &Arc<App>, req: &RestRequest, class: Option<&str>, id: &str) -> Result<Reply, Reply> {
    let id = path_id(id)?;
    if req.body.is_empty() || req.body.trim_ascii() == b"null" {
        return Ok(Reply::empty(StatusCode::BAD_REQUEST));
    }
    let mut body = body(req)?;
    object_id(&body, "id in body")?;
    let mut draft = draft(&mut body, Some(id))?;
    if let Some(class) = class {
        draft.collection = upper_first(class);
    }
    let draft = permitted(app, req.caller()?, draft, Purpose::Merge).map_err(|error| match error {
        AppError::Forbidden(refusal) => {
            let why = texts::forbidden(&refusal);
            Reply::error(StatusCode::FORBIDDEN, &format!("msg:{why} code:403 err:{why}"))
        }
        error => error.into(),
    })?;
    if draft.collection.is_empty() {
        return Err(Reply::error(StatusCode::UNPROCESSABLE_ENTITY, &format!("{BAD_REQUEST}empty class")));
    }
    let index = draft.collection.to_lowercase();
    let prefix = format!("msg:repo.object code:422 err:search index {index}: determine shard: ");
    let words = Words { invalid: BAD_REQUEST, shard: &prefix, no_tenant: &prefix };
    let permit = draft.permit();
    let collection = single::collection(app, req, &draft.collection)?;
    let catalog = shard::activate(app, &permit, &collection, draft.tenant.as_deref()).await?;
    let at = shard::route_to_write(&catalog, &collection, draft.tenant.as_deref(), id);
    let at = at.map_err(|error| refuse(error, &words))?;
    let merged = objects::merge(app, &collection, at, id, draft).await;
    merged.map_err(|error| refuse(error, &words))?;
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}

fn empty_class() -> Reply {
    Reply::error(StatusCode::UNPROCESSABLE_ENTITY, "invalid object: the given class is empty")
}

async fn prepare_one(app: &App, draft: Permitted<Draft>, purpose: Purpose) -> Result<Prepared, ObjectError> {
    let prepared = objects::prepare(app, &mut [draft], purpose).await?;
    prepared.into_iter().next().unwrap_or(Err(ObjectError::NotFound))
}

async fn write_one(app: &App, prepared: Prepared, mode: PutMode) -> Result<i64, ObjectError> {
    let written = objects::write(app, vec![Ok(prepared)], mode).await?;
    written.into_iter().next().unwrap_or(Err(ObjectError::NotFound))
}

/// Takes the memory for the answer before the write, because a completed write must be answered.
async fn reserve(req: &RestRequest, prepared: &Prepared) -> Result<(), AppError> {
    let vectors: usize = prepared.object.vectors.values().map(weight::vector).sum();
    Ok(request_memory::wait_for(req.body.len() + weight::object(&prepared.object) + vectors).await?)
}

/// The answer to a write: the object as it will be stored, with the parts of the request that are only echoed.
struct Answer {
    members: Members,
    properties: Option<Value>,
    /// Time of the update, if the two times are shown among the properties.
    updated_ms: Option<i64>,
}

impl Answer {
    fn of(mut body: Map<String, Value>, prepared: &Prepared, with_properties: bool) -> Self {
        let Prepared { collection, object, .. } = prepared;
        let mut members = render::head(collection, object);
        render::put_vectors(&mut members, collection, object.vectors.clone());
        for echoed in ["tenant", "vectorWeights"] {
            if let Some(value) = body.remove(echoed).filter(|value| value.as_str() != Some("")) {
                members.insert(echoed.to_owned(), value.into());
            }
        }
        let properties = with_properties.then(|| render::properties(&object.properties, true));
        let updated_ms = collection.inverted.index_timestamps.then_some(object.updated_ms);
        Self { members, properties, updated_ms }
    }

    /// The answer once the write has told when the object was created.
    fn timed(mut self, created_ms: i64) -> Members {
        self.members.insert("creationTimeUnix".to_owned(), Value::from(created_ms).into());
        if let Some(mut properties) = self.properties {
            if let Some(updated_ms) = self.updated_ms {
                render::put_times(&mut properties, created_ms, updated_ms);
            }
            self.members.insert("properties".to_owned(), properties.into());
        }
        self.members
    }
}
