//! Reranking: hits of a search in another order, or fewer of them.
//!
//! A boost orders candidates anew, of which there are more than the page has; diversity chooses among the hits of the
//! page. Both need parts of the candidates that the request may not show: candidates are read with these parts alone, and
//! the objects of the page by id afterwards, so that an object that was deleted meanwhile is missing.

use azimuth_engine::query::{Hit, Include, Score};

use super::boost::Boost;
use super::diversity::Diversity;
use super::{Cut, RankingKind, Search, SearchError};
use crate::app::shards::{ShardTarget, Shards};

/// What becomes of the hits of a search.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Reranking {
    /// Orders candidates anew.
    pub(crate) boost: Option<Boost>,
    /// Chooses among the hits of the page.
    pub(crate) diversity: Option<Diversity>,
}

impl Reranking {
    /// Whether the hits stay as the search found them.
    pub(super) fn is_none(&self) -> bool {
        self.boost.is_none() && self.diversity.is_none()
    }
}

/// The hits of a search that is reranked.
///
/// # Errors
/// As [`Search::hits`].
pub(super) fn hits(mut search: Search, shards: Shards<'_>) -> Result<Vec<Hit>, SearchError> {
    let Reranking { boost, diversity } = std::mem::take(&mut search.reranking);
    let (kind, offset, limit, autocut) = (search.ranking.kind(), search.offset, search.limit, search.autocut);
    let (target, shown) = (search.shard_target.clone(), search.include.clone());
    search.include = Include { charge: shown.charge, ..Include::default() };
    if let Some(boost) = &boost {
        boost.add_properties(&mut search.include.properties);
        let page_end = offset.saturating_add(limit);
        (search.offset, search.limit) = (0, boost.depth.max(page_end));
    }
    // The distances of a vector search are cut after the choice, all other ranks before it.
    let by_distance = kind == RankingKind::Vector && boost.is_none();
    if let Some(diversity) = &diversity {
        search.include.vectors.push(diversity.vector);
        if by_distance {
            search.autocut = 0;
        }
    }
    let mut hits = search.hits(shards)?;
    if let Some(boost) = &boost {
        hits = boosted(boost, hits).into_iter().skip(offset).take(limit).collect();
    }
    if let Some(diversity) = &diversity {
        hits = diversity.choose(hits, by_distance)?;
        if by_distance {
            hits = Cut { kind, autocut, max_distance: None }.of(hits);
        }
    }
    Ok(with_objects(shards, &target, hits, &shown)?)
}

/// The rank of a hit, greater for a better one.
pub(crate) fn rank(hit: &Hit) -> f32 {
    hit.score.as_ref().map_or_else(|| -hit.distance.unwrap_or_default(), |score| score.value)
}

fn boosted(boost: &Boost, hits: Vec<Hit>) -> Vec<Hit> {
    if boost.weight == 0.0 {
        return hits;
    }
    let ranked: Vec<_> = hits.iter().map(|hit| (rank(hit), &hit.object)).collect();
    let order = boost.order(&ranked);
    let mut hits: Vec<Option<Hit>> = hits.into_iter().map(Some).collect();
    let boosted = |(position, value): (usize, f32)| {
        let hit = hits[position].take()?;
        let explanation = hit.score.map(|score| score.explanation).unwrap_or_default();
        Some(Hit { score: Some(Box::new(Score { value, explanation })), ..hit })
    };
    order.into_iter().filter_map(boosted).collect()
}

/// The hits with the parts of their objects that are shown.
fn with_objects(
    shards: Shards<'_>,
    target: &ShardTarget,
    hits: Vec<Hit>,
    shown: &Include,
) -> azimuth_engine::Result<Vec<Hit>> {
    let wanted: Vec<_> = hits.iter().map(|hit| (target.of(hit.object.id), hit.object.id)).collect();
    let objects = shards.get_each(&wanted, shown)?;
    Ok(hits.into_iter().zip(objects).filter_map(|(hit, object)| Some(Hit { object: object?, ..hit })).collect())
}
