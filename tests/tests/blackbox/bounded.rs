//! Bounded work per command: the work that one request may cause in apply, and its correctness beside other writes.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use azimuth_client::{CollectionConfig, DataType, Object, Property};
use azimuth_tests::raw_http::{self, Answer};
use azimuth_tests::server::Server;
use azimuth_tests::wait_for;
use serde_json::{Value, json};
use uuid::Uuid;

/// Entries of the inverted index that an object may have, and its tokens.
const ENTRIES_MAX: usize = 100_000;
const TOKENS_MAX: usize = 500_000;

/// A text of so many words, all different.
fn words(first: usize, count: usize) -> String {
    let mut text = String::new();
    (first..first + count).for_each(|n| write!(text, "w{n} ").expect("a string takes everything"));
    text
}

fn id(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

fn send(server: &Server, method: &str, path: &str, body: &Value) -> Answer {
    let headers = [("content-type", "application/json")];
    raw_http::request(&server.http_address(), method, path, &headers, body.to_string().as_bytes()).expect("an answer")
}

fn create_class(server: &Server) {
    let text = |name: &str| json!({"name": name, "dataType": ["text"]});
    let off = json!({"name": "off", "dataType": ["text"], "indexFilterable": false, "indexSearchable": false});
    let of = json!({"name": "of", "dataType": ["Page"]});
    let class = json!({"class": "Page", "properties": [text("one"), text("two"), off, of]});
    assert_eq!(send(server, "POST", "/v1/schema", &class).status, 200);
}

fn page(n: u128, property: &str, text: &str) -> Value {
    json!({"class": "Page", "id": id(n).to_string(), "properties": {property: text}})
}

fn check_refused(answer: &Answer, part: &str) {
    assert_eq!(answer.status, 422, "{answer:?}");
    assert!(answer.body.contains(part), "{}", answer.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_with_too_much_to_index_are_refused_on_every_wire() {
    let server = Server::start();
    create_class(&server);
    let (limit, tokens) = (ENTRIES_MAX.to_string(), TOKENS_MAX.to_string());
    let heavy = words(0, ENTRIES_MAX + 1);
    check_refused(&send(&server, "POST", "/v1/objects", &page(1, "one", &heavy)), &limit);
    check_refused(&send(&server, "POST", "/v1/objects", &page(1, "one", &"a ".repeat(TOKENS_MAX + 1))), &tokens);
    assert_eq!(send(&server, "POST", "/v1/objects", &page(1, "one", &words(0, ENTRIES_MAX - 10))).status, 200);
    assert_eq!(send(&server, "POST", "/v1/objects", &page(2, "off", &heavy)).status, 200);
    let first = format!("/v1/objects/Page/{}", id(1));
    check_refused(&send(&server, "PUT", &first, &page(1, "one", &heavy)), &limit);
    check_refused(&send(&server, "PATCH", &first, &page(1, "two", &heavy)), &limit);
    // Each part alone is within the limit, the merged object is not.
    check_refused(&send(&server, "PATCH", &first, &page(1, "two", &words(0, 100))), &limit);
    assert_eq!(send(&server, "PATCH", &first, &page(1, "two", "a few words more")).status, 204);

    let reference = |_| {
        let source = format!("weaviate://localhost/Page/{}/of", id(1));
        json!({"from": source, "to": format!("weaviate://localhost/Page/{}", id(2))})
    };
    let references: Value = (0..50).map(reference).collect();
    let answer = send(&server, "POST", "/v1/batch/references", &references);
    assert_eq!(answer.body.matches("FAILED").count(), 50, "{}", answer.body);
    assert!(answer.body.contains(&limit), "{}", answer.body);

    let batch = json!({"objects": [page(3, "one", "fine"), page(4, "one", &heavy), page(5, "one", "fine")]});
    let answer: Value = serde_json::from_str(&send(&server, "POST", "/v1/batch/objects", &batch).body).expect("JSON");
    let status = |n: usize| answer[n]["result"]["status"].as_str().unwrap_or_default();
    assert_eq!([status(0), status(1), status(2)], ["SUCCESS", "FAILED", "SUCCESS"]);
    assert!(answer[1]["result"]["errors"].to_string().contains(&limit));

    let pages = server.client().collection("Page").expect("a good name");
    let objects =
        [Object::with_id(id(6)).property("one", heavy.as_str()), Object::with_id(id(7)).property("one", "fine")];
    let report = pages.insert_many(&objects, Default::default()).await.expect("a batch");
    let failures: Vec<_> =
        report.failures.iter().map(|failure| (failure.id, failure.message.contains(&limit))).collect();
    assert_eq!(failures, [(id(6), true)]);
    assert_eq!(pages.count(None).await.expect("a count"), 5);
}

#[test]
fn references_of_one_object_are_added_in_one_change() {
    let server = Server::start();
    create_class(&server);
    for n in 1..=3 {
        assert_eq!(send(&server, "POST", "/v1/objects", &page(n, "one", "x")).status, 200);
    }
    let beacon = |n: u128| format!("weaviate://localhost/Page/{}", id(n));
    let source = |n: u128| format!("weaviate://localhost/Page/{}/of", id(n));
    let mut given: Vec<Value> = (0..4_000_u128).map(|n| json!({"from": source(1), "to": beacon(1 + n % 3)})).collect();
    given.insert(1_000, json!({"from": source(9), "to": beacon(1)}));
    given.insert(2_000, json!({"from": format!("weaviate://localhost/Page/{}/one", id(1)), "to": beacon(1)}));
    given.insert(3_000, json!({"from": source(2), "to": beacon(3)}));
    let answer = send(&server, "POST", "/v1/batch/references", &Value::Array(given));
    let results: Vec<Value> = serde_json::from_str(&answer.body).expect("JSON");
    let failed: Vec<usize> =
        (0..results.len()).filter(|n| results[*n]["result"]["status"].as_str() != Some("SUCCESS")).collect();
    assert_eq!(failed, [1_000, 2_000]);
    assert!(results[1_000]["result"].to_string().contains("not found"), "{}", results[1_000]);
    let of = |n: u128| -> Vec<String> {
        let answer = server.get(&format!("/v1/objects/Page/{}", id(n))).expect("an answer");
        let object: Value = serde_json::from_str(&answer.body).expect("JSON");
        let beacons = object["properties"]["of"].as_array().cloned().unwrap_or_default();
        beacons.iter().map(|beacon| beacon["beacon"].as_str().unwrap_or_default().to_owned()).collect()
    };
    assert_eq!(of(1), (0..4_000_u128).map(|n| beacon(1 + n % 3)).collect::<Vec<_>>());
    assert_eq!(of(2), [beacon(3)]);
    // A deletion removes every occurrence of a reference.
    let path = format!("/v1/objects/Page/{}/references/of", id(1));
    assert_eq!(send(&server, "DELETE", &path, &json!({"beacon": beacon(2)})).status, 204);
    let left = of(1);
    assert!(left.len() == 2_667 && !left.contains(&beacon(2)), "{} are left", left.len());
}

/// A deletion by filter may remove matching objects, but no object that was overwritten before and matches no more.
#[test]
fn deletion_by_filter_leaves_what_was_overwritten_meanwhile() {
    const OBJECTS: u128 = 1_000;
    let server = Arc::new(Server::start());
    let class = json!({"class": "Page", "properties": [{"name": "state", "dataType": ["int"]}]});
    assert_eq!(send(&server, "POST", "/v1/schema", &class).status, 200);
    let write = |server: &Server, ids: std::ops::Range<u128>, state: u8| {
        let page = |n| json!({"class": "Page", "id": id(n + 1).to_string(), "properties": {"state": state}});
        let body = json!({"objects": ids.map(page).collect::<Value>()});
        let answer = send(server, "POST", "/v1/batch/objects", &body);
        assert!(answer.status == 200 && !answer.body.contains("FAILED"), "{}", answer.body);
    };
    for _ in 0..3 {
        write(&server, 0..OBJECTS, 1);
        let done = Arc::new(AtomicBool::new(false));
        let (other, ended) = (server.clone(), done.clone());
        let writer = std::thread::spawn(move || {
            (0..OBJECTS).step_by(20).for_each(|first| write(&other, first..first + 20, 2));
            ended.store(true, Ordering::Release);
        });
        while !done.load(Ordering::Acquire) {
            let condition = json!({"path": ["state"], "operator": "Equal", "valueInt": 1});
            let body = json!({"match": {"class": "Page", "where": condition}, "output": "minimal"});
            let answer = send(&server, "DELETE", "/v1/batch/objects", &body);
            let answer: Value = serde_json::from_str(&answer.body).expect("JSON");
            let count = |name: &str| answer["results"][name].as_u64().expect("a count");
            assert_eq!(count("matches"), count("successful") + count("failed"), "{answer}");
            assert_eq!(count("failed"), 0, "{answer}");
        }
        writer.join().expect("the writer ends");
        let query = json!({"query": "{Aggregate{Page{meta{count}}}}"});
        let answer = send(&server, "POST", "/v1/graphql", &query);
        assert!(answer.body.contains(&format!("\"count\":{OBJECTS}")), "{}", answer.body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_says_how_far_it_is() {
    let mut server = Server::start();
    let client = server.client();
    let config = CollectionConfig::new("Page").property(Property::new("text", DataType::Text));
    client.create_collection(&config).await.expect("a new collection");
    let pages = client.collection("Page").expect("a good name");
    for n in 0..40 {
        let object = Object::with_id(id(n + 1)).property("text", words(n as usize * 20_000, 20_000));
        pages.insert(&object).await.expect("an object");
    }
    server.kill();
    server.spawn_only();
    let mut waited = 0;
    wait_for("the start", || {
        let Ok(ready) = server.get("/v1/.well-known/ready") else { return false };
        if ready.status == 200 {
            return true;
        }
        let body: Value = serde_json::from_str(&ready.body).unwrap_or_else(|_| panic!("{ready:?}"));
        assert!(body["phase"].is_string(), "{body}");
        for group in body["groups"].as_array().expect("groups") {
            assert!(group["appliedIndex"].as_u64() <= group["lastIndex"].as_u64(), "{body}");
        }
        assert_eq!(server.get("/v1/.well-known/live").expect("an answer").status, 200);
        waited += 1;
        false
    });
    println!("{waited} answers before it was ready");
    let pages = server.client().collection("Page").expect("a good name");
    assert_eq!(pages.count(None).await.expect("a count"), 40);
}
