//! One well-behaved client beside hostile ones: the slowdown of the client by each attack, and the memory of the
//! server.
//!
//! `cargo bench -p azimuth-benches --bench hostile [-- --seconds 8 --budget-mib 128 ATTACK ..]`
//!
//! Attackers are other machines. Here they share the processors with the server, so their threads have the lowest priority:
//! the server and the well-behaved client take processor time from them, as they would if the attackers were elsewhere.
//!
//! The server runs with a small budget for requests and replies. The client alternates a vector search and the write of one
//! object, in a collection that no attack touches. For each attack the table gives p50 and p99 of both before and during
//! the attack, the longest answer of `ready`, and the highest resident memory so far.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a bench talks to its reader")]

use std::error::Error as StdError;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use azimuth_benches::server::{Server, built_binary};
use azimuth_benches::table::{megabytes, time};
use azimuth_client::{Client, Collection, CollectionConfig, DataType, Object, Property, Query, VectorIndex};
use clap::Parser;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::json;
use uuid::Uuid;

type Outcome<T> = Result<T, Box<dyn StdError + Send + Sync>>;

const DIM: usize = 64;

/// Options of a run.
#[derive(Debug, Parser)]
struct Options {
    /// Attacks to run; all without one.
    attacks: Vec<String>,
    /// Seconds of each attack, and of the measurement before it.
    #[arg(long, default_value_t = 8)]
    seconds: u64,
    /// Budget of the server for requests and replies.
    #[arg(long, default_value_t = 128)]
    budget_mib: u64,
    /// Server to measure; without one the checkout is built.
    #[arg(long)]
    binary: Option<PathBuf>,
    /// Set by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

/// An attack: its name, the number of its threads, and the action that each thread repeats until the end.
struct Attack {
    name: &'static str,
    threads: usize,
    step: fn(&Target),
}

/// The server as an attacker sees it.
#[derive(Clone)]
struct Target {
    port: u16,
    over: Arc<AtomicBool>,
}

const ATTACKS: [Attack; 11] = [
    // Not an attack: two threads that compute without a request, with the priority of attackers.
    Attack { name: "none, two threads that compute", threads: 2, step: compute },
    Attack { name: "lists never read", threads: 6, step: never_read },
    Attack { name: "40 aliases of large lists", threads: 2, step: aliases },
    Attack { name: "searches of k = 10,000, filtered", threads: 4, step: wide_searches },
    Attack { name: "2,000 Like operands", threads: 4, step: likes },
    Attack { name: "multi-vector searches", threads: 2, step: multi_vectors },
    Attack { name: "4,000 references onto one object", threads: 2, step: references },
    Attack { name: "texts of 300,000 distinct words", threads: 2, step: long_texts },
    Attack { name: "objects nested 200 levels", threads: 2, step: deep_objects },
    Attack { name: "schemas of 60,000 properties", threads: 1, step: wide_schemas },
    Attack { name: "500 connections that send a byte a second", threads: 500, step: slow_heads },
];

fn main() -> Outcome<()> {
    let options = Options::parse();
    let binary = match &options.binary {
        Some(binary) => binary.clone(),
        None => built_binary()?,
    };
    let folder = tempfile::Builder::new().prefix("azimuth-hostile-").tempdir()?;
    let data = folder.path().join("data");
    std::fs::create_dir(&data)?;
    let budget = (options.budget_mib << 20).to_string();
    let server = Server::start_with(&binary, &data, &[("AZIMUTH_REQUESTS_BYTES_MAX", &budget)])?;
    let runtime = tokio::runtime::Runtime::new()?;
    let _entered = runtime.enter();
    runtime.block_on(load(&server.client()?))?;
    println!("budget {} MiB, resident after loading {}\n", options.budget_mib, megabytes(server.memory()?.resident));
    println!("| attack | search p50, p99 | during | write p50, p99 | during | errors | ready, longest | peak |");
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    let wanted =
        |attack: &&Attack| options.attacks.is_empty() || options.attacks.iter().any(|a| attack.name.contains(a));
    for attack in ATTACKS.iter().filter(wanted) {
        let span = Duration::from_secs(options.seconds);
        let before = watch(&runtime, &server, span)?;
        let over = Arc::new(AtomicBool::new(false));
        let target = Target { port: server.http_port(), over: over.clone() };
        let attackers: Vec<_> = (0..attack.threads)
            .map(|_| {
                let (target, step) = (target.clone(), attack.step);
                std::thread::spawn(move || {
                    lower_priority();
                    while !target.over.load(Ordering::Relaxed) {
                        step(&target);
                    }
                })
            })
            .collect();
        let during = watch(&runtime, &server, span);
        over.store(true, Ordering::Relaxed);
        attackers.into_iter().for_each(|thread| drop(thread.join()));
        let during = during?;
        println!(
            "| {} | {} | {} | {} | {} | {} | {} | {} |",
            attack.name,
            spread(&before.searches),
            spread(&during.searches),
            spread(&before.writes),
            spread(&during.writes),
            during.errors,
            time(during.ready_max),
            megabytes(server.memory()?.peak),
        );
    }
    server.stop()?;
    Ok(())
}

/// Gives the calling thread the lowest priority.
fn lower_priority() {
    // SAFETY: takes no memory; 0 names the calling thread on Linux.
    let refused = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, 19) };
    assert_eq!(refused, 0, "{}", std::io::Error::last_os_error());
}

/// The latencies that the client measured.
#[derive(Default)]
struct Watched {
    searches: Vec<Duration>,
    writes: Vec<Duration>,
    errors: usize,
    ready_max: Duration,
}

/// Searches and writes in turn for `span`, while another task asks whether the server is ready.
fn watch(runtime: &tokio::runtime::Runtime, server: &Server, span: Duration) -> Outcome<Watched> {
    runtime.block_on(async {
        let client = server.client()?;
        let collection = client.collection("Quiet")?;
        let asking = server.client()?;
        let until = Instant::now() + span;
        let ready = tokio::spawn(async move {
            let mut longest = Duration::ZERO;
            while Instant::now() < until {
                let begun = Instant::now();
                asking.is_ready().await;
                longest = longest.max(begun.elapsed());
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            longest
        });
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let mut watched = Watched::default();
        while Instant::now() < until {
            let begun = Instant::now();
            match collection.search(Query::near_vector(vector(&mut rng)).limit(10)).await {
                Ok(_) => watched.searches.push(begun.elapsed()),
                Err(_) => watched.errors += 1,
            }
            let begun = Instant::now();
            let id = Uuid::from_u128(u128::from(rng.random_range(0..5_000_u32)) + 1);
            match collection.replace(&quiet_object(id, &mut rng)).await {
                Ok(()) => watched.writes.push(begun.elapsed()),
                Err(_) => watched.errors += 1,
            }
        }
        watched.ready_max = ready.await?;
        Ok(watched)
    })
}

fn spread(times: &[Duration]) -> String {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    match sorted.len() {
        0 => "none".into(),
        n => format!("{}, {}", time(sorted[n / 2]), time(sorted[(n * 99 / 100).min(n - 1)])),
    }
}

fn vector(rng: &mut ChaCha8Rng) -> Vec<f32> {
    (0..DIM).map(|_| rng.random_range(-1.0..1.0)).collect()
}

fn quiet_object(id: Uuid, rng: &mut ChaCha8Rng) -> Object {
    Object::with_id(id).property("text", "a short text").vector(vector(rng))
}

/// The quiet collection, one with 200 MB of text, one with multi-vectors, one with references.
async fn load(client: &Client) -> Outcome<()> {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let quiet = CollectionConfig::new("Quiet")
        .property(Property::new("text", DataType::Text))
        .unnamed_vector(VectorIndex::hnsw());
    client.create_collection(&quiet).await?;
    let objects: Vec<_> = (1..=5_000).map(|id| quiet_object(Uuid::from_u128(id), &mut rng)).collect();
    insert(&client.collection("Quiet")?, &objects).await?;

    let large = CollectionConfig::new("Large")
        .property(Property::new("text", DataType::Text).filterable(false).searchable(false))
        .property(Property::new("word", DataType::Text))
        .property(Property::new("group", DataType::Int))
        .unnamed_vector(VectorIndex::hnsw());
    client.create_collection(&large).await?;
    for ten in 0..20_u32 {
        let object = |n: u32| {
            let id = Uuid::from_u128(u128::from(ten * 10 + n) + 1);
            Object::with_id(id).property("text", "x".repeat(1_000_000)).property("group", n)
        };
        insert(&client.collection("Large")?, &(0..10).map(object).collect::<Vec<_>>()).await?;
    }
    let small: Vec<_> = (0..20_000_u32)
        .map(|n| {
            let id = Uuid::from_u128(u128::from(n) + 1_000);
            let object = Object::with_id(id).property("group", n % 10).property("word", format!("word{n}x"));
            object.vector(vector(&mut rng))
        })
        .collect();
    insert(&client.collection("Large")?, &small).await?;

    let multi = json!({"class": "Multi", "vectorConfig": {"m": {
        "vectorizer": {"none": {}}, "vectorIndexType": "hnsw", "vectorIndexConfig": {"multivector": {"enabled": true}}}}});
    client.post_raw("/schema", multi.to_string()).await?;
    for hundred in 0..10_u32 {
        let objects: Vec<_> = (0..100)
            .map(|n| {
                let rows: Vec<Vec<f32>> = (0..24).map(|_| vector(&mut rng)).collect();
                json!({"class": "Multi", "id": Uuid::from_u128(u128::from(hundred * 100 + n) + 1), "vectors": {"m": rows}})
            })
            .collect();
        client.post_raw("/batch/objects", json!({"objects": objects}).to_string()).await?;
    }
    let linked = json!({"class": "Linked", "properties": [{"name": "to", "dataType": ["Linked"]}]});
    client.post_raw("/schema", linked.to_string()).await?;
    let objects: Vec<_> = (1..=2_u128).map(|id| json!({"class": "Linked", "id": Uuid::from_u128(id)})).collect();
    client.post_raw("/batch/objects", json!({"objects": objects}).to_string()).await?;
    let open = json!({"class": "Open", "properties": [{"name": "text", "dataType": ["text"]}]});
    client.post_raw("/schema", open.to_string()).await?;
    Ok(())
}

async fn insert(collection: &Collection, objects: &[Object]) -> Outcome<()> {
    let report = collection.insert_many(objects, Default::default()).await?;
    match report.failures.first() {
        Some(failure) => Err(format!("{failure:?}").into()),
        None => Ok(()),
    }
}

/// Sends one request on a connection of its own.
fn send(target: &Target, method: &str, path: &str, body: &str) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect(("127.0.0.1", target.port))?;
    stream.set_read_timeout(Some(Duration::from_millis(200)))?;
    stream.set_write_timeout(Some(Duration::from_secs(5)))?;
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body.as_bytes())?;
    Ok(stream)
}

/// Sends one request and reads its reply until it ends or the attack does.
fn exchange(target: &Target, method: &str, path: &str, body: &str) {
    let Ok(mut stream) = send(target, method, path, body) else { return };
    let mut piece = vec![0; 1 << 20];
    while !target.over.load(Ordering::Relaxed) {
        match stream.read(&mut piece) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {}
            Err(_) => return,
        }
    }
}

/// Keeps a processor busy for about a millisecond.
fn compute(_: &Target) {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(1) {
        std::hint::spin_loop();
    }
}

fn wait(target: &Target) {
    while !target.over.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn graphql(target: &Target, query: &str) {
    exchange(target, "POST", "/v1/graphql", &json!({"query": query}).to_string());
}

fn never_read(target: &Target) {
    let stream = send(target, "GET", "/v1/objects?class=Large&limit=200", "");
    wait(target);
    drop(stream);
}

fn aliases(target: &Target) {
    let lists: Vec<_> = (0..40).map(|n| format!("a{n}: Large(limit: 200) {{ text }}")).collect();
    graphql(target, &format!("{{ Get {{ {} }} }}", lists.join(" ")));
}

fn wide_searches(target: &Target) {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let vector = json!(vector(&mut rng));
    graphql(
        target,
        &format!(
            "{{ Get {{ Large(limit: 10000, nearVector: {{vector: {vector}}}, where: {{path: [\"group\"], \
             operator: NotEqual, valueInt: 3}}) {{ _additional {{ id }} }} }} }}"
        ),
    );
}

fn likes(target: &Target) {
    let operands: Vec<_> =
        (0..2_000).map(|n| format!("{{path: [\"word\"], operator: Like, valueText: \"*q{n}*\"}}")).collect();
    let filter = format!("{{operator: Or, operands: [{}]}}", operands.join(","));
    graphql(target, &format!("{{ Get {{ Large(limit: 1, where: {filter}) {{ word }} }} }}"));
}

fn multi_vectors(target: &Target) {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let rows: Vec<Vec<f32>> = (0..1_000).map(|_| vector(&mut rng)).collect();
    let near = format!("nearVector: {{vectorPerTarget: {{m: {}}}, targetVectors: [\"m\"]}}", json!(rows));
    graphql(target, &format!("{{ Get {{ Multi(limit: 5, {near}) {{ _additional {{ id }} }} }} }}"));
}

fn references(target: &Target) {
    let beacon = |id: u128| format!("weaviate://localhost/Linked/{}", Uuid::from_u128(id));
    let one = json!({"from": format!("{}/to", beacon(1)), "to": beacon(2)});
    exchange(target, "POST", "/v1/batch/references", &json!(vec![one; 4_000]).to_string());
    exchange(target, "PUT", &format!("/v1/objects/Linked/{}", Uuid::from_u128(1)), r#"{"class": "Linked"}"#);
}

fn long_texts(target: &Target) {
    let text: String = (0..300_000).map(|n| format!("w{n} ")).collect();
    exchange(target, "POST", "/v1/objects", &json!({"class": "Open", "properties": {"text": text}}).to_string());
}

fn deep_objects(target: &Target) {
    let nested = format!("{}1{}", "{\"a\":[".repeat(200), "]}".repeat(200));
    exchange(target, "POST", "/v1/objects", &format!("{{\"class\": \"Deep\", \"properties\": {nested}}}"));
}

fn wide_schemas(target: &Target) {
    let properties: Vec<_> = (0..60_000).map(|n| json!({"name": format!("p{n}"), "dataType": ["int"]})).collect();
    exchange(target, "POST", "/v1/schema", &json!({"class": "Wide", "properties": properties}).to_string());
    exchange(target, "DELETE", "/v1/schema/Wide", "");
}

fn slow_heads(target: &Target) {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", target.port)) else { return };
    let head = format!("GET /v1/meta HTTP/1.1\r\nX-Slow: {}", "x".repeat(10_000));
    for byte in head.as_bytes() {
        if target.over.load(Ordering::Relaxed) || stream.write_all(&[*byte]).is_err() {
            return;
        }
        std::thread::sleep(Duration::from_secs(1));
    }
}
