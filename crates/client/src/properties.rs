//! Properties between JSON and the wire's two protobuf forms: the one of batches and the one of search answers.

use prost_types::value::Kind as StructKind;
use serde_json::{Map, Number, Value};

use crate::error::{Error, Result};
use crate::proto::weaviate::v1 as pb;
use pb::list_value::Kind as ListKind;
use pb::value::Kind;

/// Properties of an object, as in JSON; references are lists of `{"beacon": "weaviate://localhost/Class/uuid"}`.
pub type Properties = Map<String, Value>;

/// Doubles carry whole numbers exactly up to here.
const EXACT_INT_MAX: u64 = 1 << 53;
/// Deeper objects are refused before they are sent.
const NESTING_MAX: usize = 32;

/// Properties as BatchObjects takes them. References go to their own lists, all else as [`encode_values`] says.
pub(crate) fn encode(properties: &Properties) -> Result<pb::batch_object::Properties> {
    let mut references = Vec::new();
    let mut values = Vec::new();
    for (name, value) in properties {
        match reference_ids(value) {
            Some(targets) => references.push((name, targets?)),
            None => values.push((name, value)),
        }
    }
    let plain = encode_values(values.into_iter(), NESTING_MAX)?;
    let mut message = pb::batch_object::Properties {
        non_ref_properties: plain.non_ref_properties,
        number_array_properties: plain.number_array_properties,
        int_array_properties: plain.int_array_properties,
        text_array_properties: plain.text_array_properties,
        boolean_array_properties: plain.boolean_array_properties,
        object_properties: plain.object_properties,
        object_array_properties: plain.object_array_properties,
        empty_list_props: plain.empty_list_props,
        ..pb::batch_object::Properties::default()
    };
    for (name, (collection, uuids)) in references {
        let prop_name = name.clone();
        match collection {
            Some(target_collection) => message.multi_target_ref_props.push(pb::batch_object::MultiTargetRefProps {
                uuids,
                prop_name,
                target_collection,
            }),
            None => message.single_target_ref_props.push(pb::batch_object::SingleTargetRefProps { uuids, prop_name }),
        }
    }
    Ok(message)
}

/// Scalars, coordinates and phone numbers go into the struct, lists into typed lists, empty lists by name, objects into
/// objects. Whole numbers beyond 2^53 are refused: this wire has only doubles for them, and would round.
fn encode_values<'a>(
    values: impl Iterator<Item = (&'a String, &'a Value)>,
    nesting_left: usize,
) -> Result<pb::ObjectPropertiesValue> {
    let mut message = pb::ObjectPropertiesValue::default();
    let mut scalars = prost_types::Struct::default();
    for (name, value) in values {
        let prop_name = name.clone();
        match value {
            Value::Array(list) => encode_list(&mut message, prop_name, list, nesting_left)?,
            Value::Object(fields) if is_plain_struct(fields) => {
                scalars.fields.insert(prop_name, struct_value(name, value)?);
            }
            Value::Object(fields) => {
                let value = Some(encode_values(fields.iter(), deeper(name, nesting_left)?)?);
                message.object_properties.push(pb::ObjectProperties { value, prop_name });
            }
            scalar => {
                scalars.fields.insert(prop_name, struct_value(name, scalar)?);
            }
        }
    }
    message.non_ref_properties = Some(scalars);
    Ok(message)
}

fn encode_list(
    message: &mut pb::ObjectPropertiesValue,
    prop_name: String,
    list: &[Value],
    nesting_left: usize,
) -> Result<()> {
    match list.first() {
        None => message.empty_list_props.push(prop_name),
        Some(Value::String(_)) => {
            let values = typed(&prop_name, list, |value| value.as_str().map(str::to_owned))?;
            message.text_array_properties.push(pb::TextArrayProperties { values, prop_name });
        }
        Some(Value::Bool(_)) => {
            let values = typed(&prop_name, list, Value::as_bool)?;
            message.boolean_array_properties.push(pb::BooleanArrayProperties { values, prop_name });
        }
        Some(Value::Number(_)) if list.iter().all(Value::is_i64) => {
            let values = typed(&prop_name, list, Value::as_i64)?;
            message.int_array_properties.push(pb::IntArrayProperties { values, prop_name });
        }
        Some(Value::Number(_)) => {
            let values = typed(&prop_name, list, Value::as_f64)?;
            let values_bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            message.number_array_properties.push(pb::NumberArrayProperties {
                values_bytes,
                prop_name,
                ..pb::NumberArrayProperties::default()
            });
        }
        Some(Value::Object(_)) => {
            let nesting_left = deeper(&prop_name, nesting_left)?;
            let values = list
                .iter()
                .map(|value| match value {
                    Value::Object(fields) => encode_values(fields.iter(), nesting_left),
                    _ => Err(mixed(&prop_name)),
                })
                .collect::<Result<_>>()?;
            message.object_array_properties.push(pb::ObjectArrayProperties { values, prop_name });
        }
        Some(Value::Null | Value::Array(_)) => {
            return Err(Error::Invalid(format!("property '{prop_name}': a list may not hold null or a list")));
        }
    }
    Ok(())
}

fn typed<T>(name: &str, list: &[Value], read: impl Fn(&Value) -> Option<T>) -> Result<Vec<T>> {
    list.iter().map(|value| read(value).ok_or_else(|| mixed(name))).collect()
}

fn mixed(name: &str) -> Error {
    Error::Invalid(format!("property '{name}': the members of a list must have one type"))
}

fn deeper(name: &str, nesting_left: usize) -> Result<usize> {
    nesting_left
        .checked_sub(1)
        .ok_or_else(|| Error::Invalid(format!("property '{name}': objects are nested more than {NESTING_MAX} deep")))
}

/// Coordinates and phone numbers are single values that look like objects.
fn is_plain_struct(fields: &Map<String, Value>) -> bool {
    let geo = fields.len() == 2 && fields.contains_key("latitude") && fields.contains_key("longitude");
    let phone = fields.get("input").is_some_and(Value::is_string)
        && fields.iter().all(|(name, value)| (name == "input" || name == "defaultCountry") && value.is_string());
    geo || phone
}

fn struct_value(name: &str, value: &Value) -> Result<prost_types::Value> {
    let kind = match value {
        Value::Null => StructKind::NullValue(0),
        Value::Bool(boolean) => StructKind::BoolValue(*boolean),
        Value::String(text) => StructKind::StringValue(text.clone()),
        Value::Number(number) => StructKind::NumberValue(exact_double(name, number)?),
        Value::Array(_) => return Err(mixed(name)),
        Value::Object(fields) => {
            let fields = fields
                .iter()
                .map(|(name, value)| Ok((name.clone(), struct_value(name, value)?)))
                .collect::<Result<_>>()?;
            StructKind::StructValue(prost_types::Struct { fields })
        }
    };
    Ok(prost_types::Value { kind: Some(kind) })
}

fn exact_double(name: &str, number: &Number) -> Result<f64> {
    let whole = number.as_i64().map(i64::unsigned_abs).or(number.as_u64());
    if whole.is_some_and(|whole| whole > EXACT_INT_MAX) {
        return Err(Error::Invalid(format!(
            "property '{name}': {number} cannot be carried exactly in a batch over gRPC; insert the object on its own"
        )));
    }
    number
        .as_f64()
        .filter(|double| double.is_finite())
        .ok_or_else(|| Error::Invalid(format!("property '{name}': {number} is out of range")))
}

type ReferenceTargets = (Option<String>, Vec<String>);

/// The target collection and ids if `value` is a list of beacons; all must name the same collection, or none.
fn reference_ids(value: &Value) -> Option<Result<ReferenceTargets>> {
    let list = value.as_array().filter(|list| !list.is_empty())?;
    let beacons: Vec<&str> = list
        .iter()
        .map(|member| member.as_object().filter(|fields| fields.len() == 1)?.get("beacon")?.as_str())
        .collect::<Option<_>>()?;
    let mut collection: Option<Option<&str>> = None;
    let mut ids = Vec::with_capacity(beacons.len());
    for beacon in beacons {
        let path = beacon.strip_prefix("weaviate://localhost/").unwrap_or(beacon);
        let (class, id) = path.rsplit_once('/').map_or((None, path), |(class, id)| (Some(class), id));
        if *collection.get_or_insert(class) != class {
            return Some(Err(Error::Invalid(format!("the references {value} name several collections"))));
        }
        ids.push(id.to_owned());
    }
    Some(Ok((collection.flatten().map(str::to_owned), ids)))
}

/// The properties of a search answer as JSON; missing ones are null.
pub(crate) fn decode(properties: pb::Properties) -> Result<Properties> {
    properties.fields.into_iter().map(|(name, value)| Ok((name, decode_value(value)?))).collect()
}

fn decode_value(value: pb::Value) -> Result<Value> {
    Ok(match value.kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::NumberValue(number)) => double(number),
        Some(Kind::BoolValue(boolean)) => Value::Bool(boolean),
        Some(Kind::IntValue(int)) => Value::from(int),
        Some(Kind::DateValue(text) | Kind::UuidValue(text) | Kind::BlobValue(text) | Kind::TextValue(text)) => {
            Value::String(text)
        }
        Some(Kind::ObjectValue(fields)) => Value::Object(decode(fields)?),
        Some(Kind::GeoValue(geo)) => serde_json::json!({"latitude": geo.latitude, "longitude": geo.longitude}),
        Some(Kind::PhoneValue(phone)) => serde_json::json!({
            "countryCode": phone.country_code,
            "defaultCountry": phone.default_country,
            "input": phone.input,
            "internationalFormatted": phone.international_formatted,
            "national": phone.national,
            "nationalFormatted": phone.national_formatted,
            "valid": phone.valid,
        }),
        Some(Kind::ListValue(list)) => Value::Array(decode_list(list)?),
    })
}

fn decode_list(list: pb::ListValue) -> Result<Vec<Value>> {
    Ok(match list.kind {
        None => Vec::new(),
        Some(ListKind::NumberValues(packed)) => {
            packed_words(&packed.values)?.map(|word| double(f64::from_le_bytes(word))).collect()
        }
        Some(ListKind::IntValues(packed)) => {
            packed_words(&packed.values)?.map(|word| Value::from(i64::from_le_bytes(word))).collect()
        }
        Some(ListKind::BoolValues(list)) => list.values.into_iter().map(Value::Bool).collect(),
        Some(ListKind::ObjectValues(list)) => {
            list.values.into_iter().map(|fields| decode(fields).map(Value::Object)).collect::<Result<_>>()?
        }
        Some(
            ListKind::DateValues(pb::DateValues { values })
            | ListKind::UuidValues(pb::UuidValues { values })
            | ListKind::TextValues(pb::TextValues { values }),
        ) => values.into_iter().map(Value::String).collect(),
    })
}

fn packed_words(bytes: &[u8]) -> Result<impl Iterator<Item = [u8; 8]> + '_> {
    let (words, rest) = bytes.as_chunks::<8>();
    if !rest.is_empty() {
        return Err(Error::Protocol(format!("a packed list of {} bytes, not a multiple of 8", bytes.len())));
    }
    Ok(words.iter().copied())
}

fn double(number: f64) -> Value {
    Number::from_f64(number).map_or(Value::Null, Value::Number)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn properties(value: Value) -> Properties {
        match value {
            Value::Object(properties) => properties,
            _ => panic!("not an object"),
        }
    }

    #[test]
    fn every_json_shape_has_its_place_in_a_batch() {
        let message = encode(&properties(json!({
            "text": "a", "int": 3, "number": 0.5, "yes": true, "nothing": null,
            "texts": ["a", "b"], "ints": [1, 2], "numbers": [1, 2.5], "flags": [true], "empty": [],
            "place": {"latitude": 1.5, "longitude": 2}, "phone": {"input": "030", "defaultCountry": "de"},
            "nested": {"name": "x", "tags": ["t"]}, "list": [{"n": 1}, {"n": 2}],
            "by": [{"beacon": "weaviate://localhost/Author/a1"}, {"beacon": "weaviate://localhost/Author/a2"}],
            "near": [{"beacon": "weaviate://localhost/b1"}],
        })))
        .expect("all of it can be sent");
        let scalars = message.non_ref_properties.expect("scalars").fields;
        assert_eq!(scalars.len(), 7, "{scalars:?}");
        assert_eq!(scalars["int"].kind, Some(StructKind::NumberValue(3.0)));
        assert_eq!(scalars["nothing"].kind, Some(StructKind::NullValue(0)));
        assert!(matches!(scalars["place"].kind, Some(StructKind::StructValue(_))));
        assert_eq!(message.text_array_properties[0].values, ["a", "b"]);
        assert_eq!(message.int_array_properties[0].values, [1, 2]);
        let numbers: Vec<u8> = [1.0_f64, 2.5].iter().flat_map(|number| number.to_le_bytes()).collect();
        assert_eq!(message.number_array_properties[0].values_bytes, numbers);
        assert_eq!(message.boolean_array_properties[0].values, [true]);
        assert_eq!(message.empty_list_props, ["empty"]);
        let nested = message.object_properties[0].value.as_ref().expect("nested");
        assert_eq!(nested.text_array_properties[0].prop_name, "tags");
        assert_eq!(message.object_array_properties[0].values.len(), 2);
        assert_eq!(message.multi_target_ref_props[0].target_collection, "Author");
        assert_eq!(message.multi_target_ref_props[0].uuids, ["a1", "a2"]);
        assert_eq!(message.single_target_ref_props[0].uuids, ["b1"]);
    }

    #[test]
    fn what_a_batch_would_distort_is_refused() {
        let mut deep = json!(1);
        for _ in 0..40 {
            deep = json!({"o": deep, "p": 1});
        }
        for bad in [
            json!({"p": (1_i64 << 53) + 1}),
            json!({"p": i64::MIN}),
            json!({"p": ["a", 1]}),
            json!({"p": [null]}),
            json!({"p": [[1]]}),
            json!({"p": [{"beacon": "weaviate://localhost/A/1"}, {"beacon": "weaviate://localhost/B/1"}]}),
            json!({"p": deep}),
        ] {
            assert!(matches!(encode(&properties(bad.clone())), Err(Error::Invalid(_))), "{bad}");
        }
        assert!(encode(&properties(json!({"p": 1_i64 << 53}))).is_ok());
    }

    #[test]
    fn search_values_become_json() {
        let value = |kind| pb::Value { kind: Some(kind) };
        let list = |kind| value(Kind::ListValue(pb::ListValue { kind: Some(kind) }));
        let words = |numbers: [i64; 2]| numbers.iter().flat_map(|int| int.to_le_bytes()).collect::<Vec<u8>>().into();
        let message = pb::Properties {
            fields: [
                ("i".to_owned(), value(Kind::IntValue(i64::MAX))),
                ("d".to_owned(), value(Kind::NumberValue(0.5))),
                ("t".to_owned(), value(Kind::TextValue("x".into()))),
                ("n".to_owned(), value(Kind::NullValue(0))),
                ("is".to_owned(), list(ListKind::IntValues(pb::IntValues { values: words([-1, i64::MAX]) }))),
                ("ts".to_owned(), list(ListKind::TextValues(pb::TextValues { values: vec!["a".into()] }))),
                ("g".to_owned(), value(Kind::GeoValue(pb::GeoCoordinate { latitude: 1.5, longitude: 2.0 }))),
            ]
            .into(),
        };
        let decoded = decode(message).expect("good values");
        let expected = json!({"i": i64::MAX, "d": 0.5, "t": "x", "n": null, "is": [-1, i64::MAX], "ts": ["a"],
            "g": {"latitude": 1.5, "longitude": 2.0}});
        assert_eq!(Value::Object(decoded), expected);
        let torn = list(ListKind::NumberValues(pb::NumberValues { values: vec![0; 9].into() }));
        assert!(matches!(decode_value(torn), Err(Error::Protocol(_))));
    }
}
