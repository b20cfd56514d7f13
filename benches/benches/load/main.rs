//! A load test of a real server over the wire, printed as one table.
//!
//! `cargo bench -p azimuth-benches --bench load [-- --objects 50000 --runs 3 --seconds 3]`
//!
//! Starts `target/release/azimuth` (built first, unless `AZIMUTH_BINARY` names another) on free ports and a temporary
//! folder, loads documents, queries them over gRPC and GraphQL, kills it, starts it again, and ends it. Every figure
//! comes from outside of the server's process. The columns of the peers are quoted from measurements made elsewhere, on
//! the same kind of machine and the same data; they are not part of the run.
//!
//! `-- --against BINARY` runs this server and the one in BINARY side by side instead: see `compare`.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a bench talks to its reader")]

mod compare;
mod queries;

use std::error::Error as StdError;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use azimuth_benches::corpus::{Corpus, K, recall};
use azimuth_benches::meter::Rate;
use azimuth_benches::server::{Memory, Server, built_binary};
use azimuth_benches::table::{self, PeerTable, megabytes, time};
use azimuth_client::{BatchOptions, Collection, CollectionConfig, DataType, Object, Property, Query, VectorIndex};
use clap::Parser;
use serde_json::json;

type Outcome<T> = Result<T, Box<dyn StdError + Send + Sync>>;

const NAME: &str = "Passage";

/// What to measure.
#[derive(Debug, Clone, Parser)]
struct Options {
    /// Documents to load over gRPC.
    #[arg(long, default_value_t = 50_000, env = "AZIMUTH_BENCH_OBJECTS")]
    objects: usize,
    /// Documents to load over REST, into a collection of their own.
    #[arg(long, default_value_t = 10_000, env = "AZIMUTH_BENCH_REST_OBJECTS")]
    rest_objects: usize,
    /// Different queries to use.
    #[arg(long, default_value_t = 500, env = "AZIMUTH_BENCH_QUERIES")]
    queries: usize,
    /// Measurements of each rate; the median counts.
    #[arg(long, default_value_t = 3, env = "AZIMUTH_BENCH_RUNS")]
    runs: usize,
    /// Seconds that one measurement takes.
    #[arg(long, default_value_t = 3, env = "AZIMUTH_BENCH_SECONDS")]
    seconds: u64,
    /// Objects in one batch.
    #[arg(long, default_value_t = 200, env = "AZIMUTH_BENCH_BATCH")]
    batch: usize,
    /// Batches on the way at a time.
    #[arg(long, default_value_t = 4, env = "AZIMUTH_BENCH_CONCURRENCY")]
    concurrency: usize,
    /// Clients of the second measurement of each kind.
    #[arg(long, default_value_t = 8, env = "AZIMUTH_BENCH_CLIENTS")]
    clients: usize,
    /// Ends after loading and one round of queries.
    #[arg(long)]
    short: bool,
    /// Compares with the server in this file, step by step in turn.
    #[arg(long)]
    against: Option<PathBuf>,
    /// Rounds of a comparison; medians count.
    #[arg(long, default_value_t = 5, env = "AZIMUTH_BENCH_ROUNDS")]
    rounds: usize,
    /// Measurements of each read on each server within a round of a comparison, in turn.
    #[arg(long, default_value_t = 1)]
    turns: usize,
    /// Parts of a comparison to run beside the ingest; all without it.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Keeps the data folder and says where it is.
    #[arg(long)]
    keep: bool,
    /// Set by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Outcome<()> {
    let options = Options::parse();
    let binary = built_binary()?;
    let corpus = Arc::new(Corpus::load(options.objects, options.queries)?);
    eprintln!("{}; {} queries; {}", corpus.name, corpus.queries.len(), binary.display());
    if let Some(other) = options.against.clone() {
        return compare::run(&options, &corpus, &[other, binary]);
    }
    let folder = tempfile::Builder::new().prefix("azimuth-load-").tempdir()?;
    let mut bench = Bench::new(options, corpus, binary, folder.path())?;
    let outcome = bench.run();
    println!("\n{}, {} processors\n\n{}", bench.corpus.name, processors(), bench.table.text());
    if bench.options.keep || outcome.is_err() {
        eprintln!("data and log: {}", folder.keep().display());
    }
    outcome
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

struct Bench {
    options: Options,
    corpus: Arc<Corpus>,
    binary: PathBuf,
    data: PathBuf,
    runtime: tokio::runtime::Runtime,
    table: PeerTable,
    figures: Vec<Figure>,
}

/// A measured value that a comparison can put beside another server's.
#[derive(Debug, Clone)]
struct Figure {
    what: String,
    value: f64,
    better: Better,
}

/// Which values are better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Better {
    Higher,
    Lower,
}

impl Bench {
    /// A bench whose server keeps its data in `folder/data`.
    fn new(options: Options, corpus: Arc<Corpus>, binary: PathBuf, folder: &Path) -> Outcome<Self> {
        let data = folder.join("data");
        std::fs::create_dir(&data)?;
        let runtime = tokio::runtime::Runtime::new()?;
        Ok(Self { options, corpus, binary, data, runtime, table: PeerTable::new(), figures: Vec::new() })
    }

    fn run(&mut self) -> Outcome<()> {
        let server = Server::start(&self.binary, &self.data)?;
        self.empty_server(&server)?;
        let exact = self.corpus.exact(|_| true);
        self.ingest(&server, &exact)?;
        self.queries(&server, &exact)?;
        if self.options.short {
            return Ok(server.stop().map(drop)?);
        }
        self.filtered_queries(&server)?;
        self.rest_ingest(&server)?;
        self.resources(&server)?;
        self.restarts(server, &exact)
    }

    fn empty_server(&mut self, server: &Server) -> Outcome<()> {
        std::thread::sleep(Duration::from_secs(2));
        let memory = server.memory()?;
        let processor = server.processor_percent(Duration::from_secs(5))?;
        self.table.add("start to ready, empty", &time(server.start), "", "");
        self.table.add("idle empty: resident", &resident(memory), "130 MB", "219 + 65 MB");
        self.table.add("idle empty: processor", &format!("{processor:.1} %"), "0.2 %", "2.4 %");
        Ok(())
    }

    /// Loads all documents in batches over gRPC, queries while the index is being built, and waits for the index.
    fn ingest(&mut self, server: &Server, exact: &[Vec<usize>]) -> Outcome<()> {
        let objects: Vec<Object> = (0..self.corpus.vectors.len()).map(|index| self.object(index)).collect();
        let options = BatchOptions {
            objects_max: self.options.batch,
            in_flight_max: self.options.concurrency,
            ..BatchOptions::default()
        };
        let figures = self.runtime.block_on(async {
            let client = server.client()?;
            client.create_collection(&configuration(NAME)).await?;
            let collection = client.collection(NAME)?;
            let begun = Instant::now();
            let report = collection.insert_many(&objects, options).await?;
            let durable = begun.elapsed();
            let queue = collection.vector_queue_size().await?;
            let found = recall_of(&collection, &self.corpus, exact, 100).await?;
            let queue_after = collection.vector_queue_size().await?;
            while collection.vector_queue_size().await? > 0 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            let indexed = begun.elapsed();
            let count = collection.count(None).await?;
            Outcome::Ok((report.failures.len(), durable, queue, queue_after, found, indexed, count))
        })?;
        let (failures, durable, queue, queue_after, found, indexed, count) = figures;
        if failures > 0 || count != objects.len() as u64 {
            return Err(format!("{failures} objects refused, {count} of {} counted", objects.len()).into());
        }
        let per_second = objects.len() as f64 / durable.as_secs_f64();
        let ours = format!("{per_second:.0} objects/s ({} in all)", time(durable));
        let what = format!("ingest over gRPC, durable, {} x {}", self.options.batch, self.options.concurrency);
        self.table.add(&what, &ours, "512 (1,027 with ASYNC_INDEXING)", "");
        self.figure(&what, per_second, Better::Higher);
        self.figure("indexed after, s", indexed.as_secs_f64(), Better::Lower);
        self.table.add("indexed after, from the first batch", &time(indexed), "98 s (async 114 s)", "20.3 s");
        let ours = format!("{found:.4} ({queue} to {queue_after} vectors not indexed)");
        self.table.add("recall@10 right after ingest", &ours, "", "");
        Ok(())
    }

    fn add_rate(&mut self, what: &str, rate: &Rate, weaviate: &str, milvus: &str) {
        self.table.add(what, &table::rate(rate), weaviate, milvus);
        self.figure(what, rate.per_second, Better::Higher);
    }

    fn figure(&mut self, what: &str, value: f64, better: Better) {
        self.figures.push(Figure { what: what.to_owned(), value, better });
    }

    /// Loads some documents over REST, batches of the same size, as many on the way.
    fn rest_ingest(&mut self, server: &Server) -> Outcome<()> {
        const REST_NAME: &str = "RestPassage";
        let count = self.options.rest_objects.min(self.corpus.vectors.len());
        let bodies: Vec<Vec<u8>> = (0..count)
            .collect::<Vec<_>>()
            .chunks(self.options.batch)
            .map(|indexes| self.rest_batch(REST_NAME, indexes))
            .collect();
        let concurrency = self.options.concurrency;
        let (elapsed, counted) = self.runtime.block_on(async {
            let client = server.client()?;
            client.create_collection(&configuration(REST_NAME)).await?;
            let begun = Instant::now();
            let mut on_the_way = tokio::task::JoinSet::new();
            for body in bodies {
                if on_the_way.len() >= concurrency
                    && let Some(done) = on_the_way.join_next().await
                {
                    done??;
                }
                let client = client.clone();
                on_the_way.spawn(async move { client.post_raw("/batch/objects", body).await });
            }
            while let Some(done) = on_the_way.join_next().await {
                done??;
            }
            let elapsed = begun.elapsed();
            let counted = client.collection(REST_NAME)?.count(None).await?;
            client.delete_collection(REST_NAME).await?;
            Outcome::Ok((elapsed, counted))
        })?;
        if counted != count as u64 {
            return Err(format!("{counted} of {count} objects arrived over REST").into());
        }
        let per_second = count as f64 / elapsed.as_secs_f64();
        let what = format!("ingest over REST, durable, {} x {concurrency}", self.options.batch);
        self.table.add(&what, &format!("{per_second:.0} objects/s"), "", "");
        self.figure(&what, per_second, Better::Higher);
        Ok(())
    }

    fn resources(&mut self, server: &Server) -> Outcome<()> {
        std::thread::sleep(Duration::from_secs(2));
        let memory = server.memory()?;
        self.table.add("resident after load and queries", &resident(memory), "717 MB", "483 MB");
        self.table.add("resident, peak", &megabytes(memory.peak), "931 MB (async 1,523 MB)", "");
        self.figure("resident, MB", memory.anonymous as f64 / 1e6, Better::Lower);
        self.figure("resident peak, MB", memory.peak as f64 / 1e6, Better::Lower);
        self.table.add("disk", &megabytes(server.disk_bytes()?), "225 MB", "");
        let processor = server.processor_percent(Duration::from_secs(5))?;
        self.table.add("idle loaded: processor", &format!("{processor:.1} %"), "", "");
        Ok(())
    }

    /// Kills the server, starts it, stops it in order, starts it again; all data must be there each time.
    fn restarts(&mut self, server: Server, exact: &[Vec<usize>]) -> Outcome<()> {
        server.kill()?;
        let (server, first_answer) = self.start_again()?;
        let ours = format!("{}, first answer after {}", time(server.start), time(first_answer));
        self.table.add("start to ready after kill -9", &ours, "", "9.2 s to first answer");
        let found = self.recall_of_all(&server, exact)?;
        self.table.add("recall@10 after kill -9", &format!("{found:.4}, every object counted"), "", "");
        let stopped = server.stop()?;
        self.table.add("SIGTERM to end", &time(stopped), "", "");
        let (server, first_answer) = self.start_again()?;
        let ours = format!("{}, first answer after {}", time(server.start), time(first_answer));
        self.table.add("start to ready, loaded", &ours, "9-12 s", "");
        let found = self.recall_of_all(&server, exact)?;
        self.table.add("recall@10 after a restart", &format!("{found:.4}, every object counted"), "", "");
        let memory = server.memory()?;
        self.table.add("resident after a restart and queries", &resident(memory), "445 MB", "");
        server.stop()?;
        Ok(())
    }

    fn start_again(&self) -> Outcome<(Server, Duration)> {
        let begun = Instant::now();
        let server = Server::start(&self.binary, &self.data)?;
        let hits = self.runtime.block_on(async {
            let query = Query::near_vector(self.corpus.queries.row(0)).limit(K as u32);
            server.client()?.collection(NAME)?.search(query).await
        })?;
        if hits.len() != K.min(self.corpus.vectors.len()) {
            return Err(format!("ready, but a query finds {} objects", hits.len()).into());
        }
        Ok((server, begun.elapsed()))
    }

    fn recall_of_all(&self, server: &Server, exact: &[Vec<usize>]) -> Outcome<f64> {
        self.runtime.block_on(async {
            let collection = server.client()?.collection(NAME)?;
            let count = collection.count(None).await?;
            if count != self.corpus.vectors.len() as u64 {
                return Err(format!("{count} of {} objects are left", self.corpus.vectors.len()).into());
            }
            Ok(recall_of(&collection, &self.corpus, exact, self.corpus.queries.len()).await?)
        })
    }

    fn object(&self, index: usize) -> Object {
        let passage = &self.corpus.passages[index];
        Object::with_id(Corpus::id(index))
            .property("text", passage.text.clone())
            .property("source", passage.source.clone())
            .property("bucket", Corpus::bucket(index))
            .property("half", Corpus::half(index))
            .vector(self.corpus.vectors.row(index))
    }

    fn rest_batch(&self, name: &str, indexes: &[usize]) -> Vec<u8> {
        let objects: Vec<_> = indexes
            .iter()
            .map(|&index| {
                let object = self.object(index);
                json!({
                    "class": name,
                    "id": object.id,
                    "properties": object.properties,
                    "vector": self.corpus.vectors.row(index),
                })
            })
            .collect();
        json!({ "objects": objects }).to_string().into_bytes()
    }
}

fn configuration(name: &str) -> CollectionConfig {
    CollectionConfig::new(name)
        .property(Property::new("text", DataType::Text))
        .property(Property::new("source", DataType::Text).tokenization("field"))
        .property(Property::new("bucket", DataType::Int))
        .property(Property::new("half", DataType::Int))
        .unnamed_vector(VectorIndex::hnsw())
}

async fn recall_of(
    collection: &Collection,
    corpus: &Corpus,
    exact: &[Vec<usize>],
    queries: usize,
) -> azimuth_client::Result<f64> {
    let queries = queries.min(corpus.queries.len());
    let mut sum = 0.0;
    for (number, exact) in exact.iter().enumerate().take(queries) {
        let query = Query::near_vector(corpus.queries.row(number)).limit(K as u32).properties(Vec::<String>::new());
        let hits = collection.search(query).await?;
        let found: Vec<usize> = hits.iter().map(|hit| Corpus::index(hit.object.id)).collect();
        sum += recall(&found, exact);
    }
    Ok(sum / queries as f64)
}

fn resident(memory: Memory) -> String {
    format!("{} ({} without mapped files)", megabytes(memory.resident), megabytes(memory.anonymous))
}
