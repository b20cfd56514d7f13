//! `/batch`: many objects or references in one request, and deletion by filter.

mod delete;
mod objects;
mod references;

use std::sync::Arc;

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::message::{Reply, RestRequest};
use crate::app::App;

/// Answers the routes under `/batch`.
pub(super) async fn handle(app: &Arc<App>, req: &RestRequest) -> Reply {
    if let Err(reply) = super::objects::consistency_level(req) {
        return reply;
    }
    let result = match (req.segments.get(1).map(String::as_str), &req.method) {
        (Some("objects"), &Method::DELETE) => delete::delete(app, req).await,
        (Some("objects"), _) => objects::create(app, req).await,
        (Some("references"), _) => references::add(app, req).await,
        _ => Ok(Reply::empty(StatusCode::NOT_FOUND)),
    };
    result.unwrap_or_else(|reply| reply)
}

/// The `result` of one element of a batch.
fn outcome<T>(result: &Result<T, String>) -> Value {
    match result {
        Ok(_) => json!({"status": "SUCCESS"}),
        Err(text) => json!({"status": "FAILED", "errors": {"error": [{"message": text}]}}),
    }
}
