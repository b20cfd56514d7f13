//! Properties as they come from the wire -> the engine's values, checked against the schema.

use std::borrow::Cow;

use azimuth_engine::limits::DEPTH_MAX;
use azimuth_engine::object::{Beacon, Geo, Properties, Value};
use azimuth_engine::schema::{Collection, DataType, Primitive, Property, PropertyLookup};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value as Json};

use super::auto_schema::Extension;
use super::{Wire, date, phone, uuid_text};
use crate::app::schema::names::lower_first;
use crate::weaviate::objects::{beacon, given, list_as_text, plain, type_name};
use crate::weaviate::texts::no_such_property;

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
/// The first wrong value, in the wire's words.
pub(super) fn properties(
    collection: &Collection,
    extension: &Extension,
    given: &Map<String, Json>,
    wire: Wire,
) -> Result<Converted, String> {
    let mut converted = Converted::default();
    let lookup = PropertyLookup::new(collection, given.len());
    for (name, value) in given {
        let name = property_name(name);
        if value.is_null() {
            converted.nulls.push(name.into_owned());
            continue;
        }
        let Some(property) = extension.property(&name).or_else(|| lookup.by_name(&name)) else {
            return Err(no_such_property(&name, &collection.name));
        };
        let value = Convert { collection, wire }.value(property, &name, value, 0)?;
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
    wire: Wire,
}

impl Convert<'_> {
    /// `depth` objects and lists are around the value.
    fn value(&self, property: &Property, path: &str, value: &Json, depth: usize) -> Result<Value, String> {
        let (kind, converted) = match &property.data_type {
            DataType::Primitive { of, list: false } => (one_kind(*of), self.one(*of, value)),
            DataType::Primitive { of, list: true } => {
                (list_kind(*of), within(depth).and_then(|()| self.list(*of, value)))
            }
            DataType::Object { list: false } => ("object", self.object(property, path, value, depth)),
            DataType::Object { list: true } => ("object[]", self.objects(property, path, value, depth)),
            DataType::Reference(targets) => return references(targets, value),
        };
        converted.map_err(|why| format!("invalid {kind} property '{path}' on class '{}': {why}", self.collection.name))
    }

    fn one(&self, of: Primitive, value: &Json) -> Result<Value, String> {
        match of {
            Primitive::Text => match value {
                Json::String(text) => Ok(Value::Text(text.clone())),
                other => Err(format!("not a string, but {}", type_name(other, self.wire))),
            },
            Primitive::Int => self.int(value),
            Primitive::Number => self.number(value),
            Primitive::Boolean => match value {
                Json::Bool(value) => Ok(Value::Bool(*value)),
                other => Err(format!("not a bool, but {}", type_name(other, self.wire))),
            },
            Primitive::Date => value.as_str().and_then(date::parse).map(Value::Date).ok_or_else(|| {
                let given = given(value, self.wire);
                format!("requires a string with a RFC3339 formatted date, but the given value is '{given}'")
            }),
            Primitive::Uuid => value.as_str().and_then(uuid_text::parse).map(Value::Uuid).ok_or_else(|| {
                format!("requires a string of UUID format, but the given value is '{}'", given(value, self.wire))
            }),
            Primitive::GeoCoordinates => self.geo(value),
            Primitive::PhoneNumber => match value {
                Json::Object(map) => phone::parse(map).map(|phone| Value::Phone(Box::new(phone))),
                other => Err(format!("phoneNumber must be a map, but got: {}", type_name(other, self.wire))),
            },
            Primitive::Blob | Primitive::BlobHash => match value {
                Json::String(text) if !text.is_empty() && STANDARD.decode(text).is_ok() => {
                    Ok(Value::Blob(text.clone()))
                }
                Json::String(_) => Err("not a valid blob base64 string".to_owned()),
                other => Err(format!("not a blob base64 string, but {}", type_name(other, self.wire))),
            },
        }
    }

    fn int(&self, value: &Json) -> Result<Value, String> {
        let refuse = || format!("requires an integer, the given value is '{}'", given(value, self.wire));
        let Json::Number(number) = value else { return Err(refuse()) };
        if let Ok(int) = number.as_str().parse() {
            return Ok(Value::Int(int));
        }
        if self.wire == Wire::Rest {
            return Err(format!("the JSON number '{number}' could not be converted to an int"));
        }
        whole(number).map(Value::Int).ok_or_else(refuse)
    }

    fn number(&self, value: &Json) -> Result<Value, String> {
        let Json::Number(number) = value else {
            return Err(format!("requires a float, the given value is '{}'", given(value, self.wire)));
        };
        let float = number.as_str().parse::<f64>().ok().filter(|float| float.is_finite());
        float.map(Value::Number).ok_or_else(|| format!("the JSON number '{number}' could not be converted to a float."))
    }

    fn geo(&self, value: &Json) -> Result<Value, String> {
        let Json::Object(map) = value else {
            return Err(format!("geoCoordinates must be a map, but got: {}", type_name(value, self.wire)));
        };
        let missing = |name: &str| format!("geoCoordinates is missing required field '{name}'");
        let longitude = map.get("longitude").ok_or_else(|| missing("longitude"))?;
        let latitude = map.get("latitude").ok_or_else(|| missing("latitude"))?;
        let degrees = |name: &str, value: &Json| {
            let number = value.as_number().and_then(|number| number.as_str().parse::<f32>().ok());
            number.filter(|degrees| degrees.is_finite()).ok_or_else(|| {
                format!("invalid {name}: must be json.Number or float, but got {}", type_name(value, self.wire))
            })
        };
        let longitude = degrees("longitude", longitude)?;
        Ok(Value::Geo(Geo { latitude: degrees("latitude", latitude)?, longitude }))
    }

    fn list(&self, of: Primitive, value: &Json) -> Result<Value, String> {
        // Lists of numbers are called lists of integers in these texts.
        let (article, name) = match of {
            Primitive::Int | Primitive::Number => ("an", "integer"),
            Primitive::Text => ("a", "text"),
            Primitive::Boolean => ("a", "boolean"),
            Primitive::Date => ("a", "date"),
            _ => ("a", "uuid"),
        };
        let Json::Array(values) = value else {
            return Err(format!("not {article} {name} array, but {}", type_name(value, self.wire)));
        };
        let converted: Result<_, String> = values.iter().map(|value| self.one(of, value)).collect();
        converted
            .map(Value::List)
            .map_err(|_| format!("invalid {name} array value: {}", list_as_text(values, self.wire)))
    }

    fn object(&self, property: &Property, path: &str, value: &Json, depth: usize) -> Result<Value, String> {
        let Json::Object(map) = value else {
            return Err(format!("object must be a map, but got: {}", type_name(value, self.wire)));
        };
        within(depth)?;
        let mut properties = Properties::new();
        for (name, value) in map {
            let path = format!("{path}.{name}");
            let Some(nested) = property.nested.iter().find(|nested| nested.name == *name) else {
                return Err(format!("unknown property '{path}'"));
            };
            let value = match value {
                Json::Null => Value::Null,
                value => {
                    self.value(nested, &path, value, depth + 1).map_err(|why| format!("property '{path}': {why}"))?
                }
            };
            properties.insert(name.clone(), value);
        }
        Ok(Value::Object(properties))
    }

    fn objects(&self, property: &Property, path: &str, value: &Json, depth: usize) -> Result<Value, String> {
        let Json::Array(values) = value else {
            return Err(format!("not an object array, but {}", type_name(value, self.wire)));
        };
        within(depth)?;
        let element = |(at, value): (usize, &Json)| {
            let object = self.object(property, path, value, depth + 1);
            object.map_err(|why| format!("invalid object '{at}' in array: {why}"))
        };
        Ok(Value::List(values.iter().enumerate().map(element).collect::<Result<_, _>>()?))
    }
}

/// Refuses a further object or list beyond the limit of nesting.
fn within(depth: usize) -> Result<(), String> {
    if depth < DEPTH_MAX { Ok(()) } else { Err(format!("objects and lists are nested deeper than {DEPTH_MAX}")) }
}

fn references(targets: &[String], value: &Json) -> Result<Value, String> {
    let Json::Array(values) = value else {
        return Err(format!("reference property is not a slice {}", plain(value)));
    };
    let reference = |value: &Json| match value.get("beacon") {
        Some(Json::String(text)) => {
            let mut beacon = beacon::parse(text).map_err(|error| error.to_string())?;
            if let (None, [only]) = (&beacon.collection, targets) {
                beacon.collection = Some(only.clone());
            }
            Ok(beacon)
        }
        other => Err(format!("beacon property is not a string: {}", plain(other.unwrap_or(&Json::Null)))),
    };
    Ok(Value::References(values.iter().map(reference).collect::<Result<_, _>>()?))
}

/// The integer that a float holds exactly.
fn whole(number: &serde_json::Number) -> Option<i64> {
    let float = number.as_str().parse::<f64>().ok()?;
    // 2^63 is the first float beyond the range.
    let in_range = float.fract() == 0.0 && (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&float);
    #[allow(clippy::cast_possible_truncation, reason = "checked to be whole and in range")]
    in_range.then_some(float as i64)
}

fn one_kind(of: Primitive) -> &'static str {
    match of {
        Primitive::Text => "text",
        Primitive::Int => "integer",
        Primitive::Number => "number",
        Primitive::Boolean => "boolean",
        Primitive::Date => "date",
        Primitive::Uuid => "uuid",
        Primitive::GeoCoordinates => "geoCoordinates",
        Primitive::PhoneNumber => "phoneNumber",
        Primitive::Blob | Primitive::BlobHash => "blob",
    }
}

fn list_kind(of: Primitive) -> &'static str {
    match of {
        Primitive::Text => "text array",
        Primitive::Int => "integer array",
        Primitive::Number => "number array",
        Primitive::Boolean => "boolean array",
        Primitive::Date => "date array",
        _ => "uuid array",
    }
}
