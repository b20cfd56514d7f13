//! Distances for graph searches: from one fixed vector to batches of slots.

use crate::vector::arena::{Rows, Tables};
use crate::vector::distance::{CodeQuery, Kernels};
use crate::vector::quantize::Codec;

/// Distances from one vector. Smaller is nearer; values of one scorer kind compare with each other only.
pub(in crate::vector) trait Scorer {
    /// `out` becomes the distances of `slots`.
    ///
    /// # Safety
    /// The slots exist in the scorer's tables (`Tables::has`) and their data are written: their numbers come from lists of
    /// links, or they were seen live or dead, under a view that is still held.
    unsafe fn score(&self, slots: &[u32], out: &mut Vec<f32>);

    /// Asks for the first rows of a batch that will be compared soon. Any slots are allowed.
    fn prefetch(&self, slots: &[u32]);

    /// A scorer for a stored vector, of the same kind.
    ///
    /// # Safety
    /// As [`score`](Self::score).
    unsafe fn of_stored(&self, slot: u32) -> Self;
}

/// Compares codes.
pub(in crate::vector) struct CodeScorer<'a> {
    tables: &'a Tables,
    rows: Rows<'a>,
    kernels: &'a Kernels,
    query: CodeQuery<'a>,
}

impl<'a> CodeScorer<'a> {
    /// The tables must have codes, of the query's kind.
    pub(in crate::vector) fn new(tables: &'a Tables, kernels: &'a Kernels, query: CodeQuery<'a>) -> Self {
        assert_eq!(query.row_bytes(), tables.code_stride(), "codes of one index have one length");
        Self { tables, rows: tables.codes(), kernels, query }
    }

    /// From a stored vector, by the tables' linking codec.
    ///
    /// # Safety
    /// As [`Scorer::score`].
    pub(in crate::vector) unsafe fn stored(tables: &'a Tables, kernels: &'a Kernels, codec: &Codec, slot: u32) -> Self {
        // SAFETY: the caller's slot is in use (see `Scorer::score`).
        Self::new(tables, kernels, codec.stored_query(unsafe { tables.code(slot) }))
    }
}

impl Scorer for CodeScorer<'_> {
    #[inline(always)]
    fn prefetch(&self, slots: &[u32]) {
        prefetch_rows(self.rows, slots);
    }

    #[inline(always)]
    unsafe fn score(&self, slots: &[u32], out: &mut Vec<f32>) {
        out.resize(slots.len(), 0.0);
        // SAFETY: the slots exist and are in use (see the trait); the tables have codes (see `new`).
        unsafe { self.kernels.score_codes(self.rows, &self.query, slots, out) };
    }

    unsafe fn of_stored(&self, slot: u32) -> Self {
        let codec = self.tables.linking_codec().expect("only fine codes choose neighbours");
        // SAFETY: handed on to the caller.
        unsafe { Self::stored(self.tables, self.kernels, codec, slot) }
    }
}

/// Compares f32 originals.
pub(in crate::vector) struct RowScorer<'a> {
    tables: &'a Tables,
    rows: Rows<'a>,
    kernels: &'a Kernels,
    query: &'a [f32],
}

impl<'a> RowScorer<'a> {
    pub(in crate::vector) fn new(tables: &'a Tables, kernels: &'a Kernels, query: &'a [f32]) -> Self {
        assert_eq!(query.len(), tables.layout.dim, "vectors of one index have one length");
        Self { tables, rows: tables.originals(), kernels, query }
    }

    /// From a stored vector.
    ///
    /// # Safety
    /// As [`Scorer::score`].
    pub(in crate::vector) unsafe fn stored(tables: &'a Tables, kernels: &'a Kernels, slot: u32) -> Self {
        // SAFETY: the caller's slot is in use (see `Scorer::score`).
        Self::new(tables, kernels, unsafe { tables.original(slot) })
    }
}

impl Scorer for RowScorer<'_> {
    #[inline(always)]
    fn prefetch(&self, slots: &[u32]) {
        prefetch_rows(self.rows, slots);
    }

    #[inline(always)]
    unsafe fn score(&self, slots: &[u32], out: &mut Vec<f32>) {
        out.resize(slots.len(), 0.0);
        // SAFETY: the slots exist and are in use (see the trait).
        unsafe { self.kernels.score_rows(self.rows, self.query, slots, out) };
    }

    unsafe fn of_stored(&self, slot: u32) -> Self {
        // SAFETY: handed on to the caller.
        unsafe { Self::stored(self.tables, self.kernels, slot) }
    }
}

/// Rows of a coming batch asked for, and bytes of each: the kernels ask for the others as they go.
const COMING_ROWS: usize = 8;
const COMING_BYTES: usize = 256;

#[inline(always)]
fn prefetch_rows(rows: Rows<'_>, slots: &[u32]) {
    for &slot in slots.iter().take(COMING_ROWS) {
        rows.prefetch(slot, COMING_BYTES);
    }
}
