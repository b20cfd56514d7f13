//! Changes of the schema: many at once, made by objects, and refused without a trace.

use azimuth_tests::raw_http::{self, Answer};
use azimuth_tests::server::Server;
use serde_json::{Value, json};

/// One JSON request.
fn ask(server: &Server, method: &str, path: &str, body: &Value) -> Answer {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let json = [("Content-Type", "application/json")];
    raw_http::request(&server.http_address(), method, &format!("/v1{path}"), &json, body.as_bytes()).expect("an answer")
}

fn create(server: &Server, class: &Value) {
    let answer = ask(server, "POST", "/schema", class);
    assert_eq!(answer.status, 200, "{}", answer.body);
}

/// The names of a collection's properties in order; `None` when there is no collection.
fn properties(server: &Server, class: &str) -> Option<Vec<String>> {
    let answer = ask(server, "GET", &format!("/schema/{class}"), &Value::Null);
    if answer.status == 404 {
        return None;
    }
    let class: Value = serde_json::from_str(&answer.body).expect("a class");
    let names = class["properties"].as_array().expect("properties").iter();
    let mut names: Vec<String> = names.map(|property| property["name"].as_str().expect("a name").to_owned()).collect();
    names.sort();
    Some(names)
}

/// Does `work` on as many threads, each with its number.
fn at_once(threads: usize, work: impl Fn(usize) + Sync) {
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let work = &work;
            scope.spawn(move || work(thread));
        }
    });
}

#[test]
fn changes_at_once_that_do_not_conflict_are_all_taken() {
    let server = Server::start();
    create(&server, &json!({"class": "Busy", "properties": [{"name": "n", "dataType": ["int"]}]}));
    let shards: Value = serde_json::from_str(&ask(&server, "GET", "/schema/Busy/shards", &Value::Null).body).unwrap();
    let shard = shards[0]["name"].as_str().expect("a shard").to_owned();
    at_once(9, |thread| {
        for round in 0..8 {
            let answer = match thread % 3 {
                0 => {
                    let property = json!({"name": format!("p{thread}_{round}"), "dataType": ["text"]});
                    ask(&server, "POST", "/schema/Busy/properties", &property)
                }
                1 => {
                    let properties = json!({format!("q{thread}_{round}"): "x", "shared": 1, "object": {format!("i{thread}_{round}"): 1}});
                    ask(&server, "POST", "/objects", &json!({"class": "Busy", "properties": properties}))
                }
                _ => ask(&server, "PUT", &format!("/schema/Busy/shards/{shard}"), &json!({"status": "READY"})),
            };
            assert_eq!(answer.status, 200, "{thread}, {round}: {}", answer.body);
        }
    });
    let names = properties(&server, "Busy").expect("the collection");
    assert_eq!(names.len(), 1 + 3 * 8 + 3 * 8 + 2, "{names:?}");
    // Properties that objects brought are in the indexes, even of objects that came in between two changes.
    at_once(3, |thread| {
        for round in 0..8 {
            let name = format!("q{}_{round}", 3 * thread + 1);
            let query =
                format!("{{Get{{Busy(where:{{path:[\"{name}\"],operator:Equal,valueText:\"x\"}}){{{name}}}}}}}");
            let answer = ask(&server, "POST", "/graphql", &json!({ "query": query }));
            let found: Value = serde_json::from_str(&answer.body).expect("JSON");
            assert_eq!(found["data"]["Get"]["Busy"], json!([{ name: "x" }]), "{}", answer.body);
        }
    });
}

#[test]
fn one_name_is_created_and_deleted_at_once() {
    let server = Server::start();
    at_once(6, |thread| {
        for round in 0..10 {
            let name = if thread % 2 == 0 { "Often" } else { "often" };
            let answer = match (thread + round) % 3 {
                0 => ask(&server, "DELETE", &format!("/schema/{name}"), &Value::Null),
                1 => ask(&server, "POST", "/schema", &json!({"class": name})),
                _ => ask(&server, "POST", "/objects", &json!({"class": name, "properties": {"n": round}})),
            };
            let taken = answer.status == 422 && answer.body.contains("class name Often already exists");
            let gone = matches!(answer.status, 404 | 422) && (thread + round) % 3 == 2;
            assert!(answer.status == 200 || taken || gone, "{}: {}", answer.status, answer.body);
        }
    });
    ask(&server, "DELETE", "/schema/Often", &Value::Null);
    create(&server, &json!({"class": "Often"}));
    let answer = ask(&server, "GET", "/objects?class=Often", &Value::Null);
    assert!(answer.body.contains("\"objects\":[]"), "{}", answer.body);
}

#[test]
fn one_property_of_two_types_is_the_only_conflict() {
    let server = Server::start();
    create(&server, &json!({"class": "Race", "properties": []}));
    let taken = std::sync::atomic::AtomicUsize::new(0);
    at_once(8, |thread| {
        let of = if thread % 2 == 0 { "text" } else { "int" };
        let answer = ask(&server, "POST", "/schema/Race/properties", &json!({"name": "p", "dataType": [of]}));
        let conflict = "class \\\"Race\\\": conflict for property \\\"p\\\": already in use or provided multiple times";
        match answer.status {
            200 => _ = taken.fetch_add(1, std::sync::atomic::Ordering::Relaxed),
            _ => assert!(answer.status == 422 && answer.body.contains(conflict), "{}", answer.body),
        }
    });
    assert_eq!(taken.into_inner(), 1);
}

#[test]
fn an_object_that_is_refused_leaves_no_schema() {
    let server = Server::start();
    let deep = (0..40).fold(json!(1), |inner, _| json!({ "x": inner }));
    let id = "00000000-0000-4000-8000-000000000001";
    let refused = [
        json!({"properties": {"a": "x", "b": [1, "x"]}}),
        json!({"properties": {"a": "x", "b-c": 1}}),
        json!({"properties": {"o": deep}}),
        json!({"properties": {"a": "x", "l": [null]}}),
        json!({"properties": {"a": "x", "id": 1}}),
        json!({"properties": {"a": "x", "_additional": 1}}),
        json!({"properties": {"a": "x", "_id": 1}}),
        json!({"properties": {"a": "x", "o": {"b-c": 1}}}),
        json!({"properties": {"a": "x", "o": {}}}),
        json!({"properties": {"a": "x", "aB": 1, "ab": 1}}),
        json!({"properties": {"a": "x", "r": [{"beacon": format!("weaviate://localhost/Nope/{id}")}]}}),
        json!({"properties": {"a": "x", "r": [{"beacon": format!("weaviate://localhost/Trace/{id}")}]}}),
        json!({"properties": {"a": "x"}, "vectors": {"other": [1, 2]}}),
        json!({"properties": {"a": "x"}, "vectorWeights": 5}),
        json!({"properties": {"a": "x"}, "tenant": "t"}),
    ];
    let check = |object: &Value, known: Option<&[&str]>| {
        let mut object = object.clone();
        object["class"] = json!("Trace");
        let known = known.map(|names| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        let answer = ask(&server, "POST", "/objects", &object);
        assert_eq!(answer.status, 422, "{object}: {}", answer.body);
        assert_eq!(properties(&server, "Trace"), known, "{object}");
        let answer = ask(&server, "POST", "/batch/objects", &json!({ "objects": [object] }));
        assert!(answer.status == 200 && answer.body.contains("FAILED"), "{object}: {}", answer.body);
        assert_eq!(properties(&server, "Trace"), known, "{object}");
    };
    for object in &refused {
        check(object, None);
    }
    create(&server, &json!({"class": "Trace", "properties": [{"name": "n", "dataType": ["int"]}]}));
    let first = json!({"class": "Trace", "id": id, "properties": {"n": 1}, "vector": [1, 2]});
    assert_eq!(ask(&server, "POST", "/objects", &first).status, 200);
    for object in refused.iter().filter(|object| !object.to_string().contains("localhost/Trace")) {
        check(object, Some(&["n"]));
    }
    check(&json!({"properties": {"a": "x", "n": "x"}}), Some(&["n"]));
    check(&json!({"properties": {"a": "x"}, "vector": [1, 2, 3]}), Some(&["n"]));

    // Ways that only some requests take.
    let known = Some(vec!["n".to_owned()]);
    let taken = json!({"class": "Trace", "id": id, "properties": {"a": "x"}});
    assert_eq!(ask(&server, "POST", "/objects", &taken).status, 422);
    assert_eq!(properties(&server, "Trace"), known);
    let path = format!("/objects/Trace/{id}");
    let patch = json!({"class": "Trace", "properties": {"a": "x", "n": "x"}});
    assert_eq!(ask(&server, "PATCH", &path, &patch).status, 422);
    let patch = json!({"class": "Trace", "properties": {"a": "x"}, "vector": [1, 2, 3]});
    assert_eq!(ask(&server, "PATCH", &path, &patch).status, 422);
    assert_eq!(properties(&server, "Trace"), known);
    let put = json!({"class": "Trace", "id": id, "properties": {"a": "x", "n": "x"}});
    assert_eq!(ask(&server, "PUT", &path, &put).status, 422);
    assert_eq!(properties(&server, "Trace"), known);
}

#[test]
fn in_a_batch_only_accepted_objects_extend_the_schema() {
    let server = Server::start();
    let beacon = "weaviate://localhost/Some/00000000-0000-4000-8000-000000000009";
    let objects = json!([
        {"class": "Some", "properties": {"a": 1}, "vector": [1, 2]},
        {"class": "Some", "properties": {"b": 1, "bad": [1, "x"]}},
        {"class": "Some", "properties": {"c": 1}, "vector": [1, 2, 3]},
        {"class": "Some", "properties": {"d": 1, "to": [{"beacon": beacon}]}},
        {"class": "Some", "properties": {"e": 1, "a": 2, "o": {"x": 1}}},
        {"class": "Some", "properties": {"e": "two"}},
    ]);
    let answer = ask(&server, "POST", "/batch/objects", &json!({ "objects": objects }));
    let answer: Value = serde_json::from_str(&answer.body).expect("answers");
    let statuses: Vec<_> = answer.as_array().expect("a list").iter().map(|one| &one["result"]["status"]).collect();
    assert_eq!(statuses, ["SUCCESS", "FAILED", "FAILED", "FAILED", "SUCCESS", "FAILED"], "{answer}");
    assert_eq!(properties(&server, "Some"), Some(vec!["a".to_owned(), "e".to_owned(), "o".to_owned()]));
}

#[test]
fn of_keys_that_differ_in_case_the_last_counts() {
    let server = Server::builder()
        .variable("AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED", "true")
        .variable("OBJECTS_TTL_DELETE_SCHEDULE", "@every 12h")
        .start();
    let class = r#"{"Class": "Wrong", "class": "Right", "properties": [{"name": "d", "dataType": ["date"]}],
        "invertedIndexConfig": {"indexTimestamps": true, "cleanupIntervalSeconds": 5, "CleanupIntervalSeconds": 7}}"#;
    let answer = raw_http::post(&server.http_address(), "/v1/schema", class).expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.body);
    let ttl = r#"{"class": "Right", "properties": [{"name": "d", "dataType": ["date"]}],
        "invertedIndexConfig": {"indexTimestamps": true},
        "objectTtlConfig": {"enabled": true, "deleteOn": "d", "defaultTtl": 3600},
        "objectTTLConfig": {"enabled": true, "deleteOn": "_lastUpdateTimeUnix", "defaultTtl": 3600}}"#;
    let json = [("Content-Type", "application/json")];
    let answer = raw_http::request(&server.http_address(), "PUT", "/v1/schema/Right", &json, ttl.as_bytes());
    let answer: Value = serde_json::from_str(&answer.expect("an answer").body).expect("a class");
    assert_eq!(answer["objectTtlConfig"]["deleteOn"], "_lastUpdateTimeUnix");
}

#[test]
fn settings_of_quantizers_that_are_there_stay() {
    let server = Server::start();
    for kind in ["flat", "hnsw"] {
        let class = |bits: u8| json!({"class": kind, "vectorIndexType": kind, "vectorIndexConfig": {"rq": {"enabled": true, "bits": bits}}});
        create(&server, &class(8));
        let mut changed = class(1);
        let name = if kind == "flat" { "Flat" } else { "Hnsw" };
        changed["class"] = json!(name);
        let answer = ask(&server, "PUT", &format!("/schema/{name}"), &changed);
        let words = if kind == "flat" { "rq.bits" } else { "rq bits" };
        let why = format!("{words} is immutable: attempted change from \\\"8\\\" to \\\"1\\\"");
        assert!(answer.status == 422 && answer.body.contains(&why), "{}: {}", answer.status, answer.body);
    }
}

/// The target of a reference may be deleted; the collection that refers to it can still be changed.
#[test]
fn a_collection_whose_target_is_gone_can_be_changed() {
    let server = Server::start();
    create(&server, &json!({"class": "Target"}));
    create(&server, &json!({"class": "Source", "properties": [{"name": "to", "dataType": ["Target"]}]}));
    assert_eq!(ask(&server, "DELETE", "/schema/Target", &Value::Null).status, 200);
    let answer = ask(&server, "GET", "/schema/Source", &Value::Null);
    let mut class: Value = serde_json::from_str(&answer.body).expect("a class");
    class["vectorIndexConfig"]["ef"] = 77.into();
    let answer = ask(&server, "PUT", "/schema/Source", &class);
    assert_eq!(answer.status, 200, "{}", answer.body);
    // A target that never existed is refused as before.
    class["properties"][0]["dataType"] = json!(["Nothing"]);
    assert_eq!(ask(&server, "PUT", "/schema/Source", &class).status, 422);
}

/// A batch with an object of each of these tenants; the answers per object.
fn write_tenants(server: &Server, tenants: impl Iterator<Item = usize>, offset: u32) -> Vec<Value> {
    let object = |tenant: usize| {
        let id = uuid::Uuid::from_u64_pair(u64::from(offset), tenant as u64);
        json!({"class": "Shared", "id": id, "tenant": format!("t{tenant}"), "properties": {"n": tenant}})
    };
    let objects: Vec<Value> = tenants.map(object).collect();
    let answer = ask(server, "POST", "/batch/objects", &json!({ "objects": objects }));
    assert_eq!(answer.status, 200, "{}", answer.body);
    serde_json::from_str(&answer.body).expect("a list")
}

fn tenant_count(server: &Server) -> usize {
    let shards = ask(server, "GET", "/schema/Shared/shards", &Value::Null);
    serde_json::from_str::<Value>(&shards.body).expect("JSON").as_array().expect("a list").len()
}

#[test]
fn batches_that_create_the_same_tenants_at_once_all_succeed() {
    const TENANTS: usize = 60;
    let mut server = Server::start();
    let tenancy = json!({"enabled": true, "autoTenantCreation": true, "autoTenantActivation": true});
    create(&server, &json!({"class": "Shared", "multiTenancyConfig": tenancy}));
    at_once(8, |thread| {
        for round in 0..4 {
            // The order differs from thread to thread: steps that have no factor in common with 60.
            let step = [1, 7, 11, 13, 17, 19, 23, 29][thread];
            let tenants = (0..TENANTS).map(|n| (n * step + round) % TENANTS);
            let written = write_tenants(&server, tenants, u32::try_from(thread * 10 + round).expect("small"));
            for answer in written {
                assert_eq!(answer["result"]["status"], "SUCCESS", "{thread}, {round}: {answer}");
            }
        }
    });
    assert_eq!(tenant_count(&server), TENANTS);
    let count = |server: &Server, tenant: usize| {
        let query = format!("{{Aggregate{{Shared(tenant:\"t{tenant}\"){{meta{{count}}}}}}}}");
        let answer = ask(server, "POST", "/graphql", &json!({ "query": query }));
        let found: Value = serde_json::from_str(&answer.body).expect("JSON");
        found["data"]["Aggregate"]["Shared"][0]["meta"]["count"].as_u64().expect("a count")
    };
    assert!((0..TENANTS).all(|tenant| count(&server, tenant) == 32));
    server.kill();
    server.start_again();
    assert_eq!(tenant_count(&server), TENANTS);
    assert!((0..TENANTS).all(|tenant| count(&server, tenant) == 32));
}
