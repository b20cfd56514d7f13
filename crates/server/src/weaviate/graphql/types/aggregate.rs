//! Types below `Aggregate`.

use std::sync::Arc;

use azimuth_engine::schema::{Collection, DataType, Primitive, Property};

use super::{FLOAT, INT, Output, OutputField, TEXT};
use crate::weaviate::graphql::inputs::Input;

/// What of a class is aggregated.
#[derive(Debug, Clone)]
pub(in crate::weaviate::graphql) enum AggregateKind {
    Class,
    Meta,
    GroupedBy,
    Property(Property),
    TopOccurrences(String),
}

/// Metrics of one kind of values.
type Metrics = &'static [(&'static str, Output)];

const NUMBERS: Metrics = &[
    ("count", INT),
    ("maximum", FLOAT),
    ("mean", FLOAT),
    ("median", FLOAT),
    ("minimum", FLOAT),
    ("mode", FLOAT),
    ("sum", FLOAT),
    ("type", TEXT),
];
const TEXTS: Metrics = &[("count", INT), ("type", TEXT)];
const BOOLEANS: Metrics = &[
    ("count", INT),
    ("percentageFalse", FLOAT),
    ("percentageTrue", FLOAT),
    ("totalFalse", INT),
    ("totalTrue", INT),
    ("type", TEXT),
];
const DATES: Metrics = &[("count", INT), ("maximum", TEXT), ("median", TEXT), ("minimum", TEXT), ("mode", TEXT)];

impl AggregateKind {
    /// The type's name.
    pub(super) fn name(&self, class: &Collection) -> String {
        let class = &class.name;
        match self {
            Self::Class => format!("Aggregate{class}"),
            Self::Meta => format!("Aggregate{class}MetaObject"),
            Self::GroupedBy => format!("Aggregate{class}GroupedByObj"),
            Self::Property(property) => format!("Aggregate{class}{}Obj", property.name),
            Self::TopOccurrences(property) => format!("Aggregate{class}{property}TopOccurrencesObj"),
        }
    }

    /// The field of that name.
    pub(super) fn field(&self, class: &Arc<Collection>, name: &str) -> Option<OutputField> {
        let below = |kind| Output::Aggregated(class.clone(), kind);
        let plain =
            |known: Metrics| known.iter().find(|(known, _)| *known == name).map(|(_, of)| OutputField::one(of.clone()));
        match self {
            Self::Class => match name {
                "meta" => Some(OutputField::one(below(Self::Meta))),
                "groupedBy" => Some(OutputField::one(below(Self::GroupedBy))),
                name => {
                    let property = class.property(name).filter(|property| is_aggregated(property))?;
                    Some(OutputField::one(below(Self::Property(property.clone()))))
                }
            },
            Self::Meta => plain(&[("count", INT)]),
            Self::GroupedBy => match name {
                "path" => Some(OutputField::many(TEXT)),
                _ => plain(&[("value", TEXT)]),
            },
            Self::TopOccurrences(_) => plain(&[("occurs", INT), ("value", TEXT)]),
            Self::Property(property) => match (metrics(property), name) {
                (None, "pointingTo") => Some(OutputField::many(TEXT)),
                (None, "type") => Some(OutputField::one(TEXT)),
                (Some(_), "topOccurrences") if has_occurrences(property) => Some(OutputField {
                    arguments: vec![("limit", Input::Int)],
                    ..OutputField::many(below(Self::TopOccurrences(property.name.clone())))
                }),
                (known, _) => plain(known.unwrap_or_default()),
            },
        }
    }

    /// Names of its fields.
    pub(super) fn field_names(&self, class: &Collection) -> Vec<String> {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        match self {
            Self::Class => {
                let properties = class.properties().iter().filter(|property| is_aggregated(property));
                properties.map(|property| property.name.clone()).chain(owned(&["meta", "groupedBy"])).collect()
            }
            Self::Meta => owned(&["count"]),
            Self::GroupedBy => owned(&["path", "value"]),
            Self::TopOccurrences(_) => owned(&["occurs", "value"]),
            Self::Property(property) => match metrics(property) {
                None => owned(&["pointingTo", "type"]),
                Some(known) => {
                    let names = known.iter().map(|(name, _)| (*name).to_owned());
                    names.chain(owned(if has_occurrences(property) { &["topOccurrences"] } else { &[] })).collect()
                }
            },
        }
    }
}

/// Whether a property can be aggregated at all.
fn is_aggregated(property: &Property) -> bool {
    match &property.data_type {
        DataType::Reference(_) => true,
        DataType::Object { .. } => false,
        DataType::Primitive { of, .. } => {
            !matches!(of, Primitive::Uuid | Primitive::GeoCoordinates | Primitive::PhoneNumber)
        }
    }
}

/// Whether the most frequent values can be asked for.
fn has_occurrences(property: &Property) -> bool {
    let texts = |of: &Primitive| matches!(of, Primitive::Text | Primitive::Blob | Primitive::BlobHash);
    matches!(&property.data_type, DataType::Primitive { of, .. } if texts(of))
}

/// The metrics of a property; `None` for references, which have their own.
fn metrics(property: &Property) -> Option<Metrics> {
    match &property.data_type {
        DataType::Reference(_) => None,
        DataType::Object { .. } => Some(&[]),
        DataType::Primitive { of, .. } => Some(match of {
            Primitive::Int | Primitive::Number => NUMBERS,
            Primitive::Boolean => BOOLEANS,
            Primitive::Date => DATES,
            Primitive::Text | Primitive::Blob | Primitive::BlobHash => TEXTS,
            Primitive::Uuid | Primitive::GeoCoordinates | Primitive::PhoneNumber => &[],
        }),
    }
}
