//! BatchObjects, BatchReferences and BatchDelete: from messages to the same calls that REST makes.

mod properties;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use azimuth_engine::command::PutMode;
use azimuth_engine::meta::Catalog;
use azimuth_engine::object::{Beacon, Vector};
use tonic::Status;

use super::search::{filter_of, find_collection};
use super::{status, took};
use crate::app::objects::references::NewReference;
use crate::app::objects::{self, Draft, GivenVectors, ObjectError, Purpose, delete, references, shard, uuid_text};
use crate::app::schema::names::upper_first;
use crate::app::{App, AppResult};
use crate::auth::{Access, Caller, Resource};
use crate::pb::weaviate::batch_objects_reply::BatchError as ObjectFailure;
use crate::pb::weaviate::batch_references_reply::BatchError as ReferenceFailure;
use crate::pb::weaviate::vectors::VectorType;
use crate::pb::weaviate::{
    BatchDeleteObject, BatchDeleteReply, BatchDeleteRequest, BatchObject, BatchObjectsReply, BatchObjectsRequest,
    BatchReference, BatchReferencesReply, BatchReferencesRequest, Vectors,
};
use crate::weaviate::texts;

/// Writes objects; existing ones are replaced. What is wrong with one object is said by its index.
///
/// # Errors
/// Only what hinders all of them.
pub(crate) async fn batch_objects(
    app: &Arc<App>,
    caller: &Caller,
    request: BatchObjectsRequest,
) -> Result<BatchObjectsReply, Status> {
    let start = Instant::now();
    let catalog = app.names(caller).map_err(status)?;
    let aliases = catalog.clone().into();
    let permit =
        |draft| objects::permit(app, caller, &aliases, draft, Purpose::Write).map_err(|error| texts::app(&error));
    let mut indexes = Vec::with_capacity(request.objects.len());
    let mut drafts = Vec::with_capacity(request.objects.len());
    let mut errors = Vec::new();
    for (index, object) in request.objects.into_iter().enumerate() {
        match draft(&catalog, object).and_then(permit) {
            Ok(draft) => {
                indexes.push(index);
                drafts.push(draft);
            }
            Err(error) => errors.push(ObjectFailure { index: position(index), error }),
        }
    }
    let mut prepared = objects::prepare(app, &mut drafts, Purpose::Write).await.map_err(failed)?;
    let is_limit = |prepared: &Result<_, ObjectError>| matches!(prepared, Err(ObjectError::UsageLimit(_)));
    if let Some(at) = prepared.iter().position(is_limit)
        && let Err(limit) = prepared.swap_remove(at)
    {
        return Err(failed(limit));
    }
    let written = objects::write(app, prepared, PutMode::Upsert).await.map_err(failed)?;
    for (index, result) in indexes.into_iter().zip(written) {
        if let Err(error) = result {
            errors.push(ObjectFailure { index: position(index), error: texts::object(&error) });
        }
    }
    errors.sort_by_key(|error| error.index);
    Ok(BatchObjectsReply { took: took(start), errors })
}

fn position(index: usize) -> i32 {
    i32::try_from(index).unwrap_or(i32::MAX)
}

fn failed(error: ObjectError) -> Status {
    match error {
        ObjectError::App(error) | ObjectError::UsageLimit(error) => status(error),
        error => Status::unknown(texts::object(&error)),
    }
}

pub(super) fn draft(catalog: &Catalog, object: BatchObject) -> Result<Draft, String> {
    let collection = upper_first(&object.collection);
    let id = uuid_text::parse(&object.uuid).ok_or_else(|| match object.uuid.len() {
        36 => "invalid UUID format".to_owned(),
        length => format!("invalid UUID length: {length}"),
    })?;
    let schema = catalog.resolve(&collection).map(|collection| &**collection);
    let properties = properties::map(schema, object.properties.unwrap_or_default())?;
    #[allow(deprecated, reason = "old clients send the vector as numbers")]
    let vectors = vectors(object.vector, &object.vector_bytes, object.vectors)?;
    let tenant = Some(object.tenant).filter(|tenant| !tenant.is_empty());
    Ok(Draft { collection, id: Some(id), properties, vectors, tenant, unreadable: None })
}

fn vectors(numbers: Vec<f32>, bytes: &[u8], given: Vec<Vectors>) -> Result<GivenVectors, String> {
    let unnamed = match (bytes.is_empty(), numbers.is_empty()) {
        (false, _) => Some(floats(bytes)?),
        (true, false) => Some(finite(numbers)?),
        (true, true) => None,
    };
    let mut named = BTreeMap::new();
    for vectors in given {
        let multi = vectors.r#type == i32::from(VectorType::MultiFp32);
        let vector = if multi { rows(&vectors.vector_bytes)? } else { Vector::Single(floats(&vectors.vector_bytes)?) };
        named.insert(vectors.name, vector);
    }
    // A vector under the empty name is the one without a name.
    match named.remove("") {
        Some(Vector::Single(values)) => Ok(GivenVectors { unnamed: Some(values), named }),
        Some(Vector::Multi { .. }) => Err("a list of vectors needs a name".to_owned()),
        None => Ok(GivenVectors { unnamed, named }),
    }
}

/// A vector.
pub(super) fn floats(bytes: &[u8]) -> Result<Vec<f32>, String> {
    let (quads, rest) = bytes.as_chunks::<4>();
    if !rest.is_empty() {
        return Err(format!("a vector of {} bytes is not made of 4-byte floats", bytes.len()));
    }
    finite(quads.iter().map(|quad| f32::from_le_bytes(*quad)).collect())
}

fn finite(values: Vec<f32>) -> Result<Vec<f32>, String> {
    if values.iter().any(|value| !value.is_finite()) {
        return Err("a vector must not hold NaN or infinities".to_owned());
    }
    Ok(values)
}

/// Several vectors: u16 their length, then their floats.
pub(super) fn rows(bytes: &[u8]) -> Result<Vector, String> {
    let Some((head, rest)) = bytes.split_first_chunk::<2>() else {
        return Ok(Vector::Multi { dim: 0, rows: Vec::new() });
    };
    let dim = u32::from(u16::from_le_bytes(*head));
    let rows = floats(rest)?;
    if dim == 0 || rows.len() % dim as usize != 0 {
        return Err(format!("{} floats are no rows of {dim}", rows.len()));
    }
    Ok(Vector::Multi { dim, rows })
}

/// Adds references. What is wrong with one is said by its index.
///
/// # Errors
/// An empty list, and what hinders all of them.
pub(crate) async fn batch_references(
    app: &Arc<App>,
    caller: &Caller,
    request: BatchReferencesRequest,
) -> Result<BatchReferencesReply, Status> {
    let start = Instant::now();
    if request.references.is_empty() {
        let text = "invalid params: length cannot be 0, need at least one reference for batching";
        return Err(Status::unknown(text));
    }
    let aliases = app.known_aliases(caller);
    let permit = |parsed: Result<NewReference, ObjectError>| match parsed {
        Ok(reference) => references::permit(app, caller, &aliases, reference).map(Ok),
        Err(error) => Ok(Err(error)),
    };
    let references = request.references.into_iter().map(reference).map(permit).collect::<AppResult<Vec<_>>>();
    let references = references.map_err(status)?;
    let results = references::add_all(app, references).await.map_err(failed)?;
    let failure = |(index, result): (usize, Result<Beacon, ObjectError>)| {
        result.err().map(|error| ReferenceFailure { index: position(index), error: texts::object(&error) })
    };
    let errors = results.into_iter().enumerate().filter_map(failure).collect();
    Ok(BatchReferencesReply { took: took(start), errors })
}

fn reference(given: BatchReference) -> Result<NewReference, ObjectError> {
    let id = |position: &str, text: &str| {
        uuid_text::parse(text).ok_or_else(|| {
            let text = format!("invalid cref URI: {position} path segment must be uuid, but got '{text}'");
            ObjectError::Unreadable(text)
        })
    };
    let collection = given.to_collection.filter(|name| !name.is_empty()).map(|name| upper_first(&name));
    let position = if collection.is_some() { "2nd" } else { "1nd" };
    Ok(NewReference {
        from: upper_first(&given.from_collection),
        id: id("2nd", &given.from_uuid)?,
        property: given.name,
        to: Beacon { collection, id: id(position, &given.to_uuid)? },
        tenant: Some(given.tenant).filter(|tenant| !tenant.is_empty()),
    })
}

/// Deletes the objects that match a filter, up to the limit of one call.
///
/// # Errors
/// An unknown collection, a filter that is missing or wrong, a tenant that cannot be used.
pub(crate) async fn batch_delete(
    app: &Arc<App>,
    caller: &Caller,
    request: BatchDeleteRequest,
) -> Result<BatchDeleteReply, Status> {
    let start = Instant::now();
    let tenant = request.tenant.as_deref().filter(|tenant| !tenant.is_empty());
    let catalog = app.names(caller).map_err(status)?;
    let collection = find_collection(&catalog, &request.collection);
    let name = collection.as_ref().map_or_else(|_| upper_first(&request.collection), |found| found.name.clone());
    let permit = app.permit(caller, Access::Delete, Resource::objects(&name, tenant)).map_err(status)?;
    let parse = |error: Status| Status::new(error.code(), format!("batch delete params: {}", error.message()));
    let collection = collection.map_err(parse)?;
    let filter = filter_of(app, &catalog, &collection, request.filters.as_ref()).map_err(parse)?;
    let filter = filter.ok_or_else(|| parse(Status::unknown("no filters in batch delete request")))?;
    let catalog = shard::activate(app, &permit, &collection, tenant).await.map_err(status)?;
    let (target, read_only) = shard::targets_to_write(&catalog, &collection, tenant)
        .map_err(|error| Status::unknown(format!("batch delete: cannot find objects: {}", texts::route(&error))))?;
    let deleted = delete::matching(app, &permit, target, filter, request.dry_run, read_only).await.map_err(status)?;
    let failed = deleted.objects.iter().filter(|(_, gone)| !gone).count();
    let successful = if request.dry_run { deleted.matches } else { (deleted.objects.len() - failed) as u64 };
    let object = |(id, gone): &(uuid::Uuid, bool)| BatchDeleteObject {
        uuid: id.as_bytes().to_vec(),
        successful: *gone,
        error: Some(match (gone, deleted.read_only) {
            (true, _) => String::new(),
            (false, true) => texts::READ_ONLY.to_owned(),
            (false, false) => "the object was not deleted".to_owned(),
        }),
    };
    let objects = if request.verbose { deleted.objects.iter().map(object).collect() } else { Vec::new() };
    let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    Ok(BatchDeleteReply {
        took: took(start),
        failed: count(failed as u64),
        matches: count(deleted.matches),
        successful: count(successful),
        objects,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|value| value.to_le_bytes()).collect()
    }

    #[test]
    fn vectors_come_in_several_forms() {
        let single = |name: &str, values: &[f32]| Vectors {
            name: name.to_owned(),
            vector_bytes: bytes(values).into(),
            ..Vectors::default()
        };
        let given = vectors(vec![9.0], &bytes(&[1.0, 2.0]), vec![single("a", &[3.0])]).expect("vectors");
        assert_eq!(given.unnamed, Some(vec![1.0, 2.0]));
        assert_eq!(given.named["a"], Vector::Single(vec![3.0]));
        assert_eq!(vectors(vec![9.0], &[], Vec::new()).expect("numbers").unnamed, Some(vec![9.0]));
        assert_eq!(vectors(vec![9.0], &[], vec![single("", &[4.0])]).expect("empty name").unnamed, Some(vec![4.0]));
        assert!(vectors(Vec::new(), &[0; 5], Vec::new()).expect_err("torn").contains("5 bytes"));
        assert!(vectors(vec![f32::INFINITY], &[], Vec::new()).expect_err("no number").contains("infinities"));
        assert!(vectors(Vec::new(), &bytes(&[f32::NAN]), Vec::new()).expect_err("no number").contains("NaN"));
    }

    #[test]
    fn rows_carry_their_length_in_front() {
        let of = |dim: u16, values: &[f32]| rows(&[dim.to_le_bytes().to_vec(), bytes(values)].concat());
        assert_eq!(of(2, &[1.0, 2.0, 3.0, 4.0]), Ok(Vector::Multi { dim: 2, rows: vec![1.0, 2.0, 3.0, 4.0] }));
        assert_eq!(rows(&[]), Ok(Vector::Multi { dim: 0, rows: Vec::new() }));
        assert_eq!(of(2, &[1.0]).expect_err("half a row"), "1 floats are no rows of 2");
        assert_eq!(of(0, &[1.0]).expect_err("no length"), "1 floats are no rows of 0");
    }
}
