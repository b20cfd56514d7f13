//! The graph beside its links: the entry point of searches, the levels of nodes, and the locks under which lists are
//! rewritten.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, MutexGuard};

use crate::vector::arena::LEVEL_MAX;
use crate::vector::quantize::splitmix;

/// The entry point and the nodes' locks.
pub(in crate::vector) struct Graph {
    /// `level << 32 | slot`, or [`NONE`].
    entry: AtomicU64,
    /// Held while the entry point changes.
    pub(in crate::vector) entry_lock: Mutex<()>,
    /// A node's lists are rewritten under the lock of its stripe. At most one is held at a time.
    locks: Box<[Mutex<()>]>,
    /// `1 / ln(m)`.
    level_scale: f64,
    seed: u64,
}

const NONE: u64 = u64::MAX;

/// Stripes of node locks.
const STRIPES: usize = 1024;

impl Graph {
    /// A graph without nodes.
    pub(in crate::vector) fn new(m: usize, seed: u64, entry: Option<(u32, usize)>) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "m is small")]
        let level_scale = 1.0 / (m.max(2) as f64).ln();
        let graph = Self {
            entry: AtomicU64::new(NONE),
            entry_lock: Mutex::new(()),
            locks: (0..STRIPES).map(|_| Mutex::new(())).collect(),
            level_scale,
            seed,
        };
        graph.set_entry(entry);
        graph
    }

    /// Where graph searches enter: slot and its level.
    pub(in crate::vector) fn entry(&self) -> Option<(u32, usize)> {
        let word = self.entry.load(Ordering::Acquire);
        (word != NONE).then_some(((word & 0xffff_ffff) as u32, (word >> 32) as usize))
    }

    pub(in crate::vector) fn set_entry(&self, entry: Option<(u32, usize)>) {
        let word = entry.map_or(NONE, |(slot, level)| (level as u64) << 32 | u64::from(slot));
        self.entry.store(word, Ordering::Release);
    }

    /// The level of a document: always the same for the same document and seed.
    pub(in crate::vector) fn level_of(&self, doc: u64) -> usize {
        #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
        let uniform = ((splitmix(doc ^ self.seed.rotate_left(17)) >> 11) + 1) as f64 / (1u64 << 53) as f64;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small non-negative number")]
        let level = (-uniform.ln() * self.level_scale) as usize;
        level.min(LEVEL_MAX)
    }

    /// The right to rewrite the lists of a node.
    pub(in crate::vector) fn lock(&self, slot: u32) -> MutexGuard<'_, ()> {
        self.locks[slot as usize % STRIPES].lock()
    }
}
