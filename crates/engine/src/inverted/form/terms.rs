//! What of an object is indexed, and under which value.

use uuid::Uuid;

use super::nested;
use crate::ids::{PropertyId, VectorId};
use crate::object::{Date, Geo, Object, Value};
use crate::schema::{Collection, DataType, Primitive, Property, Tokenization};
use crate::storage::key::{self, InvKind};
use crate::tokenizer;

/// The object itself, among properties.
pub(crate) const OBJECT: PropertyId = PropertyId(0);
/// Bytes of a term that are kept; what is longer ends with a hash of the whole instead.
pub(crate) const TERM_BYTES_MAX: usize = 1_024;

/// Entries of the inverted index that an object gives rise to.
pub(crate) trait Sink {
    /// The object has this value.
    fn member(&mut self, property: PropertyId, kind: InvKind, value: &[u8]);
    /// The object's searchable text has this token; called for each of them.
    fn token(&mut self, property: PropertyId, term: &str);
    /// The object's searchable text has so many tokens; called after all of them.
    fn length(&mut self, property: PropertyId, tokens: u32);
    /// The object has this value in a column.
    fn column(&mut self, property: PropertyId, of: ColumnOf, value: &Value);
}

/// The content of a column: the value of a column's key. Never renumber.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum ColumnOf {
    /// Values of the property.
    Values = 0,
    /// Property 0: creation times in ms, as ints.
    Created = 1,
    /// Property 0: times of the last update in ms, as ints.
    Updated = 2,
    /// Property 0: ids.
    Id = 3,
}

/// Names everything that is indexed of `object` to `sink`, and returns the number of tokens of each searchable property
/// that has any, ascending by property.
pub(crate) fn index(schema: &Collection, object: &Object, sink: &mut impl Sink) -> Vec<(PropertyId, u32)> {
    if schema.inverted.index_timestamps {
        sink.member(OBJECT, InvKind::Created, &key::ordered_i64(object.created_ms));
        sink.member(OBJECT, InvKind::Updated, &key::ordered_i64(object.updated_ms));
    }
    sink.column(OBJECT, ColumnOf::Created, &Value::Int(object.created_ms));
    sink.column(OBJECT, ColumnOf::Updated, &Value::Int(object.updated_ms));
    sink.column(OBJECT, ColumnOf::Id, &Value::Uuid(object.id));
    let mut tokens = Vec::new();
    for property in schema.properties() {
        let Some(value) = object.properties.get(&property.name) else { continue };
        if has_column(property) && *value != Value::Null {
            sink.column(property.id, ColumnOf::Values, value);
        }
        if matches!(property.data_type, DataType::Object { .. }) {
            nested::index(property, value, sink);
            continue;
        }
        if !is_indexed(property) {
            continue;
        }
        index_state(schema, property, value, sink);
        if let Some(count) = index_values(property, value, sink) {
            tokens.push((property.id, count));
        }
    }
    tokens.sort_unstable();
    tokens
}

/// Whether a property has any index.
pub(crate) fn is_indexed(property: &Property) -> bool {
    property.filterable || property.searchable || property.range_filterable
}

/// Whether values of a property have a column. This follows from the type alone, which never changes, so that a column
/// lacks no object.
pub(crate) fn has_column(property: &Property) -> bool {
    match property.data_type {
        DataType::Primitive { of, .. } => match of {
            Primitive::Text
            | Primitive::Int
            | Primitive::Number
            | Primitive::Boolean
            | Primitive::Date
            | Primitive::Uuid => true,
            Primitive::GeoCoordinates | Primitive::PhoneNumber | Primitive::Blob | Primitive::BlobHash => false,
        },
        DataType::Reference(_) | DataType::Object { .. } => false,
    }
}

/// Whether a property's null state and length are indexed with it.
pub(crate) fn has_null_state(property: &Property) -> bool {
    match property.data_type {
        DataType::Primitive { of, .. } => {
            !matches!(of, Primitive::GeoCoordinates | Primitive::PhoneNumber | Primitive::Blob | Primitive::BlobHash)
        }
        DataType::Reference(_) => true,
        DataType::Object { .. } => false,
    }
}

/// Length as `len()` and null state see it; `None` for what has none.
pub(crate) fn length(value: &Value) -> Option<u64> {
    match value {
        Value::Text(text) => Some(text.chars().count() as u64),
        Value::List(values) => Some(values.len() as u64),
        Value::References(beacons) => Some(beacons.len() as u64),
        Value::Null
        | Value::Bool(_)
        | Value::Int(_)
        | Value::Number(_)
        | Value::Date(_)
        | Value::Uuid(_)
        | Value::Geo(_)
        | Value::Phone(_)
        | Value::Blob(_)
        | Value::Object(_) => None,
    }
}

fn index_state(schema: &Collection, property: &Property, value: &Value, sink: &mut impl Sink) {
    if !has_null_state(property) || matches!(value, Value::Null) {
        return;
    }
    let length = length(value);
    if schema.inverted.index_null_state && length != Some(0) {
        sink.member(property.id, InvKind::Present, &[]);
    }
    // The number of references can always be asked for.
    if let Some(length) = length
        && (schema.inverted.index_property_length || matches!(value, Value::References(_)))
    {
        sink.member(property.id, InvKind::Length, &length.to_be_bytes());
    }
}

/// Returns the number of tokens if the property is searchable and has any.
fn index_values(property: &Property, value: &Value, sink: &mut impl Sink) -> Option<u32> {
    if property.data_type.is_text() {
        return index_text(property, value, sink);
    }
    if let Value::References(beacons) = value {
        for beacon in beacons {
            let value = reference_key(beacon.id, beacon.collection.as_deref());
            sink.member(property.id, InvKind::ReferenceTo, &value);
        }
        return None;
    }
    for value in elements(value) {
        if let Some((kind, bytes)) = scalar(value) {
            sink.member(property.id, kind, &bytes);
        }
    }
    None
}

fn index_text(property: &Property, value: &Value, sink: &mut impl Sink) -> Option<u32> {
    let mut length = 0_u32;
    for element in elements(value) {
        let Value::Text(text) = element else { continue };
        each_term(property, text, |term| {
            length = length.saturating_add(1);
            if property.searchable {
                sink.token(property.id, term);
            } else {
                sink.member(property.id, InvKind::Term, &term_key(term));
            }
        });
    }
    if !property.searchable || length == 0 {
        return None;
    }
    sink.length(property.id, length);
    Some(length)
}

fn tokenization(property: &Property) -> Tokenization {
    property.tokenization.unwrap_or(Tokenization::Word)
}

/// The value itself, or the elements of a list.
pub(crate) fn elements(value: &Value) -> &[Value] {
    match value {
        Value::List(values) => values,
        single => std::slice::from_ref(single),
    }
}

/// The terms of a text of that property.
pub(crate) fn text_terms(property: &Property, text: &str) -> Vec<String> {
    let mut terms = Vec::new();
    each_term(property, text, |term| terms.push(term.to_owned()));
    terms
}

/// Calls `take` with each term of a text of that property.
pub(crate) fn each_term(property: &Property, text: &str, take: impl FnMut(&str)) {
    let text = tokenizer::analyze(property.text_analyzer.as_ref(), text);
    tokenizer::each_term(tokenization(property), &text, take);
}

/// Kind and value of everything that is neither text nor reference; `None` for what is not indexed.
pub(crate) fn scalar(value: &Value) -> Option<(InvKind, Vec<u8>)> {
    Some(match value {
        Value::Int(value) => (InvKind::Int, key::ordered_i64(*value).to_vec()),
        Value::Number(value) => (InvKind::Number, key::ordered_f64(*value).to_vec()),
        Value::Bool(value) => (InvKind::Bool, vec![u8::from(*value)]),
        Value::Date(date) => (InvKind::Date, date_key(*date).to_vec()),
        Value::Uuid(id) => (InvKind::Uuid, id.as_bytes().to_vec()),
        Value::Geo(geo) => (InvKind::Geo, geo_key(*geo).to_vec()),
        Value::Null
        | Value::Text(_)
        | Value::Phone(_)
        | Value::Blob(_)
        | Value::Object(_)
        | Value::List(_)
        | Value::References(_) => return None,
    })
}

/// Value of [`InvKind::Date`]: the instant, whatever the offset.
pub(crate) fn date_key(date: Date) -> [u8; 12] {
    let mut bytes = [0; 12];
    bytes[..8].copy_from_slice(&key::ordered_i64(date.unix_s));
    bytes[8..].copy_from_slice(&date.nanos.to_be_bytes());
    bytes
}

/// Value of [`InvKind::Geo`].
pub(crate) fn geo_key(geo: Geo) -> [u8; 8] {
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&key::ordered_f32(geo.latitude));
    bytes[4..].copy_from_slice(&key::ordered_f32(geo.longitude));
    bytes
}

/// Value of [`InvKind::ReferenceTo`].
pub(crate) fn reference_key(id: Uuid, collection: Option<&str>) -> Vec<u8> {
    let mut out = id.as_bytes().to_vec();
    write_term_key(collection.unwrap_or_default(), &mut out);
    out
}

/// How a term ends in a key: zero bytes inside are written `00 ff`, so that `00` and one of these ends it.
const TERM_END: [u8; 2] = [0, 0];
const TERM_CUT: [u8; 2] = [0, 1];

/// Value of [`InvKind::Term`] and [`InvKind::Posting`]: in the order of the terms' bytes, and none is another's beginning.
///
/// A term above [`TERM_BYTES_MAX`] bytes is its beginning, `00 01` and murmur3 (x64, 128 bit, seed 0) of the whole.
pub(crate) fn term_key(term: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(term.len().min(TERM_BYTES_MAX) + 2);
    write_term_key(term, &mut out);
    out
}

/// Appends what [`term_key`] returns.
pub(crate) fn write_term_key(term: &str, out: &mut Vec<u8>) {
    let bytes = term.as_bytes();
    let kept = &bytes[..bytes.len().min(TERM_BYTES_MAX)];
    for &byte in kept {
        out.push(byte);
        if byte == 0 {
            out.push(0xff);
        }
    }
    if kept.len() == bytes.len() {
        out.extend_from_slice(&TERM_END);
        return;
    }
    out.extend_from_slice(&TERM_CUT);
    out.extend_from_slice(&hash(bytes).to_be_bytes());
}

/// The start of all [`term_key`]s of terms that start with `prefix`.
pub(crate) fn term_key_prefix(prefix: &str) -> Vec<u8> {
    let mut out = term_key(&prefix[..prefix.floor_char_boundary(TERM_BYTES_MAX)]);
    out.truncate(out.len() - TERM_END.len());
    out
}

/// A term as a key has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeyTerm<T> {
    /// The term's bytes.
    pub bytes: T,
    /// Whether these are only the beginning.
    pub cut: bool,
}

/// Reads a [`term_key`] off the start of `bytes` and says how long it was.
pub(crate) fn parse_term_key(bytes: &[u8]) -> Option<(KeyTerm<Vec<u8>>, usize)> {
    let mut term = Vec::new();
    let mut at = 0;
    loop {
        match (*bytes.get(at)?, bytes.get(at + 1)) {
            (0, Some(0xff)) => {
                term.push(0);
                at += 2;
            }
            (0, Some(0)) => return Some((KeyTerm { bytes: term, cut: false }, at + 2)),
            (0, Some(1)) => return (bytes.len() >= at + 18).then_some((KeyTerm { bytes: term, cut: true }, at + 18)),
            (0, _) => return None,
            (byte, _) => {
                term.push(byte);
                at += 1;
            }
        }
    }
}

fn hash(mut bytes: &[u8]) -> u128 {
    murmur3::murmur3_x64_128(&mut bytes, 0).expect("reading from memory cannot fail")
}

/// Value of [`InvKind::HasVector`].
pub(crate) fn vector_key(vector: VectorId) -> [u8; 2] {
    vector.0.to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn term_keys_keep_the_order_and_are_free_of_prefixes() {
        let terms = ["", "\0", "\0a", "a", "a\0", "a\0b", "ab", "b", "é"];
        let keys: Vec<_> = terms.iter().map(|term| term_key(term)).collect();
        assert!(keys.windows(2).all(|pair| pair[0] < pair[1]));
        for (n, key) in keys.iter().enumerate() {
            assert!(keys.iter().enumerate().all(|(m, other)| n == m || !other.starts_with(key)));
            let (term, len) = parse_term_key(key).unwrap();
            assert_eq!((term.bytes.as_slice(), term.cut, len), (terms[n].as_bytes(), false, key.len()));
        }
    }

    #[test]
    fn long_terms_are_cut_and_stay_apart() {
        let (a, b) = ("x".repeat(3_000), format!("{}y", "x".repeat(2_999)));
        assert_ne!(term_key(&a), term_key(&b));
        let (term, len) = parse_term_key(&term_key(&a)).unwrap();
        assert!(term.cut && term.bytes.len() == TERM_BYTES_MAX && len == term_key(&a).len());
        assert!(term_key(&a).starts_with(&term_key_prefix("xx")));
        assert!(term_key("xx").starts_with(&term_key_prefix("xx")));
    }
}
