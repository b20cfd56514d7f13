//! Filters: a tree of conditions on properties, ids, times, lengths and references.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::IdSet;
use crate::error::FilterError;
use crate::limits::FILTER_DEPTH_MAX;
use crate::object::{Date, Geo, nested};
use crate::{Error, Result};

/// A condition. Its builder limits depth and number of leaves; the decoder refuses more than
/// [`FILTER_DEPTH_MAX`] levels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Filter {
    /// All of these; not empty.
    And(#[serde(deserialize_with = "nested::within::<FILTER_DEPTH_MAX, _, _>")] Vec<Filter>),
    /// At least one of these; not empty.
    Or(#[serde(deserialize_with = "nested::within::<FILTER_DEPTH_MAX, _, _>")] Vec<Filter>),
    /// Everything that does not match.
    Not(#[serde(deserialize_with = "nested::within::<FILTER_DEPTH_MAX, _, _>")] Box<Filter>),
    /// One comparison. A shard answers comparisons of its own objects only: the caller replaces a path that follows
    /// references by [`Filter::ReferenceIn`].
    Compare {
        /// What is compared.
        path: Path,
        /// How.
        operator: Operator,
        /// With what.
        value: FilterValue,
    },
    /// Objects that refer to one of these objects. A beacon without a collection's name refers to the objects of every
    /// collection that have its id. Nothing matches if the property has no references.
    ReferenceIn {
        /// The reference property.
        property: String,
        /// Name of the collection of the objects.
        collection: String,
        /// The objects.
        ids: IdSet,
    },
}

impl Filter {
    /// Whether a comparison follows references.
    pub fn follows_references(&self) -> bool {
        match self {
            Self::And(operands) | Self::Or(operands) => operands.iter().any(Self::follows_references),
            Self::Not(operand) => operand.follows_references(),
            Self::Compare { path, .. } => !path.through.is_empty(),
            Self::ReferenceIn { .. } => false,
        }
    }
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

impl Operator {
    /// The results for the members of a list that one of the `Contains` operators compares with. `ContainsAny` leaves out
    /// members that hold stopwords alone, unless all do; not empty.
    ///
    /// # Errors
    /// [`Error::Filter`] for a list without members, and for stopwords that the operator does not leave out; the error of
    /// a member.
    pub fn of_members<T>(self, results: impl IntoIterator<Item = Result<T>>) -> Result<Vec<T>> {
        let (mut of_members, mut refused) = (Vec::new(), None);
        for (at, result) in results.into_iter().enumerate() {
            match result {
                Ok(of_member) => of_members.push(of_member),
                Err(Error::Filter(FilterError::OnlyStopwords)) => refused = Some(at),
                Err(error) => return Err(error),
            }
        }
        match refused {
            Some(at) if self != Self::ContainsAny => Err(FilterError::OnlyStopwordsIn(at).into()),
            _ if of_members.is_empty() => Err(FilterError::OnlyStopwords.into()),
            _ => Ok(of_members),
        }
    }
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
    List(#[serde(deserialize_with = "nested::within::<FILTER_DEPTH_MAX, _, _>")] Vec<FilterValue>),
}
