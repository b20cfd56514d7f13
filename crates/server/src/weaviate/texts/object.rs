//! Texts about objects, their vectors and references.

use azimuth_engine::limits::DEPTH_MAX;
use azimuth_engine::vector::{DIM_MAX, ROWS_MAX};

use super::property::property;
use super::query::{no_such_property, route};
use super::schema::{name, no_nested};
use crate::app::objects::{BatchReferenceError, ExtensionError, ObjectError, ReferenceError, VectorError};

/// The refusal of writes to a shard that is read-only.
pub(crate) const READ_ONLY: &str = "store is read-only due to: manually set by user";

/// The text of a refused object, without any path before it.
pub(crate) fn object(error: &ObjectError) -> String {
    match error {
        ObjectError::NoCollection(name) => format!("class '{name}' not present in schema"),
        ObjectError::Unreadable(text) | ObjectError::Invalid(text) => text.clone(),
        ObjectError::Property(error) => property(error),
        ObjectError::Extension(error) => extension(error),
        ObjectError::UsageLimit(limit) => format!("auto-schema: create collection: {}", super::app(limit)),
        ObjectError::Vector(error) => vector(error),
        ObjectError::Vectorizer(error) => format!("update vector: {error}"),
        ObjectError::WrongDimension { id, given, expected } => format!(
            "Validate vector index for {id}: new node has a vector with length {given}. Existing nodes have vectors with \
             length {expected}: vector dimensions do not match the index dimensions"
        ),
        ObjectError::Route(error) => route(error),
        ObjectError::ReadOnly { .. } => READ_ONLY.to_owned(),
        ObjectError::Reference(error) => reference(error),
        ObjectError::Exists(id) => format!("id '{id}' already exists"),
        ObjectError::NotFound => "object not found".to_owned(),
        ObjectError::App(error) => super::app(error),
    }
}

/// The text of a refused reference.
pub(crate) fn reference(error: &ReferenceError) -> String {
    match error {
        ReferenceError::Dangling { collection, property, id } => {
            format!("invalid cref: 'cref' {collection}:{property}: no object with id {id} found")
        }
        ReferenceError::IntoTenants => {
            "invalid reference: cannot reference a multi-tenant enabled class from a non multi-tenant enabled class"
                .to_owned()
        }
        ReferenceError::NoProperty { collection, property } => no_such_property(property, collection),
        ReferenceError::NotAReference(property) => format!("property '{property}' is not a reference-type"),
        ReferenceError::Batch(error) => batch_reference(error),
    }
}

fn batch_reference(error: &BatchReferenceError) -> String {
    match error {
        BatchReferenceError::NoSource(class) => format!("source class \"{class}\" not found in schema"),
        BatchReferenceError::NoTarget(class) => format!("target class \"{class}\" not found in schema"),
        BatchReferenceError::NoProperty { property, names_target: true, .. } => {
            format!("ref batch: property '{property}' not found in schema")
        }
        BatchReferenceError::NoProperty { collection, property, names_target: false } => {
            format!("property {property} does not exist for class {collection}")
        }
        BatchReferenceError::Route { collection, id, error } => {
            format!("source: get object {collection}/{id}: determine shard: {}", route(error))
        }
        BatchReferenceError::SourceNotFound { collection, id, tenant: Some(tenant) } => {
            format!("source: object {collection}/{id} not found for tenant {tenant:?}")
        }
        BatchReferenceError::SourceNotFound { id, tenant: None, .. } => {
            format!("ref batch: object with id {id} not found")
        }
        BatchReferenceError::TargetNotFound(id) => format!("no object with id {id} found"),
    }
}

fn extension(error: &ExtensionError) -> String {
    match error {
        ExtensionError::Name(error) => name(error),
        ExtensionError::EmptyObject(path) => no_nested(path),
        ExtensionError::MixedList(name) => format!("property '{name}': a list must hold values of one kind"),
        ExtensionError::ListOfNothing(name) => format!("property '{name}': a list must not hold null or lists"),
        ExtensionError::TooDeep => too_deep(),
        ExtensionError::Limit(text) | ExtensionError::Unreadable(text) => text.clone(),
    }
}

/// The refusal of objects and lists that are nested too deep.
pub(super) fn too_deep() -> String {
    format!("objects and lists are nested deeper than {DEPTH_MAX}")
}

fn vector(error: &VectorError) -> String {
    match error {
        VectorError::Unknown { collection, vector } => {
            format!("collection {collection} does not have configuration for vector {vector}")
        }
        VectorError::NoUnnamed(collection) => {
            format!("collection {collection} configuration does not have single vector index")
        }
        VectorError::WrongKind { collection, vector, multi } => {
            let takes = if *multi { "a list of vectors" } else { "a single vector" };
            format!("vector {vector} of collection {collection} takes {takes}")
        }
        VectorError::TooLong(dimension) => format!("vector has {dimension} dimensions, 1 to {DIM_MAX} are possible"),
        VectorError::TooMany(count) => format!("a multi-vector of {count} vectors, {ROWS_MAX} are possible"),
    }
}
