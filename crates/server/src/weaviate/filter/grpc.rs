//! Filters as gRPC messages.

use azimuth_engine::meta::Catalog;
use azimuth_engine::query::Operator;
use azimuth_engine::schema::{Collection, DataType};

use super::resolve::{find_property, wire_name};
use super::{Clause, FilterError, Given, Leaf, Scalar, too_deep};
use crate::app::schema::names::lower_first;
use crate::pb::weaviate::filter_target::Target;
use crate::pb::weaviate::filters::{Operator as Wire, TestValue};
use crate::pb::weaviate::{FilterTarget, Filters};
use crate::weaviate::texts::no_such_property;

/// Reads a message that may nest `depth` more.
pub(super) fn clause(
    catalog: &Catalog,
    collection: &Collection,
    filters: &Filters,
    depth: usize,
) -> Result<Clause, FilterError> {
    if depth == 0 {
        return Err(too_deep(0));
    }
    let operands = || -> Result<Vec<Clause>, FilterError> {
        if filters.filters.is_empty() {
            return Err(FilterError::Parse("a logical operator needs at least one operand".to_owned()));
        }
        filters.filters.iter().map(|operand| clause(catalog, collection, operand, depth - 1)).collect()
    };
    let operator = match filters.operator() {
        Wire::And => return Ok(Clause::And(operands()?)),
        Wire::Or => return Ok(Clause::Or(operands()?)),
        Wire::Not => {
            let mut operands = operands()?;
            let given = operands.len();
            return match operands.pop() {
                Some(operand) if given == 1 => Ok(Clause::Not(Box::new(operand))),
                _ => Err(FilterError::Parse(format!(
                    "resolve doc ids for prop/value pair: too many children for operator \"Not\". Expected 1, given {given}"
                ))),
            };
        }
        Wire::Unspecified => return Err(FilterError::Parse("unknown filter operator OPERATOR_UNSPECIFIED".to_owned())),
        Wire::Equal => Operator::Equal,
        Wire::NotEqual => Operator::NotEqual,
        Wire::GreaterThan => Operator::GreaterThan,
        Wire::GreaterThanEqual => Operator::GreaterThanEqual,
        Wire::LessThan => Operator::LessThan,
        Wire::LessThanEqual => Operator::LessThanEqual,
        Wire::WithinGeoRange => Operator::WithinGeoRange,
        Wire::Like => Operator::Like,
        Wire::IsNull => Operator::IsNull,
        Wire::ContainsAny => Operator::ContainsAny,
        Wire::ContainsAll => Operator::ContainsAll,
        Wire::ContainsNone => Operator::ContainsNone,
    };
    let (path, count) = path(catalog, collection, filters)?;
    let value = given(filters.test_value.as_ref())?;
    Ok(Clause::Leaf(Leaf { path, operator, value, count }))
}

#[expect(deprecated, reason = "old clients still send `on`")]
fn path(catalog: &Catalog, collection: &Collection, filters: &Filters) -> Result<(Vec<String>, bool), FilterError> {
    let Some(target) = &filters.target else {
        if filters.on.len().is_multiple_of(2) {
            return Err(FilterError::Parse(format!(
                "paths needs to have a uneven number of components: property, class, property, ...., got [{}]",
                filters.on.join(" ")
            )));
        }
        return Ok((filters.on.clone(), false));
    };
    let mut path = Vec::new();
    let count = walk(catalog, collection, target, &mut path)?;
    Ok((path, count))
}

/// Appends a target's path; answers whether references are counted at its end.
fn walk(
    catalog: &Catalog,
    collection: &Collection,
    target: &FilterTarget,
    path: &mut Vec<String>,
) -> Result<bool, FilterError> {
    let (on, inner, class) = match &target.target {
        None => return Err(FilterError::Parse("unknown target type ".to_owned())),
        Some(Target::Property(name)) => {
            path.push(name.clone());
            return Ok(false);
        }
        Some(Target::Count(count)) => {
            path.push(lower_first(&count.on));
            return Ok(true);
        }
        Some(Target::SingleTarget(single)) => {
            let lowered = lower_first(&single.on);
            let property = find_property(collection, &lowered)
                .ok_or_else(|| FilterError::Invalid(no_such_property(&single.on, &collection.name)))?;
            let class = match &property.data_type {
                DataType::Reference(targets) => match targets.as_slice() {
                    [only] => only.clone(),
                    several => {
                        return Err(FilterError::Invalid(format!(
                            "expected reference property with a single target, got [{}] for {} ",
                            several.join(" "),
                            single.on
                        )));
                    }
                },
                plain => wire_name(plain),
            };
            (lowered, &single.target, class)
        }
        Some(Target::MultiTarget(multi)) => (lower_first(&multi.on), &multi.target, multi.target_collection.clone()),
    };
    let Some(next) = catalog.find(&class) else {
        return Err(FilterError::Invalid(format!("could not find class {class} in schema")));
    };
    let Some(inner) = inner else { return Err(FilterError::Parse("unknown target type ".to_owned())) };
    path.extend([on, class]);
    walk(catalog, next, inner, path)
}

fn given(value: Option<&TestValue>) -> Result<Given, FilterError> {
    let one = |field, scalar| Ok(Given { field, scalars: vec![scalar], list: false });
    match value {
        None => Err(FilterError::Parse("unknown value type <nil>".to_owned())),
        Some(TestValue::ValueText(text)) => one("valueText", Scalar::Text(text.clone())),
        Some(TestValue::ValueInt(value)) => one("valueInt", Scalar::Int(*value)),
        Some(TestValue::ValueBoolean(value)) => one("valueBoolean", Scalar::Bool(*value)),
        Some(TestValue::ValueNumber(value)) => one("valueNumber", Scalar::Number(*value)),
        Some(TestValue::ValueGeo(geo)) => one(
            "valueGeoCoordinates",
            Scalar::Geo { latitude: geo.latitude, longitude: geo.longitude, max_distance_m: geo.distance },
        ),
        Some(TestValue::ValueTextArray(list)) => Ok(many("valueText", list.values.iter().cloned().map(Scalar::Text))),
        Some(TestValue::ValueIntArray(list)) => Ok(many("valueInt", list.values.iter().copied().map(Scalar::Int))),
        Some(TestValue::ValueBooleanArray(list)) => {
            Ok(many("valueBoolean", list.values.iter().copied().map(Scalar::Bool)))
        }
        Some(TestValue::ValueNumberArray(list)) => {
            Ok(many("valueNumber", list.values.iter().copied().map(Scalar::Number)))
        }
    }
}

fn many(field: &'static str, scalars: impl Iterator<Item = Scalar>) -> Given {
    Given { field, scalars: scalars.collect(), list: true }
}
