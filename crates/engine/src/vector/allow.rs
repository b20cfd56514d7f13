//! Allow lists as searches ask them.

use std::sync::atomic::Ordering;

use roaring::{RoaringBitmap, RoaringTreemap};

use super::arena::State;
use super::multi;
use super::store::Store;
use super::view::View;

/// An allow list with its parts side by side: asking it is one search in a short array.
pub(super) struct Allow<'a> {
    list: &'a RoaringTreemap,
    parts: Vec<(u32, &'a RoaringBitmap)>,
    /// Bits of an id that are not the document's: those that number its rows.
    row_bits: u32,
    /// Vectors of a document, about.
    per_document: usize,
}

/// Documents looked up under one hold of the map's lock.
const LOOKUP_BATCH: usize = 1024;

impl<'a> Allow<'a> {
    pub(super) fn new(list: &'a RoaringTreemap) -> Self {
        Self { list, parts: list.bitmaps().collect(), row_bits: 0, per_document: 1 }
    }

    /// A list of documents whose rows are looked for, about `per_document` each.
    pub(super) fn of_rows(list: &'a RoaringTreemap, per_document: usize) -> Self {
        Self { row_bits: multi::ROW_BITS, per_document, ..Self::new(list) }
    }

    /// Vectors allowed, present or not, about.
    pub(super) fn len(&self) -> usize {
        usize::try_from(self.list.len()).unwrap_or(usize::MAX).saturating_mul(self.per_document)
    }

    #[inline(always)]
    pub(super) fn contains(&self, id: u64) -> bool {
        let doc = id >> self.row_bits;
        #[expect(clippy::cast_possible_truncation, reason = "the two halves")]
        let (high, low) = ((doc >> 32) as u32, doc as u32);
        self.parts.iter().any(|(part, bitmap)| *part == high && bitmap.contains(low))
    }

    /// Slots of the allowed documents that are present, in order of the documents.
    pub(super) fn slots<'s>(&'s self, store: &'s Store) -> impl Iterator<Item = u32> + 's {
        let mut docs = self.list.iter();
        let (mut slots, mut next) = (Vec::with_capacity(LOOKUP_BATCH), 0);
        std::iter::from_fn(move || {
            while next == slots.len() {
                (next, slots) = (0, std::mem::take(&mut slots));
                slots.clear();
                let mut looked = 0;
                let batch = docs
                    .by_ref()
                    .take(LOOKUP_BATCH / self.per_document.clamp(1, LOOKUP_BATCH))
                    .inspect(|_| looked += 1);
                let map = store.docs.read();
                if self.row_bits == 0 {
                    map.get_all(batch, &mut slots);
                } else {
                    batch.for_each(|doc| multi::slots_of(&map, doc, &mut slots));
                }
                if looked == 0 {
                    return None;
                }
            }
            next += 1;
            slots.get(next - 1).copied()
        })
    }

    /// A few allowed nodes of the graph from all over the list, for a walk to begin at.
    pub(super) fn sample(&self, store: &Store, view: &View, count: u64) -> Vec<u32> {
        let len = self.list.len();
        let map = store.docs.read();
        let linked = |slot: &u32| {
            view.tables.has(*slot) && view.tables.state(*slot).load(Ordering::Acquire) == State::LIVE | State::LINKED
        };
        (0..count)
            .filter_map(|i| self.list.select((2 * i + 1) * len / (2 * count)))
            .filter_map(|doc| map.get(doc << self.row_bits))
            .filter(linked)
            .collect()
    }
}
