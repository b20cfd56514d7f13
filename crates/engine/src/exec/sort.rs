//! Listings in the order of properties: the best of all candidates are kept while their sort keys are read, from columns
//! or, of few candidates, from rows.

use std::collections::BinaryHeap;

use roaring::RoaringTreemap;
use uuid::Uuid;

use super::fetch::read_objects;
use super::search::Search;
use crate::ids::DocId;
use crate::inverted::IndexView;
use crate::inverted::form::column::{self, Stored};
use crate::inverted::form::terms::{self, ColumnOf, OBJECT};
use crate::inverted::reader::columns::ColumnReader;
use crate::query::{Include, Query, Rank, SortKey, SortKeys, SortTerm, SortTerms};
use crate::schema::Collection;
use crate::{Error, Result};

/// Candidates of one chunk from which on their columns are read and not their rows.
pub(super) const COLUMN_DOCS_MIN: usize = 32;

impl Search<'_> {
    /// Doc ids of the page of a sorted listing, with `offset` left out.
    ///
    /// Equal objects keep the order that an unsorted listing has: of ids, or under a filter of doc ids.
    pub(super) fn sorted(&self, query: &Query, matches: Option<&RoaringTreemap>) -> Result<Vec<DocId>> {
        let terms = SortTerms::new(self.schema, &query.sort)?;
        let view = self.view.index();
        let columns = SortColumns::new(self.schema, &view, &terms);
        if columns.is_some() && !view.has_columns() {
            self.context.maintenance.rebuild_inverted(self.shard.at);
        }
        let columns = columns.filter(|_| view.has_columns());
        let by_columns = columns.is_some();
        match self.first_of(query, matches, &terms, columns) {
            Err(Error::DamagedIndex(why)) if by_columns => {
                self.context.maintenance.begin_rebuild(self.shard.at, &why);
                self.first_of(query, matches, &terms, None)
            }
            found => found,
        }
    }

    fn first_of(
        &self,
        query: &Query,
        matches: Option<&RoaringTreemap>,
        terms: &SortTerms,
        mut columns: Option<SortColumns<'_, '_>>,
    ) -> Result<Vec<DocId>> {
        let hidden = self.shard.unreadable.known().unwrap_or_default();
        let all: Box<dyn Iterator<Item = u64>> = match matches {
            Some(matches) => Box::new(matches.iter()),
            None => Box::new(self.view.state.live.iter()),
        };
        let mut all = all.filter(|doc_id| !hidden.contains(*doc_id)).peekable();
        let mut best = Best::new(query, matches.is_none());
        let include = Include::default().with_sorted(&query.sort);
        let (mut docs, mut from_rows) = (Vec::new(), Vec::new());
        while let Some(first) = all.next() {
            docs.clear();
            docs.push(first);
            let chunk = column::chunk_of(first);
            docs.extend(std::iter::from_fn(|| all.next_if(|doc_id| chunk.contains(doc_id))));
            from_rows.clear();
            match &mut columns {
                Some(columns) if docs.len() >= COLUMN_DOCS_MIN => {
                    columns.read(&docs, best.needs_ids())?;
                    for (doc_id, known) in docs.iter().map(|doc_id| DocId(*doc_id)).zip(&columns.known) {
                        match known.id.filter(|_| !known.in_row) {
                            Some(id) => best.offer(doc_id, id, &known.keys)?,
                            None => from_rows.push(doc_id),
                        }
                    }
                }
                _ => from_rows.extend(docs.iter().map(|doc_id| DocId(*doc_id))),
            }
            let objects = read_objects(self.shard, &self.view, self.schema, &from_rows, &include)?;
            for (doc_id, object) in from_rows.iter().zip(objects) {
                let Some(object) = object else { continue };
                best.offer(*doc_id, object.id, &terms.keys(&object))?;
            }
        }
        Ok(best.page())
    }
}

/// The columns of the terms of a sort.
struct SortColumns<'a, 'v> {
    /// By the positions of the terms.
    terms: Vec<(usize, ColumnReader<'a, 'v>)>,
    ids: ColumnReader<'a, 'v>,
    /// Positions of the terms that sort by ids.
    by_id: Vec<usize>,
    none: SortKeys,
    /// What the last read found.
    known: Vec<Known>,
}

/// What columns know of a candidate.
#[derive(Clone)]
struct Known {
    /// Nil if nobody needs it.
    id: Option<Uuid>,
    keys: SortKeys,
    /// Whether a value is only in the row.
    in_row: bool,
}

impl<'a, 'v> SortColumns<'a, 'v> {
    /// `None` if a term has no column.
    fn new(schema: &Collection, view: &'a IndexView<'v>, terms: &SortTerms) -> Option<Self> {
        let (mut readers, mut by_id) = (Vec::new(), Vec::new());
        for (n, term) in terms.terms().enumerate() {
            match term {
                SortTerm::Id => by_id.push(n),
                SortTerm::Created => readers.push((n, ColumnReader::new(view, OBJECT, ColumnOf::Created))),
                SortTerm::Updated => readers.push((n, ColumnReader::new(view, OBJECT, ColumnOf::Updated))),
                SortTerm::Property(name) => {
                    let property = schema.property(name).filter(|property| terms::has_column(property))?;
                    readers.push((n, ColumnReader::new(view, property.id, ColumnOf::Values)));
                }
            }
        }
        let ids = ColumnReader::new(view, OBJECT, ColumnOf::Id);
        Some(Self { terms: readers, ids, by_id, none: terms.no_keys(), known: Vec::new() })
    }

    /// Reads the column values of documents of one chunk.
    fn read(&mut self, docs: &[u64], needs_ids: bool) -> Result<()> {
        let needs_ids = needs_ids || !self.by_id.is_empty();
        let known = &mut self.known;
        known.truncate(docs.len());
        for one in &mut *known {
            one.id = (!needs_ids).then(Uuid::nil);
            one.keys.clear();
            one.in_row = false;
        }
        let new = || Known { id: (!needs_ids).then(Uuid::nil), keys: self.none.clone(), in_row: false };
        known.resize_with(docs.len(), new);
        if needs_ids {
            self.ids.each(docs, |at, value| {
                if let Stored::Uuid(id) = value {
                    known[at].id = Some(id);
                    self.by_id.iter().for_each(|n| known[at].keys.set(*n, SortKey::Text(id.to_string())));
                }
                Ok(())
            })?;
        }
        for (n, reader) in &mut self.terms {
            reader.each(docs, |at, value| {
                match sort_key(&value) {
                    Some(key) => known[at].keys.set(*n, key),
                    None => known[at].in_row = true,
                }
                Ok(())
            })?;
        }
        Ok(())
    }
}

/// The key of a value; `None` if the value is only in the row.
fn sort_key(value: &Stored<'_>) -> Option<SortKey> {
    Some(match value {
        Stored::Bool(value) => SortKey::Bool(*value),
        Stored::Int(value) => SortKey::Int(*value),
        Stored::Number(value) => SortKey::Number(*value),
        Stored::Text(text) => SortKey::text(text),
        Stored::Date(date) => SortKey::Instant(date.unix_ns()),
        Stored::Uuid(_) => SortKey::Missing,
        Stored::Other(value) => SortKey::of(value),
        Stored::InRow => return None,
    })
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
            Rank::Near(_) | Rank::Keyword(_) => None,
        };
        Self { query, after, by_id, heap: BinaryHeap::new(), keys_bytes: 0, charged_bytes: 0 }
    }

    /// Whether ids have a part in the choice.
    fn needs_ids(&self) -> bool {
        self.by_id || self.after.is_some()
    }

    fn offer(&mut self, doc_id: DocId, id: Uuid, keys: &SortKeys) -> Result<()> {
        if self.after.is_some_and(|after| id <= after) {
            return Ok(());
        }
        let id = self.by_id.then_some(id);
        if self.heap.len() >= self.query.offset.saturating_add(self.query.limit) {
            // The one that would leave again at once.
            let is_last = |(last, last_id, last_doc): &(SortKeys, Option<Uuid>, DocId)| {
                keys.cmp(last).then_with(|| id.cmp(last_id)).then_with(|| doc_id.cmp(last_doc)).is_ge()
            };
            if self.heap.peek().is_none_or(is_last) {
                return Ok(());
            }
            if let Some((keys, ..)) = self.heap.pop() {
                self.keys_bytes -= keys.bytes();
            }
        }
        self.keys_bytes += keys.bytes();
        if self.keys_bytes > self.charged_bytes {
            self.query.include.charge.take(self.keys_bytes - self.charged_bytes)?;
            self.charged_bytes = self.keys_bytes;
        }
        self.heap.push((keys.clone(), id, doc_id));
        Ok(())
    }

    /// The page of the query.
    fn page(self) -> Vec<DocId> {
        self.heap.into_sorted_vec().into_iter().skip(self.query.offset).map(|(.., doc_id)| doc_id).collect()
    }
}

#[cfg(test)]
mod tests;
