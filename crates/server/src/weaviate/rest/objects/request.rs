//! What a request says of an object: its id, its class, its body.

use std::collections::BTreeMap;

use azimuth_engine::object::Vector;
use http::StatusCode;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::app::objects::{Draft, GivenVectors, InputMap, uuid_text};
use crate::app::schema::names::upper_first;
use crate::weaviate::objects::{input, literal, plain};
use crate::weaviate::rest::message::Reply;

/// The id in a path.
///
/// # Errors
/// 422 with code 601.
pub(super) fn path_id(text: &str) -> Result<Uuid, Reply> {
    uuid_text::parse(text).ok_or_else(|| not_an_id("id in path", text))
}

/// The id in a body; `place` names it. None when there is none.
///
/// # Errors
/// 422 with code 601.
pub(crate) fn object_id(body: &Map<String, Value>, place: &str) -> Result<Option<Uuid>, Reply> {
    match body.get("id").and_then(Value::as_str) {
        None | Some("") => Ok(None),
        Some(text) => uuid_text::parse(text).map(Some).ok_or_else(|| not_an_id(place, text)),
    }
}

fn not_an_id(place: &str, text: &str) -> Reply {
    let message = format!("{place} must be of type uuid: {}", Value::from(text));
    Reply::coded(StatusCode::UNPROCESSABLE_ENTITY, 601, &message)
}

/// The object that a body (checked as `models.Object`) describes. Its properties are taken out of the body when they are
/// a map; what else was given under their name, and its vectors, stay there for the answer.
///
/// # Errors
/// 400 for vectors that are none.
pub(crate) fn draft(body: &mut Map<String, Value>, id: Option<Uuid>) -> Result<Draft, Reply> {
    let unreadable = unreadable(body);
    let properties = match body.get_mut("properties").map(Value::take) {
        Some(Value::Object(map)) => input::map(map),
        Some(other) if !other.is_null() => {
            body.insert("properties".to_owned(), other);
            InputMap::default()
        }
        _ => InputMap::default(),
    };
    let tenant = body.get("tenant").and_then(Value::as_str).filter(|tenant| !tenant.is_empty());
    Ok(Draft {
        collection: upper_first(body.get("class").and_then(Value::as_str).unwrap_or_default()),
        id,
        properties,
        tenant: tenant.map(str::to_owned),
        vectors: vectors(body)?,
        unreadable,
    })
}

/// What no schema can make right: weights or properties that are no map.
fn unreadable(body: &Map<String, Value>) -> Option<String> {
    let texts = |weights: &Value| weights.as_object().is_some_and(|weights| weights.values().all(Value::is_string));
    if let Some(weights) = body.get("vectorWeights").filter(|weights| !weights.is_null() && !texts(weights)) {
        let given = literal(weights);
        return Some(format!("vector weights: must be key/value object with strings as keys and values, got {given}"));
    }
    let properties = body.get("properties").filter(|properties| !properties.is_null() && !properties.is_object())?;
    Some(format!("could not recognize object's properties: {}", plain(properties)))
}

fn vectors(body: &Map<String, Value>) -> Result<GivenVectors, Reply> {
    let unnamed = match body.get("vector") {
        Some(Value::Array(values)) => Some(values.iter().map(component).collect::<Option<_>>().ok_or_else(|| {
            Reply::coded(
                StatusCode::BAD_REQUEST,
                400,
                "parsing body body from \"\" failed, because vector: not a vector",
            )
        })?),
        _ => None,
    };
    let mut named = BTreeMap::new();
    if let Some(Value::Object(map)) = body.get("vectors") {
        for (name, value) in map.iter().filter(|(_, value)| !value.is_null()) {
            named.insert(name.clone(), vector(value).ok_or_else(|| {
                let text = format!(
                    "parsing body body from \"\" failed, because vectors: cannot unmarshal vector into either []float32 \
                     or [][]float32 for target vector {name}"
                );
                Reply::coded(StatusCode::BAD_REQUEST, 400, &text)
            })?);
        }
    }
    Ok(GivenVectors { unnamed, named })
}

/// A single vector, or several of one length.
fn vector(value: &Value) -> Option<Vector> {
    let values = value.as_array()?;
    if !values.first().is_some_and(Value::is_array) {
        return values.iter().map(component).collect::<Option<_>>().map(Vector::Single);
    }
    let dim = values.first()?.as_array()?.len();
    let mut rows = Vec::with_capacity(dim * values.len());
    for row in values {
        let row = row.as_array().filter(|row| row.len() == dim)?;
        for value in row {
            rows.push(component(value)?);
        }
    }
    Some(Vector::Multi { dim: u32::try_from(dim).ok()?, rows })
}

fn component(value: &Value) -> Option<f32> {
    match value {
        // Go leaves a null element at zero.
        Value::Null => Some(0.0),
        Value::Number(number) => number.as_str().parse().ok().filter(|value: &f32| value.is_finite()),
        _ => None,
    }
}
