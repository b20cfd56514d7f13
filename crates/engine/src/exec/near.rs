//! Vector searches of a shard: the nearest by one target, or by several whose distances are combined.

use std::collections::BTreeMap;
use std::sync::Arc;

use roaring::RoaringTreemap;

use super::search::{Found, Search};
use crate::ids::DocId;
use crate::inverted::DocSet;
use crate::object::Vector;
use crate::query::{
    AccessPath, Combination, DISTANCE_SLACK, Measured, Near, Plan, Query, TARGETS_MAX, Target, combine, least_unnamed,
};
use crate::schema::{VectorConfig, VectorIndexKind};
use crate::shard::doc_index::DocIndex;
use crate::shard::indexes::each_vector;
use crate::vector::{Fetch, IndexKind, MultiRequest, Neighbor, QUERY_ROWS_MAX, SearchRequest, VectorError};
use crate::{Error, Result, interrupt};

/// Documents of other views up to which a search widens its limit by their number, however few hits it wants.
const OTHERS_MAX: usize = 64;

/// Candidates that each target of a sum names at first: so many for each hit, and at least so many.
const FIRST_CANDIDATES_PER_HIT: usize = 8;
const FIRST_CANDIDATES_MIN: usize = 128;
/// The factor by which the number of candidates grows when there were not enough.
const CANDIDATES_GROWTH: usize = 8;

/// A query of a batch: for the `k` nearest by the one vector of `near`.
pub(super) struct BatchedQuery<'a> {
    pub query: &'a Query,
    pub near: &'a Near,
    pub k: usize,
    pub matches: Option<&'a RoaringTreemap>,
}

impl<'a> BatchedQuery<'a> {
    fn of(&self, target_index: &'a TargetIndex<'a>) -> IndexQuery<'a>
    where
        Self: 'a,
    {
        let max_distance = self.near.max_distance.map(|max| max + DISTANCE_SLACK);
        IndexQuery { target_index, k: self.k, max_distance, allow: self.matches }
    }
}

/// A search of one index for the `k` nearest to its target.
#[derive(Clone, Copy)]
struct IndexQuery<'a> {
    target_index: &'a TargetIndex<'a>,
    k: usize,
    max_distance: Option<f32>,
    allow: Option<&'a RoaringTreemap>,
}

impl IndexQuery<'_> {
    fn answer(self) -> Result<Vec<Neighbor>> {
        self.target_index.nearest(self.k, self.max_distance, self.allow)
    }

    /// The limit of the search in the index.
    fn widened(self) -> usize {
        if self.allow.is_some() { self.k } else { self.target_index.widened(self.k) }
    }

    /// The answer, where `hits` are the hits that the index returned for a limit of [`widened`](Self::widened).
    fn answer_of_view(self, hits: Vec<Neighbor>, limit: usize) -> Result<Vec<Neighbor>> {
        interrupt::check()?;
        match (self.allow, self.target_index.of_view(hits, limit, self.k)) {
            (_, Some(hits)) => Ok(hits),
            (Some(allow), None) => IndexQuery { allow: Some(allow), ..self }.answer(),
            (None, None) => IndexQuery { allow: self.target_index.members().map(DocSet::whole), ..self }.answer(),
        }
    }
}

/// The answers of several queries; those of one index are answered as a batch.
fn nearest_of_each(queries: &[IndexQuery<'_>]) -> Vec<Result<Vec<Neighbor>>> {
    let mut answers: Vec<Option<Result<Vec<Neighbor>>>> = queries.iter().map(|_| None).collect();
    for first in 0..queries.len() {
        if answers[first].is_some() {
            continue;
        }
        let of_first = queries[first].target_index;
        let (Some(DocIndex::Single(index)), Vector::Single(_)) = (of_first.index.as_deref(), &of_first.target.query)
        else {
            answers[first] = Some(queries[first].answer());
            continue;
        };
        let (mut positions, mut requests) = (Vec::new(), Vec::new());
        for (position, query) in queries.iter().copied().enumerate().skip(first) {
            let IndexQuery { target_index, max_distance, allow, .. } = query;
            if target_index.target.vector == of_first.target.vector
                && let Vector::Single(values) = &target_index.target.query
            {
                positions.push(position);
                requests.push(SearchRequest { query: values, k: query.widened(), ef: None, max_distance, allow });
            }
        }
        let found = index.search_many(&requests);
        for ((position, request), answer) in positions.into_iter().zip(&requests).zip(found) {
            let hits = answer.map_err(|error| refused(&error));
            answers[position] = Some(hits.and_then(|hits| queries[position].answer_of_view(hits, request.k)));
        }
    }
    answers.into_iter().map(|answer| answer.unwrap_or_else(|| Ok(Vec::new()))).collect()
}

/// The page of the hits that the query wants.
fn page(hits: Vec<Neighbor>, query: &Query) -> Vec<Found> {
    let hits = hits.into_iter().skip(query.offset).take(query.limit);
    hits.map(|hit| Found { doc_id: hit.doc_id, distance: Some(hit.distance), score: None }).collect()
}

/// A target and its index; `None` where no object of the view has the vector.
struct TargetIndex<'s> {
    search: &'s Search<'s>,
    target: &'s Target,
    index: Option<Arc<DocIndex>>,
}

impl Search<'_> {
    /// Refuses what can never be answered.
    pub(crate) fn check_near(&self, near: &Near) -> Result<()> {
        if near.targets.is_empty() || near.targets.len() > TARGETS_MAX {
            let given = near.targets.len();
            return Err(Error::Invalid(format!("{given} target vectors were given, 1 to {TARGETS_MAX} are possible")));
        }
        near.targets.iter().try_for_each(|target| self.check_target(target))
    }

    fn check_target(&self, target: &Target) -> Result<()> {
        let Some((name, config)) = self.schema.vector_by_id(target.vector) else {
            return Err(Error::Invalid(format!("vector {} is not configured", target.vector)));
        };
        if config.kind == VectorIndexKind::None || config.index.skip {
            return Err(Error::Invalid(format!("vector {name:?} of collection {} has no index", self.schema.name)));
        }
        if !target.weight.is_finite() {
            return Err(Error::Invalid(format!("weight of target {name:?} is not a finite number")));
        }
        let (values, given) = match &target.query {
            Vector::Single(values) if !config.multi => (values, values.len()),
            Vector::Multi { dim, rows } if config.multi => (rows, *dim as usize),
            Vector::Single(_) => {
                return Err(Error::Invalid(format!("vector {name:?} is searched with several vectors")));
            }
            Vector::Multi { .. } => return Err(Error::Invalid(format!("vector {name:?} is searched with one vector"))),
        };
        if let Some(at) = values.iter().position(|value| !value.is_finite()) {
            return Err(Error::Invalid(format!("vector component {at} is not a finite number")));
        }
        let rows = values.len() / given.max(1);
        if config.multi && rows > QUERY_ROWS_MAX {
            return Err(Error::Invalid(format!("a query of {rows} vectors, {QUERY_ROWS_MAX} are possible")));
        }
        match self.view.state.record.dimensions.get(&target.vector) {
            Some(&expected) if expected as usize != given => Err(wrong_dimension(name, config, given, expected)),
            _ => Ok(()),
        }
    }

    /// The nearest hits, in order.
    pub(crate) fn near(
        &self,
        query: &Query,
        plan: &Plan,
        near: &Near,
        matches: Option<&RoaringTreemap>,
    ) -> Result<Vec<Found>> {
        let indexes: Vec<_> = near.targets.iter().map(|target| self.target_index(target)).collect();
        Ok(page(find(&indexes, query, plan, near, matches)?, query))
    }

    /// The answers of a batch of searches for the nearest by one vector, each as [`near`](Self::near) would answer it.
    pub(super) fn near_many(&self, batch: &[BatchedQuery<'_>]) -> Vec<Result<Vec<Found>>> {
        let targets = batch.iter().map(|query| query.near.targets.first());
        let indexes: Vec<_> = targets.map(|target| target.map(|target| self.target_index(target))).collect();
        let queries: Vec<IndexQuery<'_>> =
            indexes.iter().zip(batch).filter_map(|(index, query)| Some(query.of(index.as_ref()?))).collect();
        let mut found = nearest_of_each(&queries).into_iter();
        let of = |(query, index): (&BatchedQuery<'_>, &Option<TargetIndex<'_>>)| match index {
            Some(_) => found.next().unwrap_or_else(|| Ok(Vec::new())).map(|hits| page(hits, query.query)),
            None => Ok(Vec::new()),
        };
        batch.iter().zip(&indexes).map(of).collect()
    }

    /// The candidates of a search by several vectors with their distances.
    pub(super) fn candidates(&self, near: &Near, plan: &Plan, allow: Option<&RoaringTreemap>) -> Result<Vec<Measured>> {
        let AccessPath::Combined { k: Some(k), .. } = plan.path else { return Ok(Vec::new()) };
        let indexes: Vec<_> = near.targets.iter().map(|target| self.target_index(target)).collect();
        let query = |target_index| IndexQuery { target_index, k, max_distance: None, allow };
        let found = nearest_of_each(&indexes.iter().map(query).collect::<Vec<_>>());
        measured(near, &indexes, &found.into_iter().collect::<Result<Vec<_>>>()?)
    }

    fn target_index<'s>(&'s self, target: &'s Target) -> TargetIndex<'s> {
        TargetIndex { search: self, target, index: self.index_of(target.vector) }
    }
}

/// The hits that the plan asks for, in order.
fn find(
    indexes: &[TargetIndex<'_>],
    query: &Query,
    plan: &Plan,
    near: &Near,
    allow: Option<&RoaringTreemap>,
) -> Result<Vec<Neighbor>> {
    let keep = query.offset.saturating_add(query.limit);
    let max_distance = near.max_distance.map(|max| max + DISTANCE_SLACK);
    match (plan.path, indexes) {
        (AccessPath::WithinDistance { .. }, [only]) => only.within(max_distance, allow, keep),
        (AccessPath::Nearest { k, .. }, [only]) => only.nearest(k, max_distance, allow),
        (AccessPath::Combined { k, .. }, _) => {
            let mut hits = match k {
                Some(k) => combined_nearest(near, indexes, k, keep, allow)?,
                None => {
                    let within = indexes.iter().map(|one| one.within(max_distance, allow, keep));
                    combined(near, indexes, &within.collect::<Result<Vec<_>>>()?)?
                }
            };
            hits.retain(|hit| max_distance.is_none_or(|max| hit.distance <= max));
            hits.truncate(keep);
            Ok(hits)
        }
        _ => Ok(Vec::new()),
    }
}

impl TargetIndex<'_> {
    /// The `k` nearest.
    fn nearest(&self, k: usize, max_distance: Option<f32>, allow: Option<&RoaringTreemap>) -> Result<Vec<Neighbor>> {
        self.searched(k, allow, |k, allow| match (self.index.as_deref(), &self.target.query) {
            (Some(DocIndex::Single(index)), Vector::Single(query)) => index
                .search(&SearchRequest { query, k, ef: None, max_distance, allow })
                .map_err(|error| refused(&error)),
            (Some(DocIndex::Multi(index)), Vector::Multi { dim, rows }) => {
                let request = MultiRequest { dim: *dim as usize, rows, k, max_distance, allow };
                self.fetching(|fetch| index.search(&request, fetch))?.map_err(|error| refused(&error))
            }
            _ => Ok(Vec::new()),
        })
    }

    /// Everything within the distance, the nearest `limit_max` of it.
    fn within(
        &self,
        max_distance: Option<f32>,
        allow: Option<&RoaringTreemap>,
        limit_max: usize,
    ) -> Result<Vec<Neighbor>> {
        self.searched(limit_max, allow, |limit_max, allow| match (self.index.as_deref(), &self.target.query) {
            (Some(DocIndex::Single(index)), Vector::Single(query)) => {
                let max_distance = max_distance.unwrap_or(f32::INFINITY);
                index.search_by_distance(query, max_distance, allow, limit_max).map_err(|error| refused(&error))
            }
            (Some(DocIndex::Multi(index)), Vector::Multi { dim, rows }) => {
                let request = MultiRequest { dim: *dim as usize, rows, k: limit_max, max_distance, allow };
                self.fetching(|fetch| index.search_by_distance(&request, fetch))?.map_err(|error| refused(&error))
            }
            _ => Ok(Vec::new()),
        })
    }

    /// The `k` hits of this view that `search` finds in the index. A filter's matches all belong to this view; without
    /// a filter the index is searched for as many more hits as it holds documents of other views, and if that is not
    /// enough again, with the documents of this view as the allow list.
    fn searched(
        &self,
        k: usize,
        allow: Option<&RoaringTreemap>,
        search: impl Fn(usize, Option<&RoaringTreemap>) -> Result<Vec<Neighbor>>,
    ) -> Result<Vec<Neighbor>> {
        let Some(members) = self.members() else { return Ok(Vec::new()) };
        if allow.is_none() {
            let limit = self.widened(k);
            let hits = search(limit, None)?;
            interrupt::check()?;
            if let Some(hits) = self.of_view(hits, limit, k) {
                return Ok(hits);
            }
        }
        let hits = search(k, allow.or_else(|| Some(members.whole())))?;
        interrupt::check()?;
        Ok(hits)
    }

    /// The limit with which `k` hits of this view are among those of the index: the index holds all documents of the view,
    /// newer ones, and deleted ones that readers of older views may still need.
    fn widened(&self, k: usize) -> usize {
        let held = self.index.as_deref().map_or(0, DocIndex::documents) as u64;
        let others = held.saturating_sub(self.members().map_or(0, DocSet::len));
        match usize::try_from(others) {
            Ok(others) if others <= k.max(OTHERS_MAX) => k.saturating_add(others),
            _ => k,
        }
    }

    /// The first `k` of the hits that are of this view; `None` if the view may have more than are among the `limit` first.
    fn of_view(&self, mut hits: Vec<Neighbor>, limit: usize, k: usize) -> Option<Vec<Neighbor>> {
        let live = &self.search.view.state.live;
        let all = hits.len() < limit;
        hits.retain(|hit| live.contains(hit.doc_id.0));
        hits.truncate(k);
        (all || hits.len() == k).then_some(hits)
    }

    /// The documents of this view that have the vector.
    fn members(&self) -> Option<&DocSet> {
        self.search.view.state.with_vector.get(&self.target.vector)
    }

    /// Distances of these documents, ascending by document; those that lack the vector are left out.
    fn distances(&self, docs: &RoaringTreemap) -> Result<Vec<Neighbor>> {
        match (self.index.as_deref(), &self.target.query) {
            (Some(DocIndex::Single(index)), Vector::Single(query)) => {
                let hit = |doc_id| Some(Neighbor { doc_id, distance: index.distance_to(doc_id, query)? });
                Ok(docs.iter().map(DocId).filter_map(hit).collect())
            }
            (Some(DocIndex::Multi(_)), Vector::Multi { .. }) => {
                let count = usize::try_from(docs.len()).unwrap_or(usize::MAX);
                let mut hits = self.within(None, Some(docs), count)?;
                hits.sort_unstable_by_key(|hit| hit.doc_id);
                Ok(hits)
            }
            _ => Ok(Vec::new()),
        }
    }

    /// Answers with a function that reads vectors of this view from the store, for an index that does not hold them.
    fn fetching<T>(&self, answer: impl FnOnce(&mut Fetch<'_>) -> T) -> Result<T> {
        let (shard, view, vector) = (self.search.shard, &self.search.view, self.target.vector);
        let there = view.state.with_vector.get(&vector);
        let mut failed = Ok(());
        let answered = answer(&mut |docs, take| {
            // Documents that the index holds beyond this view have no row here.
            let docs = there.map_or_else(RoaringTreemap::new, |there| there.and(docs));
            let outcome = each_vector(shard, vector, view, &docs, |doc_id, values| {
                match &values {
                    Ok(Vector::Multi { rows, .. }) => take(doc_id, rows),
                    Ok(Vector::Single(_)) => {}
                    Err(error) => {
                        shard.unreadable.note(shard.at, doc_id, error);
                    }
                }
                Ok(())
            });
            if failed.is_ok() {
                failed = outcome;
            }
        });
        failed.map(|()| answered)
    }
}

/// The nearest of the candidates that the targets' indexes return, up to `k_max` each; only the first `keep` are exact.
///
/// A sum begins with fewer candidates: once `keep` of the objects are nearer than any object outside the candidates can
/// be, more candidates would not change them (Fagin's threshold algorithm).
fn combined_nearest(
    near: &Near,
    indexes: &[TargetIndex<'_>],
    k_max: usize,
    keep: usize,
    allow: Option<&RoaringTreemap>,
) -> Result<Vec<Neighbor>> {
    let weights: Vec<f32> = near.targets.iter().map(|target| target.weight).collect();
    let mut k = match near.combination {
        Combination::Sum if weights.iter().all(|weight| *weight >= 0.0) => {
            keep.saturating_mul(FIRST_CANDIDATES_PER_HIT).clamp(FIRST_CANDIDATES_MIN, k_max.max(FIRST_CANDIDATES_MIN))
        }
        _ => k_max,
    };
    loop {
        k = k.min(k_max);
        let query = |target_index| IndexQuery { target_index, k, max_distance: None, allow };
        let found: Vec<Vec<Neighbor>> =
            nearest_of_each(&indexes.iter().map(query).collect::<Vec<_>>()).into_iter().collect::<Result<_>>()?;
        let hits = combined(near, indexes, &found)?;
        // A target with fewer candidates than the limit has returned all of its documents.
        if k >= k_max || found.iter().any(|hits| hits.len() < k) {
            return Ok(hits);
        }
        let last: Vec<f32> = found.iter().filter_map(|hits| Some(hits.last()?.distance)).collect();
        let farthest = keep.checked_sub(1).and_then(|last| hits.get(last));
        if let (Some(least), Some(farthest)) = (least_unnamed(&weights, &last), farthest)
            && farthest.distance < least
        {
            return Ok(hits);
        }
        k = k.saturating_mul(CANDIDATES_GROWTH);
    }
}

/// The hits of all targets with one distance each.
fn combined(near: &Near, indexes: &[TargetIndex<'_>], found: &[Vec<Neighbor>]) -> Result<Vec<Neighbor>> {
    let weights: Vec<f32> = near.targets.iter().map(|target| target.weight).collect();
    let combined = combine(near.combination, &weights, &measured(near, indexes, found)?).into_iter();
    Ok(combined.map(|(distance, doc_id)| Neighbor { doc_id, distance }).collect())
}

/// The hits of all targets with their distances: objects that a target did not find itself are compared here.
fn measured(near: &Near, indexes: &[TargetIndex<'_>], found: &[Vec<Neighbor>]) -> Result<Vec<Measured>> {
    let mut measured: BTreeMap<DocId, Vec<Option<f32>>> = BTreeMap::new();
    for (at, hits) in found.iter().enumerate() {
        for hit in hits {
            measured.entry(hit.doc_id).or_insert_with(|| vec![None; indexes.len()])[at] = Some(hit.distance);
        }
    }
    // The least distance of an object is among those by which it was found.
    let incomplete = if near.combination == Combination::Minimum { &[] } else { indexes };
    for (at, one) in incomplete.iter().enumerate() {
        let lacking = measured.iter().filter(|(_, distances)| distances[at].is_none());
        let lacking: RoaringTreemap = lacking.map(|(doc_id, _)| doc_id.0).collect();
        for hit in one.distances(&lacking)? {
            measured.entry(hit.doc_id).and_modify(|distances| distances[at] = Some(hit.distance));
        }
    }
    Ok(measured.into_iter().map(|(doc_id, distances)| Measured { doc_id, distances }).collect())
}

fn refused(error: &VectorError) -> Error {
    Error::Invalid(error.to_string())
}

fn wrong_dimension(name: &str, config: &VectorConfig, given: usize, expected: u32) -> Error {
    let flat = config.index.kind == IndexKind::Flat;
    Error::WrongDimension { vector: name.to_owned(), multi: config.multi, flat, given, expected: expected as usize }
}
