//! Aggregates as GraphQL and gRPC share them: figures of summaries, bounds of searches, refusals of properties.

use azimuth_engine::object::Date;
use azimuth_engine::query::{Group, GroupValue, Number, Summary, Values};
use azimuth_engine::schema::{Collection, DataType, Primitive, Property};

use super::objects::{beacon, float};
use super::schema::type_names;
use super::texts::{self, no_such_property};
use crate::app::AppError;
use crate::app::search::{SearchError, UNBOUNDED_HITS_MAX};

/// Most frequent values of a text that are shown if the request names no number.
pub(super) const OCCURRENCES_DEFAULT: usize = 5;

/// Figures of numbers.
pub(super) struct Figures<N> {
    pub(super) sum: N,
    pub(super) mean: f64,
    /// Medians and modes need the frequencies of the values.
    pub(super) median: Option<f64>,
    pub(super) mode: Option<N>,
    pub(super) least: N,
    pub(super) greatest: N,
}

/// Figures of dates, as texts.
pub(super) struct DateFigures {
    pub(super) median: Option<String>,
    pub(super) mode: Option<String>,
    pub(super) least: String,
    pub(super) greatest: String,
}

/// The figures of integers; `None` without a value.
pub(super) fn of_ints(values: &Values<i64>, sum: i128) -> Option<Figures<i64>> {
    let (least, greatest) = (values.least?, values.greatest?);
    Some(Figures {
        // A sum beyond 64 bits is shown as the nearest that is possible.
        sum: i64::try_from(sum).unwrap_or(if sum < 0 { i64::MIN } else { i64::MAX }),
        mean: sum as f64 / values.count as f64,
        median: values.middle().map(|(low, high)| (*low as f64 + *high as f64) / 2.0),
        mode: values.mode().copied(),
        least,
        greatest,
    })
}

/// The figures of numbers; `None` without a value.
pub(super) fn of_numbers(values: &Values<Number>, sum: f64) -> Option<Figures<f64>> {
    let (least, greatest) = (values.least?.into(), values.greatest?.into());
    let median = values.middle().map(|(low, high)| (f64::from(*low), f64::from(*high)));
    Some(Figures {
        sum,
        mean: sum / values.count as f64,
        // Halved first: the sum of two large numbers is no number.
        median: median.map(|(low, high)| low / 2.0 + high / 2.0),
        mode: values.mode().map(|mode| (*mode).into()),
        least,
        greatest,
    })
}

/// The figures of dates; `None` without a value.
pub(super) fn of_dates(values: &Values<Date>) -> Option<DateFigures> {
    let (least, greatest) = (values.least?, values.greatest?);
    Some(DateFigures {
        median: values.middle().map(|(low, high)| middle(*low, *high).to_string()),
        mode: values.mode().map(ToString::to_string),
        least: least.to_string(),
        greatest: greatest.to_string(),
    })
}

/// The date in the middle of two.
fn middle(low: Date, high: Date) -> Date {
    if low == high {
        return low;
    }
    let nanos = low.unix_ns() + (high.unix_ns() - low.unix_ns()) / 2;
    let second = 1_000_000_000;
    Date {
        unix_s: i64::try_from(nanos.div_euclid(second)).unwrap_or(low.unix_s),
        nanos: u32::try_from(nanos.rem_euclid(second)).unwrap_or_default(),
        offset_s: 0,
    }
}

/// Shows dates in UTC: aggregates over all objects of a collection have them so, those of lists and others in the form
/// that objects have.
pub(super) fn in_utc<'a>(group: &mut Group, properties: impl Iterator<Item = &'a Property>) {
    for (summary, property) in group.properties.iter_mut().zip(properties) {
        let Summary::Dates(values) = summary else { continue };
        if is_list(property) {
            continue;
        }
        let utc = |date: &mut Date| date.offset_s = 0;
        values.least.iter_mut().chain(&mut values.greatest).for_each(utc);
        values.frequencies.iter_mut().for_each(|(date, _)| utc(date));
        // Dates that differed by their offset alone follow one another.
        values.frequencies.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            if same {
                kept.1 += next.1;
            }
            same
        });
    }
}

/// Part of the values that are true and false; no number without a value.
pub(super) fn percentages(trues: u64, falses: u64) -> (f64, f64) {
    let count = (trues + falses) as f64;
    (trues as f64 / count, falses as f64 / count)
}

/// The targets of a reference property: its collections, or the references of the aggregated objects if a condition
/// selects these.
pub(super) fn pointing_to(property: &Property, summary: &Summary, selected: bool) -> Vec<String> {
    match (summary, &property.data_type) {
        (Summary::References(values), _) if selected => {
            let frequent = values.most_frequent(usize::MAX).into_iter();
            frequent.map(|(target, _)| beacon::text(target.collection.as_deref(), target.id)).collect()
        }
        (_, DataType::Reference(collections)) => collections.clone(),
        _ => Vec::new(),
    }
}

/// The type of a property as aggregates show it.
pub(super) fn type_name(property: &Property) -> String {
    match &property.data_type {
        DataType::Reference(_) => "cref".to_owned(),
        other => type_names(other).into_iter().next().unwrap_or_default(),
    }
}

/// The value of a group as text.
pub(super) fn value_text(value: &GroupValue) -> String {
    match value {
        GroupValue::Bool(value) => value.to_string(),
        GroupValue::Int(value) => value.to_string(),
        GroupValue::Number(value) => float((*value).into()),
        GroupValue::Date(date) => date.to_string(),
        GroupValue::Uuid(id) => id.to_string(),
        GroupValue::Text(text) => text.clone(),
        GroupValue::Reference(to) => beacon::text(to.collection.as_deref(), to.id),
    }
}

fn is_list(property: &Property) -> bool {
    matches!(property.data_type, DataType::Primitive { list: true, .. })
}

/// The property to aggregate. `whole`: over all objects of the collection, which needs an index of a single value.
///
/// # Errors
/// The reason, with its path up to the shard.
pub(super) fn checked<'a>(collection: &'a Collection, name: &str, whole: bool) -> Result<&'a Property, String> {
    let refuse = |why: String| Err(format!("aggregate properties: property {name}: {why}"));
    let Some(property) = collection.property(name) else {
        return refuse(format!("property {name}: {}", no_such_property(name, &collection.name)));
    };
    let of = match &property.data_type {
        DataType::Reference(_) => return Ok(property),
        DataType::Object { .. } => None,
        DataType::Primitive { of, .. } => Some(of),
    };
    match of {
        Some(Primitive::Text) => Ok(property),
        Some(Primitive::Int | Primitive::Number | Primitive::Boolean | Primitive::Date) => {
            if whole && !property.filterable && !is_list(property) {
                return refuse(format!("could not find bucket for prop {name}"));
            }
            Ok(property)
        }
        Some(Primitive::GeoCoordinates) => refuse("dataType geoCoordinates can't be aggregated".to_owned()),
        _ => refuse(format!("unrecoginzed dataType {}", type_name(property))),
    }
}

/// The text of a failed aggregation; those about a search have no path.
pub(super) fn failed(error: &AppError) -> String {
    match error {
        AppError::Search(error) => match error.as_ref() {
            SearchError::NoObject => "nearObject params: vector not found".to_owned(),
            SearchError::NoVector(id) => {
                format!("nearObject params: nearObject search-object with id {id} has no vector")
            }
            SearchError::NoNamedVector(name) => format!("nearObject params: vector not found for target: {name}"),
            SearchError::Shard { shard, error, .. } => format!("shard {shard}: {}", texts::app(&error.clone().into())),
            SearchError::Follow(_) | SearchError::Read(_) => texts::app(&AppError::Search(error.clone())),
        },
        error => texts::app(error),
    }
}

/// How far a search looks that is aggregated.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Bound {
    pub(super) distance: Option<f64>,
    pub(super) certainty: Option<f64>,
    /// Objects at most.
    pub(super) object_limit: Option<usize>,
}

/// A search has no bound.
const NO_BOUND: &str = "must provide certainty or objectLimit with vector search";

impl Bound {
    /// Hits at most, and the farthest distance. A distance counts as the certainty that it would be of cosine vectors.
    ///
    /// # Errors
    /// When nothing bounds the search; `shard` is the name of a shard.
    pub(super) fn limits(self, shard: &str) -> Result<(usize, Option<f32>), String> {
        let certainty = self.certainty.or_else(|| self.distance.map(|distance| 1.0 - distance / 2.0));
        match (certainty, self.object_limit) {
            (None, None) => return Err(NO_BOUND.to_owned()),
            (Some(certainty), None) if certainty <= 0.0 => return Err(format!("shard {shard}: {NO_BOUND}")),
            _ => {}
        }
        let distance = certainty.filter(|certainty| *certainty > 0.0).map(|certainty| ((1.0 - certainty) * 2.0) as f32);
        Ok((self.object_limit.unwrap_or(usize::MAX).min(UNBOUNDED_HITS_MAX), distance))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::schema::defaults::new_property;

    fn date(unix_s: i64, offset_s: i32) -> Date {
        Date { unix_s, nanos: 0, offset_s }
    }

    #[test]
    fn a_date_between_two_is_in_utc() {
        assert_eq!(middle(date(10, 3_600), date(10, 3_600)), date(10, 3_600));
        assert_eq!(middle(date(10, 3_600), date(20, 0)), date(15, 0));
        assert_eq!(middle(date(-1, 0), date(0, 0)), Date { unix_s: -1, nanos: 500_000_000, offset_s: 0 });
    }

    #[test]
    fn single_dates_in_utc_are_counted_together() {
        let frequencies = vec![(date(5, -60), 1), (date(5, 60), 2), (date(6, 0), 1)];
        let values = Values { count: 4, least: Some(date(5, -60)), greatest: Some(date(6, 0)), frequencies };
        let dates = || Summary::Dates(values.clone());
        let mut group = Group { value: None, count: 4, properties: vec![dates(), dates()] };
        let single = new_property("day", DataType::one(Primitive::Date));
        let list = new_property("days", DataType::list(Primitive::Date));
        in_utc(&mut group, [&single, &list].into_iter());
        let Summary::Dates(in_utc) = &group.properties[0] else { panic!("dates") };
        assert_eq!(in_utc.frequencies, [(date(5, 0), 3), (date(6, 0), 1)]);
        assert_eq!(in_utc.least, Some(date(5, 0)));
        assert_eq!(group.properties[1], dates());
    }

    #[test]
    fn a_distance_bounds_as_the_certainty_of_cosine() {
        let bound = |distance, certainty, object_limit| Bound { distance, certainty, object_limit }.limits("s");
        assert_eq!(bound(None, None, None), Err(NO_BOUND.to_owned()));
        assert_eq!(bound(Some(4.0), None, None), Err(format!("shard s: {NO_BOUND}")));
        assert_eq!(bound(Some(4.0), None, Some(2)), Ok((2, None)));
        assert_eq!(bound(None, Some(0.5), Some(2)), Ok((2, Some(1.0))));
        assert_eq!(bound(Some(-1.0), None, None).map(|(_, distance)| distance), Ok(Some(-1.0)));
    }
}
