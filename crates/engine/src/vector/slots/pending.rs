//! Vectors that wait to be linked into the graph, in segments that only grow.

use super::atomics::{AtomicU32, AtomicUsize, Ordering};

/// Slots in one segment.
pub(in crate::vector) const SEGMENT_SLOTS: usize = 512;

/// A run of slots in order of arrival. Appended under the writer's lock, read and claimed without.
///
/// `linked <= claimed <= len <= SEGMENT_SLOTS`; each only grows. The segment leaves the view once `linked == len` and
/// nothing can be appended any more; until then searches scan all of it, the linked ones too.
pub(in crate::vector) struct PendingSegment {
    slots: Box<[AtomicU32]>,
    len: AtomicUsize,
    claimed: AtomicUsize,
    linked: AtomicUsize,
}

impl PendingSegment {
    pub(in crate::vector) fn new() -> Self {
        Self::with_room(SEGMENT_SLOTS)
    }

    /// An empty one for so many.
    pub(in crate::vector) fn with_room(slots: usize) -> Self {
        Self {
            slots: (0..slots).map(|_| AtomicU32::new(0)).collect(),
            len: AtomicUsize::new(0),
            claimed: AtomicUsize::new(0),
            linked: AtomicUsize::new(0),
        }
    }

    /// Appends under the writer's lock; `false` if there is no room.
    pub(in crate::vector) fn append(&self, slot: u32) -> bool {
        let len = self.len.load(Ordering::Relaxed);
        let Some(place) = self.slots.get(len) else { return false };
        place.store(slot, Ordering::Relaxed);
        self.len.store(len + 1, Ordering::Release);
        true
    }

    /// The slots so far.
    pub(in crate::vector) fn slots(&self) -> impl Iterator<Item = u32> {
        let len = self.len.load(Ordering::Acquire);
        self.slots.iter().take(len).map(|slot| slot.load(Ordering::Relaxed))
    }

    /// Takes up to `max` slots for one builder; nobody else gets them.
    pub(in crate::vector) fn claim(&self, max: usize) -> Vec<u32> {
        let mut from = self.claimed.load(Ordering::Relaxed);
        loop {
            let len = self.len.load(Ordering::Acquire);
            let to = len.min(from.saturating_add(max));
            if from >= to {
                return Vec::new();
            }
            match self.claimed.compare_exchange_weak(from, to, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return self.slots[from..to].iter().map(|slot| slot.load(Ordering::Relaxed)).collect(),
                Err(now) => from = now,
            }
        }
    }

    /// Counts claimed slots as linked.
    pub(in crate::vector) fn finish(&self, count: usize) {
        self.linked.fetch_add(count, Ordering::AcqRel);
    }

    /// Whether everything appended so far is linked.
    pub(in crate::vector) fn is_done(&self) -> bool {
        self.linked.load(Ordering::Acquire) == self.len.load(Ordering::Acquire)
    }

    /// Slots not linked yet.
    pub(in crate::vector) fn waiting(&self) -> usize {
        self.len.load(Ordering::Acquire).saturating_sub(self.linked.load(Ordering::Acquire))
    }

    /// Whether a claim would find something.
    pub(in crate::vector) fn has_unclaimed(&self) -> bool {
        self.claimed.load(Ordering::Acquire) < self.len.load(Ordering::Acquire)
    }
}
