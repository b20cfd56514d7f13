//! Requests that no honest client sends. Each gets an error of its own, and the server goes on answering everybody else.

use azimuth_client::{Client, CollectionConfig, DataType, Error, Object, Property, Query, VectorIndex};
use azimuth_tests::raw_http::{self, Answer};
use azimuth_tests::server::Server;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::process::{Command, Stdio};
use uuid::Uuid;

/// A server with one collection of three-dimensional vectors and one object.
struct Target {
    server: Server,
    client: Client,
    runtime: tokio::runtime::Runtime,
}

impl Target {
    fn new() -> Self {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let server = Server::start();
        let client = runtime.block_on(async {
            let client = server.client();
            let config = CollectionConfig::new("Thing")
                .property(Property::new("text", DataType::Text))
                .property(Property::new("number", DataType::Int))
                .unnamed_vector(VectorIndex::hnsw());
            client.create_collection(&config).await.expect("a new collection");
            let object = Object::with_id(Uuid::from_u128(1)).property("number", 1).vector([1.0, 0.0, 0.0]);
            client.collection("Thing").expect("a good name").insert(&object).await.expect("an object");
            client
        });
        Self { server, client, runtime }
    }

    fn address(&self) -> String {
        self.server.http_address()
    }

    fn post(&self, path: &str, body: &str) -> Answer {
        raw_http::post(&self.address(), path, body).expect("an answer")
    }

    /// Honest clients are served, and nothing has changed.
    fn check_service(&mut self, after: &str) {
        assert!(self.server.is_running(), "the server ended after {after}:\n{}", self.server.log());
        assert!(!self.server.log().contains("panicked"), "a panic after {after}:\n{}", self.server.log());
        self.runtime.block_on(async {
            let things = self.client.collection("Thing").expect("a good name");
            let hits = things.search(Query::near_vector([1.0, 0.1, 0.0]).limit(5)).await;
            let hits = hits.unwrap_or_else(|error| panic!("after {after}: {error}"));
            assert_eq!(hits.len(), 1, "after {after}");
            assert_eq!(things.count(None).await.expect("a count"), 1, "after {after}");
        });
    }

    /// The most memory that the server ever had, in MiB.
    fn memory_mib(&self) -> u64 {
        self.server.memory_mib("VmHWM")
    }
}

#[test]
fn malformed_json_is_a_client_error() {
    let mut target = Target::new();
    for body in
        ["", "{", "[]", "null", "\"text\"", "{\"class\": 1}", "{\"class\": \"Thing\", \"properties\": 5}", "\u{0}"]
    {
        for path in ["/v1/objects", "/v1/schema", "/v1/batch/objects", "/v1/graphql"] {
            let answer = target.post(path, body);
            assert!(
                (400..500).contains(&answer.status) || is_graphql_error(path, &answer),
                "{path} {body:?}: {answer:?}"
            );
        }
    }
    let invalid_utf8 = raw_http::request(
        &target.address(),
        "POST",
        "/v1/objects",
        &[("Content-Type", "application/json")],
        b"{\"class\":\"\xff\xfe\"}",
    );
    let status = invalid_utf8.expect("an answer").status;
    assert!((400..500).contains(&status), "invalid UTF-8: {status}");
    target.check_service("malformed JSON");
}

fn is_graphql_error(path: &str, answer: &Answer) -> bool {
    path == "/v1/graphql" && answer.status == 200 && answer.body.contains("\"errors\"")
}

#[test]
fn deeply_nested_bodies_and_filters_are_refused() {
    let mut target = Target::new();
    let depth = 200_000;
    let nested = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let objects = format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
    for path in ["/v1/objects", "/v1/schema", "/v1/batch/objects", "/v1/graphql"] {
        for body in [&nested, &objects] {
            let answer = target.post(path, body);
            assert!((400..500).contains(&answer.status), "{path}: {}", answer.status);
        }
    }
    target.check_service("deep JSON");
    let leaf = "{path: [\"number\"], operator: Equal, valueInt: 1}";
    let mut filter = leaf.to_owned();
    for _ in 0..5_000 {
        filter = format!("{{operator: And, operands: [{filter}]}}");
    }
    let query = format!("{{ Get {{ Thing(where: {filter}) {{ number }} }} }}");
    let answer = target.post("/v1/graphql", &serde_json::json!({ "query": query }).to_string());
    assert!(answer.status >= 400 || answer.body.contains("\"errors\""), "a deep filter: {}", answer.body);
    target.check_service("a deep filter in GraphQL");
    let selection = format!("{{ Get {{ Thing {}{} }} }}", "{ a ".repeat(50_000), "}".repeat(50_000));
    let answer = target.post("/v1/graphql", &serde_json::json!({ "query": selection }).to_string());
    assert!(answer.status >= 400 || answer.body.contains("\"errors\""), "a deep selection: {}", answer.body);
    target.check_service("a deep selection in GraphQL");
    let result = target.runtime.block_on(deep_grpc_filter(&target.client));
    assert!(result.is_err(), "a deep filter over gRPC was taken");
    target.check_service("a deep filter over gRPC");
}

async fn deep_grpc_filter(client: &Client) -> Result<usize, Error> {
    use azimuth_client::Filter;
    let leaf = || Filter::property("number").equal(1);
    let mut filter = leaf();
    for _ in 0..2_000 {
        // The client joins nested conditions of one kind, so the kinds take turns.
        filter = Filter::any([Filter::all([filter, leaf()]), leaf()]);
    }
    let things = client.collection("Thing")?;
    things.search(Query::list().filter(filter).limit(1)).await.map(|hits| hits.len())
}

#[test]
fn wrong_vectors_are_refused_one_by_one() {
    let mut target = Target::new();
    let with =
        |vector: &str| format!("{{\"class\": \"Thing\", \"properties\": {{\"number\": 2}}, \"vector\": {vector}}}");
    for vector in ["[1, 2]", "[1, 2, 3, 4]", "[\"a\", 1, 2]", "[1e39, 0, 0]", "[NaN, 0, 0]", "5", "{}"] {
        let answer = target.post("/v1/objects", &with(vector));
        assert!((400..500).contains(&answer.status), "vector {vector}: {} {}", answer.status, answer.body);
    }
    target.check_service("wrong vectors over REST");
    target.runtime.block_on(async {
        let things = target.client.collection("Thing").expect("a good name");
        for bad in [vec![1.0, 2.0], vec![f32::NAN, 0.0, 0.0], vec![f32::INFINITY, 0.0, 0.0]] {
            let objects = [Object::with_id(Uuid::from_u128(2)).vector(bad.clone())];
            let outcome = things.insert_many(&objects, Default::default()).await;
            let refused = outcome.map_or(true, |report| report.failures.len() == 1);
            assert!(refused, "an object with vector {bad:?} was taken");
            let search = things.search(Query::near_vector(&bad).limit(1)).await;
            assert!(search.is_err(), "a search with vector {bad:?} was answered: {search:?}");
        }
    });
    target.check_service("wrong vectors over gRPC");
}

#[test]
fn extreme_numbers_are_refused_or_kept_exactly() {
    let mut target = Target::new();
    for number in ["1e400", "-1e400", "9223372036854775808", "1.5", "\"1\"", "true", "99999999999999999999999999"] {
        let body = format!("{{\"class\": \"Thing\", \"properties\": {{\"number\": {number}}}, \"vector\": [0, 1, 0]}}");
        let answer = target.post("/v1/objects", &body);
        if answer.status == 200 {
            let object: serde_json::Value = serde_json::from_str(&answer.body).expect("JSON");
            let id = object["id"].as_str().expect("an id").to_owned();
            let path = format!("/v1/objects/Thing/{id}");
            let deleted = raw_http::request(&target.address(), "DELETE", &path, &[], b"").expect("an answer");
            assert_eq!(deleted.status, 204, "{number}");
        } else {
            assert!((400..500).contains(&answer.status), "{number}: {} {}", answer.status, answer.body);
        }
    }
    for limit in ["-1", "0", "1000000000000", "99999999999999999999", "null"] {
        let query = format!("{{ Get {{ Thing(limit: {limit}) {{ number }} }} }}");
        let answer = target.post("/v1/graphql", &serde_json::json!({ "query": query }).to_string());
        assert!(answer.status < 500, "limit {limit}: {} {}", answer.status, answer.body);
    }
    target.check_service("extreme numbers");
}

#[test]
fn a_huge_body_is_refused_without_being_kept() {
    let mut target = Target::new();
    let before = target.memory_mib();
    // A length that nobody will send: the answer must not wait for it, nor memory be set aside for it.
    let head = |length: u64| {
        format!(
            "POST /v1/objects HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{{"
        )
    };
    let answer = raw_http::send(&target.address(), head(1 << 40).as_bytes()).expect("an answer");
    assert!(matches!(answer.status, 400 | 413), "a declared terabyte: {answer:?}");
    let mut stream = raw_http::connect(&target.address()).expect("a connection");
    stream.write_all(b"POST /v1/batch/objects HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n").expect("a head");
    let part = [b"100000\r\n".as_slice(), &vec![b' '; 0x10_0000], b"\r\n"].concat();
    let mut sent_mib = 0_u64;
    while sent_mib < 4_096 && stream.write_all(&part).is_ok() {
        sent_mib += 1;
    }
    assert!(sent_mib < 4_096, "four GiB of spaces were swallowed");
    target.check_service("a huge body");
    let grown = target.memory_mib().saturating_sub(before);
    assert!(grown < 1_024, "a refused body of {sent_mib} MiB cost {grown} MiB");
}

#[test]
fn a_length_that_lies_harms_nobody() {
    let mut target = Target::new();
    let body = "{\"class\": \"Thing\"}";
    let requests: [(&str, String); 6] = [
        (
            "too long",
            format!("POST /v1/objects HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}", body.len() + 50),
        ),
        ("too short", format!("POST /v1/objects HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n{body}")),
        ("negative", format!("POST /v1/objects HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n{body}")),
        (
            "two lengths",
            format!("POST /v1/objects HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 18\r\n\r\n{body}"),
        ),
        (
            "length and chunks",
            format!(
                "POST /v1/objects HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n{body}"
            ),
        ),
        (
            "bad chunk",
            "POST /v1/objects HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n".to_owned(),
        ),
    ];
    for (name, request) in requests {
        let mut stream = raw_http::connect(&target.address()).expect("a connection");
        stream.write_all(request.as_bytes()).expect("a request");
        stream.shutdown(std::net::Shutdown::Write).expect("the end of the request");
        let mut answer = String::new();
        // The connection may be reset instead of answered; both refuse the request.
        let _ = stream.read_to_string(&mut answer);
        assert!(!answer.starts_with("HTTP/1.1 200"), "{name}: {answer}");
    }
    target.check_service("lying lengths");
    for garbage in
        ["\r\n\r\n\r\n", "GET", "\u{16}\u{3}\u{1}", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\ngarbage", "GET / HTTP/9.9\r\n\r\n"]
    {
        let mut stream = raw_http::connect(&target.address()).expect("a connection");
        stream.write_all(garbage.as_bytes()).expect("garbage is sent");
    }
    target.check_service("garbage on the port");
}

#[test]
fn a_decompression_bomb_is_refused() {
    let mut target = Target::new();
    let before = target.memory_mib();
    let bomb = gzip_zeros(3 << 30);
    assert!(bomb.len() < 8 << 20, "the bomb is small while packed: {}", bomb.len());
    for path in ["/v1/objects", "/v1/batch/objects", "/v1/graphql"] {
        let headers = [("Content-Type", "application/json"), ("Content-Encoding", "gzip")];
        let answer = raw_http::request(&target.address(), "POST", path, &headers, &bomb).expect("an answer");
        assert!((400..500).contains(&answer.status), "{path}: {} {}", answer.status, answer.body);
    }
    target.check_service("a decompression bomb");
    let grown = target.memory_mib().saturating_sub(before);
    assert!(grown < 1_024, "the bomb cost {grown} MiB");
}

/// `bytes` zero bytes, gzipped by the system's tool.
fn gzip_zeros(bytes: u64) -> Vec<u8> {
    let mut gzip = Command::new("gzip").arg("-c").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("gzip");
    let mut input = gzip.stdin.take().expect("a pipe");
    let feeding = std::thread::spawn(move || {
        let zeros = vec![0_u8; 1 << 20];
        for _ in 0..bytes >> 20 {
            input.write_all(&zeros).expect("gzip takes its input");
        }
    });
    let output = gzip.wait_with_output().expect("gzip's output").stdout;
    feeding.join().expect("all zeros are written");
    output
}

#[test]
fn unknown_routes_and_methods_are_named() {
    let mut target = Target::new();
    for (method, path, wanted) in [
        ("GET", "/v1/unknown", 404),
        ("PATCH", "/v1/schema", 405),
        ("TRACE", "/v1/objects", 405),
        ("GET", "/v1/objects/Thing/not-an-id", 422),
        ("GET", "/v1/objects/%00%ff/00000000-0000-0000-0000-000000000001", 404),
        ("GET", "/../../etc/passwd", 404),
        ("GET", "/v1/objects/..%2f..%2fetc/00000000-0000-0000-0000-000000000001", 404),
    ] {
        let answer = raw_http::request(&target.address(), method, path, &[], b"").expect("an answer");
        assert!((400..500).contains(&answer.status), "{method} {path}: {} instead of about {wanted}", answer.status);
    }
    let long = format!("/v1/objects?class={}", "a".repeat(1 << 20));
    let status = raw_http::get(&target.address(), &long).map_or(431, |answer| answer.status);
    assert!((400..500).contains(&status), "an address of one MiB: {status}");
    let mut many = String::new();
    for header in 0..5_000 {
        write!(many, "X-{header}: {header}\r\n").expect("a string grows");
    }
    let request = format!("GET /v1/meta HTTP/1.1\r\nHost: x\r\n{many}\r\n");
    let status = raw_http::send(&target.address(), request.as_bytes()).map_or(431, |answer| answer.status);
    assert!((400..500).contains(&status), "5,000 headers: {status}");
    target.check_service("unknown routes");
}

#[test]
fn idle_connections_do_not_keep_others_out() {
    let mut target = Target::new();
    let idle: Vec<_> = (0..500)
        .map(|_| {
            let mut stream = raw_http::connect(&target.address()).expect("a connection");
            stream.write_all(b"POST /v1/objects HTTP/1.1\r\nHost: x\r\nX-Slow").expect("half a head");
            stream
        })
        .collect();
    target.check_service("500 half requests");
    drop(idle);
    target.check_service("their end");
}
