//! Vector search: exact scan for small collections, HNSW for large ones.
//!
//! A [`VectorIndex`] serves one (collection shard, vector name). It is derived state: RocksDB holds the truth, the index
//! knows nothing of it. Recovery is one rule: after [`VectorIndex::open`] the caller compares
//! [`VectorIndex::live_ids`] with the stored documents and calls `insert` and `delete` for the difference.
//!
//! A search whose read is interrupted ([`crate::interrupt`]) ends early with an incomplete result: the caller checks
//! the interrupt and drops the result.
//!
//! Read next: `index` (the calls), `plan` (how a search is answered), `hnsw` (the graph), `persist` (the files), `multi`
//! (documents of several vectors).

mod config;
mod request;

mod index;

mod core;
mod plan;
mod search;
mod work;

mod fit;
mod recode;

mod multi;

mod allow;
mod coarse;
mod exact;
mod query;
mod stats;
mod together;
mod top;

mod hnsw;
mod persist;

mod coding;
mod docs;
mod limbo;
mod links;
mod moving;
mod pending;
mod state;
mod store;
mod view;

mod arena;
mod codes;
mod distance;

mod atomics;
mod trial;

#[cfg(test)]
mod tests;

pub use config::{
    Codes, Distance, EF_CONSTRUCTION_MIN, FilterStrategy, HnswConfig, IndexConfig, IndexKind, IndexOptions, M_MAX,
    M_MIN,
};
pub use distance::KernelTrial;
pub use index::VectorIndex;
pub use multi::{Fetch, MultiIndex, MultiRequest, Muvera, QUERY_ROWS_MAX, ROWS_MAX};
pub use request::{
    DIM_MAX, Hit, IndexMemory, IndexStats, OpenReport, Progress, SaveReport, SearchRequest, VectorError, WorkBudget,
};
pub use trial::WalkTrial;

pub use crate::ids::DocId;
