//! Vector search: exact scan for small collections, HNSW for large ones.
//!
//! A [`VectorIndex`] serves one (collection shard, vector name). It is derived state: RocksDB holds the truth, the index
//! knows nothing of it. Recovery is one rule: after [`VectorIndex::open`] the caller compares
//! [`VectorIndex::live_ids`] with the stored documents and calls `insert` and `delete` for the difference.
//!
//! A search whose read is interrupted ([`crate::interrupt`]) ends early with an incomplete result: the caller checks
//! the interrupt and drops the result.
//!
//! Read in this order: `index` (the calls), `search` (plan and execution of a search), `hnsw` (the graph), `scan` (exact
//! search), `maintain` (background work), `store` (vectors and slots), `quantize` (codes), `persist` (the files), `multi`
//! (documents of several vectors).

mod config;
mod request;

mod core;
mod index;
mod stats;

mod maintain;
mod search;

mod hnsw;
mod multi;
mod persist;
mod scan;

mod quantize;
mod store;

mod arena;
mod distance;
mod pairs;
mod slots;

#[cfg(test)]
mod tests;

pub use config::{
    Codes, Distance, EF_CONSTRUCTION_MIN, FilterStrategy, HnswConfig, IndexConfig, IndexKind, IndexOptions, M_MAX,
    M_MIN,
};
pub use distance::KernelTrial;
pub use index::VectorIndex;
pub use multi::{Fetch, MultiIndex, MultiRequest, Muvera, QUERY_ROWS_MAX, ROWS_MAX};
pub use pairs::Pairs;
pub use request::{
    DIM_MAX, IndexMemory, IndexStats, LoadReport, Neighbor, SaveReport, SearchRequest, StepBudget, StepReport,
    VectorError,
};
pub use search::GraphSearchTrial;

pub use crate::ids::DocId;
