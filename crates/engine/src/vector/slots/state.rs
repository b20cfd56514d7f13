//! The state of a slot, in one byte, and how a vector changes from one slot to another while readers go on.
//!
//! A reader holds a view, and the view says which of the two slots of a vector on its way it shows (see
//! `store::relocation`). Between two of the steps below every view that was in force before the first is dropped, so
//! that no reader sees both or none: [`mark_source`] - a view that hides [`State::TARGET`] - [`mark_target`] - a view
//! that hides [`State::SOURCE`] - [`settle`] - a view - the old slot becomes [`State::FREE`] - a view that hides
//! nothing.

use super::atomics::{AtomicU8, Ordering};

/// Bits of a slot's state.
pub(in crate::vector) struct State;

impl State {
    /// Empty, or unreachable for new readers.
    pub(in crate::vector) const FREE: u8 = 0;
    /// Holds a vector that a search can return.
    pub(in crate::vector) const LIVE: u8 = 1;
    /// Its document was deleted; the graph may still lead through it.
    pub(in crate::vector) const DEAD: u8 = 2;
    /// All links of the slot are written (set beside one of the two above).
    pub(in crate::vector) const LINKED: u8 = 4;
    /// Source of a relocation: its vector has or will have another slot, and nothing is linked to it any more.
    pub(in crate::vector) const SOURCE: u8 = 8;
    /// Target of a relocation: its vector came from another slot, which the document map still names.
    pub(in crate::vector) const TARGET: u8 = 16;

    /// Whether a view that hides these bits shows a slot in this state.
    #[inline(always)]
    pub(in crate::vector) fn is_shown(state: u8, hidden: u8) -> bool {
        state & (Self::LIVE | hidden) == Self::LIVE
    }

    /// Whether links may be made to a slot in this state.
    #[inline(always)]
    pub(in crate::vector) fn may_be_linked_to(state: u8) -> bool {
        Self::is_shown(state, Self::SOURCE)
    }
}

/// Marks the slot that a vector is about to leave.
pub(in crate::vector) fn mark_source(old: &AtomicU8) {
    old.fetch_or(State::SOURCE, Ordering::AcqRel);
}

/// Marks the slot that a vector was copied to, with its codes and links.
pub(in crate::vector) fn mark_target(new: &AtomicU8) {
    new.store(State::LIVE | State::LINKED | State::TARGET, Ordering::Release);
}

/// Ends a relocation: the slot is the vector's only one from now on.
pub(in crate::vector) fn settle(new: &AtomicU8) {
    new.fetch_and(!State::TARGET, Ordering::AcqRel);
}

/// Marks the slot of a deleted document. One step, because a builder may be setting `LINKED` at the same time.
pub(in crate::vector) fn kill(slot: &AtomicU8) {
    slot.fetch_xor(State::LIVE | State::DEAD, Ordering::AcqRel);
}
