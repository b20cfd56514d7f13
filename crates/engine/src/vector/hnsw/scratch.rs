//! Buffers of graph searches, kept for the next search.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use parking_lot::Mutex;

use super::candidates::CandidateList;
use super::visited::Visited;

/// Buffers of one graph search.
#[derive(Default)]
pub(in crate::vector) struct Scratch {
    pub visited: Visited,
    pub rejected: Visited,
    pub candidates: CandidateList,
    /// Neighbours to compare, and their distances.
    pub batch: Vec<u32>,
    /// Neighbours to compare after those.
    pub coming: Vec<u32>,
    pub scores: Vec<f32>,
    /// Neighbours as read from a list.
    pub links: Vec<u32>,
    /// Nodes whose neighbours a filtered graph search has not looked at, nearest first.
    pub frontier: BinaryHeap<Reverse<u64>>,
    /// Neighbours that a filter excludes and whose neighbours are looked at instead.
    pub through: Vec<u32>,
}

/// Scratches at rest. Shared by all indexes of a process, so that ten thousand idle ones hold nothing.
pub(in crate::vector) struct ScratchPool {
    rest: Mutex<Vec<Scratch>>,
}

/// Scratches kept at rest, and the size above which one is not kept.
const REST_MAX: usize = 64;
const BYTES_MAX: usize = 64 << 20;

static POOL: ScratchPool = ScratchPool { rest: Mutex::new(Vec::new()) };

impl ScratchPool {
    /// Runs with a scratch of its own.
    pub(in crate::vector) fn with<R>(body: impl FnOnce(&mut Scratch) -> R) -> R {
        let mut scratch = POOL.rest.lock().pop().unwrap_or_default();
        let result = body(&mut scratch);
        if scratch.visited.bytes() + scratch.rejected.bytes() <= BYTES_MAX {
            let mut rest = POOL.rest.lock();
            if rest.len() < REST_MAX {
                rest.push(scratch);
            }
        }
        result
    }
}
