//! Which neighbours to keep.

use super::scorer::Scorer;

/// Keeps at most `max` of `candidates` (ascending by distance to the node): each that is nearer to the node than to every
/// neighbour kept before, ties included. With ties excluded, as the paper has it, a group of identical vectors keeps a
/// single link and falls apart.
///
/// At most half are *twins*, which are as near to the node as it is to itself: a large group of identical vectors would
/// else have links to each other only, and a walk that enters it would never leave.
///
/// # Safety
/// As [`Scorer::score`], for the node and all candidates. `scorer` is the node's.
pub(in crate::vector) unsafe fn select(
    scorer: &impl Scorer,
    node: u32,
    candidates: &[(f32, u32)],
    max: usize,
    kept: &mut Vec<u32>,
    scores: &mut Vec<f32>,
) {
    // SAFETY: handed on to the caller.
    let twin = unsafe { self_distance(scorer, node, scores) };
    let mut twins_left = max / 2;
    kept.clear();
    for &(distance, slot) in candidates {
        if kept.len() >= max {
            return;
        }
        if distance <= twin {
            if twins_left == 0 {
                continue;
            }
            twins_left -= 1;
        }
        // SAFETY: handed on to the caller.
        if unsafe { is_diverse(scorer, distance, slot, kept, scores) } {
            kept.push(slot);
        }
    }
}

/// What a node's scorer says of the node itself, and of every identical vector.
///
/// # Safety
/// As [`Scorer::score`].
pub(super) unsafe fn self_distance(scorer: &impl Scorer, node: u32, scores: &mut Vec<f32>) -> f32 {
    // SAFETY: handed on to the caller.
    unsafe { scorer.score(&[node], scores) };
    scores.first().copied().unwrap_or(f32::NEG_INFINITY)
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
