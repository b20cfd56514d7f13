//! Whether the default codes suit the vectors of an index.

use std::sync::atomic::Ordering;

use super::arena::{Rows, State};
use super::codes::Codec;
use super::core::Core;
use super::view::View;

/// Vectors and queries on which the codes are tried.
const TRIAL_VECTORS: usize = 2_048;
const TRIAL_QUERIES: usize = 32;
const TRIAL_K: usize = 10;

/// Share of the nearest that codes alone must find, in 1/100. On embeddings they find 99.
const FIT_PERCENT_MIN: usize = 93;

/// Whether the codes resolve what distinguishes these vectors: the nearest by code are compared with the nearest.
pub(super) fn fits(core: &Core, view: &View, codec: &Codec) -> bool {
    let tables = &view.tables;
    let live: Vec<u32> = (0..core.store.high(view))
        .filter(|&slot| tables.state(slot).load(Ordering::Acquire) & State::LIVE != 0)
        .collect();
    let slots: Vec<u32> = live.iter().copied().step_by(live.len().div_ceil(TRIAL_VECTORS).max(1)).collect();
    let mut rows = Vec::with_capacity(slots.len() * codec.stride());
    let (mut scratch, mut row) = (Vec::new(), Vec::new());
    for &slot in &slots {
        // SAFETY: seen live under this view.
        codec.encode(unsafe { tables.original(slot) }, &mut scratch, &mut row);
        rows.extend_from_slice(&row);
    }
    let bases = [rows.as_ptr()];
    let all: Vec<u32> = (0..).take(slots.len()).collect();
    let (mut exact, mut approximate) = (vec![0.0; slots.len()], vec![0.0; slots.len()]);
    let (mut found, mut wanted) = (0, 0);
    for i in (0..slots.len()).step_by(slots.len().div_ceil(TRIAL_QUERIES).max(1)) {
        // SAFETY: the slots were seen live under this view; the trial rows are all written.
        unsafe {
            let query = tables.original(slots[i]);
            core.kernels.score_rows(tables.originals(), query, &slots, &mut exact);
            let rows = Rows::new(&bases, 31, codec.stride());
            core.kernels.score_codes(rows, &codec.prepare(query).view(), &all, &mut approximate);
        }
        let (here, of) = agreement(&exact, &approximate);
        found += here;
        wanted += of;
    }
    found * 100 >= wanted * FIT_PERCENT_MIN
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
