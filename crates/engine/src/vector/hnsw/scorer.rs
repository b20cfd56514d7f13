//! Distances as a walk asks for them: from one fixed vector to batches of slots.

use crate::vector::Distance;
use crate::vector::arena::{Rows, Tables};
use crate::vector::codes::stored_query;
use crate::vector::distance::{CODE_TRAILER_BYTES, CodeQuery, Kernels};

/// Distances from one vector. Smaller is nearer; values of one scorer kind compare with each other only.
pub(in crate::vector) trait Scorer {
    /// `out` becomes the distances of `slots`.
    ///
    /// # Safety
    /// The slots exist in the scorer's tables (`Tables::has`) and their data are written: their numbers come from lists of
    /// links, or they were seen live or dead, under a view that is still held.
    unsafe fn score(&self, slots: &[u32], out: &mut Vec<f32>);

    /// A scorer for a stored vector, of the same kind.
    ///
    /// # Safety
    /// As [`score`](Self::score).
    unsafe fn of_stored(&self, slot: u32) -> Self;
}

/// Compares int8 codes.
pub(in crate::vector) struct CodeScorer<'a> {
    tables: &'a Tables,
    rows: Rows<'a>,
    kernels: &'a Kernels,
    distance: Distance,
    query: CodeQuery<'a>,
}

impl<'a> CodeScorer<'a> {
    /// The tables must have codes.
    pub(in crate::vector) fn new(
        tables: &'a Tables,
        kernels: &'a Kernels,
        distance: Distance,
        query: CodeQuery<'a>,
    ) -> Self {
        assert!(
            tables.has_codes() && query.code.len() == tables.layout.dim_padded,
            "codes of one index have one length"
        );
        Self { tables, rows: tables.codes(), kernels, distance, query }
    }

    /// From a stored vector.
    ///
    /// # Safety
    /// As [`Scorer::score`].
    pub(in crate::vector) unsafe fn stored(
        tables: &'a Tables,
        kernels: &'a Kernels,
        distance: Distance,
        slot: u32,
    ) -> Self {
        // SAFETY: the caller's slot is in use (see `Scorer::score`).
        let row = unsafe { tables.code(slot) };
        debug_assert_eq!(row.len(), tables.layout.dim_padded + CODE_TRAILER_BYTES);
        Self::new(tables, kernels, distance, stored_query(distance, row))
    }
}

impl Scorer for CodeScorer<'_> {
    #[inline(always)]
    unsafe fn score(&self, slots: &[u32], out: &mut Vec<f32>) {
        out.resize(slots.len(), 0.0);
        // SAFETY: the slots exist and are in use (see the trait); the tables have codes (see `new`).
        unsafe { self.kernels.score_codes(self.rows, &self.query, slots, out) };
    }

    unsafe fn of_stored(&self, slot: u32) -> Self {
        // SAFETY: handed on to the caller.
        unsafe { Self::stored(self.tables, self.kernels, self.distance, slot) }
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
