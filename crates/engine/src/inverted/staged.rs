//! Entries of the inverted index on their way to disk.

use hashbrown::HashMap;

use super::docset;
use super::postings::{self, Posting};
use super::segment;
use super::terms::{self, OBJECT, Sink};
use crate::Result;
use crate::group::{Changes, Family};
use crate::ids::{DocId, PropertyId};
use crate::key::{self, InvKind, PREFIX_BYTES, ShardPrefix};

/// Entries of one shard and one batch. Doc ids must be given in ascending order.
#[derive(Default)]
pub(crate) struct Staged {
    members: HashMap<Vec<u8>, Vec<u64>>,
    /// Lengths are filled in when all tokens of the property are counted.
    postings: HashMap<Vec<u8>, Vec<Posting>>,
    lengths: HashMap<(PropertyId, DocId), u32>,
}

/// Takes in the entries of one object.
pub(crate) struct StagedObject<'a> {
    staged: &'a mut Staged,
    prefix: ShardPrefix,
    doc_id: DocId,
    /// The key at hand, so that one is only made for a value that is new to the batch.
    key: Vec<u8>,
}

impl Staged {
    /// Where the entries of that object go.
    pub(crate) fn object(&mut self, prefix: ShardPrefix, doc_id: DocId) -> StagedObject<'_> {
        StagedObject { staged: self, prefix, doc_id, key: Vec::new() }
    }

    /// Adds everything to `changes`: one entry per value and chunk, one block per term; as a segment if these are
    /// `segment_entries_min` or more.
    /// `first` is the first doc id of the batch. Keys ascend, which RocksDB takes in faster than any other order.
    pub(crate) fn write(
        &self,
        prefix: ShardPrefix,
        first: DocId,
        segment_entries_min: usize,
        changes: &mut Changes<'_>,
    ) -> Result<()> {
        let mut entries = Vec::with_capacity(self.members.len() + self.postings.len());
        for (key, members) in &self.members {
            for chunk in members.chunk_by(|a, b| docset::chunk_of(*a) == docset::chunk_of(*b)) {
                entries.push((with_doc_id(key, chunk[0]), docset::encode(chunk)));
            }
        }
        for (key, all) in &self.postings {
            let property = key::parse_property(key);
            let length = |posting: &Posting| self.lengths.get(&(property, posting.doc_id)).copied().unwrap_or(0);
            let all: Vec<Posting> = all.iter().map(|posting| Posting { length: length(posting), ..*posting }).collect();
            for block in all.chunks(postings::BLOCK_POSTINGS_MAX) {
                entries.push((with_doc_id(key, block[0].doc_id.0), postings::encode(block)));
            }
        }
        entries.sort_unstable();
        if entries.len() < segment_entries_min {
            entries.iter().for_each(|(key, value)| changes.put(Family::Inverted, key, value));
            return Ok(());
        }
        let relative =
            entries.iter().map(|(key, value)| (key.get(PREFIX_BYTES..).unwrap_or_default(), value.as_slice()));
        let segment = segment::encode(relative)?;
        let key = with_doc_id(&prefix.inverted(OBJECT, InvKind::Fresh), first.0);
        changes.put(Family::Inverted, &key, &segment);
        Ok(())
    }
}

impl StagedObject<'_> {
    fn set_key(&mut self, property: PropertyId, kind: InvKind, value: &[u8]) {
        self.key.clear();
        self.prefix.write_value(property, kind, value, &mut self.key);
    }
}

impl Sink for StagedObject<'_> {
    fn member(&mut self, property: PropertyId, kind: InvKind, value: &[u8]) {
        self.set_key(property, kind, value);
        let members = self.staged.members.entry_ref(self.key.as_slice()).or_default();
        if members.last() != Some(&self.doc_id.0) {
            members.push(self.doc_id.0);
        }
    }

    fn token(&mut self, property: PropertyId, term: &str) {
        self.set_key(property, InvKind::Posting, &[]);
        terms::write_term_key(term, &mut self.key);
        let postings = self.staged.postings.entry_ref(self.key.as_slice()).or_default();
        match postings.last_mut() {
            Some(last) if last.doc_id == self.doc_id => last.frequency = last.frequency.saturating_add(1),
            _ => postings.push(Posting { doc_id: self.doc_id, frequency: 1, length: 0 }),
        }
    }

    fn length(&mut self, property: PropertyId, tokens: u32) {
        self.staged.lengths.insert((property, self.doc_id), tokens);
    }
}

/// The key of an entry: its value's key and its first doc id.
pub(crate) fn with_doc_id(key: &[u8], doc_id: u64) -> Vec<u8> {
    [key, &doc_id.to_be_bytes()].concat()
}
