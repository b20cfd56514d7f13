//! Profiles of searches: how long the shards took, by kind of search.
//!
//! The engine reads no clock, so a profile times the reads of shards from outside. Objects are read apart from the search
//! that finds them, so that both times are known; a profiled search takes longer than one that is not.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use azimuth_engine::Result;
use azimuth_engine::ids::ShardKey;
use azimuth_engine::query::{Include, Query, Rank, ShardAnswer, ShardHits, ShardRead};

use super::Executor;

/// The kinds of searches that a profile tells apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum SearchKind {
    /// By vectors.
    Vector,
    /// By keywords.
    Keyword,
    /// None: objects are listed.
    Listing,
}

/// The times of one kind of search in one shard.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct ShardTimes {
    /// The search.
    pub(crate) search: Duration,
    /// Counting the terms of a keyword search.
    pub(crate) terms: Duration,
    /// Reading the objects of the hits.
    pub(crate) objects: Duration,
    /// Hits that the shard returned.
    pub(crate) hits: usize,
}

impl ShardTimes {
    /// All of it.
    pub(crate) fn total(&self) -> Duration {
        self.search + self.terms + self.objects
    }
}

/// The times of a search, by shard and kind; filled while the search runs.
#[derive(Debug, Default)]
pub(crate) struct Profile(Mutex<BTreeMap<(ShardKey, SearchKind), ShardTimes>>);

impl Profile {
    /// The times so far, by shard.
    pub(crate) fn times(&self) -> Vec<((ShardKey, SearchKind), ShardTimes)> {
        let times = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        times.iter().map(|(of, times)| (*of, *times)).collect()
    }

    fn add(&self, at: ShardKey, kind: SearchKind, add: impl FnOnce(&mut ShardTimes)) {
        add(self.0.lock().unwrap_or_else(PoisonError::into_inner).entry((at, kind)).or_default());
    }
}

/// Times the reads of searches that another executor answers.
pub(super) struct Profiled<'a> {
    pub(super) executor: &'a dyn Executor,
    pub(super) profile: &'a Profile,
}

impl Executor for Profiled<'_> {
    fn execute(&self, reads: Vec<ShardRead>) -> Vec<Result<ShardAnswer>> {
        reads.into_iter().map(|read| self.timed(read)).collect()
    }
}

impl Profiled<'_> {
    fn timed(&self, read: ShardRead) -> Result<ShardAnswer> {
        match read {
            ShardRead::Search { at, queries, with_keys } => {
                let hits = queries.into_iter().map(|query| self.search(at, query, with_keys));
                Ok(ShardAnswer::Hits(hits.collect()))
            }
            ShardRead::Measure { at, .. } => {
                let (answer, took) = self.one(read);
                self.profile.add(at, SearchKind::Vector, |times| times.search += took);
                answer
            }
            ShardRead::KeywordStatistics { at, .. } => {
                let (answer, took) = self.one(read);
                self.profile.add(at, SearchKind::Keyword, |times| times.terms += took);
                answer
            }
            ShardRead::GetVersions { at, .. } => {
                let (answer, took) = self.one(read);
                // Only searches by several vectors read objects by their versions.
                self.profile.add(at, SearchKind::Vector, |times| times.objects += took);
                answer
            }
            other => self.one(other).0,
        }
    }

    /// One query, once without objects and once with them: the difference is the time that the objects took.
    fn search(&self, at: ShardKey, query: Query, with_keys: bool) -> Result<ShardHits> {
        let kind = match &query.rank {
            Rank::Near(_) => SearchKind::Vector,
            Rank::Keyword(_) => SearchKind::Keyword,
            Rank::Listing { .. } => SearchKind::Listing,
        };
        let mut terms = Duration::ZERO;
        if let Rank::Keyword(keyword) = &query.rank {
            let (answer, took) = self.one(ShardRead::KeywordStatistics { at, keyword: keyword.clone() });
            answer?;
            terms = took;
        }
        let bare = Query { include: Include::default(), ..query.clone() };
        let read = |query| self.one(ShardRead::Search { at, queries: vec![query], with_keys });
        let (answer, search) = read(bare);
        answer?;
        let (answer, whole) = read(query);
        let hits = match answer? {
            ShardAnswer::Hits(mut hits) if hits.len() == 1 => hits.remove(0)?,
            _ => return Err(super::mismatch()),
        };
        self.profile.add(at, kind, |times| {
            times.search += search.min(whole).saturating_sub(terms);
            times.terms += terms;
            times.objects += whole.saturating_sub(search);
            times.hits += hits.hits.len();
        });
        Ok(hits)
    }

    fn one(&self, read: ShardRead) -> (Result<ShardAnswer>, Duration) {
        let start = Instant::now();
        let answer = self.executor.execute(vec![read]).pop();
        (answer.unwrap_or_else(|| Err(super::mismatch())), start.elapsed())
    }
}
