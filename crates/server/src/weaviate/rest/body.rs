//! Bodies of REST requests: JSON (or a flat YAML map) checked against the model of the route.
//!
//! A body that cannot be read is refused in the envelope of the HTTP layer: 400 with the reason, 422/602 when it is missing.

use axum::body::Bytes;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use serde_json::{Map, Value};

use super::json::{self, JsonError, Shape};
use super::message::{Reply, RestRequest};
use super::models;

/// Why the body of a request could not be taken from the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum BodyError {
    /// It is longer than the settings allow.
    TooLarge {
        /// The limit.
        bytes_max: usize,
    },
    /// The connection broke, or the framing was wrong.
    Unreadable(String),
}

impl From<BodyError> for Reply {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge { bytes_max } => {
                Self::coded(StatusCode::PAYLOAD_TOO_LARGE, 413, &format!("the body is larger than {bytes_max} bytes"))
            }
            BodyError::Unreadable(text) => Self::coded(StatusCode::BAD_REQUEST, 400, &text),
        }
    }
}

/// The body of a request, which `param` calls in error texts, as the Go type `model` (such as `models.Class`).
///
/// Keys of known models are answered in their right case, keys that a model does not know and nulls of its fields are
/// left out; what a model holds as free data is answered as it came. A `null` body is an empty object or list.
///
/// # Errors
/// The answer to give: 400 for malformed JSON or a wrong type, 422 with code 602 for a missing body.
pub(crate) fn decode(req: &RestRequest, param: &str, model: &str) -> Result<Value, Reply> {
    let value = read(&req.body, media_type(req).ends_with("yaml"), models::shape(model));
    let checked = value.and_then(|value| models::check(model, value).map_err(JsonError::Syntax));
    checked.map_err(|error| match error {
        JsonError::Empty => missing(param),
        JsonError::Syntax(text) => {
            let message = format!("parsing {param} body from \"\" failed, because {text}");
            Reply::coded(StatusCode::BAD_REQUEST, 400, &message)
        }
    })
}

/// 422 with code 602: something that the model needs is not there.
pub(crate) fn missing(what: &str) -> Reply {
    Reply::coded(StatusCode::UNPROCESSABLE_ENTITY, 602, &format!("{what} in body is required"))
}

/// 422 with code 606: `what` (such as `tokenization in body`) is none of the words it can be.
pub(crate) fn not_one_of(what: &str, words: &[&str]) -> Reply {
    let message = format!("{what} should be one of [{}]", words.join(" "));
    Reply::coded(StatusCode::UNPROCESSABLE_ENTITY, 606, &message)
}

/// Media type of the body in small letters, without parameters.
pub(super) fn media_type(req: &RestRequest) -> String {
    let given = req.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    given.split(';').next().unwrap_or_default().trim().to_lowercase()
}

fn read(body: &Bytes, yaml: bool, shape: impl Shape) -> Result<Value, JsonError> {
    if yaml && !matches!(body.trim_ascii_start().first(), Some(b'{' | b'[' | b'"') | None) {
        return flat_yaml(&String::from_utf8_lossy(body), shape);
    }
    json::parse(body, shape)
}

/// A YAML map of plain scalars. Everything deeper is refused rather than misread; JSON, which is YAML, is always read.
fn flat_yaml(text: &str, shape: impl Shape) -> Result<Value, JsonError> {
    let refuse =
        |line: &str| JsonError::Syntax(format!("yaml: only a map of plain scalars is understood, not {line:?}"));
    let mut map = Map::new();
    for line in text.lines() {
        let line = line.trim_end();
        if line.is_empty() || line.starts_with('#') || line == "---" {
            continue;
        }
        let (key, value) = line.split_once(':').ok_or_else(|| refuse(line))?;
        let value = value.trim();
        if key.starts_with([' ', '\t', '-']) || value.is_empty() || value.starts_with(['&', '*', '|', '>', '!', '\'']) {
            return Err(refuse(line));
        }
        let plain = || Value::String(value.to_owned());
        map.insert(
            shape.field(key).0.unwrap_or(key).to_owned(),
            serde_json::from_str(value).unwrap_or_else(|_| plain()),
        );
    }
    Ok(Value::Object(map))
}
