//! The atomics of the parts that work without a lock, under one name: `tests/interleavings.rs` compiles those parts again
//! with loom's in their place, and runs them in every order that the memory model allows.

pub(super) use std::sync::Arc;
pub(super) use std::sync::atomic::{AtomicU8, AtomicU32, AtomicUsize, Ordering, fence};
