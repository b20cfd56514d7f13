//! Clauses against the schema: which subject is meant, and what its values are.

use azimuth_engine::meta::Catalog;
use azimuth_engine::object::Geo;
use azimuth_engine::query::{Filter, FilterValue, Operator, Path, PathStep, Subject};
use azimuth_engine::schema::{Collection, DataType, Primitive, Property};

use super::{Clause, FilterError, Given, Leaf, Scalar, nested};
use crate::app::objects::date;
use crate::settings::flag;
use crate::weaviate::objects::float;
use crate::weaviate::texts::no_such_property;

/// How closely the field of a value must fit the property.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kinds {
    /// REST and GraphQL: `valueInt` for int, and so on.
    Strict,
    /// gRPC: numbers, ints and texts are converted into each other for number properties.
    Coerced,
}

/// The engine's filter.
pub(super) fn filter(
    catalog: &Catalog,
    collection: &Collection,
    clause: &Clause,
    kinds: Kinds,
) -> Result<Filter, FilterError> {
    let all = |clauses: &[Clause]| -> Result<Vec<Filter>, FilterError> {
        let (mut filters, mut refused) = (Vec::with_capacity(clauses.len()), Vec::new());
        for (position, clause) in clauses.iter().enumerate() {
            match filter(catalog, collection, clause, kinds) {
                Ok(filter) => filters.push(filter),
                Err(FilterError::Invalid(why)) if kinds == Kinds::Strict => {
                    refused.push(format!("child operand at position {position}: {why}"));
                }
                Err(error) => return Err(error),
            }
        }
        if refused.is_empty() { Ok(filters) } else { Err(invalid(refused.join(", "))) }
    };
    Ok(match clause {
        Clause::And(operands) => Filter::And(all(operands)?),
        Clause::Or(operands) => Filter::Or(all(operands)?),
        Clause::Not(operand) => {
            let operand = all(std::slice::from_ref(operand))?.pop().ok_or_else(|| invalid("no operand".to_owned()))?;
            Filter::Not(Box::new(operand))
        }
        Clause::Leaf(leaf) => compare(catalog, collection, leaf, kinds)?,
    })
}

fn compare(catalog: &Catalog, collection: &Collection, leaf: &Leaf, kinds: Kinds) -> Result<Filter, FilterError> {
    let mut through = Vec::new();
    let mut class = collection;
    let mut parts = leaf.path.as_slice();
    while let [property, next, rest @ ..] = parts {
        if rest.is_empty() {
            break;
        }
        through.push(PathStep { property: property.clone(), collection: next.clone() });
        class = catalog.find(next).map(AsRef::as_ref).ok_or_else(|| match kinds {
            Kinds::Strict => invalid(format!("class {next:?} does not exist in schema")),
            Kinds::Coerced => invalid(format!("could not find class {next} in schema")),
        })?;
        parts = rest;
    }
    let name = parts.first().map_or("", String::as_str);
    let (subject, value) = subject(class, name, leaf, kinds)?;
    Ok(Filter::Compare { path: Path { through, subject }, operator: leaf.operator, value })
}

fn subject(class: &Collection, name: &str, leaf: &Leaf, kinds: Kinds) -> Result<(Subject, FilterValue), FilterError> {
    match name {
        "_id" => return Ok((Subject::Id, id(&leaf.value, kinds)?)),
        "id" if kinds == Kinds::Strict => return Ok((Subject::Id, id(&leaf.value, kinds)?)),
        "_creationTimeUnix" => return Ok((Subject::CreatedMs, times(name, &leaf.value, kinds)?)),
        "_lastUpdateTimeUnix" => return Ok((Subject::UpdatedMs, times(name, &leaf.value, kinds)?)),
        _ => {}
    }
    let measured = name.strip_prefix("len(").and_then(|rest| rest.strip_suffix(')'));
    let named = measured.unwrap_or(name);
    let property = find_property(class, named).ok_or_else(|| invalid(no_such_property(named, &class.name)))?;
    let (of, targets) = match &property.data_type {
        DataType::Object { .. } => {
            let preview = flag("WEAVIATE_PREVIEW_NESTED_FILTERING", false);
            if measured.is_some() && preview {
                return Err(invalid("property length filtering is not supported for nested properties".to_owned()));
            }
            return nested::subject(property, named, leaf, kinds, preview);
        }
        DataType::Reference(targets) => (None, targets.as_slice()),
        DataType::Primitive { of, .. } => (Some(*of), &[][..]),
    };
    if named.contains('[') {
        let text = format!("property {named:?}: [N] indexing is only supported on nested object[] properties");
        return Err(invalid(text));
    }
    if measured.is_some() {
        return length(property, leaf, kinds);
    }
    let name = property.name.as_str();
    if leaf.operator == Operator::IsNull {
        if kinds == Kinds::Strict && leaf.value.field != "valueBoolean" {
            let given = leaf.value.field;
            return Err(invalid(format!("operator IsNull requires a booleanValue, got {given} instead")));
        }
        return Ok((Subject::Property(name.to_owned()), plain(&leaf.value)));
    }
    let Some(of) = of else { return counted(name, targets, leaf, kinds) };
    if of == Primitive::Uuid && matches!(leaf.operator, Operator::Like | Operator::WithinGeoRange) {
        return Err(invalid(format!("operator \"{:?}\" cannot be used on uuid/uuid[] props", leaf.operator)));
    }
    if leaf.count {
        return Err(invalid(wrong_field(property, leaf.value.field)));
    }
    Ok((Subject::Property(name.to_owned()), typed(property, of, &leaf.value, kinds)?))
}

/// The id, as text.
fn id(value: &Given, kinds: Kinds) -> Result<FilterValue, FilterError> {
    if kinds == Kinds::Strict && !matches!(value.field, "valueText" | "valueString") {
        let text = "using [\"_id\"] to filter by uuid: must use \"valueText\" to specify the id";
        return Err(invalid(text.to_owned()));
    }
    Ok(plain(value))
}

/// How long a property's value is.
fn length(property: &Property, leaf: &Leaf, kinds: Kinds) -> Result<(Subject, FilterValue), FilterError> {
    let given = leaf.value.field;
    if kinds == Kinds::Strict && given != "valueInt" {
        return Err(invalid(format!("Filtering for property length requires IntValue, got {given:?} instead")));
    }
    // The numbers are those by which the wire's texts name these operators.
    let number = match leaf.operator {
        Operator::WithinGeoRange => 9,
        Operator::Like => 10,
        Operator::IsNull => 11,
        Operator::ContainsAny => 12,
        Operator::ContainsAll => 13,
        Operator::ContainsNone => 14,
        Operator::Equal
        | Operator::NotEqual
        | Operator::GreaterThan
        | Operator::GreaterThanEqual
        | Operator::LessThan
        | Operator::LessThanEqual => 0,
    };
    if number > 0 {
        return Err(invalid(format!(
            "Filtering for property length supports operators (not) equal and greater/less than (equal), got {number} \
             instead"
        )));
    }
    let value = numbers(Primitive::Int, &leaf.value, kinds)?;
    match value {
        FilterValue::Int(length) if length < 0 => {
            Err(invalid(format!("Can only filter for positive property length got {length} instead")))
        }
        value => Ok((Subject::Length(property.name.clone()), value)),
    }
}

fn counted(name: &str, targets: &[String], leaf: &Leaf, kinds: Kinds) -> Result<(Subject, FilterValue), FilterError> {
    if leaf.value.field != "valueInt" && kinds == Kinds::Strict {
        let target = targets.first().map_or("", String::as_str);
        return Err(invalid(format!(
            "Property {name:?} is a ref prop to the class {target:?}. Only \"valueInt\" can be used on a ref prop directly \
             to count the number of refs. Or did you mean to filter on a primitive prop of the referenced class? In this \
             case make sure your path contains 3 elements in the form of [<propName>, <ClassNameOfReferencedClass>, \
             <primitvePropOnClass>]"
        )));
    }
    Ok((Subject::ReferenceCount(name.to_owned()), numbers(Primitive::Int, &leaf.value, kinds)?))
}

fn typed(property: &Property, of: Primitive, value: &Given, kinds: Kinds) -> Result<FilterValue, FilterError> {
    if kinds == Kinds::Strict && !fits(of, value.field) {
        let name = &property.name;
        return Err(invalid(match of {
            Primitive::Uuid => format!(
                "property {name:?} is of type \"uuid\" or \"uuid[]\": specify uuid as string using \"valueText\""
            ),
            _ => wrong_field(property, value.field),
        }));
    }
    converted(of, value, kinds)
}

/// Whether the field of a value is the one for properties of that type.
pub(super) fn fits(of: Primitive, field: &str) -> bool {
    match of {
        Primitive::Text | Primitive::Uuid => field == "valueText" || field == "valueString",
        Primitive::Int => field == "valueInt",
        Primitive::Number => field == "valueNumber",
        Primitive::Boolean => field == "valueBoolean",
        Primitive::Date => field == "valueDate",
        Primitive::GeoCoordinates => field == "valueGeoCoordinates",
        Primitive::PhoneNumber | Primitive::Blob | Primitive::BlobHash => false,
    }
}

/// The value in the form of that type.
pub(super) fn converted(of: Primitive, value: &Given, kinds: Kinds) -> Result<FilterValue, FilterError> {
    match of {
        Primitive::Int | Primitive::Number => numbers(of, value, kinds),
        Primitive::Date => dates(value),
        Primitive::GeoCoordinates => geo(value),
        _ => Ok(plain(value)),
    }
}

/// A place and a radius that distances can be compared with.
fn geo(value: &Given) -> Result<FilterValue, FilterError> {
    each(value, |scalar| {
        if let Scalar::Geo { latitude, longitude, max_distance_m } = scalar {
            if !latitude.is_finite() || !longitude.is_finite() {
                return Err(invalid(format!(
                    "filtering for a geo range: latitude {latitude} and longitude {longitude} must be finite numbers"
                )));
            }
            if max_distance_m.is_nan() || *max_distance_m < 0.0 {
                return Err(invalid(format!(
                    "filtering for a geo range: the distance must be a positive number, got {max_distance_m}"
                )));
            }
        }
        Ok(as_given(scalar))
    })
}

pub(super) fn wrong_field(property: &Property, field: &str) -> String {
    let type_name = wire_name(&property.data_type);
    let wanted = match type_name.trim_end_matches("[]") {
        "text" => "valueText",
        "int" => "valueInt",
        "number" => "valueNumber",
        "boolean" => "valueBoolean",
        "date" => "valueDate",
        "geoCoordinates" => "valueGeoCoordinates",
        "phoneNumber" => "valuePhoneNumber",
        "blob" => "valueBlob",
        _ => "valueText",
    };
    format!("data type filter cannot use {field:?} on type {type_name:?}, use {wanted:?} instead")
}

/// The values as they were given.
pub(super) fn plain(value: &Given) -> FilterValue {
    each(value, |scalar| Ok(as_given(scalar))).unwrap_or(FilterValue::List(Vec::new()))
}

fn as_given(scalar: &Scalar) -> FilterValue {
    match scalar {
        Scalar::Text(text) => FilterValue::Text(text.clone()),
        Scalar::Int(value) => FilterValue::Int(*value),
        Scalar::Number(value) => FilterValue::Number(*value),
        Scalar::Bool(value) => FilterValue::Bool(*value),
        Scalar::Geo { latitude, longitude, max_distance_m } => FilterValue::GeoRange {
            center: Geo { latitude: *latitude, longitude: *longitude },
            max_distance_m: *max_distance_m,
        },
    }
}

fn each(
    value: &Given,
    convert: impl Fn(&Scalar) -> Result<FilterValue, FilterError>,
) -> Result<FilterValue, FilterError> {
    if value.list {
        return Ok(FilterValue::List(value.scalars.iter().map(convert).collect::<Result<_, _>>()?));
    }
    match value.scalars.first() {
        Some(scalar) => convert(scalar),
        None => Ok(FilterValue::List(Vec::new())),
    }
}

fn numbers(of: Primitive, value: &Given, kinds: Kinds) -> Result<FilterValue, FilterError> {
    let convert = |scalar: &Scalar| match (of, scalar) {
        (Primitive::Number, Scalar::Number(value)) => a_number(*value),
        _ if kinds == Kinds::Strict => Ok(as_given(scalar)),
        (Primitive::Int, Scalar::Number(value)) => integer(*value),
        (Primitive::Int, Scalar::Text(text)) if !value.list => match text.parse::<f64>() {
            Ok(value) => integer(value),
            Err(_) => Err(invalid(format!(
                "expected an integer value, but could not parse string '{text}' as int: strconv.ParseFloat: parsing \
                 {text:?}: invalid syntax"
            ))),
        },
        (Primitive::Number, Scalar::Int(value)) => Ok(FilterValue::Number(*value as f64)),
        (Primitive::Number, Scalar::Text(text)) if !value.list => match text.parse() {
            Ok(value) => a_number(value),
            Err(_) => Err(invalid(format!(
                "expected a number value, but could not parse string '{text}' as float: strconv.ParseFloat: parsing \
                 {text:?}: invalid syntax"
            ))),
        },
        _ => Ok(as_given(scalar)),
    };
    each(value, convert)
}

/// Refuses NaN: whether it is above or below all other numbers would depend on the index.
fn a_number(value: f64) -> Result<FilterValue, FilterError> {
    if value.is_nan() {
        return Err(invalid("filtering for a number, but received NaN".to_owned()));
    }
    Ok(FilterValue::Number(value))
}

fn integer(value: f64) -> Result<FilterValue, FilterError> {
    if value.fract() != 0.0 || !value.is_finite() {
        let value = float(value);
        return Err(invalid(format!("filtering for integer, but received a floating point number {value}")));
    }
    // 2^63 as a double; what is below fits.
    if !(-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&value) {
        let value = float(value);
        return Err(invalid(format!("filtering for integer, but received a value out of range {value}")));
    }
    Ok(FilterValue::Int(value as i64))
}

fn dates(value: &Given) -> Result<FilterValue, FilterError> {
    each(value, |scalar| match scalar {
        Scalar::Text(text) => date_of(text),
        other => Ok(as_given(other)),
    })
}

fn date_of(text: &str) -> Result<FilterValue, FilterError> {
    date::parse(text).map(FilterValue::Date).ok_or_else(|| {
        invalid(format!(
            "trying parse time as RFC3339 string: parsing time {text:?} as \"2006-01-02T15:04:05Z07:00\": cannot parse it"
        ))
    })
}

/// Times of objects: RFC 3339, and over REST and GraphQL also milliseconds.
fn times(name: &str, value: &Given, kinds: Kinds) -> Result<FilterValue, FilterError> {
    if kinds == Kinds::Strict && !matches!(value.field, "valueText" | "valueString" | "valueDate") {
        let why = "to filter by timestamp: must use \"valueText\" or \"valueDate\"";
        return Err(invalid(format!("using [{name:?}] {why}")));
    }
    each(value, |scalar| match scalar {
        Scalar::Text(text) if kinds == Kinds::Strict && text.parse::<i64>().is_ok() => Ok(as_given(scalar)),
        Scalar::Text(text) => date_of(text),
        Scalar::Int(_) if kinds == Kinds::Coerced => {
            Err(invalid("expected value to be string or time.Time, got 'int'".to_owned()))
        }
        other => Ok(as_given(other)),
    })
}

/// The property of that name; a path into what is no object is the property itself.
pub(super) fn find_property<'a>(class: &'a Collection, name: &str) -> Option<&'a Property> {
    class.property(name.split(['.', '[']).next().unwrap_or(name))
}

/// The name of a type on the wire.
pub(crate) fn wire_name(data_type: &DataType) -> String {
    let (name, list) = match data_type {
        DataType::Reference(targets) => return targets.first().cloned().unwrap_or_default(),
        DataType::Object { list } => ("object", *list),
        DataType::Primitive { of, list } => (
            match of {
                Primitive::Text => "text",
                Primitive::Int => "int",
                Primitive::Number => "number",
                Primitive::Boolean => "boolean",
                Primitive::Date => "date",
                Primitive::Uuid => "uuid",
                Primitive::GeoCoordinates => "geoCoordinates",
                Primitive::PhoneNumber => "phoneNumber",
                Primitive::Blob => "blob",
                Primitive::BlobHash => "blobHash",
            },
            *list,
        ),
    };
    if list { format!("{name}[]") } else { name.to_owned() }
}

pub(super) fn invalid(why: String) -> FilterError {
    FilterError::Invalid(why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_number_is_refused() {
        assert!(a_number(f64::NAN).is_err());
        assert_eq!(a_number(f64::INFINITY), Ok(FilterValue::Number(f64::INFINITY)));
        let range = |latitude, longitude, max_distance_m| {
            let scalars = vec![Scalar::Geo { latitude, longitude, max_distance_m }];
            geo(&Given { field: "valueGeoCoordinates", scalars, list: false }).is_ok()
        };
        assert!(range(53.5, 10.0, 0.0) && range(53.5, 10.0, f32::MAX));
        assert!(!range(f32::NAN, 10.0, 1.0) && !range(53.5, f32::INFINITY, 1.0));
        assert!(!range(53.5, 10.0, f32::NAN) && !range(53.5, 10.0, -1.0));
    }
}
