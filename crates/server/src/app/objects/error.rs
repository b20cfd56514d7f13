//! Why an object was not written.

use uuid::Uuid;

use crate::app::AppError;
use crate::app::shards::RouteError;

/// Why an object was not written, or a reference not added. Front ends word it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ObjectError {
    /// The collection does not exist.
    NoCollection(String),
    /// A part of the object could not be read; the text is the front end's.
    Unreadable(String),
    /// It does not fit the schema, or exceeds a limit of objects.
    Invalid(String),
    /// The collection cannot be created for it: there may be no more collections.
    UsageLimit(AppError),
    /// A vector does not fit the schema.
    Vector(VectorError),
    /// A vector has another length than the stored ones.
    WrongDimension {
        /// The object.
        id: Uuid,
        /// Length of the vector.
        given: usize,
        /// Length of the stored vectors.
        expected: usize,
    },
    /// The request does not lead to a shard.
    Route(RouteError),
    /// The shard takes no writes.
    ReadOnly {
        /// Name of the collection.
        collection: String,
        /// Name of the shard.
        shard: String,
    },
    /// A reference is refused.
    Reference(ReferenceError),
    /// The id is taken.
    Exists(Uuid),
    /// There is no object with that id.
    NotFound,
    /// The request failed as a whole.
    App(AppError),
}

/// Why a vector is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum VectorError {
    /// The collection has no vector of that name.
    Unknown {
        /// Name of the collection.
        collection: String,
        /// Name of the vector.
        vector: String,
    },
    /// The collection has several named vectors, so that an unnamed one belongs to none of them.
    NoUnnamed(String),
    /// Several vectors where there is one, or the other way round.
    WrongKind {
        /// Name of the collection.
        collection: String,
        /// Name of the vector.
        vector: String,
        /// Whether the collection has several vectors of that name for each object.
        multi: bool,
    },
    /// No index accepts vectors of that length.
    TooLong(usize),
    /// No index accepts so many vectors of one object.
    TooMany(usize),
}

/// Why a reference is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ReferenceError {
    /// Its target does not exist.
    Dangling {
        /// The collection of the object that refers.
        collection: String,
        /// The property.
        property: String,
        /// The target.
        id: Uuid,
    },
    /// It leads from a collection without tenants into one with tenants.
    IntoTenants,
    /// The collection has no such property.
    NoProperty {
        /// The collection.
        collection: String,
        /// The property.
        property: String,
    },
    /// The property holds no references.
    NotAReference(String),
    /// A reference of a batch is refused.
    Batch(BatchReferenceError),
}

/// Why a reference of a batch is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum BatchReferenceError {
    /// The collection of the object that refers does not exist.
    NoSource(String),
    /// The collection of the target does not exist.
    NoTarget(String),
    /// The collection has no such property.
    NoProperty {
        /// The collection.
        collection: String,
        /// The property.
        property: String,
        /// Whether the reference names the collection of its target.
        names_target: bool,
    },
    /// The tenant does not lead to a shard of the object that refers.
    Route {
        /// The collection.
        collection: String,
        /// The object that refers.
        id: Uuid,
        /// The reason.
        error: RouteError,
    },
    /// The object that refers does not exist.
    SourceNotFound {
        /// Its collection.
        collection: String,
        /// Its id.
        id: Uuid,
        /// The tenant of the request.
        tenant: Option<String>,
    },
    /// The target does not exist.
    TargetNotFound(Uuid),
}

impl From<AppError> for ObjectError {
    fn from(error: AppError) -> Self {
        Self::App(error)
    }
}

impl From<RouteError> for ObjectError {
    fn from(error: RouteError) -> Self {
        Self::Route(error)
    }
}

impl From<VectorError> for ObjectError {
    fn from(error: VectorError) -> Self {
        Self::Vector(error)
    }
}

impl From<ReferenceError> for ObjectError {
    fn from(error: ReferenceError) -> Self {
        Self::Reference(error)
    }
}

impl From<BatchReferenceError> for ObjectError {
    fn from(error: BatchReferenceError) -> Self {
        Self::Reference(ReferenceError::Batch(error))
    }
}
