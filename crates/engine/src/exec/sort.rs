//! Listings in the order of properties: the best of all candidates are kept while their objects are read.

use std::collections::BinaryHeap;

use roaring::RoaringTreemap;
use uuid::Uuid;

use super::fetch::read_object;
use super::search::Search;
use crate::Result;
use crate::error::readable;
use crate::ids::DocId;
use crate::query::{Include, Query, Rank, SortKeys, SortTerms};

impl Search<'_> {
    /// Doc ids of the page of a sorted listing, with `offset` left out.
    ///
    /// Equal objects keep the order that an unsorted listing has: of ids, or under a filter of doc ids.
    pub(super) fn sorted(&self, query: &Query, matches: Option<&RoaringTreemap>) -> Result<Vec<DocId>> {
        let candidates = matches.unwrap_or(&self.view.state.live);
        let terms = SortTerms::new(self.schema, &query.sort)?;
        let after = match &query.rank {
            Rank::Listing { after } => *after,
            Rank::Near(_) => None,
        };
        let keep = query.offset.saturating_add(query.limit);
        let include = Include { properties: true, ..Include::default() };
        let (mut keys_bytes, mut charged) = (0, 0);
        // The greatest of the best so far on top.
        let mut best: BinaryHeap<(SortKeys, Option<Uuid>, DocId)> = BinaryHeap::new();
        for doc_id in candidates.iter().map(DocId) {
            let object = readable(read_object(self.shard, &self.view, self.schema, doc_id, &include))?;
            let Some(object) = object else { continue };
            if after.is_some_and(|after| object.id <= after) {
                continue;
            }
            let keys = terms.keys(&object);
            keys_bytes += keys.bytes();
            if keys_bytes > charged {
                query.include.charge.take(keys_bytes - charged)?;
                charged = keys_bytes;
            }
            best.push((keys, matches.is_none().then_some(object.id), doc_id));
            if best.len() > keep
                && let Some((keys, ..)) = best.pop()
            {
                keys_bytes -= keys.bytes();
            }
        }
        Ok(best.into_sorted_vec().into_iter().skip(query.offset).map(|(.., doc_id)| doc_id).collect())
    }
}
