//! The OpenAPI document of the REST interface, made from the routes and from the models that bodies are checked against:
//! it cannot name a path or a field that the server does not know.
//!
//! `GET /v1/openapi.json` serves it; `docs/openapi.json` holds the same text, and a test compares them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::models::{self, Described};
use super::root::WEAVIATE_VERSION;
use super::route::{Endpoint, ROUTES};

/// Names of the parameters that stand for the segments `*` behind a segment.
const SEGMENTS: [(&str, &[&str]); 17] = [
    ("objects", &["className", "id"]),
    ("schema", &["className"]),
    ("nodes", &["className"]),
    ("shards", &["shardName"]),
    ("tenants", &["tenantName"]),
    ("aliases", &["aliasName"]),
    ("properties", &["propertyName"]),
    ("index", &["indexName"]),
    ("vectors", &["vectorName"]),
    ("references", &["propertyName"]),
    ("search", &["className"]),
    ("aggregate", &["className"]),
    ("backups", &["backend", "id"]),
    ("export", &["backend", "id"]),
    ("roles", &["id"]),
    ("users", &["id"]),
    ("groups", &["id"]),
];

/// Models of bodies by method and path.
#[rustfmt::skip]
const BODIES: &[(&str, &str, &str)] = &[
    ("POST", "schema", "models.Class"),
    ("PUT", "schema/*", "models.Class"),
    ("POST", "schema/*/properties", "models.Property"),
    ("PUT", "schema/*/properties/*/index/*", "models.IndexUpsertRequest"),
    ("POST", "schema/*/properties/*/tokenize", "models.PropertyTokenizeRequest"),
    ("POST", "tokenize", "models.TokenizeRequest"),
    ("PUT", "schema/*/shards/*", "models.ShardStatus"),
    ("POST", "schema/*/tenants", "[]*models.Tenant"),
    ("PUT", "schema/*/tenants", "[]*models.Tenant"),
    ("DELETE", "schema/*/tenants", "[]string"),
    ("POST", "objects", "models.Object"),
    ("POST", "objects/validate", "models.Object"),
    ("PUT", "objects/*", "models.Object"),
    ("PATCH", "objects/*", "models.Object"),
    ("PUT", "objects/*/*", "models.Object"),
    ("PATCH", "objects/*/*", "models.Object"),
    ("POST", "objects/*/references/*", "models.SingleRef"),
    ("PUT", "objects/*/references/*", "models.MultipleRef"),
    ("DELETE", "objects/*/references/*", "models.SingleRef"),
    ("POST", "objects/*/*/references/*", "models.SingleRef"),
    ("PUT", "objects/*/*/references/*", "models.MultipleRef"),
    ("DELETE", "objects/*/*/references/*", "models.SingleRef"),
    ("POST", "batch/objects", "batch.BatchObjectsCreateBody"),
    ("DELETE", "batch/objects", "models.BatchDelete"),
    ("POST", "batch/references", "[]*models.BatchReference"),
    ("POST", "graphql", "models.GraphQLQuery"),
    ("POST", "graphql/batch", "models.GraphQLQueries"),
];

/// Query parameters by path: name and type.
#[rustfmt::skip]
const QUERIES: &[(&str, &[(&str, &str)])] = &[
    ("objects", &[("class", "string"), ("limit", "integer"), ("offset", "integer"), ("after", "string"), ("sort", "string"),
        ("order", "string"), ("include", "string"), ("tenant", "string")]),
    ("objects/*", &[("include", "string"), ("tenant", "string"), ("consistency_level", "string")]),
    ("objects/*/*", &[("include", "string"), ("tenant", "string"), ("consistency_level", "string")]),
    ("objects/*/*/references/*", &[("tenant", "string"), ("consistency_level", "string")]),
    ("batch/objects", &[("tenant", "string"), ("consistency_level", "string")]),
    ("batch/references", &[("consistency_level", "string")]),
    ("schema/*/shards", &[("tenant", "string")]),
    ("nodes", &[("output", "string")]),
    ("nodes/*", &[("output", "string"), ("shardName", "string")]),
];

/// The document.
pub(super) fn document() -> Value {
    let mut paths: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    let mut models = BTreeSet::new();
    for (methods, pattern, endpoint) in ROUTES {
        // A path that answers nothing but that it is not there is no part of the interface.
        if matches!(endpoint, Endpoint::Absent(_) | Endpoint::Replication | Endpoint::Namespaces | Endpoint::Mcp) {
            continue;
        }
        let (path, parameters) = path_of(pattern);
        let item = paths.entry(path).or_default();
        for method in *methods {
            item.insert(method.to_lowercase(), operation(method, pattern, &parameters, &mut models));
        }
    }
    for probe in ["live", "ready"] {
        let responses = json!({"200": {"description": "Yes."}, "503": {"description": "Not yet."}});
        let get = json!({"operationId": format!("get .well-known/{probe}"), "security": [{}], "responses": responses});
        paths.insert(format!("/.well-known/{probe}"), Map::from_iter([("get".to_owned(), get)]));
    }
    let mut schemas = Map::new();
    while let Some(name) = models.pop_first() {
        if schemas.contains_key(short(&name)) {
            continue;
        }
        let schema = schema(&models::described(&name), &mut models);
        schemas.insert(short(&name).to_owned(), schema);
    }
    json!({
        "openapi": "3.0.3",
        "info": {
            "title": "Azimuth",
            "description": "A vector database that speaks Weaviate's interface.",
            "version": WEAVIATE_VERSION,
        },
        "servers": [{"url": "/v1"}],
        "security": [{}, {"bearer": []}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    })
}

fn operation(method: &str, pattern: &str, parameters: &[String], models: &mut BTreeSet<String>) -> Value {
    let mut all: Vec<Value> = Vec::new();
    for name in parameters {
        all.push(json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}));
    }
    let queries = QUERIES.iter().find(|(path, _)| *path == pattern).map_or(&[][..], |(_, queries)| queries);
    for (name, kind) in queries {
        all.push(json!({"name": name, "in": "query", "schema": {"type": kind}}));
    }
    let mut operation = Map::from_iter([
        ("operationId".to_owned(), json!(format!("{} {pattern}", method.to_lowercase()))),
        ("responses".to_owned(), responses(method)),
    ]);
    if !all.is_empty() {
        operation.insert("parameters".to_owned(), Value::Array(all));
    }
    let body = BODIES.iter().find(|(of, path, _)| *of == method && *path == pattern).map(|(.., model)| *model);
    if let Some(model) = body {
        let schema = match models::described(model) {
            Described::Fields(_) => reference(model, models),
            list => schema(&list, models),
        };
        let content = json!({"application/json": {"schema": schema}});
        operation.insert("requestBody".to_owned(), json!({"required": true, "content": content}));
    }
    Value::Object(operation)
}

/// The classes of answers that every operation has.
fn responses(method: &str) -> Value {
    let mut responses = json!({
        "2XX": {"description": "The request was carried out."},
        "4XX": {"description": "The request cannot be carried out as it is; the body says why, unless the object is not there."},
        "5XX": {"description": "The request may succeed later, or a part of the server is off."},
    });
    if method == "HEAD"
        && let Some(responses) = responses.as_object_mut()
    {
        responses.insert("4XX".to_owned(), json!({"description": "It is not there, or the request is wrong."}));
    }
    responses
}

/// A path with names in place of `*`, and the names.
fn path_of(pattern: &str) -> (String, Vec<String>) {
    let segments: Vec<&str> = pattern.split('/').filter(|segment| !segment.is_empty()).collect();
    let (mut path, mut names) = (String::new(), Vec::new());
    let mut fixed = "";
    let mut run = 0;
    for (at, segment) in segments.iter().enumerate() {
        path.push('/');
        if *segment != "*" {
            (fixed, run) = (segment, 0);
            path.push_str(segment);
            continue;
        }
        let known = SEGMENTS.iter().find(|(before, _)| *before == fixed).map_or(&["id"][..], |(_, names)| names);
        // An object that is named by its id alone.
        let is_only = fixed == "objects" && segments.get(at + 1) != Some(&"*") && run == 0;
        let name = if is_only { "id" } else { known.get(run).copied().unwrap_or("name") };
        let name = if names.iter().any(|used| used == name) { format!("{name}{}", at + 1) } else { name.to_owned() };
        path.push_str(&format!("{{{name}}}"));
        names.push(name);
        run += 1;
    }
    (if path.is_empty() { "/".to_owned() } else { path }, names)
}

/// The schema of a field or model, whose models are added to those that must be described.
fn schema(described: &Described, models: &mut BTreeSet<String>) -> Value {
    match described {
        Described::Any => json!({}),
        Described::Text => json!({"type": "string"}),
        Described::Bool => json!({"type": "boolean"}),
        Described::Int => json!({"type": "integer", "format": "int64"}),
        Described::Float => json!({"type": "number"}),
        Described::AnyObject => json!({"type": "object"}),
        Described::List(element) => json!({"type": "array", "items": schema(element, models)}),
        Described::Map(element) => json!({"type": "object", "additionalProperties": schema(element, models)}),
        Described::Model(name) => reference(name, models),
        Described::Fields(fields) => {
            let properties = fields.iter().map(|(name, of)| ((*name).to_owned(), schema(of, models)));
            json!({"type": "object", "properties": properties.collect::<Map<_, _>>()})
        }
    }
}

fn reference(model: &str, models: &mut BTreeSet<String>) -> Value {
    models.insert(model.to_owned());
    json!({"$ref": format!("#/components/schemas/{}", short(model))})
}

fn short(model: &str) -> &str {
    model.rsplit('.').next().unwrap_or(model)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn segments_have_names() {
        let named = |pattern: &str| path_of(pattern).0;
        assert_eq!(named("objects/*"), "/objects/{id}");
        assert_eq!(named("objects/*/*/references/*"), "/objects/{className}/{id}/references/{propertyName}");
        assert_eq!(
            named("schema/*/properties/*/index/*"),
            "/schema/{className}/properties/{propertyName}/index/{indexName}"
        );
        assert_eq!(named(""), "/");
    }

    #[test]
    fn every_body_belongs_to_a_route() {
        for (method, pattern, _) in BODIES {
            let known = ROUTES.iter().any(|(methods, path, _)| path == pattern && methods.contains(method));
            assert!(known, "{method} {pattern}");
        }
        for (pattern, _) in QUERIES {
            assert!(ROUTES.iter().any(|(_, path, _)| path == pattern), "{pattern}");
        }
    }

    /// With `AZIMUTH_WRITE_OPENAPI` set the file is written instead.
    #[test]
    fn the_document_in_docs_is_this_one() {
        let text = serde_json::to_string_pretty(&document()).expect("JSON") + "\n";
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json");
        if std::env::var_os("AZIMUTH_WRITE_OPENAPI").is_some() {
            std::fs::write(&path, &text).expect("the file is written");
        }
        let there = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(there == text, "docs/openapi.json is out of date: run this test with AZIMUTH_WRITE_OPENAPI=1");
    }
}
