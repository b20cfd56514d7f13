//! Properties as they come from a front end -> the engine's values, checked against the schema.

use std::borrow::Cow;

use azimuth_engine::limits::DEPTH_MAX;
use azimuth_engine::object::{Beacon, Geo, Properties, Value};
use azimuth_engine::schema::{Collection, DataType, Primitive, Property, PropertyLookup};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::auto_schema::Extension;
use super::error::{PropertyError, ValueError, WrongProperty};
use super::input::{InputMap, InputValue};
use super::{date, phone, uuid_text};
use crate::app::schema::names::lower_first;

/// Properties that were converted.
#[derive(Debug, Default)]
pub(crate) struct Converted {
    /// The values; what was null is not among them.
    pub(crate) properties: Properties,
    /// Names of top-level properties that were null.
    pub(crate) nulls: Vec<String>,
    /// References, each with its property, whose targets must exist.
    pub(crate) references: Vec<(String, Beacon)>,
}

/// Converts the properties of an object of `collection`, as it is with `extension`.
///
/// # Errors
/// The first wrong value.
pub(super) fn properties(
    collection: &Collection,
    extension: &Extension,
    given: &InputMap,
) -> Result<Converted, PropertyError> {
    let mut converted = Converted::default();
    let lookup = PropertyLookup::new(collection, given.len());
    for (name, value) in &given.members {
        let name = property_name(name);
        if value.is_null() {
            converted.nulls.push(name.into_owned());
            continue;
        }
        let Some(property) = extension.property(&name).or_else(|| lookup.by_name(&name)) else {
            let collection = collection.name.clone();
            return Err(PropertyError::NoSuchProperty { property: name.into_owned(), collection });
        };
        let value = Convert { collection }.value(property, &name, value, 0)?;
        if let Value::References(beacons) = &value {
            converted.references.extend(beacons.iter().map(|beacon| (name.clone().into_owned(), beacon.clone())));
        }
        converted.properties.insert(name.into_owned(), value);
    }
    Ok(converted)
}

/// The name that a property is stored under: the first letter is in lower case.
pub(crate) fn property_name(given: &str) -> Cow<'_, str> {
    if given.starts_with(char::is_uppercase) { Cow::Owned(lower_first(given)) } else { Cow::Borrowed(given) }
}

struct Convert<'a> {
    collection: &'a Collection,
}

impl Convert<'_> {
    /// `depth` objects and lists are around the value.
    fn value(&self, property: &Property, path: &str, value: &InputValue, depth: usize) -> Result<Value, PropertyError> {
        let converted = match &property.data_type {
            DataType::Primitive { of, list: false } => one(*of, value),
            DataType::Primitive { of, list: true } => within(depth).and_then(|()| list(*of, value)),
            DataType::Object { list: false } => self.object(property, path, value, depth),
            DataType::Object { list: true } => self.objects(property, path, value, depth),
            DataType::Reference(targets) => return references(targets, value),
        };
        converted.map_err(|error| {
            let (path, collection) = (path.to_owned(), self.collection.name.clone());
            let wrong = WrongProperty { path, collection, data_type: property.data_type.clone(), error };
            PropertyError::Wrong(Box::new(wrong))
        })
    }

    fn object(&self, property: &Property, path: &str, value: &InputValue, depth: usize) -> Result<Value, ValueError> {
        let InputValue::Map(map) = value else { return Err(ValueError::WrongKind(value.kind())) };
        within(depth)?;
        let mut properties = Properties::new();
        for (name, value) in &map.members {
            let path = format!("{path}.{name}");
            let Some(nested) = property.nested.iter().find(|nested| nested.name == *name) else {
                return Err(ValueError::UnknownInner(path));
            };
            let value = match value {
                InputValue::Null => Value::Null,
                value => self.value(nested, &path, value, depth + 1).map_err(|error| {
                    let error = Box::new(error);
                    ValueError::Inner { path, error }
                })?,
            };
            properties.insert(name.clone(), value);
        }
        Ok(Value::Object(properties))
    }

    fn objects(&self, property: &Property, path: &str, value: &InputValue, depth: usize) -> Result<Value, ValueError> {
        let InputValue::List(values) = value else { return Err(ValueError::WrongKind(value.kind())) };
        within(depth)?;
        let element = |(position, value): (usize, &InputValue)| {
            let object = self.object(property, path, value, depth + 1);
            object.map_err(|error| ValueError::Element { position, error: Box::new(error) })
        };
        Ok(Value::List(values.iter().enumerate().map(element).collect::<Result<_, _>>()?))
    }
}

fn one(of: Primitive, value: &InputValue) -> Result<Value, ValueError> {
    let wrong_value = || ValueError::WrongValue(value.clone());
    match (of, value) {
        (Primitive::Text, InputValue::Text(text)) => Ok(Value::Text(text.clone())),
        (Primitive::Int, value) => int(value).map(Value::Int).ok_or_else(wrong_value),
        (Primitive::Number, value) => number(value).map(Value::Number).ok_or_else(wrong_value),
        (Primitive::Boolean, InputValue::Bool(value)) => Ok(Value::Bool(*value)),
        (Primitive::Date, value) => value.as_text().and_then(date::parse).map(Value::Date).ok_or_else(wrong_value),
        (Primitive::Uuid, value) => value.as_text().and_then(uuid_text::parse).map(Value::Uuid).ok_or_else(wrong_value),
        (Primitive::GeoCoordinates, InputValue::Map(map)) => geo(map).map(Value::Geo),
        (Primitive::PhoneNumber, InputValue::Map(map)) => phone::parse(map).map(|phone| Value::Phone(Box::new(phone))),
        (Primitive::Blob | Primitive::BlobHash, InputValue::Text(text)) => {
            let valid = !text.is_empty() && STANDARD.decode(text).is_ok();
            if valid { Ok(Value::Blob(text.clone())) } else { Err(ValueError::NotBase64) }
        }
        _ => Err(ValueError::WrongKind(value.kind())),
    }
}

fn int(value: &InputValue) -> Option<i64> {
    match value {
        InputValue::Int(int) => Some(*int),
        InputValue::Decimal(digits) => digits.parse().ok(),
        InputValue::Float(float) => whole(*float),
        _ => None,
    }
}

fn number(value: &InputValue) -> Option<f64> {
    match value {
        #[expect(clippy::cast_precision_loss, reason = "numbers are doubles")]
        InputValue::Int(int) => Some(*int as f64),
        InputValue::Decimal(digits) => digits.parse::<f64>().ok().filter(|float| float.is_finite()),
        InputValue::Float(float) => Some(*float),
        _ => None,
    }
}

/// The integer that a float holds exactly.
fn whole(float: f64) -> Option<i64> {
    // 2^63 is the first float beyond the range.
    let in_range = float.fract() == 0.0 && (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&float);
    #[allow(clippy::cast_possible_truncation, reason = "checked to be whole and in range")]
    in_range.then_some(float as i64)
}

fn geo(map: &InputMap) -> Result<Geo, ValueError> {
    let longitude = map.get("longitude").ok_or(ValueError::MissingField("longitude"))?;
    let latitude = map.get("latitude").ok_or(ValueError::MissingField("latitude"))?;
    let degrees = |name: &'static str, value: &InputValue| {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_precision_loss,
            reason = "places are floats of 32 bits"
        )]
        let degrees = match value {
            InputValue::Int(int) => Some(*int as f32),
            InputValue::Decimal(digits) => digits.parse().ok(),
            InputValue::Float(float) => Some(*float as f32),
            _ => None,
        };
        degrees
            .filter(|degrees: &f32| degrees.is_finite())
            .ok_or_else(|| ValueError::WrongField { name, kind: value.kind() })
    };
    let longitude = degrees("longitude", longitude)?;
    Ok(Geo { latitude: degrees("latitude", latitude)?, longitude })
}

fn list(of: Primitive, value: &InputValue) -> Result<Value, ValueError> {
    let InputValue::List(values) = value else { return Err(ValueError::WrongKind(value.kind())) };
    let converted: Result<_, ValueError> = values.iter().map(|value| one(of, value)).collect();
    converted.map(Value::List).map_err(|_| ValueError::WrongValue(value.clone()))
}

/// Refuses a further object or list beyond the limit of nesting.
fn within(depth: usize) -> Result<(), ValueError> {
    if depth < DEPTH_MAX { Ok(()) } else { Err(ValueError::TooDeep) }
}

fn references(targets: &[String], value: &InputValue) -> Result<Value, PropertyError> {
    let InputValue::List(values) = value else { return Err(PropertyError::NoListOfReferences(value.clone())) };
    let reference = |value: &InputValue| match value.as_map().and_then(|map| map.target.clone()) {
        Some(Ok(mut beacon)) => {
            if let (None, [only]) = (&beacon.collection, targets) {
                beacon.collection = Some(only.clone());
            }
            Ok(beacon)
        }
        Some(Err(text)) => Err(PropertyError::Unreadable(text)),
        None => Err(PropertyError::NoReference(value.clone())),
    };
    Ok(Value::References(values.iter().map(reference).collect::<Result<_, _>>()?))
}
