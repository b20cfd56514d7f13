//! Keyword searches beside the crate tantivy, on the same documents in the same run.
//!
//! `cargo bench -p azimuth-benches --bench keyword [-- --documents 100000 --documents 1000000 --rounds 5]`
//!
//! Both run in this process on one thread. Documents are short texts of words with Zipf's frequencies; queries have one to
//! five words, any or all of which must be found, and want the ten best. Ours reads the ids of the hits as well. Each row of
//! the table gives the median over the rounds, which measure both in turn.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a bench talks to its reader")]

use std::error::Error as StdError;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use azimuth_benches::clock::{Clock, Elapsed, Spread};
use azimuth_engine::command::{Command, PutMode};
use azimuth_engine::data::{DataGroup, GroupOptions};
use azimuth_engine::ids::{CollectionId, GroupId, PropertyId, ShardId, ShardKey};
use azimuth_engine::maintain::WorkBudget;
use azimuth_engine::object::{Object, Properties, Value, Vectors};
use azimuth_engine::query::{Include, Keyword, KeywordOperator, Query, Rank, SearchedProperty};
use azimuth_engine::replica::{Batch, Entry, EntryBody, LogPosition, StateMachine};
use azimuth_engine::schema::{Collection, DataType, ListedShard, Primitive, Property, TenantStatus, Tokenization};
use clap::Parser;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tantivy::collector::TopDocs;
use tantivy::query::{BooleanQuery, Occur, TermQuery};
use tantivy::schema::{Field, IndexRecordOption, Schema, TextFieldIndexing, TextOptions};
use tantivy::{Index, IndexWriter, Searcher, TantivyDocument, Term};
use uuid::Uuid;

type Outcome<T> = Result<T, Box<dyn StdError + Send + Sync>>;

/// Different words.
const WORDS: usize = 60_000;
/// Words of a document, at least and at most.
const LENGTHS: (usize, usize) = (5, 20);
/// Ranks of the words that queries use.
const QUERY_RANKS: (usize, usize) = (20, 4_000);
const HITS: usize = 10;
const BATCH: usize = 1_000;
/// The documents' collection and its shard.
const AT: ShardKey = ShardKey { collection: CollectionId(1), shard: ShardId(0) };

/// What to measure.
#[derive(Debug, Clone, Parser)]
struct Options {
    /// Documents; may be given several times.
    #[arg(long, default_values_t = [100_000, 1_000_000])]
    documents: Vec<usize>,
    /// Rounds; medians count.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Queries of a round and row.
    #[arg(long, default_value_t = 200)]
    queries: usize,
    /// Set by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Outcome<()> {
    let options = Options::parse();
    for &documents in &options.documents {
        let folder = tempfile::Builder::new().prefix("azimuth-keyword-").tempdir()?;
        let texts = texts(documents);
        let ours = Ours::build(&folder.path().join("ours"), &texts)?;
        let theirs = Theirs::build(&folder.path().join("theirs"), &texts)?;
        println!("\n{documents} documents\n\n| | ours | tantivy |\n| --- | --- | --- |");
        let seconds = |elapsed: Elapsed| (elapsed.wall.as_secs_f64(), elapsed.cpu.as_secs_f64());
        let (a, b) = (seconds(ours.built), seconds(theirs.built));
        println!("| build, s (processor) | {:.1} ({:.1}) | {:.1} ({:.1}) |", a.0, a.1, b.0, b.1);
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        println!("| bytes on disk with the texts, MiB | {:.1} | {:.1} |", mib(ours.bytes), mib(theirs.bytes));
        println!("\n| query | ours, p50 ms | per s | tantivy, p50 ms | per s | ours / tantivy |");
        println!("| --- | --- | --- | --- | --- | --- |");
        for all in [false, true] {
            for count in 1..=5 {
                row(&options, &ours, &theirs, count, all)?;
            }
        }
    }
    Ok(())
}

/// Measures queries of `count` words, `all` of which must be found or any.
fn row(options: &Options, ours: &Ours, theirs: &Theirs, count: usize, all: bool) -> Outcome<()> {
    let queries = queries(options.queries, count);
    // Scores differ by a factor, and ties are broken otherwise: the numbers of hits must agree.
    for words in queries.iter().take(20) {
        let (a, b) = (ours.search(words, all)?, theirs.search(words, all)?);
        if a != b {
            return Err(format!("{words:?}: {a} hits of ours, {b} of tantivy").into());
        }
    }
    let (mut a, mut b) = (Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        a.push(measure(&queries, |words| ours.search(words, all))?);
        b.push(measure(&queries, |words| theirs.search(words, all))?);
    }
    let median = |of: &[(Duration, f64)]| {
        let p50 = Spread::of(&of.iter().map(|(p50, _)| p50.as_secs_f64() * 1e3).collect::<Vec<_>>()).median;
        (p50, Spread::of(&of.iter().map(|(_, rate)| *rate).collect::<Vec<_>>()).median)
    };
    let (a, b) = (median(&a), median(&b));
    let operator = if all { "and" } else { "or" };
    println!("| {count} {operator} | {:.3} | {:.0} | {:.3} | {:.0} | {:.2} |", a.0, a.1, b.0, b.1, a.1 / b.1);
    Ok(())
}

/// The median time of a query, and queries per second.
fn measure(queries: &[Vec<String>], search: impl Fn(&[String]) -> Outcome<usize>) -> Outcome<(Duration, f64)> {
    let start = Instant::now();
    let mut times = Vec::with_capacity(queries.len());
    for words in queries {
        let begun = Instant::now();
        search(words)?;
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    Ok((times[times.len() / 2], queries.len() as f64 / start.elapsed().as_secs_f64()))
}

fn word(rank: usize) -> String {
    format!("w{rank}")
}

/// A rank by Zipf's law with exponent 1, about.
fn zipf(rng: &mut ChaCha8Rng) -> usize {
    let share: f64 = rng.random();
    ((WORDS as f64).powf(share) - 1.0) as usize
}

fn texts(documents: usize) -> Vec<String> {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let text = |_| {
        let count = rng.random_range(LENGTHS.0..=LENGTHS.1);
        (0..count).map(|_| word(zipf(&mut rng))).collect::<Vec<_>>().join(" ")
    };
    (0..documents).map(text).collect()
}

fn queries(number: usize, words: usize) -> Vec<Vec<String>> {
    let mut rng = ChaCha8Rng::seed_from_u64(words as u64);
    let (low, high) = (QUERY_RANKS.0 as f64, QUERY_RANKS.1 as f64);
    let mut rank = || (low * (high / low).powf(rng.random::<f64>())) as usize;
    (0..number).map(|_| (0..words).map(|_| word(rank())).collect()).collect()
}

fn bytes_below(path: &Path) -> Outcome<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        bytes += if entry.path().is_dir() { bytes_below(&entry.path())? } else { entry.metadata()?.len() };
    }
    Ok(bytes)
}

/// A shard of ours.
struct Ours {
    group: Arc<DataGroup>,
    property: PropertyId,
    built: Elapsed,
    bytes: u64,
}

impl Ours {
    fn build(path: &Path, texts: &[String]) -> Outcome<Self> {
        let (group, _) = DataGroup::open(path, GroupOptions::new(GroupId::FIRST_DATA))?;
        let schema = schema()?;
        let property = schema.properties()[0].id;
        let clock = Clock::start();
        let mut index = 1;
        let mut apply = |commands| {
            let position = LogPosition { term: 1, node: 1, index };
            let body = EntryBody::Batch(Batch { proposer: 1, sequence: index, commands });
            index += 1;
            group.apply(vec![Entry { position, body }]).map(drop)
        };
        apply(vec![Command::PutCollection(Box::new(schema))])?;
        for (number, batch) in texts.chunks(BATCH).enumerate() {
            let object = |(n, text): (usize, &String)| {
                let id = Uuid::from_u64_pair((n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15), n as u64);
                let properties: Properties = [("text".to_owned(), Value::Text(text.clone()))].into_iter().collect();
                Object { id, created_ms: 1, updated_ms: 1, properties, vectors: Vectors::default() }
            };
            let put = |object| Command::Put { at: AT, mode: PutMode::Upsert, object: Box::new(object) };
            let objects = batch.iter().enumerate().map(|(n, text)| object((number * BATCH + n, text)));
            apply(objects.map(put).collect())?;
            group.work(&WorkBudget::default())?;
        }
        while group.work(&WorkBudget::default())?.more {}
        group.flush()?;
        let built = clock.elapsed();
        Ok(Self { bytes: bytes_below(path)?, group, property, built })
    }

    /// Number of hits.
    fn search(&self, words: &[String], all: bool) -> Outcome<usize> {
        let operator = if all { KeywordOperator::And } else { KeywordOperator::Or { minimum: 0 } };
        let properties = vec![SearchedProperty { property: self.property, boost: 1.0 }];
        let keyword = Keyword { query: words.join(" "), properties, operator, statistics: None, explain: false };
        let query = Query {
            rank: Rank::Keyword(keyword),
            filter: None,
            offset: 0,
            limit: HITS,
            sort: Vec::new(),
            include: Include::default(),
        };
        Ok(self.group.search(AT, &query)?.len())
    }
}

fn schema() -> Outcome<Collection> {
    let text = Property {
        id: PropertyId(0),
        name: "text".into(),
        description: None,
        data_type: DataType::one(Primitive::Text),
        tokenization: Some(Tokenization::Word),
        filterable: false,
        searchable: true,
        range_filterable: false,
        nested: Vec::new(),
        text_analyzer: None,
        module_config: None,
    };
    let shard = ListedShard { id: AT.shard, status: TenantStatus::Hot, read_only: false };
    let mut schema = Collection {
        id: AT.collection,
        version: 1,
        name: "Text".into(),
        properties: Some(vec![text]),
        listed: Some([("s0".to_owned(), shard)].into_iter().collect()),
        listed_next: Some(1),
        ..Collection::default()
    };
    schema.assign_ids()?;
    Ok(schema)
}

/// An index of tantivy, of one segment.
struct Theirs {
    searcher: Searcher,
    text: Field,
    built: Elapsed,
    bytes: u64,
}

impl Theirs {
    fn build(path: &Path, texts: &[String]) -> Outcome<Self> {
        std::fs::create_dir(path)?;
        let indexing = TextFieldIndexing::default().set_tokenizer("default");
        let indexing = indexing.set_index_option(IndexRecordOption::WithFreqs);
        let mut schema = Schema::builder();
        let text = schema.add_text_field("text", TextOptions::default().set_indexing_options(indexing).set_stored());
        let index = Index::create_in_dir(path, schema.build())?;
        let clock = Clock::start();
        let mut writer: IndexWriter = index.writer_with_num_threads(1, 256 << 20)?;
        for line in texts {
            let mut document = TantivyDocument::default();
            document.add_text(text, line);
            writer.add_document(document)?;
        }
        writer.commit()?;
        let segments = index.searchable_segment_ids()?;
        if segments.len() > 1 {
            writer.merge(&segments).wait()?;
        }
        writer.garbage_collect_files().wait()?;
        writer.wait_merging_threads()?;
        let built = clock.elapsed();
        let searcher = index.reader()?.searcher();
        Ok(Self { searcher, text, built, bytes: bytes_below(path)? })
    }

    /// Number of hits.
    fn search(&self, words: &[String], all: bool) -> Outcome<usize> {
        let occur = if all { Occur::Must } else { Occur::Should };
        let mut words: Vec<&String> = words.iter().collect();
        words.sort_unstable();
        words.dedup();
        let clause = |word: &&String| -> (Occur, Box<dyn tantivy::query::Query>) {
            let term = Term::from_field_text(self.text, word);
            (occur, Box::new(TermQuery::new(term, IndexRecordOption::WithFreqs)))
        };
        let query = BooleanQuery::new(words.iter().map(clause).collect());
        Ok(self.searcher.search(&query, &TopDocs::with_limit(HITS).order_by_score())?.len())
    }
}
