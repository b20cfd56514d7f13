//! Scans by codes alone: the best by their codes are compared on the originals.
//!
//! Not exact: how many are compared is the setting `rescore`, or what the codes are known to need.

use super::exact::{BATCH, offer_originals};
use super::query::{Query, finish};
use super::top::Top;
use crate::vector::arena::Tables;
use crate::vector::distance::Kernels;
use crate::vector::hnsw::{ordered, unordered};
use crate::vector::quantize::CodedQuery;
use crate::vector::store::view::View;

/// Scans the live slots that `live` gives, [`BATCH`] at a time at most, into `top`; `code` is the query's. At least
/// `fetched_min` are compared on the originals, unless it is plain before that the rest is farther.
pub(in crate::vector) fn scan(
    view: &View,
    kernels: &Kernels,
    query: &Query,
    code: &CodedQuery,
    live: impl FnOnce(&mut dyn FnMut(&[u32])),
    fetched_min: usize,
    top: &mut Top,
) {
    let tables = &*view.tables;
    let wanted = top.wanted();
    let fetched = query.rescore.unwrap_or_else(|| code.fetched(wanted)).max(fetched_min).max(wanted);
    let best = best_by_code(tables, kernels, code, live, fetched);
    let mut batch = Vec::with_capacity(BATCH);
    for candidates in best.chunks(16) {
        if let Some(&first) = candidates.first() {
            // SAFETY: the slot was seen live under these tables, which have codes.
            let slack = code.likely_error(unsafe { tables.code(slot_of(first)) });
            if finish(query.distance, value_of(first) - slack) > top.bound() {
                return;
            }
        }
        batch.clear();
        batch.extend(candidates.iter().map(|&candidate| slot_of(candidate)));
        offer_originals(tables, kernels, query, &batch, top);
    }
}

/// The `count` nearest by their codes, ascending, each as a word of value and slot.
fn best_by_code(
    tables: &Tables,
    kernels: &Kernels,
    code: &CodedQuery,
    live: impl FnOnce(&mut dyn FnMut(&[u32])),
    count: usize,
) -> Vec<u64> {
    let (mut best, mut limit): (Vec<u64>, u64) = (Vec::new(), u64::MAX);
    let full = count.saturating_mul(2).saturating_add(BATCH);
    let mut values = [0.0; BATCH];
    let coded = code.view();
    live(&mut |batch| {
        // SAFETY: the slots were seen live under these tables, which have the query's kind of codes.
        unsafe { kernels.score_codes(tables.codes(), &coded, batch, &mut values) };
        let words = batch.iter().zip(&values).map(|(&slot, &value)| u64::from(ordered(value)) << 32 | u64::from(slot));
        best.extend(words.filter(|&word| word < limit));
        if best.len() >= full {
            let (_, &mut last, _) = best.select_nth_unstable(count - 1);
            best.truncate(count);
            limit = last;
        }
    });
    best.sort_unstable();
    best.truncate(count);
    best
}

fn slot_of(word: u64) -> u32 {
    (word & 0xffff_ffff) as u32
}

fn value_of(word: u64) -> f32 {
    unordered((word >> 32) as u32)
}
