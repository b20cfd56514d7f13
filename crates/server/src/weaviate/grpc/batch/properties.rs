//! Properties of a BatchObject -> the JSON form that objects are checked in.

use azimuth_engine::schema::{Collection, DataType, PropertyLookup};
use prost_types::value::Kind;
use prost_types::{Struct, Value as Any};
use serde_json::{Map, Number, Value as Json, json};
use uuid::Uuid;

use crate::app::objects::convert::property_name;
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
/// A value that has no JSON form, or a reference that the schema does not have.
pub(super) fn map(schema: Option<&Collection>, given: Properties) -> Result<Map<String, Json>, String> {
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

fn append(map: &mut Map<String, Json>, property: &str, target: Option<&str>, ids: &[String]) {
    let list = map.entry(property).or_insert_with(|| Json::Array(Vec::new()));
    let Json::Array(list) = list else { return };
    for id in ids {
        let text = match (Uuid::try_parse(id), target) {
            (Ok(id), target) => beacon::text(target, id),
            (Err(_), target) => format!("weaviate://localhost/{}/{id}", target.unwrap_or_default()),
        };
        list.push(json!({"beacon": text}));
    }
}

fn nested(given: ObjectPropertiesValue, depth: usize) -> Result<Map<String, Json>, String> {
    if depth > DEPTH_MAX {
        return Err(format!("properties are nested deeper than {DEPTH_MAX}"));
    }
    let mut map = given.non_ref_properties.map_or_else(|| Ok(Map::new()), |fields| object(fields, depth))?;
    for NumberArrayProperties {
        prop_name,
        values_bytes,
        #[allow(deprecated, reason = "old clients send no bytes")]
        values,
    } in given.number_array_properties
    {
        let values = if values_bytes.is_empty() { values } else { doubles(&values_bytes)? };
        map.insert(prop_name, values.into_iter().map(number).collect::<Result<_, _>>()?);
    }
    for IntArrayProperties { prop_name, values } in given.int_array_properties {
        map.insert(prop_name, Json::from(values));
    }
    for TextArrayProperties { prop_name, values } in given.text_array_properties {
        map.insert(prop_name, Json::from(values));
    }
    for BooleanArrayProperties { prop_name, values } in given.boolean_array_properties {
        map.insert(prop_name, Json::from(values));
    }
    for ObjectProperties { prop_name, value } in given.object_properties {
        map.insert(prop_name, Json::Object(nested(value.unwrap_or_default(), depth + 1)?));
    }
    for ObjectArrayProperties { prop_name, values } in given.object_array_properties {
        let objects = values.into_iter().map(|value| nested(value, depth + 1).map(Json::Object));
        map.insert(prop_name, objects.collect::<Result<_, _>>()?);
    }
    for prop_name in given.empty_list_props {
        map.insert(prop_name, Json::Array(Vec::new()));
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

fn object(fields: Struct, depth: usize) -> Result<Map<String, Json>, String> {
    fields.fields.into_iter().map(|(name, value)| Ok((name, any(value, depth + 1)?))).collect()
}

fn any(value: Any, depth: usize) -> Result<Json, String> {
    if depth > DEPTH_MAX {
        return Err(format!("properties are nested deeper than {DEPTH_MAX}"));
    }
    Ok(match value.kind {
        None | Some(Kind::NullValue(_)) => Json::Null,
        Some(Kind::NumberValue(value)) => number(value)?,
        Some(Kind::StringValue(text)) => Json::String(text),
        Some(Kind::BoolValue(value)) => Json::Bool(value),
        Some(Kind::StructValue(fields)) => Json::Object(object(fields, depth)?),
        Some(Kind::ListValue(list)) => {
            list.values.into_iter().map(|value| any(value, depth + 1)).collect::<Result<_, _>>()?
        }
    })
}

/// A float as a number of JSON, always with a fraction or an exponent: integers come in fields of their own.
fn number(value: f64) -> Result<Json, String> {
    Number::from_f64(value).map(Json::Number).ok_or_else(|| format!("the number {value} has no place in an object"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pb::weaviate::batch_object::{MultiTargetRefProps, SingleTargetRefProps};

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
        assert_eq!(Json::Object(map), want);
    }

    #[test]
    fn what_has_no_json_form_is_refused() {
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
