//! Hybrid searches: a vector and a keyword search, fused.

use std::collections::HashSet;

use azimuth_engine::ids::DocId;
use azimuth_engine::query::{Filter, FusedSearch, Hit, Include, Keyword, Near, Query, Rank, Score};
use uuid::Uuid;

use super::fusion::{self, Fused, FusionKind, ResultSet};
use crate::app::shards::{ShardError, ShardTarget, Shards};

/// Hits that each search has at least, whatever page is wanted: scores are relative to all of them.
pub(crate) const CANDIDATES_MIN: usize = 100;

/// The weight of the vector search where a request does not give one.
pub(crate) const ALPHA_DEFAULT: f64 = 0.75;

/// A hybrid search.
#[derive(Debug, Clone)]
pub(crate) struct Hybrid {
    /// The vector search; `None` if `alpha` is 0.
    pub(crate) vector: Option<VectorPart>,
    /// The keyword search; `None` if `alpha` is 1, or without keywords.
    pub(crate) keyword: Option<Keyword>,
    /// Weight of the vector search; that of the keyword search is the rest to 1.
    pub(crate) alpha: f64,
    /// How the hits are fused.
    pub(crate) kind: FusionKind,
    /// Only hits of the vector search within this distance, and of the keyword search only those among them.
    pub(crate) max_distance: Option<f32>,
    /// Whether scores come with explanations.
    pub(crate) explain: bool,
}

/// The vector search of a hybrid search.
#[derive(Debug, Clone)]
pub(crate) struct VectorPart {
    /// The search.
    pub(crate) near: Near,
    /// Whether the request gives the vector itself, or a vector search within.
    pub(crate) source: FusedSearch,
}

/// The page of a hybrid search.
#[derive(Debug, Clone)]
pub(super) struct Page<'a> {
    pub(super) target: &'a ShardTarget,
    pub(super) filter: Option<Filter>,
    pub(super) offset: usize,
    pub(super) limit: usize,
    pub(super) include: Include,
}

impl Hybrid {
    /// The hits of the page, in order. Both searches are one read of each shard; the objects of the page are read by id
    /// afterwards, so that an object that was deleted meanwhile is missing.
    ///
    /// # Errors
    /// As [`Shards::search`].
    pub(super) fn hits(self, shards: Shards<'_>, page: &Page<'_>) -> Result<Vec<Hit>, ShardError> {
        let Self { vector, keyword, alpha, kind, max_distance, explain } = self;
        if page.limit == 0 {
            return Ok(Vec::new());
        }
        let limit = page.offset.saturating_add(page.limit).max(CANDIDATES_MIN);
        let include = Include { charge: page.include.charge, ..Include::default() };
        let query = |rank| Query {
            rank,
            filter: page.filter.clone(),
            offset: 0,
            limit,
            sort: Vec::new(),
            include: include.clone(),
        };
        let source = vector.as_ref().map(|part| part.source);
        let has_keywords = keyword.is_some();
        let near = vector.map(|VectorPart { near, .. }| {
            let max_distance = match (near.max_distance, max_distance) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
            Rank::Near(Near { max_distance, ..near })
        });
        let keyword = keyword.map(|keyword| Rank::Keyword(Keyword { explain: false, ..keyword }));
        let searches = near.into_iter().chain(keyword).map(|rank| (page.target, query(rank))).collect();
        let mut found = shards.search_each(searches).into_iter();
        let mut sets = Vec::new();
        if let Some(search) = source {
            let hits = found.next().transpose()?.unwrap_or_default();
            let score = |hit: &Hit| 1.0 - hit.distance.unwrap_or_default();
            sets.push(ResultSet { search, weight: alpha as f32, hits: scored(&hits, score) });
        }
        if has_keywords {
            let mut hits = found.next().transpose()?.unwrap_or_default();
            if let Some(vector) = sets.first().filter(|_| max_distance.is_some()) {
                let near: HashSet<Uuid> = vector.hits.iter().map(|(id, ..)| *id).collect();
                hits.retain(|hit| near.contains(&hit.object.id));
            }
            let score = |hit: &Hit| hit.score.as_ref().map_or(0.0, |score| score.value);
            sets.push(ResultSet {
                search: FusedSearch::Keyword,
                weight: (1.0 - alpha) as f32,
                hits: scored(&hits, score),
            });
        }
        let fused = fusion::fuse(kind, sets).into_iter().skip(page.offset).take(page.limit).collect();
        read(shards, page, fused, |fused| fused.into_score(kind, explain))
    }
}

fn scored(hits: &[Hit], score: impl Fn(&Hit) -> f32) -> Vec<(Uuid, DocId, f32)> {
    hits.iter().map(|hit| (hit.object.id, hit.doc_id, score(hit))).collect()
}

/// The hits with their objects.
fn read(
    shards: Shards<'_>,
    page: &Page<'_>,
    fused: Vec<Fused>,
    score: impl Fn(Fused) -> Score,
) -> Result<Vec<Hit>, ShardError> {
    let wanted: Vec<_> = fused.iter().map(|fused| (page.target.of(fused.id), fused.id)).collect();
    let failed = |error| ShardError { at: page.target.first().at, error };
    let objects = shards.get_each(&wanted, &page.include).map_err(failed)?;
    let hit = |(fused, object): (Fused, Option<_>)| {
        let doc_id = fused.doc_id;
        Some(Hit { doc_id, distance: None, score: Some(Box::new(score(fused))), object: object? })
    };
    Ok(fused.into_iter().zip(objects).filter_map(hit).collect())
}
