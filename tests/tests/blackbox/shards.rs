//! Collections of several shards: every query has the answer that one shard gives.

use azimuth_tests::raw_http;
use azimuth_tests::server::Server;
use azimuth_tests::{notice, wait_for};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use uuid::Uuid;

const COLLECTIONS: [(&str, u32); 2] = [("One", 1), ("Eight", 8)];
const OBJECTS: u128 = 240;
const QUERIES: usize = 120;

struct Wire {
    address: String,
}

impl Wire {
    fn send(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        let text = body.map(Value::to_string).unwrap_or_default();
        let headers: &[(&str, &str)] = if body.is_some() { &[("Content-Type", "application/json")] } else { &[] };
        let answer = raw_http::request(&self.address, method, path, headers, text.as_bytes()).expect("an answer");
        (answer.status, serde_json::from_str(&answer.body).unwrap_or(Value::Null))
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        let (status, answer) = self.send("POST", path, Some(body));
        assert_eq!(status, 200, "{path} {body}: {answer}");
        answer
    }

    /// The answers of a GraphQL query, `CLASS` standing for the collection; errors without the names of shards.
    fn both(&self, query: &str) -> [Value; 2] {
        COLLECTIONS.map(|(name, _)| {
            let answer = self.post("/v1/graphql", &json!({"query": query.replace("CLASS", name)}));
            let list = answer["data"].as_object().and_then(|data| data.values().next()).map(|of| of[name].clone());
            match answer.get("errors") {
                None => list.unwrap_or_default(),
                Some(errors) => json!(errors.as_array().map_or(0, Vec::len)),
            }
        })
    }
}

fn id(number: u128) -> Uuid {
    // Spread over the shards, and in another order than that of the writes.
    Uuid::from_u128(number.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835))
}

fn create(wire: &Wire) {
    for (name, shards) in COLLECTIONS {
        let flat = || json!({"vectorizer": {"none": {}}, "vectorIndexType": "flat"});
        let class = json!({
            "class": name, "shardingConfig": {"desiredCount": shards},
            "vectorConfig": {"a": flat(), "b": flat()},
            "properties": [
                {"name": "number", "dataType": ["int"]}, {"name": "price", "dataType": ["number"]},
                {"name": "word", "dataType": ["text"]}, {"name": "tags", "dataType": ["text[]"]},
                {"name": "to", "dataType": [name]},
            ],
        });
        let created = wire.post("/v1/schema", &class);
        assert_eq!(created["shardingConfig"]["actualCount"], shards);
    }
}

fn vector(rng: &mut ChaCha8Rng, dimension: usize) -> Vec<f32> {
    (0..dimension).map(|_| rng.random_range(-1.0..1.0)).collect()
}

fn object(rng: &mut ChaCha8Rng, class: &str, number: u128) -> Value {
    let words = ["alpha", "beta", "gamma", "delta beta", "alpha gamma"];
    let mut object = json!({
        "class": class, "id": id(number),
        "properties": {
            "number": rng.random_range(0..20), "price": f64::from(rng.random_range(0..1_000_000)) / 64.0,
            "word": words[rng.random_range(0..words.len())],
            "tags": (0..rng.random_range(0..3)).map(|_| words[rng.random_range(0..3)]).collect::<Vec<_>>(),
        },
        "vectors": {"a": vector(rng, 5)},
    });
    if rng.random_bool(0.7) {
        object["vectors"]["b"] = json!(vector(rng, 3));
    }
    if rng.random_bool(0.3) {
        object["properties"].as_object_mut().expect("a map").remove("price");
    }
    object
}

/// Writes the same objects to both collections. One after the other, as the order of a listing is that of the writes.
fn fill(wire: &Wire, seed: u64) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    for number in 0..OBJECTS {
        let begun = wire.send("GET", "/v1/meta", None);
        assert_eq!(begun.0, 200);
        for (name, _) in COLLECTIONS {
            let of_both = rng.clone();
            wire.post("/v1/objects", &object(&mut rng, name, number));
            if name == COLLECTIONS[0].0 {
                rng = of_both;
            }
        }
        // The order of writes within one millisecond is that of the ids over several shards.
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    let references: Vec<Value> = (0..OBJECTS)
        .flat_map(|number| COLLECTIONS.map(|(name, _)| (number, name)))
        .map(|(number, name)| {
            let beacon = |number| format!("weaviate://localhost/{name}/{}", id(number));
            json!({"from": format!("{}/to", beacon(number)), "to": beacon(number * 7 % OBJECTS)})
        })
        .collect();
    for one in references {
        wire.post("/v1/batch/references", &json!([one]));
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
}

fn filter(rng: &mut ChaCha8Rng) -> String {
    let number = rng.random_range(0..20);
    match rng.random_range(0..6) {
        0 => format!("{{path: [\"number\"], operator: LessThan, valueInt: {number}}}"),
        1 => "{path: [\"word\"], operator: Equal, valueText: \"beta\"}".to_owned(),
        2 => "{path: [\"tags\"], operator: ContainsAny, valueText: [\"alpha\", \"gamma\"]}".to_owned(),
        3 => format!(
            "{{operator: Or, operands: [{{path: [\"number\"], operator: Equal, valueInt: {number}}}, \
             {{path: [\"word\"], operator: Like, valueText: \"a*\"}}]}}"
        ),
        4 => format!("{{path: [\"to\", \"CLASS\", \"number\"], operator: GreaterThanEqual, valueInt: {number}}}"),
        _ => format!(
            "{{path: [\"id\"], operator: Equal, valueText: \"{}\"}}",
            id(u128::from(rng.random_range(0..300_u32)))
        ),
    }
}

/// A query without its class.
fn arguments(rng: &mut ChaCha8Rng) -> String {
    let mut parts = Vec::new();
    if rng.random_bool(0.5) {
        parts.push(format!("where: {}", filter(rng)));
    }
    let near = rng.random_range(0..6);
    let (a, b) = (json!(vector(rng, 5)), json!(vector(rng, 3)));
    match near {
        0 | 1 => {}
        2 => parts.push(format!("nearVector: {{vector: {a}, targetVectors: [\"a\"]}}")),
        3 => parts.push(format!(
            "nearVector: {{vector: {a}, targetVectors: [\"a\"], distance: {}}}",
            rng.random_range(0.3..1.2)
        )),
        4 => {
            let method = ["sum", "average", "minimum", "relativeScore", "manualWeights"][rng.random_range(0..5)];
            let weights = match method {
                "relativeScore" | "manualWeights" => ", weights: {a: 0.7, b: 0.4}",
                _ => "",
            };
            parts.push(format!(
                "nearVector: {{vectorPerTarget: {{a: {a}, b: {b}}}, targets: {{combinationMethod: {method}, \
                 targetVectors: [\"a\", \"b\"]{weights}}}}}"
            ));
        }
        _ => {
            let number = u128::from(rng.random_range(0..240_u32));
            parts.push(format!("nearObject: {{id: \"{}\", targetVectors: [\"a\"]}}", id(number)));
        }
    }
    if near > 1 && rng.random_bool(0.2) {
        parts.push("autocut: 1".to_owned());
    }
    if rng.random_bool(0.3) {
        let property = ["number", "price", "word", "_creationTimeUnix"][rng.random_range(0..4)];
        // The times of the same object differ between the collections, their order does not.
        parts.push(format!("sort: [{{path: [\"{property}\"], order: {}}}]", ["asc", "desc"][rng.random_range(0..2)]));
    }
    if near > 1 && rng.random_bool(0.2) {
        parts.push("groupBy: {path: [\"word\"], groups: 3, objectsPerGroup: 4}".to_owned());
    }
    parts.push(format!("limit: {}", [1, 5, 30, 500][rng.random_range(0..4)]));
    if rng.random_bool(0.4) {
        parts.push(format!("offset: {}", rng.random_range(0..40)));
    }
    parts.join(", ")
}

fn check_queries(wire: &Wire, rng: &mut ChaCha8Rng) {
    let fields = "number word tags to { ... on CLASS { number _additional { id } } } \
                  _additional { id distance group { count groupedBy { value } hits { number _additional { id distance } } } }";
    let mut found = 0;
    for _ in 0..QUERIES {
        let query = format!("{{ Get {{ CLASS({}) {{ {fields} }} }} }}", arguments(rng));
        let [one, eight] = wire.both(&query);
        assert_eq!(one, eight, "{query}");
        found += one.as_array().map_or(0, Vec::len);
        let count = format!("{{ Aggregate {{ CLASS(where: {}) {{ meta {{ count }} }} }} }}", filter(rng));
        let [one, eight] = wire.both(&count);
        assert_eq!(one, eight, "{count}");
    }
    assert!(found > QUERIES, "{found} hits of {QUERIES} queries");
}

/// All objects by cursor, some at a time.
fn listed(wire: &Wire, class: &str, step: usize) -> Vec<String> {
    let (mut all, mut after) = (Vec::new(), String::new());
    loop {
        let (status, page) = wire.send("GET", &format!("/v1/objects?class={class}&limit={step}&after={after}"), None);
        assert_eq!(status, 200, "{page}");
        let ids: Vec<String> = page["objects"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|o| Some(o["id"].as_str()?.to_owned()))
            .collect();
        match ids.last() {
            Some(last) => after.clone_from(last),
            None => return all,
        }
        all.extend(ids);
    }
}

fn check_single_objects(wire: &Wire, rng: &mut ChaCha8Rng) {
    for _ in 0..40 {
        let id = id(u128::from(rng.random_range(0..260_u32)));
        let [one, eight] = COLLECTIONS.map(|(name, _)| {
            let (status, body) = wire.send("GET", &format!("/v1/objects/{name}/{id}?include=vector"), None);
            let (head, _) = wire.send("HEAD", &format!("/v1/objects/{name}/{id}"), None);
            (status, head, body["properties"]["number"].clone(), body["vectors"].clone())
        });
        assert_eq!(one, eight, "{id}");
    }
    for step in [1, 7, 1_000] {
        let lists = COLLECTIONS.map(|(name, _)| listed(wire, name, step));
        assert_eq!(lists[0], lists[1]);
        assert_eq!(lists[0].len() as u64, count(wire)[0]);
    }
}

fn count(wire: &Wire) -> [u64; 2] {
    wire.both("{ Aggregate { CLASS { meta { count } } } }").map(|list| list[0]["meta"]["count"].as_u64().unwrap_or(0))
}

fn delete_some(wire: &Wire) {
    for dry in [true, false] {
        let deleted = COLLECTIONS.map(|(name, _)| {
            let condition = json!({"path": ["number"], "operator": "LessThan", "valueInt": 5});
            let body = json!({"match": {"class": name, "where": condition}, "output": "verbose", "dryRun": dry});
            let (status, answer) = wire.send("DELETE", "/v1/batch/objects", Some(&body));
            assert_eq!(status, 200, "{answer}");
            answer["results"].clone()
        });
        assert_eq!(deleted[0], deleted[1]);
        assert!(deleted[0]["matches"].as_u64() > Some(10), "{}", deleted[0]);
    }
}

#[test]
fn several_shards_answer_as_one() {
    let seed = rand::random();
    notice(&format!("seed {seed}"));
    let mut server = Server::builder().variable("AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED", "true").start();
    let wire = Wire { address: server.http_address() };
    create(&wire);
    fill(&wire, seed);
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    check_queries(&wire, &mut rng);
    check_single_objects(&wire, &mut rng);
    delete_some(&wire);
    check_queries(&wire, &mut rng);
    server.kill();
    server.start_again();
    let wire = Wire { address: server.http_address() };
    check_single_objects(&wire, &mut rng);
    check_queries(&wire, &mut rng);
    let (_, nodes) = wire.send("GET", "/v1/nodes?output=verbose", None);
    let shards = nodes["nodes"][0]["shards"].as_array().expect("a list");
    let of_eight: Vec<u64> =
        shards.iter().filter(|shard| shard["class"] == "Eight").filter_map(|s| s["objectCount"].as_u64()).collect();
    assert_eq!(of_eight.len(), 8);
    assert!(of_eight.iter().all(|objects| *objects > 0), "{of_eight:?}");
    assert_eq!(of_eight.iter().sum::<u64>(), count(&wire)[1]);
}

#[test]
fn the_length_of_a_vector_holds_for_all_shards() {
    let server = Server::builder().variable("AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED", "true").start();
    let wire = Wire { address: server.http_address() };
    wire.post("/v1/schema", &json!({"class": "Eight", "vectorizer": "none", "shardingConfig": {"desiredCount": 8}}));
    wire.post("/v1/objects", &json!({"class": "Eight", "id": id(1), "vector": [1, 2, 3]}));
    for number in 2..40 {
        let object = json!({"class": "Eight", "id": id(number), "vector": [1, 2, 3, 4]});
        let (status, answer) = wire.send("POST", "/v1/objects", Some(&object));
        assert!(status >= 400 && answer.to_string().contains("length"), "{status} {answer}");
    }
    wait_for("the one object", || {
        let counted = wire.post("/v1/graphql", &json!({"query": "{ Aggregate { Eight { meta { count } } } }"}));
        counted["data"]["Aggregate"]["Eight"][0]["meta"]["count"] == 1
    });
}

#[test]
fn first_objects_written_at_once_agree_on_the_length_of_a_vector() {
    const ROUNDS: usize = 12;
    const WRITERS: usize = 8;
    let server = Server::builder().variable("AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED", "true").start();
    let wire = Wire { address: server.http_address() };
    for round in 0..ROUNDS {
        let class = format!("Eight{round}");
        wire.post("/v1/schema", &json!({"class": class, "vectorizer": "none", "shardingConfig": {"desiredCount": 8}}));
        let start = std::sync::Barrier::new(WRITERS);
        let write = |writer: usize| {
            let vector = vec![1.0; writer + 1];
            let object = json!({"class": class, "id": id(writer as u128 + 1), "vector": vector});
            start.wait();
            wire.send("POST", "/v1/objects", Some(&object)).0
        };
        let statuses: Vec<u16> = std::thread::scope(|scope| {
            let writers: Vec<_> = (0..WRITERS).map(|writer| scope.spawn(move || write(writer))).collect();
            writers.into_iter().map(|writer| writer.join().expect("an answer")).collect()
        });
        let written = statuses.iter().filter(|status| **status == 200).count();
        assert_eq!(written, 1, "objects of one length are written: {statuses:?}");
    }
}
