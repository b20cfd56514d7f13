//! Start, orderly end, restart; what is answered on the way.

use azimuth_client::{CollectionConfig, DataType, Object, Property, Query, VectorIndex};
use azimuth_tests::server::Server;
use azimuth_tests::{raw_http, wait_for};
use std::io::Write;
use uuid::Uuid;

const OBJECTS: u128 = 500;

fn vector(number: u128) -> Vec<f32> {
    let angle = number as f32 * 0.7;
    vec![angle.sin(), angle.cos(), (number as f32).sqrt()]
}

async fn fill(server: &Server) {
    let config = CollectionConfig::new("Thing")
        .property(Property::new("number", DataType::Int))
        .unnamed_vector(VectorIndex::hnsw());
    let client = server.client();
    client.create_collection(&config).await.expect("a new collection");
    let objects: Vec<Object> = (0..OBJECTS)
        .map(|n| Object::with_id(Uuid::from_u128(n + 1)).property("number", n as u64).vector(vector(n)))
        .collect();
    let things = client.collection("Thing").expect("a good name");
    let report = things.insert_many(&objects, Default::default()).await.expect("a batch");
    assert!(report.failures.is_empty());
}

async fn check(server: &Server) {
    let things = server.client().collection("Thing").expect("a good name");
    assert_eq!(things.count(None).await.expect("a count"), OBJECTS as u64);
    for number in (0..OBJECTS).step_by(97) {
        let hits = things.search(Query::near_vector(vector(number)).limit(1)).await.expect("a search");
        assert_eq!(hits[0].object.id, Uuid::from_u128(number + 1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orderly_end_keeps_everything_and_says_success() {
    let mut server = Server::start();
    fill(&server).await;
    for _ in 0..3 {
        assert!(server.terminate().success(), "the exit status of an orderly end:\n{}", server.log());
        server.start_again();
        check(&server).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_on_the_same_data_is_refused_and_harms_nothing() {
    let server = Server::start();
    fill(&server).await;
    let data = server.data();
    let output = tokio::task::spawn_blocking(move || {
        let mut command = std::process::Command::new(azimuth_tests::server::binary());
        command.args(["serve", "--host", "127.0.0.1", "--scheme", "http", "--port", "0"]);
        command.env("GRPC_PORT", "0").env("PERSISTENCE_DATA_PATH", data).output().expect("start the server")
    });
    let output = tokio::time::timeout(std::time::Duration::from_secs(60), output);
    let output = output.await.expect("the second process ends by itself").expect("its output");
    assert!(!output.status.success(), "the second process did not complain");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("in use by another process") && said.contains("data"), "{said}");
    check(&server).await;
}

#[test]
fn probes_answer_and_unknown_routes_do_not() {
    let server = Server::start();
    for (path, status) in
        [("/v1/.well-known/live", 200), ("/v1/.well-known/ready", 200), ("/v1/meta", 200), ("/v1/nothing", 404)]
    {
        let answer = raw_http::get(&server.http_address(), path).expect("an answer");
        assert_eq!(answer.status, status, "{path}: {}", answer.body);
    }
}

/// A request whose body is only half sent.
struct Half {
    stream: std::net::TcpStream,
    rest: Vec<u8>,
}

impl Half {
    fn send(server: &Server, number: u128) -> Self {
        let id = Uuid::from_u128(number);
        let body = format!("{{\"class\": \"Thing\", \"id\": \"{id}\", \"vector\": [1, 2, 3]}}");
        let (now, rest) = body.as_bytes().split_at(20);
        let mut stream = raw_http::connect(&server.http_address()).expect("a connection");
        let length = body.len();
        write!(
            stream,
            "POST /v1/objects HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
        )
        .expect("a head");
        stream.write_all(now).expect("half a body");
        Self { stream, rest: rest.to_vec() }
    }

    fn finish(mut self) -> raw_http::Answer {
        self.stream.write_all(&self.rest).expect("the other half");
        raw_http::read_answer(&mut self.stream).expect("an answer")
    }
}

#[test]
fn sigterm_lets_requests_end_and_takes_no_new_ones() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut server = Server::start();
    runtime.block_on(fill(&server));
    let half = Half::send(&server, 10_001);
    let stalled = Half::send(&server, 10_002);
    let mut idle = raw_http::connect(&server.http_address()).expect("a connection");
    idle.write_all(b"GET /v1/meta HTTP/1.1\r\nHost: x\r\n\r\n").expect("a request");
    assert_eq!(raw_http::read_answer(&mut idle).expect("an answer").status, 200);
    let (stream, mut sender, mut body) = runtime.block_on(half_over_http2(&server));
    server.signal("TERM");
    for port in [server.http_port(), server.grpc_port()] {
        let closed = || std::net::TcpStream::connect(("127.0.0.1", port)).is_err();
        wait_for("the end of new connections", closed);
    }
    assert!(server.is_running(), "it ended before the requests did:\n{}", server.log());
    let answer = half.finish();
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")), "{answer:?}");
    runtime.block_on(async {
        body.send_data(bytes::Bytes::from_static(b"{\"query\": \"{ Get { Thing(limit: 1) { number } } }\"}"), true)
            .expect("the body over HTTP/2");
        let answer = stream.await.expect("an answer over HTTP/2");
        assert_eq!(answer.status(), 200);
        let later = std::future::poll_fn(|cx| sender.poll_ready(cx)).await;
        assert!(later.is_err(), "a new stream was taken after GOAWAY");
    });
    // The stalled one is given up, and the idle one holds nobody up: the limits of time are the server's.
    assert!(server.wait_for_end().success(), "{}", server.log());
    drop((stalled, idle));
    server.start_again();
    runtime.block_on(async {
        let things = server.client().collection("Thing").expect("a good name");
        assert_eq!(things.count(None).await.expect("a count"), OBJECTS as u64 + 1, "what was answered is there");
    });
}

type Http2 = (h2::client::ResponseFuture, h2::client::SendRequest<bytes::Bytes>, h2::SendStream<bytes::Bytes>);

/// A request over HTTP/2 without its body.
async fn half_over_http2(server: &Server) -> Http2 {
    let tcp = tokio::net::TcpStream::connect(server.http_address()).await.expect("a connection");
    let (mut sender, connection) = h2::client::handshake(tcp).await.expect("HTTP/2");
    // Its end is the server's business.
    tokio::spawn(async move { drop(connection.await) });
    let request = http::Request::post(format!("http://{}/v1/graphql", server.http_address()))
        .header("content-type", "application/json")
        .body(())
        .expect("a request");
    std::future::poll_fn(|cx| sender.poll_ready(cx)).await.expect("room for a stream");
    let (answer, body) = sender.send_request(request, false).expect("a stream");
    // The server has the head once it has answered a ping-like second request.
    let probe = http::Request::get(format!("http://{}/v1/meta", server.http_address())).body(()).expect("a request");
    let (probed, _) = sender.send_request(probe, true).expect("a stream");
    assert_eq!(probed.await.expect("an answer").status(), 200);
    (answer, sender, body)
}

#[test]
fn sigterm_during_the_start_ends_the_process_in_order() {
    let mut server = Server::builder().variable("AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED", "true").stopped();
    for _ in 0..5 {
        server.spawn_only();
        wait_for("the port", || server.get("/v1/.well-known/live").is_ok());
        assert!(server.terminate().success(), "{}", server.log());
    }
    server.start_again();
}

#[test]
fn live_during_recovery_and_ready_when_a_query_works() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut server = Server::start();
    runtime.block_on(fill(&server));
    let mut seen_starting = false;
    for _ in 0..50 {
        server.kill();
        server.spawn_only();
        wait_for("the port", || server.get("/v1/.well-known/live").is_ok_and(|answer| answer.status == 200));
        loop {
            let ready = server.get("/v1/.well-known/ready").expect("an answer");
            if ready.status == 200 {
                break;
            }
            assert_eq!(ready.status, 503);
            assert!(ready.header("retry-after").is_some(), "{ready:?}");
            let early = raw_http::get(&server.http_address(), "/v1/objects?class=Thing").expect("an answer");
            // It may have become ready in between; it is never empty or wrong.
            assert!(early.status == 503 || early.body.contains("\"class\":\"Thing\""), "{early:?}");
            let live = server.get("/v1/.well-known/live").expect("an answer").status;
            assert_eq!(live, 200, "live while it is not ready");
            seen_starting |= early.status == 503;
        }
        runtime.block_on(check(&server));
        if seen_starting {
            return;
        }
    }
    panic!("fifty starts, and none was seen on its way");
}
