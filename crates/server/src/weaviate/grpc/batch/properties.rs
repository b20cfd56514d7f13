//! Properties of a BatchObject, as the application takes them.

use azimuth_engine::schema::{Collection, DataType, PropertyLookup};
use prost_types::value::Kind;
use prost_types::{Struct, Value as Any};
use uuid::Uuid;

use crate::app::objects::convert::property_name;
use crate::app::objects::{InputMap, InputValue};
use crate::app::schema::names::upper_first;
use crate::pb::weaviate::batch_object::Properties;
use crate::pb::weaviate::{
    BooleanArrayProperties, IntArrayProperties, NumberArrayProperties, ObjectArrayProperties, ObjectProperties,
    ObjectPropertiesValue, TextArrayProperties,
};
use crate::weaviate::objects::beacon;
use crate::weaviate::texts::no_such_property;

/// Deepest nesting of a value.
const DEPTH_MAX: usize = 64;

/// The properties by name. References need the schema: a target's collection is not on the wire.
///
/// # Errors
/// A number that is not finite, or a reference that the schema does not have.
pub(super) fn map(schema: Option<&Collection>, given: Properties) -> Result<InputMap, String> {
    let (single, multi) = (given.single_target_ref_props, given.multi_target_ref_props);
    let mut map = nested(
        ObjectPropertiesValue {
            non_ref_properties: given.non_ref_properties,
            number_array_properties: given.number_array_properties,
            int_array_properties: given.int_array_properties,
            text_array_properties: given.text_array_properties,
            boolean_array_properties: given.boolean_array_properties,
            object_properties: given.object_properties,
            object_array_properties: given.object_array_properties,
            empty_list_props: given.empty_list_props,
        },
        0,
    )?;
    let lookup = schema.map(|schema| PropertyLookup::new(schema, single.len()));
    for references in single {
        let target = single_target(schema.zip(lookup.as_ref()), &references.prop_name)?;
        append(&mut map, &references.prop_name, target, &references.uuids);
    }
    for references in multi {
        let target = upper_first(&references.target_collection);
        append(&mut map, &references.prop_name, Some(&target), &references.uuids);
    }
    Ok(map)
}

/// The only collection that a reference property leads to; `None` for what is no reference.
fn single_target<'a>(
    schema: Option<(&'a Collection, &PropertyLookup<'a>)>,
    property: &str,
) -> Result<Option<&'a str>, String> {
    let Some((collection, lookup)) = schema else { return Ok(None) };
    let name = property_name(property);
    match lookup.by_name(&name).map(|property| &property.data_type) {
        None => Err(no_such_property(&name, &collection.name)),
        Some(DataType::Reference(targets)) if targets.len() > 1 => {
            Err(format!("target is a multi-target reference, need single target [{}]", targets.join(" ")))
        }
        Some(DataType::Reference(targets)) => Ok(targets.first().map(String::as_str)),
        Some(_) => Ok(None),
    }
}

fn append(map: &mut InputMap, property: &str, target: Option<&str>, ids: &[String]) {
    let list = match map.members.get_mut(property) {
        Some(list) => list,
        None => map.members.entry(property.to_owned()).or_insert_with(|| InputValue::List(Vec::new())),
    };
    if let InputValue::List(list) = list {
        list.extend(ids.iter().map(|id| InputValue::Map(Box::new(reference(target, id)))));
    }
}

/// A reference. Its map is that of a reference in JSON, for properties of other types.
fn reference(target: Option<&str>, id: &str) -> InputMap {
    let uri = match (Uuid::try_parse(id), target) {
        (Ok(id), target) => beacon::text(target, id),
        (Err(_), target) => format!("weaviate://localhost/{}/{id}", target.unwrap_or_default()),
    };
    let target = beacon::parse(&uri).map_err(|error| error.to_string());
    InputMap { members: [("beacon".to_owned(), InputValue::Text(uri))].into(), target: Some(target) }
}

fn nested(given: ObjectPropertiesValue, depth: usize) -> Result<InputMap, String> {
    if depth > DEPTH_MAX {
        return Err(format!("properties are nested deeper than {DEPTH_MAX}"));
    }
    let mut map = given.non_ref_properties.map_or_else(|| Ok(InputMap::default()), |fields| object(fields, depth))?;
    let members = &mut map.members;
    for NumberArrayProperties {
        prop_name,
        values_bytes,
        #[allow(deprecated, reason = "old clients send no bytes")]
        values,
    } in given.number_array_properties
    {
        let values = if values_bytes.is_empty() { values } else { doubles(&values_bytes)? };
        members.insert(prop_name, list(values.into_iter().map(number))?);
    }
    for IntArrayProperties { prop_name, values } in given.int_array_properties {
        members.insert(prop_name, list(values.into_iter().map(|value| Ok(InputValue::Int(value))))?);
    }
    for TextArrayProperties { prop_name, values } in given.text_array_properties {
        members.insert(prop_name, list(values.into_iter().map(|text| Ok(InputValue::Text(text))))?);
    }
    for BooleanArrayProperties { prop_name, values } in given.boolean_array_properties {
        members.insert(prop_name, list(values.into_iter().map(|value| Ok(InputValue::Bool(value))))?);
    }
    for ObjectProperties { prop_name, value } in given.object_properties {
        members.insert(prop_name, InputValue::Map(Box::new(nested(value.unwrap_or_default(), depth + 1)?)));
    }
    for ObjectArrayProperties { prop_name, values } in given.object_array_properties {
        members.insert(
            prop_name,
            list(values.into_iter().map(|value| nested(value, depth + 1).map(|map| InputValue::Map(Box::new(map)))))?,
        );
    }
    for prop_name in given.empty_list_props {
        members.insert(prop_name, InputValue::List(Vec::new()));
    }
    Ok(map)
}

fn doubles(bytes: &[u8]) -> Result<Vec<f64>, String> {
    let (chunks, rest) = bytes.as_chunks::<8>();
    if !rest.is_empty() {
        return Err(format!("a list of {} bytes is not made of 8-byte floats", bytes.len()));
    }
    Ok(chunks.iter().map(|chunk| f64::from_le_bytes(*chunk)).collect())
}

fn object(fields: Struct, depth: usize) -> Result<InputMap, String> {
    let members = fields.fields.into_iter().map(|(name, value)| Ok((name, any(value, depth + 1)?)));
    let mut map: InputMap = members.collect::<Result<_, String>>()?;
    map.target = map
        .get("beacon")
        .and_then(InputValue::as_text)
        .map(beacon::parse)
        .map(|target| target.map_err(|error| error.to_string()));
    Ok(map)
}

fn any(value: Any, depth: usize) -> Result<InputValue, String> {
    if depth > DEPTH_MAX {
        return Err(format!("properties are nested deeper than {DEPTH_MAX}"));
    }
    Ok(match value.kind {
        None | Some(Kind::NullValue(_)) => InputValue::Null,
        Some(Kind::NumberValue(value)) => number(value)?,
        Some(Kind::StringValue(text)) => InputValue::Text(text),
        Some(Kind::BoolValue(value)) => InputValue::Bool(value),
        Some(Kind::StructValue(fields)) => InputValue::Map(Box::new(object(fields, depth)?)),
        Some(Kind::ListValue(values)) => list(values.values.into_iter().map(|value| any(value, depth + 1)))?,
    })
}

fn list(values: impl Iterator<Item = Result<InputValue, String>>) -> Result<InputValue, String> {
    values.collect::<Result<_, _>>().map(InputValue::List)
}

fn number(value: f64) -> Result<InputValue, String> {
    if !value.is_finite() {
        return Err(format!("the number {value} has no place in an object"));
    }
    Ok(InputValue::Float(value))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::pb::weaviate::batch_object::{MultiTargetRefProps, SingleTargetRefProps};
    use crate::weaviate::objects::input;

    const ID: &str = "00000000-0000-4000-8000-000000000001";

    fn value(kind: Kind) -> Any {
        Any { kind: Some(kind) }
    }

    fn fields(given: impl IntoIterator<Item = (&'static str, Any)>) -> Option<Struct> {
        Some(Struct { fields: given.into_iter().map(|(name, value)| (name.to_owned(), value)).collect() })
    }

    #[test]
    fn every_field_of_the_message_becomes_a_property() {
        let doubles = [1.5_f64, -2.0].iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
        let inner = ObjectPropertiesValue {
            non_ref_properties: fields([("a", value(Kind::BoolValue(true)))]),
            ..ObjectPropertiesValue::default()
        };
        let given = Properties {
            non_ref_properties: fields([
                ("text", value(Kind::StringValue("x".to_owned()))),
                ("whole", value(Kind::NumberValue(3.0))),
                ("null", value(Kind::NullValue(0))),
            ]),
            number_array_properties: vec![NumberArrayProperties {
                prop_name: "numbers".to_owned(),
                values_bytes: doubles,
                ..NumberArrayProperties::default()
            }],
            int_array_properties: vec![IntArrayProperties { prop_name: "ints".to_owned(), values: vec![i64::MAX, 2] }],
            text_array_properties: vec![TextArrayProperties {
                prop_name: "texts".to_owned(),
                values: vec!["a".to_owned()],
            }],
            boolean_array_properties: vec![BooleanArrayProperties {
                prop_name: "bools".to_owned(),
                values: vec![true],
            }],
            object_properties: vec![ObjectProperties { prop_name: "object".to_owned(), value: Some(inner.clone()) }],
            object_array_properties: vec![ObjectArrayProperties {
                prop_name: "objects".to_owned(),
                values: vec![inner],
            }],
            empty_list_props: vec!["empty".to_owned()],
            single_target_ref_props: vec![SingleTargetRefProps {
                uuids: vec![ID.to_owned(), "word".to_owned()],
                prop_name: "one".to_owned(),
            }],
            multi_target_ref_props: vec![MultiTargetRefProps {
                uuids: vec![ID.to_owned()],
                prop_name: "many".to_owned(),
                target_collection: "press".to_owned(),
            }],
        };
        let map = map(None, given).expect("properties");
        let want = json!({
            "text": "x",
            "whole": 3.0,
            "null": null,
            "numbers": [1.5, -2.0],
            "ints": [i64::MAX, 2],
            "texts": ["a"],
            "bools": [true],
            "object": {"a": true},
            "objects": [{"a": true}],
            "empty": [],
            "one": [
                {"beacon": format!("weaviate://localhost/{ID}")},
                {"beacon": "weaviate://localhost//word"},
            ],
            "many": [{"beacon": format!("weaviate://localhost/Press/{ID}")}],
        });
        assert_eq!(input::map_json(&map), want);
        assert_eq!(map.get("ints"), Some(&InputValue::List(vec![InputValue::Int(i64::MAX), InputValue::Int(2)])));
        assert_eq!(map.get("whole"), Some(&InputValue::Float(3.0)));
    }

    #[test]
    fn what_no_object_can_hold_is_refused() {
        let of = |value| map(None, Properties { non_ref_properties: fields([("p", value)]), ..Properties::default() });
        let nan = of(value(Kind::NumberValue(f64::NAN))).expect_err("no number");
        assert!(nan.contains("has no place in an object"), "{nan}");
        let mut deep = value(Kind::BoolValue(true));
        for _ in 0..=DEPTH_MAX {
            deep = value(Kind::ListValue(prost_types::ListValue { values: vec![deep] }));
        }
        assert!(of(deep).expect_err("too deep").contains("nested deeper"));
        let torn = NumberArrayProperties { values_bytes: vec![0; 9], ..NumberArrayProperties::default() };
        let torn = Properties { number_array_properties: vec![torn], ..Properties::default() };
        assert!(map(None, torn).expect_err("torn").contains("9 bytes is not made of 8-byte floats"));
    }
}
