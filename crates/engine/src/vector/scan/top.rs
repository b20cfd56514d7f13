//! The best `k` so far.

use std::collections::BinaryHeap;

use hashbrown::HashSet;

use crate::vector::{DocId, Neighbor};

/// Keeps the `k` hits that come first by (distance, document), of those within `max_distance`.
pub(in crate::vector) struct Top {
    k: usize,
    max_distance: f32,
    /// Documents taken so far, if they may be offered twice.
    taken: Option<HashSet<u64>>,
    heap: BinaryHeap<Worst>,
}

#[derive(Clone, Copy)]
struct Worst(Neighbor);

impl PartialEq for Worst {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}
impl Eq for Worst {}
impl PartialOrd for Worst {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Worst {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.order(&other.0)
    }
}

impl Top {
    /// `repeats`: a document may be offered more than once, and counts once.
    pub(in crate::vector) fn new(k: usize, max_distance: f32, repeats: bool) -> Self {
        Self { k, max_distance, taken: repeats.then(HashSet::new), heap: BinaryHeap::new() }
    }

    /// Anything farther than this cannot get in any more.
    #[inline(always)]
    pub(in crate::vector) fn bound(&self) -> f32 {
        if self.heap.len() < self.k {
            return self.max_distance;
        }
        self.heap.peek().map_or(f32::NEG_INFINITY, |worst| worst.0.distance)
    }

    /// Offers a hit.
    #[inline(always)]
    pub(in crate::vector) fn offer(&mut self, distance: f32, doc: u64) {
        if distance > self.bound() || self.k == 0 {
            return;
        }
        if let Some(taken) = &mut self.taken
            && !taken.insert(doc)
        {
            return;
        }
        let hit = Worst(Neighbor { doc_id: DocId(doc), distance });
        if self.heap.len() < self.k {
            self.heap.push(hit);
        } else if let Some(mut worst) = self.heap.peek_mut()
            && hit < *worst
        {
            *worst = hit;
        }
    }

    /// Makes room for everything to be offered again. What may be offered twice stays.
    pub(in crate::vector) fn begin_anew(&mut self) {
        if self.taken.is_none() {
            self.heap.clear();
        }
    }

    /// How many are wanted.
    pub(in crate::vector) fn wanted(&self) -> usize {
        self.k
    }

    /// Ascending by (distance, document).
    pub(in crate::vector) fn into_hits(self) -> Vec<Neighbor> {
        self.heap.into_sorted_vec().into_iter().map(|worst| worst.0).collect()
    }
}
