//! Weaviate's words around what went wrong with an object.

use http::StatusCode;

use crate::app::objects::ObjectError;
use crate::app::shards::RouteError;
use crate::weaviate::rest::message::{Reply, RestRequest};
use crate::weaviate::texts;

/// Checks the query parameter `consistency_level`, which has no effect: every read and write is consistent.
///
/// # Errors
/// 400 for an unknown level.
pub(crate) fn consistency_level(req: &RestRequest) -> Result<(), Reply> {
    match req.query.get("consistency_level").map(String::as_str) {
        None | Some("" | "ONE" | "QUORUM" | "ALL") => Ok(()),
        Some(level) => {
            let text =
                format!("unrecognized consistency level '{level}', try one of the following: ['ONE', 'QUORUM', 'ALL']");
            Err(Reply::error(StatusCode::BAD_REQUEST, &text))
        }
    }
}

/// What stands before the texts of errors, by their kind.
pub(super) struct Words<'a> {
    /// Before what is wrong with an object.
    pub(super) invalid: &'a str,
    /// Before a tenant that is there but cannot be used, or was not given.
    pub(super) shard: &'a str,
    /// Before a tenant that is not there.
    pub(super) no_tenant: &'a str,
}

/// An error of one object as an answer.
pub(super) fn refuse(error: ObjectError, words: &Words<'_>) -> Reply {
    let unprocessable = |text: String| Reply::error(StatusCode::UNPROCESSABLE_ENTITY, &text);
    match error {
        ObjectError::NotFound => Reply::empty(StatusCode::NOT_FOUND),
        ObjectError::App(error) | ObjectError::UsageLimit(error) => error.into(),
        ObjectError::NoCollection(name) => {
            unprocessable(format!("{}class \"{name}\" not found in schema", words.invalid))
        }
        ObjectError::Route(RouteError::NotFound(_)) => {
            unprocessable(format!("{}{}", words.no_tenant, texts::object(&error)))
        }
        ObjectError::Route(_) => unprocessable(format!("{}{}", words.shard, texts::object(&error))),
        ObjectError::Vectorizer(_) => Reply::error(StatusCode::INTERNAL_SERVER_ERROR, &texts::object(&error)),
        ObjectError::Exists(_) => unprocessable(texts::object(&error)),
        ObjectError::Unreadable(_)
        | ObjectError::Invalid(_)
        | ObjectError::Property(_)
        | ObjectError::Extension(_)
        | ObjectError::Vector(_)
        | ObjectError::WrongDimension { .. }
        | ObjectError::ReadOnly { .. }
        | ObjectError::Reference(_) => unprocessable(format!("{}{}", words.invalid, texts::object(&error))),
    }
}
