//! What a class' selection asks for, and objects written in that shape.

use std::sync::Arc;

use azimuth_engine::ids::VectorId;
use azimuth_engine::meta::Catalog;
use azimuth_engine::object::{Beacon, Object, Phone, Value, Vector};
use azimuth_engine::query::{Include, Projection, Score};
use azimuth_engine::schema::{Collection, DataType, Primitive, ShardTable};
use azimuth_engine::{Result, interrupt};
use serde_json::{Value as Json, json};

use super::document::Field;
use super::grouped::{GroupShape, Grouped};
use crate::app::search::target;
use crate::app::shards::{Follow, FollowTarget, Followed, HitTree};
use crate::request_memory;
use crate::weaviate::enrich::{Enriched, Written};
use crate::weaviate::texts;
use crate::weaviate::tree::{Members, Tree, Whole};
use crate::weaviate::weight;

/// What is asked of a class' objects.
#[derive(Debug, Clone)]
pub(super) struct Shape {
    collection: Arc<Collection>,
    shards: ShardTable,
    /// The tenant of the objects, in which their references are looked up; empty for none.
    tenant: String,
    members: Vec<(String, Member)>,
}

#[derive(Debug, Clone)]
enum Member {
    TypeName,
    Null,
    Plain {
        property: String,
        fields: Vec<Field>,
    },
    /// One shape for each class that a fragment is on; `position` is that of the reference among those that are followed.
    Reference {
        position: usize,
        property: String,
        targets: Vec<Shape>,
    },
    Additional(Vec<Additional>),
}

/// A hit's distance and score, which a search knows beside the object.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Ranked<'a> {
    pub(super) distance: Option<f32>,
    pub(super) score: Option<&'a Score>,
    /// Whether a vector search found it.
    pub(super) near: bool,
    /// The profile of the search, which is shown with its first hit.
    pub(super) profile: Option<&'a str>,
    /// The additions of modules to it.
    pub(super) added: Option<Added<'a>>,
}

/// The additions of modules to the hit at a position.
#[derive(Debug, Clone, Copy)]
pub(super) struct Added<'a> {
    pub(super) all: &'a Enriched,
    pub(super) at: usize,
}

/// A field of `_additional`.
#[derive(Debug, Clone)]
struct Additional {
    field: Field,
    /// What is asked of a group.
    group: Option<GroupShape>,
}

impl Shape {
    /// What is asked of a class' objects; the fields were checked against its schema.
    pub(super) fn new(catalog: &Catalog, collection: &Arc<Collection>, tenant: &str, fields: &[Field]) -> Self {
        Self::after(catalog, collection, tenant, fields, &mut 0)
    }

    /// The same for objects of which `followed` references are followed already.
    pub(super) fn after(
        catalog: &Catalog,
        collection: &Arc<Collection>,
        tenant: &str,
        fields: &[Field],
        followed: &mut usize,
    ) -> Self {
        let member = |field: &Field| (field.key.clone(), member(catalog, collection, tenant, field, followed));
        let members = fields.iter().map(member).collect();
        let shards = catalog.shards(collection.id).clone();
        Self { collection: collection.clone(), shards, tenant: tenant.to_owned(), members }
    }

    /// The same shape, in which properties that are objects, places or phone numbers are null.
    pub(super) fn without_compound_values(mut self) -> Self {
        for (_, member) in &mut self.members {
            let Member::Plain { property, .. } = member else { continue };
            let data_type = self.collection.property(property).map(|property| &property.data_type);
            if let Some(
                DataType::Object { .. }
                | DataType::Primitive { of: Primitive::GeoCoordinates | Primitive::PhoneNumber, .. },
            ) = data_type
            {
                *member = Member::Null;
            }
        }
        self
    }

    /// The references that are followed, those of the members of groups too, in the order of their positions.
    pub(super) fn follow(&self) -> Vec<Follow> {
        let mut all = Vec::new();
        for (_, member) in &self.members {
            match member {
                Member::TypeName | Member::Null | Member::Plain { .. } => {}
                Member::Reference { property, targets, .. } => {
                    let targets = targets.iter().map(Self::as_target).collect();
                    all.push(Follow { property: property.clone(), targets });
                }
                Member::Additional(fields) => {
                    all.extend(fields.iter().filter_map(|field| field.group.as_ref()).flat_map(GroupShape::follow));
                }
            }
        }
        all
    }

    fn as_target(&self) -> FollowTarget {
        FollowTarget {
            collection: self.collection.clone(),
            shards: self.shards.clone(),
            tenant: self.tenant.clone(),
            // As in Weaviate, objects behind references come without their vectors.
            include: Include { properties: self.projection(), ..Include::default() },
            follow: self.follow(),
        }
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

    /// Properties that must be read.
    pub(super) fn projection(&self) -> Projection {
        let mut projection: Projection = (self.members.iter())
            .filter_map(|(_, member)| match member {
                Member::Plain { property, fields } => Some((property.clone(), members_of(fields))),
                Member::Reference { property, .. } => Some((property.clone(), Projection::All)),
                Member::TypeName | Member::Null | Member::Additional(_) => None,
            })
            .collect();
        let groups = self.additional().filter_map(|asked| asked.group.as_ref());
        groups.for_each(|group| projection.merge(group.projection()));
        projection
    }

    /// The field of `_additional` of that name, if it is asked for.
    pub(super) fn asked(&self, additional: &str) -> Option<&Field> {
        self.additional().map(|asked| &asked.field).find(|field| field.name == additional)
    }

    /// Whether that field of `_additional` is asked for.
    pub(super) fn asks(&self, additional: &str) -> bool {
        self.additional().any(|asked| asked.field.name == additional)
    }

    fn additional(&self) -> impl Iterator<Item = &Additional> {
        self.members.iter().flat_map(|(_, member)| match member {
            Member::Additional(fields) => fields.as_slice(),
            _ => &[],
        })
    }

    /// A hit in this shape; `near` is whether a vector search found it, `profile` the profile of the search for its first hit.
    ///
    /// # Errors
    /// When the request may have no more memory.
    pub(super) fn hit_json(&self, hit: &HitTree, near: bool, profile: Option<&str>) -> Result<Tree> {
        self.added_json(hit, near, profile, None)
    }

    /// A hit in this shape, with the additions of modules.
    ///
    /// # Errors
    /// When the request may have no more memory.
    pub(super) fn added_json(
        &self,
        HitTree { hit, references }: &HitTree,
        near: bool,
        profile: Option<&str>,
        added: Option<Added<'_>>,
    ) -> Result<Tree> {
        // A score stands in place of a distance.
        let distance = hit.distance.filter(|_| hit.score.is_none());
        self.json(&hit.object, references, Ranked { distance, score: hit.score.as_deref(), near, profile, added })
    }

    /// An object in this shape.
    ///
    /// # Errors
    /// When the request may have no more memory.
    pub(super) fn json(&self, object: &Object, followed: &[Vec<Followed>], ranked: Ranked<'_>) -> Result<Tree> {
        interrupt::check()?;
        let mut shaped = Members::new();
        for (key, member) in &self.members {
            request_memory::charge(weight::MEMBER_BYTES + key.len())?;
            let value = match member {
                Member::TypeName => json!(self.collection.name).into(),
                Member::Null => Tree::NULL,
                Member::Plain { property, fields } => match object.properties.get(property) {
                    Some(value) => charged_plain(value, fields)?.into(),
                    None => Tree::NULL,
                },
                Member::Reference { position, property, targets } => match object.properties.get(property) {
                    Some(Value::References(beacons)) => references(targets, followed.get(*position), beacons)?,
                    _ => Tree::NULL,
                },
                Member::Additional(fields) => {
                    request_memory::charge(self.additional_bytes(fields, object))?;
                    self.additional_json(fields, object, ranked)
                }
            };
            shaped.insert(key.clone(), value);
        }
        Ok(shaped.into())
    }

    /// What stands for a group: no properties, and of the rest the group itself. Without one even that is null.
    ///
    /// # Errors
    /// When the request may have no more memory.
    pub(super) fn group_json(&self, grouped: Option<Grouped<'_>>) -> Result<Tree> {
        let mut shaped = Members::new();
        for (key, member) in &self.members {
            let value = match member {
                Member::TypeName => json!(self.collection.name).into(),
                Member::Null | Member::Plain { .. } | Member::Reference { .. } => Tree::NULL,
                Member::Additional(fields) => {
                    let mut additional = Members::new();
                    for Additional { field, group } in fields {
                        let value = match (group, grouped) {
                            (Some(shape), Some(grouped)) => shape.json(grouped)?,
                            _ => Tree::NULL,
                        };
                        additional.insert(field.key.clone(), value);
                    }
                    additional.into()
                }
            };
            shaped.insert(key.clone(), value);
        }
        Ok(shaped.into())
    }

    /// Bytes of the JSON of the fields of `_additional`.
    fn additional_bytes(&self, fields: &[Additional], object: &Object) -> usize {
        let named = |field: &Field| {
            let id = self.collection.vectors.named.get(&field.name).map(|config| config.id);
            id.and_then(|id| object.vectors.get(&id)).map_or(0, weight::vector)
        };
        let of = |field: &Field| match field.name.as_str() {
            "vector" => object.vectors.get(&VectorId::UNNAMED).map_or(0, weight::vector),
            "vectors" => field.fields.iter().map(|field| weight::MEMBER_BYTES + named(field)).sum(),
            _ => 64,
        };
        fields.iter().map(|Additional { field, .. }| weight::MEMBER_BYTES + field.key.len() + of(field)).sum()
    }

    fn additional_json(&self, fields: &[Additional], object: &Object, ranked: Ranked<'_>) -> Tree {
        let Ranked { distance, score, near, profile, added } = ranked;
        let empty = |asked: &Additional| match asked.field.name.as_str() {
            "distance" | "certainty" | "classification" | "__typename" => !near,
            "group" => true,
            _ => false,
        };
        if fields.iter().all(empty) {
            return Tree::NULL;
        }
        let value = |field: &Field| match field.name.as_str() {
            "id" => json!(object.id.to_string()),
            "creationTimeUnix" => json!(object.created_ms.to_string()),
            "lastUpdateTimeUnix" => json!(object.updated_ms.to_string()),
            "distance" => json!(distance),
            "certainty" => json!(distance.map(|distance| f64::from(target::certainty(distance)))),
            "score" => json!(score.map_or_else(|| "0".to_owned(), |score| score.value.to_string())),
            "explainScore" => {
                json!(score.map_or_else(String::new, |score| texts::explanation(object.id, &score.explanation)))
            }
            "queryProfile" => json!(profile),
            "generate" => added.map_or(Json::Null, |added| added.generate(&field.fields)),
            "rerank" => added.map_or(Json::Null, |added| added.rerank(&field.fields)),
            "__typename" => json!(format!("{}Additional", self.collection.name)),
            _ => Json::Null,
        };
        let value = |field: &Field| match field.name.as_str() {
            "vector" => object.vectors.get(&VectorId::UNNAMED).map_or_else(|| json!([]).into(), vector),
            "vectors" => self.named(&field.fields, object),
            _ => value(field).into(),
        };
        Tree::Object(fields.iter().map(|Additional { field, .. }| (field.key.clone(), value(field))).collect())
    }

    fn named(&self, fields: &[Field], object: &Object) -> Tree {
        let value = |field: &Field| {
            let config = self.collection.vectors.named.get(&field.name);
            config.and_then(|config| object.vectors.get(&config.id)).map_or(Tree::NULL, vector)
        };
        Tree::Object(fields.iter().map(|field| (field.key.clone(), value(field))).collect())
    }
}

impl Added<'_> {
    fn generate(self, fields: &[Field]) -> Json {
        let single = self.all.single.get(self.at);
        // The text about all hits stands with the first one.
        let grouped = self.all.grouped.as_ref().filter(|_| self.at == 0);
        let text = |written: Option<&Written>| {
            written.and_then(|written| written.as_ref().ok()).map_or(Json::Null, |text| json!(text))
        };
        let error = [single, grouped].into_iter().flatten().find_map(|written| written.as_ref().err());
        let value = |field: &Field| match field.name.as_str() {
            "singleResult" => text(single),
            "groupedResult" => text(grouped),
            "error" => error.map_or(Json::Null, |error| json!(error.to_string())),
            _ => Json::Null,
        };
        fields.iter().map(|field| (field.key.clone(), value(field))).collect()
    }

    fn rerank(self, fields: &[Field]) -> Json {
        let score = self.all.scores.get(self.at);
        let value = |field: &Field| if field.name == "score" { json!(score) } else { Json::Null };
        json!([fields.iter().map(|field| (field.key.clone(), value(field))).collect::<serde_json::Map<_, _>>()])
    }
}

/// The part of a value that these fields show.
fn members_of(fields: &[Field]) -> Projection {
    let members: Projection = fields.iter().map(|field| (field.name.clone(), members_of(&field.fields))).collect();
    if members.is_none() { Projection::All } else { members }
}

fn vector(vector: &Vector) -> Tree {
    Tree::Vector(vector.clone(), Whole::Fraction)
}

fn member(
    catalog: &Catalog,
    collection: &Arc<Collection>,
    tenant: &str,
    field: &Field,
    followed: &mut usize,
) -> Member {
    let property = match field.name.as_str() {
        "__typename" => return Member::TypeName,
        "_additional" => {
            let asked = field.fields.iter().map(|field| Additional {
                field: field.clone(),
                group: (field.name == "group")
                    .then(|| GroupShape::new(catalog, collection, tenant, &field.fields, followed)),
            });
            return Member::Additional(asked.collect());
        }
        name => name.to_owned(),
    };
    match collection.property(&property).map(|property| &property.data_type) {
        Some(DataType::Reference(targets)) => {
            // Targets are answered one after another, in the order of their fragments.
            let fragment = |target: &&Arc<Collection>| {
                field.fields.iter().position(|inner| inner.on.as_ref() == Some(&target.name))
            };
            let mut targets: Vec<_> = targets.iter().filter_map(|target| catalog.find(target)).collect();
            targets.sort_by_key(fragment);
            let shape = |target: &Arc<Collection>| {
                // What stands outside of a fragment is asked of every target: their type's name.
                let wanted = |inner: &&Field| inner.on.as_ref().is_none_or(|on| *on == target.name);
                let on_it = field.fields.iter().any(|inner| inner.on.as_ref() == Some(&target.name));
                let fields: Vec<Field> = field.fields.iter().filter(wanted).cloned().collect();
                on_it.then(|| Shape::new(catalog, target, tenant, &fields))
            };
            let position = *followed;
            *followed += 1;
            Member::Reference { position, property, targets: targets.into_iter().filter_map(shape).collect() }
        }
        _ => Member::Plain { property, fields: field.fields.clone() },
    }
}

/// A value in the shape of its fields, charged.
fn charged_plain(value: &Value, fields: &[Field]) -> Result<Json> {
    let expected = weight::value(value);
    request_memory::charge(expected)?;
    let shown = plain(value, fields);
    // Fields of nested objects can be asked for several times, under other names.
    if !fields.is_empty() {
        request_memory::charge(weight::json(&shown).saturating_sub(expected))?;
    }
    Ok(shown)
}

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

/// The objects that references lead to, for the requested classes; references to missing objects are left out. Null
/// when no object of a list exists, unlike the list of an object without references, which is empty.
fn references(targets: &[Shape], followed: Option<&Vec<Followed>>, beacons: &[Beacon]) -> Result<Tree> {
    let mut found = Vec::new();
    for (position, shape) in targets.iter().enumerate() {
        for Followed { tree, .. } in followed.into_iter().flatten().filter(|followed| followed.target == position) {
            found.push(shape.json(&tree.object, &tree.references, Ranked::default())?);
        }
    }
    Ok(if found.is_empty() && !beacons.is_empty() { Tree::NULL } else { Tree::List(found) })
}
