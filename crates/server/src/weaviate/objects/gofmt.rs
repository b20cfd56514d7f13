//! Values as the wire's error texts print them: type names and renderings are those of Go, because clients show them.

use serde_json::Value as Json;

use super::input;
use crate::app::objects::{InputKind, InputValue};

/// The name of a kind of values.
pub(crate) fn type_name(kind: InputKind) -> &'static str {
    match kind {
        InputKind::Null => "<nil>",
        InputKind::Bool => "bool",
        InputKind::Decimal => "json.Number",
        InputKind::Int | InputKind::Float => "float64",
        InputKind::Text => "string",
        InputKind::List => "[]interface {}",
        InputKind::Map => "map[string]interface {}",
    }
}

/// A value as `%v` prints it.
pub(crate) fn plain(value: &Json) -> String {
    match value {
        Json::Null => "<nil>".to_owned(),
        Json::Bool(value) => value.to_string(),
        Json::Number(number) => number.as_str().to_owned(),
        Json::String(text) => text.clone(),
        Json::Array(values) => format!("[{}]", values.iter().map(plain).collect::<Vec<_>>().join(" ")),
        Json::Object(map) => {
            let pairs = map.iter().map(|(key, value)| format!("{key}:{}", plain(value)));
            format!("map[{}]", pairs.collect::<Vec<_>>().join(" "))
        }
    }
}

/// A float as `%v` prints it: the shortest digits, very large and very small ones with an exponent.
pub(crate) fn float(value: f64) -> String {
    let scientific = format!("{value:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else { return scientific };
    match exponent.parse::<i32>() {
        Ok(exponent) if !(-4..21).contains(&exponent) && value != 0.0 => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", exponent.abs())
        }
        _ => value.to_string(),
    }
}

/// A value as `%#v` prints it: as a literal of the language, texts in quotes.
pub(crate) fn literal(value: &Json) -> String {
    match value {
        Json::Null => "interface {}(nil)".to_owned(),
        Json::Bool(value) => value.to_string(),
        Json::Number(number) => format!("\"{}\"", number.as_str()),
        Json::String(text) => format!("{text:?}"),
        Json::Array(values) => {
            format!("[]interface {{}}{{{}}}", values.iter().map(literal).collect::<Vec<_>>().join(", "))
        }
        Json::Object(map) => {
            let pairs = map.iter().map(|(key, value)| format!("{key:?}:{}", literal(value)));
            format!("map[string]interface {{}}{{{}}}", pairs.collect::<Vec<_>>().join(", "))
        }
    }
}

/// A property's value as `%v` prints it: a float that is whole has no fraction.
pub(crate) fn given(value: &InputValue) -> String {
    let text = plain(&input::json(value));
    match value {
        InputValue::Float(_) => text.strip_suffix(".0").unwrap_or(&text).to_owned(),
        _ => text,
    }
}

/// A list as `%s` prints it: what is no text says so.
pub(crate) fn list_as_text(values: &[InputValue]) -> String {
    let element = |value: &InputValue| match value {
        InputValue::Bool(value) => format!("%!s(bool={value})"),
        InputValue::Int(_) | InputValue::Float(_) => format!("%!s(float64={})", plain(&input::json(value))),
        value => plain(&input::json(value)),
    };
    format!("[{}]", values.iter().map(element).collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn floats_have_an_exponent_where_they_are_long() {
        let check = |value: f64, want: &str| assert_eq!(float(value), want);
        check(10.5, "10.5");
        check(6.0, "6");
        check(0.0, "0");
        check(1e30, "1e+30");
        check(-2.5e-7, "-2.5e-07");
        check(1e20, "100000000000000000000");
        check(0.0001, "0.0001");
    }

    #[test]
    fn values_as_texts_and_as_literals() {
        let value = json!({"a": ["x", true], "b": null});
        assert_eq!(plain(&value), "map[a:[x true] b:<nil>]");
        assert_eq!(literal(&json!("x")), "\"x\"");
        assert_eq!(literal(&json!(["x", true])), "[]interface {}{\"x\", true}");
        let list = [InputValue::Bool(true), InputValue::Text("a".to_owned()), InputValue::Float(3.0)];
        assert_eq!(list_as_text(&list), "[%!s(bool=true) a %!s(float64=3.0)]");
        assert_eq!(given(&InputValue::Float(3.0)), "3");
        assert_eq!(given(&InputValue::Decimal("3.0".into())), "3.0");
    }
}
