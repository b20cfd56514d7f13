//! Searches: the request of a front end, made into a query of shards.
//!
//! A front end resolves names and limits first ([`ShardTarget`], [`target`]) and then answers everything in one
//! read: [`Search::hits`] is synchronous and runs inside [`App::read`](crate::app::App::read).

mod autocut;
pub(crate) mod boost;
pub(crate) mod diversity;
mod error;
pub(crate) mod find;
pub(crate) mod fusion;
pub(crate) mod grouping;
pub(crate) mod hybrid;
pub(crate) mod keyword;
pub(crate) mod near_text;
pub(crate) mod related;
pub(crate) mod reranking;
pub(crate) mod target;

use azimuth_engine::ids::VectorId;
use azimuth_engine::query::{
    Combination, DISTANCE_SLACK, Filter, Hit, Include, Keyword, Near, Projection, Query, Rank, Sort, Target,
};
pub(crate) use error::SearchError;
use hybrid::Hybrid;
use reranking::Reranking;
use target::{Chosen, Method};
use uuid::Uuid;

use super::App;
use super::shards::{ShardError, ShardTarget, Shards};

/// Hits up to which a search is short.
const SHORT_HITS_MAX: usize = 100;
/// Hits of a search that is bounded by distance alone.
pub(crate) const UNBOUNDED_HITS_MAX: usize = 1_000_000;
/// Vector components that a short search compares at most: about a millisecond.
const SHORT_COMPONENTS_MAX: u64 = 1 << 22;

/// How hits are found.
#[derive(Debug, Clone)]
pub(crate) enum Ranking {
    /// In the order of ids, or as sorted.
    Listing {
        /// Only ids greater than this one.
        after: Option<Uuid>,
    },
    /// By distance to one or several vectors.
    Vector(Near),
    /// By distance to a stored object's vectors.
    Object {
        /// The object.
        id: Uuid,
        /// Which vectors are compared.
        targets: Vec<ObjectTarget>,
        /// How the distances to several become one.
        combination: Combination,
        /// Farthest distance, inclusive.
        max_distance: Option<f32>,
    },
    /// By BM25F score.
    Keyword(Keyword),
    /// By the scores of a vector and a keyword search.
    Hybrid(Box<Hybrid>),
}

/// The kinds of rankings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RankingKind {
    /// [`Ranking::Listing`]
    Listing,
    /// [`Ranking::Vector`] and [`Ranking::Object`]: hits have a distance.
    Vector,
    /// [`Ranking::Keyword`]
    Keyword,
    /// [`Ranking::Hybrid`]
    Hybrid,
}

/// A vector of a stored object that a search compares with the same one of the others.
#[derive(Debug, Clone)]
pub(crate) struct ObjectTarget {
    /// Which vector of the objects.
    pub(crate) vector: VectorId,
    /// Its name; empty for the unnamed one.
    pub(crate) name: String,
    /// What the distance counts.
    pub(crate) weight: f32,
}

/// A search.
#[derive(Debug, Clone)]
pub(crate) struct Search {
    /// Where.
    pub(crate) shard_target: ShardTarget,
    /// What is ranked, and by what.
    pub(crate) ranking: Ranking,
    /// Only objects that match.
    pub(crate) filter: Option<Filter>,
    /// Hits left out at the start.
    pub(crate) offset: usize,
    /// Hits returned at most.
    pub(crate) limit: usize,
    /// Order by properties.
    pub(crate) sort: Vec<Sort>,
    /// Cut after that many jumps of the distance; 0 does not cut.
    pub(crate) autocut: usize,
    /// What of each object is read.
    pub(crate) include: Include,
    /// What becomes of the hits.
    pub(crate) reranking: Reranking,
}

impl Ranking {
    /// By distance to the vectors of the object `id`, those that were chosen.
    pub(crate) fn object(id: Uuid, chosen: &[Chosen<'_>], method: &Method, max_distance: Option<f32>) -> Self {
        let count = chosen.len();
        let target = |(at, chosen): (usize, &Chosen<'_>)| ObjectTarget {
            vector: chosen.config.id,
            name: chosen.name.to_owned(),
            weight: method.weight(at, count),
        };
        let targets = chosen.iter().enumerate().map(target).collect();
        Self::Object { id, targets, combination: method.combination(), max_distance }
    }

    /// Whether a distance bounds the hits.
    pub(crate) fn is_bounded(&self) -> bool {
        match self {
            Self::Listing { .. } | Self::Keyword(_) | Self::Hybrid(_) => false,
            Self::Vector(Near { max_distance, .. }) | Self::Object { max_distance, .. } => max_distance.is_some(),
        }
    }

    /// Whether several vectors are compared, for which thousands of candidates may be looked at.
    pub(crate) fn compares_several(&self) -> bool {
        self.targets().nth(1).is_some()
    }

    /// The vectors that are compared, some perhaps several times.
    fn targets(&self) -> impl Iterator<Item = VectorId> {
        let (near, object): (&[Target], &[ObjectTarget]) = match self {
            Self::Listing { .. } | Self::Keyword(_) => (&[], &[]),
            Self::Vector(near) => (&near.targets, &[]),
            Self::Object { targets, .. } => (&[], targets),
            Self::Hybrid(hybrid) => (hybrid.vector.as_ref().map_or(&[], |part| &part.near.targets), &[]),
        };
        near.iter().map(|target| target.vector).chain(object.iter().map(|target| target.vector))
    }

    /// Whether hits are ranked.
    pub(crate) fn is_search(&self) -> bool {
        self.kind() != RankingKind::Listing
    }

    /// Its kind.
    pub(crate) fn kind(&self) -> RankingKind {
        match self {
            Self::Listing { .. } => RankingKind::Listing,
            Self::Vector(_) | Self::Object { .. } => RankingKind::Vector,
            Self::Keyword(_) => RankingKind::Keyword,
            Self::Hybrid(_) => RankingKind::Hybrid,
        }
    }
}

impl Search {
    /// Whether about a millisecond is enough, judged by counts: few hits of indexes in memory, by vectors of one row,
    /// with few vectors to compare, no filter, and nothing to sort.
    fn is_short(&self, app: &App) -> bool {
        let hits = self.offset.saturating_add(self.limit);
        let plain = !self.ranking.is_bounded() && !self.ranking.compares_several() && self.filter.is_none();
        if !plain
            || !self.reranking.is_none()
            || !self.sort.is_empty()
            || hits > SHORT_HITS_MAX
            || self.ranking.kind() != RankingKind::Vector
        {
            return false;
        }
        // A multi-vector may be megabytes long.
        let vectors = &self.shard_target.collection.vectors;
        let is_multi = |id: &VectorId| vectors.iter().any(|(_, config)| config.id == *id && config.multi);
        let cost = app.near_cost(&self.shard_target, &self.vectors(), hits);
        cost.is_some_and(|cost| cost <= SHORT_COMPONENTS_MAX) && !self.include.vectors.iter().any(is_multi)
    }

    /// The vectors that are compared, for [`App::open_indexes`](crate::app::App::open_indexes).
    pub(crate) fn vectors(&self) -> Vec<VectorId> {
        let mut vectors: Vec<VectorId> = self.ranking.targets().collect();
        vectors.sort_unstable();
        vectors.dedup();
        vectors
    }

    /// The hits, in order.
    ///
    /// # Errors
    /// Why the search is refused, and the error of the read.
    pub(crate) fn hits(self, shards: Shards<'_>) -> Result<Vec<Hit>, SearchError> {
        if !self.reranking.is_none() {
            return reranking::hits(self, shards);
        }
        if let Ranking::Hybrid(hybrid) = self.ranking {
            let Self { shard_target: target, filter, offset, limit, include, autocut, .. } = self;
            let page = hybrid::Page { target: &target, filter, offset, limit, include };
            let hits = hybrid.hits(shards, &page).map_err(|error| locate(error, &target, RankingKind::Hybrid))?;
            return Ok(Cut { kind: RankingKind::Hybrid, autocut, max_distance: None }.of(hits));
        }
        let (shard_target, cut, query) = self.query(shards)?;
        let hits = shards.search(&shard_target, query).map_err(|error| locate(error, &shard_target, cut.kind))?;
        Ok(cut.of(hits))
    }

    /// The hits of several searches, which share what they can.
    pub(crate) fn hits_of_each(shards: Shards<'_>, searches: Vec<Self>) -> Vec<Result<Vec<Hit>, SearchError>> {
        let mut answers: Vec<Result<Vec<Hit>, SearchError>> = searches.iter().map(|_| Ok(Vec::new())).collect();
        let (mut batch, mut queries) = (Vec::new(), Vec::new());
        for (number, search) in searches.into_iter().enumerate() {
            if search.ranking.kind() == RankingKind::Hybrid || !search.reranking.is_none() {
                answers[number] = search.hits(shards);
                continue;
            }
            match search.query(shards) {
                Ok((shard_target, cut, query)) => {
                    batch.push((number, shard_target, cut));
                    queries.push(query);
                }
                Err(error) => answers[number] = Err(error),
            }
        }
        let found = shards.search_each(batch.iter().map(|(_, target, _)| target).zip(queries).collect());
        for ((number, shard_target, cut), hits) in batch.iter().zip(found) {
            let hits = hits.map_err(|error| locate(error, shard_target, cut.kind));
            answers[*number] = hits.map(|hits| cut.of(hits));
        }
        answers
    }

    /// The engine's query, its shard, and the selection from its hits.
    fn query(self, shards: Shards<'_>) -> Result<(ShardTarget, Cut, Query), SearchError> {
        let Self { shard_target, ranking, filter, offset, limit, sort, include, autocut, reranking: _ } = self;
        let kind = ranking.kind();
        let mut rank = rank(shards, &shard_target, ranking)?;
        let mut max_distance = None;
        // The jumps are those of the first `limit` hits; a search that is bounded by distance alone has no such.
        if autocut > 0
            && limit < UNBOUNDED_HITS_MAX
            && let Rank::Near(near) = &mut rank
        {
            max_distance = near.max_distance.take();
        }
        let cut = Cut { kind, autocut, max_distance };
        Ok((shard_target, cut, Query { rank, filter, offset, limit, sort, include }))
    }
}

/// Selects the hits of a query that are returned.
#[derive(Debug, Clone, Copy)]
struct Cut {
    kind: RankingKind,
    autocut: usize,
    /// Applied after the jumps were counted.
    max_distance: Option<f32>,
}

impl Cut {
    fn of(self, mut hits: Vec<Hit>) -> Vec<Hit> {
        if self.autocut > 0 && self.kind != RankingKind::Listing {
            let rank = |hit: &Hit| hit.score.as_ref().map(|score| score.value).or(hit.distance);
            let ranks: Vec<f32> = hits.iter().filter_map(rank).collect();
            hits.truncate(autocut::keep(&ranks, self.autocut));
        }
        if let Some(max) = self.max_distance {
            hits.retain(|hit| hit.distance.is_none_or(|distance| distance <= max + DISTANCE_SLACK));
        }
        hits
    }
}

fn rank(shards: Shards<'_>, shard_target: &ShardTarget, ranking: Ranking) -> Result<Rank, SearchError> {
    match ranking {
        Ranking::Listing { after } => Ok(Rank::Listing { after }),
        Ranking::Vector(near) => Ok(Rank::Near(near)),
        Ranking::Object { id, targets, combination, max_distance } => {
            let targets = with_vectors(shards, shard_target, id, targets)?;
            Ok(Rank::Near(Near { targets, combination, max_distance }))
        }
        Ranking::Keyword(keyword) => Ok(Rank::Keyword(keyword)),
        // Not a single query: `Search::hits` answers it.
        Ranking::Hybrid(_) => Ok(Rank::Listing { after: None }),
    }
}

/// The vectors of the object that `nearObject` names.
fn with_vectors(
    shards: Shards<'_>,
    shard_target: &ShardTarget,
    id: Uuid,
    targets: Vec<ObjectTarget>,
) -> Result<Vec<Target>, SearchError> {
    let vectors = targets.iter().map(|target| target.vector).collect();
    let include = Include { properties: Projection::None, vectors, ..Include::default() };
    let Some(stored) = shards.get(shard_target.of(id), id, include)? else {
        return Err(SearchError::NoObject);
    };
    let target = |ObjectTarget { vector, name, weight }| match stored.object.vectors.get(&vector) {
        Some(query) => Ok(Target { vector, query: query.clone(), weight }),
        None if name.is_empty() => Err(SearchError::NoVector(id)),
        None => Err(SearchError::NoNamedVector(name)),
    };
    targets.into_iter().map(target).collect()
}

/// The error of a search: a refusal keeps the shard that it came from.
fn locate(failed: ShardError, shard_target: &ShardTarget, kind: RankingKind) -> SearchError {
    let ShardError { at, error } = failed;
    if !error.is_invalid() {
        return SearchError::Read(error);
    }
    let (collection, shard) = (shard_target.collection.name.clone(), shard_target.name_of(at).to_owned());
    SearchError::Shard { collection, shard, kind, error }
}
