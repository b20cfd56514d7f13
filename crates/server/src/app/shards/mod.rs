//! Reads of shards: the one way from front ends to stored objects.
//!
//! A read names the shards that it concerns ([`ShardTarget`]); [`Shards`] sends a request to each of them, gathers the answers
//! and merges them. Requests and answers are values ([`ShardRead`]), so that an [`Executor`] can answer them in this process or
//! on another node.

mod conditions;
mod executor;
mod merge;
mod profile;
mod references;
mod target;

use std::collections::BTreeMap;

use azimuth_engine::ids::{DocId, ShardKey, VectorId};
use azimuth_engine::meta::Catalog;
use azimuth_engine::object::{FoundVersion, Object, StoredObject};
use azimuth_engine::query::{
    Aggregate, Among, Combination, Filter, Group, Hit, Include, KeywordStatistics, Near, Query, Rank, ShardAnswer,
    ShardHits, ShardRead, ShardSummary, Sort, merge_groups, sort_hits,
};
use azimuth_engine::{Error, Result};
use uuid::Uuid;

pub(crate) use executor::{Encoded, Executor, Local};
pub(crate) use profile::{Profile, SearchKind, ShardTimes};
pub(crate) use references::{Follow, FollowError, FollowTarget, Followed, HitTree};
pub(crate) use target::{RouteError, ShardTarget, check_tenant, virtual_shards};

/// The shards of all collections, as one read sees them.
#[derive(Clone, Copy)]
pub(crate) struct Shards<'a> {
    executor: &'a dyn Executor,
    /// The collections that references lead to.
    catalog: &'a Catalog,
}

/// The error of one shard.
#[derive(Debug)]
pub(crate) struct ShardError {
    /// The shard.
    pub(crate) at: ShardKey,
    /// Its error.
    pub(crate) error: Error,
}

impl From<ShardError> for Error {
    fn from(failed: ShardError) -> Self {
        failed.error
    }
}

/// The answer of shards, or the error of one of them.
type Answered<T> = std::result::Result<T, ShardError>;

/// A version of an object that a condition found, and its shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FoundIn {
    /// The shard.
    pub(crate) at: ShardKey,
    /// The version.
    pub(crate) version: FoundVersion,
}

impl<'a> Shards<'a> {
    /// Shards that this executor reads.
    pub(crate) fn new(executor: &'a dyn Executor, catalog: &'a Catalog) -> Self {
        Self { executor, catalog }
    }

    /// What `read` answers with the same shards, whose searches are timed.
    pub(crate) fn profiled<T>(self, profile: &Profile, read: impl FnOnce(Shards<'_>) -> T) -> T {
        let executor = profile::Profiled { executor: self.executor, profile };
        read(Shards { executor: &executor, catalog: self.catalog })
    }

    /// The object with that id.
    ///
    /// # Errors
    /// As [`DataGroup::execute`](azimuth_engine::data::DataGroup::execute).
    pub(crate) fn get(self, at: ShardKey, id: Uuid, include: Include) -> Result<Option<StoredObject>> {
        match self.one(ShardRead::Get { at, id, include })? {
            ShardAnswer::Object(object) => Ok(object.map(|object| *object)),
            _ => Err(mismatch()),
        }
    }

    /// The objects with these ids, in order; `None` for those that do not exist.
    ///
    /// # Errors
    /// As [`Shards::get`].
    pub(crate) fn get_each(self, wanted: &[(ShardKey, Uuid)], include: &Include) -> Result<Vec<Option<Object>>> {
        let read = |at, ids| ShardRead::GetEach { at, ids, include: include.clone() };
        self.each(wanted, read, |answer| match answer {
            ShardAnswer::Objects(objects) => Some(objects),
            _ => None,
        })
    }

    /// Whether these objects exist, in order.
    ///
    /// # Errors
    /// As [`Shards::get`].
    pub(crate) fn exist(self, wanted: &[(ShardKey, Uuid)]) -> Result<Vec<bool>> {
        self.each(
            wanted,
            |at, ids| ShardRead::Exist { at, ids },
            |answer| match answer {
                ShardAnswer::Flags(flags) => Some(flags),
                _ => None,
            },
        )
    }

    /// Bytes of the rows of these objects, in order.
    ///
    /// # Errors
    /// As [`Shards::get`].
    pub(crate) fn row_bytes(self, wanted: &[(ShardKey, Uuid)]) -> Result<Vec<usize>> {
        self.each(
            wanted,
            |at, ids| ShardRead::RowBytes { at, ids },
            |answer| match answer {
                ShardAnswer::Sizes(sizes) => Some(sizes),
                _ => None,
            },
        )
    }

    /// Lengths of these vectors, where objects of one of the shards fixed them.
    ///
    /// # Errors
    /// As [`Shards::get`].
    pub(crate) fn dimensions(self, shards: &[ShardKey], vectors: &[VectorId]) -> Result<BTreeMap<VectorId, u32>> {
        let mut known = BTreeMap::new();
        let read = |at: &ShardKey| ShardRead::Dimensions { at: *at, vectors: vectors.to_vec() };
        for answer in self.executor.execute(shards.iter().map(read).collect()) {
            let ShardAnswer::Dimensions(dimensions) = answer? else { return Err(mismatch()) };
            for (vector, dimension) in vectors.iter().zip(dimensions) {
                if let Some(dimension) = dimension {
                    known.entry(*vector).or_insert(dimension);
                }
            }
        }
        Ok(known)
    }

    /// Aggregates over objects, or over those that match: groups, ascending by their values.
    ///
    /// # Errors
    /// As [`Shards::search`].
    pub(crate) fn aggregate(
        self,
        target: &ShardTarget,
        filter: Option<&Filter>,
        aggregate: &Aggregate,
    ) -> Answered<Vec<Group>> {
        let filter = filter.map(|filter| self.resolve(target, filter)).transpose();
        let filter = filter.map_err(|error| ShardError { at: target.first().at, error })?;
        let among = || filter.as_ref().map_or(Among::All, |filter| Among::Matching(filter.clone()));
        let read = |at| ShardRead::Aggregate { at, among: among(), aggregate: aggregate.clone() };
        groups_of(self.scatter(target, read))
    }

    /// Aggregates over the hits of a search, as far as they were not written or deleted since.
    ///
    /// # Errors
    /// As [`Shards::search`].
    pub(crate) fn aggregate_hits(
        self,
        target: &ShardTarget,
        hits: &[Hit],
        aggregate: &Aggregate,
    ) -> Answered<Vec<Group>> {
        let mut versions: BTreeMap<ShardKey, Vec<DocId>> = BTreeMap::new();
        for hit in hits {
            versions.entry(target.of(hit.object.id)).or_default().push(hit.doc_id);
        }
        if versions.is_empty() {
            // A shard gives the empty group, whose summaries are of the right kinds.
            versions.insert(target.first().at, Vec::new());
        }
        let read = |(at, doc_ids): (&ShardKey, &Vec<DocId>)| {
            let among = Among::Versions(doc_ids.clone());
            ShardRead::Aggregate { at: *at, among, aggregate: aggregate.clone() }
        };
        let answers = self.executor.execute(versions.iter().map(read).collect());
        groups_of(versions.keys().copied().zip(answers))
    }

    /// The first versions that match, at most `limit`, in the order of a listing, and the number of all that match.
    ///
    /// # Errors
    /// As [`Shards::search`].
    pub(crate) fn matching(self, target: &ShardTarget, filter: &Filter, limit: usize) -> Result<(Vec<FoundIn>, u64)> {
        let filter = self.resolve(target, filter)?;
        let read = |at| ShardRead::Matching { at, filter: filter.clone(), limit };
        let (mut lists, mut total) = (Vec::new(), 0_u64);
        for (at, answer) in self.scatter(target, read) {
            let ShardAnswer::Matching { found, matches } = answer? else { return Err(mismatch()) };
            total += matches;
            lists.push(found.into_iter().map(|version| FoundIn { at, version }).collect());
        }
        let order = |found: &FoundIn| (found.version.updated_ms, found.version.id);
        Ok((merge::merge(lists, limit, |a, b| order(a).cmp(&order(b))), total))
    }

    /// Those of these objects of the target that match, in no order.
    ///
    /// # Errors
    /// As [`Shards::search`].
    pub(crate) fn matching_of(
        self,
        target: &ShardTarget,
        wanted: &[(ShardKey, Uuid)],
        filter: &Filter,
    ) -> Result<Vec<FoundIn>> {
        let filter = self.resolve(target, filter)?;
        let parts = by_shard(wanted);
        let read = |(at, positions): (&ShardKey, &Vec<usize>)| {
            let ids = positions.iter().map(|&position| wanted[position].1).collect();
            ShardRead::MatchingOf { at: *at, filter: filter.clone(), ids }
        };
        let mut all = Vec::new();
        for (at, answer) in parts.keys().zip(self.executor.execute(parts.iter().map(read).collect())) {
            let ShardAnswer::Matching { found, .. } = answer? else { return Err(mismatch()) };
            all.extend(found.into_iter().map(|version| FoundIn { at: *at, version }));
        }
        Ok(all)
    }

    /// Sizes and queues of a shard.
    ///
    /// # Errors
    /// As [`Shards::get`].
    pub(crate) fn status(self, at: ShardKey) -> Result<ShardSummary> {
        match self.one(ShardRead::Status { at })? {
            ShardAnswer::Status(status) => Ok(status),
            _ => Err(mismatch()),
        }
    }

    /// Opens the indexes of these vectors.
    ///
    /// # Errors
    /// As [`Shards::get`].
    pub(crate) fn open_indexes(self, at: ShardKey, vectors: Vec<VectorId>) -> Result<()> {
        self.one(ShardRead::OpenIndexes { at, vectors }).map(drop)
    }

    /// The hits of a query, in order. Over several shards they are those that one shard with all objects would give, except
    /// that hits of equal rank follow one another by the time of their last write and then by id.
    ///
    /// # Errors
    /// As [`DataGroup::search`](azimuth_engine::data::DataGroup::search), with the shard.
    pub(crate) fn search(self, target: &ShardTarget, query: Query) -> Answered<Vec<Hit>> {
        let mut found = self.search_each(vec![(target, query)]);
        found.pop().unwrap_or_else(|| Ok(Vec::new()))
    }

    /// The hits of several queries; those of one shard are one batch.
    pub(crate) fn search_each(self, searches: Vec<(&ShardTarget, Query)>) -> Vec<Answered<Vec<Hit>>> {
        let mut batches: BTreeMap<(ShardKey, bool), (Vec<usize>, Vec<Query>)> = BTreeMap::new();
        let mut found: Vec<Answered<Vec<ShardHits>>> = searches.iter().map(|_| Ok(Vec::new())).collect();
        let mut queries = Vec::with_capacity(searches.len());
        for (number, (target, query)) in self.resolve_each(searches).into_iter().enumerate() {
            let mut query = match query {
                Ok(query) => query,
                Err(error) => {
                    found[number] = Err(ShardError { at: target.first().at, error });
                    queries.push((target, None));
                    continue;
                }
            };
            if let Err(error) = self.weigh(target, &mut query) {
                found[number] = Err(error);
                queries.push((target, None));
                continue;
            }
            let mut batch = |at, merged, query| {
                let (numbers, queries) = batches.entry((at, merged)).or_default();
                numbers.push(number);
                queries.push(query);
            };
            if let Some(at) = target.only() {
                batch(at, false, query);
                queries.push((target, None));
                continue;
            }
            if !depends_on_all(&query) {
                for at in target.all() {
                    batch(at, true, merge::query_of_shard(&query));
                }
            }
            queries.push((target, Some(query)));
        }
        let (numbers, reads): (Vec<_>, Vec<_>) = batches
            .into_iter()
            .map(|((at, with_keys), (numbers, queries))| ((at, numbers), ShardRead::Search { at, queries, with_keys }))
            .unzip();
        for ((at, numbers), answer) in numbers.into_iter().zip(self.executor.execute(reads)) {
            for (number, hits) in numbers.iter().zip(hits_of_each(answer, numbers.len())) {
                match (&mut found[*number], hits) {
                    (Ok(lists), Ok(hits)) => lists.push(hits),
                    (all @ Ok(_), Err(error)) => *all = Err(ShardError { at, error }),
                    (Err(_), _) => {}
                }
            }
        }
        let merged = queries.into_iter().zip(found);
        merged.map(|((target, query), found)| self.merged(target, query, found?)).collect()
    }

    /// The queries with filters as shards answer them. Equal filters of the same shards are resolved once.
    fn resolve_each<'t>(self, searches: Vec<(&'t ShardTarget, Query)>) -> Vec<(&'t ShardTarget, Result<Query>)> {
        let mut known: Vec<(ShardKey, Filter, Result<Filter>)> = Vec::new();
        let resolve = |(target, mut query): (&'t ShardTarget, Query)| {
            let Some(filter) = query.filter.take_if(|filter| filter.follows_references()) else {
                return (target, Ok(query));
            };
            let at = target.first().at;
            let resolved = match known.iter().find(|(of, other, _)| *of == at && *other == filter) {
                Some((_, _, resolved)) => resolved.clone(),
                None => {
                    let resolved = self.resolve(target, &filter);
                    known.push((at, filter, resolved.clone()));
                    resolved
                }
            };
            (target, resolved.map(|filter| Query { filter: Some(filter), ..query }))
        };
        searches.into_iter().map(resolve).collect()
    }

    /// The hits of a query, made of the lists of its shards; without a query they are those of the only list.
    fn merged(self, target: &ShardTarget, query: Option<Query>, mut lists: Vec<ShardHits>) -> Answered<Vec<Hit>> {
        match query {
            None => Ok(lists.pop().unwrap_or_default().hits),
            Some(query) if depends_on_all(&query) => self.search_relative(target, query),
            Some(query) if merge::sorts_after(&query) => {
                let hits = merge::hits(&query, lists);
                sorted(target, &query.sort, hits, &query.include)
            }
            Some(query) => Ok(merge::hits(&query, lists)),
        }
    }

    /// Gives a keyword search over several shards the statistics of all of them, so that its scores are those of one shard.
    fn weigh(self, target: &ShardTarget, query: &mut Query) -> Answered<()> {
        let Rank::Keyword(keyword) = &mut query.rank else { return Ok(()) };
        if target.only().is_some() {
            return Ok(());
        }
        let mut sum: Option<KeywordStatistics> = None;
        for (at, answer) in self.scatter(target, |at| ShardRead::KeywordStatistics { at, keyword: keyword.clone() }) {
            let failed = |error| ShardError { at, error };
            let ShardAnswer::KeywordStatistics(counted) = answer.map_err(failed)? else {
                return Err(failed(mismatch()));
            };
            match &mut sum {
                Some(sum) => sum.add(&counted).map_err(failed)?,
                None => sum = Some(counted),
            }
        }
        keyword.statistics = sum;
        Ok(())
    }

    /// A search by several vectors whose distances are brought to one scale over the candidates of all shards.
    fn search_relative(self, target: &ShardTarget, query: Query) -> Answered<Vec<Hit>> {
        let Query { rank: Rank::Near(near), filter, offset, limit, sort, include } = query else {
            return Ok(Vec::new());
        };
        let keep = offset.saturating_add(limit);
        let read = |at| ShardRead::Measure { at, near: near.clone(), filter: filter.clone(), keep };
        let mut candidates = Vec::new();
        for (at, answer) in self.scatter(target, read) {
            match answer {
                Ok(ShardAnswer::Measured(measured)) => candidates.push((at, measured)),
                Ok(_) => return Err(ShardError { at, error: mismatch() }),
                Err(error) => return Err(ShardError { at, error }),
            }
        }
        let page = merge::relative_page(&near, candidates, offset, limit);
        let mut doc_ids: BTreeMap<ShardKey, Vec<_>> = BTreeMap::new();
        for found in &page {
            doc_ids.entry(found.at).or_default().push(found.doc_id);
        }
        let with_sorted = include.with_sorted(&sort);
        let read = |(at, doc_ids): (&ShardKey, &Vec<_>)| ShardRead::GetVersions {
            at: *at,
            doc_ids: doc_ids.clone(),
            include: with_sorted.clone(),
        };
        let mut objects = BTreeMap::new();
        for ((at, doc_ids), answer) in doc_ids.iter().zip(self.executor.execute(doc_ids.iter().map(read).collect())) {
            match answer {
                Ok(ShardAnswer::Objects(of_shard)) => {
                    objects.extend(doc_ids.iter().map(|doc_id| (*at, *doc_id)).zip(of_shard));
                }
                Ok(_) => return Err(ShardError { at: *at, error: mismatch() }),
                Err(error) => return Err(ShardError { at: *at, error }),
            }
        }
        let hit = |found: merge::Ranked| {
            let object = objects.remove(&(found.at, found.doc_id)).flatten()?;
            Some(Hit { doc_id: found.doc_id, distance: Some(found.distance), score: None, object })
        };
        sorted(target, &sort, page.into_iter().filter_map(hit).collect(), &include)
    }

    fn one(self, read: ShardRead) -> Result<ShardAnswer> {
        self.executor.execute(vec![read]).pop().unwrap_or_else(|| Err(mismatch()))
    }

    /// The same read of all shards of the target, with their answers.
    fn scatter(
        self,
        target: &ShardTarget,
        read: impl Fn(ShardKey) -> ShardRead,
    ) -> impl Iterator<Item = (ShardKey, Result<ShardAnswer>)> {
        let answers = self.executor.execute(target.all().map(read).collect());
        target.all().zip(answers).collect::<Vec<_>>().into_iter()
    }

    /// A read of each shard that has some of the objects; the results in the order of the objects.
    fn each<T>(
        self,
        wanted: &[(ShardKey, Uuid)],
        read: impl Fn(ShardKey, Vec<Uuid>) -> ShardRead,
        results: impl Fn(ShardAnswer) -> Option<Vec<T>>,
    ) -> Result<Vec<T>> {
        let parts = by_shard(wanted);
        let ids = |positions: &Vec<usize>| positions.iter().map(|&position| wanted[position].1).collect();
        let reads = parts.iter().map(|(at, positions)| read(*at, ids(positions))).collect();
        let mut all: Vec<Option<T>> = wanted.iter().map(|_| None).collect();
        for (positions, answer) in parts.values().zip(self.executor.execute(reads)) {
            for (position, result) in positions.iter().zip(results(answer?).ok_or_else(mismatch)?) {
                all[*position] = Some(result);
            }
        }
        all.into_iter().collect::<Option<Vec<T>>>().ok_or_else(mismatch)
    }
}

/// Ranked hits of several shards in the order of these clauses.
fn sorted(target: &ShardTarget, sort: &[Sort], hits: Vec<Hit>, include: &Include) -> Answered<Vec<Hit>> {
    let mut hits = sort_hits(&target.collection, sort, hits, include.charge)
        .map_err(|error| ShardError { at: target.first().at, error })?;
    hits.iter_mut().for_each(|hit| include.properties.retain(&mut hit.object.properties));
    Ok(hits)
}

/// The groups of all shards.
fn groups_of(answers: impl Iterator<Item = (ShardKey, Result<ShardAnswer>)>) -> Answered<Vec<Group>> {
    let mut lists = Vec::new();
    for (at, answer) in answers {
        match answer {
            Ok(ShardAnswer::Groups(groups)) => lists.push(groups),
            Ok(_) => return Err(ShardError { at, error: mismatch() }),
            Err(error) => return Err(ShardError { at, error }),
        }
    }
    Ok(merge_groups(lists))
}

/// Positions of the objects by shard.
fn by_shard(wanted: &[(ShardKey, Uuid)]) -> BTreeMap<ShardKey, Vec<usize>> {
    let mut parts: BTreeMap<ShardKey, Vec<usize>> = BTreeMap::new();
    for (position, (at, _)) in wanted.iter().enumerate() {
        parts.entry(*at).or_default().push(position);
    }
    parts
}

/// Whether the rank of a hit depends on the candidates of all shards.
fn depends_on_all(query: &Query) -> bool {
    matches!(&query.rank, Rank::Near(Near { targets, combination: Combination::RelativeScore, .. }) if targets.len() > 1)
}

/// The hits of each of `count` queries, or for each the error of the read.
fn hits_of_each(answer: Result<ShardAnswer>, count: usize) -> Vec<Result<ShardHits>> {
    let error = match answer {
        Ok(ShardAnswer::Hits(hits)) if hits.len() == count => return hits,
        Ok(_) => mismatch(),
        Err(error) => error,
    };
    (0..count).map(|_| Err(error.clone())).collect()
}

/// The error of an answer that does not fit its request.
fn mismatch() -> Error {
    Error::Invalid("the answer of a shard does not fit the request".to_owned())
}
