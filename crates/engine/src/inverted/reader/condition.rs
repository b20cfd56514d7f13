//! Single comparisons: what each subject and type makes of each operator.

use std::ops::Bound;

use roaring::RoaringTreemap;
use uuid::Uuid;

use super::like::Pattern;
use super::lookup::{Lookup, SELF};
use super::{geo, text};
use crate::error::{FilterError, IndexedPart, ValueKind};
use crate::inverted::form::terms;
use crate::object::Geo;
use crate::query::{FilterValue, Operator};
use crate::schema::{DataType, Primitive, Property};
use crate::storage::Family;
use crate::storage::key::{self, InvKind};
use crate::{Error, Result};

/// Compares a property's value.
pub(crate) fn property(
    lookup: &Lookup<'_>,
    name: &str,
    operator: Operator,
    value: &FilterValue,
) -> Result<RoaringTreemap> {
    let property = lookup.property(name)?;
    if operator == Operator::IsNull {
        return is_null(lookup, property, value);
    }
    if !terms::is_indexed(property) {
        return Err(FilterError::NotFilterable(property.name.clone()).into());
    }
    match operator {
        Operator::ContainsAny | Operator::ContainsAll | Operator::ContainsNone => {
            let FilterValue::List(members) = value else {
                return Err(FilterError::NotAList { wanted: stored_kind(property), given: kind(value) }.into());
            };
            contains(lookup, operator, members, |member| single(lookup, property, Operator::Equal, member))
        }
        // Of a text of several tokens, objects that have none of them.
        Operator::NotEqual if property.data_type.is_text() => {
            Ok(lookup.complement(&text::any(lookup, property, value)?))
        }
        Operator::NotEqual => {
            let equal = single(lookup, property, Operator::Equal, value)?;
            if !property.filterable && !property.searchable {
                // With the range index alone only objects that have a value are known.
                let (kind, any) = (kind_of(property), (Bound::Unbounded, Bound::Unbounded));
                return match kind {
                    Some(kind) => Ok(lookup.values(property.id, kind, any)? - equal),
                    None => Ok(lookup.complement(&equal)),
                };
            }
            Ok(lookup.complement(&equal))
        }
        _ => single(lookup, property, operator, value),
    }
}

/// `Contains*` of members that are each compared by `equal`.
fn contains(
    lookup: &Lookup<'_>,
    operator: Operator,
    members: &[FilterValue],
    equal: impl Fn(&FilterValue) -> Result<RoaringTreemap>,
) -> Result<RoaringTreemap> {
    let sets = operator.of_members(members.iter().map(equal))?.into_iter();
    let any = |sets: std::vec::IntoIter<RoaringTreemap>| sets.fold(RoaringTreemap::new(), |any, set| any | set);
    Ok(match operator {
        Operator::ContainsAll => sets.reduce(|all, set| all & set).unwrap_or_default(),
        Operator::ContainsNone => lookup.complement(&any(sets)),
        _ => any(sets),
    })
}

/// One comparison with one value; not `NotEqual`, `Contains*` or `IsNull`.
fn single(lookup: &Lookup<'_>, property: &Property, operator: Operator, value: &FilterValue) -> Result<RoaringTreemap> {
    let DataType::Primitive { of, .. } = property.data_type else {
        return match property.data_type {
            DataType::Object { .. } => Err(FilterError::NotFilterable(property.name.clone()).into()),
            _ => Err(FilterError::OnlyCountable(property.name.clone()).into()),
        };
    };
    if operator == Operator::WithinGeoRange {
        return within(lookup, property, value);
    }
    match of {
        Primitive::Text => text::compare(lookup, property, operator, value),
        Primitive::GeoCoordinates | Primitive::PhoneNumber | Primitive::Blob | Primitive::BlobHash => {
            Err(not_indexed(property, IndexedPart::Values))
        }
        Primitive::Int | Primitive::Number | Primitive::Boolean | Primitive::Date | Primitive::Uuid => {
            let bytes = scalar(of, value)?;
            let kind = kind_of(property).ok_or_else(|| not_indexed(property, IndexedPart::Values))?;
            ordered(operator, of, &bytes, |bounds| match bounds {
                Some(bounds) => lookup.values(property.id, kind, bounds),
                None => lookup.value(property.id, kind, &bytes),
            })
        }
    }
}

/// Values from one to another.
pub(crate) type Bounds<'v> = (Bound<&'v [u8]>, Bound<&'v [u8]>);

/// Runs `find` with the bounds of an ordering operator, or with `None` for equality.
pub(crate) fn ordered<'v>(
    operator: Operator,
    of: Primitive,
    bytes: &'v [u8],
    find: impl FnOnce(Option<Bounds<'v>>) -> Result<RoaringTreemap>,
) -> Result<RoaringTreemap> {
    match operator {
        Operator::Equal => find(None),
        // On booleans, like is equal.
        Operator::Like if of == Primitive::Boolean => find(None),
        operator => match bounds(operator, bytes) {
            Some(bounds) => find(Some(bounds)),
            None => Err(wrong_operator(operator, of)),
        },
    }
}

/// The values that an ordering operator lets through.
pub(crate) fn bounds(operator: Operator, bytes: &[u8]) -> Option<Bounds<'_>> {
    Some(match operator {
        Operator::GreaterThan => (Bound::Excluded(bytes), Bound::Unbounded),
        Operator::GreaterThanEqual => (Bound::Included(bytes), Bound::Unbounded),
        Operator::LessThan => (Bound::Unbounded, Bound::Excluded(bytes)),
        Operator::LessThanEqual => (Bound::Unbounded, Bound::Included(bytes)),
        _ => return None,
    })
}

pub(crate) fn kind_of(property: &Property) -> Option<InvKind> {
    let DataType::Primitive { of, .. } = property.data_type else { return None };
    match of {
        Primitive::Int => Some(InvKind::Int),
        Primitive::Number => Some(InvKind::Number),
        Primitive::Boolean => Some(InvKind::Bool),
        Primitive::Date => Some(InvKind::Date),
        Primitive::Uuid => Some(InvKind::Uuid),
        Primitive::Text
        | Primitive::GeoCoordinates
        | Primitive::PhoneNumber
        | Primitive::Blob
        | Primitive::BlobHash => None,
    }
}

/// The value as it stands in keys of that type.
pub(crate) fn scalar(of: Primitive, value: &FilterValue) -> Result<Vec<u8>> {
    Ok(match (of, value) {
        (Primitive::Int, FilterValue::Int(value)) => key::ordered_i64(*value).to_vec(),
        (Primitive::Number, FilterValue::Number(value)) => key::ordered_f64(*value).to_vec(),
        #[expect(clippy::cast_precision_loss, reason = "numbers are doubles")]
        (Primitive::Number, FilterValue::Int(value)) => key::ordered_f64(*value as f64).to_vec(),
        (Primitive::Boolean, FilterValue::Bool(value)) => vec![u8::from(*value)],
        (Primitive::Date, FilterValue::Date(date)) => terms::date_key(*date).to_vec(),
        (Primitive::Uuid, FilterValue::Uuid(id)) => id.as_bytes().to_vec(),
        (Primitive::Uuid, FilterValue::Text(text)) => match Uuid::try_parse(text) {
            Ok(id) => id.as_bytes().to_vec(),
            Err(_) => return Err(FilterError::NotAUuid(text.clone()).into()),
        },
        (of, value) => return Err(wrong_kind(of, value)),
    })
}

pub(crate) fn wrong_kind(of: Primitive, value: &FilterValue) -> Error {
    FilterError::WrongKind { wanted: primitive_kind(of), given: kind(value) }.into()
}

pub(crate) fn wrong_operator(operator: Operator, of: Primitive) -> Error {
    FilterError::WrongOperator { operator: format!("{operator:?}"), kind: primitive_kind(of) }.into()
}

pub(crate) fn wrong_text(value: &FilterValue) -> Error {
    wrong_kind(Primitive::Text, value)
}

fn within(lookup: &Lookup<'_>, property: &Property, value: &FilterValue) -> Result<RoaringTreemap> {
    let geo_property = matches!(property.data_type, DataType::Primitive { of: Primitive::GeoCoordinates, list: false });
    let FilterValue::GeoRange { center, max_distance_m } = value else {
        return Err(FilterError::NotAGeoRange(kind(value)).into());
    };
    if !geo_property {
        return Err(FilterError::NotAPlace(property.name.clone()).into());
    }
    let max_m = f64::from(*max_distance_m);
    let band = geo::latitudes(*center, max_m).map(|(low, high)| (key::ordered_f32(low), key::ordered_f32(high)));
    let bounds = match &band {
        Some((low, high)) => (Bound::Included(low.as_slice()), Bound::Included(high.as_slice())),
        None => (Bound::Unbounded, Bound::Unbounded),
    };
    lookup.values_where(property.id, InvKind::Geo, bounds, |value| {
        let (latitude, longitude) = value.split_first_chunk::<4>().ok_or_else(damaged_geo)?;
        let longitude = longitude.try_into().map_err(|_| damaged_geo())?;
        let found = Geo { latitude: key::parse_f32(*latitude), longitude: key::parse_f32(longitude) };
        Ok(geo::distance_m(*center, found) <= max_m)
    })
}

fn damaged_geo() -> Error {
    Error::DamagedIndex("geo coordinates".into())
}

fn is_null(lookup: &Lookup<'_>, property: &Property, value: &FilterValue) -> Result<RoaringTreemap> {
    let FilterValue::Bool(null) = value else { return Err(wrong_kind(Primitive::Boolean, value)) };
    if !lookup.schema.inverted.index_null_state {
        return Err(FilterError::NullsNotIndexed.into());
    }
    if !terms::is_indexed(property) {
        return Err(not_indexed(property, IndexedPart::Nulls));
    }
    if !terms::has_null_state(property) {
        return Ok(RoaringTreemap::new());
    }
    let present = lookup.value(property.id, InvKind::Present, &[])?;
    Ok(if *null { lookup.complement(&present) } else { present })
}

fn not_indexed(property: &Property, part: IndexedPart) -> Error {
    FilterError::NotIndexed { property: property.name.clone(), part }.into()
}

/// Compares a property's length.
pub(crate) fn length(
    lookup: &Lookup<'_>,
    name: &str,
    operator: Operator,
    value: &FilterValue,
) -> Result<RoaringTreemap> {
    let property = lookup.property(name)?;
    if !lookup.schema.inverted.index_property_length {
        return Err(FilterError::LengthsNotIndexed(lookup.schema.name.clone()).into());
    }
    let has_length = match &property.data_type {
        DataType::Primitive { of, list } => (*list || *of == Primitive::Text) && terms::has_null_state(property),
        DataType::Reference(_) => true,
        DataType::Object { .. } => false,
    };
    if !has_length || !terms::is_indexed(property) {
        return Err(not_indexed(property, IndexedPart::Lengths));
    }
    if operator == Operator::IsNull {
        return Err(FilterError::NullLength(property.name.clone()).into());
    }
    // What is missing has length 0 only where null state is indexed too.
    count(lookup, property, operator, value, lookup.schema.inverted.index_null_state)
}

/// Compares the number of references; none at all is 0.
pub(crate) fn reference_count(
    lookup: &Lookup<'_>,
    name: &str,
    operator: Operator,
    value: &FilterValue,
) -> Result<RoaringTreemap> {
    let property = lookup.property(name)?;
    count(lookup, property, operator, value, true)
}

fn count(
    lookup: &Lookup<'_>,
    property: &Property,
    operator: Operator,
    value: &FilterValue,
    missing_is_zero: bool,
) -> Result<RoaringTreemap> {
    if let (FilterValue::List(members), Operator::ContainsAny | Operator::ContainsAll | Operator::ContainsNone) =
        (value, operator)
    {
        let equal = |member: &FilterValue| count(lookup, property, Operator::Equal, member, missing_is_zero);
        return contains(lookup, operator, members, equal);
    }
    let FilterValue::Int(wanted) = value else { return Err(wrong_kind(Primitive::Int, value)) };
    // As on the wire: a negative number compares as a very large one.
    let wanted = wanted.cast_unsigned();
    if operator == Operator::NotEqual {
        return Ok(lookup.complement(&count(lookup, property, Operator::Equal, value, missing_is_zero)?));
    }
    let bytes = wanted.to_be_bytes();
    let found = ordered(operator, Primitive::Int, &bytes, |bounds| match bounds {
        Some(bounds) => lookup.values(property.id, InvKind::Length, bounds),
        None => lookup.value(property.id, InvKind::Length, &bytes),
    })?;
    let zero_matches = match operator {
        Operator::Equal | Operator::GreaterThanEqual => wanted == 0,
        Operator::LessThan => wanted > 0,
        Operator::LessThanEqual => true,
        _ => false,
    };
    if !missing_is_zero || !zero_matches {
        return Ok(found);
    }
    let all = lookup.values(property.id, InvKind::Length, (Bound::Unbounded, Bound::Unbounded))?;
    Ok(found | lookup.complement(&all))
}

/// Compares a time of the object.
pub(crate) fn time(
    lookup: &Lookup<'_>,
    kind: InvKind,
    operator: Operator,
    value: &FilterValue,
) -> Result<RoaringTreemap> {
    if !lookup.schema.inverted.index_timestamps {
        return Err(FilterError::TimesNotIndexed(lookup.schema.name.clone()).into());
    }
    if operator == Operator::NotEqual {
        return Ok(lookup.complement(&time(lookup, kind, Operator::Equal, value)?));
    }
    if let FilterValue::List(members) = value {
        return contains(lookup, operator, members, |member| time(lookup, kind, Operator::Equal, member));
    }
    let bytes = key::ordered_i64(millis(value)?);
    ordered(operator, Primitive::Date, &bytes, |bounds| match bounds {
        Some(bounds) => lookup.values(SELF, kind, bounds),
        None => lookup.value(SELF, kind, &bytes),
    })
}

fn millis(value: &FilterValue) -> Result<i64> {
    match value {
        FilterValue::Int(ms) => Ok(*ms),
        FilterValue::Date(date) => {
            let ms = date.unix_ns().div_euclid(1_000_000);
            i64::try_from(ms).map_err(|_| FilterError::TimeOutOfRange(date.to_string()).into())
        }
        FilterValue::Text(text) => text.parse().map_err(|_| FilterError::NotATime(text.clone()).into()),
        other => Err(FilterError::WrongTimeKind(kind(other)).into()),
    }
}

/// Compares the object's id as its lower-case text.
pub(crate) fn id(lookup: &Lookup<'_>, operator: Operator, value: &FilterValue) -> Result<RoaringTreemap> {
    match operator {
        Operator::NotEqual => return Ok(lookup.complement(&id(lookup, Operator::Equal, value)?)),
        Operator::ContainsAny | Operator::ContainsAll | Operator::ContainsNone => {
            let FilterValue::List(members) = value else {
                return Err(FilterError::NotAList { wanted: ValueKind::Text, given: kind(value) }.into());
            };
            return contains(lookup, operator, members, |member| id(lookup, Operator::Equal, member));
        }
        Operator::IsNull | Operator::WithinGeoRange => return Err(wrong_text(value)),
        _ => {}
    }
    let wanted = match value {
        FilterValue::Uuid(id) => id.to_string(),
        FilterValue::Text(text) => text.to_lowercase(),
        other => return Err(wrong_text(other)),
    };
    let exact = Uuid::try_parse(&wanted).ok();
    match (operator, exact) {
        (Operator::Equal, Some(id)) => {
            let row = lookup.view.store.get(Family::Ids, &lookup.view.prefix.id(id))?;
            let doc_id = row.map(|row| key::parse_doc_id(&row)).transpose()?;
            Ok(doc_id.iter().map(|doc_id| doc_id.0).filter(|doc_id| lookup.view.live.contains(*doc_id)).collect())
        }
        (Operator::Equal, None) => Ok(RoaringTreemap::new()),
        (Operator::Like, _) => {
            let pattern = Pattern::new(&wanted);
            ids_where(lookup, |id| pattern.matches(id))
        }
        (operator, _) => ids_where(lookup, |id| match operator {
            Operator::GreaterThan => id > wanted.as_str(),
            Operator::GreaterThanEqual => id >= wanted.as_str(),
            Operator::LessThan => id < wanted.as_str(),
            _ => id <= wanted.as_str(),
        }),
    }
}

fn ids_where(lookup: &Lookup<'_>, wanted: impl Fn(&str) -> bool) -> Result<RoaringTreemap> {
    let mut found = RoaringTreemap::new();
    let mut cursor = lookup.view.store.cursor(Family::Ids, lookup.view.prefix.bytes(), None);
    cursor.seek(lookup.view.prefix.bytes());
    while let Some((key, value)) = cursor.item()? {
        let mut text = Uuid::encode_buffer();
        if wanted(key::parse_id(key)?.hyphenated().encode_lower(&mut text)) {
            found.insert(key::parse_doc_id(value)?.0);
        }
        cursor.next();
    }
    Ok(lookup.view.live.and(&found))
}

pub(crate) fn stored_kind(property: &Property) -> ValueKind {
    match property.data_type {
        DataType::Primitive { of, .. } => primitive_kind(of),
        DataType::Object { .. } => ValueKind::Object,
        DataType::Reference(_) => ValueKind::Reference,
    }
}

fn primitive_kind(of: Primitive) -> ValueKind {
    match of {
        Primitive::Int => ValueKind::Int,
        Primitive::Number => ValueKind::Number,
        Primitive::Boolean => ValueKind::Bool,
        Primitive::Date => ValueKind::Date,
        Primitive::Text => ValueKind::Text,
        Primitive::Uuid => ValueKind::Uuid,
        Primitive::Blob | Primitive::BlobHash => ValueKind::Blob,
        Primitive::GeoCoordinates => ValueKind::Geo,
        Primitive::PhoneNumber => ValueKind::Phone,
    }
}

/// The kind of a value. An empty list counts as a list of texts.
pub(crate) fn kind(value: &FilterValue) -> ValueKind {
    match value {
        FilterValue::Bool(_) => ValueKind::Bool,
        FilterValue::Int(_) => ValueKind::Int,
        FilterValue::Number(_) => ValueKind::Number,
        FilterValue::Text(_) => ValueKind::Text,
        FilterValue::Uuid(_) => ValueKind::Uuid,
        FilterValue::Date(_) => ValueKind::Date,
        FilterValue::GeoRange { .. } => ValueKind::Geo,
        FilterValue::List(members) => ValueKind::List(Box::new(members.first().map_or(ValueKind::Text, kind))),
    }
}
