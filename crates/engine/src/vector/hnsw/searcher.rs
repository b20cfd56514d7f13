//! Graph searches without a filter.

use super::candidates::CandidateList;
use super::scorer::Scorer;
use super::scratch::Scratch;
use crate::interrupt;
use crate::vector::arena::{Tables, read_links};

/// Nodes whose neighbours are compared between two looks at the interrupt of the read.
pub(super) const LOOK_EVERY: usize = 32;

/// From `entry`, which the tables have, on `from_level` greedily down to `to_level`; returns the nearest node found and its distance.
pub(in crate::vector) fn descend(
    tables: &Tables,
    scorer: &impl Scorer,
    entry: u32,
    from_level: usize,
    to_level: usize,
    scratch: &mut Scratch,
) -> (f32, u32) {
    let Scratch { batch, scores, .. } = scratch;
    // SAFETY: the entry point was linked before it became one, and the caller asked the tables for it.
    unsafe { scorer.score(&[entry], scores) };
    let mut nearest = (scores[0], entry);
    for level in (to_level + 1..=from_level).rev() {
        loop {
            batch.clear();
            if let Some(list) = tables.links(nearest.1, level) {
                read_links(list, batch);
            }
            batch.retain(|&slot| tables.has(slot));
            // SAFETY: from a list of links, and in the tables.
            unsafe { scorer.score(batch, scores) };
            let best = batch.iter().zip(scores.iter()).min_by(|a, b| a.1.total_cmp(b.1));
            match best {
                Some((&slot, &score)) if score < nearest.0 => nearest = (score, slot),
                _ => break,
            }
        }
    }
    nearest
}

/// The `ef` nearest nodes that a graph search on `level` from `start` finds, dead ones included, in
/// `scratch.candidates`. Every node whose distance was taken is shown to `observe`.
///
/// Nodes are taken one behind: which is the nearest is asked before the neighbours of the one before are compared.
pub(in crate::vector) fn search_level(
    tables: &Tables,
    scorer: &impl Scorer,
    start: (f32, u32),
    level: usize,
    ef: usize,
    scratch: &mut Scratch,
    observe: &mut impl FnMut(f32, u32),
) {
    search_level_while(tables, scorer, start, level, ef, scratch, observe, &mut |_, _| true);
}

/// As [`search_level`], as long as `go_on` says so, which sees the candidate list before each node whose neighbours are
/// looked at, and how many there were before it. The neighbours of the last of those are not in the candidate list yet.
#[expect(clippy::too_many_arguments, reason = "two of the callers' closures are inlined into the loop")]
pub(in crate::vector) fn search_level_while(
    tables: &Tables,
    scorer: &impl Scorer,
    start: (f32, u32),
    level: usize,
    ef: usize,
    scratch: &mut Scratch,
    observe: &mut impl FnMut(f32, u32),
    go_on: &mut impl FnMut(&CandidateList, usize) -> bool,
) {
    let Scratch { visited, candidates, batch, coming, scores, links, .. } = scratch;
    let mut expanded = 0;
    visited.start(tables.capacity());
    candidates.reset(ef);
    visited.insert(start.1);
    candidates.push(start.0, start.1);
    batch.clear();
    // The next node is taken before the last one's neighbours are compared, so that its list and their rows come from
    // memory meanwhile.
    loop {
        let next = candidates.take_nearest();
        if next.is_some() {
            if !go_on(candidates, expanded) || (expanded % LOOK_EVERY == 0 && interrupt::is_raised()) {
                return;
            }
            expanded += 1;
        } else if batch.is_empty() {
            return;
        }
        if level == 0
            && let Some(next) = next
        {
            tables.prefetch_links(next);
        }
        // SAFETY: from a list of links; the visited set takes only slots of the tables.
        unsafe { scorer.score(batch, scores) };
        links.clear();
        if let Some(list) = next.and_then(|next| tables.links(next, level)) {
            read_links(list, links);
        }
        visited.insert_all(links, coming);
        scorer.prefetch(coming);
        push_all(candidates, batch, scores, observe);
        std::mem::swap(batch, coming);
    }
}

#[inline(always)]
fn push_all(candidates: &mut CandidateList, slots: &[u32], scores: &[f32], observe: &mut impl FnMut(f32, u32)) {
    let mut bound = candidates.bound();
    for (&slot, &score) in slots.iter().zip(scores) {
        observe(score, slot);
        if score <= bound && candidates.push(score, slot) {
            bound = candidates.bound();
        }
    }
}
