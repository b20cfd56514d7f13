//! Search: one collection, one query, one read.

use std::sync::Arc;
use std::time::Instant;

use azimuth_engine::interrupt;
use azimuth_engine::meta::Catalog;
use azimuth_engine::query::{Filter, Sort};
use azimuth_engine::schema::{Collection, ShardTable};
use tonic::Status;

use super::grouped::BoostOfGroups;
use super::near_text::Place;
use super::reply::{Ranked, result};
use super::selection::Selection;
use super::{boost, diversity, enrich, grouped, hybrid, keyword, near, status, took};
use crate::app::App;
use crate::app::objects::shard;
use crate::app::schema::names::upper_first;
use crate::app::search::find::Find;
use crate::app::search::grouping::GroupBy;
use crate::app::search::reranking::Reranking;
use crate::app::search::target::{self, Chosen};
use crate::app::search::{Ranking, Search};
use crate::app::shards::{HitTree, Profile, ShardTarget};
use crate::auth::{Access, Caller, Permit, Resource};
use crate::pb::weaviate::query_profile::{SearchProfile, ShardProfile};
use crate::pb::weaviate::{Filters, GroupByResult, QueryProfile, SearchReply, SearchRequest, SearchResult};
use crate::weaviate::enrich::Enrich;
use crate::weaviate::filter;
use crate::weaviate::page;
use crate::weaviate::profile::{self, ShownSearch, ShownShard};
use crate::weaviate::texts;

/// Answers a request.
pub(super) async fn search(app: &Arc<App>, caller: &Caller, request: &SearchRequest) -> Result<SearchReply, Status> {
    let start = Instant::now();
    let prepared = Prepared::new(app, caller, request).await?;
    let profile = prepared.asks_profile.then(Arc::<Profile>::default);
    let find = Find {
        follow: prepared.selection.follow(),
        profile: profile.clone(),
        ..Find::new(prepared.permit.clone(), prepared.search.clone())
    };
    let profiled = profile.map(|profile| (profile, prepared.search.clone()));
    let mut reply = if prepared.enrich.is_empty() {
        let answer = app.find(find, move |hits| prepared.answer(hits)).await;
        reply(answer.map_err(status)?, start)
    } else {
        let mut hits = Box::pin(app.find(find, Ok)).await.map_err(status)?;
        let enriched = Box::pin(prepared.enrich.run(app, &prepared.search.shard_target.collection, &mut hits)).await;
        let enriched = enriched.map_err(|error| Status::unknown(format!("extend: extend rerank: {error}")))?;
        let mut reply = reply(prepared.answer(hits).map_err(|error| status(error.into()))?, start);
        enrich::add(&mut reply, enriched)?;
        reply
    };
    // A search that finds nothing has no profile.
    if !(reply.results.is_empty() && reply.group_by_results.is_empty()) {
        reply.query_profile =
            profiled.map(|(profile, search)| query_profile(profile::shown(&profile, &search, &app.settings.hostname)));
    }
    Ok(reply)
}

/// A request that was checked.
pub(super) struct Prepared {
    pub(super) permit: Permit,
    pub(super) search: Search,
    pub(super) selection: Selection,
    group_by: Option<GroupBy>,
    /// Orders the groups anew.
    boost_of_groups: Option<BoostOfGroups>,
    /// Whether the reply has a profile of the search.
    asks_profile: bool,
    /// Additions of modules to the hits.
    pub(super) enrich: Enrich,
    /// Whether hits have a certainty.
    cosine: bool,
}

/// What a search found.
pub(super) enum Answer {
    Hits(Vec<SearchResult>),
    Groups(Vec<GroupByResult>),
}

impl Prepared {
    /// Checks a request against the schema and the caller's rights, and activates its tenant where the collection does so.
    pub(super) async fn new(app: &Arc<App>, caller: &Caller, request: &SearchRequest) -> Result<Self, Status> {
        let catalog = app.names(caller).map_err(status)?;
        let collection = find_collection(&catalog, &request.collection)?;
        let tenant = Some(request.tenant.as_str()).filter(|tenant| !tenant.is_empty());
        let resource = Resource::objects(&collection.name, tenant);
        let permit = app.permit(caller, Access::Read, resource).map_err(status)?;
        let catalog = shard::activate(app, &permit, &collection, tenant).await.map_err(status)?;

        let (properties, metadata) = (request.properties.as_ref(), request.metadata.as_ref());
        let mut selection = Selection::new(&catalog, &collection, properties, metadata, &request.tenant)?;
        let group_by = grouped::group_by(&collection, request.group_by.as_deref())?;
        if let Some(by) = &group_by {
            selection.add(&by.property);
        }
        let shards = catalog.shards(collection.id);
        let place = Place { app, permit: &permit, collection: &collection, shards, tenant: tenant.unwrap_or_default() };
        let resolved = if place.is_needed() { Box::pin(place.resolve(request)).await? } else { None };
        let (given, request) = (request, resolved.as_ref().unwrap_or(request));
        let (ranking, chosen) = ranking(&collection, shards, request)?;
        refuse_unsupported(request, &ranking)?;
        let filter = filter_of(app, &catalog, &collection, request.filters.as_deref())?;
        let cosine = target::has_certainty(&chosen);
        let enrich = enrich::wanted(&app.settings.modules, &collection, given, &ranking)?;
        let mut search = assemble(app, &collection, shards, request, ranking, filter, &selection)?;
        enrich.add_to(&collection, &mut search.include.properties);
        let boost = request.boost.as_ref().map(|given| boost::boost(app, &catalog, &collection, given)).transpose()?;
        let diversity = diversity::diversity(&collection, request, &chosen, search.limit)?;
        let boost_of_groups = match (&group_by, boost) {
            // As in Weaviate, diversity has no effect on groups.
            (Some(_), boost) => boost.map(|boost| BoostOfGroups::new(boost, &mut search)),
            (None, boost) => {
                search.reranking = Reranking { boost, diversity };
                None
            }
        };
        let asks_profile = metadata.is_some_and(|metadata| metadata.query_profile);
        Ok(Self { permit, search, selection, group_by, enrich, boost_of_groups, asks_profile, cosine })
    }

    /// The answer that these hits of the search make.
    pub(super) fn answer(&self, hits: Vec<HitTree>) -> azimuth_engine::Result<Answer> {
        if let Some(by) = &self.group_by {
            return grouped::results(&self.selection, &hits, by, self.boost_of_groups.as_ref()).map(Answer::Groups);
        }
        let mut results = Vec::with_capacity(hits.len());
        for HitTree { hit, references } in hits {
            interrupt::check()?;
            let ranked = Ranked { distance: hit.distance, score: hit.score, cosine: self.cosine, scored: true };
            results.push(result(&self.selection, hit.object, &references, ranked)?);
        }
        Ok(Answer::Hits(results))
    }
}

fn query_profile(shards: Vec<ShownShard>) -> QueryProfile {
    let search = |(kind, search): (&str, ShownSearch)| {
        let details = search.details.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        (kind.to_owned(), SearchProfile { details })
    };
    let shard = |shard: ShownShard| {
        let searches = shard.searches.into_iter().map(search).collect();
        ShardProfile { name: shard.name, node: shard.node, searches }
    };
    QueryProfile { shards: shards.into_iter().map(shard).collect() }
}

#[expect(deprecated, reason = "the real server always sets the old field")]
pub(super) fn reply(answer: Answer, start: Instant) -> SearchReply {
    let (results, group_by_results) = match answer {
        Answer::Hits(results) => (results, Vec::new()),
        Answer::Groups(groups) => (Vec::new(), groups),
    };
    let generative_grouped_result = Some(String::new());
    SearchReply { took: took(start), results, group_by_results, generative_grouped_result, ..SearchReply::default() }
}

/// The collection of that name, whose first letter may be in lower case, or of that alias.
pub(super) fn find_collection(catalog: &Catalog, name: &str) -> Result<Arc<Collection>, Status> {
    catalog
        .resolve(&upper_first(name))
        .cloned()
        .ok_or_else(|| Status::unknown(format!("could not find class {name} in schema")))
}

/// The filter of a request, checked against the schema.
pub(super) fn filter_of(
    app: &App,
    catalog: &Catalog,
    collection: &Collection,
    filters: Option<&Filters>,
) -> Result<Option<Filter>, Status> {
    let Some(filters) = filters else { return Ok(None) };
    filter::from_grpc(app, catalog, collection, filters).map(Some).map_err(status)
}

/// How the hits are ranked, and the vectors that are compared.
pub(super) fn ranking<'a>(
    collection: &'a Collection,
    shards: &ShardTable,
    request: &SearchRequest,
) -> Result<(Ranking, Vec<Chosen<'a>>), Status> {
    let has_near = request.near_vector.is_some() || request.near_object.is_some();
    let explain = request.metadata.as_ref().is_some_and(|metadata| metadata.explain_score);
    match (&request.bm25_search, &request.hybrid_search) {
        (Some(_), _) if has_near => {
            let why = "conflict: both near<Media> and keyword-based (bm25) arguments present, choose one";
            Err(Status::unknown(why))
        }
        (_, Some(_)) if has_near => Err(Status::unknown("hybrid and a near search cannot be combined, choose one")),
        (Some(_), Some(_)) => Err(Status::unknown("hybrid and bm25 cannot be combined, choose one")),
        (Some(bm25), None) => {
            let keyword = keyword::bm25(collection, shards, bm25, explain)?;
            Ok((Ranking::Keyword(keyword), Vec::new()))
        }
        (None, Some(hybrid)) => {
            let (hybrid, chosen) = hybrid::search(collection, shards, hybrid, explain)?;
            Ok((Ranking::Hybrid(Box::new(hybrid)), chosen))
        }
        (None, None) => near::ranking(collection, request),
    }
}

/// Puts the parts together and checks page, cursor and tenant.
fn assemble(
    app: &App,
    collection: &Arc<Collection>,
    shards: &ShardTable,
    request: &SearchRequest,
    ranking: Ranking,
    filter: Option<Filter>,
    selection: &Selection,
) -> Result<Search, Status> {
    let ranking = with_cursor(request, ranking)?;
    let settings = &app.settings;
    let limit = if request.limit == 0 { settings.query_default_limit as i64 } else { i64::from(request.limit) };
    let offset = i64::from(request.offset);
    let page = page::check_of(ranking.kind(), offset, limit, settings.query_maximum_results);
    let (offset, limit) = page.map_err(Status::unknown)?;
    let shard_target = ShardTarget::new(collection.clone(), shards, &request.tenant)
        .map_err(|error| Status::unknown(texts::refused_tenant(&collection.name, &ranking, &error)))?;
    let mut include = selection.include();
    // Values that hits are grouped by, also references.
    request.group_by.iter().flat_map(|by| &by.path).for_each(|name| include.properties.add(name));
    let sort = sort_of(request, &ranking)?;
    let autocut = request.autocut as usize;
    let reranking = Reranking::default();
    Ok(Search { shard_target, ranking, filter, offset, limit, sort, autocut, include, reranking })
}

fn with_cursor(request: &SearchRequest, ranking: Ranking) -> Result<Ranking, Status> {
    if request.after.is_empty() {
        return Ok(ranking);
    }
    let beside = page::Beside {
        limit: true,
        offset: request.offset > 0,
        filter: request.filters.is_some(),
        sort: !request.sort_by.is_empty(),
        search: ranking.is_search(),
    };
    let after = page::cursor(&request.after, beside).map_err(Status::unknown)?;
    Ok(Ranking::Listing { after })
}

fn sort_of(request: &SearchRequest, ranking: &Ranking) -> Result<Vec<Sort>, Status> {
    if !request.sort_by.is_empty() && ranking.is_search() {
        return Err(Status::unknown("sorting cannot be combined with search"));
    }
    let clause = |(at, by): (usize, &crate::pb::weaviate::SortBy)| match by.path.as_slice() {
        // What is wrong with a single name, an empty one too, the engine says.
        [] => Ok(Sort { property: String::new(), descending: !by.ascending }),
        [property] => Ok(Sort { property: property.clone(), descending: !by.ascending }),
        _ => Err(Status::unknown(format!(
            "invalid 'sort' parameter: sort parameter at position {at}: sorting by reference not supported, path must \
             have exactly one argument"
        ))),
    };
    request.sort_by.iter().enumerate().map(clause).collect()
}

/// Refuses by name what needs a module, or is not there yet.
fn refuse_unsupported(request: &SearchRequest, ranking: &Ranking) -> Result<(), Status> {
    if let Some(name) = media(request)? {
        if let Some(other) =
            request.near_vector.as_ref().map(|_| "nearVector").or(request.near_object.as_ref().map(|_| "nearObject"))
        {
            return Err(Status::unknown(format!(
                "explorer: get class: vectorize params: found both '{name}' and '{other}' parameters which are \
                 conflicting, choose one instead"
            )));
        }
        return Err(Status::unknown(format!(
            "explorer: get class: vectorize params: could not vectorize input for collection {} with search-type {name}. \
             Make sure a vectorizer module is configured for this collection",
            request.collection
        )));
    }
    if request.group_by.is_some() && !ranking.is_search() {
        return Err(Status::unknown("group is not present map[]"));
    }
    Ok(())
}

/// The search that needs a module to make a vector, if one is asked for.
fn media(request: &SearchRequest) -> Result<Option<&'static str>, Status> {
    // As in Weaviate, the thresholds of a search by text are not looked at.
    let mut found = request.near_text.as_ref().map(|_| "nearText");
    macro_rules! look_at {
        ($($field:ident $name:literal,)*) => {$(
            if let Some(near) = &request.$field {
                near::threshold(stringify!($field), near.distance, near.certainty)?;
                found = found.or(Some($name));
            }
        )*};
    }
    look_at! {
        near_image "nearImage",
        near_audio "nearAudio",
        near_video "nearVideo",
        near_depth "nearDepth",
        near_thermal "nearThermal",
        near_imu "nearIMU",
    }
    Ok(found)
}
