//! The inverted index of a shard as readers and background work see it.

use std::cell::OnceCell;

use roaring::RoaringTreemap;

use super::DocSet;
use super::form::segment::Segment;
use super::form::terms::OBJECT;
use crate::Result;
use crate::ids::DocId;
use crate::storage::key::{self, InvKind, ShardPrefix, with_doc_id};
use crate::storage::{Cursor, Family, Pinned, StoreView};

/// A snapshot of the store with the state of one shard that belongs to it.
pub(crate) struct IndexView<'a> {
    pub store: &'a StoreView<'a>,
    pub prefix: ShardPrefix,
    /// Live doc ids.
    pub live: &'a DocSet,
    /// Doc ids from this one on are in the store already, and belong to a batch that is about to be published.
    pub next_doc_id: u64,
    /// No segment begins below this doc id.
    pub segments_from: DocId,
    /// Objects from this doc id on have column values.
    pub columns_from: DocId,
    /// Of objects from this doc id on the values inside of objects are indexed.
    pub nested_from: DocId,
    /// The segments, read by the first lookup.
    segments: OnceCell<Vec<StoredSegment<'a>>>,
}

/// A segment in the store's memory.
struct StoredSegment<'a> {
    first: DocId,
    bytes: Pinned<'a>,
}

impl<'a> IndexView<'a> {
    pub(crate) fn new(
        store: &'a StoreView<'a>,
        prefix: ShardPrefix,
        (live, next_doc_id): (&'a DocSet, u64),
        (segments_from, columns_from, nested_from): (DocId, DocId, DocId),
    ) -> Self {
        let segments = OnceCell::new();
        Self { store, prefix, live, next_doc_id, segments_from, columns_from, nested_from, segments }
    }

    /// Whether a doc id stays in an entry that is written anew.
    pub(crate) fn keeps(&self, doc_id: u64) -> bool {
        doc_id >= self.next_doc_id || self.live.contains(doc_id)
    }

    /// Whether every live object has column values.
    pub(crate) fn has_columns(&self) -> bool {
        self.live.min().is_none_or(|first| first >= self.columns_from.0)
    }

    /// Live objects of which values inside of objects are not indexed.
    pub(crate) fn without_nested(&self) -> RoaringTreemap {
        if self.live.min().is_none_or(|first| first >= self.nested_from.0) {
            return RoaringTreemap::new();
        }
        let mut before = RoaringTreemap::new();
        before.insert_range(0..self.nested_from.0);
        self.live.and(&before)
    }

    /// A cursor at the first segment of the shard.
    pub(crate) fn segments(&self) -> Cursor<'a> {
        let all = self.prefix.inverted(OBJECT, InvKind::Segment);
        let mut cursor = self.store.cursor(Family::Inverted, &all, None);
        cursor.seek(&with_doc_id(&all, self.segments_from.0));
        cursor
    }

    /// The segments of the shard with their first doc ids, ascending. They are looked for once in the life of this view.
    ///
    /// # Errors
    /// [`Error::DamagedIndex`](crate::Error::DamagedIndex) for a segment that cannot be taken apart.
    pub(crate) fn parsed_segments(&self) -> Result<impl Iterator<Item = Result<(DocId, Segment<'_>)>>> {
        let segments = match self.segments.get() {
            Some(segments) => segments,
            None => {
                let read = self.read_segments()?;
                self.segments.get_or_init(|| read)
            }
        };
        Ok(segments.iter().map(|segment| Ok((segment.first, Segment::parse(&segment.bytes)?))))
    }

    fn read_segments(&self) -> Result<Vec<StoredSegment<'a>>> {
        let mut segments = Vec::new();
        let mut cursor = self.segments();
        while let Some((key, _)) = cursor.item()? {
            let first = key::parse_doc_id(key)?;
            segments.extend(self.store.get(Family::Inverted, key)?.map(|bytes| StoredSegment { first, bytes }));
            cursor.next();
        }
        Ok(segments)
    }
}
