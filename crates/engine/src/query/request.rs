//! Reads of shards as values: what a front end needs from a shard, and the shard's answer.
//!
//! Requests and answers have an encoded form, so that the shard may be in this process or on another node. The form is that
//! of postcard behind a byte with the version of the form; both sides of a connection must know the version.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    Aggregate, Among, Charge, Filter, Group, Hit, Include, Keyword, KeywordStatistics, Measured, Near, Query, SortKeys,
};
use crate::ids::{DocId, ShardKey, VectorId};
use crate::object::{FoundVersion, Object, StoredObject};
use crate::vector::IndexMemory;
use crate::{Error, Result};

/// Version of the encoded form.
const VERSION: u8 = 1;

/// A read of one shard.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ShardRead {
    /// The object with that id: [`ShardAnswer::Object`].
    Get {
        /// Where.
        at: ShardKey,
        /// Which object.
        id: Uuid,
        /// The parts of it that are read.
        include: Include,
    },
    /// Objects by id: [`ShardAnswer::Objects`], in the order of the ids. A shard that the group does not know has none.
    GetEach {
        /// Where.
        at: ShardKey,
        /// Which objects.
        ids: Vec<Uuid>,
        /// The parts of them that are read.
        include: Include,
    },
    /// Objects by version: [`ShardAnswer::Objects`], in the order of the doc ids.
    GetVersions {
        /// Where.
        at: ShardKey,
        /// Which versions.
        doc_ids: Vec<DocId>,
        /// The parts of them that are read.
        include: Include,
    },
    /// Whether objects exist: [`ShardAnswer::Flags`]. A shard that the group does not know has none.
    Exist {
        /// Where.
        at: ShardKey,
        /// Which objects.
        ids: Vec<Uuid>,
    },
    /// Bytes of the rows of objects, vectors aside: [`ShardAnswer::Sizes`]; 0 for an object that does not exist.
    RowBytes {
        /// Where.
        at: ShardKey,
        /// Which objects.
        ids: Vec<Uuid>,
    },
    /// Lengths of these vectors: [`ShardAnswer::Dimensions`]. A shard that the group does not know has none.
    Dimensions {
        /// Where.
        at: ShardKey,
        /// Which vectors.
        vectors: Vec<VectorId>,
    },
    /// Queries, answered from one view of the shard: [`ShardAnswer::Hits`].
    Search {
        /// Where.
        at: ShardKey,
        /// The queries.
        queries: Vec<Query>,
        /// Whether each hit comes with the keys of the query's sort clauses, to be merged with hits of other shards.
        with_keys: bool,
    },
    /// The candidates of a search by several vectors with their distances: [`ShardAnswer::Measured`]. The caller combines
    /// the distances, where these depend on the candidates of all shards.
    Measure {
        /// Where.
        at: ShardKey,
        /// The search.
        near: Near,
        /// Only objects that match.
        filter: Option<Filter>,
        /// Hits of the page and before it.
        keep: usize,
    },
    /// Number of objects, or of those that match: [`ShardAnswer::Count`].
    Count {
        /// Where.
        at: ShardKey,
        /// Only objects that match.
        filter: Option<Filter>,
    },
    /// The first versions that match, in doc id order: [`ShardAnswer::Matching`].
    Matching {
        /// Where.
        at: ShardKey,
        /// The condition.
        filter: Filter,
        /// Versions at most.
        limit: usize,
    },
    /// Those of these objects that match: [`ShardAnswer::Matching`].
    MatchingOf {
        /// Where.
        at: ShardKey,
        /// The condition.
        filter: Filter,
        /// The objects.
        ids: Vec<Uuid>,
    },
    /// Sizes and queues: [`ShardAnswer::Status`].
    Status {
        /// Where.
        at: ShardKey,
    },
    /// Opens the indexes of these vectors, as far as they are not in memory: [`ShardAnswer::Done`].
    OpenIndexes {
        /// Where.
        at: ShardKey,
        /// Which vectors.
        vectors: Vec<VectorId>,
    },
    /// The ids of the objects that match each of these conditions, all found in one view of the shard:
    /// [`ShardAnswer::Ids`]. A shard that the group does not know has none.
    Ids {
        /// Where.
        at: ShardKey,
        /// The conditions.
        filters: Vec<Filter>,
        /// Ids for each condition, at most.
        limit: usize,
        /// Charged with the memory that the ids take.
        #[serde(skip)]
        charge: Charge,
    },
    /// The counts by which a keyword search weighs its terms: [`ShardAnswer::KeywordStatistics`].
    KeywordStatistics {
        /// Where.
        at: ShardKey,
        /// The search.
        keyword: Keyword,
    },
    /// Aggregates over objects: [`ShardAnswer::Groups`].
    Aggregate {
        /// Where.
        at: ShardKey,
        /// The objects.
        among: Among,
        /// The aggregates.
        aggregate: Aggregate,
    },
}

/// The answer to a [`ShardRead`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ShardAnswer {
    /// An object, if it exists.
    Object(Option<Box<StoredObject>>),
    /// Objects, `None` for those that do not exist.
    Objects(Vec<Option<Object>>),
    /// Whether each object exists.
    Flags(Vec<bool>),
    /// Bytes of each row.
    Sizes(Vec<usize>),
    /// Length of each vector; `None` until the first object of the shard fixed it.
    Dimensions(Vec<Option<u32>>),
    /// The hits of each query, or the error with which it ended.
    Hits(Vec<Result<ShardHits>>),
    /// Candidates with their distances.
    Measured(Vec<Measured>),
    /// A number of objects.
    Count(u64),
    /// Versions, and the number of all that match.
    Matching {
        /// The versions.
        found: Vec<FoundVersion>,
        /// How many match, beyond the limit too.
        matches: u64,
    },
    /// Sizes and queues.
    Status(ShardSummary),
    /// The read has no result.
    Done,
    /// For each condition the ids of objects, in no order, or the error with which it ended.
    Ids(Vec<Result<Vec<Uuid>>>),
    /// Counts of the terms of a keyword search.
    KeywordStatistics(KeywordStatistics),
    /// Groups of objects, ascending by their values.
    Groups(Vec<Group>),
}

/// The hits of a query in one shard.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ShardHits {
    /// The hits in their order.
    pub hits: Vec<Hit>,
    /// The sort keys of each hit, if the request asked for them.
    pub keys: Vec<SortKeys>,
}

/// Sizes and queues of a shard.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ShardSummary {
    /// Objects that can be read.
    pub objects: u64,
    /// Vectors that wait to be linked into a graph.
    pub vector_queue: u64,
    /// Bytes of the vector indexes in memory, by part.
    pub index_memory: IndexMemory,
}

impl ShardRead {
    /// The shard that is read.
    pub fn at(&self) -> ShardKey {
        match self {
            Self::Get { at, .. }
            | Self::GetEach { at, .. }
            | Self::GetVersions { at, .. }
            | Self::Exist { at, .. }
            | Self::RowBytes { at, .. }
            | Self::Dimensions { at, .. }
            | Self::Search { at, .. }
            | Self::Measure { at, .. }
            | Self::Count { at, .. }
            | Self::Matching { at, .. }
            | Self::MatchingOf { at, .. }
            | Self::Status { at }
            | Self::OpenIndexes { at, .. }
            | Self::Ids { at, .. }
            | Self::KeywordStatistics { at, .. }
            | Self::Aggregate { at, .. } => *at,
        }
    }

    /// Sets the function that is charged for the memory of the answer. It does not travel with the encoded form.
    pub fn charge_with(&mut self, charge: Charge) {
        match self {
            Self::Get { include, .. } | Self::GetEach { include, .. } | Self::GetVersions { include, .. } => {
                include.charge = charge;
            }
            Self::Aggregate { aggregate, .. } => aggregate.charge = charge,
            Self::Search { queries, .. } => queries.iter_mut().for_each(|query| query.include.charge = charge),
            Self::Ids { charge: of_ids, .. } => *of_ids = charge,
            _ => {}
        }
    }

    /// The encoded form.
    ///
    /// # Errors
    /// [`Error::Limit`] when a part cannot be encoded.
    pub fn encode(&self) -> Result<Vec<u8>> {
        encode(self)
    }

    /// Reads the encoded form.
    ///
    /// # Errors
    /// [`Error::Invalid`] for bytes that are no request of a known version.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        decode(bytes)
    }
}

/// The encoded form of an answer or of the error in its place.
///
/// # Errors
/// [`Error::Limit`] when a part cannot be encoded.
pub fn encode_answer(answer: &Result<ShardAnswer>) -> Result<Vec<u8>> {
    encode(answer)
}

/// Reads the encoded form of an answer.
///
/// # Errors
/// The error that was encoded; [`Error::Invalid`] for bytes that are no answer of a known version.
pub fn decode_answer(bytes: &[u8]) -> Result<ShardAnswer> {
    decode::<Result<ShardAnswer>>(bytes)?
}

fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    postcard::to_extend(value, vec![VERSION]).map_err(|error| Error::Limit(format!("a read of a shard: {error}")))
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    match bytes.split_first() {
        Some((&VERSION, rest)) => {
            postcard::from_bytes(rest).map_err(|error| Error::Invalid(format!("a read of a shard: {error}")))
        }
        Some((version, _)) => Err(Error::Invalid(format!("a read of a shard of version {version}"))),
        None => Err(Error::Invalid("a read of a shard without bytes".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{CollectionId, ShardId};
    use crate::limits::FILTER_DEPTH_MAX;
    use crate::query::{FilterValue, IdSet, Operator, Path, Subject};

    fn leaf(value: FilterValue) -> Filter {
        let path = Path { through: Vec::new(), subject: Subject::Id };
        Filter::Compare { path, operator: Operator::Equal, value }
    }

    fn count(filter: Filter) -> ShardRead {
        ShardRead::Count { at: ShardKey { collection: CollectionId(1), shard: ShardId(0) }, filter: Some(filter) }
    }

    #[test]
    fn filters_survive_encoding_up_to_the_deepest() {
        let mut filter = Filter::ReferenceIn {
            property: "to".into(),
            collection: "Book".into(),
            ids: IdSet::new(vec![Uuid::from_u128(7), Uuid::from_u128(3)]),
        };
        for depth in 0..FILTER_DEPTH_MAX {
            filter = match depth % 3 {
                0 => Filter::Not(Box::new(filter)),
                1 => Filter::And(vec![leaf(FilterValue::List(vec![FilterValue::Int(1)])), filter]),
                _ => Filter::Or(vec![filter]),
            };
        }
        let read = count(filter.clone());
        assert_eq!(ShardRead::decode(&read.encode().unwrap()), Ok(read));
        let deeper = count(Filter::Not(Box::new(filter)));
        assert!(matches!(ShardRead::decode(&deeper.encode().unwrap()), Err(Error::Invalid(_))));
    }

    /// The bytes of `of(1 level)`, with the level repeated a million times.
    fn too_deep(of: impl Fn(usize) -> ShardRead) -> Vec<u8> {
        let [flat, one] = [0, 1].map(|levels| of(levels).encode().unwrap());
        let start = flat.iter().zip(&one).position(|(a, b)| a != b).expect("a level has bytes");
        let level = one[start..start + one.len() - flat.len()].to_vec();
        [&flat[..start], &level.repeat(1_000_000), &flat[start..]].concat()
    }

    #[test]
    fn nesting_without_an_end_is_refused() {
        let nots = |levels| (0..levels).fold(leaf(FilterValue::Bool(true)), |all, _| Filter::Not(Box::new(all)));
        let ands = |levels| (0..levels).fold(leaf(FilterValue::Bool(true)), |all, _| Filter::And(vec![all]));
        let lists = |levels| (0..levels).fold(FilterValue::Bool(true), |all, _| FilterValue::List(vec![all]));
        for bytes in [
            too_deep(|levels| count(nots(levels))),
            too_deep(|levels| count(ands(levels))),
            too_deep(|levels| count(leaf(lists(levels)))),
        ] {
            // Without a limit the decoder overflows its stack.
            assert!(matches!(ShardRead::decode(&bytes), Err(Error::Invalid(_))));
        }
    }
}
