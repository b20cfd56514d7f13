//! What a class' selection asks for, and objects written in that shape.

use std::sync::Arc;

use azimuth_engine::Result;
use azimuth_engine::group::DataGroup;
use azimuth_engine::ids::VectorId;
use azimuth_engine::meta::Catalog;
use azimuth_engine::object::{Object, Phone, Value, Vector};
use azimuth_engine::query::Include;
use azimuth_engine::schema::{Collection, DataType, Primitive, Property};
use serde_json::{Map, Value as Json, json};

use super::GraphqlError;
use super::document::Field;
use super::grouped::{GroupShape, Grouped};
use crate::app::schema::names::upper_first;
use crate::app::search::{Place, target};

/// A checked selection on a class.
#[derive(Debug, Clone)]
pub(super) struct Shape {
    collection: Arc<Collection>,
    members: Vec<(String, Member)>,
}

#[derive(Debug, Clone)]
enum Member {
    TypeName,
    Plain {
        property: String,
        fields: Vec<Field>,
    },
    /// One shape for each class that a fragment is on.
    Reference {
        property: String,
        targets: Vec<Shape>,
    },
    Additional(Vec<Additional>),
}

/// A field of `_additional`.
#[derive(Debug, Clone)]
struct Additional {
    field: Field,
    /// What is asked of a group.
    group: Option<GroupShape>,
}

impl Shape {
    /// Checks the fields of a class.
    pub(super) fn new(
        catalog: &Catalog,
        collection: &Arc<Collection>,
        class: &Field,
    ) -> std::result::Result<Self, GraphqlError> {
        if class.fields.is_empty() {
            let name = &class.name;
            let text = format!("Field {name:?} of type \"[{name}]\" must have a sub selection.");
            return Err(GraphqlError::at(class.position, text));
        }
        Self::of(catalog, collection, &class.fields)
    }

    /// Checks fields of a class' objects.
    pub(super) fn of(
        catalog: &Catalog,
        collection: &Arc<Collection>,
        fields: &[Field],
    ) -> std::result::Result<Self, GraphqlError> {
        let mut members = Vec::with_capacity(fields.len());
        for field in fields {
            if let Some(on) = field.on.as_ref().filter(|on| **on != collection.name) {
                let name = &collection.name;
                let text =
                    format!("Fragment cannot be spread here as objects of type {name:?} can never be of type {on:?}.");
                return Err(GraphqlError::at(field.position, text));
            }
            members.push((field.key.clone(), member(catalog, collection, field)?));
        }
        Ok(Self { collection: collection.clone(), members })
    }

    /// Vectors that must be read.
    pub(super) fn vectors(&self) -> Vec<VectorId> {
        let mut vectors = Vec::new();
        for Additional { field, group } in self.additional() {
            vectors.extend(group.iter().flat_map(GroupShape::vectors));
            match field.name.as_str() {
                "vector" => vectors.extend(self.collection.vectors.unnamed.as_ref().map(|config| config.id)),
                "vectors" => {
                    let named = &self.collection.vectors.named;
                    vectors
                        .extend(field.fields.iter().filter_map(|name| named.get(&name.name)).map(|config| config.id));
                }
                _ => {}
            }
        }
        vectors
    }

    /// Whether a certainty is asked for, which only cosine has.
    pub(super) fn asks_certainty(&self) -> bool {
        self.additional().any(|asked| asked.field.name == "certainty")
    }

    fn additional(&self) -> impl Iterator<Item = &Additional> {
        self.members.iter().flat_map(|(_, member)| match member {
            Member::Additional(fields) => fields.as_slice(),
            _ => &[],
        })
    }

    /// An object in this shape; `near` tells whether a vector search found it.
    ///
    /// # Errors
    /// When a reference cannot be read.
    pub(super) fn json(&self, data: &DataGroup, object: &Object, distance: Option<f32>, near: bool) -> Result<Json> {
        let mut shaped = Map::with_capacity(self.members.len());
        for (key, member) in &self.members {
            let value = match member {
                Member::TypeName => json!(self.collection.name),
                Member::Plain { property, fields } => {
                    object.properties.get(property).map_or(Json::Null, |value| plain(value, fields))
                }
                Member::Reference { property, targets } => match object.properties.get(property) {
                    Some(Value::References(beacons)) => references(data, targets, beacons)?,
                    _ => Json::Null,
                },
                Member::Additional(fields) => self.additional_json(fields, object, distance, near),
            };
            shaped.insert(key.clone(), value);
        }
        Ok(Json::Object(shaped))
    }

    /// What stands for a group: no properties, and of the rest the group itself. Without one even that is null.
    ///
    /// # Errors
    /// When a reference cannot be read.
    pub(super) fn group_json(&self, data: &DataGroup, grouped: Option<Grouped<'_>>) -> Result<Json> {
        let mut shaped = Map::with_capacity(self.members.len());
        for (key, member) in &self.members {
            let value = match member {
                Member::TypeName => json!(self.collection.name),
                Member::Plain { .. } | Member::Reference { .. } => Json::Null,
                Member::Additional(fields) => {
                    let mut additional = Map::with_capacity(fields.len());
                    for Additional { field, group } in fields {
                        let value = match (group, grouped) {
                            (Some(shape), Some(grouped)) => shape.json(data, grouped)?,
                            _ => Json::Null,
                        };
                        additional.insert(field.key.clone(), value);
                    }
                    Json::Object(additional)
                }
            };
            shaped.insert(key.clone(), value);
        }
        Ok(Json::Object(shaped))
    }

    fn additional_json(&self, fields: &[Additional], object: &Object, distance: Option<f32>, near: bool) -> Json {
        let empty = |asked: &Additional| match asked.field.name.as_str() {
            "distance" | "certainty" | "classification" | "__typename" => !near,
            "group" => true,
            _ => false,
        };
        if fields.iter().all(empty) {
            return Json::Null;
        }
        let value = |field: &Field| match field.name.as_str() {
            "id" => json!(object.id.to_string()),
            "creationTimeUnix" => json!(object.created_ms.to_string()),
            "lastUpdateTimeUnix" => json!(object.updated_ms.to_string()),
            "distance" => json!(distance),
            "certainty" => json!(distance.map(|distance| f64::from(target::certainty(distance)))),
            "score" => json!("0"),
            "explainScore" => json!(""),
            "vector" => object.vectors.get(&VectorId::UNNAMED).map_or_else(|| json!([]), vector),
            "vectors" => self.named(&field.fields, object),
            "__typename" => json!(format!("{}Additional", self.collection.name)),
            _ => Json::Null,
        };
        fields.iter().map(|Additional { field, .. }| (field.key.clone(), value(field))).collect()
    }

    fn named(&self, fields: &[Field], object: &Object) -> Json {
        let value = |field: &Field| {
            let config = self.collection.vectors.named.get(&field.name);
            config.and_then(|config| object.vectors.get(&config.id)).map_or(Json::Null, vector)
        };
        fields.iter().map(|field| (field.key.clone(), value(field))).collect()
    }
}

fn vector(vector: &Vector) -> Json {
    match vector {
        Vector::Single(values) => json!(values),
        Vector::Multi { dim, rows } => rows.chunks((*dim).max(1) as usize).map(|row| json!(row)).collect(),
    }
}

fn member(catalog: &Catalog, collection: &Arc<Collection>, field: &Field) -> std::result::Result<Member, GraphqlError> {
    let unknown = |class: &str| {
        GraphqlError::at(field.position, format!("Cannot query field {:?} on type {class:?}.", field.name))
    };
    match field.name.as_str() {
        "__typename" => return Ok(Member::TypeName),
        "_additional" => {
            check_additional(collection, field)?;
            let asked = field.fields.iter().map(|field| {
                let group = (field.name == "group").then(|| GroupShape::new(catalog, collection, field)).transpose()?;
                Ok(Additional { field: field.clone(), group })
            });
            return Ok(Member::Additional(asked.collect::<std::result::Result<_, GraphqlError>>()?));
        }
        _ => {}
    }
    let property = collection.property(&field.name).ok_or_else(|| unknown(&collection.name))?;
    let name = property.name.clone();
    match &property.data_type {
        DataType::Reference(targets) => reference(catalog, collection, &name, targets, field),
        _ => {
            check_plain(property, field)?;
            Ok(Member::Plain { property: name, fields: field.fields.clone() })
        }
    }
}

fn reference(
    catalog: &Catalog,
    collection: &Collection,
    name: &str,
    targets: &[String],
    field: &Field,
) -> std::result::Result<Member, GraphqlError> {
    let union = format!("{}{}Obj", collection.name, upper_first(name));
    if field.fields.is_empty() {
        let text = format!("Field {name:?} of type \"[{union}]\" must have a sub selection.");
        return Err(GraphqlError::at(field.position, text));
    }
    let mut shapes = Vec::new();
    let mut seen: Vec<&str> = Vec::new();
    for inner in &field.fields {
        let Some(on) = inner.on.as_deref() else {
            if inner.name == "__typename" {
                continue;
            }
            let wanted = targets.first().map_or("", String::as_str);
            let text = format!(
                "Cannot query field {:?} on type {union:?}. Did you mean to use an inline fragment on {wanted:?}?",
                inner.name
            );
            return Err(GraphqlError::at(inner.position, text));
        };
        if seen.contains(&on) {
            continue;
        }
        seen.push(on);
        let target = targets.iter().find(|target| *target == on).and_then(|target| catalog.find(target));
        let Some(target) = target else {
            let text =
                format!("Fragment cannot be spread here as objects of type {union:?} can never be of type {on:?}.");
            return Err(GraphqlError::at(inner.position, text));
        };
        let of_target: Vec<Field> = field.fields.iter().filter(|f| f.on.as_deref() == Some(on)).cloned().collect();
        shapes.push(Shape::of(catalog, target, &of_target)?);
    }
    Ok(Member::Reference { property: name.to_owned(), targets: shapes })
}

const ADDITIONAL: &[&str] = &[
    "id",
    "creationTimeUnix",
    "lastUpdateTimeUnix",
    "distance",
    "certainty",
    "score",
    "explainScore",
    "vector",
    "vectors",
    "classification",
    "group",
    "__typename",
];

fn check_additional(collection: &Collection, field: &Field) -> std::result::Result<(), GraphqlError> {
    let class = &collection.name;
    if field.fields.is_empty() {
        let text = format!("Field \"_additional\" of type \"{class}Additional\" must have a sub selection.");
        return Err(GraphqlError::at(field.position, text));
    }
    for inner in &field.fields {
        if matches!(inner.name.as_str(), "queryProfile" | "generate") {
            return Err(GraphqlError::at(inner.position, format!("_additional.{} is not supported yet", inner.name)));
        }
        let named = !collection.vectors.named.is_empty();
        if !ADDITIONAL.contains(&inner.name.as_str()) || inner.name == "vectors" && !named {
            let text = format!("Cannot query field {:?} on type \"{class}Additional\".", inner.name);
            return Err(GraphqlError::at(inner.position, text));
        }
        if inner.name == "vectors" {
            let unknown = inner.fields.iter().find(|name| !collection.vectors.named.contains_key(&name.name));
            if let Some(unknown) = unknown {
                let text = format!("Cannot query field {:?} on type \"{class}AdditionalVectors\".", unknown.name);
                return Err(GraphqlError::at(unknown.position, text));
            }
        }
    }
    Ok(())
}

/// Objects, places and phone numbers need a selection of known fields; everything else has none.
fn check_plain(property: &Property, field: &Field) -> std::result::Result<(), GraphqlError> {
    let known: Vec<&str> = match &property.data_type {
        DataType::Object { .. } => property.nested.iter().map(|nested| nested.name.as_str()).collect(),
        DataType::Primitive { of: Primitive::GeoCoordinates, .. } => vec!["latitude", "longitude"],
        DataType::Primitive { of: Primitive::PhoneNumber, .. } => PHONE.to_vec(),
        _ => Vec::new(),
    };
    let name = &property.name;
    if known.is_empty() {
        return match field.fields.first() {
            None => Ok(()),
            Some(_) => {
                let text = format!("Field {name:?} must not have a sub selection since it has no subfields.");
                Err(GraphqlError::at(field.position, text))
            }
        };
    }
    if field.fields.is_empty() {
        return Err(GraphqlError::at(field.position, format!("Field {name:?} must have a sub selection.")));
    }
    for inner in &field.fields {
        if inner.name == "__typename" {
            continue;
        }
        if !known.contains(&inner.name.as_str()) {
            let text = format!("Cannot query field {:?} on type {name:?}.", inner.name);
            return Err(GraphqlError::at(inner.position, text));
        }
        if let Some(nested) = property.nested.iter().find(|nested| nested.name == inner.name) {
            check_plain(nested, inner)?;
        }
    }
    Ok(())
}

const PHONE: &[&str] =
    &["input", "internationalFormatted", "nationalFormatted", "national", "valid", "countryCode", "defaultCountry"];

fn plain(value: &Value, fields: &[Field]) -> Json {
    let select = |pick: &dyn Fn(&Field) -> Json| fields.iter().map(|field| (field.key.clone(), pick(field))).collect();
    match value {
        Value::Null | Value::References(_) => Json::Null,
        Value::Bool(value) => json!(value),
        // GraphQL's Int has 32 bits.
        Value::Int(value) => i32::try_from(*value).map_or(Json::Null, |value| json!(value)),
        Value::Number(value) => json!(value),
        Value::Text(text) | Value::Blob(text) => json!(text),
        Value::Date(date) => json!(date.to_string()),
        Value::Uuid(uuid) => json!(uuid.to_string()),
        Value::Geo(geo) => select(&|field| match field.name.as_str() {
            "latitude" => json!(geo.latitude),
            "longitude" => json!(geo.longitude),
            _ => Json::Null,
        }),
        Value::Phone(number) => select(&|field| phone(number, &field.name)),
        Value::Object(properties) => {
            select(&|field| properties.get(&field.name).map_or(Json::Null, |value| plain(value, &field.fields)))
        }
        Value::List(values) => values.iter().map(|value| plain(value, fields)).collect(),
    }
}

fn phone(phone: &Phone, field: &str) -> Json {
    match field {
        "input" => json!(phone.input),
        "internationalFormatted" => json!(phone.international_formatted),
        "nationalFormatted" => json!(phone.national_formatted),
        "national" => i32::try_from(phone.national).map_or(Json::Null, |national| json!(national)),
        "valid" => json!(phone.valid),
        "countryCode" => json!(phone.country_code),
        "defaultCountry" => json!(phone.default_country),
        _ => Json::Null,
    }
}

/// The objects that references lead to, for those classes that are asked for; what is not there is left out.
fn references(data: &DataGroup, targets: &[Shape], beacons: &[azimuth_engine::object::Beacon]) -> Result<Json> {
    let mut found = Vec::with_capacity(beacons.len());
    for beacon in beacons {
        for shape in targets {
            if beacon.collection.as_ref().is_some_and(|name| *name != shape.collection.name) {
                continue;
            }
            let Ok(place) = Place::new(shape.collection.clone(), "") else { continue };
            // As on the wire: objects behind references come without their vectors.
            let include = Include { properties: true, vectors: Vec::new() };
            if let Some(stored) = data.get(place.at, beacon.id, &include)? {
                found.push(shape.json(data, &stored.object, None, false)?);
                break;
            }
        }
    }
    Ok(if found.is_empty() { Json::Null } else { Json::Array(found) })
}
