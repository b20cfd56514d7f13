//! Entries of the inverted index on their way to disk.

use std::collections::HashMap;

use super::docset;
use super::postings::{self, Posting};
use super::terms::Sink;
use crate::group::{Changes, Family};
use crate::ids::{DocId, PropertyId};
use crate::key::{InvKind, ShardPrefix};

/// Entries of one shard and one batch. Doc ids must be given in ascending order.
#[derive(Default)]
pub(crate) struct Staged {
    members: HashMap<Vec<u8>, Vec<u64>>,
    postings: HashMap<Vec<u8>, Vec<Posting>>,
}

/// Takes in the entries of one object.
pub(crate) struct StagedObject<'a> {
    staged: &'a mut Staged,
    prefix: ShardPrefix,
    doc_id: DocId,
}

impl Staged {
    /// Where the entries of that object go.
    pub(crate) fn object(&mut self, prefix: ShardPrefix, doc_id: DocId) -> StagedObject<'_> {
        StagedObject { staged: self, prefix, doc_id }
    }

    /// Adds everything to `changes`: one entry per value and chunk, one block per term.
    pub(crate) fn write(&self, changes: &mut Changes<'_>) {
        for (key, members) in &self.members {
            for chunk in members.chunk_by(|a, b| docset::chunk_of(*a) == docset::chunk_of(*b)) {
                changes.put(Family::Inverted, &with_doc_id(key, chunk[0]), &docset::encode(chunk));
            }
        }
        for (key, all) in &self.postings {
            for block in all.chunks(postings::BLOCK_POSTINGS_MAX) {
                changes.put(Family::Inverted, &with_doc_id(key, block[0].doc_id.0), &postings::encode(block));
            }
        }
    }
}

impl Sink for StagedObject<'_> {
    fn member(&mut self, property: PropertyId, kind: InvKind, value: &[u8]) {
        let members = self.staged.members.entry(self.prefix.value(property, kind, value)).or_default();
        if members.last() != Some(&self.doc_id.0) {
            members.push(self.doc_id.0);
        }
    }

    fn posting(&mut self, property: PropertyId, term: &[u8], frequency: u32, length: u32) {
        let key = self.prefix.value(property, InvKind::Posting, term);
        self.staged.postings.entry(key).or_default().push(Posting { doc_id: self.doc_id, frequency, length });
    }
}

/// The key of an entry: its value's key and its first doc id.
pub(crate) fn with_doc_id(key: &[u8], doc_id: u64) -> Vec<u8> {
    [key, &doc_id.to_be_bytes()].concat()
}
