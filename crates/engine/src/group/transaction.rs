//! A transaction: the effects of one apply, collected beside the present state and published at once.
//!
//! Later commands see what earlier ones did through the drafts kept here; nothing of the group changes before
//! [`Transaction::commit`].

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use roaring::RoaringTreemap;
use uuid::Uuid;

use super::Attempt;
use super::data::DataGroup;
use super::records::{self, ShardRecord};
use super::shard::{Shard, ShardState};
use super::store::{Changes, Family};
use super::vectors::Added;
use crate::command::At;
use crate::ids::{CollectionId, DocId, ShardId, VectorId};
use crate::inverted::docset;
use crate::inverted::staged::{Staged, with_doc_id};
use crate::inverted::terms::{self, OBJECT, vector_key};
use crate::key::{self, InvKind, MetaKey};
use crate::object::codec::{self, Header};
use crate::object::{Object, Vector};
use crate::schema::Collection;
use crate::{Error, Result};

/// The effects of one apply.
pub(crate) struct Transaction<'a> {
    pub group: &'a DataGroup,
    pub changes: Changes<'a>,
    /// Schemas changed here; `None` for dropped collections.
    collections: HashMap<CollectionId, Option<Arc<Collection>>>,
    dropped_shards: BTreeSet<At>,
    drafts: BTreeMap<At, ShardDraft>,
}

/// A shard as this transaction leaves it.
pub(crate) struct ShardDraft {
    shard: Arc<Shard>,
    base: Arc<ShardState>,
    record: ShardRecord,
    rows: HashMap<Uuid, Option<Row>>,
    /// Doc ids given out here and still live, with their vectors.
    added: BTreeMap<DocId, Vec<(VectorId, Arc<Vector>)>>,
    /// Doc ids of the base that are no longer live.
    removed: Vec<DocId>,
    staged: Staged,
}

/// An object's present version, as far as a command needs it.
#[derive(Clone)]
pub(crate) struct Row {
    pub doc_id: DocId,
    pub header: Header,
    /// The object with its vectors, if this transaction wrote it.
    written: Option<Arc<Object>>,
}

impl<'a> Transaction<'a> {
    pub(crate) fn new(group: &'a DataGroup) -> Self {
        Self {
            group,
            changes: group.store.changes(),
            collections: HashMap::new(),
            dropped_shards: BTreeSet::new(),
            drafts: BTreeMap::new(),
        }
    }

    /// The schema as earlier commands left it.
    pub(crate) fn collection(&self, id: CollectionId) -> Option<Arc<Collection>> {
        match self.collections.get(&id) {
            Some(changed) => changed.clone(),
            None => self.group.collection(id),
        }
    }

    /// Whether the collection or shard was ever dropped.
    pub(crate) fn was_dropped(&self, id: CollectionId, shard: Option<ShardId>) -> bool {
        let here = match shard {
            Some(shard) => self.dropped_shards.contains(&At { collection: id, shard }),
            None => matches!(self.collections.get(&id), Some(None)),
        };
        here || self.group.dropped.read().contains(id, shard)
    }

    /// Schema of a shard that takes writes.
    pub(crate) fn schema_of(&self, at: At) -> Option<Arc<Collection>> {
        let schema = self.collection(at.collection)?;
        let known = schema.shards.values().any(|shard| shard.id == at.shard);
        (known && !self.was_dropped(at.collection, Some(at.shard))).then_some(schema)
    }

    /// Writes a schema; `record` is its stored form.
    pub(crate) fn put_collection(&mut self, collection: Collection, record: &[u8]) {
        let record_key = key::meta(self.group.group, MetaKey::Collection, &collection.id.0.to_be_bytes());
        self.changes.put(Family::Meta, &record_key, record);
        self.collections.insert(collection.id, Some(Arc::new(collection)));
    }

    pub(crate) fn drop_collection(&mut self, id: CollectionId) {
        let bytes = id.0.to_be_bytes();
        self.changes.delete(Family::Meta, &key::meta(self.group.group, MetaKey::Collection, &bytes));
        self.mark_dropped(&bytes);
        self.collections.insert(id, None);
        self.drafts.retain(|at, _| at.collection != id);
    }

    pub(crate) fn drop_shard(&mut self, at: At) {
        self.mark_dropped(&key::shard_bytes(at));
        self.dropped_shards.insert(at);
        self.drafts.remove(&at);
    }

    fn mark_dropped(&mut self, bytes: &[u8]) {
        for tag in [MetaKey::Dropped, MetaKey::Purge] {
            self.changes.put(Family::Meta, &key::meta(self.group.group, tag, bytes), &[1]);
        }
    }

    fn draft(&mut self, at: At) -> Result<&mut ShardDraft> {
        if !self.drafts.contains_key(&at) {
            let shard = self.group.shard(at)?;
            let base = shard.state();
            let draft = ShardDraft {
                record: base.record.clone(),
                shard,
                base,
                rows: HashMap::new(),
                added: BTreeMap::new(),
                removed: Vec::new(),
                staged: Staged::default(),
            };
            self.drafts.insert(at, draft);
        }
        Ok(self.drafts.get_mut(&at).expect("inserted above if it was missing"))
    }

    /// The present version of an object.
    pub(crate) fn row(&mut self, at: At, id: Uuid) -> Result<Option<Row>> {
        let store = &self.group.store;
        let draft = self.draft(at)?;
        if let Some(row) = draft.rows.get(&id) {
            return Ok(row.clone());
        }
        let prefix = draft.shard.prefix;
        let Some(doc_id) = store.get(Family::Ids, &prefix.id(id))? else { return Ok(None) };
        let doc_id = key::parse_doc_id(&doc_id)?;
        let row = store.get(Family::Objects, &prefix.object(doc_id))?;
        let row = row.ok_or_else(|| Error::Damaged(format!("object {id} has no row for doc id {doc_id}")))?;
        Ok(Some(Row { doc_id, header: codec::decode_header(&row)?, written: None }))
    }

    /// The object of a row, with all its vectors.
    pub(crate) fn object(&mut self, at: At, row: &Row, schema: &Collection) -> Result<Object> {
        if let Some(object) = &row.written {
            return Ok((**object).clone());
        }
        let store = &self.group.store;
        let prefix = self.draft(at)?.shard.prefix;
        let missing = || Error::Damaged(format!("object {} has no row for doc id {}", row.header.id, row.doc_id));
        let bytes = store.get(Family::Objects, &prefix.object(row.doc_id))?.ok_or_else(missing)?;
        let (_, mut object) = codec::decode(&bytes, schema, true)?;
        for &vector in &row.header.vectors {
            let bytes = store.get(Family::Vectors, &prefix.vector(vector, row.doc_id))?.ok_or_else(missing)?;
            object.vectors.insert(vector, codec::decode_vector(&bytes)?);
        }
        Ok(object)
    }

    /// The length that a vector of the shard has by now.
    pub(crate) fn dimension(&mut self, at: At, vector: VectorId) -> Result<Option<u32>> {
        Ok(self.draft(at)?.record.dimensions.get(&vector).copied())
    }

    /// Writes a checked object as a new version in place of `old`.
    pub(crate) fn write(&mut self, at: At, schema: &Collection, object: Object, old: Option<&Row>) -> Result<DocId> {
        if let Some(old) = old {
            self.remove(at, old)?;
        }
        self.draft(at)?;
        let Some(draft) = self.drafts.get_mut(&at) else { return Err(no_draft(at)) };
        let prefix = draft.shard.prefix;
        let doc_id = DocId(draft.record.next_doc_id);
        draft.record.next_doc_id += 1;
        let tokens = terms::index(schema, &object, &mut draft.staged.object(prefix, doc_id));
        for &(property, count) in &tokens {
            let stats = draft.record.lengths.entry(property).or_default();
            stats.objects += 1;
            stats.tokens += u64::from(count);
        }
        let mut vectors = Vec::with_capacity(object.vectors.len());
        for (&id, vector) in &object.vectors {
            draft.record.dimensions.entry(id).or_insert_with(|| dimension_of(vector));
            self.changes.put(Family::Vectors, &prefix.vector(id, doc_id), &codec::encode_vector(vector));
            vectors.push((id, Arc::new(vector.clone())));
        }
        let header = Header {
            id: object.id,
            created_ms: object.created_ms,
            updated_ms: object.updated_ms,
            vectors: object.vectors.keys().copied().collect(),
            tokens,
        };
        let row = codec::encode(&header, &object.properties, schema)?;
        self.changes.put(Family::Objects, &prefix.object(doc_id), &row);
        self.changes.put(Family::Ids, &prefix.id(object.id), &doc_id.0.to_be_bytes());
        draft.added.insert(doc_id, vectors);
        draft.rows.insert(object.id, Some(Row { doc_id, header, written: Some(Arc::new(object)) }));
        Ok(doc_id)
    }

    /// Takes an object's present version away.
    pub(crate) fn remove(&mut self, at: At, row: &Row) -> Result<()> {
        self.draft(at)?;
        let Some(draft) = self.drafts.get_mut(&at) else { return Err(no_draft(at)) };
        let prefix = draft.shard.prefix;
        self.changes.delete(Family::Objects, &prefix.object(row.doc_id));
        self.changes.delete(Family::Ids, &prefix.id(row.header.id));
        for &vector in &row.header.vectors {
            self.changes.delete(Family::Vectors, &prefix.vector(vector, row.doc_id));
        }
        for (property, count) in &row.header.tokens {
            let stats = draft.record.lengths.entry(*property).or_default();
            stats.objects = stats.objects.checked_sub(1).ok_or_else(|| miscounted(at))?;
            stats.tokens = stats.tokens.checked_sub(u64::from(*count)).ok_or_else(|| miscounted(at))?;
            if stats.objects == 0 {
                draft.record.lengths.remove(property);
            }
        }
        if draft.added.remove(&row.doc_id).is_none() {
            draft.removed.push(row.doc_id);
        }
        draft.rows.insert(row.header.id, None);
        Ok(())
    }

    /// Writes everything and publishes it, if the attempt is to write; whether it was.
    pub(crate) fn commit(mut self, attempt: &Attempt) -> Result<bool> {
        let mut published = Vec::with_capacity(self.drafts.len());
        for (_, draft) in std::mem::take(&mut self.drafts) {
            let state = draft.finish(self.group, &mut self.changes)?;
            published.push((draft, Arc::new(state)));
        }
        if !attempt.may_write() {
            return Ok(false);
        }
        let shards: Vec<_> = published.iter().map(|(draft, _)| draft.shard.clone()).collect();
        let _steady: Vec<_> = shards.iter().map(|shard| shard.indexes.hold()).collect();
        for (draft, _) in &published {
            draft.shard.indexes.add(&draft.added())?;
        }
        // Readers of these shards wait: they must not pair the old live set with a store that lost the rows.
        let takes_away = published.iter().any(|(draft, _)| !draft.removed.is_empty());
        if takes_away {
            let mut locks: Vec<_> = published.iter().map(|(draft, _)| draft.shard.state.write()).collect();
            self.changes.write()?;
            for (lock, (_, state)) in locks.iter_mut().zip(&published) {
                **lock = state.clone();
            }
        } else {
            self.changes.write()?;
            published.iter().for_each(|(draft, state)| *draft.shard.state.write() = state.clone());
        }
        self.group.publish(&self.collections, &self.dropped_shards);
        for (draft, state) in &published {
            self.group.note_growth(&draft.shard, &draft.base, state);
            draft.shard.indexes.remove(&draft.removed);
        }
        Ok(true)
    }
}

impl ShardDraft {
    fn added(&self) -> Vec<Added<'_>> {
        let added = self
            .added
            .iter()
            .flat_map(|(doc_id, vectors)| vectors.iter().map(|(vector, values)| (*vector, *doc_id, values.as_ref())));
        added.collect()
    }

    /// The new state, its changed sets and its record written to `changes`.
    fn finish(&self, group: &DataGroup, changes: &mut Changes<'_>) -> Result<ShardState> {
        let mut state = (*self.base).clone();
        state.record = self.record.clone();
        state.removals += u64::from(!self.removed.is_empty());
        let added: Vec<u64> = self.added.keys().map(|doc_id| doc_id.0).collect();
        let removed: Vec<u64> = self.removed.iter().map(|doc_id| doc_id.0).collect();
        let prefix = self.shard.prefix;
        update_set(&mut state.live, &added, &removed, changes, &prefix.inverted(OBJECT, InvKind::Live));
        let mut vectors: BTreeSet<VectorId> = state.with_vector.keys().copied().collect();
        vectors.extend(self.added.values().flatten().map(|(vector, _)| *vector));
        for vector in vectors {
            let has = |of: &[(VectorId, Arc<Vector>)]| of.iter().any(|(id, _)| *id == vector);
            let added: Vec<u64> = self.added.iter().filter(|(_, of)| has(of)).map(|(doc_id, _)| doc_id.0).collect();
            let members = state.with_vector.entry(vector).or_default();
            let removed: Vec<u64> = removed.iter().copied().filter(|doc_id| members.contains(*doc_id)).collect();
            update_set(
                members,
                &added,
                &removed,
                changes,
                &prefix.value(OBJECT, InvKind::HasVector, &vector_key(vector)),
            );
            if members.is_empty() {
                state.with_vector.remove(&vector);
            }
        }
        let first = DocId(self.base.record.next_doc_id);
        self.staged.write(prefix, first, group.options.segment_entries_min, changes)?;
        let record_key = key::meta(group.group, MetaKey::Shard, &key::shard_bytes(self.shard.at));
        changes.put(Family::Meta, &record_key, &records::encode(&state.record)?);
        debug_assert_eq!(state.validate(), Ok(()));
        Ok(state)
    }
}

/// Adds and removes members, and writes the chunks that changed.
fn update_set(set: &mut RoaringTreemap, added: &[u64], removed: &[u64], changes: &mut Changes<'_>, value_key: &[u8]) {
    for &doc_id in removed {
        set.remove(doc_id);
    }
    set.extend(added.iter().copied());
    let chunks: BTreeSet<u64> = added.iter().chain(removed).map(|&doc_id| docset::chunk_of(doc_id).start).collect();
    for start in chunks {
        let key = with_doc_id(value_key, start);
        match docset::chunk_members(set, start).as_slice() {
            [] => changes.delete(Family::Inverted, &key),
            members => changes.put(Family::Inverted, &key, &docset::encode(members)),
        }
    }
}

/// Length of a vector, or of a row of several.
pub(crate) fn dimension_of(vector: &Vector) -> u32 {
    match vector {
        Vector::Single(values) => u32::try_from(values.len()).unwrap_or(u32::MAX),
        Vector::Multi { dim, .. } => *dim,
    }
}

fn no_draft(at: At) -> Error {
    Error::Damaged(format!("shard {at:?} has no draft"))
}

fn miscounted(at: At) -> Error {
    Error::Damaged(format!("shard {at:?}: statistics count fewer tokens than its objects have"))
}
