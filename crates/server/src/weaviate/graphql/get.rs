//! `Get`: a class' arguments, made into a search.

use std::sync::Arc;

use azimuth_engine::ids::VectorId;
use azimuth_engine::meta::Catalog;
use azimuth_engine::query::{Filter, Include};
use azimuth_engine::schema::Collection;

use super::arguments::{self, int, text};
use super::document::Field;
use super::grouped::{group_by, in_groups, related};
use super::near_text::Place;
use super::shape::{Added, Shape};
use super::{FieldError, enrich, near};
use crate::app::objects::shard;
use crate::app::search::find::Find;
use crate::app::search::reranking::Reranking;
use crate::app::search::{Ranking, RankingKind, Search, UNBOUNDED_HITS_MAX, target};
use crate::app::shards::{HitTree, Profile, ShardTarget};
use crate::app::{App, AppError};
use crate::auth::{Access, Caller, Resource};
use crate::weaviate::page;
use crate::weaviate::profile;
use crate::weaviate::texts::{self, no_such_property};
use crate::weaviate::tree::Tree;

/// Answers a class; `alone` if nothing else of the same request is to be answered beside it.
pub(super) async fn class(app: &Arc<App>, caller: &Caller, class: &Field, alone: bool) -> Result<Tree, FieldError> {
    let refuse = |error: AppError| FieldError(texts::app(&error));
    let catalog = app.names(caller).map_err(refuse)?;
    let Some(collection) = catalog.resolve(&class.name).cloned() else {
        let text = format!("Cannot query field {:?} on type \"GetObjectsObj\".", class.name);
        return Err(FieldError(text));
    };
    let tenant = text(class, "tenant").unwrap_or_default();
    let shape = Shape::new(&catalog, &collection, &tenant, &class.fields);
    let resource = Resource::objects(&collection.name, None);
    let permit = app.permit(caller, Access::Read, resource).map_err(refuse)?;
    let catalog = shard::activate(app, &permit, &collection, Some(&tenant)).await.map_err(refuse)?;
    let (by, related) = (group_by(class), related(class));
    let shards = catalog.shards(collection.id);
    let place = Place { app, permit: &permit, collection: &collection, shards, tenant: &tenant };
    let class = &*Box::pin(place.resolve(class)).await?;
    let mut search = assemble(app, &catalog, &collection, class, &shape)?;
    if related.is_some() && collection.vectors.unnamed.is_some() {
        search.include.vectors.push(VectorId::UNNAMED);
    }
    let kind = search.ranking.kind();
    let ranked = kind != RankingKind::Listing;
    // Hits of a keyword search have no distance, not even an unknown one.
    let near = matches!(kind, RankingKind::Vector | RankingKind::Hybrid);
    if let Some(by) = by.as_ref().filter(|by| ranked && collection.property(&by.property).is_none()) {
        let (name, property) = (&search.shard_target.first().name, &by.property);
        let no_such = no_such_property(property, &collection.name);
        let why =
            format!("shard {}_{name}: {no_such}: unrecognized property: {property}", collection.name.to_lowercase());
        return Err(FieldError(texts::vector_search(&collection.name, &why)));
    }
    let enrich = enrich::wanted(&app.settings.modules, &collection, &shape, class, &search.ranking)?;
    enrich.add_to(&collection, &mut search.include.properties);
    let profile = shape.asks("queryProfile").then(Arc::<Profile>::default);
    let related = related.filter(|_| by.is_none());
    let profiled = profile.clone().map(|profile| (profile, search.clone(), app.settings.hostname.clone()));
    let find = Find { permit, search, related, profile, follow: shape.follow(), is_one_of_several: !alone };
    if !enrich.is_empty() {
        if by.is_some() {
            return Err(FieldError("generate and rerank are not supported yet together with groupBy".to_owned()));
        }
        let mut hits = Box::pin(app.find(find, Ok)).await.map_err(refuse)?;
        let enriched = Box::pin(enrich.run(app, &collection, &mut hits)).await;
        let enriched = enriched.map_err(|error| FieldError(format!("extend rerank: {error}")))?;
        let added = |at| Some(Added { all: &enriched, at });
        let shown = hits.iter().enumerate().map(|(at, hit)| shape.added_json(hit, near, None, added(at)));
        return Ok(Tree::List(shown.collect::<azimuth_engine::Result<_>>().map_err(|error| refuse(error.into()))?));
    }
    let shown = move |hits: Vec<HitTree>| match by {
        Some(by) => in_groups(&shape, &hits, &by, ranked),
        // Each hit is dropped as soon as it is shown.
        None => {
            // Like Weaviate, the profile comes with the first hit.
            let mut profile = profiled.and_then(|(profile, search, node)| {
                serde_json::to_string(&profile::shown(&profile, &search, &node)).ok()
            });
            hits.into_iter().map(|hit| shape.hit_json(&hit, near, profile.take().as_deref())).collect()
        }
    };
    Ok(Tree::List(app.find(find, shown).await.map_err(refuse)?))
}

fn assemble(
    app: &App,
    catalog: &Catalog,
    collection: &Arc<Collection>,
    class: &Field,
    shape: &Shape,
) -> Result<Search, FieldError> {
    let sort = arguments::sort(class)?;
    for argument in ["hybrid", "bm25"] {
        if !sort.is_empty() && class.argument(argument).is_some() {
            return Err(FieldError(format!("{argument} search is not compatible with sort")));
        }
    }
    let filter = arguments::filter(app, catalog, collection, class)?;
    let explain = shape.asks("explainScore");
    let found = near::search(collection, catalog.shards(collection.id), class, explain)?;
    if shape.asks("certainty")
        && let Some(found) = found.as_ref().filter(|found| found.ranking.kind() == RankingKind::Vector)
    {
        target::check_certainty(&found.chosen).map_err(|error| FieldError(texts::threshold(&error)))?;
    }
    let ranking = found.map_or(Ranking::Listing { after: None }, |found| found.ranking);
    let ranking = with_cursor(class, ranking, filter.as_ref())?;
    let (offset, limit) = window(app, class, &ranking)?;
    let tenant = text(class, "tenant").unwrap_or_default();
    let shard_target = ShardTarget::new(collection.clone(), catalog.shards(collection.id), &tenant)
        .map_err(|error| FieldError(texts::refused_tenant(&collection.name, &ranking, &error)))?;
    let autocut = int(class, "autocut").and_then(|jumps| usize::try_from(jumps).ok()).unwrap_or(0);
    let mut properties = shape.projection();
    group_by(class).iter().for_each(|by| properties.add(&by.property));
    let include = Include { properties, vectors: shape.vectors(), ..Include::default() };
    let reranking = Reranking::default();
    Ok(Search { shard_target, ranking, filter, offset, limit, sort, autocut, include, reranking })
}

/// Offset and limit. Without either the limit is GraphQL's own; a search that is bounded by distance needs none.
fn window(app: &App, class: &Field, ranking: &Ranking) -> Result<(usize, usize), FieldError> {
    let settings = &app.settings;
    let (offset, limit) = (int(class, "offset"), int(class, "limit"));
    let kind = ranking.kind();
    if kind == RankingKind::Hybrid && limit == Some(0) {
        return Ok((0, 0));
    }
    let (bounded, first) = (ranking.is_bounded(), offset.unwrap_or(0));
    let may_be_unbounded = matches!(kind, RankingKind::Vector | RankingKind::Hybrid);
    let limit = match limit {
        None if bounded => -1,
        None if offset.is_some() => settings.query_default_limit as i64,
        None => settings.query_default_limit_graphql as i64,
        Some(limit) if limit < 0 && !may_be_unbounded => settings.query_default_limit as i64,
        Some(limit) => limit,
    };
    if may_be_unbounded && limit != 0 && (limit < 0 || bounded) {
        let first = usize::try_from(first).map_err(|_| FieldError("offset must not be negative".to_owned()))?;
        let limit = usize::try_from(limit).unwrap_or(UNBOUNDED_HITS_MAX).min(UNBOUNDED_HITS_MAX);
        return Ok((first, limit));
    }
    page::check_of(kind, first, limit, settings.query_maximum_results).map_err(FieldError)
}

fn with_cursor(class: &Field, ranking: Ranking, filter: Option<&Filter>) -> Result<Ranking, FieldError> {
    let Some(after) = text(class, "after") else { return Ok(ranking) };
    let limit = int(class, "limit");
    let beside = page::Beside {
        limit: limit.is_some_and(|limit| limit >= 0),
        offset: int(class, "offset").is_some_and(|offset| offset > 0),
        filter: filter.is_some(),
        sort: class.argument("sort").is_some(),
        search: ranking.is_search(),
    };
    let after = page::cursor(&after, beside).map_err(FieldError)?;
    Ok(Ranking::Listing { after })
}
