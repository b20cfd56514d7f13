//! Clients that send too much, too slowly, or take everything back: memory and connections stay bounded, others are served.
//!
//! Memory is the most that the process ever had (`VmHWM`), against the bound that its settings promise.

use azimuth_client::{BatchOptions, CollectionConfig, DataType, Object, Property, Query, VectorIndex};
use azimuth_tests::raw_http::{self, Answer};
use azimuth_tests::server::{Server, ServerBuilder};
use azimuth_tests::{notice, wait_for};
use bytes::Bytes;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::thread;
use uuid::Uuid;

const MIB: usize = 1 << 20;

fn builder() -> ServerBuilder {
    Server::builder().variable("AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED", "true")
}

/// A collection with one object, and a look at what is there.
async fn fill(server: &Server) {
    let config = CollectionConfig::new("Thing")
        .property(Property::new("text", DataType::Text))
        .unnamed_vector(VectorIndex::hnsw());
    server.client().create_collection(&config).await.expect("a collection");
    let object = Object::with_id(Uuid::from_u128(1)).property("text", "here").vector([1.0, 0.0, 0.0]);
    server.client().collection("Thing").expect("a good name").insert(&object).await.expect("an object");
}

async fn is_served(server: &mut Server, after: &str) {
    assert!(server.is_running(), "the server ended after {after}:\n{}", server.log());
    assert!(!server.log().contains("panicked"), "a panic after {after}:\n{}", server.log());
    let things = server.client().collection("Thing").expect("a good name");
    let hits = things.search(Query::near_vector([1.0, 0.1, 0.0]).limit(5)).await;
    assert!(!hits.unwrap_or_else(|error| panic!("after {after}: {error}")).is_empty(), "after {after}");
}

/// Reports what the process had at most, and holds it to a bound.
fn check_memory(server: &Server, what: &str, mib_max: u64) {
    let peak = server.memory_mib("VmHWM");
    notice(&format!("flood: {what}: at most {peak} MiB resident (bound {mib_max})"));
    assert!(peak > 0 && peak <= mib_max, "{what}: {peak} MiB were resident, more than {mib_max}");
}

/// Sends the same request from many threads at once; the answers that came.
fn post_from_many(server: &Server, clients: usize, path: &str, body: &Arc<Vec<u8>>) -> Vec<Answer> {
    let headers = [("Content-Type", "application/json")];
    thread::scope(|scope| {
        let clients: Vec<_> = (0..clients)
            .map(|_| scope.spawn(|| raw_http::request(&server.http_address(), "POST", path, &headers, body)))
            .collect();
        // A connection may be closed while its body is still on the way: that is a refusal as well.
        clients.into_iter().filter_map(|client| client.join().expect("a client ends").ok()).collect()
    })
}

#[test]
fn many_large_bodies_share_the_memory_of_requests() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let _entered = runtime.enter();
    let mut server = builder().variable("AZIMUTH_REQUESTS_BYTES_MAX", &(192 * MIB).to_string()).start();
    runtime.block_on(fill(&server));
    // Two bytes of JSON become some sixty of memory.
    let numbers = Arc::new(format!("{{\"objects\": [{}1]}}", "1,".repeat(MIB / 2)).into_bytes());
    let too_many = Arc::new(format!("{{\"objects\": [{}1]}}", "1,".repeat(4 * MIB)).into_bytes());
    let answers = post_from_many(&server, 12, "/v1/batch/objects", &numbers);
    assert!(answers.iter().all(|answer| (400..=503).contains(&answer.status)), "{:?}", answers.first());
    let alone = post_from_many(&server, 1, "/v1/batch/objects", &too_many);
    for answer in &alone {
        assert_eq!(answer.status, 413, "{answer:?}");
        assert!(answer.body.contains("AZIMUTH_REQUESTS_BYTES_MAX"), "{answer:?}");
    }
    for answer in post_from_many(&server, 4, "/v1/batch/objects", &too_many) {
        assert!(matches!(answer.status, 413 | 503), "{answer:?}");
    }
    runtime.block_on(is_served(&mut server, "large bodies"));
    check_memory(&server, "17 bodies of small numbers, 192 MiB for requests", 700);
    // What was refused for lack of room is not kept: the room is there again.
    let again = post_from_many(&server, 1, "/v1/batch/objects", &numbers);
    assert!(again.iter().all(|answer| answer.status != 503), "{again:?}");
}

#[test]
fn bodies_of_callers_without_a_key_are_not_read() {
    let server = Server::builder()
        .variable("AUTHENTICATION_APIKEY_ENABLED", "true")
        .variable("AUTHENTICATION_APIKEY_ALLOWED_KEYS", "secret")
        .variable("AUTHENTICATION_APIKEY_USERS", "ann")
        .start();
    let before = server.memory_mib("VmHWM");
    let body = Arc::new(vec![b' '; 100 * MIB]);
    for answer in post_from_many(&server, 8, "/v1/batch/objects", &body) {
        assert_eq!(answer.status, 401, "{answer:?}");
    }
    let small = raw_http::post(&server.http_address(), "/v1/objects", "{}").expect("an answer");
    assert_eq!(small.status, 401);
    check_memory(&server, "800 MiB without a key", before + 100);
}

/// A connection over HTTP/2, and its driver.
async fn http2(server: &Server) -> (h2::client::SendRequest<Bytes>, tokio::task::JoinHandle<Result<(), h2::Error>>) {
    let tcp = tokio::net::TcpStream::connect(server.http_address()).await.expect("a connection");
    let (sender, connection) = h2::client::handshake(tcp).await.expect("HTTP/2");
    (sender, tokio::spawn(connection))
}

/// One gRPC call of bytes as they are; its status, from the head or the trailers.
async fn call(server: &Server, path: &str, encoding: &str, message: Vec<u8>) -> Result<String, h2::Error> {
    let (sender, driver) = http2(server).await;
    let request = http::Request::post(format!("http://{}{path}", server.http_address()))
        .header("content-type", "application/grpc")
        .header("grpc-encoding", encoding)
        .header("te", "trailers")
        .body(())
        .expect("a request");
    let (answer, mut body) = sender.ready().await?.send_request(request, false)?;
    let length = u32::try_from(message.len()).expect("a message of less than 4 GiB").to_be_bytes();
    let mut rest = Bytes::from([&[u8::from(encoding != "identity")][..], &length, &message].concat());
    while !rest.is_empty() {
        body.reserve_capacity(rest.len().min(MIB));
        // Without room the server has given its answer already.
        let Some(Ok(room)) = std::future::poll_fn(|cx| body.poll_capacity(cx)).await else { break };
        body.send_data(rest.split_to(room.min(rest.len())), false)?;
    }
    // It fails when the stream is over, which the answer shows.
    let _ = body.send_data(Bytes::new(), true);
    let (head, mut body) = answer.await?.into_parts();
    let mut status = head.headers.get("grpc-status").cloned();
    while let Some(Ok(part)) = body.data().await {
        // The window may be closed with the stream.
        let _ = body.flow_control().release_capacity(part.len());
    }
    if let Ok(Some(trailers)) = body.trailers().await {
        status = status.or_else(|| trailers.get("grpc-status").cloned());
    }
    driver.abort();
    let status = status.or_else(|| head.headers.get("grpc-message").cloned());
    Ok(status.map_or_else(|| "?".to_owned(), |status| String::from_utf8_lossy(status.as_bytes()).into_owned()))
}

const BATCH: &str = "/weaviate.v1.Weaviate/BatchObjects";
const SEARCH: &str = "/weaviate.v1.Weaviate/Search";

#[test]
fn compressed_messages_unfold_within_the_memory_of_requests() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let _entered = runtime.enter();
    let mut server = builder().variable("AZIMUTH_REQUESTS_BYTES_MAX", &(512 * MIB).to_string()).start();
    runtime.block_on(fill(&server));
    // An unknown field of a hundred million zeros in a hundred kilobytes.
    let zeros = 96 * MIB;
    let mut message = vec![0xfa, 0x7f];
    let mut length = zeros;
    while length >= 0x80 {
        message.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    message.push(length as u8);
    message.resize(message.len() + zeros, 0);
    let bomb = gzip(&message);
    assert!(bomb.len() < MIB, "{} bytes", bomb.len());
    drop(message);
    let statuses = runtime.block_on(async {
        let mut calls = tokio::task::JoinSet::new();
        let server = Arc::new(server);
        for _ in 0..24 {
            let (server, bomb) = (Arc::clone(&server), bomb.clone());
            calls.spawn(async move { call(&server, SEARCH, "gzip", bomb).await });
        }
        let statuses = calls.join_all().await;
        (Arc::into_inner(server).expect("all calls are over"), statuses)
    });
    server = statuses.0;
    for status in statuses.1 {
        let status = status.expect("an answer");
        assert!(status != "0" && status != "?", "a message without a collection was answered with {status}");
    }
    runtime.block_on(is_served(&mut server, "compressed messages"));
    check_memory(&server, "24 messages of 96 MiB in 100 KB, 512 MiB for requests", 900);
    let unknown = runtime.block_on(call(&server, SEARCH, "zstd", vec![0x28, 0xb5, 0x2f, 0xfd, 0, 0]));
    assert_eq!(unknown.expect("an answer"), "12", "zstd is not spoken, and said so");
    let headers = [("Content-Type", "application/json"), ("Content-Encoding", "zstd")];
    let rest = raw_http::request(&server.http_address(), "POST", "/v1/objects", &headers, b"\x28\xb5\x2f\xfd\0\0");
    assert!((400..500).contains(&rest.expect("an answer").status));
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).expect("memory takes it");
    encoder.finish().expect("memory takes it")
}

#[test]
fn messages_of_many_empty_parts_are_refused() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let _entered = runtime.enter();
    let mut server = builder().start();
    runtime.block_on(fill(&server));
    // Two bytes of the wire are an object of some hundred bytes in memory.
    let objects = [0x0a, 0x00].repeat(45 * MIB);
    let status = runtime.block_on(call(&server, BATCH, "identity", objects.clone())).expect("an answer");
    assert_ne!(status, "0", "45 million empty objects were taken");
    let packed = gzip(&objects);
    drop(objects);
    let status = runtime.block_on(call(&server, BATCH, "gzip", packed)).expect("an answer");
    assert_ne!(status, "0", "45 million empty objects were taken");
    // The same one level deeper: one object with millions of empty lists.
    let lists = [0x22, 0x00].repeat(20 * MIB);
    let length = lists.len();
    let head =
        [length & 0x7f | 0x80, length >> 7 & 0x7f | 0x80, length >> 14 & 0x7f | 0x80, length >> 21].map(|b| b as u8);
    let properties = [&[0x1a][..], &head, &lists].concat();
    let length = properties.len();
    let head =
        [length & 0x7f | 0x80, length >> 7 & 0x7f | 0x80, length >> 14 & 0x7f | 0x80, length >> 21].map(|b| b as u8);
    let deep = [&[0x0a][..], &head, &properties].concat();
    // It may be taken apart and found wrong, or refused; it is bounded.
    let _ = runtime.block_on(call(&server, BATCH, "identity", deep));
    runtime.block_on(is_served(&mut server, "empty parts"));
    check_memory(&server, "messages of empty parts", 1_500);
}

#[test]
fn streams_that_are_reset_at_once_cost_little() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let _entered = runtime.enter();
    let mut server = builder().start();
    runtime.block_on(async {
        fill(&server).await;
        let objects: Vec<Object> = (2..2_000)
            .map(|n| Object::with_id(Uuid::from_u128(n)).property("text", "t".repeat(500)).vector([n as f32, 1.0, 2.0]))
            .collect();
        let things = server.client().collection("Thing").expect("a good name");
        things.insert_many(&objects, BatchOptions::default()).await.expect("a batch");
    });
    let (mut sent, mut connections) = (0, 0);
    runtime.block_on(async {
        while sent < 40_000 {
            connections += 1;
            assert!(connections < 5_000, "only {sent} requests in {connections} connections");
            let (mut sender, driver) = http2(&server).await;
            while sent < 40_000 {
                let path = format!("http://{}/v1/objects?class=Thing&limit=2000", server.http_address());
                sender = match sender.ready().await {
                    Ok(sender) => sender,
                    Err(_) => break,
                };
                let request = http::Request::get(path).body(()).expect("a request");
                let Ok((answer, mut body)) = sender.send_request(request, true) else { break };
                // Some are let in before they are taken back.
                if sent % 16 == 0 {
                    tokio::task::yield_now().await;
                }
                body.send_reset(h2::Reason::CANCEL);
                drop(answer);
                sent += 1;
            }
            driver.abort();
        }
        is_served(&mut server, "resets").await;
    });
    check_memory(&server, &format!("{sent} requests taken back in {connections} connections"), 600);
}

#[test]
fn silent_and_slow_clients_lose_their_connections() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let _entered = runtime.enter();
    let mut server =
        builder().variable("AZIMUTH_IDLE_SECONDS_MAX", "2").variable("AZIMUTH_CONNECTIONS_MAX", "30").start();
    runtime.block_on(fill(&server));
    let open = |text: &[u8]| {
        let mut stream = raw_http::connect(&server.http_address()).expect("a connection");
        stream.write_all(text).expect("it is sent");
        stream
    };
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let settings = [&preface[..], &[0, 0, 0, 4, 0, 0, 0, 0, 0]].concat();
    // HEADERS without the end of the head: what follows never comes.
    let half_head = [&settings[..], &[0, 0, 1, 1, 0, 0, 0, 0, 1, 0x82]].concat();
    let kinds: [&[u8]; 6] =
        [b"", b"G", &preface[..10], &settings, &half_head, b"GET /v1/meta HTTP/1.1\r\nHost: x\r\nX-Slow: "];
    // More than the server has room for: those who wait in the system's queue get in as others are thrown out.
    let silent: Vec<TcpStream> = (0..60).map(|number| open(kinds[number % kinds.len()])).collect();
    let answered = raw_http::get(&server.http_address(), "/v1/meta").expect("an answer after the silent ones");
    assert_eq!(answered.status, 200);
    for (number, mut stream) in silent.into_iter().enumerate() {
        let mut rest = Vec::new();
        // A reset ends it as well; only a time-out does not.
        let outcome = stream.read_to_end(&mut rest);
        let over = !matches!(&outcome, Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut));
        assert!(over, "a silent client of kind {} keeps its connection", number % kinds.len());
        assert!(!rest.starts_with(b"HTTP/1.1 200"), "half a request was answered");
    }
    // A connection that is used stays usable within its time, and a head that trickles does not get more of it.
    let mut slow = open(b"GET /v1/meta HTTP/1.1\r\nHost: x\r\n");
    wait_for("the end of the trickle", || {
        thread::sleep(std::time::Duration::from_millis(200));
        slow.write_all(b"X-A: b\r\n").is_err()
    });
    runtime.block_on(is_served(&mut server, "silent clients"));
}

#[test]
fn objects_with_a_hundred_thousand_keys_are_answered() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let _entered = runtime.enter();
    let mut server = builder().start();
    runtime.block_on(fill(&server));
    let mut keys = String::new();
    for key in 0..100_000 {
        write!(keys, "{}\"key{key}\": {key}", if key > 0 { "," } else { "" }).expect("a string grows");
    }
    for body in [
        format!("{{\"class\": \"Thing\", {keys}}}"),
        format!("{{\"class\": \"Wide\", \"properties\": {{{keys}}}}}"),
        format!("{{\"class\": \"Thing\", \"vector\": [1, 0, 0], \"properties\": {{\"nested\": {{{keys}}}}}}}"),
        format!("{{\"class\": \"Thing\", \"vectors\": {{{keys}}}}}"),
    ] {
        let answer = raw_http::post(&server.http_address(), "/v1/objects", &body).expect("an answer");
        assert!(answer.status == 200 || (400..500).contains(&answer.status), "{}", answer.status);
        notice(&format!("flood: 100,000 keys: {} {:.120}", answer.status, answer.body));
    }
    runtime.block_on(is_served(&mut server, "many keys"));
    check_memory(&server, "objects of 100,000 keys", 1_000);
}

#[test]
fn huge_batches_are_answered_object_by_object() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let _entered = runtime.enter();
    let mut server = builder().start();
    runtime.block_on(fill(&server));
    let object = "{\"class\": \"Thing\", \"vector\": [1, 2, 3]}";
    let body = format!("{{\"objects\": [{}]}}", vec![object; 100_000].join(","));
    let answer = raw_http::post(&server.http_address(), "/v1/batch/objects", &body).expect("an answer");
    assert_eq!(answer.status, 200, "{:.300}", answer.body);
    let answers: Vec<serde_json::Value> = serde_json::from_str(&answer.body).expect("a list");
    let good = answers.iter().filter(|answer| answer["result"]["status"] == "SUCCESS").count();
    assert_eq!((answers.len(), good), (100_000, 100_000));
    let objects: Vec<Object> = (10..100_010)
        .map(|n| {
            Object::with_id(Uuid::from_u128(n)).vector(if n % 1_000 == 0 {
                vec![f32::NAN; 3]
            } else {
                vec![1.0, 2.0, n as f32]
            })
        })
        .collect();
    runtime.block_on(async {
        let things = server.client().collection("Thing").expect("a good name");
        let options = BatchOptions { objects_max: 100_000, in_flight_max: 1, ..BatchOptions::default() };
        let report = things.insert_many(&objects, options).await.expect("one huge batch");
        assert_eq!(report.failures.len(), 100, "the objects with NaN, and no other: {:?}", report.failures.first());
        assert_eq!(things.count(None).await.expect("a count"), 1 + 100_000 + 99_900);
        is_served(&mut server, "huge batches").await;
    });
    check_memory(&server, "two batches of 100,000 objects", 1_500);
}
