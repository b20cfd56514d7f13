//! Values of properties, already checked and converted.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Date;

/// Values by property name.
pub type Properties = BTreeMap<String, Value>;

/// A value of a property.
///
/// A list holds values of one kind; an empty list takes its kind from the schema.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Value {
    /// Only inside nested objects; at the top level null means absent.
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
    /// `blob`: base64 text as it was given.
    Blob(String),
    /// `object`
    Object(Properties),
    /// Any list.
    List(Vec<Value>),
    /// References, in the order they were given.
    References(Vec<Beacon>),
}

/// A place on Earth in degrees.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Geo {
    pub latitude: f32,
    pub longitude: f32,
}

/// A phone number, as parsed from its input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Phone {
    /// As it was given.
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
    /// Whether the number exists in its country's plan.
    pub valid: bool,
}

/// A reference to another object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Beacon {
    /// Name of the collection; `None` where the wire left it open.
    pub collection: Option<String>,
    /// Id of the object.
    pub id: Uuid,
}
