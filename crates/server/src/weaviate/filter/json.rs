//! `where` as REST and GraphQL write it.

use azimuth_engine::query::Operator;
use serde_json::{Map, Value};

use super::{Clause, FilterError, Given, Leaf, Scalar, too_deep};

/// Reads a clause that may nest `depth` more.
pub(super) fn clause(value: &Value, depth: usize) -> Result<Clause, FilterError> {
    let Some(fields) = value.as_object() else { return Err(invalid("a clause must be an object")) };
    if depth == 0 {
        return Err(too_deep(0));
    }
    match fields.get("operator").and_then(Value::as_str).unwrap_or_default() {
        "And" => Ok(Clause::And(operands(fields, "And", depth)?)),
        "Or" => Ok(Clause::Or(operands(fields, "Or", depth)?)),
        "Not" => {
            let mut operands = operands(fields, "Not", depth)?;
            match operands.pop() {
                Some(operand) if operands.is_empty() => Ok(Clause::Not(Box::new(operand))),
                _ => Err(invalid(&format!(
                    "too many children for operator \"Not\". Expected 1, given {}",
                    operands.len() + 1
                ))),
            }
        }
        name => leaf(fields, name),
    }
}

fn operands(fields: &Map<String, Value>, name: &str, depth: usize) -> Result<Vec<Clause>, FilterError> {
    if fields.get("path").is_some_and(|path| !path.is_null()) {
        return Err(invalid(&format!(
            "operator '{name}' not compatible with field 'path', remove 'path' or switch to compare operator (eg. Equal, \
             NotEqual, etc.)"
        )));
    }
    if FIELDS.iter().any(|(field, _)| fields.get(*field).is_some_and(|value| !value.is_null())) {
        return Err(invalid(&format!(
            "operator '{name}' not compatible with field 'value<Type>', remove value field or switch to compare operator \
             (eg. Equal, NotEqual, etc.)"
        )));
    }
    let operands = match fields.get("operands") {
        Some(Value::Array(operands)) => operands.iter().collect(),
        Some(operand @ Value::Object(_)) => vec![operand],
        _ => Vec::new(),
    };
    if operands.is_empty() {
        return Err(invalid(&format!("operator '{name}', but no operands set - add at least one operand")));
    }
    operands.into_iter().map(|operand| clause(operand, depth - 1)).collect()
}

fn leaf(fields: &Map<String, Value>, name: &str) -> Result<Clause, FilterError> {
    let operator = operator(name).ok_or_else(|| FilterError::Parse(format!("unrecognized operator: {name}")))?;
    let mut values = Vec::new();
    for (field, kind) in FIELDS {
        if let Some(value) = fields.get(*field).filter(|value| !value.is_null()) {
            values.push(given(field, *kind, value)?);
        }
    }
    let empty = |value: &Given| value.list && value.scalars.is_empty();
    match (values.pop(), values.is_empty()) {
        (Some(value), true) if !empty(&value) => {
            let path = path(fields.get("path"))?;
            Ok(Clause::Leaf(Leaf { path, operator, value, count: false }))
        }
        (_, true) => Err(invalid(&format!("got operator '{name}', but no value<Type> field set"))),
        (_, false) => Err(invalid(&format!("found more than one values the clause '{}'", echo(fields)))),
    }
}

/// The clause as the wire's texts show it.
fn echo(fields: &Map<String, Value>) -> Value {
    let mut echo: std::collections::BTreeMap<String, Value> =
        fields.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    echo.entry("operands".to_owned()).or_insert(Value::Null);
    Value::Object(echo.into_iter().collect())
}

fn path(value: Option<&Value>) -> Result<Vec<String>, FilterError> {
    let texts: Vec<String> = match value {
        Some(Value::Array(parts)) => parts.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        Some(Value::String(part)) => vec![part.clone()],
        _ => Vec::new(),
    };
    if texts.is_empty() || texts.iter().any(String::is_empty) {
        return Err(invalid("field 'path': must have at least one element"));
    }
    if texts.len().is_multiple_of(2) {
        let last = texts.last().map_or("", String::as_str);
        return Err(invalid(&format!("missing an argument after '{last}'")));
    }
    for property in texts.iter().step_by(2) {
        let inner = property.strip_prefix("len(").and_then(|rest| rest.strip_suffix(')')).unwrap_or(property);
        if !inner.split('.').all(is_name) {
            return Err(invalid(&format!(
                "expected a valid property name in 'path' field for the filter, but got '{inner}'"
            )));
        }
    }
    for class in texts.iter().skip(1).step_by(2) {
        if !class.starts_with(|first: char| first.is_ascii_uppercase()) {
            return Err(invalid(&format!(
                "expected a valid class name in 'path' field for the filter but got '{class}'"
            )));
        }
    }
    Ok(texts)
}

/// Whether a part of a path names a property, maybe with a position in its list.
fn is_name(part: &str) -> bool {
    let name = part.split_once('[').filter(|(_, rest)| rest.ends_with(']')).map_or(part, |(name, _)| name);
    let letters = name.strip_prefix(|first: char| first == '_' || first.is_ascii_alphabetic());
    letters.is_some_and(|letters| letters.bytes().all(|byte| byte == b'_' || byte.is_ascii_alphanumeric()))
}

/// What a value field holds.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Text,
    Int,
    Number,
    Bool,
    Geo,
}

const FIELDS: &[(&str, Kind)] = &[
    ("valueText", Kind::Text),
    ("valueString", Kind::Text),
    ("valueDate", Kind::Text),
    ("valueInt", Kind::Int),
    ("valueNumber", Kind::Number),
    ("valueBoolean", Kind::Bool),
    ("valueGeoRange", Kind::Geo),
    ("valueTextArray", Kind::Text),
    ("valueStringArray", Kind::Text),
    ("valueDateArray", Kind::Text),
    ("valueIntArray", Kind::Int),
    ("valueNumberArray", Kind::Number),
    ("valueBooleanArray", Kind::Bool),
];

fn given(field: &'static str, kind: Kind, value: &Value) -> Result<Given, FilterError> {
    let shown = match field.trim_end_matches("Array") {
        "valueGeoRange" => "valueGeoCoordinates",
        field => field,
    };
    let (values, list) = match value {
        Value::Array(values) => (values.iter().collect(), true),
        value => (vec![value], false),
    };
    let scalars = values.into_iter().map(|value| scalar(field, kind, value)).collect::<Result<_, _>>()?;
    Ok(Given { field: shown, scalars, list })
}

fn scalar(field: &str, kind: Kind, value: &Value) -> Result<Scalar, FilterError> {
    let scalar = match kind {
        Kind::Text => value.as_str().map(|text| Scalar::Text(text.to_owned())),
        Kind::Int => value.as_i64().map(Scalar::Int),
        Kind::Number => value.as_f64().map(Scalar::Number),
        Kind::Bool => value.as_bool().map(Scalar::Bool),
        Kind::Geo => return geo(value),
    };
    scalar.ok_or_else(|| invalid(&format!("{field}: {value} has the wrong type")))
}

fn geo(value: &Value) -> Result<Scalar, FilterError> {
    let number = |pointer: &str| value.pointer(pointer).and_then(Value::as_f64);
    let missing = |what: &str| invalid(&format!("valueGeoRange: field '{what}' must be set"));
    let latitude = number("/geoCoordinates/latitude").ok_or_else(|| missing("geoCoordinates"))?;
    let longitude = number("/geoCoordinates/longitude").ok_or_else(|| missing("geoCoordinates"))?;
    let max = number("/distance/max").ok_or_else(|| missing("distance.max"))?;
    if max < 0.0 {
        return Err(invalid("valueGeoRange: field 'distance.max' must be a positive number"));
    }
    Ok(Scalar::Geo { latitude: latitude as f32, longitude: longitude as f32, max_distance_m: max as f32 })
}

fn operator(name: &str) -> Option<Operator> {
    Some(match name {
        "Equal" => Operator::Equal,
        "NotEqual" => Operator::NotEqual,
        "GreaterThan" => Operator::GreaterThan,
        "GreaterThanEqual" => Operator::GreaterThanEqual,
        "LessThan" => Operator::LessThan,
        "LessThanEqual" => Operator::LessThanEqual,
        "Like" => Operator::Like,
        "IsNull" => Operator::IsNull,
        "ContainsAny" => Operator::ContainsAny,
        "ContainsAll" => Operator::ContainsAll,
        "ContainsNone" => Operator::ContainsNone,
        "WithinGeoRange" => Operator::WithinGeoRange,
        _ => return None,
    })
}

fn invalid(why: &str) -> FilterError {
    FilterError::Parse(format!("invalid where filter: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn refuses_what_cannot_be_read() {
        let check = |value: Value, want: &str| {
            assert_eq!(clause(&value, 8), Err(FilterError::Parse(want.to_owned())), "{value}");
        };
        check(json!({}), "unrecognized operator: ");
        let nowhere = json!({"operator": "Equal", "valueInt": 1});
        check(nowhere, "invalid where filter: field 'path': must have at least one element");
        let spaced = json!({"operator": "Equal", "path": ["len( a )"], "valueInt": 1});
        check(
            spaced,
            "invalid where filter: expected a valid property name in 'path' field for the filter, but got ' a '",
        );
        let half = json!({"operator": "Equal", "path": ["a", "B"], "valueInt": 1});
        check(half, "invalid where filter: missing an argument after 'B'");
        let none = json!({"operator": "Equal", "path": ["a"]});
        check(none, "invalid where filter: got operator 'Equal', but no value<Type> field set");
        assert!(clause(&json!({"operator": "And", "operands": [{}]}), 1).is_err());
    }

    #[test]
    fn reads_lists_and_single_values() {
        let value = json!({"operator": "ContainsAny", "path": "a", "valueText": ["x", "y"]});
        let Ok(Clause::Leaf(leaf)) = clause(&value, 8) else { panic!("a leaf") };
        assert!(leaf.value.list && leaf.value.scalars.len() == 2 && leaf.value.field == "valueText");
    }
}
