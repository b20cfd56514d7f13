//! TLS from certificate files: both wires on both ports, renewal without a restart, clear words for files that do not fit.

use azimuth_client::{CollectionConfig, Object, Query, VectorIndex};
use azimuth_tests::raw_tls::{self, Authority};
use azimuth_tests::server::{Server, ServerBuilder};
use azimuth_tests::{raw_http, wait_for};
use std::fs;
use std::path::Path;
use uuid::Uuid;

fn builder(certificate: &Path, key: &Path) -> ServerBuilder {
    Server::builder()
        .variable("AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED", "true")
        .variable("AZIMUTH_TLS_CERT_FILE", &certificate.to_string_lossy())
        .variable("AZIMUTH_TLS_KEY_FILE", &key.to_string_lossy())
}

#[test]
fn both_wires_speak_tls_on_both_ports() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().expect("a temporary folder"));
    let (certificate, key) = authority.issue(folder.path(), "first");
    let server = Server::builder()
        .variable("AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED", "true")
        .argument("--scheme=https")
        .argument(format!("--tls-certificate={}", certificate.display()))
        .argument(format!("--tls-key={}", key.display()))
        .authority(authority.pem.clone())
        .start();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let two_ports = server.client();
        let config = CollectionConfig::new("Thing").unnamed_vector(VectorIndex::hnsw());
        two_ports.create_collection(&config).await.expect("REST on the first port");
        let one_port = server.client_builder().grpc_url(format!("https://{}", server.http_address()));
        for (number, client) in [two_ports, one_port.build().expect("a client")].into_iter().enumerate() {
            let things = client.collection("Thing").expect("a good name");
            let object = Object::with_id(Uuid::from_u128(number as u128 + 1)).vector([1.0, number as f32]);
            let report = things.insert_many(&[object], Default::default()).await.expect("gRPC");
            assert!(report.failures.is_empty());
            let hits = things.search(Query::near_vector([1.0, number as f32]).limit(1)).await.expect("gRPC");
            assert_eq!(hits[0].object.id, Uuid::from_u128(number as u128 + 1));
        }
        let stranger = azimuth_client::Client::builder(format!("https://{}", server.http_address())).build();
        assert!(!stranger.expect("a client").is_live().await, "a client that does not know the authority was content");
    });
    for port in [server.http_port(), server.grpc_port()] {
        let address = format!("127.0.0.1:{port}");
        for (offered, chosen) in [(&["h2", "http/1.1"][..], "h2"), (&["http/1.1"], "http/1.1")] {
            let stream = raw_tls::connect(&address, authority.pem.as_bytes(), offered).expect("a handshake");
            assert_eq!(stream.conn.alpn_protocol(), Some(chosen.as_bytes()), "port {port}, offered {offered:?}");
        }
        let answer = raw_tls::get(&address, "/v1/meta", authority.pem.as_bytes()).expect("HTTP/1.1 over TLS");
        assert_eq!(answer.status, 200);
        assert!(answer.body.contains("\"hostname\":\"https://"), "the scheme that is served: {}", answer.body);
        let plain = raw_http::get(&address, "/v1/meta");
        assert!(plain.is_err(), "clear text was answered on a port with TLS: {plain:?}");
    }
}

#[test]
fn a_renewed_certificate_is_taken_over_without_a_restart() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (old, new) = (Authority::new(), Authority::new());
    // As a secret is mounted: the files are links into a folder that is a link itself, and which is turned.
    for (name, authority) in [("one", &old), ("two", &new)] {
        fs::create_dir(folder.path().join(name)).expect("a folder");
        authority.issue(&folder.path().join(name), name);
    }
    let link = |from: &str, to: &str| std::os::unix::fs::symlink(from, folder.path().join(to)).expect("a link");
    link("one", "..data");
    link("..data/tls.crt", "tls.crt");
    link("..data/tls.key", "tls.key");
    let files = (folder.path().join("tls.crt"), folder.path().join("tls.key"));
    let server = builder(&files.0, &files.1).authority(old.pem.clone()).start();
    let address = server.http_address();
    let trusts = |authority: &Authority| raw_tls::get(&address, "/v1/meta", authority.pem.as_bytes()).is_ok();
    assert!(trusts(&old) && !trusts(&new));
    let mut kept = raw_tls::connect(&address, old.pem.as_bytes(), &["http/1.1"]).expect("a connection that stays");
    link("two", "..turned");
    fs::rename(folder.path().join("..turned"), folder.path().join("..data")).expect("the link is turned");
    wait_for("the new certificate", || trusts(&new));
    assert!(!trusts(&old), "the old certificate is still shown");
    std::io::Write::write_all(&mut kept, b"GET /v1/meta HTTP/1.1\r\nHost: x\r\n\r\n").expect("a request");
    assert_eq!(raw_http::read_answer(&mut kept).expect("an answer on the old connection").status, 200);
    // A certificate without its key changes nothing; once both are there, they count.
    old.issue(&folder.path().join("one"), "again");
    fs::write(folder.path().join("two/tls.crt"), fs::read(folder.path().join("one/tls.crt")).expect("a certificate"))
        .expect("half a renewal");
    wait_for("a warning", || server.log().contains("the old one stays"));
    assert!(trusts(&new) && !trusts(&old), "half a renewal was taken over");
    fs::write(folder.path().join("two/tls.key"), fs::read(folder.path().join("one/tls.key")).expect("a key"))
        .expect("the other half");
    wait_for("the renewed certificate", || trusts(&old));
    assert_eq!(server.log().matches("azimuth ends").count(), 0);
}

#[test]
fn grpc_files_secure_the_grpc_port_alone() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().expect("a temporary folder"));
    let (certificate, key) = authority.issue(folder.path(), "grpc");
    let server = Server::builder()
        .variable("AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED", "true")
        .variable("GRPC_CERT_FILE", &certificate.to_string_lossy())
        .variable("GRPC_KEY_FILE", &key.to_string_lossy())
        .start();
    assert_eq!(server.get("/v1/meta").expect("clear text on the REST port").status, 200);
    let grpc = format!("127.0.0.1:{}", server.grpc_port());
    assert_eq!(raw_tls::get(&grpc, "/v1/meta", authority.pem.as_bytes()).expect("TLS").status, 200);
    let client = server.client_builder().grpc_url(format!("https://{grpc}")).certificate_pem(authority.pem.clone());
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    assert!(runtime.block_on(async { client.build().expect("a client").is_serving_grpc().await }));
}

#[test]
fn files_that_do_not_fit_refuse_the_start_in_words() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().expect("a temporary folder"));
    let (certificate, key) = authority.issue(folder.path(), "good");
    let other = folder.path().join("other");
    fs::create_dir(&other).expect("a folder");
    let (_, other_key) = authority.issue(&other, "other");
    let empty = folder.path().join("empty.pem");
    fs::write(&empty, "no PEM at all\n").expect("a file");
    let missing = folder.path().join("missing.pem");
    for (certificate, key, words) in [
        (&missing, &key, ["missing.pem", "No such file"]),
        (&certificate, &missing, ["missing.pem", "No such file"]),
        (&empty, &key, ["empty.pem", "no certificate"]),
        (&certificate, &empty, ["empty.pem", "tls"]),
        (&certificate, &other_key, ["tls.key", "not the key of the certificate"]),
    ] {
        let log = builder(certificate, key).start_refused();
        assert!(words.iter().all(|word| log.to_lowercase().contains(&word.to_lowercase())), "{words:?}: {log}");
    }
    let half = Server::builder().variable("AZIMUTH_TLS_CERT_FILE", &certificate.to_string_lossy()).start_refused();
    assert!(half.contains("AZIMUTH_TLS_KEY_FILE"), "{half}");
    let none = Server::builder().argument("--scheme=https").start_refused();
    assert!(none.contains("--tls-certificate"), "{none}");
}
