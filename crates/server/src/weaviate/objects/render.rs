//! Objects as the wire's JSON shows them.

use azimuth_engine::ids::VectorId;
use azimuth_engine::object::{Object, Phone, Properties, Value, Vectors};
use azimuth_engine::schema::Collection;
use serde_json::{Map, Number, Value as Json, json};

use super::beacon;
use crate::weaviate::tree::{Members, Tree, Whole};

/// Properties as JSON. `href` says whether references carry a path beside their beacon.
pub(crate) fn properties(properties: &Properties, href: bool) -> Json {
    Json::Object(properties.iter().map(|(name, value)| (name.clone(), self::value(value, href))).collect())
}

/// Adds the times of an object to its properties, where answers to writes show them if the collection indexes them.
pub(crate) fn put_times(properties: &mut Json, created_ms: i64, updated_ms: i64) {
    if let Json::Object(properties) = properties {
        properties.insert("_creationTimeUnix".to_owned(), Json::from(created_ms));
        properties.insert("_lastUpdateTimeUnix".to_owned(), Json::from(updated_ms));
    }
}

/// The members of an object, without its properties and vectors.
pub(crate) fn head(collection: &Collection, object: &Object) -> Members {
    [
        ("class", Json::from(collection.name.as_str())),
        ("creationTimeUnix", Json::from(object.created_ms)),
        ("id", Json::from(object.id.to_string())),
        ("lastUpdateTimeUnix", Json::from(object.updated_ms)),
    ]
    .map(|(name, value)| (name.to_owned(), value.into()))
    .into()
}

/// Adds the object's vectors under `vector` and `vectors`.
pub(crate) fn put_vectors(members: &mut Members, collection: &Collection, vectors: Vectors) {
    let mut named = Members::new();
    for (id, vector) in vectors {
        let shown = Tree::Vector(vector, Whole::Bare);
        match collection.vector_by_id(id) {
            Some(_) if id == VectorId::UNNAMED => {
                members.insert("vector".to_owned(), shown);
            }
            Some((name, _)) => {
                named.insert(name.to_owned(), shown);
            }
            None => {}
        }
    }
    if !named.is_empty() {
        members.insert("vectors".to_owned(), named.into());
    }
}

/// A value as JSON.
pub(crate) fn value(value: &Value, href: bool) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Bool(value) => Json::Bool(*value),
        Value::Int(value) => Json::from(*value),
        Value::Number(value) => f64_json(*value),
        Value::Text(text) | Value::Blob(text) => Json::from(text.as_str()),
        Value::Date(date) => Json::from(date.to_string()),
        Value::Uuid(id) => Json::from(id.to_string()),
        Value::Geo(geo) => json!({"latitude": f32_json(geo.latitude), "longitude": f32_json(geo.longitude)}),
        Value::Phone(phone) => self::phone(phone),
        Value::Object(nested) => properties(nested, href),
        Value::List(values) => Json::Array(values.iter().map(|value| self::value(value, href)).collect()),
        Value::References(beacons) => Json::Array(
            beacons
                .iter()
                .map(|target| {
                    let collection = target.collection.as_deref();
                    let mut map = Map::new();
                    map.insert("beacon".to_owned(), Json::from(beacon::text(collection, target.id)));
                    if href {
                        let path = collection.map_or_else(String::new, |name| format!("{name}/"));
                        map.insert("href".to_owned(), Json::from(format!("/v1/objects/{path}{}", target.id)));
                    }
                    Json::Object(map)
                })
                .collect(),
        ),
    }
}

fn phone(phone: &Phone) -> Json {
    let mut map = Map::new();
    map.insert("input".to_owned(), Json::from(phone.input.as_str()));
    map.insert("internationalFormatted".to_owned(), Json::from(phone.international_formatted.as_str()));
    map.insert("nationalFormatted".to_owned(), Json::from(phone.national_formatted.as_str()));
    map.insert("national".to_owned(), Json::from(phone.national));
    map.insert("countryCode".to_owned(), Json::from(phone.country_code));
    if !phone.default_country.is_empty() {
        map.insert("defaultCountry".to_owned(), Json::from(phone.default_country.as_str()));
    }
    if phone.valid {
        map.insert("valid".to_owned(), Json::Bool(true));
    }
    Json::Object(map)
}

/// A float as the wire writes it: whole ones without a fraction.
pub(crate) fn f64_json(value: f64) -> Json {
    if value.fract() == 0.0
        && value.abs() < 1e21
        && let Ok(number) = format!("{value:.0}").parse::<Number>()
    {
        return Json::Number(number);
    }
    Number::from_f64(value).map_or(Json::Null, Json::Number)
}

fn f32_json(value: f32) -> Json {
    if value.fract() == 0.0 { f64_json(f64::from(value)) } else { Json::from(value) }
}
