//! Collections, objects and entries for tests.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use azimuth_engine::command::{Command, Outcome, PutMode};
use azimuth_engine::data::{DataGroup, GroupOptions};
use azimuth_engine::ids::{CollectionId, GroupId, PropertyId, ShardId, ShardKey, VectorId};
use azimuth_engine::maintain::{IndexBudget, WorkBudget};
use azimuth_engine::object::{Object, Properties, Value, Vector, Vectors};
use azimuth_engine::replica::{Batch, Entry, EntryBody, LogPosition, StateMachine};
use azimuth_engine::schema::{
    Collection, DataType, InvertedConfig, ListedShard, Primitive, Property, TenantStatus, Tokenization, VectorConfig,
    VectorIndexKind, VectorSpace,
};
use azimuth_engine::storage::StorageBudget;
use azimuth_engine::vector::{IndexConfig, IndexOptions};
use tempfile::TempDir;
use uuid::Uuid;

/// Vector id of the vector that [`collection`] configures.
pub(crate) const VECTOR: VectorId = VectorId(0);

/// A property with the indexes that its type has by default.
pub(crate) fn property(name: &str, data_type: DataType) -> Property {
    let text = data_type.is_text();
    Property {
        id: PropertyId(0),
        name: name.into(),
        description: None,
        data_type,
        tokenization: text.then_some(Tokenization::Word),
        filterable: true,
        searchable: text,
        range_filterable: false,
        nested: Vec::new(),
        text_analyzer: None,
        module_config: None,
    }
}

/// A property of one value.
pub(crate) fn one(name: &str, of: Primitive) -> Property {
    property(name, DataType::one(of))
}

/// A vector configuration with default settings.
pub(crate) fn vector_config() -> VectorConfig {
    VectorConfig {
        id: VECTOR,
        vectorizer: "none".into(),
        vectorizer_config: None,
        kind: VectorIndexKind::Hnsw,
        index: IndexConfig::default(),
        wire_config: "{}".into(),
        multi: false,
        muvera: None,
    }
}

/// A collection with one unnamed vector and everything indexed, and with one shard, which it lists as schemas of version 1
/// do.
pub(crate) fn collection(id: u32, name: &str, properties: Vec<Property>) -> Collection {
    let mut collection = Collection {
        id: CollectionId(id),
        version: 1,
        name: name.into(),
        properties: Some(properties),
        vectors: VectorSpace { unnamed: Some(vector_config()), named: BTreeMap::new() },
        inverted: InvertedConfig {
            index_timestamps: true,
            index_null_state: true,
            index_property_length: true,
            ..InvertedConfig::default()
        },
        listed: Some(BTreeMap::from([(
            "s0".to_owned(),
            ListedShard { id: ShardId::FIRST, status: TenantStatus::Hot, read_only: false },
        )])),
        listed_next: Some(1),
        ..Collection::default()
    };
    collection.assign_ids().expect("ids are left");
    collection
}

/// The only shard of [`collection`].
pub(crate) fn at(collection: u32) -> ShardKey {
    ShardKey { collection: CollectionId(collection), shard: ShardId::FIRST }
}

/// The `n`th id.
pub(crate) fn id(n: u64) -> Uuid {
    Uuid::from_u64_pair(n.wrapping_mul(0x9e37_79b9_7f4a_7c15), n)
}

/// An object with these properties and vector.
pub(crate) fn object(n: u64, properties: &[(&str, Value)], vector: Option<&[f32]>) -> Object {
    let properties: Properties = properties.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    let vectors: Vectors = vector.iter().map(|values| (VECTOR, Vector::Single(values.to_vec()))).collect();
    Object { id: id(n), created_ms: 1_000 + n.cast_signed(), updated_ms: 2_000 + n.cast_signed(), properties, vectors }
}

/// Text as a value.
pub(crate) fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

/// A command that writes an object.
pub(crate) fn put(at: ShardKey, object: Object) -> Command {
    Command::Put { at, mode: PutMode::Upsert, object: Box::new(object) }
}

/// Options with a small budget.
pub(crate) fn options() -> GroupOptions {
    GroupOptions {
        storage: StorageBudget::new(8 << 20, 64 << 20),
        index: IndexOptions { graph_cutoff: 8, ..IndexOptions::default() },
        index_budget: IndexBudget::new(u64::MAX, 64),
        compaction_changes_min: 20,
        segment_entries_min: 60,
        ..GroupOptions::new(GroupId::FIRST_DATA)
    }
}

/// Opens the group of a test.
pub(crate) fn open(dir: &Path) -> Arc<DataGroup> {
    DataGroup::open(dir, options()).expect("open the group").0
}

/// The entry with that index.
pub(crate) fn entry(index: u64, commands: Vec<Command>) -> Entry {
    let position = LogPosition { term: 1, node: 1, index };
    Entry { position, body: EntryBody::Batch(Batch { proposer: 7, sequence: index, commands }) }
}

/// Applies commands as the next entry.
pub(crate) fn apply(group: &DataGroup, commands: Vec<Command>) -> Vec<Outcome> {
    let last = group.applied().expect("applied").position.map_or(0, |position| position.index);
    group.apply(vec![entry(last + 1, commands)]).expect("apply").remove(0)
}

/// Does background work until there is none.
pub(crate) fn work(group: &DataGroup) {
    while group.work(&WorkBudget { keys_max: 50, ..WorkBudget::default() }).expect("work").more {}
}

/// What a kill would leave on the disk of a group that goes on working: a copy made while no file came or went, as the
/// manifest may name files that came after the folder was listed.
pub(crate) fn copy_as_killed(from: &Path) -> TempDir {
    loop {
        let copy = TempDir::new().unwrap();
        let before = names_below(from);
        match copy_dir(from, copy.path()) {
            Ok(()) if names_below(from) == before => return copy,
            Ok(()) => {}
            // A file that went while it was to be copied.
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{error}"),
        }
    }
}

/// Paths of all files below a folder; those of a folder that goes meanwhile are left out.
fn names_below(dir: &Path) -> BTreeSet<PathBuf> {
    let mut names = BTreeSet::new();
    for path in fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            names.extend(names_below(&path));
        }
        names.insert(path);
    }
    names
}

/// Copies a folder that nobody writes to.
pub(crate) fn copy_dir(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_dir(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
