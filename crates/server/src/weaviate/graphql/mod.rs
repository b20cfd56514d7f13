//! GraphQL: `POST /v1/graphql` and `/v1/graphql/batch`.
//!
//! A text is read by [`lexer`] and [`parser`], checked by [`validate`] against the [`types`] of answers and the
//! [`inputs`] of arguments, and made into one tree of fields by [`document`]. [`get`] and [`aggregate`] answer its
//! roots; [`shape`] writes objects as JSON.

mod aggregate;
mod arguments;
mod document;
mod enrich;
mod explore;
#[cfg(test)]
mod fuzz;
mod get;
mod grouped;
mod hybrid;
mod inputs;
mod introspect;
mod keyword;
mod lexer;
mod near;
mod near_text;
mod parser;
mod schema;
mod shape;
mod suggest;
mod syntax;
mod types;
mod validate;

use std::sync::Arc;

use futures_util::{StreamExt, stream};
use http::StatusCode;
use serde_json::{Value, json};

use crate::app::{App, AppError};
use crate::auth::{Access, Caller, Resource};
use crate::request_memory::{self, Refusal};
use crate::weaviate::rest::decode;
use crate::weaviate::rest::message::{Reply, RestRequest};
use crate::weaviate::texts;
use crate::weaviate::tree::{Members, Tree};
use document::Field;
use schema::Schema;

/// Requests in one batch, at most.
const BATCH_MAX: usize = 1_000;

/// Requests of a batch, and classes of a request, that are answered at a time.
const TOGETHER_MAX: usize = 8;

/// An error of the answer's `errors` list.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct GraphqlError {
    message: String,
    /// Line and column, from 1.
    locations: Vec<(usize, usize)>,
    /// Keys down to the field that failed; `None` when nothing was executed.
    path: Option<Vec<String>>,
}

impl GraphqlError {
    /// An error of the document.
    fn at(position: (usize, usize), message: impl Into<String>) -> Self {
        Self { message: message.into(), locations: vec![position], path: None }
    }

    /// An error of several places in the document.
    fn at_all(locations: Vec<(usize, usize)>, message: impl Into<String>) -> Self {
        Self { message: message.into(), locations, path: None }
    }

    /// An error of the request as a whole.
    fn nowhere(message: impl Into<String>) -> Self {
        Self { message: message.into(), locations: Vec::new(), path: None }
    }

    fn json(&self) -> Value {
        let locations: Vec<_> =
            self.locations.iter().map(|(line, column)| json!({"line": line, "column": column})).collect();
        json!({"message": self.message, "path": self.path, "locations": locations})
    }
}

/// Why a class of `Get` or `Aggregate` could not be answered; the others are.
#[derive(Debug)]
pub(super) struct FieldError(String);

/// Answers a request.
pub(crate) async fn handle(app: &Arc<App>, request: &RestRequest) -> Reply {
    if app.settings.disable_graphql {
        return Reply::error(StatusCode::UNPROCESSABLE_ENTITY, "graphql api is disabled");
    }
    let answer = if request.segments.len() > 1 { batch(app, request).await } else { single(app, request).await };
    answer.unwrap_or_else(|refusal| refusal)
}

async fn single(app: &Arc<App>, request: &RestRequest) -> Result<Reply, Reply> {
    let body = decode(request, "body", "models.GraphQLQuery")?;
    let caller = permitted(app, request)?;
    if body.get("query").and_then(Value::as_str).unwrap_or_default().is_empty() {
        return Err(Reply::error(StatusCode::UNPROCESSABLE_ENTITY, "query cannot be empty"));
    }
    refuse_without_schema(app, caller, "!")?;
    if let Some(kind) = body.get("variables").and_then(not_a_map) {
        let text = format!("variables must be a JSON object, got {kind}");
        return Err(Reply::error(StatusCode::UNPROCESSABLE_ENTITY, &text));
    }
    Ok(answered(answer(app, caller, &body, true).await))
}

async fn batch(app: &Arc<App>, request: &RestRequest) -> Result<Reply, Reply> {
    let body = decode(request, "body", "models.GraphQLQueries")?;
    let caller = permitted(app, request)?;
    refuse_without_schema(app, caller, "")?;
    let bodies = body.as_array().map(Vec::as_slice).unwrap_or_default();
    if bodies.is_empty() {
        return Err(Reply { status: StatusCode::UNPROCESSABLE_ENTITY, body: Some(json!({"error": null}).into()) });
    }
    if bodies.len() > BATCH_MAX {
        let text = format!("a batch can hold {BATCH_MAX} requests");
        return Err(Reply::error(StatusCode::UNPROCESSABLE_ENTITY, &text));
    }
    let refuse = |message: String| json!({"errors": [{"message": message, "path": null, "locations": null}]}).into();
    let one = async |body: &Value| {
        let variables = body.get("variables").filter(|variables| not_a_map(variables).is_some());
        if body.get("query").and_then(Value::as_str).unwrap_or_default().is_empty() {
            refuse("422: The request is well-formed but was unable to be followed due to semantic errors.".to_owned())
        } else if let Some(variables) = variables {
            refuse(format!("422: expected map[string]interface{{}}, received {variables}"))
        } else {
            answer(app, caller, body, bodies.len() == 1).await
        }
    };
    let answers = stream::iter(bodies).map(one).buffered(TOGETHER_MAX).collect::<Vec<_>>().await;
    Ok(answered(Tree::List(answers)))
}

/// The reply to a request that was executed. A request that found no memory is refused as a whole, and the part of its
/// answer that was made is dropped at once.
fn answered(body: Tree) -> Reply {
    request_memory::refusal().map_or_else(|| Reply::ok(body), no_memory)
}

/// The refusal of a request whose answer has no room, in the shape of answers.
pub(crate) fn no_memory(refusal: Refusal) -> Reply {
    let status = Reply::from(AppError::from(refusal)).status;
    let error = GraphqlError::nowhere(refusal.to_string()).json();
    Reply { status, body: Some(json!({"data": null, "errors": [error]}).into()) }
}

/// The caller, who must be allowed to read the schema.
fn permitted<'r>(app: &App, request: &'r RestRequest) -> Result<&'r Caller, Reply> {
    let caller = request.caller()?;
    match app.permit(caller, Access::Read, Resource::Collection(None)) {
        Ok(_) => Ok(caller),
        Err(AppError::Forbidden(refusal)) => {
            let why = texts::forbidden(&refusal);
            let text = format!(
                "due to GraphQL introspection, this role must have the permission to `read_collections` on `*` (all) \
                 collections: {why}"
            );
            Err(Reply::error(StatusCode::FORBIDDEN, &text))
        }
        Err(error) => Err(error.into()),
    }
}

fn refuse_without_schema(app: &App, caller: &Caller, end: &str) -> Result<(), Reply> {
    if app.names(caller)?.is_empty() {
        let text = format!(
            "no graphql provider present, this is most likely because no schema is present. Import a schema first{end}"
        );
        return Err(Reply::error(StatusCode::UNPROCESSABLE_ENTITY, &text));
    }
    Ok(())
}

/// The kind of what should have been a map, as the wire names it.
fn not_a_map(value: &Value) -> Option<&'static str> {
    match value {
        Value::Null | Value::Object(_) => None,
        Value::Array(_) => Some("[]interface {}"),
        Value::String(_) => Some("string"),
        Value::Number(_) => Some("float64"),
        Value::Bool(_) => Some("bool"),
    }
}

/// The answer's body; `alone` if no other is made beside it.
async fn answer(app: &Arc<App>, caller: &Caller, body: &Value, alone: bool) -> Tree {
    let refuse = |error: &GraphqlError| json!({"errors": [error.json()]}).into();
    let text = body.get("query").and_then(Value::as_str).unwrap_or_default();
    let operation = body.get("operationName").and_then(Value::as_str).filter(|name| !name.is_empty());
    let schema = match app.names(caller) {
        Ok(catalog) => Schema::new(catalog, &app.settings.modules),
        Err(error) => return refuse(&GraphqlError::nowhere(texts::app(&error))),
    };
    let fields = match document::read(&schema, text, operation, body.get("variables")) {
        Ok(fields) => fields,
        Err(errors) => return json!({"errors": list(&errors)}).into(),
    };
    let (mut data, mut errors) = (Members::new(), Vec::new());
    for root in &fields {
        match root.name.as_str() {
            "__typename" => {
                data.insert(root.key.clone(), json!("WeaviateObj").into());
            }
            "Get" | "Aggregate" => {
                let found = classes(app, caller, root, alone, &mut errors).await;
                data.insert(root.key.clone(), found.into());
            }
            "Explore" => {
                let found = Box::pin(explore::answer(app, caller, root)).await.unwrap_or_else(|FieldError(message)| {
                    let path = Some(vec![root.key.clone()]);
                    errors.push(GraphqlError { message, locations: vec![root.position], path });
                    Tree::NULL
                });
                data.insert(root.key.clone(), found);
            }
            _ => {
                let (known, asked) = (schema.clone(), root.clone());
                let found = app.compute(move || Ok(introspect::answer(&known, &asked)?)).await;
                match found {
                    Ok(found) => {
                        data.insert(root.key.clone(), found.into());
                    }
                    Err(error) => return refuse(&GraphqlError::nowhere(texts::app(&error))),
                }
            }
        }
    }
    let mut answer = Members::from([("data".to_owned(), data.into())]);
    if !errors.is_empty() {
        answer.insert("errors".to_owned(), list(&errors).into());
    }
    answer.into()
}

fn list(errors: &[GraphqlError]) -> Value {
    errors.iter().map(GraphqlError::json).collect()
}

/// Answers the classes below a root; a class that fails is null and leaves an error.
async fn classes(
    app: &Arc<App>,
    caller: &Caller,
    root: &Field,
    alone: bool,
    errors: &mut Vec<GraphqlError>,
) -> Members {
    let one = async |class: &Field| match (class.name.as_str(), root.name.as_str()) {
        ("__typename", "Get") => Ok(json!("GetObjectsObj").into()),
        ("__typename", _) => Ok(json!("AggregateObjectsObj").into()),
        (_, "Get") => get::class(app, caller, class, alone && root.fields.len() == 1).await,
        _ => Box::pin(aggregate::class(app, caller, class)).await.map(Tree::from),
    };
    let answers = stream::iter(&root.fields).map(one).buffered(TOGETHER_MAX).collect::<Vec<_>>().await;
    let mut found = Members::new();
    for (class, answer) in root.fields.iter().zip(answers) {
        let value = match answer {
            Ok(value) => value,
            Err(FieldError(message)) => {
                let path = Some(vec![root.key.clone(), class.key.clone()]);
                errors.push(GraphqlError { message, locations: vec![class.position], path });
                Tree::NULL
            }
        };
        found.insert(class.key.clone(), value);
    }
    found
}
