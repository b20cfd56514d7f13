//! How long one command keeps all other writes waiting: every kind at its limit, applied in process.
//!
//! `cargo bench -p azimuth-benches --bench commands [-- --only text --runs 3]`
//!
//! Writes of a group are applied one after another, so the slowest command bounds the waiting time of every other
//! write, and the time of a start that has to apply that command again. `docs/guarantees.md` states the bound.

#![allow(clippy::print_stdout, reason = "a bench talks to its reader")]

use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use azimuth_benches::clock::Clock;
use azimuth_engine::command::{Command, Outcome, Patch, PutMode};
use azimuth_engine::data::{DataGroup, GroupOptions};
use azimuth_engine::ids::{CollectionId, DocId, GroupId, PropertyId, ShardId, ShardKey, VectorId};
use azimuth_engine::limits::SHARDS_AT_ONCE_MAX;
use azimuth_engine::object::{Beacon, Object, Value, Vector};
use azimuth_engine::replica::{Batch, Entry, EntryBody, LogPosition, StateMachine};
use azimuth_engine::schema::{
    Collection, DataType, ListedShard, Primitive, Property, Shard, TenantStatus, Tokenization, VectorConfig,
    VectorIndexKind, VectorSpace,
};
use azimuth_engine::vector::{IndexConfig, Muvera, ROWS_MAX};
use azimuth_engine::weight::{ENTRIES_MAX, TOKENS_MAX};
use clap::Parser;
use uuid::Uuid;

type Result<T> = std::result::Result<T, Box<dyn StdError + Send + Sync>>;

/// Bytes of a command, as the proposer limits them.
const COMMAND_BYTES_MAX: usize = 32 << 20;
/// Bytes and commands of an entry of several commands.
const ENTRY_BYTES_MAX: usize = 1 << 20;
const ENTRY_COMMANDS_MAX: u64 = 512;
/// Named vectors of a collection.
const VECTORS: u32 = 200;
const PROPERTIES: usize = 10_000;
const TENANTS: u32 = 50_000;

/// Options of a run.
#[derive(Debug, Clone, Parser)]
struct Options {
    /// Only the rows whose name has this in it.
    #[arg(long)]
    only: Option<String>,
    /// How often each command is applied; the slowest run counts.
    #[arg(long, default_value_t = 3)]
    runs: u64,
    /// Set by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    let options = Options::parse();
    println!("| entry | bytes | slowest of {} | its processor time | and flushed |", options.runs);
    println!("| --- | --- | --- | --- | --- |");
    for (name, case) in CASES {
        if options.only.as_ref().is_none_or(|only| name.contains(only.as_str())) {
            let Measured { bytes, wall, cpu, flushed } = measure(*case, options.runs)?;
            let [wall, cpu, flushed] = [wall, cpu, flushed].map(|time| time.as_millis());
            println!("| {name} | {bytes} | {wall} ms | {cpu} ms | {flushed} ms |");
        }
    }
    Ok(())
}

/// Prepares a group and gives the commands of the run with that number.
type Case = fn(&Group, u64) -> Result<Vec<Command>>;

const CASES: &[(&str, Case)] = &[
    ("put, text of distinct words at the limit", |_, n| {
        Ok(vec![put(n, "text", words(n * ENTRIES_MAX, ENTRIES_MAX, 1))])
    }),
    ("put, text of tokens at the limit", |_, n| {
        Ok(vec![put(n, "text", words(n, ENTRIES_MAX, TOKENS_MAX / ENTRIES_MAX))])
    }),
    ("put, filterable text of distinct words at the limit", |_, n| Ok(vec![put(n, "plain", words(n, ENTRIES_MAX, 1))])),
    ("put, trigrams of a text of 1 MB", |_, n| Ok(vec![put(n, "trigrams", words(n, 1_000_000 / 6, 1))])),
    ("put, list of numbers at the limit", |_, n| {
        Ok(vec![put(
            n,
            "numbers",
            Value::List((0..ENTRIES_MAX).map(|i| Value::Int((i * 7 + n).cast_signed())).collect()),
        )])
    }),
    ("put, references at the limit", |_, n| Ok(vec![put(n, "of", references(ENTRIES_MAX))])),
    ("put, text without an index, 30 MB", |_, n| Ok(vec![put(n, "off", words(n, 5_000_000, 1))])),
    ("put, a single vector of each of 200 names", |_, n| Ok(vec![with_vectors(n, VECTORS, &single(64))])),
    ("put, several vectors, 30 MB", |_, n| Ok(vec![with_vectors(n, 0, &several(128, COMMAND_BYTES_MAX * 15 / 16))])),
    ("put, several vectors as one encoding, 30 MB", |_, n| {
        Ok(vec![with_vectors(n, u32::MAX, &several(128, COMMAND_BYTES_MAX * 15 / 16))])
    }),
    ("merge, one number of an object at the limit", |group, n| {
        group.apply(vec![put(n, "text", words(n, ENTRIES_MAX, 1))])?;
        Ok(vec![merge(n, "number", Value::Int(1))])
    }),
    ("512 merges, references to an object at the limit", |group, n| {
        group.apply(vec![put(n, "of", references(ENTRIES_MAX - ENTRY_COMMANDS_MAX))])?;
        Ok((0..ENTRY_COMMANDS_MAX).map(|_| merge(n, "of", references(1))).collect())
    }),
    ("merge, references out of an object at the limit", |group, n| {
        group.apply(vec![put(n, "of", references(ENTRIES_MAX))])?;
        let Value::References(gone) = references(ENTRIES_MAX) else { return Ok(Vec::new()) };
        let patch = Patch { remove_references: BTreeMap::from([("of".to_owned(), gone)]), ..Patch::default() };
        Ok(vec![Command::Merge { at: AT, id: id(n), patch: Box::new(patch), updated_ms: 2 }])
    }),
    ("512 puts of distinct words, 1 MB", |_, n| {
        let each = ENTRY_BYTES_MAX as u64 / 6 / ENTRY_COMMANDS_MAX;
        let text = |k: u64| words((n * ENTRY_COMMANDS_MAX + k) * each, each, 1);
        Ok((0..ENTRY_COMMANDS_MAX).map(|k| put(n * ENTRY_COMMANDS_MAX + k, "text", text(k))).collect())
    }),
    ("512 puts to 512 of 50,000 tenants", |group, n| {
        if n == 0 {
            group.apply(vec![Command::PutCollection(Box::new(tenants()))])?;
            let first = (0..TENANTS).step_by(SHARDS_AT_ONCE_MAX);
            first.map(|first| group.apply(vec![put_shards(first)])).collect::<Result<Vec<_>>>()?;
        }
        let at =
            |k: u64| ShardKey { collection: TENANT_COLLECTION, shard: ShardId(u32::try_from(k * 90).unwrap_or(0)) };
        let command = |k| match put(k, "number", Value::Int(1)) {
            Command::Put { mode, object, .. } => Command::Put { at: at(k), mode, object },
            other => other,
        };
        Ok((0..ENTRY_COMMANDS_MAX).map(command).collect())
    }),
    ("delete of an object at the limit", |group, n| {
        group.apply(vec![put(n, "text", words(n, ENTRIES_MAX, 1))])?;
        Ok(vec![Command::Delete { at: AT, id: id(n) }])
    }),
    ("512 conditional deletes", |group, n| {
        let outcomes = group.apply((0..ENTRY_COMMANDS_MAX).map(|k| put(k, "number", Value::Int(1))).collect())?;
        let seen = |(k, outcome): (u64, Outcome)| match outcome {
            Outcome::Written { doc_id, .. } => Command::DeleteVersion { at: AT, id: id(k), doc_id },
            _ => Command::DeleteVersion { at: AT, id: id(k), doc_id: DocId(n) },
        };
        Ok((0_u64..).zip(outcomes).map(seen).collect())
    }),
    ("schema of 10,000 properties", |_, n| Ok(vec![Command::PutCollection(Box::new(wide(n + 2)))])),
    ("put, 10,000 properties", |group, n| {
        group.apply(vec![Command::PutCollection(Box::new(wide(2)))])?;
        let properties = (0..PROPERTIES).map(|k| (format!("p{k}"), Value::Int(1))).collect();
        let object = Object { properties, ..object(n) };
        let at = ShardKey { collection: WIDE_COLLECTION, shard: ShardId::FIRST };
        Ok(vec![Command::Put { at, mode: PutMode::Upsert, object: Box::new(object) }])
    }),
    ("10,000 new tenants", |group, n| {
        group.apply(vec![Command::PutCollection(Box::new(tenants()))])?;
        Ok(vec![put_shards(TENANTS * u32::try_from(n + 1)?)])
    }),
    ("drop of a collection of 20,000 vectors", |group, n| {
        let collection = CollectionId(100 + u32::try_from(n)?);
        let at = ShardKey { collection, shard: ShardId::FIRST };
        group.apply(vec![Command::PutCollection(Box::new(Collection { id: collection, ..schema() }))])?;
        for k in 0..40 {
            let command = |k| match with_vectors(k, 1, &single(64)) {
                Command::Put { mode, object, .. } => Command::Put { at, mode, object },
                other => other,
            };
            group.apply((k * 500..(k + 1) * 500).map(command).collect())?;
        }
        Ok(vec![Command::DropCollection(collection)])
    }),
];

const AT: ShardKey = ShardKey { collection: CollectionId(1), shard: ShardId::FIRST };
const WIDE_COLLECTION: CollectionId = CollectionId(2);
const TENANT_COLLECTION: CollectionId = CollectionId(3);

/// A group with a collection that has a property of each kind.
struct Group {
    state: Arc<DataGroup>,
    _folder: tempfile::TempDir,
}

impl Group {
    fn new() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let state = DataGroup::open(folder.path(), GroupOptions::new(GroupId::FIRST_DATA))?.0;
        let group = Self { state, _folder: folder };
        group.apply(vec![Command::PutCollection(Box::new(schema()))])?;
        Ok(group)
    }

    fn apply(&self, commands: Vec<Command>) -> Result<Vec<Outcome>> {
        let index = self.state.applied()?.position.map_or(0, |position| position.index) + 1;
        let body = EntryBody::Batch(Batch { proposer: 1, sequence: index, commands });
        let entry = Entry { position: LogPosition { term: 1, node: 1, index }, body };
        Ok(self.state.apply(vec![entry])?.remove(0))
    }
}

/// The times of the slowest runs.
#[derive(Default)]
struct Measured {
    /// Bytes of the entry.
    bytes: usize,
    /// Apply, by the wall clock and in processor time: on a machine that is busy otherwise only processor time is
    /// meaningful.
    wall: Duration,
    cpu: Duration,
    /// Apply and the flush that follows.
    flushed: Duration,
}

fn measure(case: Case, runs: u64) -> Result<Measured> {
    let group = Group::new()?;
    let mut measured = Measured::default();
    for n in 0..runs {
        let commands = case(&group, n)?;
        measured.bytes = commands.iter().map(size).sum();
        let clock = Clock::start();
        let outcomes = group.apply(commands)?;
        let elapsed = clock.elapsed();
        group.state.flush()?;
        measured.wall = measured.wall.max(elapsed.wall);
        measured.cpu = measured.cpu.max(elapsed.cpu);
        measured.flushed = measured.flushed.max(clock.elapsed().wall);
        if let Some(wrong) = outcomes.iter().find(|outcome| !matches!(outcome, Outcome::Done | Outcome::Written { .. }))
        {
            return Err(format!("a command was not carried out: {wrong:?}").into());
        }
    }
    Ok(measured)
}

/// About the bytes of a command in the log.
fn size(command: &Command) -> usize {
    serde_json::to_vec(command).map_or(0, |bytes| bytes.len())
}

fn id(n: u64) -> Uuid {
    Uuid::from_u64_pair(n.wrapping_mul(0x9e37_79b9_7f4a_7c15), n)
}

fn object(n: u64) -> Object {
    Object { id: id(n), created_ms: 1, updated_ms: 1, properties: BTreeMap::new(), vectors: BTreeMap::new() }
}

fn put(n: u64, property: &str, value: Value) -> Command {
    let object = Object { properties: BTreeMap::from([(property.to_owned(), value)]), ..object(n) };
    Command::Put { at: AT, mode: PutMode::Upsert, object: Box::new(object) }
}

fn merge(n: u64, property: &str, value: Value) -> Command {
    let patch = Patch { set: BTreeMap::from([(property.to_owned(), value)]), ..Patch::default() };
    Command::Merge { at: AT, id: id(n), patch: Box::new(patch), updated_ms: 2 }
}

/// A put of vectors: of the first names, or `u32::MAX` for the encoding and 0 for several vectors.
fn with_vectors(n: u64, names: u32, vector: &Vector) -> Command {
    let ids = match names {
        0 => vec![ENCODED - 1],
        u32::MAX => vec![ENCODED],
        names => (1..=u16::try_from(names).unwrap_or(1)).collect(),
    };
    let vectors = ids.into_iter().map(|id| (VectorId(id), vector.clone())).collect();
    Command::Put { at: AT, mode: PutMode::Upsert, object: Box::new(Object { vectors, ..object(n) }) }
}

const ENCODED: u16 = 1_001;

fn single(dim: u16) -> Vector {
    Vector::Single((0..dim).map(|n| f32::from(n % 13) - 6.0).collect())
}

/// As many rows as make so many bytes.
fn several(dim: u32, bytes: usize) -> Vector {
    let rows = (bytes / 4 / dim as usize).min(ROWS_MAX);
    let values = (0..rows * dim as usize).map(|n| f32::from(u8::try_from(n % 251).unwrap_or(0)) - 125.0);
    Vector::Multi { dim, rows: values.collect() }
}

fn references(count: u64) -> Value {
    Value::References((0..count).map(|n| Beacon { collection: Some("Book".into()), id: id(n) }).collect())
}

/// Distinct words of five letters, all of them so many times.
fn words(first: u64, count: u64, times: u64) -> Value {
    const LETTERS: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    let mut text = String::new();
    for _ in 0..times {
        for word in first..first + count {
            let letter = |place: u32| char::from(LETTERS[(word / 36_u64.pow(place) % 36) as usize]);
            let _ = write!(text, "{}{}{}{}{} ", letter(0), letter(1), letter(2), letter(3), letter(4));
        }
    }
    Value::Text(text)
}

fn property(name: &str, data_type: DataType, tokenization: Option<Tokenization>, searchable: bool) -> Property {
    Property {
        id: PropertyId(0),
        name: name.into(),
        description: None,
        data_type,
        tokenization,
        filterable: name != "off",
        searchable,
        range_filterable: false,
        nested: Vec::new(),
        text_analyzer: None,
        module_config: None,
    }
}

fn vector(multi: bool, muvera: Option<Muvera>) -> VectorConfig {
    VectorConfig {
        id: VectorId::UNNAMED,
        vectorizer: "none".into(),
        vectorizer_config: None,
        kind: VectorIndexKind::Hnsw,
        index: IndexConfig::default(),
        wire_config: "{}".into(),
        multi,
        muvera,
    }
}

fn schema() -> Collection {
    let text =
        |name, tokenization, searchable| property(name, DataType::one(Primitive::Text), Some(tokenization), searchable);
    let mut named: BTreeMap<String, VectorConfig> =
        (1..=VECTORS).map(|n| (format!("v{n:04}"), vector(false, None))).collect();
    named.insert("x".into(), VectorConfig { id: VectorId(ENCODED - 1), ..vector(true, None) });
    named.insert("y".into(), VectorConfig { id: VectorId(ENCODED), ..vector(true, Some(Muvera::default())) });
    let mut collection = Collection {
        id: AT.collection,
        version: 1,
        name: "Book".into(),
        properties: Some(vec![
            text("text", Tokenization::Word, true),
            text("plain", Tokenization::Word, false),
            text("trigrams", Tokenization::Trigram, true),
            text("off", Tokenization::Word, false),
            property("numbers", DataType::list(Primitive::Int), None, false),
            property("number", DataType::one(Primitive::Int), None, false),
            property("of", DataType::Reference(vec!["Book".into()]), None, false),
        ]),
        vectors: VectorSpace { unnamed: None, named },
        listed: Some(BTreeMap::from([("s".to_owned(), listed(ShardId::FIRST))])),
        ..Collection::default()
    };
    collection.assign_ids().expect("ids are left");
    collection
}

fn listed(id: ShardId) -> ListedShard {
    ListedShard { id, status: TenantStatus::Hot, read_only: false }
}

fn wide(version: u64) -> Collection {
    let properties = (0..PROPERTIES).map(|n| property(&format!("p{n}"), DataType::one(Primitive::Int), None, false));
    let properties = Some(properties.collect());
    let mut collection =
        Collection { id: WIDE_COLLECTION, version, name: "Wide".into(), properties, next_property_id: 0, ..schema() };
    collection.assign_ids().expect("ids are left");
    collection
}

fn tenants() -> Collection {
    Collection { id: TENANT_COLLECTION, name: "Tenants".into(), listed: None, ..schema() }
}

/// As many tenants as one command may bring, from this one on.
fn put_shards(first: u32) -> Command {
    let shard = |n: u32| {
        let (id, name) = (ShardId(n), format!("tenant{n}"));
        Shard { id, name, group: GroupId::FIRST_DATA, status: TenantStatus::Hot, read_only: false, version: 1 }
    };
    let shards = (first..).take(SHARDS_AT_ONCE_MAX).map(shard).collect();
    Command::PutShards { collection: TENANT_COLLECTION, shards }
}
