//! Execution of reads: objects by id, listings, filters, vector searches.

mod cost;
mod fetch;
mod near;
mod search;

pub(crate) use fetch::{read_id, readable};
