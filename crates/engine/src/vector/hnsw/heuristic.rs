//! Which neighbours to keep.

use super::scorer::Scorer;

/// Keeps at most `max` of `candidates` (ascending by distance to the node): each that is nearer to the node than to every
/// neighbour kept before, ties included. With ties excluded, as the paper has it, a group of identical vectors keeps a
/// single link and falls apart.
///
/// At most half are *twins*, which are as near to the node as it is to itself: a large group of identical vectors would
/// else have links to each other only, and a graph search that enters it would never leave.
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

/// A neighbour that a repaired list can have.
#[derive(Debug, Clone, Copy)]
pub(super) struct Choice {
    pub distance: f32,
    pub slot: u32,
    /// It is one already, and stays.
    pub is_link: bool,
}

/// Keeps all links among `choices` (ascending by distance to the node) and adds up to `added_max` others, within `max` in
/// all: first those that [`select`] would add beside what is nearer, then the nearest of the rest. Without the rest a list
/// would become shorter with every repair, because what a new node's list has beyond the diverse ones came from the other side.
///
/// # Safety
/// As [`select`].
pub(super) unsafe fn replace(
    scorer: &impl Scorer,
    node: u32,
    choices: &[Choice],
    (added_max, max): (usize, usize),
    kept: &mut Vec<u32>,
    scores: &mut Vec<f32>,
) {
    // SAFETY: handed on to the caller.
    let twin = unsafe { self_distance(scorer, node, scores) };
    let links = choices.iter().filter(|choice| choice.is_link);
    let (count, twins) =
        links.fold((0, 0), |(count, twins), link| (count + 1, twins + usize::from(link.distance <= twin)));
    let mut room = added_max.min(max.saturating_sub(count));
    let mut twins_left = (max / 2).saturating_sub(twins);
    let mut rest = Vec::new();
    kept.clear();
    for &Choice { distance, slot, is_link } in choices {
        if is_link {
            kept.push(slot);
            continue;
        }
        if room == 0 {
            continue;
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
            room -= 1;
        } else {
            rest.push(slot);
        }
    }
    kept.extend(rest.into_iter().take(room));
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
