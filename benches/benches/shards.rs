//! One collection in one shard and in eight, with the same objects: what the spreading costs on one node.
//!
//! `cargo bench -p azimuth-benches --bench shards [-- --objects 50000 --rounds 3]`
//!
//! Each row gives the rate of both and their ratio, median over the rounds, which measure both in turn. Before the table the
//! answers of both are compared.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a bench talks to its reader")]

use std::error::Error as StdError;
use std::sync::Arc;
use std::time::{Duration, Instant};

use azimuth_benches::corpus::{Corpus, K};
use azimuth_benches::meter::measure;
use azimuth_benches::server::{Server, built_binary};
use azimuth_client::{BatchOptions, Filter, Object, Query};
use clap::Parser;
use serde_json::json;
use uuid::Uuid;

type Outcome<T> = Result<T, Box<dyn StdError + Send + Sync>>;

/// The collections and the number of their shards.
const COLLECTIONS: [(&str, u32); 2] = [("One", 1), ("Eight", 8)];

/// What to measure.
#[derive(Debug, Clone, Parser)]
struct Options {
    /// Objects in each collection.
    #[arg(long, default_value_t = 50_000)]
    objects: usize,
    /// Rounds; medians count.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 2)]
    seconds: u64,
    /// Set by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

/// A kind of query: its name, the number of clients, and the query of number `n`.
struct Case {
    name: &'static str,
    clients: usize,
    query: fn(&Corpus, usize) -> Query,
}

const CASES: [Case; 7] = [
    Case { name: "10 nearest, 1 client", clients: 1, query: nearest },
    Case { name: "10 nearest, 8 clients", clients: 8, query: nearest },
    Case { name: "10 nearest of 6 %, 8 clients", clients: 8, query: filtered },
    Case { name: "first 10 of 6 %, 8 clients", clients: 8, query: listed },
    Case { name: "first 10 by a number, 1 client", clients: 1, query: sorted },
    Case { name: "best 10 by two words, 8 clients", clients: 8, query: keywords },
    Case { name: "best 10 by two words and a vector, 8 clients", clients: 8, query: hybrid },
];

fn near(corpus: &Corpus, n: usize) -> Query {
    Query::near_vector(corpus.queries.row(n % corpus.queries.len())).limit(K as u32)
}

fn nearest(corpus: &Corpus, n: usize) -> Query {
    near(corpus, n).properties(["number"])
}

fn few() -> Filter {
    Filter::property("bucket").less(6)
}

fn filtered(corpus: &Corpus, n: usize) -> Query {
    near(corpus, n).filter(few()).properties(["number"])
}

fn listed(_: &Corpus, _: usize) -> Query {
    Query::list().filter(few()).limit(K as u32).properties(["number"])
}

fn sorted(_: &Corpus, _: usize) -> Query {
    Query::list().sort_by("number", false).limit(K as u32).properties(["number"])
}

/// Two words of a passage.
fn words(corpus: &Corpus, n: usize) -> String {
    let text = corpus.passages[n.wrapping_mul(7_919) % corpus.passages.len()].text.split_whitespace();
    let mut words: Vec<&str> = text.filter(|word| word.len() > 4).collect();
    words.truncate(2);
    words.join(" ")
}

fn keywords(corpus: &Corpus, n: usize) -> Query {
    Query::bm25(words(corpus, n)).limit(K as u32).properties(["number"])
}

fn hybrid(corpus: &Corpus, n: usize) -> Query {
    let vector = corpus.queries.row(n % corpus.queries.len());
    Query::hybrid(words(corpus, n), vector, 0.5).limit(K as u32).properties(["number"])
}

fn main() -> Outcome<()> {
    let options = Options::parse();
    let binary = built_binary()?;
    let corpus = Arc::new(Corpus::load(options.objects, 500)?);
    let folder = tempfile::Builder::new().prefix("azimuth-shards-").tempdir()?;
    let data = folder.path().join("data");
    std::fs::create_dir(&data)?;
    let server = Server::start(&binary, &data)?;
    let runtime = tokio::runtime::Runtime::new()?;
    let mut loading = Vec::new();
    for (name, shards) in COLLECTIONS {
        let elapsed = runtime.block_on(load(&server, &corpus, name, shards))?;
        loading.push(corpus.vectors.len() as f64 / elapsed.as_secs_f64());
    }
    let alike = runtime.block_on(compare(&server, &corpus))?;
    println!("\n{}, {} objects; {alike}\n", corpus.name, corpus.vectors.len());
    println!("| | 1 shard | 8 shards | 8 / 1 |\n| --- | --- | --- | --- |");
    let row = |name: &str, rates: &[f64]| {
        println!("| {name}, per second | {:.0} | {:.0} | {:.2} |", rates[0], rates[1], rates[1] / rates[0]);
    };
    row("objects loaded", &loading);
    for case in &CASES {
        let mut rates = [Vec::new(), Vec::new()];
        for _ in 0..options.rounds {
            for ((name, _), rates) in COLLECTIONS.iter().zip(&mut rates) {
                rates.push(rate(&server, &corpus, name, case, Duration::from_secs(options.seconds))?);
            }
        }
        row(case.name, &rates.map(median));
    }
    server.stop()?;
    Ok(())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

fn rate(server: &Server, corpus: &Arc<Corpus>, name: &str, case: &Case, span: Duration) -> Outcome<f64> {
    let rate = measure::<_, _, _, Box<dyn StdError + Send + Sync>>(case.clients, span, || {
        let (collection, corpus, query) = (server.client()?.collection(name)?, corpus.clone(), case.query);
        Ok(move |number: usize| {
            let (collection, query) = (collection.clone(), query(&corpus, number));
            async move { Ok(collection.search(query).await?.len() as f64) }
        })
    })?;
    Ok(rate.per_second)
}

/// Creates and fills a collection, and waits until its vectors are linked; the time of the writes.
async fn load(server: &Server, corpus: &Corpus, name: &str, shards: u32) -> Outcome<Duration> {
    let client = server.client()?;
    let class = json!({
        "class": name, "vectorizer": "none", "shardingConfig": {"desiredCount": shards},
        "properties": [
            {"name": "text", "dataType": ["text"]}, {"name": "number", "dataType": ["int"]},
            {"name": "bucket", "dataType": ["int"]},
        ],
    });
    client.post_raw("/schema", class.to_string()).await?;
    let collection = client.collection(name)?;
    let object = |n: usize| {
        let text = corpus.passages[n].text.as_str();
        let number = (n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        let object = Object::with_id(Corpus::id(n)).property("text", text).property("number", number);
        object.property("bucket", Corpus::bucket(n)).vector(corpus.vectors.row(n).to_vec())
    };
    let objects: Vec<Object> = (0..corpus.vectors.len()).map(object).collect();
    let begun = Instant::now();
    let report = collection.insert_many(&objects, BatchOptions::default()).await?;
    let elapsed = begun.elapsed();
    if let Some(failure) = report.failures.first() {
        return Err(format!("{failure:?}").into());
    }
    while collection.vector_queue_size().await? > 0 {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Ok(elapsed)
}

/// How many of the answers are equal in both collections.
async fn compare(server: &Server, corpus: &Corpus) -> Outcome<String> {
    let mut parts = Vec::new();
    for case in CASES.iter().filter(|case| case.clients == 1 || case.name.contains('%')) {
        let (mut equal, queries) = (0, 100);
        for n in 0..queries {
            let mut found: Vec<Vec<Uuid>> = Vec::new();
            for (name, _) in COLLECTIONS {
                let hits = server.client()?.collection(name)?.search((case.query)(corpus, n)).await?;
                found.push(hits.iter().map(|hit| hit.object.id).collect());
            }
            equal += usize::from(found[0] == found[1]);
        }
        parts.push(format!("{}: {equal} of {queries} answers equal", case.name));
    }
    Ok(parts.join("; "))
}
