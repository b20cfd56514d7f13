//! Properties of a BatchObject -> the JSON form that objects are checked in.

use azimuth_engine::schema::{Collection, DataType};
use prost_types::value::Kind;
use prost_types::{Struct, Value as Any};
use serde_json::{Map, Number, Value as Json, json};
use uuid::Uuid;

use crate::app::objects::beacon;
use crate::app::objects::convert::property_name;
use crate::app::schema::names::{no_such_property, upper_first};
use crate::pb::weaviate::batch_object::Properties;
use crate::pb::weaviate::{
    BooleanArrayProperties, IntArrayProperties, NumberArrayProperties, ObjectArrayProperties, ObjectProperties,
    ObjectPropertiesValue, TextArrayProperties,
};

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
    for references in single {
        let target = single_target(schema, &references.prop_name)?;
        append(&mut map, &references.prop_name, target, &references.uuids);
    }
    for references in multi {
        let target = upper_first(&references.target_collection);
        append(&mut map, &references.prop_name, Some(&target), &references.uuids);
    }
    Ok(map)
}

/// The only collection that a reference property leads to; `None` for what is no reference.
fn single_target<'a>(schema: Option<&'a Collection>, property: &str) -> Result<Option<&'a str>, String> {
    let Some(collection) = schema else { return Ok(None) };
    let name = property_name(property);
    match collection.property(&name).map(|property| &property.data_type) {
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
