//! One node of Azimuth: schema, objects, inverted and vector indexes, query plans.
//!
//! Synchronous. It does no network I/O, reads no clock and asks the system for no randomness: the same
//! commands in the same order give the same logical state everywhere, which [`data::DataGroup::state_hash`] proves.
//!
//! Read in this order: [`schema`] and [`object`] (stored values), [`command`] (changes), [`replica`] (the log that brings
//! commands), [`storage`] (the RocksDB below), `collections` (the collections and shards that a group knows), `shard` (the state of a shard in memory), [`data`] (how commands
//! change it), [`query`] and `exec` (reads), `inverted` and [`vector`] (the derived indexes), [`maintain`] (background work).
#![warn(missing_docs)]

mod collections;
pub mod command;
pub mod data;
pub mod error;
mod exec;
#[cfg(test)]
mod fuzz;
pub mod ids;
pub mod interrupt;
mod inverted;
pub mod level;
pub mod limits;
pub mod maintain;
pub mod meta;
pub mod object;
pub mod query;
pub mod replica;
pub mod schema;
mod shard;
pub mod storage;
pub mod tokenizer;
pub mod vector;
pub mod weight;

pub use error::{Error, Result};
