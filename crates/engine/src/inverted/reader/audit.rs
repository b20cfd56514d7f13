//! An audit: compares the inverted index of a shard with its rows.

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::DocId;
use crate::inverted::form::column::Column;
use crate::inverted::form::postings::{self, Posting};
use crate::inverted::form::{docset, terms};
use crate::inverted::writer::staged::Staged;
use crate::inverted::{DocSet, IndexView};
use crate::object::codec::{self, Wanted};
use crate::schema::Collection;
use crate::storage::Family;
use crate::storage::key::{self, DOC_BYTES, InvKind, PREFIX_BYTES};
use crate::{Error, Result};

/// Most findings that are listed.
const FINDINGS_MAX: usize = 20;

/// Members and postings by property, kind and value.
#[derive(Default)]
struct Contents {
    members: BTreeMap<Vec<u8>, BTreeSet<u64>>,
    postings: BTreeMap<Vec<u8>, BTreeMap<u64, Posting>>,
    /// Values as in rows, by column.
    columns: BTreeMap<Vec<u8>, BTreeMap<u64, Vec<u8>>>,
}

/// The differences between index and rows, one sentence each; empty when there are none. Reads everything into memory.
pub(crate) fn differences(view: &IndexView<'_>, schema: &Collection) -> Result<Vec<String>> {
    let mut findings = Vec::new();
    let found = stored(view, &mut findings)?;
    let wanted = of_rows(view, schema)?;
    let keys: BTreeSet<&Vec<u8>> = found.members.keys().chain(wanted.members.keys()).collect();
    let none = BTreeSet::new();
    for key in keys {
        let (found, wanted) = (found.members.get(key).unwrap_or(&none), wanted.members.get(key).unwrap_or(&none));
        if found != wanted {
            let (missing, more): (Vec<_>, Vec<_>) = (
                wanted.difference(found).take(FINDINGS_MAX).collect(),
                found.difference(wanted).take(FINDINGS_MAX).collect(),
            );
            findings.push(format!("value {key:02x?}: {missing:?} are missing, {more:?} are too many"));
        }
    }
    for (key, wanted) in &wanted.postings {
        // A missing posting was noted with the members.
        for (doc_id, found) in found.postings.get(key).into_iter().flatten() {
            if wanted.get(doc_id).is_some_and(|wanted| wanted != found) {
                findings.push(format!("term {key:02x?}: {found:?} in place of {:?}", wanted[doc_id]));
            }
        }
    }
    for key in found.columns.keys().chain(wanted.columns.keys()).collect::<BTreeSet<_>>() {
        let (found, wanted) = (found.columns.get(key), wanted.columns.get(key));
        let docs = found.into_iter().chain(wanted).flat_map(BTreeMap::keys).copied().collect::<BTreeSet<u64>>();
        for doc_id in docs.into_iter().filter(|doc_id| *doc_id >= view.columns_from.0) {
            let of = |column: Option<&BTreeMap<u64, Vec<u8>>>| column.and_then(|column| column.get(&doc_id)).cloned();
            if of(found) != of(wanted) {
                let (found, wanted) = (of(found), of(wanted));
                findings.push(format!("column {key:02x?}, {doc_id}: {found:02x?} in place of {wanted:02x?}"));
            }
        }
    }
    findings.truncate(FINDINGS_MAX);
    Ok(findings)
}

impl Contents {
    /// Takes in an entry; the key comes without the shard's prefix. Of text both kinds count as one.
    fn take(&mut self, key: &[u8], bytes: &[u8], live: &DocSet) -> Result<Vec<Posting>> {
        let first = key::parse_doc_id(key)?;
        let mut value = key.get(..key.len().saturating_sub(DOC_BYTES)).unwrap_or_default().to_vec();
        let kind = value.get(2).and_then(|&byte| InvKind::from_byte(byte));
        let mut set = roaring::RoaringTreemap::new();
        let mut block = Vec::new();
        match kind {
            Some(InvKind::Posting) => {
                block = postings::decode(first, bytes)?;
                let all = block.iter().filter(|posting| live.contains(posting.doc_id.0));
                self.postings.entry(value.clone()).or_default().extend(all.map(|posting| (posting.doc_id.0, *posting)));
                set.extend(block.iter().map(|posting| posting.doc_id.0));
                value[2] = InvKind::Term as u8;
            }
            Some(InvKind::Column) => {
                let mut column = Column::default();
                column.decode(first, bytes)?;
                let live = column.iter().filter(|(doc_id, _)| live.contains(*doc_id));
                let values = live.map(|(doc_id, value)| (doc_id, value.to_vec()));
                self.columns.entry(value).or_default().extend(values);
                return Ok(block);
            }
            // Entries of earlier versions hold no more than the entries that replaced them.
            Some(InvKind::Reference) => return Ok(block),
            Some(_) => docset::decode_into(&mut set, first, bytes)?,
            None => return Err(Error::DamagedIndex(format!("key {key:02x?}"))),
        }
        let members: Vec<u64> = live.and(&set).iter().collect();
        if !members.is_empty() {
            self.members.entry(value).or_default().extend(members);
        }
        Ok(block)
    }
}

/// The stored contents of live doc ids; blocks of one value that overlap are noted in `findings`.
fn stored(view: &IndexView<'_>, findings: &mut Vec<String>) -> Result<Contents> {
    let mut contents = Contents::default();
    let mut entries = view.store.cursor(Family::Inverted, view.prefix.bytes(), None);
    entries.seek(view.prefix.bytes());
    let mut last: Option<(Vec<u8>, DocId)> = None;
    while let Some((key, bytes)) = entries.item()? {
        let relative = &key[PREFIX_BYTES..];
        let kind = relative.get(2).and_then(|&byte| InvKind::from_byte(byte));
        if !kind.is_some_and(InvKind::is_exact) {
            let block = contents.take(relative, bytes, view.live)?;
            let value = &key[..key.len() - DOC_BYTES];
            if let (Some(first), Some(end)) = (block.first(), block.last()) {
                if last.as_ref().is_some_and(|(known, end)| known == value && *end >= first.doc_id) {
                    findings.push(format!("term {relative:02x?}: blocks overlap"));
                }
                last = Some((value.to_vec(), end.doc_id));
            }
        }
        entries.next();
    }
    for segment in view.parsed_segments()? {
        let (_, segment) = segment?;
        for n in 0..segment.len() {
            let (key, bytes) = segment.entry(n)?;
            contents.take(key, bytes, view.live)?;
        }
    }
    Ok(contents)
}

fn of_rows(view: &IndexView<'_>, schema: &Collection) -> Result<Contents> {
    let mut contents = Contents::default();
    let wanted = Wanted::all(schema);
    for doc_id in view.live.iter().map(DocId) {
        let row = view.store.get(Family::Objects, &view.prefix.object(doc_id))?;
        let row = row.ok_or_else(|| Error::Damaged(format!("live doc id {doc_id} has no row")))?;
        // An unreadable row has no index entries to compare.
        let Ok((_, object)) = codec::decode(&row, &wanted) else { continue };
        let mut staged = Staged::default();
        terms::index(schema, &object, &mut staged.object(doc_id));
        for (key, bytes) in staged.entries(view.prefix)? {
            contents.take(&key[PREFIX_BYTES..], &bytes, view.live)?;
        }
    }
    Ok(contents)
}
