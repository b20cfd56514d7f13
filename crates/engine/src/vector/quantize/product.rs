//! Product codes (Jegou, Douze, Schmid: Product quantization for nearest neighbor search): the components in segments, each
//! replaced by the nearest of its centroids. A query stays exact: it becomes a table of its distances to all centroids.

use crate::vector::Distance;
use crate::vector::distance::{CENTROIDS, squares_to_centroids};

/// The centroids of all segments.
#[derive(Debug)]
pub(in crate::vector) struct Product {
    dim: usize,
    segments: usize,
    /// Centroids in use; the places of the others are not looked at.
    centroids: usize,
    /// For each component of the vector a column of `[CENTROIDS]`: what the centroids of its segment have there.
    columns: Vec<f32>,
}

/// Segments for a dimension where the settings leave it open, as Weaviate chooses.
pub(in crate::vector) fn segments_for(dim: usize) -> usize {
    let per_segment = match dim {
        2048.. if dim.is_multiple_of(8) => 8,
        768.. if dim.is_multiple_of(6) => 6,
        256.. if dim.is_multiple_of(4) => 4,
        _ if dim.is_multiple_of(2) => 2,
        _ => 1,
    };
    dim / per_segment
}

/// First component of a segment; of the one behind the last, the dimension.
pub(in crate::vector) fn segment_start(dim: usize, segments: usize, segment: usize) -> usize {
    segment * dim / segments
}

impl Product {
    /// `columns` is `[dim, CENTROIDS]`; `None` if the numbers do not fit together.
    pub(in crate::vector) fn new(dim: usize, segments: usize, centroids: usize, columns: Vec<f32>) -> Option<Self> {
        let fits =
            (1..=dim).contains(&segments) && (1..=CENTROIDS).contains(&centroids) && columns.len() == dim * CENTROIDS;
        fits.then_some(Self { dim, segments, centroids, columns })
    }

    pub(in crate::vector) fn columns(&self) -> &[f32] {
        &self.columns
    }

    /// Components and columns of each segment.
    fn parts<'a>(&'a self, vector: &'a [f32]) -> impl Iterator<Item = (&'a [f32], &'a [f32])> {
        (0..self.segments).map(|segment| {
            let start = segment_start(self.dim, self.segments, segment);
            let end = segment_start(self.dim, self.segments, segment + 1);
            (&vector[start..end], &self.columns[start * CENTROIDS..end * CENTROIDS])
        })
    }

    /// Appends the number of the nearest centroid of each segment.
    pub(in crate::vector) fn encode(&self, vector: &[f32], row: &mut Vec<u8>) {
        let mut squares = [0.0; CENTROIDS];
        for (values, columns) in self.parts(vector) {
            squares_to_centroids(values, columns, &mut squares);
            row.push(nearest(&squares, self.centroids));
        }
    }

    /// `[segments, CENTROIDS]`: what each centroid adds to the distance from `vector`, or to a number of the same order.
    pub(in crate::vector) fn table(&self, distance: Distance, vector: &[f32]) -> Vec<f32> {
        let mut table = vec![0.0; self.segments * CENTROIDS];
        for ((values, columns), out) in self.parts(vector).zip(table.as_chunks_mut::<CENTROIDS>().0) {
            // Under cosine all vectors have one norm, and squares, unlike products, do not suffer from what all have in common.
            if matches!(distance, Distance::L2Squared | Distance::Cosine) {
                squares_to_centroids(values, columns, out);
                continue;
            }
            for (&value, column) in values.iter().zip(columns.as_chunks::<CENTROIDS>().0) {
                for (out, centroid) in out.iter_mut().zip(column) {
                    *out += match distance {
                        Distance::Manhattan => (value - centroid).abs(),
                        _ => -(value * centroid),
                    };
                }
            }
        }
        table
    }
}

/// The first place of the least of the first `count`.
pub(in crate::vector) fn nearest(squares: &[f32; CENTROIDS], count: usize) -> u8 {
    let mut least = [f32::INFINITY; 16];
    for block in squares[..count].chunks(16) {
        for (least, &square) in least.iter_mut().zip(block) {
            *least = least.min(square);
        }
    }
    let least = least.into_iter().fold(f32::INFINITY, f32::min);
    let place = squares[..count].iter().position(|&square| square <= least).unwrap_or_default();
    u8::try_from(place).unwrap_or(u8::MAX)
}
