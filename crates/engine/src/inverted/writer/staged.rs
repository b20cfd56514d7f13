//! Entries of the inverted index on their way to disk.
//!
//! A text of a million words has a million values: nothing here is allocated per value. Keys lie one after another in one
//! buffer, occurrences in one list, chained by value, and a table finds the value of a key.

use std::collections::BTreeMap;
use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

use crate::Result;
use crate::ids::{DocId, PropertyId};
use crate::inverted::form::column::Column;
use crate::inverted::form::postings::{self, Posting};
use crate::inverted::form::terms::{self, ColumnOf, OBJECT, Sink};
use crate::inverted::form::{docset, segment};
use crate::object::Value;
use crate::storage::key::{InvKind, ShardPrefix, with_doc_id};
use crate::storage::{Changes, Family};

/// Bytes of a value's key before the value itself: property and kind.
const HEAD_BYTES: usize = 3;
/// Bytes of keys and entries up to which they are written as one segment.
const SEGMENT_BYTES_MAX: usize = 1 << 30;

/// Entries of one shard and one batch. Doc ids must be given in ascending order.
#[derive(Default)]
pub(crate) struct Staged {
    hasher: DefaultHashBuilder,
    /// Positions in `values`, by key.
    table: HashTable<usize>,
    values: Vec<StagedValue>,
    /// The values' keys, one after another, each without the shard's prefix and without a doc id.
    keys: Vec<u8>,
    occurrences: Vec<Occurrence>,
    /// Columns by key, in the form of the values' keys.
    columns: BTreeMap<ColumnKey, Column>,
}

/// Key of a column without the shard's prefix and without a doc id: property, kind, [`ColumnOf`].
type ColumnKey = [u8; 4];

/// A value that some object of the batch has.
#[derive(Clone, Copy)]
struct StagedValue {
    /// Where its key begins, and how long it is.
    key: usize,
    key_bytes: usize,
    /// Its first and its last occurrence.
    first: usize,
    last: usize,
}

/// That an object has a value.
#[derive(Clone, Copy)]
struct Occurrence {
    doc_id: DocId,
    /// Of a term: how often, and the tokens of the whole property.
    frequency: u32,
    length: u32,
    /// The next occurrence of the value; of the last one its own position.
    next: usize,
}

/// Takes in the entries of one object.
pub(crate) struct StagedObject<'a> {
    staged: &'a mut Staged,
    doc_id: DocId,
    /// The first occurrence of the current property, whose length is not known yet.
    property: usize,
    /// The current key; it is stored only if its value is new to the batch.
    key: Vec<u8>,
}

impl Staged {
    /// Where the entries of that object go.
    pub(crate) fn object(&mut self, doc_id: DocId) -> StagedObject<'_> {
        let property = self.occurrences.len();
        StagedObject { staged: self, doc_id, property, key: Vec::new() }
    }

    /// Adds everything to `changes`: one entry per value and chunk, one block per term; as a segment if there are
    /// `segment_entries_min` values or more.
    /// `first` is the first doc id of the batch. Keys ascend, which RocksDB takes in faster than any other order.
    pub(crate) fn write(
        &self,
        prefix: ShardPrefix,
        first: DocId,
        segment_entries_min: usize,
        changes: &mut Changes<'_>,
    ) -> Result<()> {
        let columns_bytes: usize = self.columns.values().map(Column::bytes).sum();
        let bytes = self.keys.len() + self.occurrences.len() * 32 + columns_bytes;
        if self.values.len() < segment_entries_min || bytes > SEGMENT_BYTES_MAX {
            let mut key = Vec::new();
            self.each_entry(|value_key, doc_id, entry| {
                key.clear();
                key.extend_from_slice(prefix.bytes());
                key.extend_from_slice(value_key);
                key.extend_from_slice(&doc_id.0.to_be_bytes());
                changes.put(Family::Inverted, &key, entry);
                Ok(())
            })?;
            return Ok(());
        }
        let mut segment = segment::Writer::new(self.values.len() + self.columns.len(), bytes);
        self.each_entry(|value_key, doc_id, entry| segment.push(&[value_key, &doc_id.0.to_be_bytes()], entry))?;
        let key = with_doc_id(&prefix.inverted(OBJECT, InvKind::Segment), first.0);
        changes.put(Family::Inverted, &key, &segment.finish());
        Ok(())
    }

    /// Keys and contents of all entries, ascending by key: one entry per value and chunk, blocks of a term.
    pub(crate) fn entries(&self, prefix: ShardPrefix) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let mut entries = Vec::with_capacity(self.values.len());
        self.each_entry(|value_key, doc_id, entry| {
            entries.push(([prefix.bytes(), value_key, &doc_id.0.to_be_bytes()].concat(), entry.to_vec()));
            Ok(())
        })?;
        Ok(entries)
    }

    /// Names the entries, ascending by key: key of the value, first doc id, content.
    fn each_entry(&self, mut take: impl FnMut(&[u8], DocId, &[u8]) -> Result<()>) -> Result<()> {
        let (mut postings, mut members, mut entry) = (Vec::new(), Vec::new(), Vec::new());
        let mut columns = self.columns.iter().peekable();
        for value in self.sorted() {
            let key = self.key(value);
            while let Some((key, column)) = columns.next_if(|(column, _)| column.as_slice() < key) {
                column.entries().try_for_each(|(first, entry)| take(key, first, &entry))?;
            }
            if key.get(2) == Some(&(InvKind::Posting as u8)) {
                postings.clear();
                self.each_occurrence(value, |of| {
                    postings.push(Posting { doc_id: of.doc_id, frequency: of.frequency, length: of.length });
                });
                for block in postings.chunks(postings::LIST_POSTINGS_MAX) {
                    entry.clear();
                    postings::encode_into(block, &mut entry);
                    take(key, block[0].doc_id, &entry)?;
                }
                continue;
            }
            members.clear();
            self.each_occurrence(value, |of| members.push(of.doc_id.0));
            for chunk in members.chunk_by(|a, b| docset::chunk_of(*a) == docset::chunk_of(*b)) {
                take(key, DocId(chunk[0]), &docset::encode(chunk))?;
            }
        }
        columns.try_for_each(|(key, column)| column.entries().try_for_each(|(first, entry)| take(key, first, &entry)))
    }

    /// The values in the order of their keys. Most keys differ in their first bytes, which are compared as one number.
    fn sorted(&self) -> Vec<StagedValue> {
        let head = |value: &StagedValue| {
            let mut head = [0; 8];
            let key = &self.key(*value)[..value.key_bytes.min(8)];
            head[..key.len()].copy_from_slice(key);
            u64::from_be_bytes(head)
        };
        let mut sorted: Vec<(u64, StagedValue)> = self.values.iter().map(|value| (head(value), *value)).collect();
        sorted.sort_unstable_by(|(a_head, a), (b_head, b)| {
            a_head.cmp(b_head).then_with(|| self.key(*a).cmp(self.key(*b)))
        });
        sorted.into_iter().map(|(_, value)| value).collect()
    }

    fn key(&self, value: StagedValue) -> &[u8] {
        &self.keys[value.key..value.key + value.key_bytes]
    }

    fn each_occurrence(&self, value: StagedValue, mut take: impl FnMut(&Occurrence)) {
        let mut at = value.first;
        loop {
            take(&self.occurrences[at]);
            if at == value.last {
                return;
            }
            at = self.occurrences[at].next;
        }
    }

    /// Notes that the object has the value with that key, once more if it has it already.
    fn add(&mut self, key: &[u8], doc_id: DocId) {
        let Self { hasher, table, values, keys, occurrences, .. } = self;
        let key_of = |value: &StagedValue| &keys[value.key..value.key + value.key_bytes];
        let hash = hasher.hash_one(key);
        let at = occurrences.len();
        let occurrence = Occurrence { doc_id, frequency: 1, length: 0, next: at };
        if let Some(&known) = table.find(hash, |&value| key_of(&values[value]) == key) {
            let last = values[known].last;
            if occurrences[last].doc_id == doc_id {
                occurrences[last].frequency = occurrences[last].frequency.saturating_add(1);
                return;
            }
            occurrences[last].next = at;
            values[known].last = at;
        } else {
            values.push(StagedValue { key: keys.len(), key_bytes: key.len(), first: at, last: at });
            keys.extend_from_slice(key);
            let hash_of = |&value: &usize| {
                let value: &StagedValue = &values[value];
                hasher.hash_one(&keys[value.key..value.key + value.key_bytes])
            };
            table.insert_unique(hash, values.len() - 1, hash_of);
        }
        occurrences.push(occurrence);
    }
}

impl StagedObject<'_> {
    fn set_key(&mut self, property: PropertyId, kind: InvKind, value: &[u8]) {
        self.key.clear();
        self.key.extend_from_slice(&property.0.to_be_bytes());
        self.key.push(kind as u8);
        debug_assert_eq!(self.key.len(), HEAD_BYTES);
        self.key.extend_from_slice(value);
    }
}

impl Sink for StagedObject<'_> {
    fn member(&mut self, property: PropertyId, kind: InvKind, value: &[u8]) {
        self.set_key(property, kind, value);
        self.staged.add(&self.key, self.doc_id);
    }

    fn token(&mut self, property: PropertyId, term: &str) {
        self.set_key(property, InvKind::Posting, &[]);
        terms::write_term_key(term, &mut self.key);
        self.staged.add(&self.key, self.doc_id);
    }

    fn length(&mut self, _property: PropertyId, tokens: u32) {
        // Called after all tokens of the property; other occurrences noted since the last call do not use their length.
        self.staged.occurrences[self.property..].iter_mut().for_each(|occurrence| occurrence.length = tokens);
        self.property = self.staged.occurrences.len();
    }

    fn column(&mut self, property: PropertyId, of: ColumnOf, value: &Value) {
        let [high, low] = property.0.to_be_bytes();
        let key = [high, low, InvKind::Column as u8, of as u8];
        self.staged.columns.entry(key).or_default().push(self.doc_id, value);
    }
}
