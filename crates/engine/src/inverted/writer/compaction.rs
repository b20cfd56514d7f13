//! Compaction: small entries are joined and dead doc ids removed, a bounded step at a time.
//!
//! Apply writes a new entry per value and batch, and never touches it again; compaction goes over all entries of a shard in
//! key order and writes, for each value, one set per chunk and full blocks of postings in place of the existing entries. It
//! writes no key that apply could write at the same time: those carry doc ids given out after the compaction's view.
//!
//! Blocks of one value must not overlap, and two more writers put blocks between existing ones: a [merge](super::merge) and a
//! [rebuild](super::rebuild). So no block is joined across the beginning of a segment that is not merged yet, and blocks
//! that overlap (of a rebuild, or written by versions up to 0.1) are put in order wherever compaction meets them.

use std::collections::HashSet;

use roaring::RoaringTreemap;

use super::merge;
use crate::ids::DocId;
use crate::inverted::IndexView;
use crate::inverted::form::column::{self, Column};
use crate::inverted::form::docset;
use crate::inverted::form::postings::{self, Posting};
use crate::storage::key::{self, DOC_BYTES, InvKind, PREFIX_BYTES, with_doc_id};
use crate::storage::{Changes, Family};
use crate::{Error, Result};

/// Bytes of an entry that count as one key of a step's budget.
const BYTES_PER_KEY: usize = 1_024;
/// Bytes of a column beyond which its next chunk is joined apart.
const COLUMN_BYTES_MAX: usize = 1 << 20;

/// Entries that take the place of those of a value, by first doc id; `None` for one that stays as it is.
type Rewritten = Vec<(DocId, Option<Vec<u8>>)>;

/// First and last doc id of an entry of postings, and their number: enough to tell entries of one value apart.
type Extent = (DocId, DocId, usize);

/// What a step did.
pub(crate) struct Step {
    /// Keys looked at.
    pub keys: usize,
    /// Where the next step goes on; `None` at the end of the shard.
    pub cursor: Option<Vec<u8>>,
}

/// Compacts from `cursor` (or the shard's beginning) over at most `keys_max` entries, and adds the writes to `changes`.
///
/// # Errors
/// [`Error::DamagedIndex`] at an entry that fails its checks; nothing of the step may be written then.
pub(crate) fn step(
    view: &IndexView<'_>,
    cursor: Option<&[u8]>,
    keys_max: usize,
    changes: &mut Changes<'_>,
) -> Result<Step> {
    let compaction = Compaction { view, seams: merge::first_doc_ids(view)? };
    let mut entries = view.store.cursor(Family::Inverted, view.prefix.bytes(), None);
    entries.seek(cursor.unwrap_or(view.prefix.bytes()));
    let mut value = OneValue::default();
    let mut keys = 0;
    while let Some((key, bytes)) = entries.item()? {
        let value_key = &key[..key.len().saturating_sub(DOC_BYTES)];
        if keys >= keys_max.max(1) {
            let cut = (value.key == value_key).then(|| key::parse_doc_id(key)).transpose()?;
            value.write(&compaction, cut, changes)?;
            return Ok(Step { keys, cursor: Some(key.to_vec()) });
        }
        keys += 1 + bytes.len() / BYTES_PER_KEY;
        if value.key != value_key || value.ends_before(key::parse_doc_id(key)?) {
            value.write(&compaction, None, changes)?;
            value = OneValue::new(value_key)?;
        }
        value.take(key, bytes)?;
        entries.next();
    }
    value.write(&compaction, None, changes)?;
    Ok(Step { keys, cursor: None })
}

/// The state of the shard as a step reads it.
struct Compaction<'a, 'v> {
    view: &'a IndexView<'v>,
    /// First doc ids of the segments that are not merged, ascending.
    seams: Vec<DocId>,
}

impl Compaction<'_, '_> {
    /// Whether a doc id stays in an entry.
    fn stays(&self, doc_id: u64) -> bool {
        self.view.keeps(doc_id)
    }

    /// The number of seams up to a doc id: postings with different numbers do not share a block.
    fn part(&self, doc_id: DocId) -> usize {
        self.seams.partition_point(|seam| *seam <= doc_id)
    }
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
    /// The entries of postings.
    extents: Vec<Extent>,
    column: Column,
}

impl OneValue {
    fn new(key: &[u8]) -> Result<Self> {
        let kind = key.get(PREFIX_BYTES + 2).and_then(|&byte| InvKind::from_byte(byte));
        let kind = kind.ok_or_else(|| Error::DamagedIndex(format!("key {key:02x?}")))?;
        Ok(Self { key: key.to_vec(), kind: Some(kind), ..Self::default() })
    }

    /// Whether the entries so far are written before one that begins with `first` is read: of a large column.
    fn ends_before(&self, first: DocId) -> bool {
        let last = self.entries.last().is_some_and(|last| column::chunk_of(last.0) != column::chunk_of(first.0));
        last && self.column.bytes() > COLUMN_BYTES_MAX
    }

    fn take(&mut self, key: &[u8], bytes: &[u8]) -> Result<()> {
        let first = key::parse_doc_id(key)?;
        match self.kind {
            Some(kind) if kind.is_exact() => return Ok(()),
            Some(InvKind::Posting) => {
                let postings = postings::decode(first, bytes)?;
                self.extents.push(extent(&postings));
                self.postings.extend(postings);
            }
            Some(InvKind::Column) => self.column.decode(first, bytes)?,
            _ => docset::decode_into(&mut self.members, first, bytes)?,
        }
        self.entries.push(first);
        Ok(())
    }

    /// Writes the entries that replace the read ones. `cut` is the first doc id of the value's next entry, if the step
    /// ends between the two.
    fn write(mut self, compaction: &Compaction<'_, '_>, cut: Option<DocId>, changes: &mut Changes<'_>) -> Result<()> {
        if self.entries.is_empty() {
            return Ok(());
        }
        let written = match self.kind {
            Some(InvKind::Posting) => self.lists(compaction, cut)?,
            Some(InvKind::Column) => self.columns(compaction, cut)?,
            _ => self.sets(compaction, cut)?,
        };
        let Some(written) = written else { return Ok(()) };
        let kept: HashSet<DocId> = written.iter().map(|(doc_id, _)| *doc_id).collect();
        for entry in self.entries.iter().filter(|entry| !kept.contains(entry)) {
            changes.delete(Family::Inverted, &with_doc_id(&self.key, entry.0));
        }
        for (doc_id, bytes) in written {
            let Some(bytes) = bytes else { continue };
            changes.put(Family::Inverted, &with_doc_id(&self.key, doc_id.0), &bytes);
        }
        Ok(())
    }

    /// Full lists; `None` when the stored entries need no change.
    fn lists(&mut self, compaction: &Compaction<'_, '_>, cut: Option<DocId>) -> Result<Option<Rewritten>> {
        let ordered = in_order(&mut self.postings);
        self.postings.retain(|posting| compaction.stays(posting.doc_id.0));
        // Postings beyond the cut go under a key beyond the cut, so that the next step puts them in order with the
        // rest.
        let head = cut.map_or(self.postings.len(), |cut| self.postings.partition_point(|posting| posting.doc_id < cut));
        let mut tail = self.postings.split_off(head);
        if let Some(first) = tail.first().map(|posting| posting.doc_id)
            && let Some(there) = compaction.view.store.get(Family::Inverted, &with_doc_id(&self.key, first.0))?
            && !self.entries.contains(&first)
        {
            tail.extend(postings::decode(first, &there)?);
            in_order(&mut tail);
        }
        let parts = self.postings.chunk_by(|a, b| compaction.part(a.doc_id) == compaction.part(b.doc_id));
        let lists: Vec<&[Posting]> = parts.flat_map(|part| part.chunks(postings::LIST_POSTINGS_MAX)).collect();
        // Stored entries in order, none of whose postings went, are those of the same extent.
        let stored: HashSet<Extent> = self.extents.iter().copied().filter(|_| ordered).collect();
        if tail.is_empty()
            && lists.len() == self.extents.len()
            && lists.iter().all(|list| stored.contains(&extent(list)))
        {
            return Ok(None);
        }
        let lists = lists.into_iter().chain(tail.chunks(postings::LIST_POSTINGS_MAX));
        let written = |list: &[Posting]| {
            let bytes = (!stored.contains(&extent(list))).then(|| postings::encode(list));
            (list[0].doc_id, bytes)
        };
        Ok(Some(lists.map(written).collect()))
    }

    /// One entry per chunk; `None` when the stored entries need no change.
    fn columns(&mut self, compaction: &Compaction<'_, '_>, cut: Option<DocId>) -> Result<Option<Rewritten>> {
        let before = self.column.len();
        let mut column = self.column.cleaned(|doc_id| compaction.stays(doc_id));
        let mut entries: Vec<(DocId, Vec<u8>)> = column.entries().collect();
        if before == column.len() && entries.len() == self.entries.len() {
            return Ok(None);
        }
        // Beyond the cut the key of an entry may be that of one which this step has not seen.
        let beyond = entries.iter().map(|(first, _)| *first).filter(|first| cut.is_some_and(|cut| *first >= cut));
        for first in beyond.collect::<Vec<_>>() {
            if let Some(there) = compaction.view.store.get(Family::Inverted, &with_doc_id(&self.key, first.0))? {
                column.decode(first, &there)?;
            }
        }
        if cut.is_some() {
            entries = column.cleaned(|_| true).entries().collect();
        }
        Ok(Some(entries.into_iter().map(|(first, bytes)| (first, Some(bytes))).collect()))
    }

    /// One set per chunk; `None` when the stored sets need no change.
    fn sets(&mut self, compaction: &Compaction<'_, '_>, cut: Option<DocId>) -> Result<Option<Rewritten>> {
        let before = self.members.len();
        let mut members: RoaringTreemap = self.members.iter().filter(|doc_id| compaction.stays(*doc_id)).collect();
        let mut sets = chunks(&members);
        if before == members.len() && sets.len() == self.entries.len() {
            return Ok(None);
        }
        // Beyond the cut the key of a set may be another entry's, which this step has not seen.
        for first in sets.iter().map(|set| DocId(set[0])).filter(|first| cut.is_some_and(|cut| *first >= cut)) {
            if let Some(there) = compaction.view.store.get(Family::Inverted, &with_doc_id(&self.key, first.0))? {
                docset::decode_into(&mut members, first, &there)?;
            }
        }
        if cut.is_some() {
            sets = chunks(&members);
        }
        Ok(Some(sets.iter().map(|set| (DocId(set[0]), Some(docset::encode(set)))).collect()))
    }
}

fn extent(postings: &[Posting]) -> Extent {
    let doc_id = |posting: Option<&Posting>| posting.map_or(DocId(0), |posting| posting.doc_id);
    (doc_id(postings.first()), doc_id(postings.last()), postings.len())
}

/// Puts postings in order, each doc id once; whether they were.
pub(crate) fn in_order(postings: &mut Vec<Posting>) -> bool {
    let ordered = postings.is_sorted_by(|a, b| a.doc_id < b.doc_id);
    if !ordered {
        postings.sort_by_key(|posting| posting.doc_id);
        postings.dedup_by_key(|posting| posting.doc_id);
    }
    ordered
}

/// The members of each chunk.
fn chunks(members: &RoaringTreemap) -> Vec<Vec<u64>> {
    let mut chunks: Vec<Vec<u64>> = Vec::new();
    for member in members {
        match chunks.last_mut().filter(|chunk| docset::chunk_of(chunk[0]) == docset::chunk_of(member)) {
            Some(chunk) => chunk.push(member),
            None => chunks.push(vec![member]),
        }
    }
    chunks
}
