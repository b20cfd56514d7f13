//! One node of Azimuth: schema, objects, inverted and vector indexes, query plans.
//!
//! Synchronous. It does no network I/O, reads no clock and asks the system for no randomness: the same
//! commands in the same order give the same logical state everywhere, which [`group::DataGroup::state_hash`] proves.
//!
//! Read in this order: [`schema`] and [`object`] (what is stored), [`command`] (how it changes),
//! [`group`] (where it lies and how changes are applied), [`query`] (how it is asked for),
//! [`vector`] and [`inverted`] (the derived indexes).
#![warn(missing_docs)]

pub mod command;
pub mod error;
#[cfg(test)]
mod fuzz;
pub mod group;
pub mod ids;
pub mod interrupt;
mod inverted;
mod key;
pub mod limits;
pub mod meta;
pub mod object;
pub mod query;
pub mod schema;
pub mod tokenizer;
pub mod vector;
pub mod weight;

pub use error::{Error, Result};
