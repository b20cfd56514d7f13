//! The distance of late interaction, on f32 rows.

use crate::interrupt;
use crate::vector::Distance;
use crate::vector::core::Core;
use crate::vector::distance::Kernels;
use crate::vector::scan::exact::is_live;
use crate::vector::scan::query::{finish, prepare};
use crate::vector::store::view::View;

use crate::vector::slots::row_ids::slots_of;

/// A query of several rows, made ready.
#[derive(Debug, Clone)]
pub(super) struct RowQuery {
    distance: Distance,
    dim: usize,
    /// `[rows, dim]`, normalised under cosine.
    values: Vec<f32>,
}

/// How rows are compared where documents are compared by `distance`.
pub(super) fn of_rows(distance: Distance) -> Distance {
    match distance {
        // The query's rows are normalised, the documents' are not.
        Distance::Cosine => Distance::Dot,
        other => other,
    }
}

impl RowQuery {
    /// `values`: `[rows, dim]`, checked; `distance` is that of the documents.
    pub(super) fn new(distance: Distance, dim: usize, values: &[f32]) -> Self {
        let values = values.chunks_exact(dim.max(1)).flat_map(|row| prepare(distance, row)).collect();
        Self { distance: of_rows(distance), dim: dim.max(1), values }
    }

    /// The rows, in order.
    pub(super) fn rows(&self) -> impl ExactSizeIterator<Item = &[f32]> {
        self.values.chunks_exact(self.dim)
    }

    /// All rows as they are compared, `[rows, dim]`.
    pub(super) fn values(&self) -> &[f32] {
        &self.values
    }

    /// Distance to a document of these rows, `[rows, dim]`, at least one; a wrong one once the read is interrupted.
    pub(super) fn distance_to(&self, kernels: &Kernels, document: &[f32]) -> f32 {
        let nearest = |row: &[f32]| {
            if interrupt::is_raised() {
                return 0.0;
            }
            let values = document.chunks_exact(self.dim).map(|other| kernels.pair(row, other));
            f64::from(finish(self.distance, values.fold(f32::MAX, f32::min)))
        };
        narrow(self.rows().map(nearest).sum())
    }
}

fn narrow(sum: f64) -> f32 {
    #[expect(clippy::cast_possible_truncation, reason = "kept within the range of f32")]
    let sum = sum.clamp(f64::from(f32::MIN), f64::from(f32::MAX)) as f32;
    sum
}

/// Rows compared in one go, beyond which no document is added.
const BATCH_ROWS: usize = 512;

/// Offers the distances of those `docs` that are whole, from the rows that the index holds; wrong ones once the read is
/// interrupted.
pub(super) fn score(
    core: &Core,
    view: &View,
    query: &RowQuery,
    docs: impl Iterator<Item = u64>,
    mut offer: impl FnMut(u64, f32),
) {
    let mut batch = Batch::default();
    for doc in docs.take_while(|_| !interrupt::is_raised()) {
        batch.add(core, view, doc);
        if batch.slots.len() >= BATCH_ROWS {
            batch.score(core, view, query, &mut offer);
        }
    }
    batch.score(core, view, query, &mut offer);
}

/// Documents whose rows are compared together.
#[derive(Default)]
struct Batch {
    slots: Vec<u32>,
    /// Each document with the end of its slots.
    docs: Vec<(u64, usize)>,
    values: Vec<f32>,
}

impl Batch {
    fn add(&mut self, core: &Core, view: &View, doc: u64) {
        let before = self.slots.len();
        slots_of(&core.store.docs.read(), doc, &mut self.slots);
        // Rows that came after the view, or went before the map was asked, are for a newer look to find.
        if self.slots[before..].iter().all(|&slot| is_live(&view.tables, slot)) && self.slots.len() > before {
            self.docs.push((doc, self.slots.len()));
        } else {
            self.slots.truncate(before);
        }
    }

    fn score(&mut self, core: &Core, view: &View, query: &RowQuery, offer: &mut impl FnMut(u64, f32)) {
        let mut sums = vec![0.0f64; self.docs.len()];
        self.values.resize(self.slots.len(), 0.0);
        for row in query.rows().take_while(|_| !interrupt::is_raised()) {
            // SAFETY: the slots were seen live under this view, so they exist in its tables and their data are written.
            unsafe { core.kernels.score_rows(view.tables.originals(), row, &self.slots, &mut self.values) };
            let mut start = 0;
            for (sum, &(_, end)) in sums.iter_mut().zip(&self.docs) {
                let least = self.values[start..end].iter().copied().fold(f32::MAX, f32::min);
                *sum += f64::from(finish(query.distance, least));
                start = end;
            }
        }
        for (sum, &(doc, _)) in sums.iter().zip(&self.docs) {
            offer(doc, narrow(*sum));
        }
        self.slots.clear();
        self.docs.clear();
    }
}
