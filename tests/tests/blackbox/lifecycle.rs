//! Start, orderly end, restart.

use azimuth_client::{CollectionConfig, DataType, Object, Property, Query, VectorIndex};
use azimuth_tests::raw_http;
use azimuth_tests::server::Server;
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
