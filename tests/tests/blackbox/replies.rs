//! Answers that are large, and clients that do not take them: memory stays bounded on every wire, others are served.
//!
//! The peak of the process's resident memory (`VmHWM`) is compared with twice the memory that its settings allow for
//! requests.

use azimuth_client::{BatchOptions, CollectionConfig, DataType, Error, Object, Property, Query, VectorIndex};
use azimuth_tests::raw_http::{self, Answer};
use azimuth_tests::server::{Server, ServerBuilder};
use azimuth_tests::{notice, wait_for};
use bytes::Bytes;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;
use uuid::Uuid;

pub(crate) const MIB: usize = 1 << 20;
/// Memory for requests.
const BUDGET: usize = 64 * MIB;
/// Objects of the collection, each with a text of a MiB.
const OBJECTS: usize = 48;

pub(crate) fn builder() -> ServerBuilder {
    Server::builder()
        .variable("AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED", "true")
        .variable("AZIMUTH_REQUESTS_BYTES_MAX", &BUDGET.to_string())
}

/// A collection `Large` of large objects that refer to each other, and `Small` with one small one.
pub(crate) async fn fill(server: &Server) {
    let client = server.client();
    let small = CollectionConfig::new("Small")
        .property(Property::new("text", DataType::Text))
        .unnamed_vector(VectorIndex::hnsw());
    client.create_collection(&small).await.expect("a collection");
    let object = Object::with_id(Uuid::from_u128(1)).property("text", "here").vector([1.0, 0.0, 0.0]);
    client.collection("Small").expect("a good name").insert(&object).await.expect("an object");
    let class = serde_json::json!({"class": "Large", "vectorizer": "none", "properties": [
        {"name": "text", "dataType": ["text"], "indexFilterable": false, "indexSearchable": false},
        {"name": "numbers", "dataType": ["int[]"], "indexFilterable": false},
        {"name": "tags", "dataType": ["text[]"], "indexFilterable": false, "indexSearchable": false},
        {"name": "to", "dataType": ["Large"]},
    ]});
    let created = raw_http::post(&server.http_address(), "/v1/schema", &class.to_string()).expect("an answer");
    assert_eq!(created.status, 200, "{}", created.body);
    for number in 0..OBJECTS {
        let letter = char::from(b'a' + (number % 26) as u8).to_string();
        let tags: Vec<String> = (0..100).map(|tag| format!("tag{tag}")).collect();
        let properties = serde_json::json!({
            "text": letter.repeat(MIB), "numbers": vec![1; 1_000], "tags": tags,
        });
        let object =
            serde_json::json!({"class": "Large", "id": id(number), "properties": properties, "vector": [1, number, 0]});
        let stored = raw_http::post(&server.http_address(), "/v1/objects", &object.to_string()).expect("an answer");
        assert_eq!(stored.status, 200, "{:.300}", stored.body);
    }
    // Targets must exist before they are referred to.
    for number in 0..OBJECTS {
        let beacon = |step: usize| format!("weaviate://localhost/Large/{}", id((number + step) % OBJECTS));
        let from = format!("weaviate://localhost/Large/{}/to", id(number));
        let references: Vec<_> = (1..20).map(|step| serde_json::json!({"from": from, "to": beacon(step)})).collect();
        let body = serde_json::json!(references).to_string();
        let added = raw_http::post(&server.http_address(), "/v1/batch/references", &body).expect("an answer");
        assert!(added.status == 200 && !added.body.contains("FAILED"), "{:.300}", added.body);
    }
}

fn id(number: usize) -> String {
    Uuid::from_u128(1 + number as u128).to_string()
}

/// Another client gets its answers.
pub(crate) async fn is_served(server: &mut Server, beside: &str) {
    assert!(server.is_running(), "the server ended after {beside}:\n{}", server.log());
    assert!(!server.log().contains("panicked"), "a panic after {beside}:\n{}", server.log());
    let small = server.client().collection("Small").expect("a good name");
    let hits = small.search(Query::near_vector([1.0, 0.1, 0.0]).limit(5)).await;
    assert_eq!(hits.unwrap_or_else(|error| panic!("beside {beside}: {error}")).len(), 1, "beside {beside}");
    let one = raw_http::get(&server.http_address(), &format!("/v1/objects/Small/{}", id(0))).expect("an answer");
    assert_eq!(one.status, 200, "beside {beside}: {}", one.body);
    let ready = raw_http::get(&server.http_address(), "/v1/.well-known/ready").expect("an answer");
    assert_eq!(ready.status, 200, "beside {beside}");
}

/// Checks that the resident memory of the process never exceeded `before` plus twice the budget.
fn check_memory(server: &Server, what: &str, before: u64) {
    let peak = server.memory_mib("VmHWM");
    let bound = before + 2 * (BUDGET / MIB) as u64;
    notice(&format!("replies: {what}: at most {peak} MiB resident, {before} before (bound {bound})"));
    assert!(peak > 0 && peak <= bound, "{what}: {peak} MiB were resident, more than {bound}");
}

fn graphql(server: &Server, query: &str) -> Answer {
    let body = serde_json::json!({ "query": query }).to_string();
    raw_http::post(&server.http_address(), "/v1/graphql", &body).expect("an answer")
}

/// A refusal of one request that asks for too much.
fn check_too_large(what: &str, answer: &Answer) {
    assert_eq!(answer.status, 413, "{what}: {:.300}", answer.body);
    assert!(answer.body.contains("AZIMUTH_REQUESTS_BYTES_MAX"), "{what}: {:.300}", answer.body);
}

#[test]
fn answers_beyond_the_memory_of_requests_are_refused_on_every_wire() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let _entered = runtime.enter();
    let mut server = builder().start();
    runtime.block_on(fill(&server));
    let before = server.memory_mib("VmHWM");
    check_too_large(
        "a listing",
        &raw_http::get(&server.http_address(), "/v1/objects?class=Large&limit=1000").expect("an answer"),
    );
    check_too_large(
        "a listing of all",
        &raw_http::get(&server.http_address(), "/v1/objects?limit=1000").expect("an answer"),
    );
    let sorted = "/v1/objects?class=Large&limit=1000&sort=text&order=desc";
    check_too_large("a sorted listing", &raw_http::get(&server.http_address(), sorted).expect("an answer"));
    let aliases: String = (0..40).map(|alias| format!("a{alias}: Large(limit: 4) {{ text }} ")).collect();
    let fields: String = (0..60).map(|alias| format!("f{alias}: text ")).collect();
    let near = "nearVector: {vector: [1, 0, 0]}";
    for (what, query) in [
        ("one class", "{ Get { Large(limit: 1000) { text } } }".to_owned()),
        ("aliases of classes", format!("{{ Get {{ {aliases} }} }}")),
        ("aliases of a property", format!("{{ Get {{ Large(limit: 1) {{ {fields} }} }} }}")),
        ("references", "{ Get { Large(limit: 3) { to { ... on Large { text } } } } }".to_owned()),
        (
            "groups of a list",
            format!(
                "{{ Get {{ Large({near}, limit: 2, groupBy: {{path: [\"tags\"], groups: 100, objectsPerGroup: 9}}) \
                 {{ _additional {{ group {{ id hits {{ text }} }} }} }} }} }}"
            ),
        ),
    ] {
        let answer = graphql(&server, &query);
        check_too_large(what, &answer);
        let body: serde_json::Value = serde_json::from_str(&answer.body).expect("JSON");
        assert!(body["errors"][0]["message"].is_string(), "{what}: {:.300}", answer.body);
    }
    let several = serde_json::json!(vec![serde_json::json!({"query": "{ Get { Large(limit: 9) { text } } }"}); 20]);
    let batch = raw_http::post(&server.http_address(), "/v1/graphql/batch", &several.to_string()).expect("an answer");
    check_too_large("a batch of GraphQL", &batch);
    runtime.block_on(async {
        let large = server.client().collection("Large").expect("a good name");
        let listed = large.search(Query::list().limit(1_000)).await;
        assert!(matches!(listed, Err(Error::TooLarge(_))), "gRPC: {:?}", listed.map(|hits| hits.len()));
        let listed = large.search(Query::list().limit(5)).await;
        assert_eq!(listed.expect("five fit").len(), 5);
        is_served(&mut server, "answers that are too large").await;
    });
    let deep = "{ __schema { types { fields { type { fields { type { fields { type { fields { type { fields { name type \
                { name } } } } } } } } } } } } }";
    let answer = graphql(&server, deep);
    assert!(matches!(answer.status, 200 | 413), "introspection: {} {:.300}", answer.status, answer.body);
    check_memory(&server, "answers that are too large", before);
    let few = raw_http::get(&server.http_address(), "/v1/objects?class=Large&limit=5").expect("an answer");
    assert_eq!(few.status, 200);
    assert!(few.body.len() > 5 * MIB, "{} bytes", few.body.len());
}

#[test]
fn large_answers_at_once_wait_for_each_other() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let _entered = runtime.enter();
    let mut server = builder().variable("AZIMUTH_MEMORY_WAIT_SECONDS_MAX", "60").start();
    runtime.block_on(fill(&server));
    let before = server.memory_mib("VmHWM");
    let (http, client) = (server.http_address(), server.client());
    let document = serde_json::json!({"query": "{ Get { Large(limit: 12) { text } } }"}).to_string();
    // Each takes half of the memory and more while it is made.
    let clients: Vec<thread::JoinHandle<usize>> = (0..8)
        .map(|number| {
            let (http, client, document, handle) =
                (http.clone(), client.clone(), document.clone(), runtime.handle().clone());
            thread::spawn(move || match number % 3 {
                0 => {
                    let answer = raw_http::get(&http, "/v1/objects?class=Large&limit=12").expect("an answer");
                    assert_eq!(answer.status, 200, "{:.300}", answer.body);
                    answer.body.matches("\"class\":\"Large\"").count()
                }
                1 => {
                    let answer = raw_http::post(&http, "/v1/graphql", &document).expect("an answer");
                    assert_eq!(answer.status, 200, "{:.300}", answer.body);
                    answer.body.matches("\"text\":").count()
                }
                _ => {
                    let large = client.collection("Large").expect("a good name");
                    let hits = handle.block_on(large.search(Query::list().limit(8))).expect("an answer");
                    hits.len() + 4
                }
            })
        })
        .collect();
    let mut rounds = 0;
    while rounds == 0 || clients.iter().any(|client| !client.is_finished()) {
        runtime.block_on(is_served(&mut server, "large answers"));
        rounds += 1;
    }
    for client in clients {
        assert_eq!(client.join().expect("an answer"), 12);
    }
    check_memory(&server, "8 large answers at once", before);
}

#[test]
fn a_large_answer_waits_for_a_stated_time() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let _entered = runtime.enter();
    let mut server = builder().variable("AZIMUTH_MEMORY_WAIT_SECONDS_MAX", "1").start();
    runtime.block_on(fill(&server));
    let list = "/v1/objects?class=Large&limit=12";
    let mut silent = Vec::new();
    wait_for("a refusal", || {
        // One that is answered and does not read holds the memory of its answer.
        silent.push(begin(&server, &get_of(list)));
        let answer = raw_http::get(&server.http_address(), list).expect("an answer");
        assert!(matches!(answer.status, 200 | 503), "{} {:.300}", answer.status, answer.body);
        assert_eq!(answer.header("retry-after").is_some(), answer.status == 503);
        answer.status == 503
    });
    let listed =
        runtime.block_on(server.client().collection("Large").expect("a good name").search(Query::list().limit(9)));
    assert!(!matches!(listed, Err(Error::TooLarge(_))), "{:?}", listed.map(|hits| hits.len()));
    runtime.block_on(is_served(&mut server, "answers that nobody reads"));
    drop(silent);
    wait_for("room for a large answer", || {
        raw_http::get(&server.http_address(), list).is_ok_and(|answer| answer.status == 200)
    });
}

/// A sixteenth of the default memory and a sixteenth of 10,000 objects: a float of a vector takes little more than its text.
#[test]
fn long_vectors_are_listed_by_the_thousand() {
    const WIDE: usize = 640;
    const DIM: usize = 1_536;
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let _entered = runtime.enter();
    let server = builder().start();
    let value = |object: usize, at: usize| ((object * DIM + at) as f32 * 0.37).sin();
    runtime.block_on(async {
        let client = server.client();
        let wide = CollectionConfig::new("Wide").unnamed_vector(VectorIndex::flat());
        client.create_collection(&wide).await.expect("a collection");
        let object = |number: usize| {
            let vector = (0..DIM).map(|at| value(number, at)).collect::<Vec<f32>>();
            Object::with_id(Uuid::from_u128(1 + number as u128)).vector(vector)
        };
        let objects: Vec<Object> = (0..WIDE).map(object).collect();
        let collection = client.collection("Wide").expect("a good name");
        let report = collection.insert_many(&objects, BatchOptions::default()).await.expect("a batch");
        assert!(report.failures.is_empty(), "{:?}", report.failures);
    });
    let before = server.memory_mib("VmHWM");
    let check = |what: &str, answer: Answer, vector: &dyn Fn(&serde_json::Value, usize) -> serde_json::Value| {
        assert_eq!(answer.status, 200, "{what}: {:.300}", answer.body);
        let body: serde_json::Value = serde_json::from_str(&answer.body).expect("JSON");
        for object in 0..WIDE {
            let vector: Vec<f32> = serde_json::from_value(vector(&body, object)).expect("a vector");
            assert!((0..DIM).map(|at| value(object, at)).eq(vector), "{what}: object {object}");
        }
    };
    let path = format!("/v1/objects?class=Wide&limit={WIDE}&include=vector");
    let listed = raw_http::get(&server.http_address(), &path).expect("an answer");
    check("REST", listed, &|body, object| body["objects"][object]["vector"].clone());
    let listed = graphql(&server, &format!("{{ Get {{ Wide(limit: {WIDE}) {{ _additional {{ vector }} }} }} }}"));
    check("GraphQL", listed, &|body, object| body["data"]["Get"]["Wide"][object]["_additional"]["vector"].clone());
    check_memory(&server, "lists of long vectors", before);
}

pub(crate) fn begin(server: &Server, text: &str) -> TcpStream {
    let mut stream = raw_http::connect(&server.http_address()).expect("a connection");
    // A connection that the server refuses may be gone before the request is.
    let _ = stream.write_all(text.as_bytes());
    stream
}

fn get_of(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")
}

#[test]
fn clients_that_never_read_hold_their_answers_for_some_time_only() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let _entered = runtime.enter();
    let mut server =
        builder().variable("AZIMUTH_STALL_SECONDS_MAX", "2").variable("AZIMUTH_IDLE_SECONDS_MAX", "3").start();
    runtime.block_on(fill(&server));
    let before = server.memory_mib("VmHWM");
    let list = "/v1/objects?class=Large&limit=12";
    let document = serde_json::json!({"query": "{ Get { Large(limit: 12) { text } } }"}).to_string();
    let post = format!(
        "POST /v1/graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{document}",
        document.len()
    );
    let silent: Vec<TcpStream> =
        (0..16).map(|number| begin(&server, &if number % 2 == 0 { get_of(list) } else { post.clone() })).collect();
    runtime.block_on(is_served(&mut server, "clients that never read"));
    // The memory charged to the silent clients comes back without any action of theirs, and a large answer fits again.
    wait_for("room for a large answer", || {
        let answer = raw_http::get(&server.http_address(), list).expect("an answer");
        let retry = answer.header("retry-after").is_some();
        assert!(answer.status == 200 || (answer.status == 503 && retry), "{} {:.300}", answer.status, answer.body);
        answer.status == 200
    });
    wait_for("the end of the silent connections", || server_connections(&server) <= 1);
    drop(silent);
    runtime.block_on(is_served(&mut server, "clients that never read"));
    check_memory(&server, "16 clients that never read", before);
}

/// Open connections, including the connection of this request.
fn server_connections(server: &Server) -> usize {
    let metrics = raw_http::get(&server.http_address(), "/metrics").expect("metrics").body;
    let line = metrics.lines().find_map(|line| line.strip_prefix("azimuth_connections "));
    line.and_then(|count| count.trim().parse().ok()).expect("a count of connections")
}

#[test]
fn a_slow_reader_gets_its_whole_answer() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let server = builder().variable("AZIMUTH_STALL_SECONDS_MAX", "3").start();
    runtime.block_on(fill(&server));
    let request = "GET /v1/objects?class=Large&limit=12 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let mut stream = begin(&server, request);
    let (mut bytes, mut part) = (0, vec![0; 512 << 10]);
    loop {
        thread::sleep(Duration::from_millis(400));
        match stream.read(&mut part).expect("a part of the answer") {
            0 => break,
            read => bytes += read,
        }
    }
    assert!(bytes > 12 * MIB, "{bytes} bytes came");
}

/// An HTTP/2 connection whose client gives each stream this much room, and its driver.
pub(crate) async fn http2(
    server: &Server,
    window: u32,
) -> (h2::client::SendRequest<Bytes>, tokio::task::JoinHandle<Result<(), h2::Error>>) {
    let tcp = tokio::net::TcpStream::connect(server.http_address()).await.expect("a connection");
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(window).initial_connection_window_size(1 << 20);
    // The library's own limits are for servers that misbehave.
    builder.max_concurrent_reset_streams(10_000).initial_max_send_streams(1_000);
    let (sender, connection) = builder.handshake(tcp).await.expect("HTTP/2");
    (sender, tokio::spawn(connection))
}

pub(crate) fn h2_get(server: &Server, path: &str) -> http::Request<()> {
    http::Request::get(format!("http://{}{path}", server.http_address())).body(()).expect("a request")
}

/// Reads a body to its end; its length, or the error that ends it.
pub(crate) async fn read(mut body: h2::RecvStream) -> Result<usize, h2::Error> {
    let mut bytes = 0;
    while let Some(part) = body.data().await {
        let part = part?;
        bytes += part.len();
        let _ = body.flow_control().release_capacity(part.len());
    }
    Ok(bytes)
}

#[test]
fn a_stream_that_nobody_reads_is_reset_and_no_other() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let _entered = runtime.enter();
    let mut server = builder().variable("AZIMUTH_STALL_SECONDS_MAX", "2").start();
    runtime.block_on(async {
        fill(&server).await;
        let (sender, _driver) = http2(&server, 65_535).await;
        let mut sender = sender.ready().await.expect("a connection");
        let (stuck, _) =
            sender.send_request(h2_get(&server, "/v1/objects?class=Large&limit=3"), true).expect("a request");
        let mut stuck = stuck.await.expect("the head of an answer").into_body();
        // The window of the stream is used up and never opened again.
        let end = loop {
            match stuck.data().await {
                Some(Ok(_)) => {}
                Some(Err(error)) => break Some(error),
                None => break None,
            }
        };
        let end = end.expect("the stream is reset");
        assert!(end.is_reset() && !end.is_go_away(), "{end:?}");
        drop(stuck);
        let mut sender = sender.ready().await.expect("the connection goes on");
        let (other, _) = sender.send_request(h2_get(&server, "/v1/meta"), true).expect("a request");
        assert_eq!(other.await.expect("an answer").status(), 200);
        let (large, _) =
            sender.send_request(h2_get(&server, "/v1/objects?class=Large&limit=3"), true).expect("a request");
        let bytes = read(large.await.expect("an answer").into_body()).await.expect("a body");
        assert!(bytes > 3 * MIB, "{bytes} bytes came");
        is_served(&mut server, "a stream that nobody reads").await;
    });
}

#[test]
fn small_answers_that_nobody_takes_are_given_up() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let _entered = runtime.enter();
    let mut server = builder().variable("AZIMUTH_STALL_SECONDS_MAX", "1").start();
    runtime.block_on(async {
        fill(&server).await;
        let (sender, driver) = http2(&server, 0).await;
        let mut sender = sender.ready().await.expect("a connection");
        let mut answers = Vec::new();
        for _ in 0..20 {
            let (answer, _) = sender.send_request(h2_get(&server, "/v1/meta"), true).expect("a request");
            answers.push(answer.await.expect("the head of an answer"));
            sender = sender.ready().await.expect("a connection");
        }
        for answer in answers {
            let mut body = answer.into_body();
            let end = tokio::time::timeout(Duration::from_secs(120), body.data()).await;
            let end = end.expect("an answer that nobody takes is kept");
            assert!(!matches!(end, Some(Ok(_))), "{end:?}");
        }
        driver.abort();
        is_served(&mut server, "small answers that nobody takes").await;
    });
}

#[test]
fn calls_that_are_given_up_end_alone() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let _entered = runtime.enter();
    let mut server = builder().start();
    runtime.block_on(async {
        fill(&server).await;
        let (mut sender, _driver) = http2(&server, 65_535).await;
        for round in 0..5 {
            sender = sender.ready().await.expect("a connection");
            let uri = format!("http://{}/v1/batch/objects", server.http_address());
            let request =
                http::Request::post(uri).header("content-type", "application/json").body(()).expect("a request");
            let (import, mut body) = sender.send_request(request, false).expect("a request");
            body.send_data("{\"objects\": [".into(), false).expect("a part of the body");
            for number in 0..800 {
                sender = sender.ready().await.expect("a connection");
                let path = "/v1/objects?class=Large&limit=2";
                let (answer, mut stream) = sender.send_request(h2_get(&server, path), true).expect("a request");
                if number % 7 == round {
                    tokio::task::yield_now().await;
                }
                stream.send_reset(h2::Reason::CANCEL);
                drop(answer);
            }
            let object = format!("{{\"class\": \"Small\", \"id\": \"{}\", \"vector\": [1, 0, 0]}}]}}", id(0));
            body.send_data(object.into(), true).expect("the rest of the body");
            let answer = import.await.expect("the import beside them is answered");
            assert_eq!(answer.status(), 200, "round {round}");
            read(answer.into_body()).await.expect("its body");
        }
        is_served(&mut server, "calls that were given up").await;
    });
}

#[test]
fn one_address_leaves_connections_to_others() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let _entered = runtime.enter();
    let mut server = builder().variable("AZIMUTH_CONNECTIONS_MAX", "40").start();
    runtime.block_on(fill(&server));
    // Bodies that do not end: none of these connections is idle.
    let head = "POST /v1/objects HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{";
    let slow: Vec<TcpStream> = (0..60).map(|_| begin(&server, head)).collect();
    runtime.block_on(async {
        let address = server.http_address().parse().expect("an address");
        let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
        socket.bind("127.0.0.2:0".parse().expect("an address")).expect("another address of this machine");
        let stream = socket.connect(address).await.expect("a connection");
        let (sender, connection) = h2::client::handshake(stream).await.expect("HTTP/2 from another address");
        tokio::spawn(connection);
        let mut sender = sender.ready().await.expect("a connection");
        let (answer, _) = sender.send_request(h2_get(&server, "/v1/meta"), true).expect("a request");
        assert_eq!(answer.await.expect("an answer").status(), 200);
    });
    drop(slow);
    wait_for("connections of the first address", || raw_http::get(&server.http_address(), "/v1/meta").is_ok());
    runtime.block_on(is_served(&mut server, "an address with many connections"));
}

#[test]
fn one_address_has_a_number_of_requests_at_once() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let _entered = runtime.enter();
    let server = builder().variable("AZIMUTH_PEER_REQUESTS_MAX", "4").start();
    let head = "POST /v1/objects HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{";
    let mut slow: Vec<TcpStream> = (0..4).map(|_| begin(&server, head)).collect();
    wait_for("a refusal", || {
        let answer = raw_http::get(&server.http_address(), "/v1/meta").expect("an answer");
        assert!(matches!(answer.status, 200 | 503), "{answer:?}");
        if answer.status == 200 {
            // This request may have come before the last slow one, which was refused then.
            slow.push(begin(&server, head));
        }
        answer.status == 503
            && answer.body.contains("AZIMUTH_PEER_REQUESTS_MAX")
            && answer.header("retry-after").is_some()
    });
    let ready = raw_http::get(&server.http_address(), "/v1/.well-known/ready").expect("an answer");
    assert_eq!(ready.status, 200, "probes are always answered");
    drop(slow);
    wait_for("room for requests", || {
        raw_http::get(&server.http_address(), "/v1/meta").is_ok_and(|answer| answer.status == 200)
    });
}

#[test]
fn bodies_that_stop_or_trickle_are_given_up() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let _entered = runtime.enter();
    let server = builder().variable("AZIMUTH_STALL_SECONDS_MAX", "1").start();
    let head =
        "POST /v1/objects HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n{";
    let answer = raw_http::read_answer(&mut begin(&server, head)).expect("an answer");
    assert_eq!(answer.status, 408, "a body that stops: {answer:?}");
    assert!(answer.body.contains("AZIMUTH_STALL_SECONDS_MAX"), "{answer:?}");
    let mut trickle = begin(&server, head);
    wait_for("the end of the trickle", || {
        thread::sleep(Duration::from_millis(200));
        trickle.write_all(b" ").is_err()
    });
    let (status, message) = runtime.block_on(async {
        let (sender, _driver) = http2(&server, 65_535).await;
        let mut sender = sender.ready().await.expect("a connection");
        let uri = format!("http://{}/weaviate.v1.Weaviate/Search", server.http_address());
        let request = http::Request::post(uri).header("content-type", "application/grpc").header("te", "trailers");
        let (answer, mut body) = sender.send_request(request.body(()).expect("a request"), false).expect("a request");
        body.send_data(Bytes::from_static(&[0, 0, 0, 1, 0, 1, 2, 3]), false).expect("a part of a message");
        let answer = answer.await.expect("an answer");
        let header = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        (header("grpc-status"), header("grpc-message"))
    });
    assert_eq!(status.as_deref(), Some("4"), "a message that stops: {message:?}");
}

#[test]
fn the_scheme_of_a_key_is_written_in_any_case() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let _entered = runtime.enter();
    let server = Server::builder()
        .variable("AUTHENTICATION_APIKEY_ENABLED", "true")
        .variable("AUTHENTICATION_APIKEY_ALLOWED_KEYS", "secret")
        .variable("AUTHENTICATION_APIKEY_USERS", "ann")
        .start();
    for (scheme, status) in [("Bearer", 200), ("bearer", 200), ("BEARER", 200), ("Basic", 401)] {
        let value = format!("{scheme} secret");
        let headers = [("authorization", value.as_str())];
        let answer = raw_http::request(&server.http_address(), "GET", "/v1/meta", &headers, b"").expect("an answer");
        assert_eq!(answer.status, status, "{scheme} over REST: {answer:?}");
        let message = runtime.block_on(async {
            let (sender, _driver) = http2(&server, 65_535).await;
            let mut sender = sender.ready().await.expect("a connection");
            let uri = format!("http://{}/weaviate.v1.Weaviate/Search", server.http_address());
            let request = http::Request::post(uri).header("content-type", "application/grpc").header("te", "trailers");
            let request = request.header("authorization", &value).body(()).expect("a request");
            let (answer, mut body) = sender.send_request(request, false).expect("a request");
            body.send_data(Bytes::from_static(&[0; 5]), true).expect("an empty message");
            let answer = answer.await.expect("an answer");
            answer.headers().get("grpc-message").and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
        });
        // A request without a collection is refused, after the key.
        let refused = message.contains("auth") || message.contains("anonymous");
        assert_eq!(refused, status == 401, "{scheme} over gRPC: {message}");
    }
}
