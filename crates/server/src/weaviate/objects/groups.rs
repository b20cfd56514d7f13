//! The names of groups of hits: values as texts.

use azimuth_engine::object::Value;

use super::{beacon, render};

/// The groups that an object with this value belongs to; values without a text count as empty.
pub(crate) fn names(value: &Value) -> Vec<String> {
    match value {
        Value::List(values) => values.iter().map(text).collect(),
        Value::References(beacons) => {
            beacons.iter().map(|beacon| beacon::text(beacon.collection.as_deref(), beacon.id)).collect()
        }
        value => vec![text(value)],
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Number(value) => render::f64_json(*value).to_string(),
        Value::Text(text) | Value::Blob(text) => text.clone(),
        Value::Date(date) => date.to_string(),
        Value::Uuid(id) => id.to_string(),
        Value::Null | Value::Geo(_) | Value::Phone(_) | Value::Object(_) | Value::List(_) | Value::References(_) => {
            String::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_as_names() {
        assert_eq!(names(&Value::Number(6.0)), ["6"]);
        assert_eq!(names(&Value::List(vec![Value::Int(3), Value::Bool(true)])), ["3", "true"]);
        assert_eq!(names(&Value::Null), [""]);
        assert!(names(&Value::List(Vec::new())).is_empty());
    }
}
