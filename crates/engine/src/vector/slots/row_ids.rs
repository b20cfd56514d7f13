//! Ids of rows: a document's id and the row's number in it, so that no map between them has to be kept.
//!
//! Rows come last to first and go first to last. So a document whose first row is there is whole, at every moment that a
//! save may catch.

use roaring::RoaringTreemap;

use crate::ids::DocId;
use crate::vector::slots::docs::DocMap;

/// Bits of an id that number the row.
pub(in crate::vector) const ROW_BITS: u32 = 14;

/// Most rows of a document.
pub const ROWS_MAX: usize = 1 << ROW_BITS;

/// Most rows of a query.
pub const QUERY_ROWS_MAX: usize = 4_096;

/// Id of a row; `row` is below [`ROWS_MAX`].
pub(in crate::vector) fn row_id(doc: u64, row: usize) -> DocId {
    debug_assert!(row < ROWS_MAX && doc >> (64 - ROW_BITS) == 0, "row {row} of document {doc}");
    DocId(doc << ROW_BITS | row as u64)
}

/// The document that a row belongs to.
pub(in crate::vector) fn doc_of(row: DocId) -> u64 {
    row.0 >> ROW_BITS
}

/// The document whose first row this is.
pub(in crate::vector) fn first_row_of(row: u64) -> Option<u64> {
    (row & (ROWS_MAX as u64 - 1) == 0).then_some(row >> ROW_BITS)
}

/// The whole documents among these rows, and the rows of the others.
pub(in crate::vector) fn whole(rows: &RoaringTreemap) -> (RoaringTreemap, Vec<DocId>) {
    let (mut docs, mut torn) = (RoaringTreemap::new(), Vec::new());
    for row in rows.iter().map(DocId) {
        if row == row_id(doc_of(row), 0) {
            docs.insert(doc_of(row));
        } else if docs.max() != Some(doc_of(row)) {
            torn.push(row);
        }
    }
    (docs, torn)
}

/// Rows asked for under one hold of a page.
const PAGE_ROWS: usize = 64;

/// Appends the slots of a document's rows; nothing unless the document is whole.
pub(in crate::vector) fn slots_of(map: &DocMap, doc: u64, slots: &mut Vec<u32>) {
    let first = doc << ROW_BITS;
    if map.get(first).is_none() {
        return;
    }
    for start in (0..ROWS_MAX).step_by(PAGE_ROWS) {
        let (before, start) = (slots.len(), first + start as u64);
        map.get_all(start..start + PAGE_ROWS as u64, slots);
        if slots.len() - before < PAGE_ROWS {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_without_its_first_row_is_torn() {
        let rows = [row_id(3, 0), row_id(3, 1), row_id(4, 1), row_id(4, 2), row_id(9, 0)];
        let (docs, torn) = whole(&rows.iter().map(|row| row.0).collect());
        assert_eq!(docs, [3, 9].into_iter().collect());
        assert_eq!(torn, [row_id(4, 1), row_id(4, 2)]);
    }

    #[test]
    fn rows_are_found_by_their_document() {
        let mut map = DocMap::default();
        for (doc, rows) in [(5, 200), (6, 64), (7, 1)] {
            (0..rows).for_each(|row| map.insert(row_id(doc, row).0, u32::try_from(row).expect("small")));
        }
        map.insert(row_id(8, 1).0, 77);
        for (doc, rows) in [(4, 0), (5, 200), (6, 64), (7, 1), (8, 0)] {
            let mut slots = vec![1];
            slots_of(&map, doc, &mut slots);
            assert_eq!(slots.len(), 1 + rows, "document {doc}");
            assert_eq!(doc_of(row_id(doc, rows)), doc);
        }
    }
}
