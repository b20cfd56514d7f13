//! Why an object was not written.

use azimuth_engine::schema::DataType;
use uuid::Uuid;

use super::input::{InputKind, InputValue};
use crate::app::AppError;
use crate::app::schema::names::NameError;
use crate::app::shards::RouteError;
use crate::modules::ModuleError;

/// Why an object was not written, or a reference not added. Front ends word it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ObjectError {
    /// The collection does not exist.
    NoCollection(String),
    /// A part of the object could not be read; the text is the front end's.
    Unreadable(String),
    /// The engine refuses it: it exceeds a limit, or another write came first.
    Invalid(String),
    /// A property does not fit the schema.
    Property(PropertyError),
    /// Its collection cannot be extended by what the object needs.
    Extension(ExtensionError),
    /// The collection cannot be created for it: there may be no more collections.
    UsageLimit(AppError),
    /// A vector does not fit the schema.
    Vector(VectorError),
    /// A module made no vector for it.
    Vectorizer(ModuleError),
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

/// Why a property is refused.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum PropertyError {
    /// The collection has no such property.
    NoSuchProperty {
        /// The property.
        property: String,
        /// The collection.
        collection: String,
    },
    /// The value does not fit the type of the property.
    Wrong(Box<WrongProperty>),
    /// The value of a reference property is no list.
    NoListOfReferences(InputValue),
    /// A member of the list of references is none.
    NoReference(InputValue),
    /// A reference could not be read; the text is the front end's.
    Unreadable(String),
}

/// A value that does not fit the type of its property.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct WrongProperty {
    /// Names of the property and of those that it is nested in.
    pub(crate) path: String,
    /// Name of the collection.
    pub(crate) collection: String,
    /// The type.
    pub(crate) data_type: DataType,
    /// The reason.
    pub(crate) error: ValueError,
}

/// Why a value does not fit a type.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ValueError {
    /// It is of another kind.
    WrongKind(InputKind),
    /// No value of the type can be made of it.
    WrongValue(InputValue),
    /// The text is no base64.
    NotBase64,
    /// A place or a phone number lacks a field.
    MissingField(&'static str),
    /// A field of a place or a phone number is of the wrong kind.
    WrongField {
        /// The field.
        name: &'static str,
        /// The kind.
        kind: InputKind,
    },
    /// No phone number can be made of the text.
    NotAPhoneNumber,
    /// The phone number is national, and the country is missing or unknown.
    NoCountry,
    /// Objects and lists are nested too deep.
    TooDeep,
    /// An object holds a property that its type lacks; its path.
    UnknownInner(String),
    /// A property of an object does not fit.
    Inner {
        /// Its path.
        path: String,
        /// The reason.
        error: Box<PropertyError>,
    },
    /// A member of a list of objects does not fit.
    Element {
        /// Its position.
        position: usize,
        /// The reason.
        error: Box<ValueError>,
    },
}

/// Why a collection cannot be extended by what an object needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ExtensionError {
    /// The name of the collection or of a property is refused.
    Name(NameError),
    /// An object of that path has no properties.
    EmptyObject(String),
    /// The members of a list are of different kinds.
    MixedList(String),
    /// A list holds null or lists.
    ListOfNothing(String),
    /// Objects and lists are nested too deep.
    TooDeep,
    /// A limit of collections would be exceeded.
    Limit(String),
    /// A reference could not be read; the text is the front end's.
    Unreadable(String),
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

impl From<PropertyError> for ObjectError {
    fn from(error: PropertyError) -> Self {
        Self::Property(error)
    }
}

impl From<ExtensionError> for ObjectError {
    fn from(error: ExtensionError) -> Self {
        Self::Extension(error)
    }
}

impl From<NameError> for ExtensionError {
    fn from(error: NameError) -> Self {
        Self::Name(error)
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
