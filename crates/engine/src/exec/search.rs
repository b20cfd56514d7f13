//! Queries of a shard: plan, find the hits, sort, cut, read the objects.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use roaring::RoaringTreemap;
use uuid::Uuid;

use super::ReadContext;
use super::fetch::{doc_id_of, found_version, read_objects};
use super::filter::Filtered;
use super::near::BatchedQuery;
use crate::error::readable;
use crate::ids::{DocId, ShardKey, VectorId};
use crate::inverted::DocSet;
use crate::object::FoundVersion;
use crate::query::{
    AccessPath, Cardinalities, Filter, Hit, Include, Measured, Near, Plan, Query, Rank, Score, sort_hits,
};
use crate::schema::Collection;
use crate::shard::doc_index::DocIndex;
use crate::shard::{Shard, ShardView};
use crate::{Error, Result};

/// How often indexes are opened that leave memory again before a view is taken.
const OPENINGS_MAX: usize = 64;

/// How often a listing begins again because it met objects that cannot be read.
const LISTINGS_MAX: usize = 64;

/// A query's shard at one moment, with indexes that hold every document of it.
pub(crate) struct Search<'a> {
    pub context: ReadContext<'a>,
    pub schema: &'a Collection,
    pub shard: &'a Arc<Shard>,
    pub view: ShardView<'a>,
    indexes: Vec<(VectorId, Arc<DocIndex>)>,
}

/// A hit before its object is read.
#[derive(Clone)]
pub(crate) struct Found {
    pub doc_id: DocId,
    pub distance: Option<f32>,
    pub score: Option<Box<Score>>,
}

impl ReadContext<'_> {
    /// Answers a query.
    ///
    /// # Errors
    /// Those of a wrong request ([`Error::is_invalid`]), [`Error::Unsupported`] for a feature that does not exist yet, and
    /// the errors of [`Include::charge`].
    pub(crate) fn search(self, at: ShardKey, query: &Query) -> Result<Vec<Hit>> {
        let (schema, shard) = self.state.known(at)?;
        let search = Search::begin(self, &schema, &shard, &vectors_of([query]))?;
        let (matches, plan) = search.plan(query)?;
        for _ in 0..LISTINGS_MAX {
            let found = search.find(query, &plan, matches.as_ref())?;
            let wanted = found.len();
            let hits = search.read(query, &plan, found)?;
            // Once the unreadable objects are known, a listing leaves them out, and its pages are full.
            if hits.len() == wanted || !plan.is_listing() {
                return Ok(hits);
            }
        }
        Err(Error::Limit("too many objects of the listing cannot be read".into()))
    }

    /// Answers several queries from one moment of the shard, each as [`ReadContext::search`] would. Equal filters are looked up
    /// once, and vectors that several queries have to be compared with are read once.
    pub(crate) fn search_many(self, at: ShardKey, queries: &[Query]) -> Vec<Result<Vec<Hit>>> {
        let mut answers: Vec<Option<Result<Vec<Hit>>>> = queries.iter().map(|_| None).collect();
        if let Ok((schema, shard)) = self.state.known(at)
            && let Ok(search) = Search::begin(self, &schema, &shard, &vectors_of(queries))
        {
            search.answer_batched(queries, &mut answers);
        }
        // Queries that could not be batched, or failed, run alone.
        let answer = |(query, answer): (&Query, Option<_>)| answer.unwrap_or_else(|| self.search(at, query));
        queries.iter().zip(answers).map(answer).collect()
    }

    /// The candidates of a search by several vectors with their distances, as [`ReadContext::search`] would combine them for
    /// the first `keep` hits.
    ///
    /// # Errors
    /// As [`ReadContext::search`].
    pub(crate) fn measure(
        self,
        at: ShardKey,
        near: Near,
        filter: Option<Filter>,
        keep: usize,
    ) -> Result<Vec<Measured>> {
        let (schema, shard) = self.state.known(at)?;
        let include = Include::default();
        let query = Query { rank: Rank::Near(near), filter, offset: 0, limit: keep, sort: Vec::new(), include };
        let search = Search::begin(self, &schema, &shard, &vectors_of([&query]))?;
        let (matches, plan) = search.plan(&query)?;
        match &query.rank {
            Rank::Near(near) => search.candidates(near, &plan, matches.as_ref()),
            Rank::Listing { .. } | Rank::Keyword(_) => Ok(Vec::new()),
        }
    }

    /// How [`ReadContext::search`] would answer a query now.
    ///
    /// # Errors
    /// As [`ReadContext::search`].
    pub(crate) fn plan(self, at: ShardKey, query: &Query) -> Result<Plan> {
        let (schema, shard) = self.state.known(at)?;
        Ok(Search::begin(self, &schema, &shard, &BTreeSet::new())?.plan(query)?.1)
    }

    /// Number of objects, or of those that match.
    ///
    /// # Errors
    /// As [`ReadContext::search`].
    pub(crate) fn count(self, at: ShardKey, filter: Option<&Filter>) -> Result<u64> {
        let (schema, shard) = self.state.known(at)?;
        match filter {
            None => Ok(shard.state().live.len()),
            Some(filter) => Ok(Search::begin(self, &schema, &shard, &BTreeSet::new())?.matches(filter)?.len()),
        }
    }

    /// The first `limit` objects that match, in doc id order, and the number of all that match.
    ///
    /// # Errors
    /// As [`ReadContext::search`].
    pub(crate) fn matching(self, at: ShardKey, filter: &Filter, limit: usize) -> Result<(Vec<FoundVersion>, u64)> {
        let (schema, shard) = self.state.known(at)?;
        let search = Search::begin(self, &schema, &shard, &BTreeSet::new())?;
        let matches = search.matches(filter)?;
        let found = matches.iter().map(|doc_id| readable(found_version(&shard, &search.view, DocId(doc_id))));
        Ok((found.filter_map(Result::transpose).take(limit).collect::<Result<_>>()?, matches.len()))
    }

    /// Those of these objects that match, in no order.
    ///
    /// # Errors
    /// As [`ReadContext::search`].
    pub(crate) fn matching_of(self, at: ShardKey, filter: &Filter, ids: &HashSet<Uuid>) -> Result<Vec<FoundVersion>> {
        let (schema, shard) = self.state.known(at)?;
        let search = Search::begin(self, &schema, &shard, &BTreeSet::new())?;
        let matches = search.matches(filter)?;
        let mut found = Vec::new();
        for &id in ids {
            let doc_id = doc_id_of(&shard, &search.view, id)?;
            if let Some(doc_id) = doc_id.filter(|doc_id| matches.contains(doc_id.0)) {
                found.extend(readable(found_version(&shard, &search.view, doc_id))?);
            }
        }
        Ok(found)
    }
}

/// The vectors that these queries compare.
fn vectors_of<'q>(queries: impl IntoIterator<Item = &'q Query>) -> BTreeSet<VectorId> {
    let vectors = queries.into_iter().flat_map(|query| match &query.rank {
        Rank::Near(near) => near.targets.as_slice(),
        Rank::Listing { .. } | Rank::Keyword(_) => &[],
    });
    vectors.map(|target| target.vector).collect()
}

impl<'a> Search<'a> {
    /// The shard as it is now, with the indexes of these vectors, opened if need be.
    pub(super) fn begin(
        context: ReadContext<'a>,
        schema: &'a Collection,
        shard: &'a Arc<Shard>,
        vectors: &BTreeSet<VectorId>,
    ) -> Result<Self> {
        let opening = |vector| context.searchable(schema, vector);
        for _ in 0..OPENINGS_MAX {
            for &vector in vectors {
                if let Some(opening) = opening(vector).filter(|_| shard.has_vector(vector)) {
                    shard.index(vector, &opening)?;
                }
            }
            let view = shard.view(&context.state.store);
            let of = |vector| Some((vector, shard.indexes.holding(vector, &view)?));
            let indexes: Vec<_> = vectors.iter().copied().filter_map(of).collect();
            // A missing index belongs to a vector that came to the shard just now, or has just left memory.
            let lacks = |vector: &VectorId| {
                view.state.with_vector.contains_key(vector)
                    && opening(*vector).is_some()
                    && indexes.iter().all(|(of, _)| of != vector)
            };
            if !vectors.iter().any(lacks) {
                return Ok(Self { context, schema, shard, view, indexes });
            }
        }
        Err(Error::Limit("the vector indexes left memory as often as they were opened".into()))
    }

    /// The index of a vector; `None` where no object has it.
    pub(crate) fn index_of(&self, vector: VectorId) -> Option<Arc<DocIndex>> {
        self.indexes.iter().find(|(of, _)| *of == vector).map(|(_, index)| index.clone())
    }

    /// Answers the queries that can be batched.
    fn answer_batched(&self, queries: &[Query], answers: &mut [Option<Result<Vec<Hit>>>]) {
        let mut lists: Vec<(&Filter, RoaringTreemap)> = Vec::new();
        for filter in queries.iter().filter_map(|query| query.filter.as_ref()) {
            // The error of a filter that cannot be looked up is returned where its query is answered.
            if lists.iter().all(|(other, _)| *other != filter)
                && let Ok(matches) = self.matches(filter)
            {
                lists.push((filter, matches));
            }
        }
        let (mut positions, mut plans, mut batch) = (Vec::new(), Vec::new(), Vec::new());
        for (position, query) in queries.iter().enumerate() {
            let matches = match &query.filter {
                None => None,
                Some(filter) => match lists.iter().find(|(other, _)| *other == filter) {
                    Some((_, matches)) => Some(matches),
                    None => continue,
                },
            };
            let Ok(plan) = self.plan_with(query, matches) else { continue };
            if let AccessPath::Keywords { .. } = plan.path {
                let found = self.find(query, &plan, matches);
                answers[position] = Some(found.and_then(|found| self.read(query, &plan, found)));
            }
            if let (AccessPath::Nearest { k, .. }, Rank::Near(near)) = (plan.path, &query.rank) {
                positions.push(position);
                plans.push(plan);
                batch.push(BatchedQuery { query, near, k, matches });
            }
        }
        let found = self.near_many(&batch);
        for (((position, plan), query), found) in positions.into_iter().zip(plans).zip(batch).zip(found) {
            answers[position] = Some(found.and_then(|found| self.read(query.query, &plan, found)));
        }
    }

    /// Live doc ids of the view that match.
    pub(super) fn matches(&self, filter: &Filter) -> Result<RoaringTreemap> {
        Filtered { context: self.context, schema: self.schema, shard: self.shard }.matches(&self.view, filter)
    }

    fn plan(&self, query: &Query) -> Result<(Option<RoaringTreemap>, Plan)> {
        let matches = query.filter.as_ref().map(|filter| self.matches(filter)).transpose()?;
        let plan = self.plan_with(query, matches.as_ref())?;
        Ok((matches, plan))
    }

    /// The plan of a query whose filter was looked up.
    fn plan_with(&self, query: &Query, matches: Option<&RoaringTreemap>) -> Result<Plan> {
        let with_vector = match &query.rank {
            Rank::Near(near) => {
                self.check_near(near)?;
                near.vectors().filter_map(|vector| self.with_vector(vector)).map(DocSet::len).max().unwrap_or(0)
            }
            Rank::Keyword(keyword) => {
                self.check_keyword(keyword)?;
                0
            }
            Rank::Listing { .. } => 0,
        };
        let counts =
            Cardinalities { live: self.view.state.live.len(), matches: matches.map(RoaringTreemap::len), with_vector };
        Ok(Plan::of(query, &counts))
    }

    fn with_vector(&self, vector: VectorId) -> Option<&DocSet> {
        self.view.state.with_vector.get(&vector)
    }

    /// The hits in their order, `offset` already left out where that is cheaper here.
    fn find(&self, query: &Query, plan: &Plan, matches: Option<&RoaringTreemap>) -> Result<Vec<Found>> {
        let unranked = |doc_ids: Vec<DocId>| {
            doc_ids.into_iter().map(|doc_id| Found { doc_id, distance: None, score: None }).collect()
        };
        Ok(match plan.path {
            AccessPath::Nothing => Vec::new(),
            AccessPath::Ids => unranked(self.by_id(query, matches)?),
            AccessPath::DocIds => unranked(self.by_doc_id(query, matches)),
            AccessPath::Sorted => unranked(self.sorted(query, matches)?),
            AccessPath::Nearest { .. } | AccessPath::WithinDistance { .. } | AccessPath::Combined { .. } => {
                match &query.rank {
                    Rank::Near(near) => self.near(query, plan, near, matches)?,
                    Rank::Listing { .. } | Rank::Keyword(_) => Vec::new(),
                }
            }
            AccessPath::Keywords { k } => match &query.rank {
                Rank::Keyword(keyword) => self.keywords(query, keyword, k, matches)?,
                Rank::Listing { .. } | Rank::Near(_) => Vec::new(),
            },
        })
    }

    /// Reads the objects of the hits; ranked hits are sorted here if the query says so.
    fn read(&self, query: &Query, plan: &Plan, found: Vec<Found>) -> Result<Vec<Hit>> {
        let sort_here = !query.sort.is_empty() && plan.path != AccessPath::Sorted;
        let include = if sort_here { query.include.with_sorted(&query.sort) } else { query.include.clone() };
        let doc_ids: Vec<DocId> = found.iter().map(|found| found.doc_id).collect();
        let objects = read_objects(self.shard, &self.view, self.schema, &doc_ids, &include)?;
        let hit = |(Found { doc_id, distance, score }, object): (Found, Option<_>)| {
            let object = object?;
            Some(Hit { doc_id, distance, score, object })
        };
        let mut hits: Vec<Hit> = found.into_iter().zip(objects).filter_map(hit).collect();
        if let AccessPath::Keywords { .. } = plan.path {
            hits.sort_by(Hit::by_score);
        }
        if sort_here {
            hits = sort_hits(self.schema, &query.sort, hits, query.include.charge)?;
            hits.iter_mut().for_each(|hit| query.include.properties.retain(&mut hit.object.properties));
        }
        Ok(hits)
    }
}

#[cfg(test)]
mod tests;
