//! Groups of hits: the arguments `groupBy` and `group`, and `_additional.group`.

use std::sync::Arc;

use azimuth_engine::Result;
use azimuth_engine::ids::VectorId;
use azimuth_engine::meta::Catalog;
use azimuth_engine::query::{Hit, Projection};
use azimuth_engine::schema::Collection;
use serde_json::{Value as Json, json};

use super::arguments::object;
use super::document::Field;
use super::shape::{Ranked, Shape};
use crate::app::search::grouping::{self, Group, GroupBy};
use crate::app::search::related::{Related, Strategy};
use crate::app::shards::{Follow, HitTree};
use crate::weaviate::objects::groups;
use crate::weaviate::tree::Tree;

/// One answer per group; hits that no search ranked are in no group, each of them an answer without anything.
pub(super) fn in_groups(shape: &Shape, hits: &[HitTree], by: &GroupBy, near: bool) -> Result<Vec<Tree>> {
    if !near {
        return hits.iter().map(|_| shape.group_json(None)).collect();
    }
    let groups = grouping::group(hits.iter().map(|tree| &tree.hit), by, groups::names);
    let groups = groups.iter().enumerate();
    groups.map(|(id, group)| shape.group_json(Some(Grouped { id, path: &by.property, group, hits }))).collect()
}

/// The `groupBy` argument. Its path has one member; another number means no property.
pub(super) fn group_by(class: &Field) -> Option<GroupBy> {
    let given = object(class, "groupBy")?;
    let property = match given.get("path") {
        Some(Json::String(only)) => only.clone(),
        Some(Json::Array(path)) if path.len() == 1 => path[0].as_str().unwrap_or_default().to_owned(),
        _ => String::new(),
    };
    let count = |name: &str| given.get(name).and_then(Json::as_i64).and_then(|count| usize::try_from(count).ok());
    let (groups, per_group) = (count("groups").unwrap_or(0), count("objectsPerGroup").unwrap_or(0));
    Some(GroupBy { property, groups, per_group })
}

/// The deprecated `group` argument.
pub(super) fn related(class: &Field) -> Option<Related> {
    let given = object(class, "group")?;
    let strategy = match given.get("type").and_then(Json::as_str) {
        Some("merge") => Strategy::Merge,
        _ => Strategy::Closest,
    };
    let force = given.get("force").and_then(Json::as_f64).unwrap_or_default() as f32;
    Some(Related { strategy, force })
}

/// What is asked of a group.
#[derive(Debug, Clone)]
pub(super) struct GroupShape {
    type_name: String,
    members: Vec<(String, Member)>,
}

#[derive(Debug, Clone)]
enum Member {
    TypeName,
    Id,
    Count,
    MinDistance,
    MaxDistance,
    GroupedBy(Vec<Field>),
    Hits(Shape),
}

/// A group that is answered: its number, what is in it, and the hits that its members are positions of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Grouped<'a> {
    pub(super) id: usize,
    pub(super) path: &'a str,
    pub(super) group: &'a Group,
    pub(super) hits: &'a [HitTree],
}

impl GroupShape {
    /// What is asked of a group.
    pub(super) fn new(
        catalog: &Catalog,
        collection: &Arc<Collection>,
        tenant: &str,
        fields: &[Field],
        followed: &mut usize,
    ) -> Self {
        let mut member = |field: &Field| match field.name.as_str() {
            "id" => Member::Id,
            "count" => Member::Count,
            "minDistance" => Member::MinDistance,
            "maxDistance" => Member::MaxDistance,
            "groupedBy" => Member::GroupedBy(field.fields.clone()),
            "hits" => {
                // As in Weaviate, objects, places and phone numbers of the members of a group are null.
                let shape = Shape::after(catalog, collection, tenant, &field.fields, followed);
                Member::Hits(shape.without_compound_values())
            }
            _ => Member::TypeName,
        };
        let type_name = format!("{}AdditionalGroup", collection.name);
        Self { type_name, members: fields.iter().map(|field| (field.key.clone(), member(field))).collect() }
    }

    /// The references of its hits that are followed, in the order of their positions.
    pub(super) fn follow(&self) -> Vec<Follow> {
        self.hits().flat_map(Shape::follow).collect()
    }

    fn hits(&self) -> impl Iterator<Item = &Shape> {
        self.members.iter().filter_map(|(_, member)| if let Member::Hits(shape) = member { Some(shape) } else { None })
    }

    /// Vectors that must be read of its hits.
    pub(super) fn vectors(&self) -> Vec<VectorId> {
        self.hits().flat_map(Shape::vectors).collect()
    }

    /// Properties that must be read of its hits.
    pub(super) fn projection(&self) -> Projection {
        let mut projection = Projection::None;
        self.hits().for_each(|shape| projection.merge(shape.projection()));
        projection
    }

    /// A group in this shape.
    ///
    /// # Errors
    /// When the request may have no more memory.
    pub(super) fn json(&self, grouped: Grouped<'_>) -> Result<Tree> {
        let Grouped { id, path, group, hits } = grouped;
        let members = self.members.iter().map(|(key, member)| {
            let value = match member {
                Member::TypeName => json!(self.type_name).into(),
                Member::Id => json!(id).into(),
                Member::Count => json!(group.members.len()).into(),
                Member::MinDistance => json!(group.distances.0).into(),
                Member::MaxDistance => json!(group.distances.1).into(),
                Member::GroupedBy(fields) => self.grouped_by(fields, path, &group.value).into(),
                Member::Hits(shape) => {
                    let hits = group.members.iter().map(|&position| &hits[position]);
                    // Hits with a score have no distance, and groups show that as 0.
                    let distance = |hit: &Hit| if hit.score.is_some() { Some(0.0) } else { hit.distance };
                    let ranked = |hit| Ranked { distance: distance(hit), near: true, ..Ranked::default() };
                    let shown =
                        hits.map(|HitTree { hit, references }| shape.json(&hit.object, references, ranked(hit)));
                    Tree::List(shown.collect::<Result<_>>()?)
                }
            };
            Ok((key.clone(), value))
        });
        members.collect::<Result<_>>().map(Tree::Object)
    }

    fn grouped_by(&self, fields: &[Field], path: &str, value: &str) -> Json {
        let value = |field: &Field| match field.name.as_str() {
            "value" => json!(value),
            "path" => json!([path]),
            _ => json!(format!("{}GroupedBy", self.type_name)),
        };
        fields.iter().map(|field| (field.key.clone(), value(field))).collect()
    }
}
