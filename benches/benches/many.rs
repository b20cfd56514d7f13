//! Thousands of small collections in one server, printed as one table: what they cost, how fast they are there again.
//!
//! `cargo bench -p azimuth-benches --bench many [-- --collections 10000 --objects 100]`
//!
//! One collection per application or per user is how retrieval back ends use a vector database; each must cost next to
//! nothing while nobody asks for it.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a bench talks to its reader")]

use std::error::Error as StdError;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use azimuth_benches::corpus::{Corpus, K};
use azimuth_benches::meter::measure;
use azimuth_benches::server::{Server, built_binary};
use azimuth_benches::table::{megabytes, time};
use azimuth_client::{Client, CollectionConfig, DataType, Object, Property, Query, VectorIndex};
use clap::Parser;

type Outcome<T> = Result<T, Box<dyn StdError + Send + Sync>>;

/// What to measure.
#[derive(Debug, Clone, Parser)]
struct Options {
    /// Collections to create.
    #[arg(long, default_value_t = 10_000)]
    collections: usize,
    /// Objects in each.
    #[arg(long, default_value_t = 100)]
    objects: usize,
    /// Requests on the way at a time while loading.
    #[arg(long, default_value_t = 8)]
    concurrency: usize,
    /// Folder to keep the collections in; one that holds them already is measured from its start on.
    #[arg(long)]
    data: Option<PathBuf>,
    /// Seconds that a measurement of queries takes.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Set by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Outcome<()> {
    let options = Options::parse();
    let binary = built_binary()?;
    let corpus = Arc::new(Corpus::load(50_000, 500)?);
    let folder = tempfile::Builder::new().prefix("azimuth-many-").tempdir()?;
    let data = options.data.clone().unwrap_or_else(|| folder.path().join("data"));
    std::fs::create_dir_all(&data)?;
    let rows = run(&options, &corpus, &binary, &data)?;
    println!("\n{} collections x {} objects, {}\n", options.collections, options.objects, corpus.name);
    println!("| what | |\n| --- | --- |");
    rows.iter().for_each(|(what, figure)| println!("| {what} | {figure} |"));
    Ok(())
}

fn run(options: &Options, corpus: &Arc<Corpus>, binary: &Path, data: &Path) -> Outcome<Vec<(&'static str, String)>> {
    let mut rows = Vec::new();
    let mut show = |what: &'static str, figure: String| {
        eprintln!("{what}: {figure}");
        rows.push((what, figure));
    };
    if std::fs::read_dir(data)?.next().is_none() {
        load(options, corpus, binary, data, &mut show)?;
    }
    let server = Server::start(binary, data)?;
    show("start to ready", time(server.start));
    std::thread::sleep(Duration::from_secs(2));
    let memory = server.memory()?;
    let anonymous = megabytes(memory.anonymous);
    show("resident after the start", format!("{} ({anonymous} without mapped files)", megabytes(memory.resident)));
    show("processor, nobody asking", format!("{:.1} %", server.processor_percent(Duration::from_secs(5))?));
    for what in ["queries to collections not asked before", "queries to collections, again"] {
        let rate =
            measure::<_, _, _, Box<dyn StdError + Send + Sync>>(2, Duration::from_secs(options.seconds), || {
                let client = server.client()?;
                Ok(move |number: usize| {
                    let (client, corpus) = (client.clone(), corpus.clone());
                    let name = name(number * 7919 % options.collections);
                    async move {
                        let query = corpus.queries.row(number % corpus.queries.len()).to_vec();
                        let hits = client.collection(&name)?.search(Query::near_vector(query).limit(K as u32)).await?;
                        Ok(hits.len() as f64)
                    }
                })
            })?;
        let (p50, p99) = (time(rate.p50), time(rate.p99));
        show(what, format!("{:.0}/s, p50 {p50}, p99 {p99}, {:.1} hits", rate.per_second, rate.mean));
    }
    let memory = server.memory()?;
    show("resident after the queries", megabytes(memory.resident));
    server.stop()?;
    Ok(rows)
}

/// Creates and fills the collections.
fn load(
    options: &Options,
    corpus: &Arc<Corpus>,
    binary: &Path,
    data: &Path,
    show: &mut impl FnMut(&'static str, String),
) -> Outcome<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    let server = Server::start(binary, data)?;
    let begun = Instant::now();
    runtime.block_on(for_each(&server, options, create))?;
    show("collections created", per_second(options.collections, begun.elapsed()));
    let begun = Instant::now();
    let (documents, objects) = (corpus.clone(), options.objects);
    let load = move |client, n| fill(client, objects, documents.clone(), n);
    runtime.block_on(for_each(&server, options, load))?;
    show("objects loaded, durable", per_second(options.collections * options.objects, begun.elapsed()));
    let memory = server.memory()?;
    show("resident after loading", format!("{} (peak {})", megabytes(memory.resident), megabytes(memory.peak)));
    show("disk", megabytes(server.disk_bytes()?));
    show("stop", time(server.stop()?));
    Ok(())
}

fn name(n: usize) -> String {
    format!("Small{n}")
}

fn per_second(count: usize, elapsed: Duration) -> String {
    format!("{:.0}/s ({} in all)", count as f64 / elapsed.as_secs_f64(), time(elapsed))
}

/// Runs `work` once for each collection, some at a time, and says how far it is.
async fn for_each<F>(
    server: &Server,
    options: &Options,
    work: impl Fn(Client, usize) -> F + Clone + Send + 'static,
) -> Outcome<()>
where
    F: Future<Output = Outcome<()>> + Send,
{
    let next = Arc::new(AtomicUsize::new(0));
    let mut workers = tokio::task::JoinSet::new();
    for _ in 0..options.concurrency.max(1) {
        let (client, next, work, collections) = (server.client()?, next.clone(), work.clone(), options.collections);
        workers.spawn(async move {
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= collections {
                    return Ok::<(), Box<dyn StdError + Send + Sync>>(());
                }
                work(client.clone(), n).await?;
                if (n + 1).is_multiple_of(1_000) {
                    eprintln!("  {} of {collections}", n + 1);
                }
            }
        });
    }
    while let Some(worker) = workers.join_next().await {
        worker??;
    }
    Ok(())
}

async fn create(client: Client, n: usize) -> Outcome<()> {
    let config = CollectionConfig::new(name(n))
        .property(Property::new("text", DataType::Text))
        .property(Property::new("number", DataType::Int))
        .unnamed_vector(VectorIndex::hnsw());
    client.create_collection(&config).await?;
    Ok(())
}

async fn fill(client: Client, objects: usize, corpus: Arc<Corpus>, n: usize) -> Outcome<()> {
    let objects: Vec<Object> = (0..objects)
        .map(|m| {
            let row = (n * objects + m) % corpus.vectors.len();
            let object =
                Object::new().property("text", corpus.passages[row].text.as_str()).property("number", m as u64);
            object.vector(corpus.vectors.row(row).to_vec())
        })
        .collect();
    let report = client.collection(&name(n))?.insert_many(&objects, Default::default()).await?;
    match report.failures.first() {
        Some(failure) => Err(format!("{failure:?}").into()),
        None => Ok(()),
    }
}
