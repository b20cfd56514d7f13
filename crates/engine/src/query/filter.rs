//! Filters: a tree of conditions on properties, ids, times, lengths and references.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::object::{Date, Geo};

/// A condition. Its builder limits depth and number of leaves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Filter {
    /// All of these; not empty.
    And(Vec<Filter>),
    /// At least one of these; not empty.
    Or(Vec<Filter>),
    /// Everything that does not match.
    Not(Box<Filter>),
    /// One comparison.
    Compare {
        /// What is compared.
        path: Path,
        /// How.
        operator: Operator,
        /// With what.
        value: FilterValue,
    },
}

/// Comparisons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Operator {
    Equal,
    NotEqual,
    GreaterThan,
    GreaterThanEqual,
    LessThan,
    LessThanEqual,
    Like,
    IsNull,
    ContainsAny,
    ContainsAll,
    ContainsNone,
    WithinGeoRange,
}

/// Where a compared value is found: reference steps first, the subject last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Path {
    /// References to follow, outermost first.
    pub through: Vec<PathStep>,
    /// What is compared at the end.
    pub subject: Subject,
}

/// A reference to follow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathStep {
    /// The reference property.
    pub property: String,
    /// The collection that it leads to.
    pub collection: String,
}

/// What is compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Subject {
    /// A property's value; nested ones as `outer.inner`.
    Property(String),
    /// A property's length.
    Length(String),
    /// Number of references of a property.
    ReferenceCount(String),
    /// The object's id.
    Id,
    /// Creation time in Unix milliseconds.
    CreatedMs,
    /// Time of the last update in Unix milliseconds.
    UpdatedMs,
}

/// What a subject is compared with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum FilterValue {
    Bool(bool),
    Int(i64),
    Number(f64),
    Text(String),
    Date(Date),
    Uuid(Uuid),
    GeoRange { center: Geo, max_distance_m: f32 },
    List(Vec<FilterValue>),
}
