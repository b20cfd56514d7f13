//! Rebuilding: the entries of a shard are written anew from its rows, and unreadable entries are removed.
//!
//! Readers go on meanwhile and find nothing wrong: first all rows are indexed again, beside the existing entries, from
//! the last doc id to the first, and only then unreadable entries are removed. When a new entry overwrites an
//! unreadable one on the way, all doc ids behind the first one of the overwritten entry have been indexed already.
//! Until an unreadable entry is removed, readers that meet it fail.
//!
//! Neither a merge nor compaction may run on the shard before the end: both assume that no doc id stands twice under a
//! value. The compaction after the rebuild joins such duplicates.

use roaring::RoaringTreemap;

use super::compaction;
use super::staged::Staged;
use crate::ids::DocId;
use crate::inverted::IndexView;
use crate::inverted::form::column::Column;
use crate::inverted::form::segment::Segment;
use crate::inverted::form::{docset, postings, terms};
use crate::object::codec::{self, Wanted};
use crate::schema::Collection;
use crate::storage::key::{self, InvKind, PREFIX_BYTES};
use crate::storage::{Changes, Family};
use crate::{Error, Result};

/// Indexes the last `rows_max` live rows below `below`. Returns where the next step goes on; `None` at the end.
pub(crate) fn rows(
    view: &IndexView<'_>,
    schema: &Collection,
    below: DocId,
    rows_max: u64,
    changes: &mut Changes<'_>,
) -> Result<Option<DocId>> {
    let live = view.live;
    let count = below.0.checked_sub(1).map_or(0, |last| live.rank(last));
    let Some(first) = live.select(count.saturating_sub(rows_max)).filter(|_| count > 0) else { return Ok(None) };
    let members = live.iter_from(first);
    let mut staged = Staged::default();
    let wanted = Wanted::all(schema);
    for doc_id in members.take_while(|doc_id| *doc_id < below.0).map(DocId) {
        let row = view.store.get(Family::Objects, &view.prefix.object(doc_id))?;
        match row.as_deref().map(|row| codec::decode(row, &wanted)) {
            Some(Ok((_, object))) => {
                terms::index(schema, &object, &mut staged.object(doc_id));
            }
            // A read of that object gets the error; the other objects are indexed.
            Some(Err(error)) => {
                tracing::warn!(%doc_id, %error, "an object that cannot be read is left out of the index");
            }
            None => tracing::warn!(%doc_id, "a live doc id without a row is left out of the index"),
        }
    }
    for (key, value) in staged.entries(view.prefix)? {
        let there = view.store.get(Family::Inverted, &key)?;
        let joined = there.as_deref().and_then(|there| join(&key, there, &value).ok());
        changes.put(Family::Inverted, &key, joined.as_deref().unwrap_or(&value));
    }
    Ok((first > 0).then_some(DocId(first)))
}

/// Two entries under one key as one.
fn join(key: &[u8], a: &[u8], b: &[u8]) -> Result<Vec<u8>> {
    let first = key::parse_doc_id(key)?;
    if kind_of(key) == Some(InvKind::Posting) {
        let mut postings = postings::decode(first, b)?;
        postings.extend(postings::decode(first, a)?);
        compaction::in_order(&mut postings);
        return Ok(postings::encode(&postings));
    }
    if kind_of(key) == Some(InvKind::Column) {
        let mut column = Column::default();
        column.decode(first, a)?;
        column.decode(first, b)?;
        // Both lie in the chunk of the key.
        let joined = column.cleaned(|_| true).entries().next();
        return joined.map(|(_, bytes)| bytes).ok_or_else(|| Error::DamagedIndex("column values: empty".into()));
    }
    let mut members = RoaringTreemap::new();
    docset::decode_into(&mut members, first, a)?;
    docset::decode_into(&mut members, first, b)?;
    Ok(docset::encode(&members.iter().collect::<Vec<_>>()))
}

/// The result of a step of the second part.
pub(crate) struct Cleaned {
    /// Keys looked at.
    pub keys: usize,
    /// Entries removed because they were unreadable.
    pub damaged: usize,
    /// Where the next step goes on; `None` at the end of the shard.
    pub cursor: Option<Vec<u8>>,
}

/// Deletes, from `cursor` (or the shard's beginning) on, unreadable entries, entries of earlier versions, and segments
/// that begin below `began_at`: [`rows`] has written all of their content anew.
pub(crate) fn clean(
    view: &IndexView<'_>,
    began_at: DocId,
    cursor: Option<&[u8]>,
    keys_max: usize,
    changes: &mut Changes<'_>,
) -> Result<Cleaned> {
    let mut entries = view.store.cursor(Family::Inverted, view.prefix.bytes(), None);
    entries.seek(cursor.unwrap_or(view.prefix.bytes()));
    let mut cleaned = Cleaned { keys: 0, damaged: 0, cursor: None };
    while let Some((key, bytes)) = entries.item()? {
        if cleaned.keys >= keys_max.max(1) {
            cleaned.cursor = Some(key.to_vec());
            return Ok(cleaned);
        }
        cleaned.keys += 1;
        // Entries of objects written after the rebuild began were not written anew: damage there stays an error, and is
        // rebuilt afterwards.
        let first = key::parse_doc_id(key).unwrap_or(DocId(0));
        if first < began_at {
            let kind = kind_of(key);
            let readable = is_readable(kind, first, bytes);
            if !readable || matches!(kind, Some(InvKind::Segment | InvKind::Reference)) {
                changes.delete(Family::Inverted, key);
                cleaned.damaged += usize::from(!readable);
            }
        }
        entries.next();
    }
    Ok(cleaned)
}

fn kind_of(key: &[u8]) -> Option<InvKind> {
    key.get(PREFIX_BYTES + 2).and_then(|&byte| InvKind::from_byte(byte))
}

fn is_readable(kind: Option<InvKind>, first: DocId, bytes: &[u8]) -> bool {
    match kind {
        None => false,
        // Apply maintains these entries itself, and loading the shard checked them.
        Some(InvKind::Live | InvKind::HasVector) => true,
        Some(InvKind::Segment) => Segment::parse(bytes).is_ok_and(|segment| check_segment(&segment).is_ok()),
        Some(InvKind::Posting) => postings::decode(first, bytes).is_ok(),
        Some(InvKind::Column) => Column::default().decode(first, bytes).is_ok(),
        Some(_) => docset::decode_into(&mut RoaringTreemap::new(), first, bytes).is_ok(),
    }
}

fn check_segment(segment: &Segment<'_>) -> Result<()> {
    for n in 0..segment.len() {
        let (key, bytes) = segment.entry(n)?;
        let kind = key.get(2).and_then(|&byte| InvKind::from_byte(byte));
        if !is_readable(kind, key::parse_doc_id(key)?, bytes) {
            return Err(Error::DamagedIndex(format!("segment of the inverted index: entry {n}")));
        }
    }
    Ok(())
}
