//! kill -9 during ingest, again and again: what was acknowledged stays, what was not is there whole or not at all.
//!
//! The content of every object follows from its number and version, so each object found can be checked by itself. A
//! model holds, for each number, the version that was acknowledged and those that may have been written since.

use azimuth_client::{
    BatchOptions, Client, Collection, CollectionConfig, DataType, Filter, Object, Property, Query, StoredObject,
    VectorIndex,
};
use azimuth_tests::notice;
use azimuth_tests::server::Server;
use rand::{RngExt, SeedableRng, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use uuid::Uuid;

const ROUNDS: usize = 20;
const WRITERS: u64 = 3;
const BATCH_OBJECTS: usize = 40;
const DIMENSIONS: usize = 48;

/// What one number may be: `None` is "no object".
#[derive(Clone, Debug)]
struct Possible {
    acknowledged: Option<u64>,
    /// Sent after that, without an answer.
    sent: Vec<Option<u64>>,
}

type Model = Arc<Mutex<BTreeMap<u64, Possible>>>;

fn identity(number: u64) -> Uuid {
    Uuid::from_u128(0x6f1c_0000_0000_4000_8000_0000_0000_0000 | u128::from(number))
}

fn text(number: u64, version: u64) -> String {
    format!("object {number} in version {version}")
}

fn vector(number: u64, version: u64) -> Vec<f32> {
    let mut random = ChaCha8Rng::seed_from_u64(number << 20 | version);
    (0..DIMENSIONS).map(|_| random.random_range(-1.0..1.0)).collect()
}

fn object(number: u64, version: u64) -> Object {
    Object::with_id(identity(number))
        .property("text", text(number, version))
        .property("number", number)
        .property("version", version)
        .vector(vector(number, version))
}

/// The number and version of an object, after a look at all of its parts.
fn checked(found: &StoredObject) -> (u64, u64) {
    let integer = |name: &str| found.properties.get(name).and_then(serde_json::Value::as_u64).expect("an integer");
    let (number, version) = (integer("number"), integer("version"));
    assert_eq!(found.id, identity(number), "an object keeps its id");
    let stored = found.properties.get("text").and_then(serde_json::Value::as_str);
    assert_eq!(stored, Some(text(number, version).as_str()), "a half-written object");
    assert_eq!(found.vectors.single(), Some(vector(number, version).as_slice()), "an object without its own vector");
    (number, version)
}

#[test]
fn acknowledged_writes_survive_kill_9() {
    let seed = std::env::var("AZIMUTH_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(20_261_121);
    notice(&format!("kill loop: seed {seed} (AZIMUTH_SEED)"));
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let _entered = runtime.enter();
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut server = Server::start();
    let model = Model::default();
    runtime.block_on(async {
        let config = CollectionConfig::new("Victim")
            .property(Property::new("text", DataType::Text))
            .property(Property::new("number", DataType::Int))
            .property(Property::new("version", DataType::Int))
            .unnamed_vector(VectorIndex::hnsw());
        server.client().create_collection(&config).await.expect("a new collection");
    });
    let mut acknowledged = 0;
    for round in 0..ROUNDS {
        acknowledged += ingest_and_kill(&runtime, &mut server, &model, &mut random, round as u64);
        server.start_again();
        runtime.block_on(settle(&server.client(), &model, &mut random));
    }
    assert!(acknowledged >= 50 * ROUNDS as u64, "too few writes were acknowledged to show anything: {acknowledged}");
    let objects = model.lock().unwrap().values().filter(|possible| possible.acknowledged.is_some()).count();
    notice(&format!("kill loop: {ROUNDS} rounds, {acknowledged} writes acknowledged, {objects} objects at the end"));
}

/// Writers run until so many of their calls are answered as the seed says; then the server dies under them.
fn ingest_and_kill(
    runtime: &tokio::runtime::Runtime,
    server: &mut Server,
    model: &Model,
    random: &mut ChaCha8Rng,
    round: u64,
) -> u64 {
    let answered = Arc::new(AtomicU64::new(0));
    let writes = Arc::new(AtomicU64::new(0));
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let (client, model, seed) = (server.client(), Arc::clone(model), random.random());
            let (answered, writes) = (Arc::clone(&answered), Arc::clone(&writes));
            runtime.spawn(async move { write(&client, &model, seed, (writer, round), (&answered, &writes)).await })
        })
        .collect();
    let enough = random.random_range(3..25);
    while answered.load(Ordering::Acquire) < enough {
        assert!(server.is_running(), "the server ended by itself:\n{}", server.log());
        std::thread::yield_now();
    }
    server.kill();
    for writer in writers {
        runtime.block_on(writer).expect("a writer ends when its server is gone");
    }
    writes.load(Ordering::Acquire)
}

/// Inserts, overwrites and deletes until the server no longer answers. A writer owns the numbers that leave its own
/// remainder, so that no two writers race for one object.
async fn write(
    client: &Client,
    model: &Model,
    seed: u64,
    (writer, round): (u64, u64),
    (answered, writes): (&AtomicU64, &AtomicU64),
) {
    let collection = client.collection("Victim").expect("a good name");
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    for call in 0.. {
        let version = round * 1_000 + call + 1;
        let outcome = if random.random_bool(0.1) {
            delete_one(&collection, model, &mut random, writer).await
        } else {
            write_batch(&collection, model, &mut random, writer, version).await
        };
        let Ok(count) = outcome else { return };
        answered.fetch_add(1, Ordering::Release);
        writes.fetch_add(count, Ordering::Release);
    }
}

async fn write_batch(
    collection: &Collection,
    model: &Model,
    random: &mut ChaCha8Rng,
    writer: u64,
    version: u64,
) -> azimuth_client::Result<u64> {
    let mut numbers: Vec<u64> = (0..BATCH_OBJECTS).map(|_| random.random_range(0..1_500) * WRITERS + writer).collect();
    numbers.sort_unstable();
    numbers.dedup();
    for number in &numbers {
        note_sent(model, *number, Some(version));
    }
    let objects: Vec<Object> = numbers.iter().map(|number| object(*number, version)).collect();
    let report = collection.insert_many(&objects, BatchOptions::default()).await?;
    assert!(report.failures.is_empty(), "a good object was refused: {:?}", report.failures);
    for number in &numbers {
        note_acknowledged(model, *number, Some(version));
    }
    Ok(numbers.len() as u64)
}

async fn delete_one(
    collection: &Collection,
    model: &Model,
    random: &mut ChaCha8Rng,
    writer: u64,
) -> azimuth_client::Result<u64> {
    let existing: Vec<u64> = {
        let model = model.lock().unwrap();
        model.iter().filter(|(n, p)| *n % WRITERS == writer && p.acknowledged.is_some()).map(|(n, _)| *n).collect()
    };
    let Some(number) = existing.choose(random).copied() else { return Ok(0) };
    note_sent(model, number, None);
    collection.delete(identity(number)).await?;
    note_acknowledged(model, number, None);
    Ok(1)
}

fn note_sent(model: &Model, number: u64, version: Option<u64>) {
    let mut model = model.lock().unwrap();
    model.entry(number).or_insert(Possible { acknowledged: None, sent: Vec::new() }).sent.push(version);
}

fn note_acknowledged(model: &Model, number: u64, version: Option<u64>) {
    let mut model = model.lock().unwrap();
    model.insert(number, Possible { acknowledged: version, sent: Vec::new() });
}

/// Compares everything that the server has with the model, then lets the model know what became of the open writes.
async fn settle(client: &Client, model: &Model, random: &mut ChaCha8Rng) {
    let collection = client.collection("Victim").expect("a good name");
    let mut found = BTreeMap::new();
    let mut pages = collection.pages(500, true);
    while let Some(page) = pages.next().await.expect("a page of objects") {
        for object in &page {
            let (number, version) = checked(object);
            assert_eq!(found.insert(number, version), None, "object {number} is listed twice");
        }
    }
    assert_eq!(collection.count(None).await.expect("a count"), found.len() as u64, "count and list disagree");
    {
        let mut model = model.lock().unwrap();
        for number in found.keys() {
            assert!(model.contains_key(number), "object {number} was never sent");
        }
        for (number, possible) in model.iter_mut() {
            let present = found.get(number).copied();
            let allowed = present == possible.acknowledged || possible.sent.contains(&present);
            assert!(allowed, "object {number}: {present:?} is there, but the client knows {possible:?}");
            *possible = Possible { acknowledged: present, sent: Vec::new() };
        }
    }
    let present: Vec<(u64, u64)> = found.into_iter().collect();
    for (number, version) in present.sample(random, 30).copied() {
        let hits = collection.search(Query::near_vector(vector(number, version)).limit(1).with_vectors()).await;
        let hits = hits.expect("a search");
        assert_eq!(hits.first().map(|hit| checked(&hit.object)), Some((number, version)), "search does not find it");
        let filter = Filter::property("number").equal(i64::try_from(number).expect("a small number"));
        assert_eq!(collection.count(Some(filter)).await.expect("a count"), 1, "the filter does not find {number}");
    }
}
