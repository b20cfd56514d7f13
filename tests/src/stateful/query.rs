//! Queries as GraphQL and gRPC write them, and the hits that come back.

use azimuth_client::proto::weaviate::v1 as pb;
use serde_json::json;
use std::collections::BTreeMap;
use uuid::Uuid;

use super::filter::Filter;
use super::model::Class;
use super::play::{Finding, Player, acceptable};
use super::schema::UNNAMED;
use super::step::{Near, Origin, Wire};
use super::wire::{Hit, bytes, from_graphql, from_grpc, literal, selection};

/// More than a collection ever holds.
pub(super) const ALL: usize = 1_000;

/// A query of either wire.
#[derive(Default)]
pub(super) struct Query<'a> {
    pub(super) filter: Option<&'a Filter>,
    pub(super) near: Option<&'a Near>,
    /// A vector for each of several targets, and how their distances are combined.
    pub(super) many: Option<(&'a BTreeMap<String, Vec<f32>>, &'a str)>,
    pub(super) sort: &'a [(String, bool)],
    pub(super) after: Option<Uuid>,
    pub(super) limit: Option<usize>,
    pub(super) offset: usize,
}

impl Player {
    /// Hits of a query, or why it was refused.
    pub(super) fn query(
        &self,
        wire: Wire,
        class: &Class,
        query: &Query<'_>,
    ) -> Result<Result<Vec<Hit>, String>, Finding> {
        if wire == Wire::Grpc {
            return match self.wires.search(self.request(class, query)) {
                Ok(reply) => {
                    let hits: Option<Vec<Hit>> = reply.results.iter().map(from_grpc).collect();
                    hits.map(Ok).ok_or_else(|| format!("a hit without an id: {reply:?}"))
                }
                Err(status) => match acceptable(&status) {
                    Some(why) => Ok(Err(why)),
                    None => Err(format!("search over gRPC in {}: {status:?}", class.schema.name)),
                },
            };
        }
        let name = &class.schema.name;
        let text = format!("{{ Get {{ {name}{} {{ {} }} }} }}", arguments(query), selection(&class.schema));
        let data = match self.wires.graphql(&text)? {
            Ok(data) => data,
            Err(why) if why.contains("panicked") => return Err(format!("{text}: {why}")),
            Err(why) => return Ok(Err(why)),
        };
        let answers = data["Get"][name].as_array().cloned().unwrap_or_default();
        let hits: Option<Vec<Hit>> = answers.iter().map(from_graphql).collect();
        hits.map(Ok).ok_or_else(|| format!("{text}: a hit without an id: {data}"))
    }

    pub(super) fn request(&self, class: &Class, query: &Query<'_>) -> pb::SearchRequest {
        let named: Vec<String> = class.schema.vectors.keys().filter(|name| *name != UNNAMED).cloned().collect();
        let mut request = pb::SearchRequest {
            collection: class.schema.name.clone(),
            limit: query.limit.unwrap_or(0) as u32,
            offset: query.offset as u32,
            after: query.after.map(|id| if id.is_nil() { String::new() } else { id.to_string() }).unwrap_or_default(),
            filters: query.filter.map(|filter| Box::new(filter.proto())),
            metadata: Some(pb::MetadataRequest {
                uuid: true,
                vector: named.is_empty(),
                vectors: named,
                distance: query.near.is_some() || query.many.is_some(),
                ..Default::default()
            }),
            properties: Some(pb::PropertiesRequest { return_all_nonref_properties: true, ..Default::default() }),
            sort_by: query
                .sort
                .iter()
                .map(|(name, descending)| pb::SortBy { ascending: !descending, path: vec![name.clone()] })
                .collect(),
            uses_127_api: true,
            ..Default::default()
        };
        if let Some(near) = query.near {
            let targets = (near.target != UNNAMED)
                .then(|| pb::Targets { target_vectors: vec![near.target.clone()], ..Default::default() });
            match &near.origin {
                Origin::Vector(vector) => {
                    request.near_vector = Some(pb::NearVector {
                        vectors: vec![pb::Vectors { vector_bytes: bytes(vector), ..Default::default() }],
                        distance: near.distance,
                        targets,
                        ..Default::default()
                    });
                }
                Origin::Object(id) => {
                    request.near_object = Some(Box::new(pb::NearObject {
                        id: id.to_string(),
                        distance: near.distance,
                        targets,
                        ..Default::default()
                    }));
                }
            }
            if near.limit.is_none() && query.limit.is_none() {
                request.limit = ALL as u32;
            }
        }
        if let Some((vectors, method)) = query.many {
            request.near_vector = Some(many(vectors, method));
        }
        request
    }
}

/// One vector for each target.
fn many(vectors: &BTreeMap<String, Vec<f32>>, method: &str) -> pb::NearVector {
    let combination = match method {
        "sum" => pb::CombinationMethod::TypeSum,
        "average" => pb::CombinationMethod::TypeAverage,
        _ => pb::CombinationMethod::TypeMin,
    };
    let targets = pb::Targets {
        target_vectors: vectors.keys().cloned().collect(),
        combination: combination.into(),
        ..Default::default()
    };
    let one = |(name, vector): (&String, &Vec<f32>)| pb::VectorForTarget {
        name: name.clone(),
        vectors: vec![pb::Vectors { name: name.clone(), vector_bytes: bytes(vector), ..Default::default() }],
        ..Default::default()
    };
    let vector_for_targets = vectors.iter().map(one).collect();
    pb::NearVector { targets: Some(targets), vector_for_targets, ..Default::default() }
}

/// The arguments of a `Get`, in parentheses.
fn arguments(query: &Query<'_>) -> String {
    let mut parts = Vec::new();
    parts.extend(query.filter.map(|filter| format!("where: {}", literal(&filter.json(false)))));
    parts.extend(query.limit.map(|limit| format!("limit: {limit}")));
    parts.extend((query.offset > 0).then(|| format!("offset: {}", query.offset)));
    parts.extend(
        query.after.map(|id| format!("after: \"{}\"", if id.is_nil() { String::new() } else { id.to_string() })),
    );
    if !query.sort.is_empty() {
        let order = |descending: bool| if descending { "desc" } else { "asc" };
        let clauses: Vec<String> = query
            .sort
            .iter()
            .map(|(name, descending)| format!("{{path: [\"{name}\"], order: {}}}", order(*descending)))
            .collect();
        parts.push(format!("sort: [{}]", clauses.join(", ")));
    }
    if let Some(near) = query.near {
        let mut fields = Vec::new();
        fields.extend(near.distance.map(|distance| format!("distance: {distance:?}")));
        fields.extend((near.target != UNNAMED).then(|| format!("targetVectors: [\"{}\"]", near.target)));
        let name = match &near.origin {
            Origin::Vector(vector) => {
                fields.push(format!("vector: {}", json!(vector)));
                "nearVector"
            }
            Origin::Object(id) => {
                fields.push(format!("id: \"{id}\""));
                "nearObject"
            }
        };
        parts.push(format!("{name}: {{{}}}", fields.join(", ")));
    }
    if let Some((vectors, method)) = query.many {
        let names: Vec<&String> = vectors.keys().collect();
        let each: Vec<String> = vectors.iter().map(|(name, vector)| format!("{name}: {}", json!(vector))).collect();
        let targets = format!("{{targetVectors: {}, combinationMethod: {method}}}", json!(names));
        parts.push(format!("nearVector: {{vectorPerTarget: {{{}}}, targets: {targets}}}", each.join(", ")));
    }
    if parts.is_empty() { String::new() } else { format!("({})", parts.join(", ")) }
}
