//! Every route has a decision: callers without a key, without rights, and with the right to read are refused as listed.

use std::sync::Arc;

use axum::body::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Method, Uri};
use serde_json::{Value, json};

use super::route::ROUTES;
use super::{accept, handle};
use crate::app::App;
use crate::app::access_tests::Started;

/// Who may call a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    /// Everyone, without a key.
    All,
    /// Everyone with a key: the route reads and changes no data.
    Known,
    /// Callers that may read. The others get an empty answer.
    ReadersOthersEmpty,
    /// Callers that may read.
    Readers,
    /// Callers that may change.
    Writers,
}

use Who::{All, Known, Readers, ReadersOthersEmpty, Writers};

/// The decision of each route: a new route fails the test until it is listed here.
const DECISIONS: &[(&str, &str, Who)] = &[
    ("GET", "", All),
    ("GET", ".well-known/openid-configuration", All),
    ("GET", "openapi.json", Known),
    ("GET", "meta", Known),
    ("GET", "nodes", Readers),
    ("GET", "nodes/*", Readers),
    ("GET", "cluster/statistics", Readers),
    ("GET", "schema", ReadersOthersEmpty),
    ("POST", "schema", Writers),
    ("GET", "schema/*", Readers),
    ("PUT", "schema/*", Writers),
    ("DELETE", "schema/*", Writers),
    ("POST", "schema/*/properties", Writers),
    ("DELETE", "schema/*/properties/*/index/*", Writers),
    ("GET", "schema/*/indexes", Readers),
    ("PUT", "schema/*/properties/*/index/*", Writers),
    ("POST", "schema/*/properties/*/index/*/rebuild", Writers),
    ("POST", "schema/*/properties/*/index/*/cancel", Writers),
    ("POST", "schema/*/properties/*/tokenize", Readers),
    ("POST", "tokenize", Known),
    ("GET", "schema/*/shards", Readers),
    ("PUT", "schema/*/shards/*", Writers),
    ("GET", "objects", Readers),
    ("POST", "objects", Writers),
    ("POST", "objects/validate", Readers),
    ("GET", "objects/*", Readers),
    ("HEAD", "objects/*", Readers),
    ("PUT", "objects/*", Writers),
    ("PATCH", "objects/*", Writers),
    ("DELETE", "objects/*", Writers),
    ("GET", "objects/*/*", Readers),
    ("HEAD", "objects/*/*", Readers),
    ("PUT", "objects/*/*", Writers),
    ("PATCH", "objects/*/*", Writers),
    ("DELETE", "objects/*/*", Writers),
    ("POST", "objects/*/references/*", Writers),
    ("PUT", "objects/*/references/*", Writers),
    ("DELETE", "objects/*/references/*", Writers),
    ("POST", "objects/*/*/references/*", Writers),
    ("PUT", "objects/*/*/references/*", Writers),
    ("DELETE", "objects/*/*/references/*", Writers),
    ("POST", "batch/objects", Writers),
    ("DELETE", "batch/objects", Writers),
    ("POST", "batch/references", Writers),
    ("POST", "graphql", Readers),
    ("POST", "graphql/batch", Readers),
    ("GET", "users/own-info", Known),
    // Nothing stands behind these routes: they read and change no data.
    ("*", "tasks", Known),
    ("*", "schema/*/vectors/*/index", Known),
    ("GET", "schema/*/tenants", Readers),
    ("POST", "schema/*/tenants", Writers),
    ("PUT", "schema/*/tenants", Writers),
    ("DELETE", "schema/*/tenants", Writers),
    ("GET", "schema/*/tenants/*", Readers),
    ("HEAD", "schema/*/tenants/*", Readers),
    ("GET", "aliases", ReadersOthersEmpty),
    ("POST", "aliases", Writers),
    ("GET", "aliases/*", Readers),
    ("PUT", "aliases/*", Writers),
    ("DELETE", "aliases/*", Writers),
    ("POST", "search/*/near-text", Readers),
    ("*", "users/db", Known),
    ("*", "users/db/*", Known),
    ("*", "users/db/*/rotate-key", Known),
    ("*", "users/db/*/activate", Known),
    ("*", "users/db/*/deactivate", Known),
    ("*", "authz/roles", Known),
    ("*", "authz/roles/*", Known),
    ("*", "authz/roles/*/add-permissions", Known),
    ("*", "authz/roles/*/remove-permissions", Known),
    ("*", "authz/roles/*/has-permission", Known),
    ("*", "authz/roles/*/users", Known),
    ("*", "authz/roles/*/user-assignments", Known),
    ("*", "authz/roles/*/group-assignments", Known),
    ("*", "authz/users/*/roles", Known),
    ("*", "authz/users/*/roles/*", Known),
    ("*", "authz/users/*/assign", Known),
    ("*", "authz/users/*/revoke", Known),
    ("*", "authz/groups/*", Known),
    ("*", "authz/groups/*/assign", Known),
    ("*", "authz/groups/*/revoke", Known),
    ("*", "authz/groups/*/roles/*", Known),
    ("*", "backups/*", Known),
    ("*", "backups/*/*", Known),
    ("*", "backups/*/*/restore", Known),
    ("*", "export/*", Known),
    ("*", "export/*/*", Known),
    ("*", "classifications", Known),
    ("*", "classifications/*", Known),
    ("*", "replication/replicate", Known),
    ("*", "replication/replicate/list", Known),
    ("*", "replication/replicate/force-delete", Known),
    ("*", "replication/replicate/*", Known),
    ("*", "replication/replicate/*/cancel", Known),
    ("*", "replication/sharding-state", Known),
    ("*", "replication/scale", Known),
    ("*", "namespaces", Known),
    ("*", "namespaces/*", Known),
    ("*", "mcp", Known),
];

const ID: &str = "00000000-0000-0000-0000-000000000001";

/// A path of the route.
fn path(pattern: &str) -> String {
    let mut parts = Vec::new();
    let objects = pattern.starts_with("objects/");
    let stars = pattern.split('/').take_while(|part| *part != "references").filter(|part| *part == "*").count();
    for (position, part) in pattern.split('/').enumerate() {
        let before = parts.last().copied().unwrap_or_default();
        parts.push(match (part, before) {
            ("*", "index") => "filterable",
            ("*", "references") => "to",
            ("*", "properties") => "text",
            ("*", "aliases") => "Also",
            ("*", _) if objects && (stars == 1 || position == 2) => ID,
            ("*", _) => "Thing",
            (part, _) => part,
        });
    }
    let query = if pattern == "nodes/*" { "?output=verbose" } else { "" };
    // The links are open to all at the exact address.
    format!("/v1/{}{query}", parts.join("/")).trim_end_matches('/').to_owned()
}

/// A body that the route can read.
fn body(method: &str, pattern: &str) -> Value {
    let beacon = json!({"beacon": format!("weaviate://localhost/Thing/{ID}")});
    let query = json!({"query": "{ Get { Thing { text } } Aggregate { Thing { meta { count } } } }"});
    match (method, pattern) {
        ("GET" | "HEAD", _) => Value::Null,
        ("POST", "schema") => json!({"class": "Other"}),
        ("PUT", "schema/*") => json!({"class": "Thing"}),
        ("POST", "aliases") => json!({"alias": "More", "class": "Thing"}),
        ("PUT", "aliases/*") => json!({"class": "Thing"}),
        ("POST", "schema/*/properties") => json!({"name": "more", "dataType": ["text"]}),
        ("PUT", "schema/*/shards/*") => json!({"status": "READONLY"}),
        ("PUT", "schema/*/properties/*/index/*") => json!({}),
        ("DELETE", "schema/*/tenants") => json!(["one"]),
        (_, "schema/*/tenants") => json!([{"name": "one", "activityStatus": "HOT"}]),
        (_, "schema/*/properties/*/tokenize") => json!({"text": "x"}),
        ("POST", "search/*/near-text") => json!({"query": ["x"]}),
        (_, "tokenize") => json!({"text": "x", "tokenization": "word"}),
        ("DELETE", "batch/objects") => {
            let condition = json!({"path": ["text"], "operator": "Equal", "valueText": "x"});
            json!({"match": {"class": "Thing", "where": condition}})
        }
        (_, "batch/objects") => json!({"objects": [{"class": "Thing", "id": ID}]}),
        (_, "batch/references") => {
            let object = format!("weaviate://localhost/Thing/{ID}");
            json!([{"from": format!("{object}/to"), "to": object}])
        }
        (_, "graphql") => query,
        (_, "graphql/batch") => json!([query]),
        ("PUT", pattern) if pattern.contains("references") => json!([beacon]),
        (_, pattern) if pattern.contains("references") => beacon,
        (_, pattern) if pattern.starts_with("objects") => {
            json!({"class": "Thing", "id": ID, "properties": {"text": "x"}})
        }
        _ => Value::Null,
    }
}

/// The status, and the body as text.
async fn call(app: &Arc<App>, key: Option<&str>, method: &str, path: &str, body: &Value) -> (u16, String) {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, "application/json".parse().expect("a header"));
    let body = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
    let uri: Uri = path.parse().expect("an address");
    let method: Method = method.parse().expect("a method");
    let caller = app.authenticate(key.map(|key| format!("Bearer {key}")).as_deref(), None);
    let reply = match accept(app, caller, method, &uri, headers, Ok(body)) {
        Ok(accepted) => handle(app, &accepted).await,
        Err(reply) => reply,
    };
    let body = reply.body.map(|body| serde_json::to_string(&body).expect("JSON")).unwrap_or_default();
    (reply.status.as_u16(), body)
}

fn decision(method: &str, pattern: &str) -> Who {
    let listed = DECISIONS.iter().find(|(of, route, _)| (*of == method || *of == "*") && *route == pattern);
    listed.unwrap_or_else(|| panic!("{method} {pattern} has no decision: add it to DECISIONS")).2
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_refuses_those_who_may_not_call_it() {
    let started = Started::new().await;
    let app = &started.app;
    let class = json!({
        "class": "Thing", "vectorizer": "none",
        "properties": [{"name": "text", "dataType": ["text"]}, {"name": "to", "dataType": ["Thing"]}],
    });
    assert_eq!(call(app, Some("admin"), "POST", "/v1/schema", &class).await.0, 200);
    let alias = json!({"alias": "Also", "class": "Thing"});
    assert_eq!(call(app, Some("admin"), "POST", "/v1/aliases", &alias).await.0, 200);
    for id in [ID, "00000000-0000-0000-0000-000000000002"] {
        let object = json!({"class": "Thing", "id": id});
        assert_eq!(call(app, Some("admin"), "POST", "/v1/objects", &object).await.0, 200);
    }
    let mut routes: Vec<(&str, &str)> = Vec::new();
    for (methods, pattern, _) in ROUTES {
        routes.extend(methods.iter().map(|method| (*method, *pattern)));
    }
    for (of, route, _) in DECISIONS {
        let exists = routes.iter().any(|(method, pattern)| (*of == *method || *of == "*") && route == pattern);
        assert!(exists, "{of} {route} is no route: remove it from DECISIONS");
    }
    for (method, pattern) in &routes {
        let (who, path, body) = (decision(method, pattern), path(pattern), body(method, pattern));
        let status = async |key| call(app, key, method, &path, &body).await;
        let refused = |answer: &(u16, String)| answer.0 == 401 || answer.0 == 403;
        let no_key = status(None).await;
        assert_eq!(no_key.0 == 401, who != All, "{method} {path} without a key: {no_key:?}");
        let nobody = status(Some("nobody")).await;
        assert_eq!(nobody.0 == 403, matches!(who, Readers | Writers), "{method} {path} without rights: {nobody:?}");
        assert!(who != ReadersOthersEmpty || !nobody.1.contains("Thing"), "{method} {path}: {nobody:?}");
        let reader = status(Some("reader")).await;
        assert_eq!(reader.0 == 403, who == Writers, "{method} {path} by a reader: {reader:?}");
        assert!(reader.0 < 500 || who == Known, "{method} {path} by a reader: {reader:?}");
        assert!(who == Writers || !refused(&reader), "{method} {path} by a reader: {reader:?}");
    }
    // An administrator may call all of them.
    for (method, pattern) in &routes {
        if matches!(decision(method, pattern), Known | All) {
            continue;
        }
        let answer = call(app, Some("admin"), method, &path(pattern), &body(method, pattern)).await;
        assert!(!matches!(answer.0, 401 | 403 | 500..), "{method} {pattern} by an administrator: {answer:?}");
    }
    started.stop().await;
}
