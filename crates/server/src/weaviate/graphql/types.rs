//! Types of answers: what can be asked of what, under the names that the wire has for them.

mod aggregate;

use std::sync::Arc;

use azimuth_engine::schema::{Collection, DataType, Primitive, Property};

use super::inputs::{self, Input};
use super::schema::Schema;
use crate::app::schema::names::upper_first;
use aggregate::AggregateKind;

/// A type that an answer can have.
#[derive(Debug, Clone)]
pub(super) enum Output {
    Root,
    Get,
    Aggregate,
    Explore,
    /// Not modelled: whoever answers it checks what is asked.
    Opaque,
    Scalar(&'static str),
    Class(Arc<Collection>),
    /// What a reference leads to.
    Targets(Arc<Collection>, String, Vec<String>),
    /// A reference that is not followed.
    Beacon,
    /// A value with fields: its type's name, and what it is.
    Value(String, ValueKind),
    Additional(Arc<Collection>, AdditionalKind),
    Aggregated(Arc<Collection>, AggregateKind),
}

/// Values of properties that have fields.
#[derive(Debug, Clone)]
pub(super) enum ValueKind {
    Geo,
    Phone,
    Object(Nested),
}

/// The properties inside an object property, found in the schema: a copy for each field that asks for them would cost
/// more than the answer.
#[derive(Debug, Clone)]
pub(super) struct Nested {
    class: Arc<Collection>,
    /// Position of the property in the collection, of the nested one in it, and so on.
    path: Vec<usize>,
}

impl Nested {
    /// The properties inside.
    pub(super) fn properties(&self) -> &[Property] {
        let mut properties = self.class.properties();
        for &position in &self.path {
            properties = properties.get(position).map_or(&[], |property| property.nested.as_slice());
        }
        properties
    }

    /// The type of the property at `position` of [`Nested::properties`], which has `parent` around it.
    fn field(&self, parent: &str, position: usize) -> Option<OutputField> {
        let property = self.properties().get(position)?;
        let inside = || Self { class: self.class.clone(), path: self.path.iter().copied().chain([position]).collect() };
        Some(of_value(parent, property, inside))
    }
}

/// `_additional` and what is below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AdditionalKind {
    Top,
    Vectors,
    Classification,
    Generate,
    Rerank,
    Group,
    GroupedBy,
    Hits,
    HitsAdditional,
}

/// A field of a type.
#[derive(Debug, Clone)]
pub(super) struct OutputField {
    pub(super) of: Output,
    pub(super) list: bool,
    pub(super) arguments: Vec<(&'static str, Input)>,
}

const TEXT: Output = Output::Scalar("String");
const INT: Output = Output::Scalar("Int");
const FLOAT: Output = Output::Scalar("Float");

impl OutputField {
    fn one(of: Output) -> Self {
        Self { of, list: false, arguments: Vec::new() }
    }

    fn many(of: Output) -> Self {
        Self { of, list: true, arguments: Vec::new() }
    }

    /// How its type is written.
    pub(super) fn type_name(&self) -> String {
        if self.list { format!("[{}]", self.of.name()) } else { self.of.name() }
    }
}

impl Output {
    /// The type that a fragment is on; `None` when there is none of that name.
    pub(super) fn named(catalog: &Schema, name: &str) -> Option<Self> {
        match name {
            "WeaviateObj" => Some(Self::Root),
            "GetObjectsObj" => Some(Self::Get),
            "AggregateObjectsObj" => Some(Self::Aggregate),
            "ExploreObj" if catalog.has_explore => Some(Self::Explore),
            "Beacon" => Some(Self::Beacon),
            name => catalog.find(name).cloned().map(Self::Class),
        }
    }

    /// Its name on the wire.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Root => "WeaviateObj".to_owned(),
            Self::Get => "GetObjectsObj".to_owned(),
            Self::Aggregate => "AggregateObjectsObj".to_owned(),
            Self::Explore => "ExploreObj".to_owned(),
            Self::Opaque => String::new(),
            Self::Scalar(name) => (*name).to_owned(),
            Self::Class(class) => class.name.clone(),
            Self::Targets(class, property, _) => format!("{}{}Obj", class.name, upper_first(property)),
            Self::Beacon => "Beacon".to_owned(),
            Self::Value(name, _) => name.clone(),
            Self::Additional(class, kind) => format!("{}Additional{}", class.name, kind.suffix()),
            Self::Aggregated(class, kind) => kind.name(class),
        }
    }

    /// Whether nothing can be asked of it.
    pub(super) fn is_leaf(&self) -> bool {
        matches!(self, Self::Scalar(_))
    }

    /// Whether an object of type `other` can be of this type.
    pub(super) fn can_be(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Targets(_, _, targets), other) => {
                matches!(other, Self::Beacon) || targets.contains(&other.name()) || self.name() == other.name()
            }
            (one, other) => one.name() == other.name(),
        }
    }

    /// The field of that name.
    pub(super) fn field(&self, catalog: &Schema, name: &str) -> Option<OutputField> {
        match self {
            Self::Root => match name {
                "Get" => Some(OutputField::one(Self::Get)),
                "Aggregate" => Some(OutputField::one(Self::Aggregate)),
                "Explore" if catalog.has_explore => {
                    Some(OutputField { arguments: inputs::of_explore(), ..OutputField::many(Self::Explore) })
                }
                "__schema" => Some(OutputField::one(Self::Opaque)),
                "__type" => Some(OutputField {
                    arguments: vec![("name", Input::NonNull(Box::new(Input::Text)))],
                    ..OutputField::one(Self::Opaque)
                }),
                _ => None,
            },
            Self::Get => catalog.resolve(name).map(|class| OutputField {
                of: Self::Class(class.clone()),
                list: true,
                arguments: inputs::of_class(class),
            }),
            Self::Aggregate => catalog.resolve(name).map(|class| OutputField {
                arguments: inputs::of_aggregate(class),
                ..OutputField::many(Self::Aggregated(class.clone(), AggregateKind::Class))
            }),
            Self::Class(class) => {
                if name == "_additional" {
                    return Some(OutputField::one(Self::Additional(class.clone(), AdditionalKind::Top)));
                }
                of_property(class, name)
            }
            Self::Explore => {
                EXPLORE.iter().find(|(known, _)| *known == name).map(|(_, of)| OutputField::one(of.clone()))
            }
            Self::Beacon => (name == "beacon").then(|| OutputField::one(TEXT)),
            Self::Value(type_name, kind) => kind.field(type_name, name),
            Self::Additional(class, kind) => kind.field(catalog, class, name),
            Self::Aggregated(class, kind) => kind.field(class, name),
            Self::Opaque | Self::Scalar(_) | Self::Targets(..) => None,
        }
    }

    /// Names of its fields, to suggest one of them.
    pub(super) fn field_names(&self, catalog: &Schema) -> Vec<String> {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        match self {
            Self::Root if catalog.has_explore => owned(&["Get", "Aggregate", "Explore"]),
            Self::Root => owned(&["Get", "Aggregate"]),
            Self::Get | Self::Aggregate => {
                let aliases = catalog.aliases().into_iter().filter(|alias| catalog.find(&alias.collection).is_some());
                let classes = catalog.collections().into_iter().map(|class| class.name.clone());
                classes.chain(aliases.map(|alias| alias.name.clone())).collect()
            }
            Self::Explore => EXPLORE.iter().map(|(name, _)| (*name).to_owned()).collect(),
            Self::Class(class) => {
                let properties = class.properties().iter().map(|property| property.name.clone());
                properties.chain(["_additional".to_owned()]).collect()
            }
            Self::Value(_, ValueKind::Geo) => owned(GEO),
            Self::Value(_, ValueKind::Phone) => PHONE.iter().map(|(name, _)| (*name).to_owned()).collect(),
            Self::Value(_, ValueKind::Object(nested)) => {
                nested.properties().iter().map(|nested| nested.name.clone()).collect()
            }
            Self::Additional(class, kind) => kind.field_names(catalog, class),
            Self::Aggregated(class, kind) => kind.field_names(class),
            Self::Beacon => owned(&["beacon"]),
            Self::Opaque | Self::Scalar(_) | Self::Targets(..) => Vec::new(),
        }
    }
}

const EXPLORE: &[(&str, Output)] = &[("beacon", TEXT), ("certainty", FLOAT), ("className", TEXT), ("distance", FLOAT)];
const GEO: &[&str] = &["latitude", "longitude"];
const PHONE: &[(&str, Output)] = &[
    ("input", TEXT),
    ("internationalFormatted", TEXT),
    ("nationalFormatted", TEXT),
    ("national", INT),
    ("valid", Output::Scalar("Boolean")),
    ("countryCode", INT),
    ("defaultCountry", TEXT),
];

fn of_property(class: &Arc<Collection>, name: &str) -> Option<OutputField> {
    let position = class.properties().iter().position(|property| property.name == name)?;
    match &class.properties()[position].data_type {
        DataType::Reference(targets) => {
            Some(OutputField::many(Output::Targets(class.clone(), name.to_owned(), targets.clone())))
        }
        _ => Nested { class: class.clone(), path: Vec::new() }.field(&class.name, position),
    }
}

/// A plain value below the type `parent`; `inside` gives the fields of an object.
fn of_value(parent: &str, property: &Property, inside: impl Fn() -> Nested) -> OutputField {
    let name = &property.name;
    let (of, list) = match &property.data_type {
        DataType::Object { list } => {
            (Output::Value(format!("{parent}_{name}_object"), ValueKind::Object(inside())), *list)
        }
        DataType::Reference(_) => (TEXT, true),
        DataType::Primitive { of, list } => {
            let of = match of {
                Primitive::GeoCoordinates => Output::Value(format!("{parent}{name}GeoCoordinatesObj"), ValueKind::Geo),
                Primitive::PhoneNumber => Output::Value(format!("{parent}{name}PhoneNumberObj"), ValueKind::Phone),
                Primitive::Int => INT,
                Primitive::Number => FLOAT,
                Primitive::Boolean => Output::Scalar("Boolean"),
                Primitive::Text | Primitive::Date | Primitive::Uuid | Primitive::Blob | Primitive::BlobHash => TEXT,
            };
            (of, *list)
        }
    };
    OutputField { of, list, arguments: Vec::new() }
}

impl ValueKind {
    fn field(&self, parent: &str, name: &str) -> Option<OutputField> {
        match self {
            Self::Geo => GEO.contains(&name).then(|| OutputField::one(FLOAT)),
            Self::Phone => PHONE.iter().find(|(known, _)| *known == name).map(|(_, of)| OutputField::one(of.clone())),
            Self::Object(nested) => {
                let position = nested.properties().iter().position(|nested| nested.name == name)?;
                nested.field(parent, position)
            }
        }
    }
}

impl AdditionalKind {
    fn suffix(self) -> &'static str {
        match self {
            Self::Top => "",
            Self::Vectors => "Vectors",
            Self::Classification => "Classification",
            Self::Generate => "Generate",
            Self::Rerank => "Reranker",
            Self::Group => "Group",
            Self::GroupedBy => "GroupGroupedBy",
            Self::Hits => "GroupHits",
            Self::HitsAdditional => "GroupHitsAdditional",
        }
    }

    fn field_names(self, schema: &Schema, class: &Collection) -> Vec<String> {
        let fixed: &[&str] = match self {
            Self::Top => &[
                "certainty",
                "classification",
                "creationTimeUnix",
                "distance",
                "explainScore",
                "group",
                "id",
                "lastUpdateTimeUnix",
                "queryProfile",
                "score",
                "vector",
            ],
            Self::Classification => &["id", "basedOn", "classifiedFields", "completed", "scope"],
            Self::Generate => &["singleResult", "groupedResult", "error"],
            Self::Rerank => &["score"],
            Self::Group => &["id", "groupedBy", "minDistance", "maxDistance", "count", "hits"],
            Self::GroupedBy => &["value", "path"],
            Self::HitsAdditional => &["id", "vector", "distance"],
            Self::Vectors | Self::Hits => &[],
        };
        let mut names: Vec<String> = fixed.iter().map(|name| (*name).to_owned()).collect();
        if self == Self::Top {
            let of_modules = [(schema.has_generate, "generate"), (schema.has_rerank, "rerank")];
            names.extend(of_modules.iter().filter(|(has, _)| *has).map(|(_, name)| (*name).to_owned()));
        }
        match self {
            Self::Top | Self::HitsAdditional if !class.vectors.named.is_empty() => names.push("vectors".to_owned()),
            Self::Vectors => names.extend(class.vectors.named.keys().cloned()),
            Self::Hits => {
                names.extend(class.properties().iter().map(|property| property.name.clone()));
                names.push("_additional".to_owned());
            }
            _ => {}
        }
        names
    }

    fn field(self, schema: &Schema, class: &Arc<Collection>, name: &str) -> Option<OutputField> {
        if self == Self::Hits {
            if name == "_additional" {
                return Some(OutputField::one(Output::Additional(class.clone(), Self::HitsAdditional)));
            }
            return of_property(class, name);
        }
        if !self.field_names(schema, class).iter().any(|known| known == name) {
            return None;
        }
        let below = |kind| Output::Additional(class.clone(), kind);
        Some(match (self, name) {
            (Self::Vectors, _) | (_, "vector") => OutputField::many(FLOAT),
            (Self::Top | Self::HitsAdditional, "vectors") => OutputField::one(below(Self::Vectors)),
            (Self::Top, "classification") => OutputField::one(below(Self::Classification)),
            (Self::Top, "generate") => OutputField {
                arguments: vec![
                    ("singleResult", Input::Scalar("GenerateInput".to_owned(), inputs::Accepts::Map)),
                    ("groupedResult", Input::Scalar("GenerateInput".to_owned(), inputs::Accepts::Map)),
                ],
                ..OutputField::one(below(Self::Generate))
            },
            (Self::Top, "rerank") => OutputField {
                arguments: vec![("property", Input::NonNull(Box::new(Input::Text))), ("query", Input::Text)],
                ..OutputField::many(below(Self::Rerank))
            },
            (Self::Rerank, "score") => OutputField::one(FLOAT),
            (Self::Top, "group") => OutputField::one(below(Self::Group)),
            (Self::Group, "groupedBy") => OutputField::one(below(Self::GroupedBy)),
            (Self::Group, "hits") => OutputField::many(below(Self::Hits)),
            (Self::Group, "id" | "count") => OutputField::one(INT),
            (_, "certainty" | "distance" | "minDistance" | "maxDistance") => OutputField::one(FLOAT),
            (Self::GroupedBy, "path") | (Self::Classification, "basedOn" | "classifiedFields" | "scope") => {
                OutputField::many(TEXT)
            }
            _ => OutputField::one(TEXT),
        })
    }
}
