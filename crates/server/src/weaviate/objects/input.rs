//! Properties of objects in JSON, as the application takes them, and back.

use serde_json::{Map, Number, Value as Json};

use super::beacon;
use crate::app::objects::{InputMap, InputValue};

/// A value of JSON.
pub(crate) fn value(given: Json) -> InputValue {
    match given {
        Json::Null => InputValue::Null,
        Json::Bool(value) => InputValue::Bool(value),
        Json::Number(number) => InputValue::Decimal(number.as_str().into()),
        Json::String(text) => InputValue::Text(text),
        Json::Array(values) => InputValue::List(values.into_iter().map(value).collect()),
        Json::Object(members) => InputValue::Map(Box::new(map(members))),
    }
}

/// A map of JSON. One with a beacon may be a reference.
pub(crate) fn map(given: Map<String, Json>) -> InputMap {
    let target = given.get("beacon").and_then(Json::as_str).map(beacon::parse);
    let members = given.into_iter().map(|(name, member)| (name, value(member))).collect();
    InputMap { members, target: target.map(|target| target.map_err(|error| error.to_string())) }
}

/// A value as JSON.
pub(crate) fn json(given: &InputValue) -> Json {
    match given {
        InputValue::Null => Json::Null,
        InputValue::Bool(value) => Json::Bool(*value),
        InputValue::Decimal(digits) => digits.parse().map_or(Json::Null, Json::Number),
        InputValue::Int(value) => Json::from(*value),
        InputValue::Float(value) => Number::from_f64(*value).map_or(Json::Null, Json::Number),
        InputValue::Text(text) => Json::from(text.as_str()),
        InputValue::List(values) => values.iter().map(json).collect(),
        InputValue::Map(map) => map_json(map),
    }
}

/// A map as JSON.
pub(crate) fn map_json(given: &InputMap) -> Json {
    Json::Object(given.members.iter().map(|(name, value)| (name.clone(), json(value))).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_come_back_as_they_were_given() {
        let id = "00000000-0000-4000-8000-000000000001";
        let text = format!(
            r#"{{"a":[1,1.0,1e400,-0,123456789012345678901234567890],"b":null,"c":{{"d":"x","e":[true]}},
                 "r":[{{"beacon":"weaviate://localhost/Book/{id}"}},{{"beacon":"word"}},{{"beacon":5}}]}}"#
        );
        let given: Json = serde_json::from_str(&text).expect("JSON");
        let input = value(given.clone());
        assert_eq!(json(&input), given);
        let targets = |name: &str| match input.as_map().and_then(|map| map.get(name)) {
            Some(InputValue::List(values)) => values.iter().map(|value| value.as_map().cloned()).collect::<Vec<_>>(),
            _ => Vec::new(),
        };
        let targets: Vec<_> = targets("r").into_iter().map(|map| map.and_then(|map| map.target)).collect();
        assert!(matches!(&targets[0], Some(Ok(beacon)) if beacon.collection.as_deref() == Some("Book")));
        assert!(matches!(&targets[1], Some(Err(text)) if text == "invalid cref URI: 'word' is no URI"));
        assert_eq!(targets[2], None);
        assert_eq!(json(&InputValue::Float(3.0)), json!(3.0));
        assert_eq!(json(&InputValue::Int(i64::MIN)), json!(i64::MIN));
    }
}
