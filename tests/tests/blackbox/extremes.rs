//! Documents that multiply themselves, settings at the edge of the legal range, invalid frames, and attempts to get in
//! without a valid key.
//!
//! Each is refused or answered; the server goes on, within bounds.

use azimuth_tests::raw_http::{self, Answer};
use azimuth_tests::server::Server;
use bytes::Bytes;
use serde_json::{Value, json};
use std::fmt::Write as _;

/// Name, headers and body of a call.
type Call<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a [u8]);

fn server() -> Server {
    let server = Server::start();
    let body = json!({ "class": "Thing", "properties": [{ "name": "self", "dataType": ["Thing"] }] });
    assert_eq!(post(&server, "/v1/schema", &body).status, 200);
    let object = json!({ "class": "Thing", "id": "00000000-0000-4000-8000-000000000001", "vector": [1, 0, 0] });
    assert_eq!(post(&server, "/v1/objects", &object).status, 200);
    server
}

fn post(server: &Server, path: &str, body: &Value) -> Answer {
    raw_http::post(&server.http_address(), path, &body.to_string()).expect("an answer")
}

fn check_service(server: &mut Server, after: &str) {
    assert!(server.is_running(), "the server ended after {after}:\n{}", server.log());
    assert!(!server.log().contains("panicked"), "a panic after {after}:\n{}", server.log());
    let answer = raw_http::get(&server.http_address(), "/v1/objects/Thing/00000000-0000-4000-8000-000000000001");
    assert_eq!(answer.expect("an answer").status, 200, "after {after}");
}

#[test]
fn documents_that_multiply_themselves_are_bounded() {
    let mut server = server();
    let mut documents: Vec<(&str, String)> = Vec::new();
    // Each fragment spreads the next one twice: 2^40 fields.
    let mut doubling = "{ Get { Thing { ...F0 } } }".to_owned();
    for n in 0..40 {
        write!(doubling, " fragment F{n} on Thing {{ ...F{0} ...F{0} }}", n + 1).expect("a string grows");
    }
    doubling.push_str(" fragment F40 on Thing { _additional { id } }");
    documents.push(("fragments that double", doubling));
    let mut nested = "{ Get { Thing { ...G0 } } }".to_owned();
    for n in 0..30 {
        let next = n + 1;
        write!(
            nested,
            " fragment G{n} on Thing {{ self {{ ... on Thing {{ ...G{next} }} }} a{n}: self {{ ... on Thing {{ ...G{next} }} }} }}"
        )
        .expect("a string grows");
    }
    nested.push_str(" fragment G30 on Thing { _additional { id } }");
    documents.push(("references that double", nested));
    documents.push(("a fragment in itself", "{ Get { Thing { ...F } } } fragment F on Thing { self { ...F } }".into()));
    let aliases: String = (0..20_000).map(|n| format!("a{n}: __typename ")).collect();
    documents.push(("20,000 aliases", format!("{{ {aliases} }}")));
    documents.push((
        "50,000 times one field",
        format!("{{ Get {{ Thing {{ {} }} }} }}", "_additional { id } ".repeat(50_000)),
    ));
    documents.push(("20,000 directives", format!("{{ __typename {} }}", "@include(if: true) ".repeat(20_000))));
    let variables: String = (0..20_000).map(|n| format!("$v{n}: Int ")).collect();
    documents.push(("20,000 variables", format!("query Q({variables}) {{ __typename }}")));
    let types = "ofType { ".repeat(500) + "name" + &" }".repeat(500);
    documents.push(("deep introspection", format!("{{ __schema {{ types {{ fields {{ type {{ {types} }} }} }} }} }}")));
    let wide = "fields { name type { fields { name type { fields { name type { fields { name } } } } } } }";
    documents.push(("wide introspection", format!("{{ __schema {{ types {{ {wide} {wide} }} }} }}")));
    let operands = "{path: [\"id\"], operator: Equal, valueText: \"x\"} ".repeat(20_000);
    let filter = format!("where: {{operator: Or, operands: [{operands}]}}");
    documents.push(("20,000 operands", format!("{{ Get {{ Thing({filter}) {{ _additional {{ id }} }} }} }}")));
    for (what, document) in documents {
        let answer = post(&server, "/v1/graphql", &json!({ "query": document }));
        assert!(answer.status < 500, "{what}: {} {}", answer.status, answer.body);
        check_service(&mut server, what);
    }
    let peak = server.memory_mib("VmHWM");
    assert!(peak < 1_500, "{peak} MiB were resident");
}

#[test]
fn extreme_settings_of_indexes_are_refused_or_work() {
    let mut server = server();
    let numbers =
        [json!(0), json!(1), json!(-1), json!(65_536), json!(i32::MAX), json!(i64::MAX), json!(1e308), json!("8")];
    let mut configs = Vec::new();
    for name in ["ef", "efConstruction", "maxConnections", "dynamicEfMin", "flatSearchCutoff", "vectorCacheMaxObjects"]
    {
        configs.extend(numbers.iter().map(|number| ("hnsw", json!({ name: number }))));
    }
    for number in &numbers {
        configs.push((
            "hnsw",
            json!({ "pq": { "enabled": true, "segments": number, "centroids": number, "trainingLimit": number } }),
        ));
        configs.push(("hnsw", json!({ "rq": { "enabled": true, "bits": number, "rescoreLimit": number } })));
        configs.push(("hnsw", json!({ "sq": { "enabled": true, "trainingLimit": number, "rescoreLimit": number } })));
        configs.push(("hnsw", json!({ "bq": { "enabled": true, "rescoreLimit": number } })));
        configs.push((
            "flat",
            json!({ "bq": { "enabled": true, "rescoreLimit": number }, "vectorCacheMaxObjects": number }),
        ));
        configs.push(("dynamic", json!({ "threshold": number })));
        configs.push(("hfresh", json!({ "maxPostingSizeKB": number, "searchProbe": number, "replicas": number })));
    }
    let mut kept = Vec::new();
    for (number, (kind, config)) in configs.into_iter().enumerate() {
        let class = format!("Edge{number}");
        let what = format!("{kind} {config}");
        let body = json!({ "class": class, "vectorIndexType": kind, "vectorIndexConfig": config });
        let answer = post(&server, "/v1/schema", &body);
        assert!(answer.status < 500, "{what}: {} {}", answer.status, answer.body);
        if answer.status != 200 {
            continue;
        }
        let objects: Vec<Value> =
            (0..12).map(|n| json!({ "class": class, "vector": [n, 1, 2, 3], "properties": { "n": n } })).collect();
        let answer = post(&server, "/v1/batch/objects", &json!({ "objects": objects }));
        assert!(answer.status == 200 && !answer.body.contains("FAILED"), "{what}: {}", answer.body);
        check_search(&server, &class, &what);
        kept.push((class, what));
    }
    check_service(&mut server, "extreme settings");
    assert!(kept.len() > 10, "only {} settings were taken", kept.len());
    assert!(server.memory_mib("VmHWM") < 1_500, "{} MiB were resident", server.memory_mib("VmHWM"));
    server.kill();
    server.start_again();
    for (class, what) in &kept {
        check_search(&server, class, what);
        let answer = raw_http::request(&server.http_address(), "DELETE", &format!("/v1/schema/{class}"), &[], b"");
        assert_eq!(answer.expect("an answer").status, 200, "{what}");
    }
    check_service(&mut server, "a restart with extreme settings");
}

fn check_search(server: &Server, class: &str, what: &str) {
    let query = format!(
        "{{ Get {{ {class}(nearVector: {{vector: [3, 1, 2, 3]}}, limit: 12) {{ n _additional {{ distance }} }} }} }}"
    );
    let answer = post(server, "/v1/graphql", &json!({ "query": query }));
    let body: Value = serde_json::from_str(&answer.body).expect("JSON");
    let hits = body["data"]["Get"][class].as_array().map_or(0, Vec::len);
    assert_eq!(hits, 12, "{what}: {}", answer.body);
    assert_eq!(body["data"]["Get"][class][0]["n"].as_f64(), Some(3.0), "{what}: {}", answer.body);
}

/// A path of gRPC with bytes that are no message, over a connection by hand.
async fn grpc_bytes(server: &Server, path: &str, headers: &[(&str, &str)], bytes: &[u8]) -> Result<String, h2::Error> {
    let address = format!("127.0.0.1:{}", server.grpc_port());
    let stream = tokio::net::TcpStream::connect(&address).await.expect("a connection");
    let (sender, connection) = h2::client::handshake(stream).await?;
    let driver = tokio::spawn(connection);
    let mut request = http::Request::post(format!("http://{address}{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut sender = sender.ready().await?;
    let (answer, mut body) = sender.send_request(request.body(()).expect("a request"), false)?;
    body.send_data(Bytes::copy_from_slice(bytes), true)?;
    let answer = answer.await?;
    let mut shown = format!("{} {:?}", answer.status(), answer.headers().get("grpc-status"));
    let mut body = answer.into_body();
    while let Some(part) = body.data().await {
        let part = part?;
        body.flow_control().release_capacity(part.len())?;
    }
    let trailers = body.trailers().await?;
    write!(shown, " {:?}", trailers.and_then(|trailers| trailers.get("grpc-status").cloned())).expect("a string grows");
    driver.abort();
    Ok(shown)
}

#[test]
fn frames_that_are_none_end_one_call() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut server = server();
    let grpc = [("content-type", "application/grpc"), ("te", "trailers")];
    let packed = [("content-type", "application/grpc"), ("grpc-encoding", "gzip")];
    let unknown = [("content-type", "application/grpc"), ("grpc-encoding", "zstd")];
    let deadline = [("content-type", "application/grpc"), ("grpc-timeout", "99999999999999999999H")];
    let calls: [Call<'_>; 9] = [
        ("nothing", &grpc, b""),
        ("half a head", &grpc, &[0, 0, 0]),
        ("a length beyond the body", &grpc, &[0, 0, 0, 0, 99, 1, 2]),
        ("four gigabytes announced", &grpc, &[0, 255, 255, 255, 255, 1]),
        ("a message that is no message", &grpc, &[0, 0, 0, 0, 3, 255, 255, 255]),
        ("packed bytes that are not", &packed, &[1, 0, 0, 0, 4, 1, 2, 3, 4]),
        ("an unknown encoding", &unknown, &[1, 0, 0, 0, 1, 1]),
        ("an endless deadline", &deadline, &[0, 0, 0, 0, 0]),
        ("two messages", &grpc, &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
    ];
    for method in ["Search", "BatchObjects", "BatchDelete", "Aggregate", "TenantsGet", "BatchStream", "Nothing"] {
        for (what, headers, bytes) in &calls {
            let path = format!("/weaviate.v1.Weaviate/{method}");
            let answer = runtime.block_on(grpc_bytes(&server, &path, headers, bytes));
            // The answer is an error status, or the stream is reset: never a status of success for damaged bytes.
            assert!(
                answer.is_err() || !bytes.contains(&255) || !format!("{answer:?}").contains("\"0\""),
                "{method}, {what}: {answer:?}"
            );
            check_service(&mut server, &format!("{method} with {what}"));
        }
    }
}

#[test]
fn no_way_leads_around_the_key() {
    let server = Server::builder()
        .variable("AUTHENTICATION_APIKEY_ENABLED", "true")
        .variable("AUTHENTICATION_APIKEY_ALLOWED_KEYS", "the-key")
        .variable("AUTHENTICATION_APIKEY_USERS", "user")
        .start();
    let address = server.http_address();
    let paths = [
        "/v1/schema",
        "//v1/schema",
        "/v1//schema",
        "/v1/schema/",
        "/v1/./schema",
        "/v1/../v1/schema",
        "/v1/%73chema",
        "/V1/schema",
        "/v1/schema?access_token=",
        "/v1/schema?access_token=wrong",
        "/v1/schema#x",
        "/v1/schema;x=1",
        "/v1/.well-known/../schema",
        "/v1/.well-known/ready/../../schema",
        "/v1/meta/..;/schema",
        "http://x/v1/schema",
        "/v1/nodes",
        "/v1/objects",
        "/v1/objects?class=A",
        "/v1/cluster/statistics",
        "/v1/meta",
    ];
    let headers = [
        "",
        "Authorization: \r\n",
        "Authorization: Bearer\r\n",
        "Authorization: Bearer \r\n",
        "Authorization: Basic dGhlLWtleQ==\r\n",
        "Authorization: Bearer the-keys\r\n",
        "Authorization: Bearer the-ke\r\n",
        "Authorization: Bearer THE-KEY\r\n",
        "X-Original-URL: /v1/.well-known/ready\r\nX-HTTP-Method-Override: OPTIONS\r\n",
        "X-Forwarded-User: user\r\n",
        "Authorization: Bearer wrong\r\nAuthorization: Bearer the-key\r\n",
    ];
    for path in paths {
        for header in headers {
            for method in ["GET", "HEAD", "DELETE"] {
                let request = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{header}\r\n");
                let Ok(answer) = raw_http::send(&address, request.as_bytes()) else { continue };
                let refused = (300..500).contains(&answer.status);
                assert!(refused, "{method} {path} with {header:?}: {} {}", answer.status, answer.body);
            }
        }
    }
    let key = [("Authorization", "Bearer the-key")];
    assert_eq!(raw_http::request(&address, "GET", "/v1/schema", &key, b"").expect("an answer").status, 200);
}
