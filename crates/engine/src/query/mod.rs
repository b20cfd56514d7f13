//! Queries: what can be asked of a shard, before it is planned.

mod aggregate;
mod charge;
mod combine;
mod filter;
mod id_set;
mod keyword;
mod near;
mod nested_path;
mod plan;
mod request;
mod score;
mod sort;

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use crate::object::Projection;
pub use aggregate::{Aggregate, Among, Group, GroupValue, Number, Summarised, Summary, Values, merge_groups};
pub use charge::Charge;
pub(crate) use combine::least_unnamed;
pub use combine::{Measured, combine};
pub use filter::{Filter, FilterValue, Operator, Path, PathStep, Subject};
pub use id_set::IdSet;
pub use keyword::{Keyword, KeywordOperator, KeywordStatistics, PropertyStatistics, SearchedProperty};
pub use near::{Combination, DISTANCE_SLACK, Near, TARGETS_MAX, Target};
pub use nested_path::{NestedPath, NestedStep};
pub(crate) use plan::Cardinalities;
pub use plan::{AccessPath, Plan};
pub use request::{ShardAnswer, ShardHits, ShardRead, ShardSummary, decode_answer, encode_answer};
pub use score::{Explained, FusedSearch, Score};
pub(crate) use sort::{SortKey, SortTerm, SortTerms};
pub use sort::{SortKeys, sort_hits};

use crate::ids::{DocId, VectorId};
use crate::object::Object;

/// A query of one shard.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Query {
    /// What is ranked, and by what.
    pub rank: Rank,
    /// Only objects that match.
    pub filter: Option<Filter>,
    /// Hits to leave out at the start.
    pub offset: usize,
    /// Hits to return at most, after `offset`.
    pub limit: usize,
    /// Order by properties; applies to listings before the cut, to ranked hits after it.
    pub sort: Vec<Sort>,
    /// The parts of each object that are read.
    pub include: Include,
}

/// How hits are ranked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Rank {
    /// By id in byte order; with a filter in the order of the doc ids.
    Listing {
        /// Only ids greater than this one.
        after: Option<Uuid>,
    },
    /// By distance to one or several vectors, ascending.
    Near(Near),
    /// By BM25F score, descending; equal ones by id.
    Keyword(Keyword),
}

/// One sort key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sort {
    /// A property name, or `_id`, `_creationTimeUnix`, `_lastUpdateTimeUnix`.
    pub property: String,
    /// Largest first.
    pub descending: bool,
}

/// The parts of an object that a read returns.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Include {
    /// These properties.
    pub properties: Projection,
    /// These vectors.
    pub vectors: Vec<VectorId>,
    /// Charged with the memory that the objects take.
    #[serde(skip)]
    pub charge: Charge,
}

impl Include {
    /// These parts and the properties that the clauses sort by.
    #[must_use]
    pub fn with_sorted(&self, sort: &[Sort]) -> Self {
        let mut include = self.clone();
        // A path into an object orders nothing.
        let names = sort.iter().map(|clause| clause.property.as_str()).filter(|name| !name.contains('.'));
        include.properties.merge(Projection::of(names));
        include
    }
}

/// A hit of a query.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hit {
    /// The version that matched.
    pub doc_id: DocId,
    /// Distance to the query (the combined one for several targets), for vector searches.
    pub distance: Option<f32>,
    /// The score of a keyword search, or of a fusion of several searches.
    pub score: Option<Box<Score>>,
    /// The object, with what [`Include`] asked for.
    pub object: Object,
}

impl Hit {
    /// The order of hits by score: the greatest first, equal ones by id.
    pub fn by_score(&self, other: &Self) -> Ordering {
        let score = |hit: &Self| hit.score.as_ref().map_or(f32::MIN, |score| score.value);
        score(other).total_cmp(&score(self)).then_with(|| self.object.id.cmp(&other.object.id))
    }
}
