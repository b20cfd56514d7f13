//! The parts of the store that work without a lock, each on its own: `tests/interleavings.rs` checks them with loom.
//!
//! `state`: the state of a slot. `links`: lists of links. `pending`: vectors that wait for the graph. `limbo`: slots of
//! replaced views. `docs`: from document to slot.

pub(in crate::vector) mod atomics;
pub(in crate::vector) mod docs;
pub(in crate::vector) mod limbo;
pub(in crate::vector) mod links;
pub(in crate::vector) mod pending;
pub(in crate::vector) mod state;
