//! Values of properties, after validation and conversion.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Date, nested};
use crate::limits::STORED_DEPTH_MAX;

/// Values by property name.
pub type Properties = BTreeMap<String, Value>;

/// A value of a property.
///
/// All elements of a list have the same kind; the schema defines the kind of an empty list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Value {
    /// Null, which occurs only inside nested objects: a top-level property that is null is absent.
    Null,
    /// `boolean`
    Bool(bool),
    /// `int`
    Int(i64),
    /// `number`; finite.
    Number(f64),
    /// `text`
    Text(String),
    /// `date`
    Date(Date),
    /// `uuid`
    Uuid(Uuid),
    /// `geoCoordinates`
    Geo(Geo),
    /// `phoneNumber`
    Phone(Box<Phone>),
    /// `blob`: the base64 text of the input.
    Blob(String),
    /// `object`
    Object(#[serde(deserialize_with = "nested::within::<DECODED_DEPTH_MAX, _, _>")] Properties),
    /// Any list.
    List(#[serde(deserialize_with = "nested::within::<DECODED_DEPTH_MAX, _, _>")] Vec<Value>),
    /// References, in the order of the input.
    /// References, in the order of the input.
    References(Vec<Beacon>),
}

/// A position on Earth, in degrees.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Geo {
    pub latitude: f32,
    pub longitude: f32,
}

/// A phone number, parsed from its input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Phone {
    /// The input.
    pub input: String,
    /// ISO 3166-1 alpha-2, upper case; empty if the input is international.
    pub default_country: String,
    /// `+49 171 1234567`
    pub international_formatted: String,
    /// `0171 1234567`
    pub national_formatted: String,
    /// National significant number.
    pub national: u64,
    /// Calling code.
    pub country_code: u64,
    /// Whether the number is valid in the numbering plan of its country.
    pub valid: bool,
}

/// A reference to another object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Beacon {
    /// Name of the collection; `None` for a beacon without one.
    pub collection: Option<String>,
    /// Id of the object.
    pub id: Uuid,
}

/// Levels of values that are decoded at most. The limit is above the limit of apply, so that apply refuses a value
/// that is too deep, with its own error text.
const DECODED_DEPTH_MAX: usize = 2 * STORED_DEPTH_MAX + 1;

/// Number of containers around the deepest value within `value`, including `value`. Stops counting above
/// [`STORED_DEPTH_MAX`].
pub fn value_depth(value: &Value) -> usize {
    depth_below(value, STORED_DEPTH_MAX + 1)
}

fn depth_below(value: &Value, left: usize) -> usize {
    if left == 0 {
        return 0;
    }
    match value {
        Value::Object(properties) => {
            1 + properties.values().map(|value| depth_below(value, left - 1)).max().unwrap_or(0)
        }
        Value::List(values) => 1 + values.iter().map(|value| depth_below(value, left - 1)).max().unwrap_or(0),
        Value::References(_) => 1,
        Value::Null
        | Value::Bool(_)
        | Value::Int(_)
        | Value::Number(_)
        | Value::Text(_)
        | Value::Date(_)
        | Value::Uuid(_)
        | Value::Geo(_)
        | Value::Phone(_)
        | Value::Blob(_) => 0,
    }
}
