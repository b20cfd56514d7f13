//! Aggregate: counts and figures of the objects of a collection, of groups of them, or of the hits of a search.

use std::sync::Arc;
use std::time::Instant;

use azimuth_engine::object::Date;
use azimuth_engine::query::{
    Aggregate, Charge, Filter, Group, GroupValue, Include, Number, Projection, Summarised, Summary, Values,
};
use azimuth_engine::schema::{Collection, Property, ShardTable};
use tonic::Status;

use super::near_text::Place;
use super::search::{filter_of, find_collection};
use super::{hybrid, near, status, took};
use crate::app::aggregate::Aggregation;
use crate::app::objects::shard;
use crate::app::search::reranking::Reranking;
use crate::app::search::{Ranking, Search};
use crate::app::shards::ShardTarget;
use crate::app::{App, AppError};
use crate::auth::{Access, Caller, Resource};
use crate::pb::weaviate::aggregate_reply::aggregations::Aggregation as Shown;
use crate::pb::weaviate::aggregate_reply::aggregations::aggregation::{
    self as kind, Aggregation as Kind, text::TopOccurrences, text::top_occurrences::TopOccurrence,
};
use crate::pb::weaviate::aggregate_reply::group::{GroupedBy, grouped_by::Value as GroupedValue};
use crate::pb::weaviate::aggregate_reply::{Aggregations, Group as ShownGroup, Grouped, Result as Answer, Single};
use crate::pb::weaviate::aggregate_request::aggregation::Aggregation as Given;
use crate::pb::weaviate::aggregate_request::{self, Search as GivenSearch};
use crate::pb::weaviate::{AggregateReply, AggregateRequest, SearchRequest};
use crate::weaviate::aggregate as shown;
use crate::weaviate::aggregate::Bound;
use crate::weaviate::texts;

/// Answers a request.
pub(super) async fn aggregate(
    app: &Arc<App>,
    caller: &Caller,
    request: AggregateRequest,
) -> Result<AggregateReply, Status> {
    let start = Instant::now();
    let parse = |error: Status| Status::new(error.code(), format!("parse params: {}", error.message()));
    let refuse = |why: String| Status::unknown(format!("aggregate: {why}"));
    let catalog = app.names(caller).map_err(status)?;
    let collection = find_collection(&catalog, &request.collection).map_err(parse)?;
    let resource = Resource::objects(&collection.name, None);
    let permit = app.permit(caller, Access::Read, resource).map_err(status).map_err(parse)?;
    let catalog = shard::activate(app, &permit, &collection, Some(&request.tenant)).await.map_err(status)?;
    let filter = filter_of(app, &catalog, &collection, request.filters.as_ref())
        .map_err(|error| parse(Status::new(error.code(), format!("extract filters: {}", error.message()))))?;
    let shards = catalog.shards(collection.id);
    let place = Place { app, permit: &permit, collection: &collection, shards, tenant: &request.tenant };
    let resolved =
        if place.is_needed() { Box::pin(place.resolve_aggregate(&request)).await.map_err(parse)? } else { None };
    let ranking = ranking(&collection, shards, resolved.as_ref().unwrap_or(&request)).map_err(parse)?;
    let shard_target =
        ShardTarget::new(collection.clone(), shards, &request.tenant).map_err(|error| refuse(texts::route(&error)))?;
    let shard = shard_target.first().name.clone();
    let search = match ranking {
        Some((ranking, bound)) => Some(search(&shard_target, ranking, bound, filter.clone()).map_err(refuse)?),
        None => None,
    };
    let by = request.group_by.as_ref().map(|by| by.property.clone());
    let selected = filter.is_some() || search.is_some();
    let whole = !selected && by.is_none();
    let wanted = Wanted::of(&collection, &request, whole).map_err(|why| refuse(format!("shard {shard}: {why}")))?;
    let aggregate = Aggregate { group_by: by.clone(), properties: wanted.summarised(), charge: Charge::default() };
    let groups_max = request.limit.map(|limit| limit as usize).filter(|_| by.is_some());
    let aggregation = Aggregation { shard_target, filter, search: search.map(Box::new), aggregate, groups_max };
    let mut groups = app.aggregate(&permit, aggregation).await.map_err(|error| failed(&shard, error))?;
    if whole {
        let properties = || wanted.0.iter().map(|wanted| wanted.property);
        groups.iter_mut().for_each(|group| shown::in_utc(group, properties()));
    }
    let result = match by {
        None => groups.into_iter().next().map(|group| {
            let count = if request.objects_count { group.count } else { 0 };
            Answer::SingleResult(Single {
                objects_count: Some(int(count)),
                aggregations: wanted.shown(&group, selected),
            })
        }),
        Some(by) => {
            let group = |group: &Group| ShownGroup {
                objects_count: Some(int(group.count)),
                aggregations: wanted.shown(group, false),
                grouped_by: Some(GroupedBy { path: vec![by.clone()], value: group.value.as_ref().map(grouped_value) }),
            };
            let groups: Vec<ShownGroup> = groups.iter().map(group).collect();
            (!groups.is_empty()).then_some(Answer::GroupedResults(Grouped { groups }))
        }
    };
    Ok(AggregateReply { took: took(start), result })
}

fn int(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// The error of a failure; a refusal of the filter names the shard.
fn failed(shard: &str, error: AppError) -> Status {
    let why = shown::failed(&error);
    match error {
        AppError::Search(_) => Status::unknown(format!("aggregate: {why}")),
        error if error.is_invalid() => {
            Status::unknown(format!("aggregate: shard {shard}: retrieve doc IDs from searcher: {why}"))
        }
        error => status(error),
    }
}

/// The ranking of a search without its bound, which counts in a way of its own here; `None` if none is asked for.
fn ranking(
    collection: &Collection,
    shards: &ShardTable,
    request: &AggregateRequest,
) -> Result<Option<(Ranking, Bound)>, Status> {
    let Some(search) = &request.search else { return Ok(None) };
    let object_limit = request.object_limit.map(|limit| limit as usize);
    let mut search_request = SearchRequest::default();
    let (name, distance, certainty) = match search.clone() {
        GivenSearch::NearVector(mut near) => {
            let bound = ("near_vector", near.distance.take(), near.certainty.take());
            search_request.near_vector = Some(near);
            bound
        }
        GivenSearch::NearObject(mut near) => {
            let bound = ("near_object", near.distance.take(), near.certainty.take());
            search_request.near_object = Some(Box::new(near));
            bound
        }
        GivenSearch::Hybrid(given) => {
            let (hybrid, _) = hybrid::search(collection, shards, &given, false)?;
            return Ok(Some((Ranking::Hybrid(Box::new(hybrid)), Bound { object_limit, ..Bound::default() })));
        }
        _ => {
            return Err(Status::unknown(format!(
                "could not vectorize input for collection {}. Make sure a vectorizer module is configured for this \
                 collection",
                collection.name
            )));
        }
    };
    let threshold = near::threshold(name, distance, certainty)?;
    let (ranking, _) = near::ranking(collection, &search_request)?;
    Ok(Some((ranking, Bound { distance: threshold.distance, certainty: threshold.certainty, object_limit })))
}

fn search(
    shard_target: &ShardTarget,
    mut ranking: Ranking,
    bound: Bound,
    filter: Option<Filter>,
) -> Result<Search, String> {
    let (limit, max) = bound.limits(&shard_target.first().name)?;
    match &mut ranking {
        Ranking::Vector(near) => near.max_distance = max,
        Ranking::Object { max_distance, .. } => *max_distance = max,
        Ranking::Listing { .. } | Ranking::Keyword(_) | Ranking::Hybrid(_) => {}
    }
    Ok(Search {
        shard_target: shard_target.clone(),
        ranking,
        filter,
        offset: 0,
        limit,
        sort: Vec::new(),
        autocut: 0,
        include: Include { properties: Projection::None, ..Include::default() },
        reranking: Reranking::default(),
    })
}

fn grouped_value(value: &GroupValue) -> GroupedValue {
    match value {
        GroupValue::Bool(value) => GroupedValue::Boolean(*value),
        GroupValue::Int(value) => GroupedValue::Number(*value as f64),
        GroupValue::Number(value) => GroupedValue::Number((*value).into()),
        other => GroupedValue::Text(shown::value_text(other)),
    }
}

/// The properties that a request asks for.
struct Wanted<'a>(Vec<WantedProperty<'a>>);

struct WantedProperty<'a> {
    property: &'a Property,
    figures: Figures,
}

/// The figures of a property that a request asks for.
#[derive(Default)]
struct Figures {
    count: bool,
    of_type: bool,
    sum: bool,
    mean: bool,
    mode: bool,
    median: bool,
    maximum: bool,
    minimum: bool,
    occurrences_max: Option<usize>,
}

impl<'a> Wanted<'a> {
    fn of(collection: &'a Collection, request: &AggregateRequest, whole: bool) -> Result<Self, String> {
        let property = |given: &aggregate_request::Aggregation| {
            let property = shown::checked(collection, &given.property, whole)?;
            Ok(WantedProperty { property, figures: figures(given.aggregation.as_ref()) })
        };
        request.aggregations.iter().map(property).collect::<Result<_, String>>().map(Self)
    }

    /// The summaries that the figures follow from, in the order of the request.
    fn summarised(&self) -> Vec<Summarised> {
        let summarised = |wanted: &WantedProperty<'_>| Summarised {
            name: wanted.property.name.clone(),
            // Texts and references are always shown with their values.
            frequencies: wanted.figures.mode || wanted.figures.median || !is_number_like(wanted.property),
        };
        self.0.iter().map(summarised).collect()
    }

    /// The figures of a group; `selected`: references are shown, not their collections.
    fn shown(&self, group: &Group, selected: bool) -> Option<Aggregations> {
        let one = |(wanted, summary): (&WantedProperty<'_>, &Summary)| Shown {
            property: wanted.property.name.clone(),
            aggregation: Some(wanted.figures.shown(wanted.property, summary, selected)),
        };
        let aggregations: Vec<Shown> = self.0.iter().zip(&group.properties).map(one).collect();
        (!aggregations.is_empty()).then_some(Aggregations { aggregations })
    }
}

fn is_number_like(property: &Property) -> bool {
    use azimuth_engine::schema::{DataType, Primitive};
    matches!(
        property.data_type,
        DataType::Primitive { of: Primitive::Int | Primitive::Number | Primitive::Date | Primitive::Boolean, .. }
    )
}

/// The figures that are asked for, whatever type the request takes the property to be of.
fn figures(given: Option<&Given>) -> Figures {
    match given {
        None => Figures::default(),
        Some(Given::Int(of)) => Figures {
            count: of.count,
            of_type: of.r#type,
            sum: of.sum,
            mean: of.mean,
            mode: of.mode,
            median: of.median,
            maximum: of.maximum,
            minimum: of.minimum,
            occurrences_max: None,
        },
        Some(Given::Number(of)) => Figures {
            count: of.count,
            of_type: of.r#type,
            sum: of.sum,
            mean: of.mean,
            mode: of.mode,
            median: of.median,
            maximum: of.maximum,
            minimum: of.minimum,
            occurrences_max: None,
        },
        Some(Given::Text(of)) => Figures {
            count: of.count,
            of_type: of.r#type,
            // A limit counts only beside the values themselves.
            occurrences_max: of.top_occurences_limit.filter(|_| of.top_occurences).map(|limit| limit as usize),
            ..Figures::default()
        },
        Some(Given::Boolean(of)) => Figures { count: of.count, of_type: of.r#type, ..Figures::default() },
        Some(Given::Date(of)) => Figures {
            count: of.count,
            of_type: of.r#type,
            mode: of.mode,
            median: of.median,
            maximum: of.maximum,
            minimum: of.minimum,
            ..Figures::default()
        },
        Some(Given::Reference(of)) => Figures { of_type: of.r#type, ..Figures::default() },
    }
}

impl Figures {
    fn shown(&self, property: &Property, summary: &Summary, selected: bool) -> Kind {
        // The type is empty, not left out, if it was not asked for.
        let of_type = Some(if self.of_type { shown::type_name(property) } else { String::new() });
        match summary {
            Summary::Ints { values, sum } => Kind::Int(if self.is_empty(values.count) {
                kind::Integer::default()
            } else {
                self.ints(values, *sum, of_type)
            }),
            Summary::Numbers { values, sum } => Kind::Number(if self.is_empty(values.count) {
                kind::Number::default()
            } else {
                self.numbers(values, *sum, of_type)
            }),
            Summary::Dates(values) => Kind::Date(if self.is_empty(values.count) {
                kind::Date::default()
            } else {
                self.dates(values, of_type)
            }),
            // Texts and booleans are always shown whole.
            Summary::Texts(values) => {
                let frequent = values.most_frequent(self.occurrences_max.unwrap_or(shown::OCCURRENCES_DEFAULT));
                let item =
                    |(value, occurs): (&String, u64)| TopOccurrence { value: value.clone(), occurs: int(occurs) };
                let items: Vec<TopOccurrence> = frequent.into_iter().map(item).collect();
                Kind::Text(kind::Text {
                    count: Some(int(values.count)),
                    r#type: of_type,
                    top_occurences: (!items.is_empty()).then_some(TopOccurrences { items }),
                })
            }
            Summary::Booleans { trues, falses } => {
                let (of_trues, of_falses) = shown::percentages(*trues, *falses);
                Kind::Boolean(kind::Boolean {
                    count: Some(int(trues + falses)),
                    r#type: of_type,
                    total_true: Some(int(*trues)),
                    total_false: Some(int(*falses)),
                    percentage_true: Some(of_trues),
                    percentage_false: Some(of_falses),
                })
            }
            Summary::References(_) => Kind::Reference(kind::Reference {
                r#type: of_type,
                pointing_to: shown::pointing_to(property, summary, selected),
            }),
        }
    }

    /// Whether nothing is shown of so many values, not even their type.
    fn is_empty(&self, count: u64) -> bool {
        let asks = self.sum || self.mean || self.mode || self.median || self.maximum || self.minimum;
        !self.count && (!asks || count == 0)
    }

    fn ints(&self, values: &Values<i64>, sum: i128, of_type: Option<String>) -> kind::Integer {
        let of = shown::of_ints(values, sum);
        let of = of.as_ref();
        kind::Integer {
            count: self.count.then(|| int(values.count)),
            r#type: of_type,
            mean: of.filter(|_| self.mean).map(|of| of.mean),
            median: of.filter(|_| self.median).and_then(|of| of.median),
            mode: of.filter(|_| self.mode).and_then(|of| of.mode),
            maximum: of.filter(|_| self.maximum).map(|of| of.greatest),
            minimum: of.filter(|_| self.minimum).map(|of| of.least),
            sum: of.filter(|_| self.sum).map(|of| of.sum),
        }
    }

    fn numbers(&self, values: &Values<Number>, sum: f64, of_type: Option<String>) -> kind::Number {
        let of = shown::of_numbers(values, sum);
        let of = of.as_ref();
        kind::Number {
            count: self.count.then(|| int(values.count)),
            r#type: of_type,
            mean: of.filter(|_| self.mean).map(|of| of.mean),
            median: of.filter(|_| self.median).and_then(|of| of.median),
            mode: of.filter(|_| self.mode).and_then(|of| of.mode),
            maximum: of.filter(|_| self.maximum).map(|of| of.greatest),
            minimum: of.filter(|_| self.minimum).map(|of| of.least),
            sum: of.filter(|_| self.sum).map(|of| of.sum),
        }
    }

    fn dates(&self, values: &Values<Date>, of_type: Option<String>) -> kind::Date {
        let of = shown::of_dates(values);
        let of = of.as_ref();
        kind::Date {
            count: self.count.then(|| int(values.count)),
            r#type: of_type,
            median: of.filter(|_| self.median).and_then(|of| of.median.clone()),
            mode: of.filter(|_| self.mode).and_then(|of| of.mode.clone()),
            maximum: of.filter(|_| self.maximum).map(|of| of.greatest.clone()),
            minimum: of.filter(|_| self.minimum).map(|of| of.least.clone()),
        }
    }
}
