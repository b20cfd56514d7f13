//! Exact search over given slots.
//!
//! With codes at hand, the scan compares codes and keeps for each vector a lower bound of its true distance (Cauchy-Schwarz
//! on the coding errors of both sides, which the trailers state); originals are read only where the bound leaves room.
//! So the answer is the exact one at the price of an int8 scan. Coarser codes give no useful bound: see `coarse`.

use std::collections::BinaryHeap;
use std::sync::atomic::Ordering;

use super::coarse;
use super::query::{Query, finish};
use super::top::Top;
use crate::interrupt;
use crate::vector::arena::{State, Tables};
use crate::vector::distance::Kernels;
use crate::vector::quantize::{CodedQuery, WorstError};
use crate::vector::store::view::View;

/// Slots compared in one go.
pub(in crate::vector) const BATCH: usize = 128;

/// Slots to scan, a chunk at a time: the call fills an empty list, which stays empty only at the end.
pub(in crate::vector) trait Chunks: FnMut(&mut Vec<u32>) {}
impl<F: FnMut(&mut Vec<u32>)> Chunks for F {}

/// Slots of a chunk that come in one piece.
const CHUNK: usize = 4_096;

/// Chunks of what an iterator gives.
pub(in crate::vector) fn chunks_of(mut slots: impl Iterator<Item = u32>) -> impl Chunks {
    move |chunk| chunk.extend(slots.by_ref().take(CHUNK))
}

/// Scans the slots of `chunks` into `top`. Slots that are not live, or are newer than the view, are passed over; a slot
/// must not come twice.
pub(in crate::vector) fn scan(view: &View, kernels: &Kernels, query: &Query, chunks: impl Chunks, top: &mut Top) {
    let tables = &*view.tables;
    match &query.code {
        Some(code) => match code.worst_error() {
            Some(error) => {
                let bounded = Bounded { tables, kernels, query, code, error };
                let candidates = bounded.candidates(|body| each_live(tables, chunks, body), top);
                rerank(tables, kernels, query, &candidates, top);
            }
            None => coarse::scan(view, kernels, query, code, |body| each_live(tables, chunks, body), 0, top),
        },
        None => scan_originals(tables, kernels, query, chunks, top),
    }
}

/// Candidates by codes that a scan keeps for each that a graph search would keep. A scan is taken where the border of
/// the answer runs through dense places, and there are more within the error of the codes than a graph search meets.
const KEPT_PER_CANDIDATE: usize = 8;

/// As [`scan`] where a graph search that keeps `ef` candidates would have been good enough: of the slots only those
/// nearest by their codes are compared on the originals, in order, until the codes' likely error leaves no room.
pub(in crate::vector) fn scan_by_code(
    view: &View,
    kernels: &Kernels,
    query: &Query,
    chunks: impl Chunks,
    ef: usize,
    top: &mut Top,
) {
    let tables = &*view.tables;
    let fetched_min = ef.saturating_mul(KEPT_PER_CANDIDATE);
    match &query.code {
        Some(code) => {
            coarse::scan(view, kernels, query, code, |body| each_live(tables, chunks, body), fetched_min, top);
        }
        None => scan_originals(tables, kernels, query, chunks, top),
    }
}

fn scan_originals(tables: &Tables, kernels: &Kernels, query: &Query, chunks: impl Chunks, top: &mut Top) {
    each_live(tables, chunks, &mut |batch| offer_originals(tables, kernels, query, batch, top));
}

/// Shows the live slots of `chunks` to `body`, [`BATCH`] at a time at most; stops early when the read is interrupted.
fn each_live(tables: &Tables, mut chunks: impl Chunks, body: &mut dyn FnMut(&[u32])) {
    let mut chunk = Vec::new();
    loop {
        chunk.clear();
        chunks(&mut chunk);
        if chunk.is_empty() {
            return;
        }
        chunk.retain(|&slot| is_live(tables, slot));
        for batch in chunk.chunks(BATCH) {
            if interrupt::is_raised() {
                return;
            }
            body(batch);
        }
    }
}

/// Whether a search may return the slot.
#[inline(always)]
pub(in crate::vector) fn is_live(tables: &Tables, slot: u32) -> bool {
    tables.has(slot) && tables.state(slot).load(Ordering::Acquire) & State::LIVE != 0
}

/// Compares originals; the slots were seen live under this view.
pub(in crate::vector) fn offer_originals(
    tables: &Tables,
    kernels: &Kernels,
    query: &Query,
    slots: &[u32],
    top: &mut Top,
) {
    let mut values = [0.0; BATCH];
    // SAFETY: the slots exist in these tables and their data are written (seen live with acquire order).
    unsafe { kernels.score_rows(tables.originals(), &query.vector, slots, &mut values) };
    for (&slot, &value) in slots.iter().zip(&values) {
        let distance = finish(query.distance, value);
        if distance <= top.bound() {
            top.offer(distance, tables.doc(slot).load(Ordering::Relaxed));
        }
    }
}

/// A slot and what its distance cannot be below, as a kernel's value.
#[derive(Clone, Copy)]
struct Candidate {
    lower: f32,
    slot: u32,
}

/// Reads originals in the order of their lower bounds until no bound leaves room.
fn rerank(tables: &Tables, kernels: &Kernels, query: &Query, candidates: &[Candidate], top: &mut Top) {
    let mut slots = Vec::with_capacity(BATCH);
    for batch in candidates.chunks(16) {
        if batch.first().is_some_and(|first| finish(query.distance, first.lower) > top.bound()) {
            return;
        }
        slots.clear();
        slots.extend(batch.iter().map(|candidate| candidate.slot));
        offer_originals(tables, kernels, query, &slots, top);
    }
}

struct Bounded<'a> {
    tables: &'a Tables,
    kernels: &'a Kernels,
    query: &'a Query,
    code: &'a CodedQuery,
    error: WorstError,
}

/// Candidates kept before those that have become hopeless are dropped.
const CANDIDATES_MIN: usize = 4_096;

impl Bounded<'_> {
    /// All that can be among the best, ascending by lower bound.
    fn candidates(&self, live: impl FnOnce(&mut dyn FnMut(&[u32])), top: &Top) -> Vec<Candidate> {
        let coded = self.code.view();
        // The k-th smallest upper bound: nothing with a lower bound beyond it can get in.
        let mut uppers: BinaryHeap<Ordered> = BinaryHeap::new();
        let mut limit = f32::INFINITY;
        let mut candidates: Vec<Candidate> = Vec::new();
        let mut compact_at = CANDIDATES_MIN;
        let mut values = [0.0; BATCH];
        live(&mut |batch| {
            // SAFETY: the slots exist in these tables, which have codes, and their data are written.
            unsafe { self.kernels.score_codes(self.tables.codes(), &coded, batch, &mut values) };
            for (&slot, &value) in batch.iter().zip(&values) {
                // SAFETY: the slot was seen live under these tables, which have codes.
                let slack = self.error.of(unsafe { self.tables.code(slot) });
                let lower = value - slack;
                if lower > limit || finish(self.query.distance, lower) > top.bound() {
                    continue;
                }
                candidates.push(Candidate { lower, slot });
                limit = tighten(&mut uppers, top.wanted(), (value + slack).min(f32::INFINITY)).unwrap_or(limit);
            }
            if candidates.len() > compact_at {
                candidates.retain(|candidate| candidate.lower <= limit);
                compact_at = CANDIDATES_MIN.max(candidates.len() * 2);
            }
        });
        candidates.retain(|candidate| candidate.lower <= limit);
        candidates.sort_unstable_by(|a, b| a.lower.total_cmp(&b.lower));
        candidates
    }
}

/// Takes note of an upper bound; the `k`-th smallest once there are `k`.
fn tighten(uppers: &mut BinaryHeap<Ordered>, k: usize, upper: f32) -> Option<f32> {
    if uppers.len() < k {
        uppers.push(Ordered(upper));
        return if uppers.len() == k { uppers.peek().map(|worst| worst.0) } else { None };
    }
    let mut worst = uppers.peek_mut()?;
    if upper < worst.0 {
        *worst = Ordered(upper);
    }
    drop(worst);
    uppers.peek().map(|worst| worst.0)
}

#[derive(Clone, Copy)]
struct Ordered(f32);

impl PartialEq for Ordered {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}
impl Eq for Ordered {}
impl PartialOrd for Ordered {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Ordered {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}
