//! Who may call: keys of the environment and of a file, users, anonymous callers, the admin list; and the addresses that
//! the process is told.

use azimuth_client::{CollectionConfig, VectorIndex};
use azimuth_tests::raw_http::{self, Answer};
use azimuth_tests::server::{Server, ServerBuilder, free_port};
use azimuth_tests::wait_for;
use std::fs;

fn keys() -> ServerBuilder {
    Server::builder()
        .variable("AUTHENTICATION_APIKEY_ENABLED", "true")
        .variable("AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED", "false")
}

fn call(server: &Server, key: Option<&str>, method: &str, path: &str, body: &str) -> Answer {
    let bearer = key.map(|key| format!("Bearer {key}"));
    let mut headers = vec![("Content-Type", "application/json")];
    headers.extend(bearer.as_deref().map(|bearer| ("Authorization", bearer)));
    raw_http::request(&server.http_address(), method, path, &headers, body.as_bytes()).expect("an answer")
}

fn meta(server: &Server, key: Option<&str>) -> u16 {
    call(server, key, "GET", "/v1/meta", "").status
}

/// Whether gRPC takes the key.
fn grpc_takes(server: &Server, key: Option<&str>) -> bool {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let builder = server.client_builder();
        let client = if let Some(key) = key { builder.api_key(key) } else { builder }.build().expect("a client");
        let things = client.collection("Thing").expect("a good name");
        things.search(azimuth_client::Query::list().limit(1)).await.is_ok()
    })
}

fn create(server: &Server, key: &str) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let client = server.client_builder().api_key(key).build().expect("a client");
        let config = CollectionConfig::new("Thing").unnamed_vector(VectorIndex::hnsw());
        client.create_collection(&config).await.expect("a collection");
    });
}

#[test]
fn each_key_has_its_user_and_nobody_else_comes_in() {
    let server = keys()
        .variable("AUTHENTICATION_APIKEY_ALLOWED_KEYS", "key-a, key-b,key-c")
        .variable("AUTHENTICATION_APIKEY_USERS", "ann,bob, cy")
        .start();
    create(&server, "key-a");
    for (key, user) in [("key-a", "ann"), ("key-b", "bob"), ("key-c", "cy")] {
        let answer = call(&server, Some(key), "GET", "/v1/users/own-info", "");
        assert!(answer.body.contains(&format!("\"{user}\"")), "{key}: {answer:?}");
        assert!(grpc_takes(&server, Some(key)), "{key}");
    }
    for key in [None, Some("key-d"), Some("key-"), Some("key-a,"), Some("KEY-A"), Some(" ")] {
        assert_eq!(meta(&server, key), 401, "{key:?}");
        assert!(key == Some(" ") || !grpc_takes(&server, key), "{key:?} over gRPC");
    }
    let anonymous = call(&server, None, "GET", "/v1/meta", "");
    assert!(anonymous.body.contains("anonymous access not enabled"), "{anonymous:?}");
    for open in ["/v1/.well-known/live", "/v1/.well-known/ready"] {
        assert_eq!(call(&server, None, "GET", open, "").status, 200, "{open} needs no key");
    }
    assert!(!server.log().contains("key-"), "a key in the log:\n{}", server.log());
}

#[test]
fn one_user_may_have_all_keys_and_other_numbers_refuse_the_start() {
    let two = || keys().variable("AUTHENTICATION_APIKEY_ALLOWED_KEYS", "a,b");
    let server = two().variable("AUTHENTICATION_APIKEY_USERS", "ann").start();
    assert_eq!((meta(&server, Some("a")), meta(&server, Some("b"))), (200, 200));
    for refused in [two(), two().variable("AUTHENTICATION_APIKEY_USERS", "ann,bob,cy")] {
        let log = refused.start_refused();
        assert!(log.contains("AUTHENTICATION_APIKEY_USERS"), "{log}");
    }
    let log = keys().start_refused();
    assert!(log.contains("AUTHENTICATION_APIKEY_ALLOWED_KEYS"), "{log}");
}

#[test]
fn a_key_file_is_read_again() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("keys");
    // As secrets are written: beside the old file, then renamed over it.
    let write = |text: &str| {
        fs::write(folder.path().join("new"), text).expect("a file");
        fs::rename(folder.path().join("new"), &file).expect("the file is replaced");
    };
    write("# keys of the test\nfirst,ann\n\n second , bob \n");
    let server = keys()
        .variable("AZIMUTH_APIKEY_FILE", &file.to_string_lossy())
        .variable("AUTHENTICATION_APIKEY_ALLOWED_KEYS", "fixed")
        .variable("AUTHENTICATION_APIKEY_USERS", "root")
        .start();
    let stand = |keys: &[&str]| keys.iter().map(|key| meta(&server, Some(key))).collect::<Vec<_>>();
    assert_eq!(stand(&["fixed", "first", "second", "third"]), [200, 200, 200, 401]);
    write("second,bob\nthird,cy\n");
    wait_for("the new key", || meta(&server, Some("third")) == 200);
    assert_eq!(stand(&["fixed", "first", "second", "third"]), [200, 401, 200, 200], "a removed key still works");
    write("third,cy\nfourth-without-user\n");
    wait_for("a warning", || server.log().contains("line 2 is not"));
    assert_eq!(stand(&["second", "third"]), [200, 200], "a damaged file keeps the old keys");
    assert!(!server.log().contains("fourth"), "text of the key file in the log:\n{}", server.log());
    fs::remove_file(&file).expect("the file is removed");
    write("fifth,eve\n");
    wait_for("the keys of the file that came back", || meta(&server, Some("fifth")) == 200);
    assert_eq!(stand(&["fixed", "second", "third"]), [200, 401, 401]);
    let missing = keys().variable("AZIMUTH_APIKEY_FILE", &folder.path().join("none").to_string_lossy());
    assert!(missing.start_refused().contains("AZIMUTH_APIKEY_FILE"));
}

#[test]
fn the_admin_list_separates_writers_readers_and_others() {
    let server = keys()
        .variable("AUTHENTICATION_APIKEY_ALLOWED_KEYS", "w,r,o")
        .variable("AUTHENTICATION_APIKEY_USERS", "writer,reader,other")
        .variable("AUTHORIZATION_ADMINLIST_ENABLED", "true")
        .variable("AUTHORIZATION_ADMINLIST_USERS", "writer")
        .variable("AUTHORIZATION_ADMINLIST_READONLY_USERS", "reader")
        .start();
    create(&server, "w");
    let object = r#"{"class": "Thing", "vector": [1, 2]}"#;
    let stand = |method: &str, path: &str, body: &str| {
        ["w", "r", "o"].map(|key| call(&server, Some(key), method, path, body).status)
    };
    assert_eq!(stand("POST", "/v1/objects", object), [200, 403, 403]);
    assert_eq!(stand("GET", "/v1/objects?class=Thing", ""), [200, 200, 403]);
    assert_eq!(stand("GET", "/v1/schema/Thing", ""), [200, 200, 403]);
    assert_eq!(["w", "r", "o"].map(|key| grpc_takes(&server, Some(key))), [true, true, false]);
    assert_eq!(call(&server, Some("r"), "DELETE", "/v1/schema/Thing", "").status, 403);
    let refusal = call(&server, Some("r"), "POST", "/v1/objects", object);
    assert!(refusal.body.contains("reader"), "who was refused: {refusal:?}");
}

#[test]
fn the_port_may_come_from_the_environment_and_the_host_be_a_name() {
    let server = Server::builder()
        .variable("AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED", "true")
        .argument("--scheme")
        .argument("http")
        .argument("--read-timeout=60s")
        .argument("--write-timeout=60s")
        .port_by_environment()
        .start();
    assert_eq!(meta(&server, None), 200);
    for (argument, words) in [
        ("--port=99999", "99999"),
        ("--scheme=gopher", "gopher"),
        ("--host=no.such.name.invalid", "no.such.name.invalid"),
    ] {
        let refusal = Server::builder().port_by_environment().argument(argument).start_refused();
        assert!(refusal.contains(words), "{argument}: {refusal}");
    }
    let refusal = Server::builder().variable("QUERY_MAXIMUM_RESULTS", "many").start_refused();
    assert!(refusal.contains("QUERY_MAXIMUM_RESULTS") && refusal.contains("many"), "{refusal}");
}

#[test]
fn a_busy_port_refuses_the_start_in_words() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("its address").port().to_string();
    for builder in [
        Server::builder().port_by_environment().argument(format!("--port={port}")),
        Server::builder()
            .port_by_environment()
            .argument(format!("--port={}", free_port()))
            .variable("GRPC_PORT", &port),
        Server::builder()
            .variable("PROMETHEUS_MONITORING_ENABLED", "true")
            .variable("PROMETHEUS_MONITORING_PORT", &port),
    ] {
        let log = builder.start_refused();
        assert!(log.contains(&format!("127.0.0.1:{port}")) && log.contains("in use"), "{log}");
    }
}
