//! Graph searches that return only accepted nodes.

use std::cmp::Reverse;

use super::candidates::{ordered, unordered};
use super::scorer::Scorer;
use super::scratch::Scratch;
use super::searcher::LOOK_EVERY;
use crate::interrupt;
use crate::vector::arena::{Tables, read_links};
use crate::vector::config::FilterStrategy;

/// How a filtered graph search goes.
#[derive(Debug, Clone, Copy)]
pub(in crate::vector) struct FilteredSearch {
    /// Accepted nodes to keep.
    pub ef: usize,
    /// Whether excluded nodes are scored and traversed, or looked through.
    pub strategy: FilterStrategy,
    /// Nodes to score or look through, at most.
    pub seen_max: usize,
}

/// The `ef` nearest accepted nodes that a graph search on level 0 from `starts` finds, in `scratch.candidates`. `false`
/// if it gave up after `seen_max` nodes; the candidate list then holds the nodes found so far. The starts exist in the
/// tables.
pub(in crate::vector) fn filtered_search(
    tables: &Tables,
    scorer: &impl Scorer,
    starts: &[u32],
    how: FilteredSearch,
    accept: &impl Fn(u32) -> bool,
    scratch: &mut Scratch,
) -> bool {
    scratch.visited.start(tables.capacity());
    scratch.rejected.start(tables.capacity());
    scratch.candidates.reset(how.ef);
    scratch.frontier.clear();
    scratch.batch.clear();
    for &start in starts {
        if scratch.visited.insert(start) {
            scratch.batch.push(start);
        }
    }
    score_batch(scorer, accept, scratch);
    let (mut seen, mut expanded) = (0, 0_usize);
    while let Some(Reverse(entry)) = scratch.frontier.pop() {
        if unordered((entry >> 32) as u32) > scratch.candidates.bound() {
            break;
        }
        if seen > how.seen_max {
            return false;
        }
        expanded += 1;
        if expanded % LOOK_EVERY == 0 && interrupt::is_raised() {
            break;
        }
        let slot = (entry & 0xffff_ffff) as u32;
        scratch.batch.clear();
        seen += match how.strategy {
            FilterStrategy::Sweeping => gather_all(tables, slot, scratch),
            FilterStrategy::Acorn => gather_accepted(tables, slot, accept, scratch),
        };
        match how.strategy {
            FilterStrategy::Sweeping => score_batch(scorer, accept, scratch),
            FilterStrategy::Acorn => score_batch(scorer, &|_| true, scratch),
        }
    }
    true
}

/// All neighbours not seen before.
fn gather_all(tables: &Tables, slot: u32, scratch: &mut Scratch) -> usize {
    let Scratch { visited, batch, links, .. } = scratch;
    links.clear();
    if let Some(list) = tables.links(slot, 0) {
        read_links(list, links);
    }
    batch.extend(links.iter().copied().filter(|&neighbour| visited.insert(neighbour)));
    batch.len()
}

/// Accepted neighbours not seen before, and those of excluded neighbours as long as there are fewer than a full list.
fn gather_accepted(tables: &Tables, slot: u32, accept: &impl Fn(u32) -> bool, scratch: &mut Scratch) -> usize {
    let Scratch { visited, rejected, batch, links, through, .. } = scratch;
    links.clear();
    through.clear();
    if let Some(list) = tables.links(slot, 0) {
        read_links(list, links);
    }
    for &neighbour in links.iter() {
        if visited.insert(neighbour) {
            if !rejected.contains(neighbour) && accept(neighbour) {
                batch.push(neighbour);
            } else {
                through.push(neighbour);
                tables.prefetch_links(neighbour);
            }
        }
    }
    let mut looked = links.len();
    for &excluded in through.iter() {
        if batch.len() >= tables.layout.links_max(0) {
            // Its neighbours may be wanted later.
            break;
        }
        links.clear();
        if let Some(list) = tables.links(excluded, 0) {
            read_links(list, links);
        }
        looked += links.len();
        for &neighbour in links.iter() {
            if visited.contains(neighbour) || rejected.contains(neighbour) {
                continue;
            }
            if accept(neighbour) {
                visited.insert(neighbour);
                batch.push(neighbour);
            } else {
                rejected.insert(neighbour);
            }
        }
    }
    looked
}

/// Scores the batch; a node that is near enough joins the frontier and, if accepted, the candidate list.
fn score_batch(scorer: &impl Scorer, accept: &impl Fn(u32) -> bool, scratch: &mut Scratch) {
    let Scratch { candidates, batch, scores, frontier, .. } = scratch;
    // SAFETY: starts exist, the rest is from lists of links; the visited set takes only slots of the tables.
    unsafe { scorer.score(batch, scores) };
    for (&slot, &score) in batch.iter().zip(scores.iter()) {
        if score <= candidates.bound() {
            frontier.push(Reverse(u64::from(ordered(score)) << 32 | u64::from(slot)));
            if accept(slot) {
                candidates.push(score, slot);
            }
        }
    }
}
