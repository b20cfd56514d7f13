//! What is in a slot, in one byte; and how a vector changes from one slot to another under the eyes of readers.
//!
//! A reader holds a view, and the view says which of the two slots of a vector on its way it shows (see `store::relocation`). Between
//! two of the steps below every view that was in force before the first is dropped, so that no reader sees both or none:
//! [`leave`] - a view that hides [`State::ARRIVING`] - [`arrive`] - a view that hides [`State::LEAVING`] - [`settle`] - a view - the old
//! slot becomes [`State::FREE`] - a view that hides nothing.

use super::atomics::{AtomicU8, Ordering};

/// Bits of a slot's state.
pub(in crate::vector) struct State;

impl State {
    /// Nothing in the slot, or nothing that a new reader can reach.
    pub(in crate::vector) const FREE: u8 = 0;
    /// Holds a vector that a search can return.
    pub(in crate::vector) const LIVE: u8 = 1;
    /// Its document was deleted; the graph may still lead through it.
    pub(in crate::vector) const DEAD: u8 = 2;
    /// All its own links are written (set beside one of the two above).
    pub(in crate::vector) const LINKED: u8 = 4;
    /// Its vector has or will have another slot; nothing is linked to it any more.
    pub(in crate::vector) const LEAVING: u8 = 8;
    /// Its vector has come from another slot, which the document map still names.
    pub(in crate::vector) const ARRIVING: u8 = 16;

    /// Whether a view that hides these bits shows a slot in this state.
    #[inline(always)]
    pub(in crate::vector) fn is_shown(state: u8, hidden: u8) -> bool {
        state & (Self::LIVE | hidden) == Self::LIVE
    }

    /// Whether links may be made to a slot in this state.
    #[inline(always)]
    pub(in crate::vector) fn may_be_linked_to(state: u8) -> bool {
        Self::is_shown(state, Self::LEAVING)
    }
}

/// The slot that a vector is about to leave.
pub(in crate::vector) fn leave(old: &AtomicU8) {
    old.fetch_or(State::LEAVING, Ordering::AcqRel);
}

/// The slot that a vector was copied to, with all that belongs to it.
pub(in crate::vector) fn arrive(new: &AtomicU8) {
    new.store(State::LIVE | State::LINKED | State::ARRIVING, Ordering::Release);
}

/// The slot that is the vector's only one from now on.
pub(in crate::vector) fn settle(new: &AtomicU8) {
    new.fetch_and(!State::ARRIVING, Ordering::AcqRel);
}

/// The slot of a document that is deleted. One step, because a builder may be setting `LINKED` beside it.
pub(in crate::vector) fn kill(slot: &AtomicU8) {
    slot.fetch_xor(State::LIVE | State::DEAD, Ordering::AcqRel);
}
