//! Vector searches of a shard: the nearest by one target, or by several whose distances are combined.

use std::collections::BTreeMap;
use std::sync::Arc;

use roaring::RoaringTreemap;

use super::search::{Found, Search};
use crate::ids::{DocId, VectorId};
use crate::object::Vector;
use crate::query::{Measured, Near, Plan, Query, Source, TARGETS_MAX, Target, combine};
use crate::schema::{VectorConfig, VectorIndexKind};
use crate::vector::{self, IndexKind, SearchRequest, VectorError, VectorIndex};
use crate::{Error, Result};

/// Added to a distance threshold, so that a distance that was read from an answer matches again.
const DISTANCE_SLACK: f32 = 1e-6;

/// The index of each target, in the targets' order.
type Indexes = Vec<Arc<VectorIndex>>;

impl Search<'_> {
    /// Refuses what can never be answered.
    pub(super) fn check_near(&self, near: &Near) -> Result<()> {
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
        if config.multi {
            return Err(Error::Unsupported("multi-vector search".into()));
        }
        if config.kind == VectorIndexKind::None || config.index.skip {
            return Err(Error::Invalid(format!("vector {name:?} of collection {} has no index", self.schema.name)));
        }
        if !target.weight.is_finite() {
            return Err(Error::Invalid(format!("weight of target {name:?} is not a finite number")));
        }
        let (Vector::Single(values) | Vector::Multi { rows: values, .. }) = &target.query;
        if let Some(at) = values.iter().position(|value| !value.is_finite()) {
            return Err(Error::Invalid(format!("vector component {at} is not a finite number")));
        }
        let given = dimension_of(&target.query);
        match self.view.state.record.dimensions.get(&target.vector) {
            Some(&expected) if expected != given => Err(wrong_dimension(config, given, expected)),
            _ => Ok(()),
        }
    }

    /// The nearest in order. `None` when the shard changed under the search (see `Search::find`).
    pub(super) fn near(
        &self,
        query: &Query,
        plan: &Plan,
        near: &Near,
        matches: Option<&RoaringTreemap>,
        still: bool,
    ) -> Result<Option<Vec<Found>>> {
        let Some(indexes) = self.indexes(near, still)? else { return Ok(None) };
        let mut hits = ask(&indexes, query, plan, near, matches)?;
        let live = &self.view.state.live;
        // An index knows nothing of moments. It may hold what came after this one,
        if hits.iter().any(|hit| !live.contains(hit.doc_id.0)) {
            hits = ask(&indexes, query, plan, near, Some(live))?;
        }
        // or have lost what this one still has, which only happens after a newer one was published.
        if !still && self.shard.state().removals != self.view.state.removals {
            return Ok(None);
        }
        let hits = hits.into_iter().skip(query.offset).take(query.limit);
        Ok(Some(hits.map(|hit| Found { doc_id: hit.doc_id, distance: Some(hit.distance) }).collect()))
    }

    /// The indexes, opened unless the shard is kept `still`; `None` if one is not in memory then.
    fn indexes(&self, near: &Near, still: bool) -> Result<Option<Indexes>> {
        let index = |vector: VectorId| {
            if still {
                return Ok(self.shard.indexes.loaded(vector));
            }
            let opening = self.group.opening(self.schema, vector);
            opening.map(|opening| self.shard.index(vector, &opening)).transpose()
        };
        near.vectors().map(index).collect()
    }
}

fn ask(
    indexes: &Indexes,
    query: &Query,
    plan: &Plan,
    near: &Near,
    allow: Option<&RoaringTreemap>,
) -> Result<Vec<vector::Hit>> {
    let keep = query.offset.saturating_add(query.limit);
    let max_distance = near.max_distance.map(|max| max + DISTANCE_SLACK);
    match (plan.source, near.targets.as_slice(), indexes.as_slice()) {
        (Source::WithinDistance { .. }, [only], [index]) => within(index, only, max_distance, allow, keep),
        (Source::Nearest { k, .. }, [only], [index]) => nearest(index, only, k, max_distance, allow),
        (Source::Combined { k, .. }, ..) => {
            let candidates = |(target, index): (&Target, &Arc<VectorIndex>)| match k {
                Some(k) => nearest(index, target, k, None, allow),
                None => within(index, target, max_distance, allow, keep),
            };
            let found: Result<Vec<_>> = near.targets.iter().zip(indexes).map(candidates).collect();
            let mut hits = combined(near, indexes, &found?);
            hits.retain(|hit| max_distance.is_none_or(|max| hit.distance <= max));
            hits.truncate(keep);
            Ok(hits)
        }
        _ => Ok(Vec::new()),
    }
}

fn nearest(
    index: &VectorIndex,
    target: &Target,
    k: usize,
    max_distance: Option<f32>,
    allow: Option<&RoaringTreemap>,
) -> Result<Vec<vector::Hit>> {
    let request = SearchRequest { query: plain(&target.query), k, ef: None, max_distance, allow };
    index.search(&request).map_err(refused)
}

fn within(
    index: &VectorIndex,
    target: &Target,
    max_distance: Option<f32>,
    allow: Option<&RoaringTreemap>,
    limit_max: usize,
) -> Result<Vec<vector::Hit>> {
    let max_distance = max_distance.unwrap_or(f32::INFINITY);
    index.search_by_distance(plain(&target.query), max_distance, allow, limit_max).map_err(refused)
}

/// What each target found, with one distance: what a target did not find itself is compared now.
fn combined(near: &Near, indexes: &Indexes, found: &[Vec<vector::Hit>]) -> Vec<vector::Hit> {
    let count = near.targets.len();
    let mut measured: BTreeMap<DocId, Vec<Option<f32>>> = BTreeMap::new();
    for (at, hits) in found.iter().enumerate() {
        for hit in hits {
            measured.entry(hit.doc_id).or_insert_with(|| vec![None; count])[at] = Some(hit.distance);
        }
    }
    let mut objects: Vec<Measured> =
        measured.into_iter().map(|(doc_id, distances)| Measured { doc_id, distances }).collect();
    for (at, (target, index)) in near.targets.iter().zip(indexes).enumerate() {
        for object in objects.iter_mut().filter(|object| object.distances[at].is_none()) {
            object.distances[at] = index.distance_to(object.doc_id, plain(&target.query));
        }
    }
    let weights: Vec<f32> = near.targets.iter().map(|target| target.weight).collect();
    let combined = combine(near.combination, &weights, &objects).into_iter();
    combined.map(|(distance, doc_id)| vector::Hit { doc_id, distance }).collect()
}

fn plain(query: &Vector) -> &[f32] {
    let (Vector::Single(values) | Vector::Multi { rows: values, .. }) = query;
    values
}

fn refused(error: VectorError) -> Error {
    Error::Invalid(error.to_string())
}

/// Length of a query, or of its rows.
fn dimension_of(query: &Vector) -> u32 {
    match query {
        Vector::Single(values) => u32::try_from(values.len()).unwrap_or(u32::MAX),
        Vector::Multi { dim, .. } => *dim,
    }
}

fn wrong_dimension(config: &VectorConfig, given: u32, expected: u32) -> Error {
    Error::Invalid(match config.index.kind {
        IndexKind::Flat => format!("vector search: {given} vs {expected}: vector lengths don't match"),
        IndexKind::Hnsw(_) | IndexKind::Dynamic { .. } => format!(
            "vector search: knn search: distance between entrypoint and query node: {expected} vs {given}: vector \
             lengths don't match"
        ),
    })
}
