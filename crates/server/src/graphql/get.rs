//! `Get`: a class' arguments, made into a search.

use std::sync::Arc;

use azimuth_engine::ids::VectorId;
use azimuth_engine::meta::Catalog;
use azimuth_engine::query::{Filter, Include};
use azimuth_engine::schema::{Collection, VectorConfig};
use serde_json::Value;
use uuid::Uuid;

use super::arguments::{self, int, object, text};
use super::document::Field;
use super::grouped::{group_by, in_groups, related};
use super::shape::Shape;
use super::{FieldError, GraphqlError};
use crate::app::schema::names::no_such_property;
use crate::app::search::related::unite;
use crate::app::search::target::{self, TargetError, Threshold};
use crate::app::search::{Place, Ranking, Search, VECTOR_SEARCH, page};
use crate::app::{App, AppError};
use crate::auth::{Access, Principal};

/// Arguments that every class has.
const ARGUMENTS: &[&str] = &[
    "limit",
    "offset",
    "after",
    "autocut",
    "sort",
    "where",
    "nearVector",
    "nearObject",
    "bm25",
    "hybrid",
    "group",
    "groupBy",
];
/// Those that are not there yet.
const LATER: &[&str] = &["bm25", "hybrid"];

/// Answers a class.
pub(super) async fn class(app: &Arc<App>, principal: &Principal, class: &Field) -> Result<Value, FieldError> {
    let refuse = |error: AppError| FieldError::Resolver(error.to_string());
    let catalog = app.catalog().map_err(refuse)?;
    let Some(collection) = catalog.find(&class.name).cloned() else {
        let text = format!("Cannot query field {:?} on type \"GetObjectsObj\".", class.name);
        return Err(GraphqlError::at(class.position, text).into());
    };
    arguments::check_names(class, ARGUMENTS, &collection, "GetObjectsObj")?;
    let shape = Shape::new(&catalog, &collection, class)?;
    let resource = format!("data/collections/{}/shards/*/objects/*", collection.name);
    app.auth.authorize(principal, Access::Read, &resource).map_err(refuse)?;
    if let Some(argument) = LATER.iter().find(|argument| class.argument(argument).is_some()) {
        return Err(FieldError::Resolver(format!("{argument} is not supported yet")));
    }
    let (by, related) = (group_by(class)?, related(class)?);
    let mut search = assemble(app, &catalog, &collection, class, &shape)?;
    if related.is_some() && collection.vectors.unnamed.is_some() {
        search.include.vectors.push(VectorId::UNNAMED);
    }
    let near = search.ranking.is_search();
    if let Some(by) = by.as_ref().filter(|by| near && collection.property(&by.property).is_none()) {
        let (shard, property) = (&search.place.shard, &by.property);
        let no_such = no_such_property(property, &collection.name);
        let why =
            format!("shard {}_{shard}: {no_such}: unrecognized property: {property}", collection.name.to_lowercase());
        return Err(FieldError::Resolver(Place::vector_error(&collection, &why)));
    }
    let found = app.read(move |data| {
        let hits = search.hits(data)?;
        match by {
            Some(by) => in_groups(data, &shape, &hits, &by, near),
            None => {
                let hits = match related {
                    Some(related) => unite(hits, related),
                    None => hits,
                };
                hits.iter().map(|hit| shape.json(data, &hit.object, hit.distance, near)).collect()
            }
        }
    });
    Ok(Value::Array(found.await.map_err(refuse)?))
}

fn assemble(
    app: &App,
    catalog: &Catalog,
    collection: &Arc<Collection>,
    class: &Field,
    shape: &Shape,
) -> Result<Search, FieldError> {
    let sort = arguments::sort(class)?;
    let filter = arguments::filter(app, catalog, collection, class)?;
    let near = near(collection, class)?;
    if shape.asks_certainty()
        && let Some((_, config)) = &near
    {
        target::check_certainty(config).map_err(FieldError::Resolver)?;
    }
    let ranking = near.map_or(Ranking::Listing { after: None }, |(ranking, _)| ranking);
    let ranking = with_cursor(class, ranking, filter.as_ref())?;
    let (offset, limit) = window(app, class, &ranking)?;
    let listing = !ranking.is_search();
    let tenant = text(class, "tenant")?.unwrap_or_default();
    let place = Place::new(collection.clone(), &tenant).map_err(|why| {
        let explain = if listing { Place::listing_error } else { Place::vector_error };
        FieldError::Resolver(explain(collection, &why))
    })?;
    let autocut = int(class, "autocut")?.and_then(|jumps| usize::try_from(jumps).ok()).unwrap_or(0);
    let include = Include { properties: true, vectors: shape.vectors() };
    Ok(Search { place, ranking, filter, offset, limit, sort, autocut, include })
}

/// Offset and limit. Without either the limit is GraphQL's own; a search that is bounded by distance needs none.
fn window(app: &App, class: &Field, ranking: &Ranking) -> Result<(usize, usize), FieldError> {
    let settings = &app.settings;
    let (offset, limit) = (int(class, "offset")?, int(class, "limit")?);
    let bounded = match ranking {
        Ranking::Listing { .. } => false,
        Ranking::Vector { max_distance, .. } | Ranking::Object { max_distance, .. } => max_distance.is_some(),
    };
    let (search, first) = (ranking.is_search(), offset.unwrap_or(0));
    let limit = match limit {
        None if bounded => -1,
        None if offset.is_some() => settings.query_default_limit as i64,
        None => settings.query_default_limit_graphql as i64,
        Some(limit) if limit < 0 && !search => settings.query_default_limit as i64,
        Some(limit) => limit,
    };
    if search && limit != 0 && (limit < 0 || bounded) {
        let first =
            usize::try_from(first).map_err(|_| FieldError::Resolver("offset must not be negative".to_owned()))?;
        let limit = usize::try_from(limit).unwrap_or(page::UNBOUNDED_HITS_MAX).min(page::UNBOUNDED_HITS_MAX);
        return Ok((first, limit));
    }
    page::check(first, limit, settings.query_maximum_results).map_err(|why| {
        FieldError::Resolver(if search {
            format!("{VECTOR_SEARCH}: vector search: {why}")
        } else {
            format!("explorer: list class: search: {why}")
        })
    })
}

fn with_cursor(class: &Field, ranking: Ranking, filter: Option<&Filter>) -> Result<Ranking, FieldError> {
    let Some(after) = text(class, "after")? else { return Ok(ranking) };
    let limit = int(class, "limit")?;
    let beside = page::Beside {
        limit: limit.is_some_and(|limit| limit >= 0),
        offset: int(class, "offset")?.is_some_and(|offset| offset > 0),
        filter: filter.is_some(),
        sort: class.argument("sort").is_some(),
        search: ranking.is_search(),
    };
    let after = page::cursor(&after, beside).map_err(FieldError::Resolver)?;
    Ok(Ranking::Listing { after })
}

/// The vector search of a class, if it asks for one.
fn near<'a>(collection: &'a Collection, class: &Field) -> Result<Option<(Ranking, &'a VectorConfig)>, FieldError> {
    let refuse = |what: &str, why: &str| FieldError::Resolver(format!("failed to extract {what} params: {why}"));
    match (object(class, "nearVector")?, object(class, "nearObject")?) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) => Err(FieldError::Resolver(
            "explorer: get class: vectorize params: found both 'nearVector' and 'nearObject' parameters which are \
             conflicting, choose one instead"
                .to_owned(),
        )),
        (Some(near), None) => {
            let threshold = threshold(&near).map_err(|why| refuse("nearVector", &why))?;
            let (per_target, vector) = (near.get("vectorPerTarget"), near.get("vector"));
            let given = vector.or_else(|| per_target.and_then(Value::as_object)?.values().next());
            let given = given.ok_or_else(|| refuse("nearVector", "vector or vectorPerTarget is required field"))?;
            let (_, config) = target_of(collection, &near)?;
            let query = floats(given).ok_or_else(|| refuse("nearVector", "vector must be a list of numbers"))?;
            if query.is_empty() {
                return Err(refuse("nearVector", "vector must not be empty"));
            }
            let max_distance = target::max_distance(config, threshold).map_err(FieldError::Resolver)?;
            Ok(Some((Ranking::Vector { vector: config.id, query, max_distance }, config)))
        }
        (None, Some(near)) => {
            let threshold = threshold(&near).map_err(|why| refuse("nearObject", &why))?;
            let (name, config) = target_of(collection, &near)?;
            let id = object_id(collection, &near)?;
            let max_distance = target::max_distance(config, threshold).map_err(FieldError::Resolver)?;
            Ok(Some((Ranking::Object { vector: config.id, name: name.to_owned(), id, max_distance }, config)))
        }
    }
}

fn threshold(near: &Value) -> Result<Threshold, String> {
    let number = |name: &str| near.get(name).and_then(Value::as_f64);
    let threshold = Threshold { distance: number("distance"), certainty: number("certainty") };
    if threshold.distance.is_some() && threshold.certainty.is_some() {
        return Err("cannot provide distance and certainty".to_owned());
    }
    Ok(threshold)
}

fn floats(value: &Value) -> Option<Vec<f32>> {
    value.as_array()?.iter().map(|number| number.as_f64().map(|number| number as f32)).collect()
}

/// The object that `nearObject` names, by id or beacon.
fn object_id(collection: &Collection, near: &Value) -> Result<Uuid, FieldError> {
    let refuse = |why: String| {
        FieldError::Resolver(format!("{VECTOR_SEARCH}: vectorize search vector: nearObject params: {why}"))
    };
    let text = |name: &str| near.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    match (text("id"), text("beacon")) {
        (Some(id), _) => Uuid::parse_str(id).map_err(|_| {
            let (index, length) = (collection.name.to_lowercase(), id.len());
            refuse(format!("search index {index}: determine shard: parse uuid {id:?}: invalid UUID length: {length}"))
        }),
        (None, Some(beacon)) => {
            let id = beacon.rsplit('/').next().unwrap_or_default();
            Uuid::parse_str(id)
                .map_err(|_| refuse(format!("invalid cref URI: 2nd path segment must be uuid, but got '{id}'")))
        }
        (None, None) => Err(refuse("empty id and beacon".to_owned())),
    }
}

fn target_of<'a>(collection: &'a Collection, near: &Value) -> Result<(&'a str, &'a VectorConfig), FieldError> {
    let listed = near.pointer("/targets/targetVectors").or_else(|| near.get("targetVectors"));
    let mut names: Vec<String> = match listed {
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        Some(Value::String(name)) => vec![name.clone()],
        _ => Vec::new(),
    };
    if names.is_empty()
        && let Some(per_target) = near.get("vectorPerTarget").and_then(Value::as_object)
    {
        names = per_target.keys().cloned().collect();
    }
    target::resolve(collection, &names).map_err(|error| {
        FieldError::Resolver(match error {
            TargetError::Missing => "explorer: get class: validate target vector: multiple vectorizers configuration \
                                     found, please specify target vector name"
                .to_owned(),
            TargetError::Unknown(name) => {
                let why = format!("index for target vector {name:?} not found");
                let shard = collection.shards.keys().next().map_or("", String::as_str);
                let index = collection.name.to_lowercase();
                Place::vector_error(collection, &format!("shard {index}_{shard}: {why}"))
            }
            TargetError::Several => "searching several target vectors at once is not supported yet".to_owned(),
        })
    })
}
