//! The RocksDB of a group: keys, column families, snapshots, write batches, records and generations.
//!
//! Knows bytes, and no schema, object or index.
//!
//! Read in this order: `key` (how everything is addressed), `store` (reads and writes), `record` (versioned records of
//! the `meta` family), `generation` (the folder that is in use), `install` (a checkpoint as the next generation), `precheck` (damage that RocksDB's reader does
//! not notice).

mod budget;
mod generation;
mod install;
pub(crate) mod key;
mod precheck;
pub(crate) mod record;
mod snapshot;
mod store;

pub use budget::StorageBudget;
pub use generation::Generations;
pub use precheck::check_database_files;
pub use store::OpenReport;

pub(crate) use snapshot::Snapshot;
pub(crate) use store::{Changes, Cursor, Family, Pinned, Store, StoreView};
