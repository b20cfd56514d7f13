//! More vectors than `AZIMUTH_INDEX_MEMORY` lets the indexes hold: writes that bring vectors are refused by the name of the
//! setting, everything else goes on, and they are taken again once the waiting vectors are indexed.

use azimuth_client::{
    BatchOptions, Collection, CollectionConfig, DataType, Error, Filter, Object, Property, Query, RetryPolicy,
    VectorIndex,
};
use azimuth_tests::raw_http;
use azimuth_tests::server::Server;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::time::{Duration, Instant};
use uuid::Uuid;

const DIMENSIONS: usize = 256;
const BATCH: u128 = 500;
const SETTLED_TIMEOUT: Duration = Duration::from_secs(300);

fn object(rng: &mut ChaCha8Rng, n: u128) -> Object {
    let vector: Vec<f32> = (0..DIMENSIONS).map(|_| rng.random_range(-1.0..1.0)).collect();
    Object::with_id(Uuid::from_u128(n + 1))
        .property("number", i64::try_from(n & 0xffff_ffff).expect("32 bits"))
        .vector(vector)
}

fn metric(server: &Server, name: &str) -> f64 {
    let answer = raw_http::get(&server.http_address(), "/metrics").expect("metrics");
    let line = answer.body.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in {}", answer.body)).parse().expect("a number")
}

/// Batches until one is refused; how many objects were taken, and the refusal.
async fn fill(collection: &Collection, rng: &mut ChaCha8Rng) -> (u128, String) {
    let mut taken = 0;
    for batch in 0..100 {
        let objects: Vec<Object> = (0..BATCH).map(|n| object(rng, batch * BATCH + n)).collect();
        let report = match collection.insert_many(&objects, BatchOptions::default()).await {
            Ok(report) => report,
            Err(error) => return (taken, error.to_string()),
        };
        taken += BATCH - report.failures.len() as u128;
        if let Some(failure) = report.failures.first() {
            return (taken, failure.message.clone());
        }
    }
    panic!("{taken} objects of {DIMENSIONS} components were taken")
}

#[tokio::test]
async fn vectors_beyond_the_budget_are_refused_and_the_rest_goes_on() {
    let seed = rand::random();
    println!("seed {seed}");
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let server = Server::builder().variable("AZIMUTH_INDEX_MEMORY", "2MiB").start();
    let client = server.client_builder().retry(RetryPolicy::never()).build().expect("a client");
    let config = CollectionConfig::new("Thing")
        .property(Property::new("number", DataType::Int))
        .unnamed_vector(VectorIndex::hnsw());
    client.create_collection(&config).await.expect("a collection");
    let collection = client.collection("Thing").expect("a good name");
    assert!((metric(&server, "azimuth_vector_index_bytes_max") - f64::from(2 << 20)).abs() < 1.0);

    let (taken, refusal) = fill(&collection, &mut rng).await;
    assert!(refusal.contains("AZIMUTH_INDEX_MEMORY") && refusal.contains("2 MiB"), "{refusal}");
    assert!(taken >= BATCH, "{taken}");
    // Reads, deletions and objects without a vector go on, whether or not it is over by now.
    let near: Vec<f32> = vec![0.5; DIMENSIONS];
    assert_eq!(collection.search(Query::near_vector(&near).limit(10)).await.expect("hits").len(), 10);
    collection.delete(Uuid::from_u128(1)).await.expect("a deletion");
    collection.insert(&Object::with_id(Uuid::from_u128(u128::MAX)).property("number", 7)).await.expect("an object");

    // Once everything is indexed, the index may leave memory, and vectors are taken again.
    let since = Instant::now();
    let last = u128::MAX - 1;
    loop {
        match collection.insert(&object(&mut rng, last - 1)).await {
            Ok(()) => break,
            Err(Error::Unavailable(why)) => assert!(why.contains("AZIMUTH_INDEX_MEMORY"), "{why}"),
            Err(error) => panic!("{error}"),
        }
        assert!(since.elapsed() < SETTLED_TIMEOUT, "vectors are still refused");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(collection.contains(Uuid::from_u128(last)).await.expect("an answer"));
    let count = collection.count(None).await.expect("a count");
    assert!(u128::from(count) > taken, "{count} objects, {taken} had been taken");
    let gone = collection.count(Some(Filter::id().equal(Uuid::from_u128(1).to_string()))).await.expect("a count");
    assert_eq!(gone, 0);
}
