//! Logs in JSON and in text, with the ids of requests and the caller's trace; spans to a collector.

use azimuth_tests::raw_http;
use azimuth_tests::server::{Server, ServerBuilder};
use azimuth_tests::wait_for;
use serde_json::Value;
use std::io::Write;
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

fn builder() -> ServerBuilder {
    Server::builder().variable("AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED", "true")
}

fn traceparent(flags: &str) -> String {
    format!("00-{TRACE}-{PARENT}-{flags}")
}

/// Lines of the log as JSON; everything that the process writes must be.
fn lines(server: &Server) -> Vec<Value> {
    let log = server.log();
    let whole = log.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"))).collect()
}

fn answered(server: &Server, id: &str) -> Option<Value> {
    lines(server).into_iter().find(|line| line["message"] == "answered" && line["span"]["id"] == id)
}

#[test]
fn a_request_is_logged_with_its_id_and_the_trace_of_its_caller() {
    let server = builder().variable("LOG_LEVEL", "debug").variable("LOG_FORMAT", "json").start();
    let traceparent = traceparent("01");
    let headers = [("X-Request-Id", "mine-1"), ("traceparent", traceparent.as_str())];
    let answer = raw_http::request(&server.http_address(), "GET", "/v1/nothing", &headers, b"").expect("an answer");
    assert_eq!(answer.header("x-request-id"), Some("mine-1"), "the caller's id comes back");
    wait_for("the line of the request", || answered(&server, "mine-1").is_some());
    let line = answered(&server, "mine-1").expect("a line");
    let span = &line["span"];
    assert_eq!((&line["level"], &line["status"]), (&"DEBUG".into(), &"404".into()), "{line}");
    assert_eq!((&span["method"], &span["path"]), (&"GET".into(), &"/v1/nothing".into()), "{line}");
    assert_eq!((&span["trace_id"], &span["parent_id"]), (&TRACE.into(), &PARENT.into()), "{line}");
    assert!(line["timestamp"].is_string() && line["seconds"].is_number(), "{line}");
    // gRPC carries the same headers; here a call of a service that is not there.
    let headers = [
        ("Content-Type", "application/grpc-web+proto"),
        ("X-Request-Id", "mine-2"),
        ("traceparent", traceparent.as_str()),
    ];
    raw_http::request(&server.http_address(), "POST", "/no.Service/Call", &headers, b"\0\0\0\0\0").expect("an answer");
    wait_for("the line of the call", || answered(&server, "mine-2").is_some());
    let line = answered(&server, "mine-2").expect("a line");
    assert_eq!((&line["status"], &line["span"]["trace_id"]), (&"UNIMPLEMENTED".into(), &TRACE.into()), "{line}");
    // Ids that are no ids: a new one is made, and nothing of the old one is in the log.
    let long = "l".repeat(1_000);
    for bad in [long.as_str(), "evil\u{fffd}id"] {
        let headers = [("X-Request-Id", bad), ("traceparent", "00-zz-11-01")];
        let answer = raw_http::request(&server.http_address(), "GET", "/v1/meta", &headers, b"").expect("an answer");
        let id = answer.header("x-request-id").expect("an id").to_owned();
        assert!(uuid::Uuid::parse_str(&id).is_ok(), "{id}");
        wait_for("the line of the request", || answered(&server, &id).is_some());
        let line = answered(&server, &id).expect("a line");
        assert!(line["span"].get("trace_id").is_none(), "a damaged traceparent is left out: {line}");
    }
    assert!(!server.log().contains(&long));
}

#[test]
fn levels_and_formats_have_weaviates_names() {
    let text = builder().variable("LOG_LEVEL", "debug").variable("LOG_FORMAT", "text").start();
    raw_http::request(&text.http_address(), "GET", "/v1/meta", &[("X-Request-Id", "mine-3")], b"").expect("an answer");
    wait_for("the line of the request", || text.log().contains("mine-3"));
    let line = text.log().lines().find(|line| line.contains("mine-3")).expect("a line").to_owned();
    assert!(serde_json::from_str::<Value>(&line).is_err() && line.contains("answered"), "{line}");
    assert!(!text.log().contains('\u{1b}'), "colours in a file: {:?}", text.log());
    let at = |level: &str| {
        let server = builder().variable("LOG_LEVEL", level).start();
        raw_http::get(&server.http_address(), "/v1/meta").expect("an answer");
        lines(&server)
    };
    let has = |lines: &[Value], message: &str| lines.iter().any(|line| line["message"] == message);
    let info = at("info");
    assert!(has(&info, "ready") && !has(&info, "answered"), "{info:?}");
    for quiet in ["warning", "error", "fatal", "panic"] {
        assert!(at(quiet).is_empty(), "{quiet}: {:?}", at(quiet));
    }
    let unknown = at("loud");
    assert!(has(&unknown, "ready"), "an unknown level is info: {unknown:?}");
    assert!(unknown.iter().any(|line| line["level"] == "WARN" && line["level_given"] != Value::Null), "{unknown:?}");
    let quiet = builder().variable("LOG_LEVEL", "warning").variable("QUERY_DEFAULTS_LIMIT", "x").start_refused();
    assert!(quiet.contains("QUERY_DEFAULTS_LIMIT"), "the reason of an end is always said: {quiet:?}");
}

/// A collector that keeps the bodies of the messages it gets.
fn collector() -> (String, Arc<Mutex<Vec<Vec<u8>>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address").to_string();
    let bodies = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&bodies);
    // It ends with the process of the tests.
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let Ok(request) = raw_http::read_message(&mut stream) else { continue };
            assert!(request.head.starts_with("POST /v1/traces HTTP/1.1"), "{}", request.head);
            assert!(request.head.to_lowercase().contains("content-type: application/x-protobuf"), "{}", request.head);
            assert!(request.head.contains("secret-of-the-collector"), "{}", request.head);
            kept.lock().unwrap().push(request.body);
            let answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            stream.write_all(answer.as_bytes()).expect("an answer");
        }
    });
    (address, bodies)
}

#[test]
fn spans_go_to_the_collector_as_children_of_the_callers_span() {
    let (address, bodies) = collector();
    let mut server = builder()
        .variable("OTEL_EXPORTER_OTLP_ENDPOINT", &format!("http://{address}/"))
        .variable("OTEL_EXPORTER_OTLP_HEADERS", "x-token=secret-of-the-collector")
        .variable("OTEL_SERVICE_NAME", "vectors")
        .variable("OTEL_BSP_SCHEDULE_DELAY", "50")
        .start();
    let ask = |path: &str, flags: &str| {
        let traceparent = traceparent(flags);
        let headers = [("traceparent", traceparent.as_str())];
        raw_http::request(&server.http_address(), "GET", path, &headers, b"").expect("an answer");
    };
    ask("/v1/schema/unrecorded", "00");
    ask("/v1/schema/recorded", "01");
    let holds = |wanted: &[u8]| {
        bodies.lock().unwrap().iter().any(|body| body.windows(wanted.len()).any(|window| window == wanted))
    };
    wait_for("the span", || holds(b"/v1/schema/recorded"));
    assert!(holds(&0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c_u128.to_be_bytes()), "the caller's trace");
    assert!(holds(&0xb7ad_6b71_6920_3331_u64.to_be_bytes()), "the caller's span");
    assert!(holds(b"vectors") && holds(b"service.name"), "the name of the service");
    assert!(!holds(b"/v1/schema/unrecorded"), "the caller does not record that trace");
    assert!(!holds(b"/v1/.well-known/"), "probes are nobody's trace");
    assert!(!server.log().contains("secret-of-the-collector"));
    // The last spans go before the end, also when the delay is not over.
    ask("/v1/schema/last", "01");
    assert!(server.terminate().success());
    assert!(holds(b"/v1/schema/last"), "the last span was lost");
}

#[test]
fn a_collector_that_is_away_holds_nobody_up() {
    let nobody = format!("http://127.0.0.1:{}", azimuth_tests::server::free_port());
    let mut server =
        builder().variable("OTEL_EXPORTER_OTLP_ENDPOINT", &nobody).variable("OTEL_BSP_SCHEDULE_DELAY", "10").start();
    for _ in 0..50 {
        assert_eq!(raw_http::get(&server.http_address(), "/v1/meta").expect("an answer").status, 200);
    }
    wait_for("lost spans are counted", || {
        let metrics = raw_http::get(&server.http_address(), "/metrics").expect("an answer").body;
        let lost = metrics.lines().find_map(|line| line.strip_prefix("azimuth_spans_lost_total "));
        lost.is_some_and(|lost| lost.parse::<u64>().is_ok_and(|lost| lost >= 50))
    });
    assert_eq!(server.log().matches("export spans").count(), 1, "said once: {}", server.log());
    assert!(server.terminate().success());
    for (name, value) in [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_TRACES_SAMPLER", "sometimes"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "no pair"),
    ] {
        let log = builder().variable("OTEL_EXPORTER_OTLP_ENDPOINT", &nobody).variable(name, value).start_refused();
        assert!(log.contains(name), "{name}: {log}");
    }
}
