//! A load test of a real server over the wire, printed as one table.
//!
//! `cargo bench -p azimuth-benches --bench load [-- --objects 50000 --runs 3 --seconds 3]`
//!
//! Starts `target/release/azimuth` (built first, unless `AZIMUTH_BINARY` names another) on free ports and a temporary
//! folder, loads documents, queries them over gRPC and GraphQL, kills it, starts it again, and ends it. Every figure
//! comes from outside of the server's process. The columns of the peers are quoted from measurements made elsewhere, on
//! the same kind of machine and the same data; they are not part of the run.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a bench talks to its reader")]

use std::error::Error as StdError;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use azimuth_benches::corpus::{Corpus, K, recall};
use azimuth_benches::filters::{FilterCase, filter_cases};
use azimuth_benches::in_process;
use azimuth_benches::meter::{Rate, measure, median};
use azimuth_benches::server::{Memory, Server, built_binary};
use azimuth_benches::table::{self, PeerTable, megabytes, time};
use azimuth_client::{BatchOptions, Collection, CollectionConfig, DataType, Object, Property, Query, VectorIndex};
use clap::Parser;
use futures_util::{StreamExt, TryStreamExt, stream};
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
    let corpus = Corpus::load(options.objects, options.queries)?;
    eprintln!("{}; {} queries; {}", corpus.name, corpus.queries.len(), binary.display());
    let folder = tempfile::Builder::new().prefix("azimuth-load-").tempdir()?;
    let data = folder.path().join("data");
    std::fs::create_dir(&data)?;
    let runtime = tokio::runtime::Runtime::new()?;
    let mut bench = Bench { options, corpus, binary, data, runtime, table: PeerTable::new() };
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
    corpus: Corpus,
    binary: PathBuf,
    data: PathBuf,
    runtime: tokio::runtime::Runtime,
    table: PeerTable,
}

impl Bench {
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
        self.table.add("indexed after, from the first batch", &time(indexed), "98 s (async 114 s)", "20.3 s");
        let ours = format!("{found:.4} ({queue} to {queue_after} vectors not indexed)");
        self.table.add("recall@10 right after ingest", &ours, "", "");
        Ok(())
    }

    fn queries(&mut self, server: &Server, exact: &[Vec<usize>]) -> Outcome<()> {
        let clients = self.options.clients;
        let peers = [("199-304/s, recall .998", "406/s, recall .989"), ("526-753/s", "")];
        for (clients, (weaviate, milvus)) in [1, clients].into_iter().zip(peers) {
            let rate = self.grpc_rate(server, clients, exact, |vector| Query::near_vector(vector))?;
            let what = format!("queries over gRPC, all properties, {clients} client(s)");
            self.table.add(&what, &table::rate(&rate), weaviate, milvus);
        }
        for clients in [1, clients] {
            let rate = self.grpc_rate(server, clients, exact, |vector| {
                Query::near_vector(vector).properties(Vec::<String>::new())
            })?;
            let what = format!("queries over gRPC, ids only, {clients} client(s)");
            self.table.add(&what, &table::rate(&rate), "", "");
        }
        self.on_the_way(server, exact)?;
        for clients in [1, clients] {
            let rate = self.graphql_rate(server, clients, exact)?;
            let what = format!("queries over GraphQL, text + id, {clients} client(s)");
            self.table.add(&what, &table::rate(&rate), "", "");
        }
        self.many_a_call(server, exact)?;
        self.limits(server, exact)
    }

    /// Queries of one client over its one connection, as many on the way as there are clients else; the rate is of queries.
    fn on_the_way(&mut self, server: &Server, exact: &[Vec<usize>]) -> Outcome<()> {
        const IN_A_ROW: usize = 256;
        let (at_once, corpus) = (self.options.clients, &self.corpus);
        let rate = self.median_rate(1, || {
            let collection = server.client()?.collection(NAME)?;
            Ok(move |row: usize| {
                let collection = collection.clone();
                let one = move |number: usize| {
                    let collection = collection.clone();
                    let query = Query::near_vector(corpus.queries.row(number)).properties(Vec::<String>::new());
                    async move {
                        let hits = collection.search(query.limit(K as u32)).await?;
                        let found: Vec<usize> = hits.iter().map(|hit| Corpus::index(hit.object.id)).collect();
                        Outcome::Ok(recall(&found, &exact[number]))
                    }
                };
                let numbers = (0..IN_A_ROW).map(move |i| (row * IN_A_ROW + i) % exact.len());
                let recalls = stream::iter(numbers).map(one).buffer_unordered(at_once);
                recalls.try_fold(0.0, async |sum, recall| Ok(sum + recall / IN_A_ROW as f64))
            })
        })?;
        let ours = format!("{:.0}/s, recall {:.4}", rate.per_second * IN_A_ROW as f64, rate.mean);
        let what = format!("queries over gRPC, ids only, 1 client, {at_once} on the way");
        self.table.add(&what, &ours, "", "");
        Ok(())
    }

    /// Queries of one client, many in a call; the rate is of queries.
    fn many_a_call(&mut self, server: &Server, exact: &[Vec<usize>]) -> Outcome<()> {
        const IN_A_CALL: usize = 32;
        let vectors = &self.corpus.queries;
        let mut rate = self.median_rate(1, || {
            let collection = server.client()?.collection(NAME)?;
            Ok(move |call: usize| {
                let collection = collection.clone();
                let numbers: Vec<usize> = (0..IN_A_CALL).map(|n| (call * IN_A_CALL + n) % exact.len()).collect();
                let query = |number: &usize| Query::near_vector(vectors.row(*number)).limit(K as u32);
                let queries: Vec<Query> =
                    numbers.iter().map(query).map(|query| query.properties(Vec::<String>::new())).collect();
                async move {
                    let mut sum = 0.0;
                    for (hits, number) in collection.search_many(queries).await?.into_iter().zip(numbers) {
                        let found: Vec<usize> = hits?.iter().map(|hit| Corpus::index(hit.object.id)).collect();
                        sum += recall(&found, &exact[number]);
                    }
                    Ok(sum / IN_A_CALL as f64)
                }
            })
        })?;
        rate.per_second *= IN_A_CALL as f64;
        let what = format!("queries over gRPC, ids only, {IN_A_CALL} a call, 1 client");
        self.table.add(&what, &table::rate(&rate), "", "");
        Ok(())
    }

    /// What bounds one client: calls that do nothing, and the same queries without a server.
    fn limits(&mut self, server: &Server, exact: &[Vec<usize>]) -> Outcome<()> {
        let calls = self.median_rate(1, || {
            let client = server.client()?;
            Ok(move |_| {
                let client = client.clone();
                async move { Ok(f64::from(u8::from(client.is_serving_grpc().await))) }
            })
        })?;
        let ours = format!("{:.0}/s, p50 {}, p99 {}", calls.per_second, time(calls.p50), time(calls.p99));
        self.table.add("health checks over gRPC, 1 client", &ours, "", "");
        let span = Duration::from_secs(self.options.seconds.max(1));
        let rate = in_process::rate(&self.corpus, exact, self.options.runs, span)?;
        self.table.add("the same queries in process, one thread", &table::rate(&rate), "", "");
        Ok(())
    }

    fn filtered_queries(&mut self, server: &Server) -> Outcome<()> {
        for FilterCase { share, admit, filter, weaviate, milvus } in filter_cases() {
            let exact = self.corpus.exact(admit);
            let mut cells = Vec::new();
            for clients in [1, self.options.clients] {
                let filter = filter.clone();
                let query = move |vector: &[f32]| Query::near_vector(vector).filter(filter.clone());
                cells.push(table::rate(&self.grpc_rate(server, clients, &exact, query)?));
            }
            let what = format!("filtered {share} over gRPC, 1; {} clients", self.options.clients);
            self.table.add(&what, &cells.join("; "), weaviate, milvus);
        }
        Ok(())
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
        Ok(())
    }

    fn resources(&mut self, server: &Server) -> Outcome<()> {
        std::thread::sleep(Duration::from_secs(2));
        let memory = server.memory()?;
        self.table.add("resident after load and queries", &resident(memory), "717 MB", "483 MB");
        self.table.add("resident, peak", &megabytes(memory.peak), "931 MB (async 1,523 MB)", "");
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

    /// The median rate of `query` for every query vector in turn, with its recall.
    fn grpc_rate(
        &self,
        server: &Server,
        clients: usize,
        exact: &[Vec<usize>],
        query: impl Fn(&[f32]) -> Query + Sync,
    ) -> Outcome<Rate> {
        self.median_rate(clients, || {
            let collection = server.client()?.collection(NAME)?;
            let query = &query;
            Ok(move |number: usize| {
                let (collection, number) = (collection.clone(), number % exact.len());
                let query = query(self.corpus.queries.row(number)).limit(K as u32);
                async move {
                    let hits = collection.search(query).await?;
                    let found: Vec<usize> = hits.iter().map(|hit| Corpus::index(hit.object.id)).collect();
                    Ok(recall(&found, &exact[number]))
                }
            })
        })
    }

    fn graphql_rate(&self, server: &Server, clients: usize, exact: &[Vec<usize>]) -> Outcome<Rate> {
        let texts: Vec<String> = (0..self.corpus.queries.len()).map(|number| self.graphql(number)).collect();
        let texts = &texts;
        self.median_rate(clients, || {
            let client = server.client()?;
            Ok(move |number: usize| {
                let (client, number) = (client.clone(), number % texts.len());
                async move {
                    let data = client.graphql(&texts[number]).await?;
                    let hits = data["Get"][NAME].as_array().map(Vec::as_slice).unwrap_or_default();
                    let found: Vec<usize> = hits
                        .iter()
                        .filter_map(|hit| hit["_additional"]["id"].as_str()?.parse().ok().map(Corpus::index))
                        .collect();
                    Ok(recall(&found, &exact[number]))
                }
            })
        })
    }

    fn median_rate<S, C, F>(&self, clients: usize, connect: S) -> Outcome<Rate>
    where
        S: Fn() -> Outcome<C> + Sync,
        C: Fn(usize) -> F,
        F: Future<Output = Outcome<f64>>,
    {
        let span = Duration::from_secs(self.options.seconds.max(1));
        let runs = (0..self.options.runs.max(1)).map(|_| measure(clients, span, &connect)).collect::<Outcome<_>>()?;
        Ok(median(runs))
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

    fn graphql(&self, number: usize) -> String {
        let vector: Vec<String> = self.corpus.queries.row(number).iter().map(ToString::to_string).collect();
        format!(
            "{{ Get {{ {NAME}(limit: {K}, nearVector: {{vector: [{}]}}) {{ text _additional {{ id distance }} }} }} }}",
            vector.join(", ")
        )
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
