//! Reads that take long: no other client waits for them, and they end when their time is over or when their caller is
//! gone.
//!
//! The slow reads here are a filter of thousands of `Like` patterns, each of which looks at every term, and a search in
//! a multi-vector of thousands of rows. Order shows that other requests do not wait: they have their answers before the
//! long read has its own.

use azimuth_client::{
    BatchOptions, Client, CollectionConfig, DataType, Error, Filter, Object, Property, Query, VectorIndex,
};
use azimuth_tests::raw_http::{self, Answer};
use azimuth_tests::server::{Server, ServerBuilder};
use azimuth_tests::wait_for;
use std::fmt::Write as _;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;
use uuid::Uuid;

/// Objects, each of so many words that no other has.
const OBJECTS: u32 = 20;
const WORDS: u32 = 2_000;
/// Patterns of the filter: together they take minutes.
const PATTERNS: u32 = 5_000;

fn builder() -> ServerBuilder {
    Server::builder().variable("AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED", "true")
}

/// A collection whose texts have many words.
async fn fill(client: &Client) {
    let config = CollectionConfig::new("Thing")
        .property(Property::new("text", DataType::Text))
        .unnamed_vector(VectorIndex::hnsw());
    client.create_collection(&config).await.expect("a collection");
    let objects = (0..OBJECTS).map(|n| {
        let words = (0..WORDS).fold(String::new(), |mut words, word| {
            let _ = write!(words, "w{n}x{word}y ");
            words
        });
        Object::with_id(Uuid::from_u128(u128::from(n) + 1)).property("text", words).vector([1.0, 0.1 * n as f32, 0.5])
    });
    let things = client.collection("Thing").expect("a good name");
    let objects: Vec<Object> = objects.collect();
    let report = things.insert_many(&objects, BatchOptions::default()).await.expect("a batch");
    assert!(report.failures.is_empty(), "{:?}", report.failures);
}

fn pattern(n: u32) -> String {
    format!("*no{n}where*")
}

fn slow_filter() -> Filter {
    Filter::any((0..PATTERNS).map(|n| Filter::property("text").like(pattern(n))))
}

/// The same as a GraphQL filter.
fn slow_where() -> String {
    let operand = |n| format!(r#"{{path: ["text"], operator: Like, valueText: "{}"}}"#, pattern(n));
    format!("{{operator: Or, operands: [{}]}}", (0..PATTERNS).map(operand).collect::<Vec<_>>().join(","))
}

fn body_of(document: &str) -> String {
    serde_json::json!({ "query": document }).to_string()
}

/// A request that was sent, without waiting for its answer.
struct Sent(TcpStream);

impl Sent {
    fn post(server: &Server, path: &str, body: &str) -> Self {
        Self::send(server, "POST", path, body)
    }

    fn send(server: &Server, method: &str, path: &str, body: &str) -> Self {
        let mut stream = raw_http::connect(&server.http_address()).expect("a connection");
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes())).expect("sent");
        Self(stream)
    }

    /// Whether nothing was answered so far.
    fn is_waiting(&mut self) -> bool {
        self.0.set_read_timeout(Some(Duration::from_millis(1))).expect("a time-out");
        let read = self.0.read(&mut [0]);
        matches!(read, Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut))
    }

    fn answer(mut self) -> Answer {
        raw_http::read_answer(&mut self.0).expect("an answer")
    }
}

/// A gauge of the server.
fn gauge(server: &Server, name: &str) -> f64 {
    let metrics = server.get("/metrics").expect("metrics").body;
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
    line.unwrap_or(0.0)
}

fn running(server: &Server) -> f64 {
    gauge(server, "azimuth_reads_running")
}

/// Checks that all requests of other clients are answered.
async fn others_are_served(server: &Server, client: &Client, round: u32) {
    for path in ["/v1/.well-known/ready", "/v1/.well-known/live", "/metrics", "/v1/meta"] {
        assert_eq!(server.get(path).expect("an answer").status, 200, "{path}");
    }
    let things = client.collection("Thing").expect("a good name");
    let id = Uuid::from_u128(1_000 + u128::from(round));
    let object = Object::with_id(id).property("text", "new").vector([0.5, 0.5, 0.5]);
    things.insert(&object).await.expect("a write");
    assert!(things.get(id).await.expect("a read").is_some());
    let hits = things.search(Query::near_vector([0.5, 0.5, 0.5]).limit(1)).await.expect("a search");
    assert_eq!(hits.first().map(|hit| hit.object.id), Some(id));
    things.delete(id).await.expect("a deletion");
    let hits = things.search(Query::near_vector([0.5, 0.5, 0.5]).limit(1)).await.expect("a search");
    assert_ne!(hits.first().map(|hit| hit.object.id), Some(id));
}

#[tokio::test]
async fn others_are_served_while_slow_filters_run_and_a_closed_connection_ends_them() {
    let server = builder().start();
    let client = server.client();
    fill(&client).await;
    // More than there are threads that serve connections.
    let document = format!("{{Get{{Thing(limit: 1, where: {}){{text}}}}}}", slow_where());
    let near = document.replace("(limit: 1,", "(limit: 1, nearVector: {vector: [1, 0, 0]},");
    let mut sent: Vec<Sent> = [&document, &near, &document, &near]
        .map(|document| Sent::post(&server, "/v1/graphql", &body_of(document)))
        .into_iter()
        .collect();
    wait_for("the reads to begin", || running(&server) >= 4.0);
    for round in 0..10 {
        others_are_served(&server, &client, round).await;
    }
    assert!(sent.iter_mut().all(Sent::is_waiting), "the long reads were answered: they were not long");
    drop(sent);
    wait_for("reads without a caller to end", || running(&server) == 0.0);
}

/// A client that waits for its answer looks like one that has ended: it gets no answer that takes long.
#[tokio::test]
async fn a_long_read_ends_when_its_client_has_nothing_more_to_send() {
    let server = builder().start();
    let client = server.client();
    fill(&client).await;
    let document = format!("{{Get{{Thing(limit: 1, where: {}){{text}}}}}}", slow_where());
    let sent = Sent::post(&server, "/v1/graphql", &body_of(&document));
    wait_for("the read to begin", || running(&server) > 0.0);
    sent.0.shutdown(Shutdown::Write).expect("an end");
    wait_for("the read to end", || running(&server) == 0.0);
    let answer = sent.answer();
    assert_eq!(answer.status, 408, "{answer:?}");
    assert!(answer.body.contains("closed its sending side"), "{answer:?}");
}

// The client's connection has a thread of its own, which cancels the call while this thread waits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grpc_call_that_is_given_up_stops_its_work() {
    let server = builder().start();
    let client = server.client();
    fill(&client).await;
    let things = client.collection("Thing").expect("a good name");
    for query in [Query::list(), Query::near_vector([1.0, 0.0, 0.0])] {
        let call = things.search(query.filter(slow_filter()).limit(3));
        let begun = async {
            while running(&server) == 0.0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::select! {
            answer = call => panic!("the call was not long: {answer:?}"),
            () = begun => {}
        }
        wait_for("the read of a call that was given up to end", || running(&server) == 0.0);
    }
    others_are_served(&server, &client, 0).await;
}

#[tokio::test]
async fn the_time_limit_ends_reads_on_every_wire() {
    let server = builder().variable("AZIMUTH_READ_SECONDS_MAX", "1").start();
    let client = server.client();
    fill(&client).await;
    // GraphQL names the class that failed; another of the same document fails by the same deadline.
    let document = format!("{{Get{{a: Thing(where: {0}){{text}} b: Thing(where: {0}){{text}}}}}}", slow_where());
    let answer = Sent::post(&server, "/v1/graphql", &body_of(&document)).answer();
    assert!(answer.status == 200 && answer.body.matches("deadline exceeded").count() == 2, "{answer:?}");
    let document = format!("{{Aggregate{{Thing(where: {}){{meta{{count}}}}}}}}", slow_where());
    let answer = Sent::post(&server, "/v1/graphql", &body_of(&document)).answer();
    assert!(answer.status == 200 && answer.body.contains("deadline exceeded"), "{answer:?}");
    // REST: the lookup of a batch deletion.
    let operands: Vec<_> = (0..PATTERNS)
        .map(|n| serde_json::json!({"path": ["text"], "operator": "Like", "valueText": pattern(n)}))
        .collect();
    let filter = serde_json::json!({"operator": "Or", "operands": operands});
    let body = serde_json::json!({"match": {"class": "Thing", "where": filter}, "output": "minimal"}).to_string();
    let answer = Sent::send(&server, "DELETE", "/v1/batch/objects", &body).answer();
    assert_eq!(answer.status, 504, "{answer:?}");
    assert!(
        answer.body.starts_with(r#"{"error":[{"message":"#) && answer.body.contains("deadline exceeded"),
        "{answer:?}"
    );
    // gRPC.
    let things = client.collection("Thing").expect("a good name");
    let refusal = things.search(Query::list().filter(slow_filter())).await.expect_err("too slow");
    assert!(matches!(&refusal, Error::Timeout(text) if text.contains("deadline exceeded")), "{refusal:?}");
    wait_for("all reads to end", || running(&server) == 0.0);
    others_are_served(&server, &client, 0).await;
    assert_eq!(things.count(None).await.expect("a count"), u64::from(OBJECTS), "nothing was deleted");
}

/// A multi-vector search is as long as its rows; the threads that serve connections must not run it.
#[tokio::test]
async fn others_are_served_while_multi_vectors_are_compared() {
    let server = builder().start();
    let client = server.client();
    fill(&client).await;
    let (objects, rows, dim) = (1_000, 256, 8);
    let schema = serde_json::json!({
        "class": "Page",
        "vectorConfig": {"m": {
            "vectorizer": {"none": {}},
            "vectorIndexType": "hnsw",
            "vectorIndexConfig": {"multivector": {"enabled": true}, "distance": "dot"},
        }},
    });
    let answer = raw_http::post(&server.http_address(), "/v1/schema", &schema.to_string()).expect("an answer");
    assert_eq!(answer.status, 200, "{answer:?}");
    let row = |seed: u32| {
        let component = |at: u32| (seed.wrapping_mul(2_654_435_761).wrapping_add(at * 40_503) >> 13) % 9;
        serde_json::json!((0..dim).map(component).collect::<Vec<_>>())
    };
    for first in (0..objects).step_by(100) {
        let object = |n: u32| {
            let rows: Vec<_> = (0..rows).map(|at| row(n * rows + at)).collect();
            serde_json::json!({"class": "Page", "vectors": {"m": rows}})
        };
        let body = serde_json::json!({"objects": (first..first + 100).map(object).collect::<Vec<_>>()}).to_string();
        let answer = raw_http::post(&server.http_address(), "/v1/batch/objects", &body).expect("an answer");
        assert!(answer.status == 200 && !answer.body.contains("FAILED"), "{}", answer.status);
    }
    let rows: Vec<_> = (0..4_096).map(|n| row(n * 7 + 3).to_string()).collect();
    let document = format!(
        "{{Get{{Page(limit: 1, nearVector: {{vectorPerTarget: {{m: [{}]}}, targetVectors: [\"m\"]}}){{_additional{{id}}}}}}}}",
        rows.join(",")
    );
    let body = body_of(&document);
    // Short reads run on the threads that serve connections; this server has seen only short reads so far.
    for round in 0..30 {
        others_are_served(&server, &client, round).await;
    }
    let mut sent: Vec<Sent> = (0..3).map(|_| Sent::post(&server, "/v1/graphql", &body)).collect();
    wait_for("the searches to begin", || running(&server) >= 3.0);
    others_are_served(&server, &client, 0).await;
    assert!(sent.iter_mut().all(Sent::is_waiting), "the searches were not long");
    drop(sent);
    wait_for("searches without a caller to end", || running(&server) == 0.0);
}
