//! Why a filter cannot be answered.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a filter cannot be answered: it does not fit the schema, or the index that it needs is not configured.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum FilterError {
    /// The collection has no such property.
    #[error("collection {collection} has no property {property}")]
    NoSuchProperty {
        /// The property, as the filter names it.
        property: String,
        /// The collection.
        collection: String,
    },
    /// The property is in no index of values.
    #[error("property {0} has no inverted index")]
    NotFilterable(String),
    /// The compared part of the property is not indexed.
    #[error("the index does not hold the {part} of property {property}")]
    NotIndexed {
        /// The property.
        property: String,
        /// The compared part.
        part: IndexedPart,
    },
    /// The collection does not index whether properties are null.
    #[error("the collection does not index which properties are null")]
    NullsNotIndexed,
    /// The collection does not index the lengths of properties.
    #[error("collection {0} does not index the lengths of properties")]
    LengthsNotIndexed(String),
    /// The collection does not index the times of objects.
    #[error("collection {0} does not index the times of objects")]
    TimesNotIndexed(String),
    /// A length is compared with null.
    #[error("the length of property {0} cannot be compared with null")]
    NullLength(String),
    /// The text holds nothing to search for besides stopwords.
    #[error("the text holds stopwords only")]
    OnlyStopwords,
    /// The member of the list at that position holds stopwords only.
    #[error("member {0} of the list holds stopwords only")]
    OnlyStopwordsIn(usize),
    /// The property leads to other objects: it can be counted, but not compared with a value.
    #[error("property {0} holds references, which can only be counted")]
    OnlyCountable(String),
    /// The operator does not compare values of that kind.
    #[error("the operator {operator} does not compare values of the kind {kind}")]
    WrongOperator {
        /// Name of the operator.
        operator: String,
        /// Kind of the values.
        kind: ValueKind,
    },
    /// The value is of another kind than the values that it is compared with.
    #[error("a value of the kind {wanted} is needed, {given} was given")]
    WrongKind {
        /// Kind of the stored values.
        wanted: ValueKind,
        /// Kind of the value in the filter.
        given: ValueKind,
    },
    /// The operator needs a list of values.
    #[error("a list of the kind {wanted} is needed, {given} was given")]
    NotAList {
        /// Kind of the stored values.
        wanted: ValueKind,
        /// Kind of the value in the filter.
        given: ValueKind,
    },
    /// The operator needs a place and a distance.
    #[error("a place and a distance are needed, {0} was given")]
    NotAGeoRange(ValueKind),
    /// The property does not hold a place.
    #[error("property {0} holds no geo coordinates")]
    NotAPlace(String),
    /// The text is no UUID.
    #[error("{0:?} is no UUID")]
    NotAUuid(String),
    /// The text is no number of milliseconds.
    #[error("{0:?} is no time")]
    NotATime(String),
    /// A value of that kind is no time.
    #[error("a time is needed, {0} was given")]
    WrongTimeKind(ValueKind),
    /// The time is beyond the range of stored times.
    #[error("time {0} is out of range")]
    TimeOutOfRange(String),
}

/// What the inverted index holds of a property.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum IndexedPart {
    /// Its values.
    Values,
    /// Whether it is null.
    Nulls,
    /// Its length.
    Lengths,
}

/// Kinds of values in filters and properties.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum ValueKind {
    Text,
    Int,
    Number,
    Bool,
    Date,
    Uuid,
    Geo,
    Phone,
    Blob,
    Object,
    /// A reference, which is compared by number.
    Reference,
    /// A list of values of one kind.
    List(Box<ValueKind>),
}

impl fmt::Display for IndexedPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Values => "values",
            Self::Nulls => "null state",
            Self::Lengths => "length",
        })
    }
}

impl fmt::Display for ValueKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Int => "int",
            Self::Number => "number",
            Self::Bool => "boolean",
            Self::Date => "date",
            Self::Uuid => "uuid",
            Self::Geo => "geo coordinates",
            Self::Phone => "phone number",
            Self::Blob => "blob",
            Self::Object => "object",
            Self::Reference => "reference",
            Self::List(of) => return write!(f, "list of {of}"),
        })
    }
}
