//! Merging L0 segments: several segments at once become entries under keys of their own.
//!
//! Small batches between the segments have entries of their own already. Blocks of one value must not overlap with those,
//! so none is joined across the end of a segment, unless the next one begins right behind its last posting.

use std::collections::BTreeMap;

use roaring::RoaringTreemap;

use crate::ids::DocId;
use crate::inverted::IndexView;
use crate::inverted::form::column::Column;
use crate::inverted::form::docset;
use crate::inverted::form::postings::{self, Posting};
use crate::inverted::form::segment::Segment;
use crate::storage::key::{self, DOC_BYTES, InvKind, with_doc_id};
use crate::storage::{Changes, Family};
use crate::{Error, Result};

/// Segments of a shard beyond which a merge is due: each costs every reader a parse.
pub(crate) const SEGMENTS_MAX: usize = 4;
/// Entries merged in one step, at most (a single segment may have more).
const STEP_ENTRIES_MAX: usize = 200_000;

/// First doc ids of a shard's segments, ascending.
pub(crate) fn first_doc_ids(view: &IndexView<'_>) -> Result<Vec<DocId>> {
    let mut cursor = view.segments();
    let mut found = Vec::new();
    while let Some((key, _)) = cursor.item()? {
        found.push(key::parse_doc_id(key)?);
        cursor.next();
    }
    Ok(found)
}

/// What a step did.
pub(crate) struct Step {
    /// Entries of the segments that were merged.
    pub entries: usize,
    /// Segments that begin below this doc id are gone.
    pub upto: DocId,
}

/// Whether a shard has so many segments that a merge is due.
pub(crate) fn is_due(view: &IndexView<'_>) -> Result<bool> {
    let mut cursor = view.segments();
    for _ in 0..SEGMENTS_MAX {
        if cursor.item()?.is_none() {
            return Ok(false);
        }
        cursor.next();
    }
    Ok(true)
}

/// Merges the oldest segments of a shard.
pub(crate) fn step(view: &IndexView<'_>, changes: &mut Changes<'_>) -> Result<Step> {
    let mut cursor = view.segments();
    let mut values: BTreeMap<Vec<u8>, Merged> = BTreeMap::new();
    let mut entries = 0;
    let mut upto = view.segments_from;
    // First doc ids of the segments that do not follow on the one before.
    let mut seams: Vec<DocId> = Vec::new();
    let mut next: Option<DocId> = None;
    while let Some((key, bytes)) = cursor.item()? {
        let segment = Segment::parse(bytes)?;
        if entries > 0 && entries + segment.len() > STEP_ENTRIES_MAX {
            break;
        }
        entries += segment.len();
        let first = key::parse_doc_id(key)?;
        if next.is_some_and(|next| next != first) {
            seams.push(first);
        }
        let mut last_posting = DocId(0);
        for n in 0..segment.len() {
            let (key, value) = segment.entry(n)?;
            let value_key = key.get(..key.len().saturating_sub(DOC_BYTES)).unwrap_or_default();
            if !values.contains_key(value_key) {
                values.insert(value_key.to_vec(), Merged::default());
            }
            if let Some(merged) = values.get_mut(value_key) {
                merged.take(key, value)?;
                last_posting = merged.postings.last().map_or(last_posting, |last| last.doc_id.max(last_posting));
            }
        }
        next = Some(DocId(last_posting.0 + 1));
        changes.delete(Family::Inverted, key);
        upto = DocId(first.0 + 1);
        cursor.next();
    }
    for (value_key, merged) in values {
        let value_key = [view.prefix.bytes(), &value_key].concat();
        merged.write(&value_key, |doc_id| view.keeps(doc_id), &seams, changes);
    }
    Ok(Step { entries, upto })
}

/// The entries of one value.
#[derive(Default)]
struct Merged {
    members: RoaringTreemap,
    postings: Vec<Posting>,
    column: Column,
}

impl Merged {
    fn take(&mut self, key: &[u8], bytes: &[u8]) -> Result<()> {
        let first = key::parse_doc_id(key)?;
        let kind = key.get(2).and_then(|&byte| InvKind::from_byte(byte));
        match kind {
            Some(InvKind::Posting) => self.postings.extend(postings::decode(first, bytes)?),
            Some(InvKind::Column) => self.column.decode(first, bytes)?,
            Some(kind) if !kind.is_exact() => docset::decode_into(&mut self.members, first, bytes)?,
            _ => return Err(Error::DamagedIndex(format!("segment of the inverted index: key {key:02x?}"))),
        }
        Ok(())
    }

    fn write(mut self, value_key: &[u8], stays: impl Fn(u64) -> bool, seams: &[DocId], changes: &mut Changes<'_>) {
        self.postings.retain(|posting| stays(posting.doc_id.0));
        let part = |posting: &Posting| seams.partition_point(|seam| *seam <= posting.doc_id);
        let parts = self.postings.chunk_by(|a, b| part(a) == part(b));
        for block in parts.flat_map(|part| part.chunks(postings::LIST_POSTINGS_MAX)) {
            let key = with_doc_id(value_key, block[0].doc_id.0);
            changes.put(Family::Inverted, &key, &postings::encode(block));
        }
        for (first, bytes) in self.column.cleaned(&stays).entries() {
            changes.put(Family::Inverted, &with_doc_id(value_key, first.0), &bytes);
        }
        let members: Vec<u64> = self.members.iter().filter(|doc_id| stays(*doc_id)).collect();
        for chunk in members.chunk_by(|a, b| docset::chunk_of(*a) == docset::chunk_of(*b)) {
            changes.put(Family::Inverted, &with_doc_id(value_key, chunk[0]), &docset::encode(chunk));
        }
    }
}
