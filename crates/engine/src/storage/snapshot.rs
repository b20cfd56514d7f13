//! A RocksDB snapshot that keeps its database open, so that several readers can share it for as long as they need.

use std::sync::Arc;

use rocksdb::{DB, SnapshotWithThreadMode};

use super::generation::OpenGeneration;

/// The store at one moment.
pub(crate) struct Snapshot {
    /// Dropped before the database: fields are dropped in this order.
    snapshot: SnapshotWithThreadMode<'static, DB>,
    _db: Arc<DB>,
    _generation: Option<Arc<OpenGeneration>>,
}

impl Snapshot {
    /// The database at this moment; `generation` is the folder that it lies in.
    pub(super) fn of(db: &Arc<DB>, generation: Option<&Arc<OpenGeneration>>) -> Self {
        let (db, generation) = (db.clone(), generation.cloned());
        // SAFETY: the database stays where it is behind the `Arc`, which is kept beside the snapshot and dropped after it.
        // The only access to the snapshot is `get`, which ties the returned reference to the borrow of this value.
        let of: &'static DB = unsafe { &*Arc::as_ptr(&db) };
        Self { snapshot: of.snapshot(), _db: db, _generation: generation }
    }

    /// The snapshot, for as long as this value is borrowed.
    pub(crate) fn get<'s>(&'s self) -> &'s SnapshotWithThreadMode<'s, DB> {
        &self.snapshot
    }
}
