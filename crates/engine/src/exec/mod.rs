//! Execution of reads on one data group: objects by id, listings, filters, vector and keyword searches.
//!
//! A read runs on one thread against one view of a shard, from beginning to end. It changes memory only: it loads shards,
//! opens vector indexes, and requests maintenance of damaged rows and indexes.
//!
//! Read in this order: `fetch` (objects by id), `search` (plan, hits, objects), then `listing`, `sort`, `near` and `keyword`
//! (the ways to find hits), `filter` (the inverted index), `ids` (ids of the objects that match), `aggregate`, `status` and
//! `cost`. `execute` answers the reads that are values.

mod aggregate;
mod cost;
mod execute;
mod fetch;
mod filter;
mod ids;
mod keyword;
mod listing;
mod near;
mod search;
mod sort;
mod status;

use crate::data::State;
use crate::ids::VectorId;
use crate::maintain::Maintenance;
use crate::schema::Collection;
use crate::shard::indexes::Opening;

/// The parts of a data group that reads work on.
#[derive(Clone, Copy)]
pub(crate) struct ReadContext<'a> {
    pub state: &'a State,
    pub maintenance: &'a Maintenance,
}

impl<'a> ReadContext<'a> {
    /// The inputs for opening the index of a vector; `None` when the vector has no index that can be searched.
    fn searchable(self, schema: &'a Collection, vector: VectorId) -> Option<Opening<'a>> {
        self.maintenance.indexes.searchable(&self.state.store, schema, vector)
    }
}
