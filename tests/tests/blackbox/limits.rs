//! Requests at and beyond the limits of collections and objects. A request beyond a limit is refused with the limit's
//! name on every wire; accepted objects read back equal on every wire, after a restart too; and the server starts
//! again.

use azimuth_client::{BatchOptions, Object, Query};
use azimuth_tests::raw_http::{self, Answer};
use azimuth_tests::server::Server;
use serde_json::{Value, json};
use uuid::Uuid;

const PROPERTIES_MAX: usize = 10_000;
const VECTORS_MAX: usize = 1_000;
const DEPTH_MAX: usize = 30;

fn send(server: &Server, method: &str, path: &str, body: &Value) -> Answer {
    let head = [("Content-Type", "application/json")];
    let body = if body.is_null() { String::new() } else { body.to_string() };
    raw_http::request(&server.http_address(), method, path, &head, body.as_bytes()).expect("an answer")
}

fn json_of(answer: &Answer) -> Value {
    serde_json::from_str(&answer.body).expect("JSON")
}

/// The request is refused for good, and the answer gives the reason.
fn refused(answer: &Answer, part: &str) {
    assert_eq!(answer.status, 422, "{}", answer.body);
    assert!(answer.body.contains(part), "{part:?} is not in {}", answer.body);
}

fn goes_on(server: &mut Server) {
    assert!(server.is_running(), "the server ended:\n{}", server.log());
    assert!(!server.log().contains("panicked"), "a panic:\n{}", server.log());
    assert_eq!(server.get("/v1/.well-known/ready").expect("an answer").status, 200);
}

fn restart(server: &mut Server) {
    assert!(server.terminate().success(), "{}", server.log());
    server.start_again();
}

fn numbers(count: usize) -> Vec<Value> {
    (0..count).map(|n| json!({"name": format!("n{n}"), "dataType": ["int"]})).collect()
}

fn object_property(name: &str, nested: &[Value]) -> Value {
    json!({"name": name, "dataType": ["object"], "nestedProperties": nested})
}

fn class(name: &str, properties: &[Value]) -> Value {
    json!({"class": name, "properties": properties})
}

#[test]
fn schemas_beyond_a_limit_are_refused_and_the_server_starts_again() {
    let mut server = Server::start();
    let nested: Vec<Value> = (0..330).map(|n| object_property(&format!("o{n}"), &numbers(200))).collect();
    refused(
        &send(&server, "POST", "/v1/schema", &class("Big", &nested)),
        "66330 properties, nested ones included, 10000",
    );
    let vectors: serde_json::Map<String, Value> =
        (0..66_000).map(|n| (format!("v{n}"), json!({"vectorizer": {"none": {}}}))).collect();
    let many = json!({"class": "Vectors", "vectorConfig": vectors});
    refused(&send(&server, "POST", "/v1/schema", &many), "66000 named vectors, 1000 are possible");
    let long = json!({"class": "Long", "description": "x".repeat(31_000_000)});
    refused(&send(&server, "POST", "/v1/schema", &long), "8388608 are possible");
    let mut deep = json!({"name": "a", "dataType": ["text"]});
    for _ in 0..=DEPTH_MAX {
        deep = object_property("a", &[deep]);
    }
    refused(&send(&server, "POST", "/v1/schema", &class("Deep", &[deep])), "31 levels of nested objects and lists, 30");
    goes_on(&mut server);
    let classes = json_of(&server.get("/v1/schema").expect("an answer"));
    assert_eq!(classes["classes"], json!([]));

    // Requests at the limits are accepted, and the resulting collections cannot grow beyond them.
    let at: Vec<Value> = [object_property("o", &numbers(4_999)), object_property("p", &numbers(4_999))].into();
    assert_eq!(send(&server, "POST", "/v1/schema", &class("At", &at)).status, 200);
    let more = json!({"name": "more", "dataType": ["int"]});
    refused(&send(&server, "POST", "/v1/schema/At/properties", &more), "10001 properties");
    let mut named: serde_json::Map<String, Value> = (0..VECTORS_MAX)
        .map(|n| (format!("v{n}"), json!({"vectorizer": {"none": {}}, "vectorIndexType": "hnsw"})))
        .collect();
    let answer = send(&server, "POST", "/v1/schema", &json!({"class": "Named", "vectorConfig": named}));
    assert_eq!(answer.status, 200, "{}", answer.body);
    named.insert("another".to_owned(), json!({"vectorizer": {"none": {}}, "vectorIndexType": "hnsw"}));
    let mut grown = json_of(&server.get("/v1/schema/Named").expect("an answer"));
    grown["vectorConfig"]["another"] = grown["vectorConfig"]["v0"].clone();
    refused(&send(&server, "PUT", "/v1/schema/Named", &grown), "1001 named vectors");
    grown = json_of(&server.get("/v1/schema/At").expect("an answer"));
    grown["description"] = json!("y".repeat(9_000_000));
    refused(&send(&server, "PUT", "/v1/schema/At", &grown), "8388608 are possible");
    let schema = server.get("/v1/schema").expect("an answer").body;
    goes_on(&mut server);
    restart(&mut server);
    assert_eq!(server.get("/v1/schema").expect("an answer").body, schema);
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_make_no_schema_beyond_a_limit() {
    let mut server = Server::start();
    let keys = |object: usize| -> Value {
        let map: serde_json::Map<String, Value> = (0..4_800).map(|n| (format!("k{object}_{n}"), json!(1))).collect();
        json!({ "o": map })
    };
    // Fourteen objects whose keys add up: the first two fit.
    let objects: Vec<Value> = (0..14).map(|n| json!({"class": "Auto", "properties": keys(n)})).collect();
    let one_by_one: Vec<u16> =
        objects[..3].iter().map(|object| send(&server, "POST", "/v1/objects", object).status).collect();
    assert_eq!(one_by_one, [200, 422, 422], "the limit at one place comes first");
    let wide = |object: usize| -> Value {
        let map: serde_json::Map<String, Value> = (0..14)
            .map(|n| {
                (
                    format!("o{object}_{n}"),
                    keys(n)["o"]
                        .as_object()
                        .map(|keys| {
                            keys.iter()
                                .take(300)
                                .map(|(key, value)| (key.clone(), value.clone()))
                                .collect::<serde_json::Map<_, _>>()
                        })
                        .into(),
                )
            })
            .collect();
        Value::Object(map)
    };
    let objects: Vec<Value> = (0..14).map(|n| json!({"class": "Wide", "properties": wide(n)})).collect();
    let answer = send(&server, "POST", "/v1/batch/objects", &json!({"objects": objects}));
    assert_eq!(answer.status, 200, "{}", answer.body);
    let results = json_of(&answer);
    let failed: Vec<&str> = results
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|result| result["result"]["errors"]["error"][0]["message"].as_str())
        .collect();
    assert_eq!(failed.len(), 12, "{failed:?}");
    assert!(
        failed.iter().all(|why| why.contains("properties, nested ones included, 10000 are possible")),
        "{failed:?}"
    );
    // Over gRPC, beside one that fits.
    let things = server.client().collection("Wide").expect("a good name");
    let large = Object::new().property("another", wide(90));
    let fits = Object::new().property("o0_0", json!({"k0_0": 5}));
    let report = things.insert_many(&[large, fits], BatchOptions::default()).await.expect("a batch");
    let failures: Vec<String> = report.failures.iter().map(|failure| format!("{failure:?}")).collect();
    assert!(failures.len() == 1 && failures[0].contains("10000 are possible"), "{failures:?}");
    // And by PATCH.
    let id = Uuid::from_u128(1);
    let there = json!({"class": "Wide", "id": id, "properties": {"o0_0": {"k0_0": 1}}});
    assert_eq!(send(&server, "POST", "/v1/objects", &there).status, 200);
    let patch = json!({"class": "Wide", "id": id, "properties": {"another": wide(91)}});
    refused(&send(&server, "PATCH", &format!("/v1/objects/Wide/{id}"), &patch), "10000 are possible");
    goes_on(&mut server);
    restart(&mut server);
    assert_eq!(server.get(&format!("/v1/objects/Wide/{id}")).expect("an answer").status, 200);
    let count = json_of(&server.get("/v1/schema/Wide").expect("an answer"));
    let nested = |property: &Value| 1 + property["nestedProperties"].as_array().map_or(0, Vec::len);
    let total: usize = count["properties"].as_array().expect("a list").iter().map(nested).sum();
    assert!(total <= PROPERTIES_MAX, "{total}");
}

/// `levels` containers around a text: lists of objects by turns, or objects alone.
fn nested(levels: usize, lists: bool) -> Value {
    (0..levels).fold(json!("x"), |value, level| match (lists, level % 2) {
        (true, 0) => json!([value]),
        _ => json!({ "a": value }),
    })
}

/// The selection of a value in GraphQL.
fn selection(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let fields: Vec<String> = map.iter().map(|(name, value)| format!("{name} {}", selection(value))).collect();
            format!("{{ {} }}", fields.join(" "))
        }
        Value::Array(values) => values.first().map(selection).unwrap_or_default(),
        _ => String::new(),
    }
}

async fn reads_back(server: &Server, id: Uuid, name: &str, expected: &Value) {
    let object = json_of(&server.get(&format!("/v1/objects/Deep/{id}")).expect("an answer"));
    assert_eq!(object["properties"][name], *expected, "over REST");
    let query = format!(
        "{{ Get {{ Deep(where: {{path: [\"id\"], operator: Equal, valueText: \"{id}\"}}) {{ {name} {} }} }} }}",
        selection(expected)
    );
    let answer = send(server, "POST", "/v1/graphql", &json!({ "query": query }));
    assert_eq!(json_of(&answer)["data"]["Get"]["Deep"][0][name], *expected, "over GraphQL: {}", answer.body);
    let things = server.client().collection("Deep").expect("a good name");
    let hits = things.search(Query::list().limit(100)).await.expect("an answer over gRPC");
    let hit = hits.iter().find(|hit| hit.object.id == id).expect("the object");
    assert_eq!(hit.object.properties[name], *expected, "over gRPC");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_nested_as_deep_as_it_may_be_reads_back_by_every_wire() {
    let mut server = Server::start();
    let mut accepted = Vec::new();
    for (n, (levels, lists)) in
        [(1, false), (DEPTH_MAX - 1, true), (DEPTH_MAX, true), (DEPTH_MAX, false)].into_iter().enumerate()
    {
        let (id, name) = (Uuid::from_u128(n as u128 + 1), format!("p{n}"));
        let value = nested(levels, lists);
        let body = json!({"class": "Deep", "id": id, "properties": {name.as_str(): value}});
        let answer = send(&server, "POST", "/v1/objects", &body);
        assert_eq!(answer.status, 200, "{levels}: {}", answer.body);
        accepted.push((id, name, value));
    }
    let things = server.client().collection("Deep").expect("a good name");
    let (id, value) = (Uuid::from_u128(50), nested(DEPTH_MAX, false));
    let report =
        things.insert_many(&[Object::with_id(id).property("p3", value.clone())], BatchOptions::default()).await;
    assert!(report.expect("a batch").failures.is_empty());
    accepted.push((id, "p3".to_owned(), value));
    for levels in [DEPTH_MAX + 1, 65, 66, 200] {
        for lists in [true, false] {
            let id = Uuid::from_u128(99);
            for name in ["p1", "q"] {
                let body = json!({"class": "Deep", "id": id, "properties": {name: nested(levels, lists)}});
                let answer = send(&server, "POST", "/v1/objects", &body);
                assert_eq!(answer.status, 422, "{levels} {name}: {}", answer.body);
                let first = Uuid::from_u128(1);
                let patch = json!({"class": "Deep", "id": first, "properties": {name: nested(levels, lists)}});
                assert_eq!(send(&server, "PATCH", &format!("/v1/objects/Deep/{first}"), &patch).status, 422);
                let batch = send(&server, "POST", "/v1/batch/objects", &json!({ "objects": [body] }));
                assert!(batch.body.contains("FAILED"), "{}", batch.body);
            }
        }
    }
    for _ in 0..2 {
        for (id, name, value) in &accepted {
            reads_back(&server, *id, name, value).await;
        }
        for (id, ..) in &accepted {
            let patch = json!({"class": "Deep", "id": id, "properties": {"t": "changed"}});
            assert_eq!(send(&server, "PATCH", &format!("/v1/objects/Deep/{id}"), &patch).status, 204);
        }
        goes_on(&mut server);
        restart(&mut server);
    }
    let listing = server.get("/v1/objects?class=Deep&limit=100").expect("an answer");
    assert_eq!(json_of(&listing)["objects"].as_array().map(Vec::len), Some(accepted.len()));
}
