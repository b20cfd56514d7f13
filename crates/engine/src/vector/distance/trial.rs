//! For the benches: the kernels of every tier over the same rows.

use super::{CODE_TRAILER_BYTES, Kernels, Rows};
use crate::vector::Distance;
use crate::vector::codes::{Code, Rotation};

/// Rows and their codes, to be compared by one tier or the other. Not part of an index.
pub struct KernelTrial {
    distance: Distance,
    dim: usize,
    rotation: Rotation,
    rows: Vec<f32>,
    codes: Vec<u8>,
    slots: Vec<u32>,
}

impl KernelTrial {
    /// Over `rows`, `[n, dim]`.
    #[must_use]
    pub fn new(distance: Distance, dim: usize, rows: Vec<f32>) -> Self {
        let rotation = Rotation::new(dim.next_multiple_of(64), 1);
        let stride = dim.next_multiple_of(64) + CODE_TRAILER_BYTES;
        let mut codes = vec![0; rows.len() / dim * stride];
        let (mut code, mut scratch) = (Code::default(), Vec::new());
        for (row, place) in rows.chunks_exact(dim).zip(codes.chunks_exact_mut(stride)) {
            code.encode(&rotation, row, &mut scratch);
            // SAFETY: the place has a code's length and a trailer.
            unsafe { code.write(place.as_mut_ptr()) };
        }
        let slots = (0..).take(rows.len() / dim).collect();
        Self { distance, dim, rotation, rows, codes, slots }
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
        let mut code = Code::default();
        code.encode(&self.rotation, query, &mut Vec::new());
        let stride = code.values.len() + CODE_TRAILER_BYTES;
        let bases = [self.codes.as_ptr()];
        // SAFETY: slots number the codes, which have the query code's length and a trailer.
        unsafe {
            let rows = Rows::new(&bases, 31, stride);
            self.kernels()[tier].score_codes(rows, &code.query(self.distance), &self.slots, out);
        }
    }
}
