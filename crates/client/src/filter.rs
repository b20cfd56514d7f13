//! Conditions on objects: every operator of the wire.
//!
//! ```
//! use azimuth_client::Filter;
//! let recent = Filter::property("year").greater_or_equal(2020);
//! let german = Filter::property("lang").equal("de");
//! let filter = recent & (german | !Filter::property("tags").contains_any(["draft", "old"]));
//! # let _ = filter;
//! ```

use std::ops::{BitAnd, BitOr, Not};

use crate::proto::weaviate::v1 as pb;
use pb::filter_target::Target;
use pb::filters::{Operator, TestValue};

/// A condition that an object meets or does not meet. Combine conditions with `&`, `|` and `!`.
#[derive(Debug, Clone, PartialEq)]
pub struct Filter {
    message: pb::Filters,
}

impl Filter {
    /// The property called `name`, to be compared.
    pub fn property(name: impl Into<String>) -> Subject {
        Subject { target: Target::Property(name.into()) }
    }

    /// The id of the object.
    pub fn id() -> Subject {
        Subject { target: Target::Property("_id".to_owned()) }
    }

    /// The time of creation, an RFC 3339 text; the collection must index timestamps.
    pub fn created() -> Subject {
        Subject { target: Target::Property("_creationTimeUnix".to_owned()) }
    }

    /// The time of the last update, an RFC 3339 text; the collection must index timestamps.
    pub fn updated() -> Subject {
        Subject { target: Target::Property("_lastUpdateTimeUnix".to_owned()) }
    }

    /// The length of a text or list property; the collection must index lengths.
    pub fn length(property: &str) -> Subject {
        Subject { target: Target::Property(format!("len({property})")) }
    }

    /// The number of references that the reference property `property` holds.
    pub fn reference_count(property: impl Into<String>) -> Subject {
        Subject { target: Target::Count(pb::FilterReferenceCount { on: property.into() }) }
    }

    /// `subject` of the objects that the reference property `property` points to, if it has one target collection.
    pub fn reference(property: impl Into<String>, subject: Subject) -> Subject {
        let target = Some(Box::new(pb::FilterTarget { target: Some(subject.target) }));
        Subject {
            target: Target::SingleTarget(Box::new(pb::FilterReferenceSingleTarget { on: property.into(), target })),
        }
    }

    /// Like [`Filter::reference`] for a property with several target collections, of which `collection` is meant.
    pub fn reference_to(property: impl Into<String>, collection: impl Into<String>, subject: Subject) -> Subject {
        let target = Some(Box::new(pb::FilterTarget { target: Some(subject.target) }));
        Subject {
            target: Target::MultiTarget(Box::new(pb::FilterReferenceMultiTarget {
                on: property.into(),
                target,
                target_collection: collection.into(),
            })),
        }
    }

    /// Met if all `filters` are met. An empty list is refused by servers.
    pub fn all(filters: impl IntoIterator<Item = Filter>) -> Filter {
        Filter::combine(Operator::And, filters)
    }

    /// Met if at least one of `filters` is met. An empty list is refused by servers.
    pub fn any(filters: impl IntoIterator<Item = Filter>) -> Filter {
        Filter::combine(Operator::Or, filters)
    }

    /// The message that goes onto the wire.
    pub fn into_proto(self) -> pb::Filters {
        self.message
    }

    fn combine(operator: Operator, filters: impl IntoIterator<Item = Filter>) -> Filter {
        let mut operands = Vec::new();
        for filter in filters {
            // `a & b & c` is one conjunction of three, not a tree: servers limit the depth.
            if filter.message.operator() == operator {
                operands.extend(filter.message.filters);
            } else {
                operands.push(filter.message);
            }
        }
        Filter { message: pb::Filters { operator: operator.into(), filters: operands, ..pb::Filters::default() } }
    }
}

impl BitAnd for Filter {
    type Output = Filter;

    fn bitand(self, other: Filter) -> Filter {
        Filter::all([self, other])
    }
}

impl BitOr for Filter {
    type Output = Filter;

    fn bitor(self, other: Filter) -> Filter {
        Filter::any([self, other])
    }
}

impl Not for Filter {
    type Output = Filter;

    fn not(self) -> Filter {
        let operator = Operator::Not.into();
        Filter { message: pb::Filters { operator, filters: vec![self.message], ..pb::Filters::default() } }
    }
}

/// What a condition looks at; a comparison makes it a [`Filter`].
#[derive(Debug, Clone, PartialEq)]
pub struct Subject {
    target: Target,
}

impl Subject {
    /// Equal; on tokenised text: holds every token of `value`.
    pub fn equal(self, value: impl Into<FilterValue>) -> Filter {
        self.compare(Operator::Equal, value)
    }

    /// The complement of [`Subject::equal`]: met by objects without a value, too.
    pub fn not_equal(self, value: impl Into<FilterValue>) -> Filter {
        self.compare(Operator::NotEqual, value)
    }

    /// Greater, or later.
    pub fn greater(self, value: impl Into<FilterValue>) -> Filter {
        self.compare(Operator::GreaterThan, value)
    }

    /// Greater or equal, or not before.
    pub fn greater_or_equal(self, value: impl Into<FilterValue>) -> Filter {
        self.compare(Operator::GreaterThanEqual, value)
    }

    /// Less, or earlier.
    pub fn less(self, value: impl Into<FilterValue>) -> Filter {
        self.compare(Operator::LessThan, value)
    }

    /// Less or equal, or not after.
    pub fn less_or_equal(self, value: impl Into<FilterValue>) -> Filter {
        self.compare(Operator::LessThanEqual, value)
    }

    /// A token matches the pattern: `?` is one character, `*` any number of them.
    pub fn like(self, pattern: impl Into<String>) -> Filter {
        self.compare(Operator::Like, FilterValue::Text(pattern.into()))
    }

    /// Has no value (`true`), or has one (`false`); the collection must index null states.
    pub fn is_null(self, null: bool) -> Filter {
        self.compare(Operator::IsNull, null)
    }

    /// Equal to at least one of `values`.
    pub fn contains_any(self, values: impl Into<FilterValues>) -> Filter {
        self.test(Operator::ContainsAny, values.into().test)
    }

    /// Equal to each of `values`: a list property, or the tokens of a text.
    pub fn contains_all(self, values: impl Into<FilterValues>) -> Filter {
        self.test(Operator::ContainsAll, values.into().test)
    }

    /// Equal to none of `values`.
    pub fn contains_none(self, values: impl Into<FilterValues>) -> Filter {
        self.test(Operator::ContainsNone, values.into().test)
    }

    /// At most `distance_m` metres from the point given in degrees.
    pub fn within_geo_range(self, latitude: f32, longitude: f32, distance_m: f32) -> Filter {
        let circle = pb::GeoCoordinatesFilter { latitude, longitude, distance: distance_m };
        self.test(Operator::WithinGeoRange, TestValue::ValueGeo(circle))
    }

    fn compare(self, operator: Operator, value: impl Into<FilterValue>) -> Filter {
        let test = match value.into() {
            FilterValue::Text(text) => TestValue::ValueText(text),
            FilterValue::Int(int) => TestValue::ValueInt(int),
            FilterValue::Number(number) => TestValue::ValueNumber(number),
            FilterValue::Boolean(boolean) => TestValue::ValueBoolean(boolean),
        };
        self.test(operator, test)
    }

    fn test(self, operator: Operator, test: TestValue) -> Filter {
        Filter {
            message: pb::Filters {
                operator: operator.into(),
                test_value: Some(test),
                target: Some(pb::FilterTarget { target: Some(self.target) }),
                ..pb::Filters::default()
            },
        }
    }
}

/// A value to compare with. Dates (RFC 3339) and ids travel as text.
#[derive(Debug, Clone, PartialEq)]
pub enum FilterValue {
    /// Text, a date, or an id.
    Text(String),
    /// A whole number.
    Int(i64),
    /// A floating-point number.
    Number(f64),
    /// True or false.
    Boolean(bool),
}

/// Values of one type, for the `contains_..` operators.
#[derive(Debug, Clone, PartialEq)]
pub struct FilterValues {
    test: TestValue,
}

macro_rules! filter_values {
    ($($from:ty => $scalar:ident, $list:ident, $array:ident, $convert:expr;)*) => {$(
        impl From<$from> for FilterValue {
            fn from(value: $from) -> FilterValue {
                FilterValue::$scalar($convert(value))
            }
        }

        impl From<Vec<$from>> for FilterValues {
            fn from(values: Vec<$from>) -> FilterValues {
                let values = values.into_iter().map($convert).collect();
                FilterValues { test: TestValue::$list(pb::$array { values }) }
            }
        }

        impl<const N: usize> From<[$from; N]> for FilterValues {
            fn from(values: [$from; N]) -> FilterValues {
                Vec::from(values).into()
            }
        }
    )*};
}

filter_values! {
    &str => Text, ValueTextArray, TextArray, str::to_owned;
    String => Text, ValueTextArray, TextArray, std::convert::identity;
    uuid::Uuid => Text, ValueTextArray, TextArray, |id: uuid::Uuid| id.to_string();
    i32 => Int, ValueIntArray, IntArray, i64::from;
    i64 => Int, ValueIntArray, IntArray, std::convert::identity;
    f64 => Number, ValueNumberArray, NumberArray, std::convert::identity;
    bool => Boolean, ValueBooleanArray, BooleanArray, std::convert::identity;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operator_has_its_number_on_the_wire() {
        let p = || Filter::property("p");
        let cases = [
            (p().equal("x"), 1),
            (p().not_equal(1), 2),
            (p().greater(1.5), 3),
            (p().greater_or_equal(1_i64), 4),
            (p().less("2020-01-01T00:00:00Z"), 5),
            (p().less_or_equal(2), 6),
            (p().equal(1) & p().equal(2), 7),
            (p().equal(1) | p().equal(2), 8),
            (p().within_geo_range(52.5, 13.4, 1000.0), 9),
            (p().like("ab*"), 10),
            (p().is_null(true), 11),
            (p().contains_any(["a", "b"]), 12),
            (p().contains_all(vec![1, 2]), 13),
            (p().contains_none([true]), 14),
            (!p().equal(false), 15),
        ];
        for (filter, number) in cases {
            assert_eq!(filter.into_proto().operator, number);
        }
    }

    #[test]
    fn chains_of_one_operator_stay_flat() {
        let p = |value: i32| Filter::property("p").equal(value);
        let message = (p(1) & p(2) & (p(3) | p(4) | p(5)) & p(6)).into_proto();
        assert_eq!(message.filters.len(), 4);
        assert_eq!(message.filters[2].filters.len(), 3);
        assert_eq!((!!p(1)).into_proto().filters[0].operator(), Operator::Not);
    }

    #[test]
    fn references_nest_the_target() {
        let subject = Filter::reference_to("by", "Author", Filter::reference("born", Filter::property("city")));
        let message = subject.equal("Riga").into_proto();
        let Some(Target::MultiTarget(author)) = message.target.and_then(|target| target.target) else {
            panic!("not a reference")
        };
        assert_eq!((author.on.as_str(), author.target_collection.as_str()), ("by", "Author"));
        let Some(Target::SingleTarget(born)) = author.target.and_then(|target| target.target) else {
            panic!("not a reference")
        };
        assert_eq!(born.on, "born");
        assert_eq!(message.test_value, Some(TestValue::ValueText("Riga".to_owned())));
    }
}
