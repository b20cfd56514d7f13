//! Where the index keeps its numbers: flat memory in chunks of a fixed number of slots.
//!
//! A *slot* is a place for one vector. [`Memory`] is a run of bytes (heap, anonymous or file mapping); a [`Chunk`] holds
//! what belongs to a power of two of slots; [`Tables`] is one immutable list of chunks that a reader keeps while it
//! works, so that growing or replacing a chunk never waits for readers and never moves memory under them.

mod chunk;
mod memory;
mod rows;
mod tables;

pub(super) use chunk::{Chunk, GraphColumns, code_column};
pub(super) use memory::Memory;
pub(super) use rows::Rows;
pub(super) use tables::{Codecs, LEVEL_MAX, Layout, Tables, UPPER_BLOCKS_SHIFT, UpperHandle};

pub(super) use super::slots::links::{append_link, read_links, write_links};
pub(super) use super::slots::state::State;
