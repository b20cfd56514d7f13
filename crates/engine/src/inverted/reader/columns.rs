//! Reading column values: of the documents of one chunk at a time.

use crate::Result;
use crate::ids::{DocId, PropertyId};
use crate::inverted::IndexView;
use crate::inverted::form::column::{self, Stored};
use crate::inverted::form::terms::ColumnOf;
use crate::storage::key::{self, DOC_BYTES, InvKind, PREFIX_BYTES, with_doc_id};
use crate::storage::{Cursor, Family};

/// A column of a shard that is read. All objects that the view has must have column values
/// ([`IndexView::has_columns`]).
pub(crate) struct ColumnReader<'a, 'v> {
    view: &'a IndexView<'v>,
    /// Key of the column, without a doc id.
    key: Vec<u8>,
    cursor: Cursor<'v>,
}

impl<'a, 'v> ColumnReader<'a, 'v> {
    pub(crate) fn new(view: &'a IndexView<'v>, property: PropertyId, of: ColumnOf) -> Self {
        let key = view.prefix.value(property, InvKind::Column, &[of as u8]);
        let cursor = view.store.cursor(Family::Inverted, &key, None);
        Self { view, key, cursor }
    }

    /// Hands over the values of `docs`, which ascend and lie within one chunk, each with its position in `docs`. The order
    /// of the positions is not fixed, and a value may come twice; documents without a value are left out.
    ///
    /// # Errors
    /// [`Error::DamagedIndex`](crate::Error::DamagedIndex) for an entry that fails its checks; those of `take`.
    pub(crate) fn each(&mut self, docs: &[u64], mut take: impl FnMut(usize, Stored<'_>) -> Result<()>) -> Result<()> {
        let (Some(&least), Some(&most)) = (docs.first(), docs.last()) else { return Ok(()) };
        debug_assert_eq!(column::chunk_of(least), column::chunk_of(most), "one chunk");
        let chunk = column::chunk_of(least);
        self.cursor.seek(&with_doc_id(&self.key, chunk.start));
        while let Some((key, bytes)) = self.cursor.item()? {
            let first = key::parse_doc_id(key)?;
            if first.0 > most {
                break;
            }
            of_entry(docs, first, bytes, &mut take)?;
            self.cursor.next();
        }
        let relative = &self.key[PREFIX_BYTES..];
        for segment in self.view.parsed_segments()? {
            let (first, segment) = segment?;
            if first.0 > most {
                break;
            }
            for n in segment.lower_bound(&with_doc_id(relative, chunk.start))?..segment.len() {
                let (key, bytes) = segment.entry(n)?;
                if key.get(..key.len().saturating_sub(DOC_BYTES)) != Some(relative) {
                    break;
                }
                let first = key::parse_doc_id(key)?;
                if first.0 > most {
                    break;
                }
                of_entry(docs, first, bytes, &mut take)?;
            }
        }
        Ok(())
    }
}

/// Hands over the values of an entry for those of `docs` that have one there.
fn of_entry(
    docs: &[u64],
    first: DocId,
    bytes: &[u8],
    take: &mut impl FnMut(usize, Stored<'_>) -> Result<()>,
) -> Result<()> {
    // Doc ids of an entry ascend, as those asked for do.
    let (mut at, mut at_taken) = (docs.partition_point(|doc_id| *doc_id < first.0), 0);
    let wanted = |doc_id: u64| {
        while docs.get(at).is_some_and(|next| *next < doc_id) {
            at += 1;
        }
        docs.get(at) == Some(&doc_id)
    };
    column::each(first, bytes, wanted, |doc_id, value| {
        while docs.get(at_taken).is_some_and(|next| *next < doc_id) {
            at_taken += 1;
        }
        take(at_taken, value)
    })
}
