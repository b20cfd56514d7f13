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
    given: InputMap,
) -> Result<Converted, PropertyError> {
    let mut converted = Converted::default();
    let lookup = PropertyLookup::new(collection, given.len());
    for (given_name, value) in given.members {
        let name = match property_name(&given_name) {
            Cow::Borrowed(_) => given_name,
            Cow::Owned(name) => name,
        };
        if value.is_null() {
            converted.nulls.push(name);
            continue;
        }
        let Some(property) = extension.property(&name).or_else(|| lookup.by_name(&name)) else {
            return Err(PropertyError::NoSuchProperty { property: name, collection: collection.name.clone() });
        };
        let value = Convert { collection }.value(property, &name, value, 0)?;
        if let Value::References(beacons) = &value {
            converted.references.extend(beacons.iter().map(|beacon| (name.clone(), beacon.clone())));
        }
        converted.properties.insert(name, value);
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
    fn value(&self, property: &Property, path: &str, value: InputValue, depth: usize) -> Result<Value, PropertyError> {
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

    fn object(&self, property: &Property, path: &str, value: InputValue, depth: usize) -> Result<Value, ValueError> {
        let kind = value.kind();
        let InputValue::Map(map) = value else { return Err(ValueError::WrongKind(kind)) };
        within(depth)?;
        let mut properties = Properties::new();
        for (name, value) in map.members {
            let path = format!("{path}.{name}");
            let Some(nested) = property.nested.iter().find(|nested| nested.name == *name) else {
                return Err(ValueError::UnknownInner(path));
            };
            let value = match value {
                InputValue::Null => Value::Null,
                value => self
                    .value(nested, &path, value, depth + 1)
                    .map_err(|error| ValueError::Inner { path, error: Box::new(error) })?,
            };
            properties.insert(name, value);
        }
        Ok(Value::Object(properties))
    }

    fn objects(&self, property: &Property, path: &str, value: InputValue, depth: usize) -> Result<Value, ValueError> {
        let kind = value.kind();
        let InputValue::List(values) = value else { return Err(ValueError::WrongKind(kind)) };
        within(depth)?;
        let element = |(position, value): (usize, InputValue)| {
            let object = self.object(property, path, value, depth + 1);
            object.map_err(|error| ValueError::Element { position, error: Box::new(error) })
        };
        Ok(Value::List(values.into_iter().enumerate().map(element).collect::<Result<_, _>>()?))
    }
}

fn one(of: Primitive, value: InputValue) -> Result<Value, ValueError> {
    match (of, value) {
        (Primitive::Text, InputValue::Text(text)) => Ok(Value::Text(text)),
        (Primitive::Blob | Primitive::BlobHash, InputValue::Text(text)) => {
            let valid = !text.is_empty() && STANDARD.decode(&text).is_ok();
            if valid { Ok(Value::Blob(text)) } else { Err(ValueError::NotBase64) }
        }
        (Primitive::GeoCoordinates, InputValue::Map(map)) => geo(&map).map(Value::Geo),
        (Primitive::PhoneNumber, InputValue::Map(map)) => phone::parse(&map).map(|phone| Value::Phone(Box::new(phone))),
        (of, value) => scalar(of, &value).ok_or_else(|| match of {
            Primitive::Int | Primitive::Number | Primitive::Date | Primitive::Uuid => ValueError::WrongValue(value),
            _ => ValueError::WrongKind(value.kind()),
        }),
    }
}

/// A value of a type that is copied.
fn scalar(of: Primitive, value: &InputValue) -> Option<Value> {
    match (of, value) {
        (Primitive::Int, value) => int(value).map(Value::Int),
        (Primitive::Number, value) => number(value).map(Value::Number),
        (Primitive::Boolean, InputValue::Bool(value)) => Some(Value::Bool(*value)),
        (Primitive::Date, value) => value.as_text().and_then(date::parse).map(Value::Date),
        (Primitive::Uuid, value) => value.as_text().and_then(uuid_text::parse).map(Value::Uuid),
        _ => None,
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

fn list(of: Primitive, value: InputValue) -> Result<Value, ValueError> {
    let kind = value.kind();
    let InputValue::List(values) = value else { return Err(ValueError::WrongKind(kind)) };
    let converted = match of {
        // Texts are moved, so the list is checked before.
        Primitive::Text if values.iter().all(|value| value.as_text().is_some()) => {
            let text = |value| if let InputValue::Text(text) = value { Some(Value::Text(text)) } else { None };
            return Ok(Value::List(values.into_iter().filter_map(text).collect()));
        }
        of => values.iter().map(|value| scalar(of, value)).collect::<Option<_>>(),
    };
    converted.map(Value::List).ok_or(ValueError::WrongValue(InputValue::List(values)))
}

/// Refuses a further object or list beyond the limit of nesting.
fn within(depth: usize) -> Result<(), ValueError> {
    if depth < DEPTH_MAX { Ok(()) } else { Err(ValueError::TooDeep) }
}

fn references(targets: &[String], value: InputValue) -> Result<Value, PropertyError> {
    let values = match value {
        InputValue::List(values) => values,
        other => return Err(PropertyError::NoListOfReferences(other)),
    };
    let reference = |value: InputValue| match value {
        InputValue::Map(mut map) => match map.target.take() {
            Some(Err(text)) => Err(PropertyError::Unreadable(text)),
            Some(Ok(mut beacon)) => {
                if let (None, [only]) = (&beacon.collection, targets) {
                    beacon.collection = Some(only.clone());
                }
                Ok(beacon)
            }
            None => Err(PropertyError::NoReference(InputValue::Map(map))),
        },
        other => Err(PropertyError::NoReference(other)),
    };
    Ok(Value::References(values.into_iter().map(reference).collect::<Result<_, _>>()?))
}
