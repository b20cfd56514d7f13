//! Training of product codes: k-means on each segment, one segment at a time, so that every step is bounded.

use super::product::{Product, nearest, segment_start};
use super::rotation::splitmix;
use crate::vector::distance::{CENTROIDS, squares_to_centroids};

/// Passes over the sample. Later ones move the centroids by next to nothing.
const PASSES: usize = 10;

/// Training as far as it got.
#[derive(Debug)]
pub(in crate::vector) struct Training {
    dim: usize,
    segments: usize,
    centroids: usize,
    seed: u64,
    columns: Vec<f32>,
    next: usize,
}

impl Training {
    pub(in crate::vector) fn new(dim: usize, segments: usize, centroids: usize, seed: u64) -> Self {
        let segments = segments.clamp(1, dim);
        let centroids = centroids.clamp(1, CENTROIDS);
        Self { dim, segments, centroids, seed, columns: vec![0.0; dim * CENTROIDS], next: 0 }
    }

    /// The components whose segment is trained next; `None` when all are.
    pub(in crate::vector) fn next_segment(&self) -> Option<std::ops::Range<usize>> {
        let start = |segment| segment_start(self.dim, self.segments, segment);
        (self.next < self.segments).then(|| start(self.next)..start(self.next + 1))
    }

    /// Trains the next segment on `sample`, `[n, width of the segment]`, n >= 1.
    pub(in crate::vector) fn train(&mut self, sample: &[f32]) {
        let Some(components) = self.next_segment() else { return };
        let width = components.len();
        let seed = splitmix(self.seed ^ self.next as u64);
        let columns = &mut self.columns[components.start * CENTROIDS..components.end * CENTROIDS];
        begin(sample, width, self.centroids, seed, columns);
        let mut numbers = vec![0u8; sample.len() / width];
        for pass in 0..PASSES {
            let moved = assign(sample, width, self.centroids, columns, &mut numbers);
            if pass > 0 && !moved {
                break;
            }
            centre(sample, width, self.centroids, &numbers, splitmix(seed ^ pass as u64), columns);
        }
        self.next += 1;
    }

    /// The trained codes; `None` before the last segment.
    pub(in crate::vector) fn finish(self) -> Option<Product> {
        if self.next < self.segments {
            return None;
        }
        Product::new(self.dim, self.segments, self.centroids, self.columns)
    }
}

/// Any of the sample.
fn draw(sample: &[f32], width: usize, word: u64) -> &[f32] {
    let rows = sample.len() / width;
    #[expect(clippy::cast_possible_truncation, reason = "below the number of rows")]
    let row = (word % rows as u64) as usize;
    &sample[row * width..(row + 1) * width]
}

fn place(columns: &mut [f32], centroid: usize, values: &[f32]) {
    for (column, &value) in columns.as_chunks_mut::<CENTROIDS>().0.iter_mut().zip(values) {
        column[centroid] = value;
    }
}

fn begin(sample: &[f32], width: usize, centroids: usize, seed: u64, columns: &mut [f32]) {
    for centroid in 0..centroids {
        place(columns, centroid, draw(sample, width, splitmix(seed ^ (centroid as u64) << 32)));
    }
}

/// Gives every row its nearest centroid; whether any changed.
fn assign(sample: &[f32], width: usize, centroids: usize, columns: &[f32], numbers: &mut [u8]) -> bool {
    let (mut squares, mut moved) = ([0.0; CENTROIDS], false);
    for (row, number) in sample.chunks_exact(width).zip(numbers) {
        squares_to_centroids(row, columns, &mut squares);
        let near = nearest(&squares, centroids);
        moved |= near != *number;
        *number = near;
    }
    moved
}

/// Moves every centroid to the middle of its rows; one without rows begins anew at some row.
fn centre(sample: &[f32], width: usize, centroids: usize, numbers: &[u8], seed: u64, columns: &mut [f32]) {
    let mut sums = vec![0.0f64; centroids * width];
    let mut counts = vec![0u32; centroids];
    for (row, &number) in sample.chunks_exact(width).zip(numbers) {
        let centroid = usize::from(number);
        counts[centroid] += 1;
        for (sum, &value) in sums[centroid * width..(centroid + 1) * width].iter_mut().zip(row) {
            *sum += f64::from(value);
        }
    }
    let mut middle = Vec::with_capacity(width);
    for (centroid, (sums, &count)) in sums.chunks_exact(width).zip(&counts).enumerate() {
        middle.clear();
        if count == 0 {
            middle.extend_from_slice(draw(sample, width, splitmix(seed ^ (centroid as u64) << 40)));
        } else {
            #[expect(clippy::cast_possible_truncation, reason = "between the rows")]
            middle.extend(sums.iter().map(|sum| (sum / f64::from(count)) as f32));
        }
        place(columns, centroid, &middle);
    }
}
