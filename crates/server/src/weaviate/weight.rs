//! The size of objects as trees of JSON, computed before the trees are made: bounds within a factor of two, for
//! [`memory`](crate::request_memory).
//!
//! A number of a property takes 64 bytes in such a tree, which keeps its digits as text; a float of a vector takes four.

use azimuth_engine::object::{Object, Properties, Value, Vector};
use serde_json::Value as Json;

use super::tree::Tree;

/// A value in a list or a map.
const NODE_BYTES: usize = size_of::<Json>();
/// Bytes of a member of a map beside its name's text and the heap memory of its value.
pub(crate) const MEMBER_BYTES: usize = 112;
/// Bytes of a number, with its digits.
const NUMBER_BYTES: usize = NODE_BYTES + 32;
/// Bytes of a text beside its characters.
const TEXT_BYTES: usize = NODE_BYTES + 16;
/// Id, class, times and the like.
const HEAD_BYTES: usize = 8 * (MEMBER_BYTES + TEXT_BYTES);
/// A beacon and its path, without the collection's name.
const REFERENCE_BYTES: usize = 2 * (MEMBER_BYTES + TEXT_BYTES) + 128;
const PHONE_BYTES: usize = 7 * (MEMBER_BYTES + TEXT_BYTES);

/// An object with its properties, and with its vectors if these are moved to the tree.
pub(crate) fn object(object: &Object) -> usize {
    HEAD_BYTES + properties(&object.properties) + object.vectors.len() * MEMBER_BYTES
}

/// Properties as a map.
pub(crate) fn properties(properties: &Properties) -> usize {
    properties.iter().map(|(name, member)| MEMBER_BYTES + name.len() + value(member)).sum()
}

/// A copy of a vector.
pub(crate) fn vector(vector: &Vector) -> usize {
    let (Vector::Single(values) | Vector::Multi { rows: values, .. }) = vector;
    MEMBER_BYTES + size_of_val(values.as_slice())
}

/// A value of a property.
pub(crate) fn value(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) => NODE_BYTES,
        Value::Int(_) | Value::Number(_) => NUMBER_BYTES,
        Value::Text(text) | Value::Blob(text) => TEXT_BYTES + text.len(),
        Value::Date(_) | Value::Uuid(_) => TEXT_BYTES + 48,
        Value::Geo(_) => 2 * (MEMBER_BYTES + NUMBER_BYTES),
        Value::Phone(phone) => {
            let texts =
                [&phone.input, &phone.default_country, &phone.international_formatted, &phone.national_formatted];
            PHONE_BYTES + texts.map(String::len).iter().sum::<usize>()
        }
        Value::Object(nested) => NODE_BYTES + properties(nested),
        Value::List(values) => NODE_BYTES + values.iter().map(self::value).sum::<usize>(),
        Value::References(beacons) => {
            let names = beacons.iter().map(|beacon| 2 * beacon.collection.as_ref().map_or(0, String::len));
            NODE_BYTES + beacons.len() * REFERENCE_BYTES + names.sum::<usize>()
        }
    }
}

/// A tree that was made.
pub(crate) fn tree(tree: &Tree) -> usize {
    match tree {
        Tree::Value(value) => json(value),
        Tree::Vector(vector, _) => self::vector(vector),
        Tree::List(values) => NODE_BYTES + values.iter().map(self::tree).sum::<usize>(),
        Tree::Object(members) => {
            let member = |(name, member): (&String, &Tree)| MEMBER_BYTES + name.len() + self::tree(member);
            NODE_BYTES + members.iter().map(member).sum::<usize>()
        }
    }
}

/// The same without vectors.
pub(crate) fn json(json: &Json) -> usize {
    match json {
        Json::Null | Json::Bool(_) => NODE_BYTES,
        Json::Number(_) => NUMBER_BYTES,
        Json::String(text) => TEXT_BYTES + text.len(),
        Json::Array(values) => NODE_BYTES + values.iter().map(self::json).sum::<usize>(),
        Json::Object(members) => {
            NODE_BYTES
                + members.iter().map(|(name, member)| MEMBER_BYTES + name.len() + self::json(member)).sum::<usize>()
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::weaviate::objects::render;

    #[test]
    fn values_weigh_at_least_what_their_trees_do() {
        let nested = [("a".to_owned(), Value::List(vec![Value::Int(1); 50]))].into();
        for one in [
            Value::Text("x".repeat(100)),
            Value::List(vec![Value::Number(0.5); 100]),
            Value::Object(nested),
            Value::Uuid(uuid::Uuid::nil()),
        ] {
            let (told, made) = (value(&one), json(&render::value(&one, true)));
            assert!((made / 2..=2 * made).contains(&told), "{one:?}: {told}, {made}");
        }
        assert!(json(&json!({"a": [1, 2, 3]})) > 3 * NUMBER_BYTES);
    }
}
