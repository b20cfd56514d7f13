//! Fixed dimensional encodings: one vector for a whole multi-vector, whose dot products follow maxSim (MUVERA,
//! arXiv 2405.19504).
//!
//! Random hyperplanes cut the space into `2^ksim` cells. A document's encoding holds the mean of its rows in each cell
//! (or, where a cell is empty, the row whose cell is nearest), a query's the sum of its rows; each is projected to
//! `dprojections` components at random, and all of it is repeated. Encodings that would be longer than [`ENCODED_MAX`] are
//! folded to that length by random signs, which keeps dot products in the mean.

use serde::{Deserialize, Serialize};

use crate::vector::quantize::splitmix;

/// Settings of the encodings, as Weaviate names them. Immutable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Muvera {
    /// Hyperplanes that cut the space, 1 to [`Muvera::KSIM_MAX`].
    pub ksim: u32,
    /// Components kept of the rows in a cell; the rows' own dimension at most.
    pub dprojections: u32,
    /// How often all of it is done, 1 to [`Muvera::REPETITIONS_MAX`].
    pub repetitions: u32,
}

impl Default for Muvera {
    fn default() -> Self {
        Self { ksim: 4, dprojections: 16, repetitions: 10 }
    }
}

impl Muvera {
    /// Most hyperplanes.
    pub const KSIM_MAX: u32 = 10;
    /// Most repetitions.
    pub const REPETITIONS_MAX: u32 = 64;
}

/// Longest encoding.
const ENCODED_MAX: usize = 16_384;

/// A cell that rows lie in.
struct Occupied {
    cell: usize,
    count: u32,
    /// Its first row.
    row_at: usize,
}

/// Makes encodings of rows of one dimension.
#[derive(Debug)]
pub(super) struct Encoder {
    dim: usize,
    cells: usize,
    projected: usize,
    /// For each repetition `[ksim, dim]`.
    planes: Vec<Vec<f32>>,
    /// For each repetition `[projected, dim]`; empty if rows are kept as they are.
    projections: Vec<Vec<f32>>,
    seed: u64,
}

impl Encoder {
    /// For rows of `dim` components. The same settings and seed give the same encodings everywhere.
    pub(super) fn new(settings: Muvera, dim: usize, seed: u64) -> Self {
        let ksim = settings.ksim.clamp(1, Muvera::KSIM_MAX) as usize;
        let repetitions = u64::from(settings.repetitions.clamp(1, Muvera::REPETITIONS_MAX));
        let projected = (settings.dprojections.max(1) as usize).min(dim);
        let whole = projected == dim;
        #[expect(clippy::cast_precision_loss, reason = "dimensions are far below 2^24")]
        let scale = 1.0 / (projected as f32).sqrt();
        let planes = |repetition| (0..ksim * dim).map(|at| normal(seed, stream(repetition, 0, at))).collect();
        let signs = |repetition| {
            let count = if whole { 0 } else { projected * dim };
            (0..count).map(|at| scale * sign(splitmix(seed ^ stream(repetition, 1, at)))).collect()
        };
        Self {
            dim,
            cells: 1 << ksim,
            projected,
            planes: (0..repetitions).map(planes).collect(),
            projections: (0..repetitions).map(signs).collect(),
            seed,
        }
    }

    /// Components of a row.
    pub(super) fn dim(&self) -> usize {
        self.dim
    }

    /// Components of an encoding.
    pub(super) fn encoded_dim(&self) -> usize {
        self.unfolded().min(ENCODED_MAX)
    }

    fn unfolded(&self) -> usize {
        self.planes.len() * self.cells * self.projected
    }

    /// The encoding of a query of these rows, `[rows, dim]`.
    pub(super) fn query(&self, rows: &[f32]) -> Vec<f32> {
        self.encode(rows, false)
    }

    /// The encoding of a document of these rows, `[rows, dim]`.
    pub(super) fn document(&self, rows: &[f32]) -> Vec<f32> {
        self.encode(rows, true)
    }

    /// Rows are summed in their cells and projected then, which is the same as the sum of projected rows: the work is
    /// bounded by the number of cells where a document has many rows.
    fn encode(&self, rows: &[f32], document: bool) -> Vec<f32> {
        let mut encoded = vec![0.0; self.encoded_dim()];
        let mut sums = vec![0.0; self.cells * self.dim];
        let mut block = vec![0.0; self.cells * self.projected];
        for (repetition, planes) in self.planes.iter().enumerate() {
            sums.fill(0.0);
            block.fill(0.0);
            let occupied = self.gather(planes, rows, &mut sums);
            for &Occupied { cell, count, .. } in &occupied {
                let sum = &mut sums[cell * self.dim..][..self.dim];
                #[expect(clippy::cast_precision_loss, reason = "a document has fewer than 2^24 rows")]
                let share = if document { 1.0 / count as f32 } else { 1.0 };
                sum.iter_mut().for_each(|value| *value *= share);
                self.project(repetition, sum, &mut block[cell * self.projected..][..self.projected]);
            }
            if document {
                self.fill_empty(repetition, rows, &occupied, &mut block);
            }
            self.place(repetition, &block, &mut encoded);
        }
        encoded
    }

    fn project(&self, repetition: usize, row: &[f32], out: &mut [f32]) {
        match self.projections.get(repetition).map(Vec::as_slice) {
            Some([]) | None => out.copy_from_slice(row),
            Some(signs) => {
                for (value, signs) in out.iter_mut().zip(signs.chunks_exact(self.dim)) {
                    *value = dot(signs, row);
                }
            }
        }
    }

    /// Sums the rows in each cell; the cells that have any, in the order of their first rows.
    fn gather(&self, planes: &[f32], rows: &[f32], sums: &mut [f32]) -> Vec<Occupied> {
        let mut occupied: Vec<Occupied> = Vec::new();
        let mut places = vec![usize::MAX; self.cells];
        for (row_at, row) in rows.chunks_exact(self.dim).enumerate() {
            let cell = cell(planes, row);
            if places[cell] == usize::MAX {
                places[cell] = occupied.len();
                occupied.push(Occupied { cell, count: 0, row_at });
            }
            occupied[places[cell]].count += 1;
            let sum = &mut sums[cell * self.dim..][..self.dim];
            sum.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
        }
        occupied
    }

    /// Gives each empty cell of a document the first row of the nearest cell that has any.
    fn fill_empty(&self, repetition: usize, rows: &[f32], occupied: &[Occupied], block: &mut [f32]) {
        let mut empty = vec![true; self.cells];
        occupied.iter().for_each(|occupied| empty[occupied.cell] = false);
        let mut firsts = vec![0.0; occupied.len() * self.projected];
        for (of, out) in occupied.iter().zip(firsts.chunks_exact_mut(self.projected)) {
            self.project(repetition, &rows[of.row_at * self.dim..][..self.dim], out);
        }
        for cell in (0..self.cells).filter(|cell| empty[*cell]) {
            let nearest = occupied.iter().enumerate().min_by_key(|(_, of)| (of.cell ^ cell).count_ones());
            if let Some((nearest, _)) = nearest {
                let first = &firsts[nearest * self.projected..][..self.projected];
                block[cell * self.projected..][..self.projected].copy_from_slice(first);
            }
        }
    }

    /// Adds a repetition's block at its place, folded if need be.
    fn place(&self, repetition: usize, block: &[f32], encoded: &mut [f32]) {
        let first = repetition * block.len();
        if self.unfolded() <= encoded.len() {
            encoded[first..first + block.len()].copy_from_slice(block);
            return;
        }
        for (at, value) in (first..).zip(block) {
            let random = splitmix(self.seed ^ stream(0, 2, at));
            let to = ((random >> 1) % encoded.len() as u64) as usize;
            encoded[to] += value * sign(random);
        }
    }
}

/// The cell that a row lies in: one bit for each plane.
fn cell(planes: &[f32], row: &[f32]) -> usize {
    planes.chunks_exact(row.len()).fold(0, |cell, plane| cell << 1 | usize::from(dot(plane, row) > 0.0))
}

/// With partial sums, so that it is done several components at a time.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 16;
    let mut sums = [0.0f32; LANES];
    let (a_blocks, a_rest) = a.as_chunks::<LANES>();
    let (b_blocks, b_rest) = b.as_chunks::<LANES>();
    for (a, b) in a_blocks.iter().zip(b_blocks) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f32>() + rest
}

/// A place in the stream of random numbers of its own for each use.
fn stream(repetition: u64, purpose: u64, at: usize) -> u64 {
    splitmix(repetition << 34 | purpose << 32 | at as u64)
}

fn sign(random: u64) -> f32 {
    if random & 1 == 0 { 1.0 } else { -1.0 }
}

/// Close to normally distributed: a sum of uniform numbers, which is the same on every machine.
fn normal(seed: u64, place: u64) -> f32 {
    let word = |n: u64| splitmix(seed ^ place.wrapping_add(n));
    let halves = (0..6).flat_map(|n| [word(n) >> 40, word(n) & 0xff_ffff]);
    #[expect(clippy::cast_precision_loss, reason = "24 bits each")]
    let sum: f32 = halves.map(|bits| bits as f32 / 16_777_216.0).sum();
    sum - 6.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(seed: u64, count: usize, dim: usize) -> Vec<f32> {
        let mut rows: Vec<f32> = (0..count * dim).map(|at| normal(seed, stream(9, 9, at))).collect();
        for row in rows.chunks_exact_mut(dim) {
            let norm = dot(row, row).sqrt();
            row.iter_mut().for_each(|value| *value /= norm);
        }
        rows
    }

    /// The document that shares the query's rows has the greatest dot product.
    fn check(settings: Muvera, dim: usize, length: usize) {
        let encoder = Encoder::new(settings, dim, 7);
        assert_eq!(encoder.encoded_dim(), length, "{settings:?}");
        let documents: Vec<Vec<f32>> = (0..50).map(|n| rows(n, 12, dim)).collect();
        let encoded: Vec<Vec<f32>> = documents.iter().map(|rows| encoder.document(rows)).collect();
        let mut found = 0;
        for (n, document) in documents.iter().enumerate() {
            let query = encoder.query(&document[..4 * dim]);
            let best =
                (0..encoded.len()).max_by(|&a, &b| dot(&query, &encoded[a]).total_cmp(&dot(&query, &encoded[b])));
            found += usize::from(best == Some(n));
        }
        assert!(found >= 45, "{found} of 50 with {settings:?}");
    }

    #[test]
    fn encodings_follow_max_sim() {
        check(Muvera::default(), 32, 2_560);
        check(Muvera { ksim: 3, dprojections: 64, repetitions: 8 }, 32, 2_048);
        check(Muvera { ksim: 8, dprojections: 16, repetitions: 10 }, 32, ENCODED_MAX);
    }

    #[test]
    fn settings_out_of_range_are_brought_into_it() {
        let encoder = Encoder::new(Muvera { ksim: 0, dprojections: 0, repetitions: 0 }, 4, 7);
        assert_eq!(encoder.encoded_dim(), 2);
        let encoder = Encoder::new(Muvera { ksim: 99, dprojections: 9_999, repetitions: 9_999 }, 3, 7);
        assert_eq!(encoder.encoded_dim(), ENCODED_MAX);
        assert!(encoder.document(&[0.0; 6]).iter().all(|value| value.is_finite()));
    }
}
