//! The size of a schema, and the check against the limits of a collection.

use super::{Collection, DataType, Property, encode_schema};
use crate::limits::{DEPTH_MAX, PROPERTIES_MAX, SCHEMA_BYTES_MAX, VECTORS_MAX};
use crate::{Error, Result};

/// Checks a collection that is about to be created or to replace `old`.
///
/// # Errors
/// [`Error::Limit`], which names the limit and the value that the collection would have. A limit that `old` exceeds
/// already is an error only if `new` exceeds it further.
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
    // The last check, because its cost grows with the size of the schema.
    let bytes = encode_schema(new)?.len();
    if bytes > SCHEMA_BYTES_MAX && old.is_none_or(|old| encode_schema(old).is_ok_and(|old| old.len() < bytes)) {
        return Err(Error::Limit(format!(
            "the schema of collection {name} would have {bytes} bytes, descriptions and module settings included; \
             {SCHEMA_BYTES_MAX} are possible"
        )));
    }
    Ok(())
}

/// Number of these properties and of all properties nested in them.
pub fn property_count(properties: &[Property]) -> usize {
    properties.iter().map(|property| 1 + property_count(&property.nested)).sum()
}

/// Greatest number of containers around a value that these properties allow.
pub fn schema_depth(properties: &[Property]) -> usize {
    let depth = |property: &Property| match property.data_type {
        DataType::Primitive { list, .. } => usize::from(list),
        DataType::Object { list } => 1 + usize::from(list) + schema_depth(&property.nested),
        DataType::Reference(_) => 1,
    };
    properties.iter().map(depth).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::PropertyId;
    use crate::limits::STORED_DEPTH_MAX;
    use crate::object::{Value, value_depth};
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
