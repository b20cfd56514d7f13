//! Texts about properties of objects.

use azimuth_engine::schema::{DataType, Primitive};

use super::object::too_deep;
use super::query::no_such_property;
use crate::app::objects::{InputKind, InputValue, PropertyError, ValueError, WrongProperty};
use crate::weaviate::objects::{given, list_as_text, plain, type_name};

/// The refusal of a property.
pub(super) fn property(error: &PropertyError) -> String {
    match error {
        PropertyError::NoSuchProperty { property, collection } => no_such_property(property, collection),
        PropertyError::Wrong(wrong) => {
            let WrongProperty { path, collection, data_type, error } = wrong.as_ref();
            let (kind, why) = (kind_name(data_type), value(data_type, error));
            format!("invalid {kind} property '{path}' on class '{collection}': {why}")
        }
        PropertyError::NoListOfReferences(value) => format!("reference property is not a slice {}", text(value)),
        PropertyError::NoReference(value) => {
            let beacon = value.as_map().and_then(|map| map.get("beacon"));
            format!("beacon property is not a string: {}", text(beacon.unwrap_or(&InputValue::Null)))
        }
        PropertyError::Unreadable(text) => text.clone(),
    }
}

/// A value as `%v` prints it.
fn text(value: &InputValue) -> String {
    plain(&crate::weaviate::objects::input::json(value))
}

/// The reason why a value of that type is refused.
fn value(data_type: &DataType, error: &ValueError) -> String {
    match error {
        ValueError::WrongKind(kind) => wrong_kind(data_type, *kind),
        ValueError::WrongValue(value) => wrong_value(data_type, value),
        ValueError::NotBase64 => "not a valid blob base64 string".to_owned(),
        ValueError::MissingField(field) => {
            let of = if *field == "input" { "phoneNumber" } else { "geoCoordinates" };
            format!("{of} is missing required field '{field}'")
        }
        ValueError::WrongField { name: name @ ("longitude" | "latitude"), kind } => {
            format!("invalid {name}: must be json.Number or float, but got {}", type_name(*kind))
        }
        ValueError::WrongField { name, .. } => format!("phoneNumber.{name} must be a string"),
        ValueError::NotAPhoneNumber => "invalid phone number: the phone number supplied is not a number".to_owned(),
        ValueError::NoCountry => "invalid phone number: invalid or missing defaultCountry - this field is optional if \
                                  the specified number is in the international format, but required if the number is \
                                  in national format, use ISO 3166-1 alpha-2"
            .to_owned(),
        ValueError::TooDeep => too_deep(),
        ValueError::UnknownInner(path) => format!("unknown property '{path}'"),
        ValueError::Inner { path, error } => format!("property '{path}': {}", property(error)),
        ValueError::Element { position, error } => {
            format!("invalid object '{position}' in array: {}", value(&DataType::Object { list: false }, error))
        }
    }
}

fn wrong_kind(data_type: &DataType, kind: InputKind) -> String {
    let found = type_name(kind);
    match data_type {
        DataType::Primitive { of, list: true } => {
            let (article, name) = element_name(*of);
            format!("not {article} {name} array, but {found}")
        }
        DataType::Object { list: true } => format!("not an object array, but {found}"),
        DataType::Object { list: false } => format!("object must be a map, but got: {found}"),
        DataType::Primitive { of: Primitive::Boolean, .. } => format!("not a bool, but {found}"),
        DataType::Primitive { of: Primitive::GeoCoordinates, .. } => {
            format!("geoCoordinates must be a map, but got: {found}")
        }
        DataType::Primitive { of: Primitive::PhoneNumber, .. } => {
            format!("phoneNumber must be a map, but got: {found}")
        }
        DataType::Primitive { of: Primitive::Blob | Primitive::BlobHash, .. } => {
            format!("not a blob base64 string, but {found}")
        }
        DataType::Primitive { .. } | DataType::Reference(_) => format!("not a string, but {found}"),
    }
}

fn wrong_value(data_type: &DataType, value: &InputValue) -> String {
    match (data_type, value) {
        (DataType::Primitive { of, list: true }, InputValue::List(values)) => {
            format!("invalid {} array value: {}", element_name(*of).1, list_as_text(values))
        }
        (DataType::Primitive { of: Primitive::Int, .. }, InputValue::Decimal(digits)) => {
            format!("the JSON number '{digits}' could not be converted to an int")
        }
        (DataType::Primitive { of: Primitive::Int, .. }, value) => {
            format!("requires an integer, the given value is '{}'", given(value))
        }
        (DataType::Primitive { of: Primitive::Number, .. }, InputValue::Decimal(digits)) => {
            format!("the JSON number '{digits}' could not be converted to a float.")
        }
        (DataType::Primitive { of: Primitive::Number, .. }, value) => {
            format!("requires a float, the given value is '{}'", given(value))
        }
        (DataType::Primitive { of: Primitive::Date, .. }, value) => {
            format!("requires a string with a RFC3339 formatted date, but the given value is '{}'", given(value))
        }
        (_, value) => format!("requires a string of UUID format, but the given value is '{}'", given(value)),
    }
}

/// The name of the elements of a list, with its article. Numbers are called integers in these texts.
fn element_name(of: Primitive) -> (&'static str, &'static str) {
    match of {
        Primitive::Int | Primitive::Number => ("an", "integer"),
        Primitive::Text => ("a", "text"),
        Primitive::Boolean => ("a", "boolean"),
        Primitive::Date => ("a", "date"),
        _ => ("a", "uuid"),
    }
}

/// The name of a type.
fn kind_name(data_type: &DataType) -> &'static str {
    match data_type {
        DataType::Primitive { of, list: false } => match of {
            Primitive::Text => "text",
            Primitive::Int => "integer",
            Primitive::Number => "number",
            Primitive::Boolean => "boolean",
            Primitive::Date => "date",
            Primitive::Uuid => "uuid",
            Primitive::GeoCoordinates => "geoCoordinates",
            Primitive::PhoneNumber => "phoneNumber",
            Primitive::Blob | Primitive::BlobHash => "blob",
        },
        DataType::Primitive { of, list: true } => match of {
            Primitive::Text => "text array",
            Primitive::Int => "integer array",
            Primitive::Number => "number array",
            Primitive::Boolean => "boolean array",
            Primitive::Date => "date array",
            _ => "uuid array",
        },
        DataType::Object { list: false } => "object",
        DataType::Object { list: true } => "object[]",
        DataType::Reference(_) => "reference",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;
    use crate::app::objects::{InputMap, convert_as_is};
    use crate::weaviate::objects::input;
    use crate::weaviate::schema::samples;

    /// The text by which a property of a book is refused.
    fn refused(name: &str, value: InputValue) -> String {
        let catalog = samples::catalog();
        let given: InputMap = [(name.to_owned(), value)].into_iter().collect();
        let converted = convert_as_is(catalog.find("Book").expect("a collection"), given);
        property(&converted.expect_err("a wrong value"))
    }

    #[test]
    fn values_of_json_are_refused_in_the_words_of_the_wire() {
        let check = |name: &str, value: Json, want: &str| {
            assert_eq!(refused(name, input::value(value.clone())), want, "{name}: {value}");
        };
        check("text", json!(5), "invalid text property 'text' on class 'Book': not a string, but json.Number");
        check(
            "int",
            json!(1.5),
            "invalid integer property 'int' on class 'Book': the JSON number '1.5' could not be converted to an int",
        );
        check(
            "int",
            json!("x"),
            "invalid integer property 'int' on class 'Book': requires an integer, the given value is 'x'",
        );
        check(
            "number",
            json!({"a": [true, null]}),
            "invalid number property 'number' on class 'Book': requires a float, the given value is 'map[a:[true <nil>]]'",
        );
        check("boolean", json!("x"), "invalid boolean property 'boolean' on class 'Book': not a bool, but string");
        check(
            "date",
            json!("today"),
            "invalid date property 'date' on class 'Book': requires a string with a RFC3339 formatted date, but the given \
             value is 'today'",
        );
        check(
            "uuid",
            json!(7),
            "invalid uuid property 'uuid' on class 'Book': requires a string of UUID format, but the given value is '7'",
        );
        check(
            "geoCoordinates",
            json!({"latitude": 1}),
            "invalid geoCoordinates property 'geoCoordinates' on class 'Book': geoCoordinates is missing required field \
             'longitude'",
        );
        check(
            "geoCoordinates",
            json!({"latitude": "x", "longitude": 1}),
            "invalid geoCoordinates property 'geoCoordinates' on class 'Book': invalid latitude: must be json.Number or \
             float, but got string",
        );
        check(
            "phoneNumber",
            json!({"input": 1}),
            "invalid phoneNumber property 'phoneNumber' on class 'Book': phoneNumber.input must be a string",
        );
        check("blob", json!("%"), "invalid blob property 'blob' on class 'Book': not a valid blob base64 string");
        check(
            "numbers",
            json!([1, "x", true]),
            "invalid number array property 'numbers' on class 'Book': invalid integer array value: [1 x %!s(bool=true)]",
        );
        check(
            "ints",
            json!("x"),
            "invalid integer array property 'ints' on class 'Book': not an integer array, but string",
        );
        check(
            "object",
            json!({"a": 5}),
            "invalid object property 'object' on class 'Book': property 'object.a': invalid text property 'object.a' on \
             class 'Book': not a string, but json.Number",
        );
        check(
            "objects",
            json!([{"z": 5}]),
            "invalid object[] property 'objects' on class 'Book': invalid object '0' in array: unknown property \
             'objects.z'",
        );
        check("author", json!("x"), "reference property is not a slice x");
        check("author", json!([{"beacon": 5}]), "beacon property is not a string: 5");
        check("author", json!([{"beacon": "x"}]), "invalid cref URI: 'x' is no URI");
        assert!(refused("other", InputValue::Bool(true)).starts_with("no such prop with name 'other' found in class"));
    }

    #[test]
    fn numbers_of_protobuf_are_floats_in_texts() {
        let check = |name: &str, value: InputValue, want: &str| assert_eq!(refused(name, value), want);
        check(
            "text",
            InputValue::Float(5.0),
            "invalid text property 'text' on class 'Book': not a string, but float64",
        );
        check(
            "int",
            InputValue::Float(1.5),
            "invalid integer property 'int' on class 'Book': requires an integer, the given value is '1.5'",
        );
        check(
            "date",
            InputValue::Float(3.0),
            "invalid date property 'date' on class 'Book': requires a string with a RFC3339 formatted date, but the given \
             value is '3'",
        );
        check(
            "texts",
            InputValue::List(vec![InputValue::Text("a".to_owned()), InputValue::Float(3.0)]),
            "invalid text array property 'texts' on class 'Book': invalid text array value: [a %!s(float64=3.0)]",
        );
    }
}
