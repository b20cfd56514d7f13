//! Which neighbours to keep.

use super::scorer::Scorer;

/// Keeps at most `max` of `candidates` (ascending by distance to the node): each that is nearer to the node than to every
/// neighbour kept before, ties included. With ties excluded, as the paper has it, a group of identical vectors keeps a
/// single link and falls apart.
///
/// # Safety
/// As [`Scorer::score`], for all candidates.
pub(in crate::vector) unsafe fn select(
    scorer: &impl Scorer,
    candidates: &[(f32, u32)],
    max: usize,
    kept: &mut Vec<u32>,
    scores: &mut Vec<f32>,
) {
    kept.clear();
    for &(distance, slot) in candidates {
        if kept.len() >= max {
            return;
        }
        // SAFETY: handed on to the caller.
        if unsafe { is_diverse(scorer, distance, slot, kept, scores) } {
            kept.push(slot);
        }
    }
}

/// In small batches: most rejections come from the first few kept.
const BATCH: usize = 4;

/// # Safety
/// As [`Scorer::score`], for `slot` and `kept`.
unsafe fn is_diverse(scorer: &impl Scorer, distance: f32, slot: u32, kept: &[u32], scores: &mut Vec<f32>) -> bool {
    if kept.is_empty() {
        return true;
    }
    // SAFETY: handed on to the caller.
    let candidate = unsafe { scorer.of_stored(slot) };
    kept.chunks(BATCH).all(|kept| {
        // SAFETY: handed on to the caller.
        unsafe { candidate.score(kept, scores) };
        scores.iter().all(|&between| distance <= between)
    })
}
