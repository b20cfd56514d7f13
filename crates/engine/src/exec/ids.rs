//! Ids of the objects that match filters: of many objects from their column, of few from their rows.

use std::collections::BTreeSet;

use roaring::RoaringTreemap;
use uuid::Uuid;

use super::ReadContext;
use super::fetch::read_id;
use super::search::Search;
use super::sort::COLUMN_DOCS_MIN;
use crate::error::readable;
use crate::ids::{DocId, ShardKey};
use crate::inverted::form::column::{self, Stored};
use crate::inverted::form::terms::{ColumnOf, OBJECT};
use crate::inverted::reader::columns::ColumnReader;
use crate::query::{Charge, Filter};
use crate::{Error, Result, interrupt};

impl ReadContext<'_> {
    /// For each filter the ids of the objects that match, at most `limit`, in no order, all from one view of the shard.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the group does not know the shard. The errors of each filter, and those of `charge`, are in
    /// its place.
    pub(super) fn matching_ids(
        self,
        at: ShardKey,
        filters: &[Filter],
        limit: usize,
        charge: Charge,
    ) -> Result<Vec<Result<Vec<Uuid>>>> {
        let (schema, shard) = self.state.known(at)?;
        let search = Search::begin(self, &schema, &shard, &BTreeSet::new())?;
        let ids = |filter| search.ids(&search.matches(filter)?, limit, charge);
        Ok(filters.iter().map(ids).collect())
    }
}

impl Search<'_> {
    /// The ids of these documents, at most `limit`. Objects that cannot be read are left out.
    fn ids(&self, docs: &RoaringTreemap, limit: usize, charge: Charge) -> Result<Vec<Uuid>> {
        let count = usize::try_from(docs.len()).unwrap_or(usize::MAX).min(limit);
        charge.take(count.saturating_mul(size_of::<Uuid>()))?;
        let view = self.view.index();
        let column =
            (view.has_columns() && count >= COLUMN_DOCS_MIN).then(|| ColumnReader::new(&view, OBJECT, ColumnOf::Id));
        let by_column = column.is_some();
        match self.read_ids(docs, count, column) {
            Err(Error::DamagedIndex(why)) if by_column => {
                self.context.maintenance.begin_rebuild(self.shard.at, &why);
                self.read_ids(docs, count, None)
            }
            ids => ids,
        }
    }

    fn read_ids(
        &self,
        docs: &RoaringTreemap,
        count: usize,
        mut column: Option<ColumnReader<'_, '_>>,
    ) -> Result<Vec<Uuid>> {
        let hidden = self.shard.unreadable.known().unwrap_or_default();
        let mut all = docs.iter().filter(|doc_id| !hidden.contains(*doc_id)).take(count).peekable();
        let mut ids = Vec::with_capacity(count);
        let (mut chunk_docs, mut known) = (Vec::new(), Vec::new());
        while let Some(first) = all.next() {
            interrupt::check()?;
            let chunk = column::chunk_of(first);
            chunk_docs.clear();
            chunk_docs.push(first);
            chunk_docs.extend(std::iter::from_fn(|| all.next_if(|doc_id| chunk.contains(doc_id))));
            known.clear();
            known.resize(chunk_docs.len(), None);
            if let Some(column) = column.as_mut().filter(|_| chunk_docs.len() >= COLUMN_DOCS_MIN) {
                column.each(&chunk_docs, |position, value| {
                    if let Stored::Uuid(id) = value {
                        known[position] = Some(id);
                    }
                    Ok(())
                })?;
            }
            for (doc_id, id) in chunk_docs.iter().zip(&known) {
                match id {
                    Some(id) => ids.push(*id),
                    None => ids.extend(readable(read_id(self.shard, &self.view, DocId(*doc_id)))?),
                }
            }
        }
        Ok(ids)
    }
}
