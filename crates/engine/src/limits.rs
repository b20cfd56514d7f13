//! Limits of collections and objects.
//!
//! Every limit is defined once, here. The server checks the limits before a command is proposed ([`check_schema`],
//! [`value_depth`]); apply checks only limits beyond which it cannot carry out a command (the space of ids,
//! [`STORED_DEPTH_MAX`]), because the log may hold commands that an earlier version accepted under other limits: they
//! have the same outcome when they are applied again. A collection or object that is already above a limit stays
//! usable; it may not grow.

use crate::object::Value;
use crate::schema::{Collection, DataType, Property, encode_schema};
use crate::{Error, Result};

/// Most properties of a collection, nested ones included. Each change of a schema is written as a whole, twice, and each
/// object is checked against all of them; ids of properties end at 65,534.
pub const PROPERTIES_MAX: usize = 10_000;

/// Most named vectors of a collection. Each has an index with files and memory of its own; ids end at 65,534.
pub const VECTORS_MAX: usize = 1_000;

/// Most containers (objects and lists) around a value, the same for schemas and for objects, on every wire. A list of
/// objects is two containers, a list of numbers is one. A client that decodes protobuf with the usual limit of 100
/// nested messages can read such a value over gRPC: an object takes three messages, a list of objects five.
pub const DEPTH_MAX: usize = 30;

/// Most bytes of a collection's schema as it is stored, descriptions and module settings included.
pub const SCHEMA_BYTES_MAX: usize = 8 << 20;

/// Most containers around a stored value: a value nested deeper is neither written nor read. Earlier versions accepted
/// up to 65; such objects stay readable and can be changed.
pub const STORED_DEPTH_MAX: usize = 128;

/// Checks a collection that is to be created, or to take the place of `old`.
///
/// # Errors
/// [`Error::Limit`], which names the limit and the collection's count. A count above a limit is accepted if `old` has
/// at least as many.
pub fn check_schema(new: &Collection, old: Option<&Collection>) -> Result<()> {
    let name = &new.name;
    let check = |what: &str, max: usize, of: fn(&Collection) -> usize| {
        let count = of(new);
        if count > max && old.is_none_or(|old| of(old) < count) {
            return Err(Error::Limit(format!("collection {name} would have {count} {what}, {max} are possible")));
        }
        Ok(())
    };
    check("properties, nested ones included", PROPERTIES_MAX, |of| property_count(of.properties()))?;
    check("named vectors", VECTORS_MAX, |of| of.vectors.named.len())?;
    check("levels of nested objects and lists", DEPTH_MAX, |of| schema_depth(of.properties()))?;
    // Only a schema with many properties, vectors or levels can be that large, and encoding costs as much as the schema
    // is large.
    let bytes = encode_schema(new)?.len();
    if bytes > SCHEMA_BYTES_MAX && old.is_none_or(|old| encode_schema(old).is_ok_and(|old| old.len() < bytes)) {
        return Err(Error::Limit(format!(
            "the schema of collection {name} would have {bytes} bytes, descriptions and module settings included; \
             {SCHEMA_BYTES_MAX} are possible"
        )));
    }
    Ok(())
}

/// Number of these properties and of all that are nested in them.
pub fn property_count(properties: &[Property]) -> usize {
    properties.iter().map(|property| 1 + property_count(&property.nested)).sum()
}

/// Most containers around a value that these properties allow.
pub fn schema_depth(properties: &[Property]) -> usize {
    let depth = |property: &Property| match property.data_type {
        DataType::Primitive { list, .. } => usize::from(list),
        DataType::Object { list } => 1 + usize::from(list) + schema_depth(&property.nested),
        DataType::Reference(_) => 1,
    };
    properties.iter().map(depth).max().unwrap_or(0)
}

/// Containers around the deepest value within `value`, itself included. Stops counting above [`STORED_DEPTH_MAX`].
pub fn value_depth(value: &Value) -> usize {
    depth_below(value, STORED_DEPTH_MAX + 1)
}

fn depth_below(value: &Value, left: usize) -> usize {
    if left == 0 {
        return 0;
    }
    match value {
        Value::Object(properties) => {
            1 + properties.values().map(|value| depth_below(value, left - 1)).max().unwrap_or(0)
        }
        Value::List(values) => 1 + values.iter().map(|value| depth_below(value, left - 1)).max().unwrap_or(0),
        Value::References(_) => 1,
        Value::Null
        | Value::Bool(_)
        | Value::Int(_)
        | Value::Number(_)
        | Value::Text(_)
        | Value::Date(_)
        | Value::Uuid(_)
        | Value::Geo(_)
        | Value::Phone(_)
        | Value::Blob(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::PropertyId;
    use crate::schema::Primitive;

    fn property(name: String, data_type: DataType, nested: Vec<Property>) -> Property {
        Property {
            id: PropertyId(0),
            name,
            description: None,
            data_type,
            tokenization: None,
            filterable: false,
            searchable: false,
            range_filterable: false,
            nested,
            text_analyzer: None,
            module_config: None,
        }
    }

    fn numbers(count: usize) -> Vec<Property> {
        (0..count).map(|n| property(format!("n{n}"), DataType::one(Primitive::Int), Vec::new())).collect()
    }

    fn of(properties: Vec<Property>) -> Collection {
        Collection { name: "Thing".into(), properties: Some(properties), ..Collection::default() }
    }

    fn refused(new: &Collection, old: Option<&Collection>, part: &str) {
        match check_schema(new, old) {
            Err(Error::Limit(text)) => assert!(text.contains(part), "{text}"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn nested_properties_count_and_nothing_above_a_limit_grows() {
        let object = |count| property("o".into(), DataType::Object { list: false }, numbers(count));
        let (at, above) = (of(vec![object(PROPERTIES_MAX - 1)]), of(vec![object(PROPERTIES_MAX)]));
        check_schema(&at, None).unwrap();
        refused(&above, None, "would have 10001 properties, nested ones included, 10000 are possible");
        refused(&above, Some(&at), "10001");
        check_schema(&Collection { description: Some("x".into()), ..above.clone() }, Some(&above)).unwrap();
        refused(&of(vec![object(PROPERTIES_MAX + 1)]), Some(&above), "10002");
    }

    #[test]
    fn depth_is_counted_in_containers_everywhere() {
        let mut deep = property("p".into(), DataType::list(Primitive::Text), Vec::new());
        let mut value = Value::List(vec![Value::Text("x".into())]);
        for levels in 1..=DEPTH_MAX {
            assert_eq!((schema_depth(std::slice::from_ref(&deep)), value_depth(&value)), (levels, levels));
            deep = property("p".into(), DataType::Object { list: false }, vec![deep]);
            value = Value::Object([("p".to_owned(), value)].into());
        }
        refused(&of(vec![deep]), None, "would have 31 levels of nested objects and lists, 30 are possible");
        for _ in 0..1_000 {
            value = Value::List(vec![value]);
        }
        assert_eq!(value_depth(&value), STORED_DEPTH_MAX + 1);
    }

    #[test]
    fn the_record_as_a_whole_is_bounded() {
        let description = Some("x".repeat(SCHEMA_BYTES_MAX));
        refused(&Collection { description, ..of(numbers(1)) }, None, "8388608 are possible");
    }
}
