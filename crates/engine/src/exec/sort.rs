//! Listings in the order of properties: the best of all candidates are kept while their sort keys are read.

use std::collections::BinaryHeap;

use roaring::RoaringTreemap;
use uuid::Uuid;

use super::fetch::read_objects;
use super::search::Search;
use crate::Result;
use crate::ids::DocId;
use crate::query::{Include, Query, Rank, SortKeys, SortTerms};

/// Candidates whose sort keys are read together.
const BATCH_DOCS_MAX: usize = 1_024;

impl Search<'_> {
    /// Doc ids of the page of a sorted listing, with `offset` left out.
    ///
    /// Equal objects keep the order that an unsorted listing has: of ids, or under a filter of doc ids.
    pub(super) fn sorted(&self, query: &Query, matches: Option<&RoaringTreemap>) -> Result<Vec<DocId>> {
        let terms = SortTerms::new(self.schema, &query.sort)?;
        let hidden = self.shard.unreadable.known().unwrap_or_default();
        let all: Box<dyn Iterator<Item = u64>> = match matches {
            Some(matches) => Box::new(matches.iter()),
            None => Box::new(self.view.state.live.iter()),
        };
        let all = all.filter(|doc_id| !hidden.contains(*doc_id));
        let mut best = Best::new(query, matches.is_none());
        let include = Include { properties: terms.projection(), ..Include::default() };
        let mut batch = Vec::with_capacity(BATCH_DOCS_MAX);
        let mut rest = all.map(DocId).peekable();
        while rest.peek().is_some() {
            batch.clear();
            batch.extend(rest.by_ref().take(BATCH_DOCS_MAX));
            let objects = read_objects(self.shard, &self.view, self.schema, &batch, &include)?;
            for (doc_id, object) in batch.iter().zip(objects) {
                let Some(object) = object else { continue };
                best.offer(*doc_id, object.id, terms.keys(&object))?;
            }
        }
        Ok(best.page())
    }
}

/// The first candidates of those that were offered.
struct Best<'a> {
    query: &'a Query,
    after: Option<Uuid>,
    /// Whether equal objects are in the order of ids.
    by_id: bool,
    /// The last one on top.
    heap: BinaryHeap<(SortKeys, Option<Uuid>, DocId)>,
    keys_bytes: usize,
    charged_bytes: usize,
}

impl<'a> Best<'a> {
    fn new(query: &'a Query, by_id: bool) -> Self {
        let after = match &query.rank {
            Rank::Listing { after } => *after,
            Rank::Near(_) => None,
        };
        Self { query, after, by_id, heap: BinaryHeap::new(), keys_bytes: 0, charged_bytes: 0 }
    }

    fn offer(&mut self, doc_id: DocId, id: Uuid, keys: SortKeys) -> Result<()> {
        if self.after.is_some_and(|after| id <= after) {
            return Ok(());
        }
        self.keys_bytes += keys.bytes();
        if self.keys_bytes > self.charged_bytes {
            self.query.include.charge.take(self.keys_bytes - self.charged_bytes)?;
            self.charged_bytes = self.keys_bytes;
        }
        self.heap.push((keys, self.by_id.then_some(id), doc_id));
        if self.heap.len() > self.query.offset.saturating_add(self.query.limit)
            && let Some((keys, ..)) = self.heap.pop()
        {
            self.keys_bytes -= keys.bytes();
        }
        Ok(())
    }

    /// The page of the query.
    fn page(self) -> Vec<DocId> {
        self.heap.into_sorted_vec().into_iter().skip(self.query.offset).map(|(.., doc_id)| doc_id).collect()
    }
}
