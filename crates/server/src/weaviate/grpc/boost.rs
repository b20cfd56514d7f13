//! `boost`: conditions that order the hits of a search anew.

use azimuth_engine::meta::Catalog;
use azimuth_engine::query::{Filter, Operator};
use azimuth_engine::schema::{Collection, DataType, Primitive};
use tonic::Status;

use super::status;
use crate::app::search::boost::{Boost, Condition, Curve, Decay, Measure, Modifier};
use crate::app::{App, now_ms};
use crate::pb::weaviate::boost::condition::Condition as Given;
use crate::pb::weaviate::boost::{self as pb, DecayCurve, PropertyValueModifier};
use crate::pb::weaviate::{Boost as Message, Filters};
use crate::weaviate::duration;
use crate::weaviate::filter::{self, wire_name};
use crate::weaviate::texts::no_such_property;

/// Conditions of a boost at most.
const CONDITIONS_MAX: usize = 20;
/// What the conditions count where a request does not say it.
const WEIGHT_DEFAULT: f32 = 0.5;
/// The score at the scale of a decay where a request does not say it.
const DECAY_DEFAULT: f32 = 0.5;

/// The boost of a request.
///
/// # Errors
/// A condition that does not fit the schema, or a number out of its range.
pub(super) fn boost(app: &App, catalog: &Catalog, collection: &Collection, given: &Message) -> Result<Boost, Status> {
    let refuse = |why: String| Err(Status::unknown(format!("boost: {why}")));
    let count = given.conditions.len();
    if count == 0 {
        return refuse("at least one condition is required".to_owned());
    }
    if count > CONDITIONS_MAX {
        return refuse(format!("too many conditions ({count}), maximum is {CONDITIONS_MAX}"));
    }
    let weight = given.weight.unwrap_or(WEIGHT_DEFAULT);
    if !(0.0..=1.0).contains(&weight) {
        return refuse(format!("weight must be between 0 and 1, got {weight:.6}"));
    }
    let condition = |(at, given): (usize, &pb::Condition)| {
        let refuse = |why: String| Status::unknown(format!("boost condition[{at}]{why}"));
        condition(app, catalog, collection, given).map_err(refuse)
    };
    let conditions = given.conditions.iter().enumerate().map(condition).collect::<Result<_, _>>()?;
    let settings = &app.settings;
    let depth = given.depth.filter(|depth| *depth > 0).map_or(settings.query_boost_depth, |depth| depth as usize);
    Ok(Boost { conditions, weight, depth: depth.min(settings.query_maximum_results) })
}

fn condition(
    app: &App,
    catalog: &Catalog,
    collection: &Collection,
    given: &pb::Condition,
) -> Result<Condition, String> {
    let weight = given.weight.filter(|weight| *weight != 0.0).unwrap_or(1.0);
    if !weight.is_finite() {
        return Err(format!(": weight must be a finite number, got {weight}"));
    }
    let measure = match &given.condition {
        None => return Err(": exactly one of 'filter', 'decay', or 'property_value' must be set".to_owned()),
        Some(Given::Filter(filters)) => Measure::Matches(matched(app, catalog, collection, filters)?),
        Some(Given::TimeDecay(decay)) => time_decay(collection, decay)?,
        Some(Given::NumericDecay(decay)) => numeric_decay(collection, decay)?,
        Some(Given::PropertyValue(value)) => {
            let property = number_property(collection, "property_value", &value.property)?;
            let modifier = match value.modifier() {
                PropertyValueModifier::Unspecified => Modifier::None,
                PropertyValueModifier::Log1p => Modifier::Log1p,
                PropertyValueModifier::Sqrt => Modifier::Sqrt,
            };
            Measure::Value { property, modifier }
        }
    };
    Ok(Condition { weight, measure })
}

fn matched(app: &App, catalog: &Catalog, collection: &Collection, filters: &Filters) -> Result<Filter, String> {
    let filter = filter::from_grpc(app, catalog, collection, filters)
        .map_err(|error| format!(" filter: {}", status(error).message()))?;
    match unsupported(&filter) {
        Some(operator) => Err(format!(" filter: operator {operator:?} is not supported in boost conditions")),
        None => Ok(filter),
    }
}

/// An operator that needs an index.
fn unsupported(filter: &Filter) -> Option<Operator> {
    match filter {
        Filter::And(operands) | Filter::Or(operands) => operands.iter().find_map(unsupported),
        Filter::Not(operand) => unsupported(operand),
        Filter::Compare { operator, .. } => match operator {
            Operator::Equal
            | Operator::NotEqual
            | Operator::GreaterThan
            | Operator::GreaterThanEqual
            | Operator::LessThan
            | Operator::LessThanEqual => None,
            Operator::Like
            | Operator::IsNull
            | Operator::ContainsAny
            | Operator::ContainsAll
            | Operator::ContainsNone
            | Operator::WithinGeoRange => Some(*operator),
        },
        Filter::ReferenceIn { .. } => None,
    }
}

/// The name of a property that `what` reads, if it is one of these types.
fn property(
    collection: &Collection,
    what: &str,
    name: &str,
    expected: &str,
    fits: impl Fn(Primitive) -> bool,
) -> Result<String, String> {
    let refuse = |why: String| format!(" {what}: {why}");
    if name.is_empty() {
        return Err(refuse("property is required".to_owned()));
    }
    let property = collection.property(name).ok_or_else(|| refuse(no_such_property(name, &collection.name)))?;
    match &property.data_type {
        DataType::Primitive { of, list: false } if fits(*of) => Ok(property.name.clone()),
        other => Err(refuse(format!("property {name:?} must be of type {expected}, got {}", wire_name(other)))),
    }
}

fn number_property(collection: &Collection, what: &str, name: &str) -> Result<String, String> {
    property(collection, what, name, "int or number", |of| matches!(of, Primitive::Int | Primitive::Number))
}

/// A decay of a date. An origin or a scale that cannot be read scores nothing.
fn time_decay(collection: &Collection, given: &pb::TimeDecayFunction) -> Result<Measure, String> {
    let property = property(collection, "time_decay", &given.property, "date", |of| of == Primitive::Date)?;
    if given.scale.is_empty() {
        return Err(" decay: scale is required".to_owned());
    }
    let value = decay_value(given.decay_value)?;
    let origin = match given.origin.as_str() {
        "" | "now" => Some(now_ms() as f64 / 1e3),
        text => duration::instant_s(text),
    };
    let scale = duration::seconds(&given.scale).filter(|scale| *scale > 0.0);
    let (Some(origin), Some(scale)) = (origin, scale) else { return Ok(Measure::Nothing) };
    let offset = given.offset.as_deref().and_then(duration::seconds).unwrap_or_default();
    Ok(Measure::Decay(Decay { property, origin, scale, offset, value, curve: curve(given.curve()) }))
}

fn numeric_decay(collection: &Collection, given: &pb::NumericDecayFunction) -> Result<Measure, String> {
    let property = number_property(collection, "numeric_decay", &given.property)?;
    let (origin, scale, offset) = (given.origin, given.scale, given.offset.unwrap_or_default());
    if scale.is_nan() || scale <= 0.0 {
        return Err(" numeric_decay: scale must be > 0".to_owned());
    }
    if let Some(number) = [origin, scale, offset].into_iter().find(|number| !number.is_finite()) {
        return Err(format!(" numeric_decay: origin, scale and offset must be finite numbers, got {number}"));
    }
    let value = decay_value(given.decay_value)?;
    Ok(Measure::Decay(Decay { property, origin, scale, offset, value, curve: curve(given.curve()) }))
}

/// The score at the scale; 0 stands for the default.
fn decay_value(given: Option<f32>) -> Result<f64, String> {
    let value = given.filter(|value| *value != 0.0).unwrap_or(DECAY_DEFAULT);
    if !(0.0..=1.0).contains(&value) {
        return Err(format!(" decay: decay_value must be between 0 and 1, got {value:.6}"));
    }
    Ok(f64::from(value))
}

fn curve(given: DecayCurve) -> Curve {
    match given {
        DecayCurve::Unspecified | DecayCurve::Exponential => Curve::Exponential,
        DecayCurve::Gauss => Curve::Gauss,
        DecayCurve::Linear => Curve::Linear,
    }
}
