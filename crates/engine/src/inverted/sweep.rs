//! Sweeping: joining small entries and taking dead doc ids out, a bounded step at a time.
//!
//! Apply writes a new entry per value and batch, and never again touches it; a sweep goes over all entries of a shard in
//! key order and writes, for each value, one set per chunk and full blocks of postings in place of what was there. It
//! writes no key that apply could write at the same time: those carry doc ids given out after the sweep's view.

use std::collections::HashSet;

use roaring::RoaringTreemap;

use super::docset;
use super::postings::{self, Posting};
use super::staged::with_doc_id;
use crate::group::{Changes, Family, ShardState, ShardView};
use crate::ids::DocId;
use crate::key::{self, DOC_BYTES, InvKind, PREFIX_BYTES, ShardPrefix};
use crate::{Error, Result};

/// What a step did.
pub(crate) struct Step {
    /// Keys looked at.
    pub keys: usize,
    /// Where the next step goes on; `None` at the end of the shard.
    pub cursor: Option<Vec<u8>>,
}

/// Sweeps from `cursor` (or the shard's beginning) over at most `keys_max` entries, and adds what is to change to `changes`.
pub(crate) fn step(
    view: &ShardView<'_>,
    prefix: ShardPrefix,
    cursor: Option<&[u8]>,
    keys_max: usize,
    changes: &mut Changes<'_>,
) -> Result<Step> {
    let mut entries = view.store.cursor(Family::Inverted, prefix.bytes(), None);
    entries.seek(cursor.unwrap_or(prefix.bytes()));
    let mut value = OneValue::default();
    let mut keys = 0;
    while let Some((key, bytes)) = entries.item()? {
        if keys >= keys_max.max(1) {
            value.write(&view.state, changes)?;
            return Ok(Step { keys, cursor: Some(key.to_vec()) });
        }
        keys += 1;
        let value_key = &key[..key.len().saturating_sub(DOC_BYTES)];
        if value.key != value_key {
            value.write(&view.state, changes)?;
            value = OneValue::new(value_key)?;
        }
        value.take(key, bytes)?;
        entries.next();
    }
    value.write(&view.state, changes)?;
    Ok(Step { keys, cursor: None })
}

/// The entries of one value that a step has seen.
#[derive(Default)]
struct OneValue {
    key: Vec<u8>,
    kind: Option<InvKind>,
    /// First doc ids of the entries.
    entries: Vec<DocId>,
    members: RoaringTreemap,
    postings: Vec<Posting>,
    /// Postings per entry.
    block_lens: Vec<usize>,
}

impl OneValue {
    fn new(key: &[u8]) -> Result<Self> {
        let kind = key.get(PREFIX_BYTES + 2).and_then(|&byte| InvKind::from_byte(byte));
        let kind = kind.ok_or_else(|| Error::Damaged(format!("inverted index: key {key:02x?}")))?;
        Ok(Self { key: key.to_vec(), kind: Some(kind), ..Self::default() })
    }

    fn take(&mut self, key: &[u8], bytes: &[u8]) -> Result<()> {
        let first = key::parse_doc_id(key)?;
        match self.kind {
            Some(kind) if kind.is_exact() => return Ok(()),
            Some(InvKind::Posting) => {
                let block = postings::decode(first, bytes)?;
                self.block_lens.push(block.len());
                self.postings.extend(block);
            }
            _ => docset::decode_into(&mut self.members, first, bytes)?,
        }
        self.entries.push(first);
        Ok(())
    }

    fn write(&mut self, state: &ShardState, changes: &mut Changes<'_>) -> Result<()> {
        // What the view has beyond the state belongs to a batch that is about to be published.
        let stays = |doc_id: u64| doc_id >= state.record.next_doc_id || state.live.contains(doc_id);
        if self.entries.is_empty() {
            return Ok(());
        }
        let mut written: Vec<(DocId, Option<Vec<u8>>)> = Vec::new();
        if self.kind == Some(InvKind::Posting) {
            if !self.postings.is_sorted_by(|a, b| a.doc_id < b.doc_id) {
                return Err(Error::Damaged("inverted index: blocks of postings overlap".into()));
            }
            let before = self.postings.len();
            self.postings.retain(|posting| stays(posting.doc_id.0));
            let blocks: Vec<&[Posting]> = self.postings.chunks(postings::BLOCK_POSTINGS_MAX).collect();
            let same =
                before == self.postings.len() && blocks.iter().map(|block| block.len()).eq(self.block_lens.clone());
            if same {
                return Ok(());
            }
            written.extend(blocks.iter().map(|block| (block[0].doc_id, Some(postings::encode(block)))));
        } else {
            let before = self.members.len();
            let members: Vec<u64> = self.members.iter().filter(|doc_id| stays(*doc_id)).collect();
            let chunks: Vec<&[u64]> = members.chunk_by(|a, b| docset::chunk_of(*a) == docset::chunk_of(*b)).collect();
            if before == members.len() as u64 && chunks.len() == self.entries.len() {
                return Ok(());
            }
            written.extend(chunks.iter().map(|chunk| (DocId(chunk[0]), Some(docset::encode(chunk)))));
        }
        let kept: HashSet<DocId> = written.iter().map(|(doc_id, _)| *doc_id).collect();
        written.extend(self.entries.iter().filter(|entry| !kept.contains(entry)).map(|entry| (*entry, None)));
        for (doc_id, bytes) in written {
            let key = with_doc_id(&self.key, doc_id.0);
            match bytes {
                Some(bytes) => changes.put(Family::Inverted, &key, &bytes),
                None => changes.delete(Family::Inverted, &key),
            }
        }
        Ok(())
    }
}
