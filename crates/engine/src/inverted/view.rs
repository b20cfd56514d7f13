//! The inverted index of a shard as readers and background work see it.

use super::DocSet;
use super::form::terms::OBJECT;
use crate::ids::DocId;
use crate::storage::key::{InvKind, ShardPrefix, with_doc_id};
use crate::storage::{Cursor, Family, StoreView};

/// A snapshot of the store with the state of one shard that belongs to it.
#[derive(Clone, Copy)]
pub(crate) struct IndexView<'a> {
    pub store: &'a StoreView<'a>,
    pub prefix: ShardPrefix,
    /// Live doc ids.
    pub live: &'a DocSet,
    /// Doc ids from this one on are in the store already, and belong to a batch that is about to be published.
    pub next_doc_id: u64,
    /// No segment begins below this doc id.
    pub segments_from: DocId,
}

impl<'a> IndexView<'a> {
    /// Whether a doc id stays in an entry that is written anew.
    pub(crate) fn keeps(&self, doc_id: u64) -> bool {
        doc_id >= self.next_doc_id || self.live.contains(doc_id)
    }

    /// A cursor at the first segment of the shard.
    pub(crate) fn segments(&self) -> Cursor<'a> {
        let all = self.prefix.inverted(OBJECT, InvKind::Segment);
        let mut cursor = self.store.cursor(Family::Inverted, &all, None);
        cursor.seek(&with_doc_id(&all, self.segments_from.0));
        cursor
    }
}
