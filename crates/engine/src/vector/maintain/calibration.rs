//! Calibration: whether quantised vectors distinguish the vectors of an index, tried on some of them.

use std::sync::atomic::Ordering;

use crate::vector::arena::{Rows, State, Tables};
use crate::vector::distance::Kernels;
use crate::vector::quantize::Codec;

/// Vectors and queries on which the codes are tried.
const TRIAL_VECTORS: usize = 2_048;
const TRIAL_QUERIES: usize = 32;
const TRIAL_K: usize = 10;

/// Share of the nearest that codes alone must find, in 1/100. On embeddings they find 99.
const FOUND_PERCENT_MIN: usize = 93;

/// Chosen around a centre where that finds so much more, in 1/100.
const CENTRE_GAIN_PERCENT_MIN: usize = 2;

/// The codec, centred on the mean of the vectors if that finds more of the true nearest, and whether the codec is good
/// enough: the nearest by code are compared with the nearest by originals. A view keeps the tables; `high` is the end of the
/// slots in use.
pub(super) fn calibrated(kernels: &Kernels, tables: &Tables, high: u32, codec: Codec) -> (Codec, bool) {
    let trial = Trial::new(kernels, tables, high);
    let found = trial.percent_found(&codec);
    if found < FOUND_PERCENT_MIN
        && let Some(centred) = trial.mean().and_then(|mean| codec.around(mean))
    {
        let found_centred = trial.percent_found(&centred);
        if found_centred >= found + CENTRE_GAIN_PERCENT_MIN {
            return (centred, found_centred >= FOUND_PERCENT_MIN);
        }
    }
    (codec, found >= FOUND_PERCENT_MIN)
}

/// Some of the vectors, all seen live in tables that a view keeps.
struct Trial<'a> {
    kernels: &'a Kernels,
    tables: &'a Tables,
    slots: Vec<u32>,
}

impl<'a> Trial<'a> {
    fn new(kernels: &'a Kernels, tables: &'a Tables, high: u32) -> Self {
        let is_live = |slot: &u32| tables.state(*slot).load(Ordering::Acquire) & State::LIVE != 0;
        let live: Vec<u32> = (0..high).filter(is_live).collect();
        let slots = live.iter().copied().step_by(live.len().div_ceil(TRIAL_VECTORS).max(1)).collect();
        Self { kernels, tables, slots }
    }

    fn vector(&self, slot: u32) -> &[f32] {
        // SAFETY: the slot was seen live under the view that keeps the tables.
        unsafe { self.tables.original(slot) }
    }

    /// `None` if it is beyond f32, or there are no vectors.
    fn mean(&self) -> Option<Vec<f32>> {
        let mut sums = vec![0.0f64; self.tables.layout.dim];
        for &slot in &self.slots {
            for (sum, &value) in sums.iter_mut().zip(self.vector(slot)) {
                *sum += f64::from(value);
            }
        }
        #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "between the vectors")]
        let mean: Vec<f32> = sums.iter().map(|sum| (sum / self.slots.len() as f64) as f32).collect();
        mean.iter().all(|value| value.is_finite()).then_some(mean)
    }

    fn percent_found(&self, codec: &Codec) -> usize {
        let (slots, kernels) = (&self.slots, self.kernels);
        let mut rows = Vec::with_capacity(slots.len() * codec.stride());
        let (mut scratch, mut row) = (Vec::new(), Vec::new());
        for &slot in slots {
            codec.encode(self.vector(slot), &mut scratch, &mut row);
            rows.extend_from_slice(&row);
        }
        let bases = [rows.as_ptr()];
        let all: Vec<u32> = (0..).take(slots.len()).collect();
        let (mut exact, mut approximate) = (vec![0.0; slots.len()], vec![0.0; slots.len()]);
        let (mut found, mut wanted) = (0, 0);
        for i in (0..slots.len()).step_by(slots.len().div_ceil(TRIAL_QUERIES).max(1)) {
            let query = self.vector(slots[i]);
            // SAFETY: the slots were seen live under this view; the trial rows are all written.
            unsafe {
                kernels.score_rows(self.tables.originals(), query, slots, &mut exact);
                let rows = Rows::new(&bases, 31, codec.stride());
                kernels.score_codes(rows, &codec.prepare(query).view(), &all, &mut approximate);
            }
            let (here, of) = agreement(&exact, &approximate);
            found += here;
            wanted += of;
        }
        found * 100 / wanted.max(1)
    }
}

/// How many of the first by code are, by their true distance, among the first. Ties count.
fn agreement(exact: &[f32], approximate: &[f32]) -> (usize, usize) {
    let k = TRIAL_K.min(exact.len());
    let mut sorted = exact.to_vec();
    sorted.sort_unstable_by(f32::total_cmp);
    let Some(&bound) = sorted.get(k.saturating_sub(1)) else { return (0, 0) };
    let mut order: Vec<usize> = (0..exact.len()).collect();
    order.sort_unstable_by(|&a, &b| approximate[a].total_cmp(&approximate[b]));
    (order.iter().take(k).filter(|&&i| exact[i] <= bound).count(), k)
}
