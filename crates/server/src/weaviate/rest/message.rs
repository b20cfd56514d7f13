//! A REST request as handlers see it, and what they answer.

use std::collections::HashMap;

use axum::body::Bytes;
use http::{HeaderMap, Method, StatusCode};
use serde_json::json;

use crate::app::AppError;
use crate::auth::Caller;
use crate::weaviate::texts;
use crate::weaviate::tree::Tree;

/// A request whose path is taken apart and whose body is read whole (within the limit).
#[derive(Debug)]
pub(crate) struct RestRequest {
    /// The method.
    pub(crate) method: Method,
    /// Path after `/v1`, percent-decoded, without empty segments.
    pub(crate) segments: Vec<String>,
    /// Query parameters; of a repeated one the first.
    pub(crate) query: HashMap<String, String>,
    /// The headers.
    pub(crate) headers: HeaderMap,
    /// The body.
    pub(crate) body: Bytes,
    /// The caller; `None` for an unknown one of a route that is open to all.
    pub(crate) caller: Option<Caller>,
}

impl RestRequest {
    /// The caller.
    ///
    /// # Errors
    /// 401
    pub(crate) fn caller(&self) -> Result<&Caller, Reply> {
        self.caller.as_ref().ok_or_else(|| Reply::empty(StatusCode::UNAUTHORIZED))
    }
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    /// The status.
    pub(crate) status: StatusCode,
    /// The body; `None` is an empty one.
    pub(crate) body: Option<Tree>,
}

impl Reply {
    /// 200 with a body.
    pub(crate) fn ok(body: impl Into<Tree>) -> Self {
        Self { status: StatusCode::OK, body: Some(body.into()) }
    }

    /// A status without a body.
    pub(crate) fn empty(status: StatusCode) -> Self {
        Self { status, body: None }
    }

    /// Envelope of handlers: `{"error":[{"message":..}]}`.
    pub(crate) fn error(status: StatusCode, message: &str) -> Self {
        Self { status, body: Some(json!({"error": [{"message": message}]}).into()) }
    }

    /// Envelope of the HTTP layer: `{"code":..,"message":..}`; the code may differ from the status.
    pub(crate) fn coded(status: StatusCode, code: u16, message: &str) -> Self {
        Self { status, body: Some(json!({"code": code, "message": message}).into()) }
    }
}

impl From<AppError> for Reply {
    fn from(error: AppError) -> Self {
        let status = match &error {
            AppError::Invalid(_) | AppError::Limit(_) | AppError::Query(_) | AppError::Search(_) => {
                StatusCode::UNPROCESSABLE_ENTITY
            }
            AppError::Forbidden(_) => StatusCode::FORBIDDEN,
            AppError::UsageLimit { what, max } => {
                let body = json!({
                    "errorCode": "USAGE_LIMIT_EXCEEDED", "limit": what, "message": texts::app(&error), "value": max,
                });
                return Self { status: StatusCode::TOO_MANY_REQUESTS, body: Some(body.into()) };
            }
            AppError::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            AppError::Unavailable(_) | AppError::Busy(_) => StatusCode::SERVICE_UNAVAILABLE,
            AppError::Deadline(_) => StatusCode::GATEWAY_TIMEOUT,
            AppError::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::error(status, &texts::app(&error))
    }
}
