//! For the benches: the kernels of every tier over the same rows.

use super::{Kernels, Rows};
use crate::vector::Distance;
use crate::vector::quantize::{CodeKind, Codec};

/// Rows and their codes, to be compared by one tier or the other. Not part of an index.
pub struct KernelTrial {
    distance: Distance,
    dim: usize,
    codec: Codec,
    rows: Vec<f32>,
    codes: Vec<u8>,
    slots: Vec<u32>,
}

impl KernelTrial {
    /// Over `rows`, `[n, dim]`.
    #[must_use]
    pub fn new(distance: Distance, dim: usize, rows: Vec<f32>) -> Self {
        // The default codes, whatever the distance: what counts is the time.
        let coded = if distance == Distance::L2Squared { distance } else { Distance::Dot };
        let codec = Codec::untrained(coded, dim, CodeKind::Rotational { bits: 8 }, 1).expect("needs no training");
        let (mut codes, mut row, mut scratch) = (Vec::new(), Vec::new(), Vec::new());
        for vector in rows.chunks_exact(dim) {
            codec.encode(vector, &mut scratch, &mut row);
            codes.extend_from_slice(&row);
        }
        let slots = (0..).take(rows.len() / dim).collect();
        Self { distance, dim, codec, rows, codes, slots }
    }

    /// The tier that an index uses here, and the portable one.
    #[must_use]
    pub fn tiers(&self) -> [&'static str; 2] {
        self.kernels().map(|kernels| kernels.tier)
    }

    fn kernels(&self) -> [Kernels; 2] {
        [Kernels::of(self.distance), Kernels::portable(self.distance)]
    }

    /// Distances of `query`, `[dim]`, to all originals, by tier 0 or 1.
    pub fn score_rows(&self, tier: usize, query: &[f32], out: &mut Vec<f32>) {
        assert_eq!(query.len(), self.dim, "the query has the rows' length");
        out.resize(self.slots.len(), 0.0);
        let bases = [self.rows.as_ptr().cast()];
        // SAFETY: slots number the rows, which have the query's length.
        unsafe { self.kernels()[tier].score_rows(Rows::new(&bases, 31, self.dim * 4), query, &self.slots, out) };
    }

    /// Approximate distances of `query`, `[dim]`, to all codes, by tier 0 or 1.
    pub fn score_codes(&self, tier: usize, query: &[f32], out: &mut Vec<f32>) {
        assert_eq!(query.len(), self.dim, "the query has the rows' length");
        out.resize(self.slots.len(), 0.0);
        let query = self.codec.prepare(query);
        let bases = [self.codes.as_ptr()];
        // SAFETY: slots number the codes, which have the query code's length and a trailer.
        unsafe {
            let rows = Rows::new(&bases, 31, self.codec.stride());
            self.kernels()[tier].score_codes(rows, &query.view(), &self.slots, out);
        }
    }
}
