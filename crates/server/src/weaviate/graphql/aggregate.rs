//! `Aggregate`: counts and figures of the objects of a class, of groups of them, or of the hits of a search.

use std::sync::Arc;

use azimuth_engine::meta::Catalog;
use azimuth_engine::query::{Aggregate, Charge, Group, Include, Projection, Summarised, Summary};
use azimuth_engine::schema::{Collection, Property};
use serde_json::{Map, Value, json};

use super::document::Field;
use super::near_text::Place;
use super::{FieldError, arguments, hybrid, near};
use crate::app::aggregate::Aggregation;
use crate::app::objects::shard;
use crate::app::search::reranking::Reranking;
use crate::app::search::{Ranking, Search};
use crate::app::shards::ShardTarget;
use crate::app::{App, AppError};
use crate::auth::{Access, Caller, Resource};
use crate::weaviate::aggregate as shown;
use crate::weaviate::aggregate::{Bound, Figures};
use crate::weaviate::objects::render::f64_json;
use crate::weaviate::texts;

/// Figures that need the frequencies of values.
const OF_FREQUENCIES: [&str; 4] = ["median", "mode", "topOccurrences", "pointingTo"];

/// Answers a class.
pub(super) async fn class(app: &Arc<App>, caller: &Caller, class: &Field) -> Result<Value, FieldError> {
    let refuse = |error: AppError| FieldError(texts::app(&error));
    let catalog = app.names(caller).map_err(refuse)?;
    let Some(collection) = catalog.resolve(&class.name).cloned() else {
        let text = format!("Cannot query field {:?} on type \"AggregateObjectsObj\".", class.name);
        return Err(FieldError(text));
    };
    let permit = app.permit(caller, Access::Read, Resource::objects(&collection.name, None)).map_err(refuse)?;
    let tenant = arguments::text(class, "tenant").unwrap_or_default();
    let catalog = shard::activate(app, &permit, &collection, Some(&tenant)).await.map_err(refuse)?;
    let group_by = group_by(class)?;
    let object_limit = object_limit(class)?;
    let filter = arguments::filter(app, &catalog, &collection, class)?;
    let shards = catalog.shards(collection.id);
    let shard_target =
        ShardTarget::new(collection.clone(), shards, &tenant).map_err(|error| FieldError(texts::route(&error)))?;
    let shard = shard_target.first().name.clone();
    if group_by.len() > 1 {
        return Err(FieldError(format!("shard {shard}: identify groups: grouping by cross-refs not supported")));
    }
    let by = group_by.first().cloned();
    let place = Place { app, permit: &permit, collection: &collection, shards, tenant: &tenant };
    let resolved = &*Box::pin(place.resolve(class)).await?;
    let search = search(&catalog, &collection, resolved, object_limit, &shard_target)?;
    let selected = filter.is_some() || search.is_some();
    let whole = !selected && by.is_none();
    let properties =
        summarised(&collection, class, whole).map_err(|why| FieldError(format!("shard {shard}: {why}")))?;
    let search = search.map(|search| Box::new(Search { filter: filter.clone(), ..search }));
    let aggregate = Aggregate { group_by: by.clone(), properties, charge: Charge::default() };
    let names: Vec<String> = aggregate.properties.iter().map(|property| property.name.clone()).collect();
    let groups_max = arguments::int(class, "limit").and_then(|limit| usize::try_from(limit).ok());
    let groups_max = groups_max.filter(|_| by.is_some());
    let mut groups = app
        .aggregate(&permit, Aggregation { shard_target, filter, search, aggregate, groups_max })
        .await
        .map_err(|error| FieldError(failed(&shard, &error)))?;
    if whole {
        let properties = || names.iter().filter_map(|name| collection.property(name));
        groups.iter_mut().for_each(|group| shown::in_utc(group, properties()));
    }
    let selected = selected && by.is_none();
    let answer = Answer { class, collection: &collection, by: by.as_deref(), names: &names, selected };
    Ok(groups.iter().map(|group| answer.group(group)).collect())
}

/// The text of a failure; a refusal of the filter names the shard.
fn failed(shard: &str, error: &AppError) -> String {
    let why = shown::failed(error);
    match error {
        AppError::Search(_) => why,
        error if error.is_invalid() => format!("shard {shard}: retrieve doc IDs from searcher: {why}"),
        _ => why,
    }
}

/// The path of `groupBy`: a property, or a path through references, whose classes and properties take turns. Empty if the
/// class is not grouped.
fn group_by(class: &Field) -> Result<Vec<String>, FieldError> {
    let path: Vec<String> = match class.argument("groupBy") {
        None => return Ok(Vec::new()),
        Some(Value::Array(path)) => path.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        Some(name) => name.as_str().map(str::to_owned).into_iter().collect(),
    };
    if path.len() % 2 == 1 {
        return Ok(path);
    }
    let last = path.last().unwrap_or(&class.name);
    Err(FieldError(format!("could not extract groupBy path: missing an argument after '{last}'")))
}

fn object_limit(class: &Field) -> Result<Option<usize>, FieldError> {
    let Some(limit) = arguments::int(class, "objectLimit") else { return Ok(None) };
    let limit = usize::try_from(limit).ok().filter(|limit| *limit > 0);
    let limit = limit.ok_or_else(|| FieldError("objectLimit must be a positive integer".to_owned()))?;
    if !["nearText", "nearVector", "nearObject", "hybrid"].iter().any(|name| class.argument(name).is_some()) {
        return Err(FieldError("objectLimit can only be used with a near<Media> or hybrid filter".to_owned()));
    }
    Ok(Some(limit))
}

/// The search whose hits are aggregated, without a filter; `None` if none is asked for.
fn search(
    catalog: &Catalog,
    collection: &Arc<Collection>,
    class: &Field,
    object_limit: Option<usize>,
    shard_target: &ShardTarget,
) -> Result<Option<Search>, FieldError> {
    let shards = catalog.shards(collection.id);
    let (mut ranking, bound) = match (near::unbounded(collection, shards, class)?, arguments::object(class, "hybrid")) {
        (Some(_), Some(_)) => {
            return Err(FieldError("hybrid and a near search cannot be combined, choose one".to_owned()));
        }
        (Some(near), None) => near,
        (None, Some(argument)) => {
            let (hybrid, _) = hybrid::search(collection, shards, &argument, false)?;
            (Ranking::Hybrid(Box::new(hybrid)), Bound::default())
        }
        (None, None) => return Ok(None),
    };
    let bound = Bound { object_limit, ..bound };
    let (limit, max) = bound.limits(&shard_target.first().name).map_err(FieldError)?;
    match &mut ranking {
        Ranking::Vector(near) => near.max_distance = max,
        Ranking::Object { max_distance, .. } => *max_distance = max,
        Ranking::Listing { .. } | Ranking::Keyword(_) | Ranking::Hybrid(_) => {}
    }
    Ok(Some(Search {
        shard_target: shard_target.clone(),
        ranking,
        filter: None,
        offset: 0,
        limit,
        sort: Vec::new(),
        autocut: 0,
        include: Include { properties: Projection::None, ..Include::default() },
        reranking: Reranking::default(),
    }))
}

/// The properties of a class that are asked for.
fn summarised(collection: &Collection, class: &Field, whole: bool) -> Result<Vec<Summarised>, String> {
    let mut all: Vec<Summarised> = Vec::new();
    for field in class.fields.iter().filter(|field| is_property(field)) {
        let property = shown::checked(collection, &field.name, whole)?;
        let frequencies = field.fields.iter().any(|figure| OF_FREQUENCIES.contains(&figure.name.as_str()));
        match all.iter_mut().find(|known| known.name == property.name) {
            Some(known) => known.frequencies |= frequencies,
            None => all.push(Summarised { name: property.name.clone(), frequencies }),
        }
    }
    Ok(all)
}

fn is_property(field: &Field) -> bool {
    !matches!(field.name.as_str(), "meta" | "groupedBy" | "__typename")
}

/// The parts of an answer that its groups have in common.
struct Answer<'a> {
    class: &'a Field,
    collection: &'a Collection,
    by: Option<&'a str>,
    /// Names of the summarised properties.
    names: &'a [String],
    /// Whether references are shown, not their collections.
    selected: bool,
}

impl Answer<'_> {
    fn group(&self, group: &Group) -> Value {
        let mut shown = Map::new();
        for field in &self.class.fields {
            shown.insert(field.key.clone(), self.field(field, group));
        }
        Value::Object(shown)
    }

    fn field(&self, field: &Field, group: &Group) -> Value {
        let class = &self.class.name;
        let each = |of: &dyn Fn(&Field) -> Value| -> Value {
            field.fields.iter().map(|below| (below.key.clone(), of(below))).collect::<Map<_, _>>().into()
        };
        match field.name.as_str() {
            "__typename" => json!(format!("Aggregate{class}")),
            "meta" => each(&|field| match field.name.as_str() {
                "count" => json!(group.count),
                _ => json!(format!("Aggregate{class}MetaObject")),
            }),
            "groupedBy" => match (&group.value, self.by) {
                (Some(value), Some(by)) => each(&|field| match field.name.as_str() {
                    "path" => json!([by]),
                    "value" => json!(shown::value_text(value)),
                    _ => json!(format!("Aggregate{class}GroupedByObj")),
                }),
                _ => Value::Null,
            },
            name => {
                let position = self.names.iter().position(|known| known == name);
                let summary = position.and_then(|position| group.properties.get(position));
                match (self.collection.property(name), summary) {
                    (Some(property), Some(summary)) => each(&|field| self.figure(field, property, summary)),
                    _ => Value::Null,
                }
            }
        }
    }

    fn figure(&self, field: &Field, property: &Property, summary: &Summary) -> Value {
        match field.name.as_str() {
            "__typename" => json!(format!("Aggregate{}{}Obj", self.class.name, property.name)),
            "type" => json!(shown::type_name(property)),
            "count" => json!(summary.count()),
            "pointingTo" => json!(shown::pointing_to(property, summary, self.selected)),
            name => match summary {
                Summary::Ints { values, sum } => {
                    let figures = shown::of_ints(values, *sum);
                    figures.map_or(Value::Null, |figures| number(name, &figures, |int| json!(int)))
                }
                Summary::Numbers { values, sum } => {
                    let figures = shown::of_numbers(values, *sum);
                    figures.map_or(Value::Null, |figures| number(name, &figures, f64_json))
                }
                Summary::Dates(values) => {
                    let Some(figures) = shown::of_dates(values) else { return Value::Null };
                    match name {
                        "median" => json!(figures.median),
                        "mode" => json!(figures.mode),
                        "minimum" => json!(figures.least),
                        "maximum" => json!(figures.greatest),
                        _ => Value::Null,
                    }
                }
                Summary::Booleans { trues, falses } => {
                    let (of_trues, of_falses) = shown::percentages(*trues, *falses);
                    match name {
                        "totalTrue" => json!(trues),
                        "totalFalse" => json!(falses),
                        "percentageTrue" if of_trues.is_finite() => f64_json(of_trues),
                        "percentageFalse" if of_falses.is_finite() => f64_json(of_falses),
                        _ => Value::Null,
                    }
                }
                Summary::Texts(values) => {
                    let limit = arguments::int(field, "limit").and_then(|limit| usize::try_from(limit).ok());
                    let frequent = values.most_frequent(limit.unwrap_or(shown::OCCURRENCES_DEFAULT));
                    frequent.into_iter().map(|(value, count)| self.occurrence(field, property, value, count)).collect()
                }
                Summary::References(_) => Value::Null,
            },
        }
    }

    fn occurrence(&self, field: &Field, property: &Property, value: &str, count: u64) -> Value {
        let part = |field: &Field| match field.name.as_str() {
            "value" => json!(value),
            "occurs" => json!(count),
            _ => json!(format!("Aggregate{}{}TopOccurrencesObj", self.class.name, property.name)),
        };
        field.fields.iter().map(|field| (field.key.clone(), part(field))).collect::<Map<_, _>>().into()
    }
}

fn number<N: Copy>(name: &str, figures: &Figures<N>, show: impl Fn(N) -> Value) -> Value {
    match name {
        "sum" => show(figures.sum),
        "mean" => f64_json(figures.mean),
        "median" => figures.median.map_or(Value::Null, f64_json),
        "mode" => figures.mode.map_or(Value::Null, show),
        "minimum" => show(figures.least),
        "maximum" => show(figures.greatest),
        _ => Value::Null,
    }
}
