//! Execution of [`ShardRead`]s.

use std::collections::HashSet;

use super::ReadContext;
use crate::Result;
use crate::ids::ShardKey;
use crate::query::{Query, ShardAnswer, ShardHits, ShardRead, ShardSummary, SortTerms};
use crate::vector::IndexMemory;

impl ReadContext<'_> {
    /// Answers a read.
    ///
    /// # Errors
    /// Those of a wrong request ([`Error::is_invalid`]), [`Error::Unreadable`] when an object cannot be decoded, and the errors of [`Include::charge`].
    pub(crate) fn execute(self, read: ShardRead) -> Result<ShardAnswer> {
        Ok(match read {
            ShardRead::Get { at, id, include } => ShardAnswer::Object(self.get(at, id, &include)?.map(Box::new)),
            ShardRead::GetEach { at, ids, include } => {
                let get = |id| Ok(self.get(at, id, &include)?.map(|stored| stored.object));
                let get = |id| if self.state.knows(at) { get(id) } else { Ok(None) };
                ShardAnswer::Objects(ids.into_iter().map(get).collect::<Result<_>>()?)
            }
            ShardRead::GetVersions { at, doc_ids, include } => {
                ShardAnswer::Objects(self.versions(at, &doc_ids, &include)?)
            }
            ShardRead::Exist { at, ids } => {
                let exists = |id| Ok(self.state.knows(at) && self.exists(at, id)?);
                ShardAnswer::Flags(ids.into_iter().map(exists).collect::<Result<_>>()?)
            }
            ShardRead::RowBytes { at, ids } => {
                ShardAnswer::Sizes(ids.into_iter().map(|id| self.row_bytes(at, id)).collect::<Result<_>>()?)
            }
            ShardRead::Dimensions { at, vectors } => {
                let dimension = |vector| self.vector_dimension(at, vector);
                ShardAnswer::Dimensions(vectors.into_iter().map(dimension).collect())
            }
            ShardRead::Search { at, queries, with_keys } => {
                let with_keys = |query: &Query| with_keys && !query.sort.is_empty();
                ShardAnswer::Hits(match queries.as_slice() {
                    [query] if with_keys(query) => vec![self.search_with_keys(at, query)],
                    [query] => vec![self.search(at, query).map(ShardHits::without_keys)],
                    queries if queries.iter().any(with_keys) => {
                        queries.iter().map(|query| self.search_with_keys(at, query)).collect()
                    }
                    queries => {
                        let found = self.search_many(at, queries).into_iter();
                        found.map(|hits| hits.map(ShardHits::without_keys)).collect()
                    }
                })
            }
            ShardRead::Measure { at, near, filter, keep } => {
                ShardAnswer::Measured(self.measure(at, near, filter, keep)?)
            }
            ShardRead::Count { at, filter } => ShardAnswer::Count(self.count(at, filter.as_ref())?),
            ShardRead::Matching { at, filter, limit } => {
                let (found, matches) = self.matching(at, &filter, limit)?;
                ShardAnswer::Matching { found, matches }
            }
            ShardRead::MatchingOf { at, filter, ids } => {
                let ids: HashSet<_> = ids.into_iter().collect();
                let found = self.matching_of(at, &filter, &ids)?;
                ShardAnswer::Matching { matches: found.len() as u64, found }
            }
            ShardRead::Aggregate { at, among, aggregate } => {
                ShardAnswer::Groups(self.aggregate(at, &among, &aggregate)?)
            }
            ShardRead::Status { at } => ShardAnswer::Status(self.summary(at)?),
            ShardRead::OpenIndexes { at, vectors } => {
                self.open_indexes(at, &vectors)?;
                ShardAnswer::Done
            }
            ShardRead::Ids { at, filters, .. } if !self.state.knows(at) => {
                ShardAnswer::Ids(filters.iter().map(|_| Ok(Vec::new())).collect())
            }
            ShardRead::Ids { at, filters, limit, charge } => {
                ShardAnswer::Ids(self.matching_ids(at, &filters, limit, charge)?)
            }
            ShardRead::KeywordStatistics { at, keyword } => {
                ShardAnswer::KeywordStatistics(self.keyword_statistics(at, &keyword)?)
            }
        })
    }

    /// As [`ReadContext::search`], with the keys by which the query sorts.
    fn search_with_keys(self, at: ShardKey, query: &Query) -> Result<ShardHits> {
        let (schema, _) = self.state.known(at)?;
        let terms = SortTerms::new(&schema, &query.sort)?;
        let include = query.include.with_sorted(&query.sort);
        let mut hits = self.search(at, &Query { include, ..query.clone() })?;
        let keys: Vec<_> = hits.iter().map(|hit| terms.keys(&hit.object)).collect();
        query.include.charge.take(keys.iter().map(crate::query::SortKeys::bytes).sum())?;
        hits.iter_mut().for_each(|hit| query.include.properties.retain(&mut hit.object.properties));
        Ok(ShardHits { hits, keys })
    }

    fn summary(self, at: ShardKey) -> Result<ShardSummary> {
        let status = self.shard_status(at)?;
        let mut index_memory = IndexMemory::default();
        let indexes = status.vectors.into_iter().filter_map(|vector| vector.index);
        indexes.for_each(|index| index_memory += index.memory);
        Ok(ShardSummary { objects: status.objects, vector_queue: status.vector_queue, index_memory })
    }
}

impl ShardHits {
    fn without_keys(hits: Vec<crate::query::Hit>) -> Self {
        Self { hits, keys: Vec::new() }
    }
}
