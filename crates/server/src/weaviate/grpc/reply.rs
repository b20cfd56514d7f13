//! Objects as search answers carry them.

use azimuth_engine::Result;
use azimuth_engine::object::{Object, Properties, Value, Vector};
use azimuth_engine::query::Score;
use azimuth_engine::schema::{DataType, Primitive};

use super::selection::{Field, Metadata, Reference, Selection};
use crate::app::search::target as vector_target;
use crate::app::shards::Followed;
use crate::pb::weaviate::list_value::Kind as ListKind;
use crate::pb::weaviate::value::Kind;
use crate::pb::weaviate::{
    BoolValues, DateValues, GeoCoordinate, IntValues, ListValue, MetadataResult, NumberValues, ObjectValues,
    PhoneNumber, Properties as PropertiesMessage, PropertiesResult, RefPropertiesResult, SearchResult, TextValues,
    UuidValues, Value as ValueMessage, Vectors, vectors::VectorType,
};
use crate::request_memory;
use crate::weaviate::texts;
use crate::weaviate::weight;

/// Bytes of a property in a message beside its value, which comes from the object.
const FIELD_BYTES: usize = 128;
/// Bytes of a hit's metadata without vectors.
const METADATA_BYTES: usize = size_of::<SearchResult>() + 128;

/// What a search knows of a hit beside the object.
#[derive(Debug, Clone, Default)]
pub(super) struct Ranked {
    /// Distance to the query.
    pub(super) distance: Option<f32>,
    /// The score that a fusion computed.
    pub(super) score: Option<Box<Score>>,
    /// Whether a certainty can be computed.
    pub(super) cosine: bool,
    /// Whether a score is told, 0 for what was not ranked by keywords.
    pub(super) scored: bool,
}

/// A hit.
///
/// # Errors
/// When the request may have no more memory.
pub(super) fn result(
    selection: &Selection,
    object: Object,
    references: &[Vec<Followed>],
    ranked: Ranked,
) -> Result<SearchResult> {
    let metadata = metadata(&selection.metadata, &object, ranked)?;
    let properties = properties(selection, object, references)?;
    Ok(SearchResult { properties: Some(properties), metadata: Some(metadata), generative: None })
}

fn properties(selection: &Selection, mut object: Object, followed: &[Vec<Followed>]) -> Result<PropertiesResult> {
    // Properties that the object lacks have a place in the message, too.
    request_memory::charge(selection.fields.as_ref().map_or(0, Vec::len) * FIELD_BYTES)?;
    let mut references = Vec::new();
    for (reference, followed) in selection.references.iter().zip(followed) {
        if let Some(Value::References(beacons)) = object.properties.get(&reference.property) {
            let properties = followed.iter().filter_map(|followed| target(reference, followed));
            let properties = properties.collect::<Result<Vec<_>>>()?;
            // An empty list is kept; a list whose targets are all missing is left out.
            if !properties.is_empty() || beacons.is_empty() {
                references.push(RefPropertiesResult { properties, prop_name: reference.property.clone() });
            }
        }
    }
    Ok(PropertiesResult {
        ref_props: references,
        target_collection: selection.collection.name.clone(),
        metadata: None,
        non_ref_props: selection.fields.as_ref().map(|fields| message(fields, &mut object.properties)),
        ref_props_requested: !selection.references.is_empty(),
    })
}

/// The object that a reference leads to.
fn target(reference: &Reference, followed: &Followed) -> Option<Result<PropertiesResult>> {
    let selection = reference.targets.get(followed.target)?;
    let tree = &followed.tree;
    let shown = || {
        request_memory::charge(weight::object(&tree.object))?;
        let metadata = metadata(&selection.metadata, &tree.object, Ranked::default())?;
        let properties = properties(selection, tree.object.clone(), &tree.references)?;
        Ok(PropertiesResult { metadata: Some(metadata), ..properties })
    };
    Some(shown())
}

fn metadata(selection: &Metadata, object: &Object, ranked: Ranked) -> Result<MetadataResult> {
    let floats: usize = object.vectors.values().map(floats).sum();
    request_memory::charge(METADATA_BYTES + 2 * floats * size_of::<f32>())?;
    let asked = &selection.asked;
    let mut result = MetadataResult::default();
    if asked.uuid {
        result.id = object.id.to_string();
        result.id_as_bytes = object.id.as_bytes().to_vec();
    }
    if asked.creation_time_unix {
        (result.creation_time_unix, result.creation_time_unix_present) = (object.created_ms, true);
    }
    if asked.last_update_time_unix {
        (result.last_update_time_unix, result.last_update_time_unix_present) = (object.updated_ms, true);
    }
    if let Some(distance) = ranked.distance {
        if asked.distance {
            (result.distance, result.distance_present) = (distance, true);
        }
        if asked.certainty && ranked.cosine {
            (result.certainty, result.certainty_present) = (vector_target::certainty(distance), true);
        }
    }
    result.score_present = asked.score && ranked.scored;
    result.explain_score_present = asked.explain_score && ranked.scored;
    if let Some(score) = ranked.score {
        if asked.score {
            result.score = score.value;
        }
        if asked.explain_score {
            result.explain_score = texts::explanation(object.id, &score.explanation);
        }
    }
    add_vectors(&mut result, selection, object);
    Ok(result)
}

/// The unnamed vector also in its old field, as numbers.
#[expect(deprecated, reason = "old clients read the field of numbers")]
fn add_vectors(result: &mut MetadataResult, selection: &Metadata, object: &Object) {
    let unnamed = azimuth_engine::ids::VectorId::UNNAMED;
    if selection.unnamed
        && let Some(Vector::Single(values)) = object.vectors.get(&unnamed)
    {
        result.vector.clone_from(values);
        result.vector_bytes = f32_bytes(values);
    }
    for (name, id) in &selection.named {
        let (bytes, kind) = match object.vectors.get(id) {
            Some(Vector::Single(values)) => (f32_bytes(values), VectorType::SingleFp32),
            Some(Vector::Multi { dim, rows }) => {
                let dim = u16::try_from(*dim).unwrap_or(u16::MAX).to_le_bytes();
                (dim.into_iter().chain(f32_bytes(rows)).collect(), VectorType::MultiFp32)
            }
            None => continue,
        };
        result.vectors.push(Vectors {
            name: name.clone(),
            vector_bytes: bytes.into(),
            r#type: kind.into(),
            ..Vectors::default()
        });
    }
}

fn floats(vector: &Vector) -> usize {
    match vector {
        Vector::Single(values) | Vector::Multi { rows: values, .. } => values.len(),
    }
}

/// Floats as the wire has them.
pub(super) fn f32_bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// The selected properties; what an object lacks is null.
fn message(fields: &[Field], properties: &mut Properties) -> PropertiesMessage {
    let value = |field: &Field, value: Option<Value>| {
        let kind = value.map_or(Kind::NullValue(0), |value| kind(field, value));
        (field.name.clone(), ValueMessage { kind: Some(kind) })
    };
    PropertiesMessage { fields: fields.iter().map(|field| value(field, properties.remove(&field.name))).collect() }
}

fn kind(field: &Field, value: Value) -> Kind {
    match value {
        Value::Null | Value::References(_) => Kind::NullValue(0),
        Value::Bool(value) => Kind::BoolValue(value),
        Value::Int(value) => Kind::IntValue(value),
        Value::Number(value) => Kind::NumberValue(value),
        Value::Text(text) => Kind::TextValue(text),
        Value::Date(date) => Kind::DateValue(date.to_string()),
        Value::Uuid(uuid) => Kind::UuidValue(uuid.to_string()),
        Value::Blob(text) => Kind::BlobValue(text),
        Value::Geo(geo) => Kind::GeoValue(GeoCoordinate { longitude: geo.longitude, latitude: geo.latitude }),
        Value::Phone(phone) => Kind::PhoneValue(PhoneNumber {
            country_code: phone.country_code,
            default_country: phone.default_country,
            input: phone.input,
            international_formatted: phone.international_formatted,
            national: phone.national,
            national_formatted: phone.national_formatted,
            valid: phone.valid,
        }),
        Value::Object(properties) => Kind::ObjectValue(nested(field, properties)),
        Value::List(values) => Kind::ListValue(ListValue { kind: list(field, values) }),
    }
}

/// An object's properties; unlike at the top level, what is absent stays absent.
fn nested(field: &Field, mut properties: Properties) -> PropertiesMessage {
    let present = field.nested.iter().filter_map(|inner| {
        let value = properties.remove(&inner.name)?;
        Some((inner.name.clone(), ValueMessage { kind: Some(kind(inner, value)) }))
    });
    PropertiesMessage { fields: present.collect() }
}

/// A list by the type of its property, so that an empty one is typed too.
fn list(field: &Field, values: Vec<Value>) -> Option<ListKind> {
    let primitive = match &field.data_type {
        DataType::Object { .. } => {
            let objects = values.into_iter().filter_map(|value| match value {
                Value::Object(properties) => Some(nested(field, properties)),
                _ => None,
            });
            return Some(ListKind::ObjectValues(ObjectValues { values: objects.collect() }));
        }
        DataType::Reference(_) => return None,
        DataType::Primitive { of, .. } => *of,
    };
    let texts = |values: Vec<Value>| values.iter().filter_map(text_of).collect::<Vec<_>>();
    Some(match primitive {
        Primitive::Int => {
            ListKind::IntValues(IntValues { values: values.iter().filter_map(int_bytes).flatten().collect() })
        }
        Primitive::Number => {
            ListKind::NumberValues(NumberValues { values: values.iter().filter_map(number_bytes).flatten().collect() })
        }
        Primitive::Boolean => ListKind::BoolValues(BoolValues {
            values: values.iter().filter_map(|v| if let Value::Bool(v) = v { Some(*v) } else { None }).collect(),
        }),
        Primitive::Date => ListKind::DateValues(DateValues { values: texts(values) }),
        Primitive::Uuid => ListKind::UuidValues(UuidValues { values: texts(values) }),
        Primitive::Text
        | Primitive::GeoCoordinates
        | Primitive::PhoneNumber
        | Primitive::Blob
        | Primitive::BlobHash => ListKind::TextValues(TextValues { values: texts(values) }),
    })
}

fn int_bytes(value: &Value) -> Option<[u8; 8]> {
    if let Value::Int(value) = value { Some(value.to_le_bytes()) } else { None }
}

fn number_bytes(value: &Value) -> Option<[u8; 8]> {
    match value {
        Value::Number(value) => Some(value.to_le_bytes()),
        Value::Int(value) => Some((*value as f64).to_le_bytes()),
        _ => None,
    }
}

fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::Text(text) | Value::Blob(text) => Some(text.clone()),
        Value::Date(date) => Some(date.to_string()),
        Value::Uuid(uuid) => Some(uuid.to_string()),
        _ => None,
    }
}
