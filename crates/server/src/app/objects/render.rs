//! Objects as the wire's JSON shows them.

use azimuth_engine::ids::VectorId;
use azimuth_engine::object::{Object, Phone, Properties, Value, Vector, Vectors};
use azimuth_engine::schema::Collection;
use serde_json::{Map, Number, Value as Json, json};

use super::beacon;

/// Properties as JSON. `href` says whether references carry a path beside their beacon.
pub(crate) fn properties(properties: &Properties, href: bool) -> Json {
    Json::Object(properties.iter().map(|(name, value)| (name.clone(), self::value(value, href))).collect())
}

/// An object as JSON, without its properties and vectors.
pub(crate) fn head(collection: &Collection, object: &Object) -> Map<String, Json> {
    let mut map = Map::new();
    map.insert("class".to_owned(), Json::from(collection.name.as_str()));
    map.insert("creationTimeUnix".to_owned(), Json::from(object.created_ms));
    map.insert("id".to_owned(), Json::from(object.id.to_string()));
    map.insert("lastUpdateTimeUnix".to_owned(), Json::from(object.updated_ms));
    map
}

/// Adds the object's vectors under `vector` and `vectors`.
pub(crate) fn put_vectors(map: &mut Map<String, Json>, collection: &Collection, vectors: &Vectors) {
    let mut named = Map::new();
    for (id, vector) in vectors {
        match collection.vector_by_id(*id) {
            Some(_) if *id == VectorId::UNNAMED => {
                map.insert("vector".to_owned(), self::vector(vector));
            }
            Some((name, _)) => {
                named.insert(name.to_owned(), self::vector(vector));
            }
            None => {}
        }
    }
    if !named.is_empty() {
        map.insert("vectors".to_owned(), Json::Object(named));
    }
}

fn vector(vector: &Vector) -> Json {
    let row = |values: &[f32]| Json::Array(values.iter().map(|value| f32_json(*value)).collect());
    match vector {
        Vector::Single(values) => row(values),
        Vector::Multi { dim, rows } => Json::Array(rows.chunks((*dim).max(1) as usize).map(row).collect()),
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
