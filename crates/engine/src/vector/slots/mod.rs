//! Slots: their states, the links between them, and who holds them. These parts know no other part of the index; those
//! that work without a lock are checked with loom by `tests/interleavings.rs`.
//!
//! `state`: the state of a slot. `links`: lists of links. `pending`: vectors that wait for the graph. `limbo`: slots of
//! replaced views. `docs`: from document to slot. `row_ids`: ids of the rows of a multi-vector.

pub(in crate::vector) mod atomics;
pub(in crate::vector) mod docs;
pub(in crate::vector) mod limbo;
pub(in crate::vector) mod links;
pub(in crate::vector) mod pending;
pub(in crate::vector) mod row_ids;
pub(in crate::vector) mod state;
