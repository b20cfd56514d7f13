//! Allow lists as searches ask them.

use std::sync::atomic::Ordering;

use roaring::{RoaringBitmap, RoaringTreemap};

use super::exact::Chunks;
use crate::vector::arena::State;
use crate::vector::slots::row_ids;
use crate::vector::store::Store;
use crate::vector::store::view::View;

/// An allow list with its parts side by side: asking it is one search in a short array.
pub(in crate::vector) struct Allow<'a> {
    list: &'a RoaringTreemap,
    parts: Vec<(u32, &'a RoaringBitmap)>,
    /// Bits of an id that are not the document's: those that number its rows.
    row_bits: u32,
    /// Vectors of a document, about.
    per_document: usize,
}

/// Documents looked up under one hold of the map's lock lie in a range of this size.
const LOOKUP_RANGE: u32 = 1 << 16;
const LOOKUP_RANGE_OF_ROWS: u32 = 1 << 8;

impl<'a> Allow<'a> {
    pub(in crate::vector) fn new(list: &'a RoaringTreemap) -> Self {
        Self { list, parts: list.bitmaps().collect(), row_bits: 0, per_document: 1 }
    }

    /// A list of documents whose rows are looked for, about `per_document` each.
    pub(in crate::vector) fn of_rows(list: &'a RoaringTreemap, per_document: usize) -> Self {
        Self { row_bits: row_ids::ROW_BITS, per_document, ..Self::new(list) }
    }

    /// Vectors allowed, present or not, about.
    pub(in crate::vector) fn len(&self) -> usize {
        usize::try_from(self.list.len()).unwrap_or(usize::MAX).saturating_mul(self.per_document)
    }

    #[inline(always)]
    pub(in crate::vector) fn contains(&self, id: u64) -> bool {
        let doc = id >> self.row_bits;
        #[expect(clippy::cast_possible_truncation, reason = "the two halves")]
        let (high, low) = ((doc >> 32) as u32, doc as u32);
        self.parts.iter().any(|(part, bitmap)| *part == high && bitmap.contains(low))
    }

    /// Slots of the allowed documents that are present, in order of the documents.
    pub(in crate::vector) fn slots<'s>(&'s self, store: &'s Store) -> impl Chunks + 's {
        let mut parts = self.parts.iter();
        let mut at: Option<(u64, &RoaringBitmap, u32)> = None;
        move |chunk| {
            while chunk.is_empty() {
                let Some((high, bitmap, from)) =
                    at.take().or_else(|| parts.next().map(|&(high, bitmap)| (u64::from(high) << 32, bitmap, 0)))
                else {
                    return;
                };
                let Some(first) = bitmap.range(from..).next() else { continue };
                let range = if self.row_bits == 0 { LOOKUP_RANGE } else { LOOKUP_RANGE_OF_ROWS };
                let last = first | (range - 1);
                let docs = bitmap.range(first..=last).map(|low| high | u64::from(low));
                let map = store.docs.read();
                if self.row_bits == 0 {
                    map.get_all(docs, chunk);
                } else {
                    docs.for_each(|doc| row_ids::slots_of(&map, doc, chunk));
                }
                at = last.checked_add(1).map(|next| (high, bitmap, next));
            }
        }
    }

    /// A few allowed nodes of the graph from all over the list, for a graph search to begin at.
    pub(in crate::vector) fn sample(&self, store: &Store, view: &View, count: u64) -> Vec<u32> {
        let len = self.list.len();
        let map = store.docs.read();
        let linked = |slot: &u32| {
            let linked = State::LIVE | State::LINKED;
            view.tables.has(*slot) && view.tables.state(*slot).load(Ordering::Acquire) & linked == linked
        };
        (0..count)
            .filter_map(|i| self.list.select((2 * i + 1) * len / (2 * count)))
            .filter_map(|doc| map.get(doc << self.row_bits))
            .filter(linked)
            .collect()
    }
}
