//! Settings that are Weaviate's and not ours: those that would restrict or protect refuse the start, the rest are named
//! in the log.

use azimuth_client::{CollectionConfig, DataType, Object, Property, VectorIndex};
use azimuth_tests::raw_http;
use azimuth_tests::server::{Server, ServerBuilder};
use serde_json::{Value, json};
use uuid::Uuid;

fn builder() -> ServerBuilder {
    Server::builder().variable("AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED", "true")
}

#[test]
fn what_would_restrict_or_protect_refuses_the_start() {
    for (name, value) in [
        ("AUTHORIZATION_RBAC_ENABLED", "true"),
        ("AUTHORIZATION_ENABLE_RBAC", "on"),
        ("AUTHENTICATION_OIDC_ENABLED", "1"),
        ("AUTHENTICATION_DB_USERS_ENABLED", "enabled"),
        ("MAINTENANCE_NODES", "node1"),
        ("MAXIMUM_ALLOWED_OBJECTS_COUNT", "10"),
        ("ALLOWED_COMPRESSION_TYPES", "rq"),
        ("RAFT_BOOTSTRAP_EXPECT", "3"),
    ] {
        let log = builder().variable(name, value).start_refused();
        assert!(log.contains(name) && log.contains("cannot be honoured"), "{name}={value}: {log}");
    }
    let log = builder().variable("MAXIMUM_ALLOWED_COLLECTIONS_COUNT", "many").start_refused();
    assert!(log.contains("MAXIMUM_ALLOWED_COLLECTIONS_COUNT"), "{log}");
}

#[test]
fn what_does_nothing_is_named_once() {
    let server = builder()
        .variable("LOG_FORMAT", "json")
        .variable("ENABLE_MODULES", "text2vec-openai")
        .variable("ENABLE_API_BASED_MODULES", "true")
        .variable("BACKUP_FILESYSTEM_PATH", "/somewhere")
        .variable("AUTHORIZATION_RBAC_ENABLED", "false")
        .variable("OPERATIONAL_MODE", "ReadWrite")
        .variable("AZIMUTH_IDX_MEMORY", "1GiB")
        .variable("AZIMUTH_INDEX_MEMORY", "1GiB")
        .variable("QUERY_DEFAULTS_LIMIT", "20")
        .start();
    let log = server.log();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let named = |name: &str| lines.iter().filter(|line| line["name"] == name).collect::<Vec<_>>();
    for (name, level) in
        [("ENABLE_API_BASED_MODULES", "INFO"), ("BACKUP_FILESYSTEM_PATH", "INFO"), ("AZIMUTH_IDX_MEMORY", "WARN")]
    {
        let lines = named(name);
        assert!(lines.len() == 1 && lines[0]["level"] == level, "{name}: {log}");
    }
    for name in ["ENABLE_MODULES", "AZIMUTH_INDEX_MEMORY", "QUERY_DEFAULTS_LIMIT", "PERSISTENCE_DATA_PATH"] {
        assert!(named(name).is_empty(), "{name} has an effect: {log}");
    }
}

#[test]
fn collections_beyond_the_limit_are_refused_at_every_door() {
    let server = builder().variable("MAXIMUM_ALLOWED_COLLECTIONS_COUNT", "4").start();
    let address = server.http_address();
    // At once: the limit holds for those that are created side by side, too.
    let created: Vec<u16> = std::thread::scope(|scope| {
        let create = |number: usize| {
            let address = address.clone();
            let class = json!({"class": format!("C{number}")}).to_string();
            scope.spawn(move || raw_http::post(&address, "/v1/schema", &class).expect("an answer").status)
        };
        let threads: Vec<_> = (0..12).map(create).collect();
        threads.into_iter().map(|thread| thread.join().expect("a status")).collect()
    });
    assert_eq!(created.iter().filter(|status| **status == 200).count(), 4, "{created:?}");
    assert_eq!(created.iter().filter(|status| **status == 429).count(), 8, "{created:?}");
    let refused = raw_http::post(&address, "/v1/objects", r#"{"class": "Auto", "properties": {"a": "b"}}"#);
    let refused = refused.expect("an answer");
    assert!(refused.status == 429 && refused.body.contains("USAGE_LIMIT_EXCEEDED"), "{refused:?}");
    let batch = json!({"objects": [{"class": "Auto", "properties": {"a": "b"}}, {"class": "Auto"}]}).to_string();
    let batch = raw_http::post(&address, "/v1/batch/objects", &batch).expect("an answer");
    assert!(batch.status == 200 && batch.body.contains("collections count limit of 4 reached"), "{batch:?}");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let client = server.client();
        let auto = client.collection("Auto").expect("a good name");
        let object = Object::with_id(Uuid::from_u128(1)).property("a", "b");
        let failed = match auto.insert_many(&[object], Default::default()).await {
            Ok(report) => report.failures[0].message.clone(),
            Err(error) => error.to_string(),
        };
        assert!(failed.contains("count limit of 4"), "gRPC: {failed}");
        let config = CollectionConfig::new("New")
            .property(Property::new("a", DataType::Text))
            .unnamed_vector(VectorIndex::hnsw());
        let schema = client.create_collection(&config).await.expect_err("one too many");
        assert!(schema.to_string().contains("count limit of 4"), "{schema}");
        let some = client.list_collections().await.expect("a list")[0]["class"].as_str().expect("a name").to_owned();
        client.delete_collection(&some).await.expect("deleted");
        client.create_collection(&config).await.expect("there is room again");
    });
}
