//! A shard as a transaction leaves it: the present version of each object it touches, and the changed doc id sets and
//! records.
//!
//! Commands change objects in memory ([`ShardDraft::put`], [`ShardDraft::edit`], [`ShardDraft::remove`]); each write
//! takes a doc id of its own. Rows, index entries and statistics are written only for the version that is left at the
//! end of a log entry, once per object and entry ([`ShardDraft::settle`]): a thousand merges of one object cost one
//! decoding and one encoding. Which entries are applied together has no influence on the state.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use uuid::Uuid;

use super::State;
use crate::ids::{DocId, VectorId};
use crate::inverted::DocSet;
use crate::inverted::form::docset;
use crate::inverted::form::terms::{self, OBJECT, vector_key};
use crate::inverted::writer::staged::Staged;
use crate::object::codec::{self, Header, Wanted};
use crate::object::{Object, Vector};
use crate::schema::Collection;
use crate::shard::indexes::Added;
use crate::shard::records::{Part, PartRecord, ShardRecord};
use crate::shard::{Shard, ShardState};
use crate::storage::key::{self, InvKind, MetaKey, with_doc_id};
use crate::storage::{Changes, Family, record};
use crate::weight::Load;
use crate::{Error, Result};

/// A shard as a transaction leaves it.
pub(crate) struct ShardDraft<'a> {
    state: &'a State,
    pub shard: Arc<Shard>,
    pub base: Arc<ShardState>,
    record: ShardRecord,
    rows: HashMap<Uuid, Row>,
    /// Objects that the current log entry wrote or removed, in no order.
    touched: Vec<Uuid>,
    /// Doc ids of the base that are no longer live.
    removed: Vec<DocId>,
    /// The removed doc ids that had the vector.
    removed_of: BTreeMap<VectorId, Vec<DocId>>,
    staged: Staged,
    versions_written: u64,
    /// The records of parts of the index that this transaction writes because the store has none.
    parts: Vec<(Part, PartRecord)>,
}

/// An object that the transaction read or wrote.
#[derive(Default)]
struct Row {
    /// The version whose rows, index entries and statistics the store or the changes have.
    laid: Option<Laid>,
    /// Doc id of the version that commands see; `None` once the object is removed.
    doc_id: Option<DocId>,
    /// That version, if it was read or written here.
    object: Option<Object>,
    /// The weight of that version, if it was changed here.
    load: Option<Load>,
    /// Whether the current log entry wrote or removed the object.
    touched: bool,
}

/// A version as it was written to the store or the changes.
struct Laid {
    doc_id: DocId,
    header: Header,
}

/// The present version of an object, as far as most commands need it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Present {
    pub doc_id: DocId,
    pub created_ms: i64,
}

impl<'a> ShardDraft<'a> {
    /// The shard as it is.
    pub(crate) fn new(state: &'a State, shard: Arc<Shard>) -> Self {
        let base = shard.state();
        Self {
            state,
            record: base.record.clone(),
            parts: shard.missing_part_records(),
            shard,
            base,
            rows: HashMap::new(),
            touched: Vec::new(),
            removed: Vec::new(),
            removed_of: BTreeMap::new(),
            staged: Staged::default(),
            versions_written: 0,
        }
    }

    /// The present version of an object; `None` if there is none.
    pub(crate) fn present(&mut self, id: Uuid) -> Result<Option<Present>> {
        if !self.rows.contains_key(&id) {
            let store = &self.state.store;
            let prefix = self.shard.prefix;
            let Some(doc_id) = store.get(Family::Ids, &prefix.id(id))? else { return Ok(None) };
            let doc_id = key::parse_doc_id(&doc_id)?;
            let row = store.get(Family::Objects, &prefix.object(doc_id))?;
            let row = row.ok_or_else(|| Error::Damaged(format!("object {id} has no row for doc id {doc_id}")))?;
            let header = codec::decode_header(&row).unwrap_or_else(|error| self.salvaged(id, doc_id, &error));
            let laid = Laid { doc_id, header };
            self.rows.insert(id, Row { laid: Some(laid), doc_id: Some(doc_id), ..Row::default() });
        }
        Ok(self.rows.get(&id).and_then(Row::present))
    }

    /// The header of a version whose row cannot be decoded, as far as it is known without the row, so that the version
    /// can be deleted.
    fn salvaged(&self, id: Uuid, doc_id: DocId, why: &Error) -> Header {
        self.shard.unreadable.note(self.shard.at, doc_id, why);
        let vectors = self.base.with_vector.iter().filter(|(_, members)| members.contains(doc_id.0));
        let vectors = vectors.map(|(vector, _)| *vector).collect();
        Header { id, created_ms: codec::UNKNOWN_MS, updated_ms: codec::UNKNOWN_MS, vectors, tokens: Vec::new() }
    }

    /// Reads a present object with all its vectors, unless that was done before.
    ///
    /// # Errors
    /// [`Error::Unreadable`] when it cannot be decoded.
    pub(crate) fn load(&mut self, id: Uuid, schema: &Collection) -> Result<()> {
        let row = self.rows.get_mut(&id).ok_or_else(|| not_loaded(id))?;
        if row.object.is_none() {
            let laid = row.laid.as_ref().ok_or_else(|| not_loaded(id))?;
            row.object = Some(read(self.state, &self.shard, laid, schema)?);
        }
        Ok(())
    }

    /// An object that was loaded or written.
    pub(crate) fn object(&self, id: Uuid) -> Result<&Object> {
        self.rows.get(&id).and_then(|row| row.object.as_ref()).ok_or_else(|| not_loaded(id))
    }

    /// The length that a vector of the shard has by now.
    pub(crate) fn dimension(&self, vector: VectorId) -> Option<u32> {
        self.record.dimensions.get(&vector).copied()
    }

    /// Writes a checked object as a new version in place of the present one.
    pub(crate) fn put(&mut self, object: Object) -> DocId {
        let doc_id = self.next_doc_id();
        self.fix_dimensions(&object);
        let row = self.rows.entry(object.id).or_default();
        touch(row, &mut self.touched, object.id);
        row.doc_id = Some(doc_id);
        row.object = Some(object);
        row.load = None;
        doc_id
    }

    /// Makes a new version of a loaded object by a change that was already checked; `load` is the weight of the new
    /// version.
    pub(crate) fn edit(&mut self, id: Uuid, load: Option<Load>, change: impl FnOnce(&mut Object)) -> Result<DocId> {
        let row = self.rows.get_mut(&id).ok_or_else(|| not_loaded(id))?;
        let mut object = row.object.take().ok_or_else(|| not_loaded(id))?;
        change(&mut object);
        let doc_id = self.put(object);
        if let Some(row) = self.rows.get_mut(&id) {
            row.load = load;
        }
        Ok(doc_id)
    }

    /// The weight of a loaded object.
    pub(crate) fn weigh(&self, id: Uuid) -> Result<Load> {
        let known = self.rows.get(&id).and_then(|row| row.load);
        known.map_or_else(|| Ok(Load::of(self.object(id)?)), Ok)
    }

    /// Takes a present object away.
    pub(crate) fn remove(&mut self, id: Uuid) {
        let row = self.rows.entry(id).or_default();
        touch(row, &mut self.touched, id);
        row.doc_id = None;
        row.object = None;
    }

    /// Writes rows, index entries and statistics for each object that the current log entry touched, in its final
    /// version.
    pub(crate) fn settle(&mut self, schema: &Collection, changes: &mut Changes<'_>) -> Result<()> {
        let mut touched = std::mem::take(&mut self.touched);
        // Entries of the inverted index are taken in ascending order of doc ids.
        touched.sort_unstable_by_key(|id| self.rows.get(id).and_then(|row| row.doc_id));
        for id in touched {
            let Some(mut row) = self.rows.remove(&id) else { continue };
            row.touched = false;
            self.lay(id, &mut row, schema, changes)?;
            self.rows.insert(id, row);
        }
        Ok(())
    }

    fn lay(&mut self, id: Uuid, row: &mut Row, schema: &Collection, changes: &mut Changes<'_>) -> Result<()> {
        let prefix = self.shard.prefix;
        if let Some(old) = row.laid.take() {
            self.take_away(&old, changes);
            if row.doc_id.is_none() {
                changes.delete(Family::Ids, &prefix.id(id));
            }
        }
        let (Some(doc_id), Some(object)) = (row.doc_id, &row.object) else { return Ok(()) };
        let tokens = terms::index(schema, object, &mut self.staged.object(doc_id));
        for &(property, count) in &tokens {
            let stats = self.record.lengths.entry(property).or_default();
            stats.objects += 1;
            stats.tokens += u64::from(count);
        }
        for (&vector, values) in &object.vectors {
            changes.put(Family::Vectors, &prefix.vector(vector, doc_id), &codec::encode_vector(values));
        }
        let header = Header {
            id,
            created_ms: object.created_ms,
            updated_ms: object.updated_ms,
            vectors: object.vectors.keys().copied().collect(),
            tokens,
        };
        let bytes = codec::encode(&header, &object.properties, schema)?;
        changes.put(Family::Objects, &prefix.object(doc_id), &bytes);
        changes.put(Family::Ids, &prefix.id(id), &doc_id.0.to_be_bytes());
        row.laid = Some(Laid { doc_id, header });
        self.versions_written += 1;
        Ok(())
    }

    /// Deletes the rows of a version and subtracts its statistics; the entry of its id stays.
    fn take_away(&mut self, old: &Laid, changes: &mut Changes<'_>) {
        let prefix = self.shard.prefix;
        changes.delete(Family::Objects, &prefix.object(old.doc_id));
        for &vector in &old.header.vectors {
            changes.delete(Family::Vectors, &prefix.vector(vector, old.doc_id));
        }
        for (property, count) in &old.header.tokens {
            self.record.uncount(*property, *count);
        }
        if old.doc_id.0 < self.base.record.next_doc_id {
            self.removed.push(old.doc_id);
            for &vector in &old.header.vectors {
                self.removed_of.entry(vector).or_default().push(old.doc_id);
            }
        }
    }

    /// Forgets unreadable versions that this transaction removes.
    pub(crate) fn forget_unreadable(&self) {
        self.shard.unreadable.forget(&self.removed);
    }

    /// Notes that the records of parts of the index are written.
    pub(crate) fn note_parts(&self) {
        self.parts.iter().for_each(|(part, record)| self.shard.set_part(*part, *record));
    }

    /// Whether doc ids of the base are removed.
    pub(crate) fn takes_away(&self) -> bool {
        !self.removed.is_empty()
    }

    /// The shard, its state before, and the documents of that state that are removed from each vector.
    pub(crate) fn into_departed(self) -> (Arc<Shard>, Arc<ShardState>, Vec<(VectorId, DocId)>) {
        let of_vector = |(vector, docs): (VectorId, Vec<DocId>)| docs.into_iter().map(move |doc_id| (vector, doc_id));
        (self.shard, self.base, self.removed_of.into_iter().flat_map(of_vector).collect())
    }

    /// Versions written here, with repetitions.
    pub(crate) fn versions_written(&self) -> u64 {
        self.versions_written
    }

    /// The vectors of live objects that came with this transaction, by vector, ascending by doc id.
    pub(crate) fn added(&self) -> BTreeMap<VectorId, Vec<Added<'_>>> {
        let mut added: BTreeMap<VectorId, Vec<Added<'_>>> = BTreeMap::new();
        for (doc_id, object) in self.newcomers() {
            for (&vector, values) in object.vectors.iter().filter(|(_, values)| !is_empty(values)) {
                added.entry(vector).or_default().push((doc_id, values));
            }
        }
        added
    }

    /// Live objects that came with this transaction, ascending by doc id.
    fn newcomers(&self) -> Vec<(DocId, &Object)> {
        let first = self.base.record.next_doc_id;
        let new = |row: &'_ Row| row.doc_id.filter(|doc_id| doc_id.0 >= first);
        let mut all: Vec<(DocId, &Object)> =
            self.rows.values().filter_map(|row| Some((new(row)?, row.object.as_ref()?))).collect();
        all.sort_unstable_by_key(|(doc_id, _)| *doc_id);
        all
    }

    /// The new state, its changed sets and its record written to `changes`.
    pub(crate) fn finish(&self, changes: &mut Changes<'_>) -> Result<ShardState> {
        debug_assert!(self.touched.is_empty(), "every entry is settled");
        let mut state = (*self.base).clone();
        state.record = self.record.clone();
        state.removals += u64::from(!self.removed.is_empty());
        let mut added = Vec::new();
        let mut added_of: BTreeMap<VectorId, Vec<DocId>> = BTreeMap::new();
        for (doc_id, object) in self.newcomers() {
            added.push(doc_id);
            for &vector in object.vectors.keys() {
                added_of.entry(vector).or_default().push(doc_id);
            }
        }
        let prefix = self.shard.prefix;
        update_set(&mut state.live, &added, &self.removed, changes, &prefix.inverted(OBJECT, InvKind::Live));
        let vectors: BTreeSet<VectorId> = added_of.keys().chain(self.removed_of.keys()).copied().collect();
        for vector in vectors {
            let added = added_of.get(&vector).map_or(&[][..], Vec::as_slice);
            let removed = self.removed_of.get(&vector).map_or(&[][..], Vec::as_slice);
            let members = state.with_vector.entry(vector).or_default();
            let value_key = prefix.value(OBJECT, InvKind::HasVector, &vector_key(vector));
            update_set(members, added, removed, changes, &value_key);
            if members.is_empty() {
                state.with_vector.remove(&vector);
            }
        }
        let first = DocId(self.base.record.next_doc_id);
        self.staged.write(prefix, first, self.state.segment_entries_min, changes)?;
        for (part, record) in &self.parts {
            record.put(changes, self.state.group, self.shard.at, *part)?;
        }
        let record_key = key::meta(self.state.group, MetaKey::Shard, &key::shard_bytes(self.shard.at));
        changes.put(Family::Meta, &record_key, &record::encode(&state.record)?);
        debug_assert_eq!(state.validate(), Ok(()));
        Ok(state)
    }

    fn next_doc_id(&mut self) -> DocId {
        let doc_id = DocId(self.record.next_doc_id);
        self.record.next_doc_id += 1;
        doc_id
    }

    /// The first object with a vector fixes the vector's length, even if the object does not stay.
    fn fix_dimensions(&mut self, object: &Object) {
        for (&id, vector) in &object.vectors {
            self.record.dimensions.entry(id).or_insert_with(|| dimension_of(vector));
        }
    }
}

impl Row {
    fn present(&self) -> Option<Present> {
        let doc_id = self.doc_id?;
        let created_ms = match (&self.object, &self.laid) {
            (Some(object), _) => object.created_ms,
            (None, Some(laid)) => laid.header.created_ms,
            (None, None) => return None,
        };
        Some(Present { doc_id, created_ms })
    }
}

fn touch(row: &mut Row, touched: &mut Vec<Uuid>, id: Uuid) {
    if !row.touched {
        row.touched = true;
        touched.push(id);
    }
}

/// Reads the object of a version that was written before this transaction.
fn read(state: &State, shard: &Shard, laid: &Laid, schema: &Collection) -> Result<Object> {
    let prefix = shard.prefix;
    let missing = || Error::Damaged(format!("object {} has no row for doc id {}", laid.header.id, laid.doc_id));
    let bytes = state.store.get(Family::Objects, &prefix.object(laid.doc_id))?.ok_or_else(missing)?;
    let unreadable = |error: Error| shard.unreadable.note(shard.at, laid.doc_id, &error);
    let (_, mut object) = codec::decode(&bytes, &Wanted::all(schema)).map_err(unreadable)?;
    for &vector in &laid.header.vectors {
        let bytes = state.store.get(Family::Vectors, &prefix.vector(vector, laid.doc_id))?.ok_or_else(missing)?;
        object.vectors.insert(vector, codec::decode_vector(&bytes).map_err(unreadable)?);
    }
    Ok(object)
}

/// Adds and removes members, and writes the chunks that changed.
fn update_set(set: &mut DocSet, added: &[DocId], removed: &[DocId], changes: &mut Changes<'_>, value_key: &[u8]) {
    for doc_id in removed {
        set.remove(doc_id.0);
    }
    added.iter().for_each(|doc_id| set.insert(doc_id.0));
    let chunks: BTreeSet<u64> = added.iter().chain(removed).map(|doc_id| docset::chunk_of(doc_id.0).start).collect();
    for start in chunks {
        let key = with_doc_id(value_key, start);
        match set.encode_chunk(start) {
            None => changes.delete(Family::Inverted, &key),
            Some(bytes) => changes.put(Family::Inverted, &key, &bytes),
        }
    }
}

/// A vector without components is no vector.
pub(crate) fn is_empty(vector: &Vector) -> bool {
    match vector {
        Vector::Single(values) | Vector::Multi { rows: values, .. } => values.is_empty(),
    }
}

/// Length of a vector, or of a row of several.
pub(crate) fn dimension_of(vector: &Vector) -> u32 {
    match vector {
        Vector::Single(values) => u32::try_from(values.len()).unwrap_or(u32::MAX),
        Vector::Multi { dim, .. } => *dim,
    }
}

fn not_loaded(id: Uuid) -> Error {
    Error::Damaged(format!("object {id} was not loaded before it is changed"))
}
