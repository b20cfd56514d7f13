//! The values inside of objects, as the index has them.
//!
//! Each nested property has an id of its own, under which the entries of its values stand, with the kinds of entries of
//! top-level properties: [`InvKind::Present`] for objects that have a value at that path in any element, and the values
//! of filterable properties, text as [`InvKind::Term`]. The entries do not tell elements apart: a reader that needs to know
//! whether two values lie in the same element reads the rows of the candidates
//! ([`reader::nested`](crate::inverted::reader::nested)).

use super::terms::{self, Sink};
use crate::object::{Properties, Value};
use crate::schema::{DataType, Property};
use crate::storage::key::InvKind;

/// Names everything that is indexed of the value of an object property to `sink`.
pub(super) fn index(property: &Property, value: &Value, sink: &mut impl Sink) {
    if has_index(property) {
        index_container(property, value, sink);
    }
}

fn index_members(nested: &[Property], members: &Properties, sink: &mut impl Sink) {
    for property in nested {
        let Some(value) = members.get(&property.name) else { continue };
        match property.data_type {
            DataType::Object { .. } => index_container(property, value, sink),
            DataType::Primitive { .. } => index_leaf(property, value, sink),
            DataType::Reference(_) => {}
        }
    }
}

fn index_container(property: &Property, value: &Value, sink: &mut impl Sink) {
    let mut some = false;
    for element in terms::elements(value) {
        if let Value::Object(members) = element {
            some = true;
            index_members(&property.nested, members, sink);
        }
    }
    if some {
        sink.member(property.id, InvKind::Present, &[]);
    }
}

fn index_leaf(property: &Property, value: &Value, sink: &mut impl Sink) {
    let elements = terms::elements(value);
    if !terms::is_indexed(property) || elements.iter().all(|element| matches!(element, Value::Null)) {
        return;
    }
    sink.member(property.id, InvKind::Present, &[]);
    if !property.filterable {
        return;
    }
    for element in elements {
        match element {
            Value::Text(text) => terms::each_term(property, text, |term| {
                sink.member(property.id, InvKind::Term, &terms::term_key(term));
            }),
            other => {
                if let Some((kind, bytes)) = terms::scalar(other) {
                    sink.member(property.id, kind, &bytes);
                }
            }
        }
    }
}

/// Whether anything inside of an object property is indexed.
pub(crate) fn has_index(property: &Property) -> bool {
    property.nested.iter().any(|nested| match nested.data_type {
        DataType::Object { .. } => has_index(nested),
        DataType::Primitive { .. } | DataType::Reference(_) => terms::is_indexed(nested),
    })
}
