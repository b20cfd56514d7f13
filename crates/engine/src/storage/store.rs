//! The RocksDB of a group: families, options, reads under a snapshot, atomic flush, checkpoints.
//!
//! The write-ahead log is off and atomic flush is on: a crash falls back to the last flush, of all families together.
//! There are no merge operators and no prefix extractors.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rocksdb::checkpoint::Checkpoint;
use rocksdb::{
    BlockBasedOptions, BoundColumnFamily, ColumnFamilyDescriptor, DB, DBCompressionType, DBPinnableSlice,
    DBRawIteratorWithThreadMode, FlushOptions, Options, ReadOptions, WriteBatch, WriteOptions,
};

use super::StorageBudget;
use super::generation::{Generations, OpenGeneration};
use super::key::{self, MetaKey};
use super::precheck::check_database_files;
use super::snapshot::Snapshot;
use crate::ids::GroupId;
use crate::{Error, Result, interrupt};

/// Version of a group's folder as a whole, kept under [`MetaKey::Format`].
pub(crate) const GROUP_FORMAT: u32 = 1;

/// Column families.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    /// Objects without vectors, by doc id.
    Objects,
    /// Doc ids, by uuid.
    Ids,
    /// Vectors, by vector and doc id; large ones lie in blob files.
    Vectors,
    /// The inverted index.
    Inverted,
    /// Positions, schema, state of shards.
    Meta,
}

impl Family {
    const ALL: [Self; 5] = [Self::Objects, Self::Ids, Self::Vectors, Self::Inverted, Self::Meta];
    /// The families that hold data of shards.
    pub(crate) const OF_SHARDS: [Self; 4] = [Self::Objects, Self::Ids, Self::Vectors, Self::Inverted];

    fn name(self) -> &'static str {
        match self {
            Self::Objects => "obj",
            Self::Ids => "ids",
            Self::Vectors => "vec",
            Self::Inverted => "inv",
            Self::Meta => "meta",
        }
    }
}

/// What opening a group found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OpenReport {
    /// Generation that was opened.
    pub generation: u64,
    /// Whether the group was empty and has been created.
    pub created: bool,
    /// Collections that the group knows.
    pub collections: usize,
    /// Repairs made on the way, one sentence each.
    pub notes: Vec<String>,
}

/// A group's RocksDB.
pub(crate) struct Store {
    db: Arc<DB>,
    budget: StorageBudget,
    /// Errors of RocksDB's background work that are known not to have stopped it.
    background_errors: AtomicU64,
    /// Where it lies; `None` for a checkpoint. Dropped after the database.
    generation: Option<Arc<OpenGeneration>>,
}

/// The store at one moment.
pub(crate) struct StoreView<'a> {
    store: &'a Store,
    snapshot: Arc<Snapshot>,
}

/// A value in RocksDB's memory, which stays there for as long.
pub(crate) type Pinned<'a> = DBPinnableSlice<'a>;

/// Changes that become visible together.
pub(crate) struct Changes<'a> {
    store: &'a Store,
    batch: WriteBatch,
}

impl Store {
    /// Opens the present generation of a group below `dir`, or makes the first one. Removes other generations.
    pub(crate) fn open(dir: &Path, group: GroupId, budget: &StorageBudget) -> Result<(Self, OpenReport)> {
        fs::create_dir_all(dir)?;
        let generations = Generations::new(dir);
        let mut report = OpenReport::default();
        let current = generations.current()?;
        report.generation = current.unwrap_or(1);
        let path = generations.path(report.generation);
        if current.is_some() && !path.join("CURRENT").exists() {
            return Err(Error::Damaged(format!("{} is not there", path.display())));
        }
        let store = Self::open_generation(&generations, report.generation, budget)?;
        let format_key = key::meta(group, MetaKey::Format, &[]);
        match store.get(Family::Meta, &format_key)? {
            Some(bytes) if bytes.as_ref() == GROUP_FORMAT.to_be_bytes() => {}
            Some(bytes) => return Err(Error::Damaged(format!("group format {:02x?} is not known", bytes.as_ref()))),
            None if current.is_some() || store.db.latest_sequence_number() > 0 => {
                return Err(Error::Damaged(format!("{} does not hold {group}", path.display())));
            }
            None => {
                let mut changes = store.changes();
                changes.put(Family::Meta, &format_key, &GROUP_FORMAT.to_be_bytes());
                changes.write()?;
                store.flush()?;
                report.created = true;
            }
        }
        if current.is_none() {
            generations.switch(report.generation)?;
        }
        let removed = generations.remove_others(report.generation)?;
        if removed > 0 {
            report.notes.push(format!("removed {removed} old generations"));
        }
        Ok((store, report))
    }

    /// Opens the database in a generation, or creates it, without a look at its content.
    pub(super) fn open_generation(generations: &Generations, number: u64, budget: &StorageBudget) -> Result<Self> {
        let path = generations.path(number);
        if path.exists() {
            check_database_files(&path).map_err(|error| match error {
                Error::Damaged(what) => Error::Damaged(format!("{}: {what}", path.display())),
                other => other,
            })?;
        }
        let db = DB::open_cf_descriptors(&db_options(budget), path, families(budget))?;
        Ok(Self {
            db: Arc::new(db),
            budget: budget.clone(),
            background_errors: AtomicU64::new(0),
            generation: Some(Arc::new(OpenGeneration::new(generations.clone(), number))),
        })
    }

    /// Opens a checkpoint to read from it.
    pub(crate) fn open_read_only(path: &Path) -> Result<Self> {
        let budget = StorageBudget::new(1 << 20, 1 << 20);
        let db = DB::open_cf_descriptors_read_only(&db_options(&budget), path, families(&budget), false)?;
        Ok(Self { db: Arc::new(db), budget, background_errors: AtomicU64::new(0), generation: None })
    }

    /// The folder of its database.
    pub(crate) fn path(&self) -> &Path {
        self.db.path()
    }

    /// The generation that it lies in; `None` for a checkpoint.
    pub(super) fn generation(&self) -> Option<&Arc<OpenGeneration>> {
        self.generation.as_ref()
    }

    /// The memory that it shares with the other groups of the node.
    pub(super) fn budget(&self) -> &StorageBudget {
        &self.budget
    }

    fn family(&self, family: Family) -> Arc<BoundColumnFamily<'_>> {
        self.db.cf_handle(family.name()).expect("every family is opened with the store")
    }

    /// Reads one value as of now.
    pub(crate) fn get(&self, family: Family, key: &[u8]) -> Result<Option<DBPinnableSlice<'_>>> {
        Ok(self.db.get_pinned_cf(&self.family(family), key)?)
    }

    /// All entries whose key starts with `prefix`, as of now.
    pub(crate) fn entries(&self, family: Family, prefix: &[u8]) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let mut found = Vec::new();
        let mut cursor = Cursor::new(self.db.raw_iterator_cf_opt(&self.family(family), bounds(prefix, None)));
        cursor.seek(prefix);
        while let Some((key, value)) = cursor.item()? {
            found.push((key.to_vec(), value.to_vec()));
            cursor.next();
        }
        Ok(found)
    }

    /// The store at this moment.
    pub(crate) fn view(&self) -> StoreView<'_> {
        self.view_at(self.snapshot())
    }

    /// A snapshot of the store, from which views of the present state can be made later.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        Arc::new(Snapshot::of(&self.db, self.generation.as_ref()))
    }

    /// The store at the moment of a snapshot of it.
    pub(crate) fn view_at(&self, snapshot: Arc<Snapshot>) -> StoreView<'_> {
        StoreView { store: self, snapshot }
    }

    /// An empty set of changes.
    pub(crate) fn changes(&self) -> Changes<'_> {
        Changes { store: self, batch: WriteBatch::default() }
    }

    /// Makes everything written so far durable, all families together.
    pub(crate) fn flush(&self) -> Result<()> {
        let families: Vec<_> = Family::ALL.iter().map(|family| self.family(*family)).collect();
        let mut options = FlushOptions::default();
        options.set_wait(true);
        Ok(self.db.flush_cfs_opt(&families.iter().collect::<Vec<_>>(), &options)?)
    }

    /// Writes a copy to `dir`, which must not exist. It holds everything written before the call.
    pub(crate) fn checkpoint(&self, dir: &Path) -> Result<()> {
        // With the log off, only log size 0 makes RocksDB flush first.
        Ok(Checkpoint::new(&self.db)?.create_checkpoint_with_log_size(dir, 0)?)
    }

    /// Removes whole files that hold nothing but keys that start with `prefix`. The removal is durable at once: the deletion
    /// of these keys must be so already.
    pub(crate) fn drop_files(&self, family: Family, prefix: &[u8]) -> Result<()> {
        let Some(end) = key::after_prefix(prefix) else { return Ok(()) };
        Ok(self.db.delete_file_in_range_cf(&self.family(family), prefix, &end)?)
    }

    /// Returns the error of a flush or compaction in the background that stopped the database, if there was one.
    pub(crate) fn check_background(&self) -> Result<()> {
        let errors = self.db.property_int_value("rocksdb.background-errors")?.unwrap_or(0);
        if errors == self.background_errors.load(Ordering::Relaxed) {
            return Ok(());
        }
        // A write without changes is refused with the error, unless RocksDB has recovered from it.
        self.changes().write()?;
        self.background_errors.store(errors, Ordering::Relaxed);
        Ok(())
    }

    /// Rewrites files that hold removed or replaced rows without them.
    pub(crate) fn compact(&self) {
        for family in Family::ALL {
            self.db.compact_range_cf(&self.family(family), None::<&[u8]>, None::<&[u8]>);
        }
    }

    /// Bytes not flushed yet, of all groups that share the budget.
    pub(crate) fn write_buffer_bytes(&self) -> u64 {
        self.budget.write_buffers.get_usage() as u64
    }

    /// Bytes of blocks in the cache, of all groups that share the budget.
    pub(crate) fn block_cache_bytes(&self) -> u64 {
        self.budget.cache.get_usage() as u64
    }

    /// Bytes of table and blob files.
    pub(crate) fn disk_bytes(&self) -> u64 {
        let figure = |family: Family, name: &str| {
            self.db.property_int_value_cf(&self.family(family), name).ok().flatten().unwrap_or(0)
        };
        let tables = Family::ALL.iter().map(|family| figure(*family, "rocksdb.total-sst-files-size"));
        tables.sum::<u64>() + figure(Family::Vectors, "rocksdb.total-blob-file-size")
    }
}

impl StoreView<'_> {
    /// Reads one value.
    pub(crate) fn get(&self, family: Family, key: &[u8]) -> Result<Option<DBPinnableSlice<'_>>> {
        interrupt::check()?;
        Ok(self.snapshot.get().get_pinned_cf(&self.store.family(family), key)?)
    }

    /// Reads many values at once, in the order of `keys`: cheaper than one by one. Pins a block for each, so the caller
    /// bounds how many.
    pub(crate) fn get_many<K: AsRef<[u8]>>(
        &self,
        family: Family,
        keys: &[K],
    ) -> Result<Vec<Option<DBPinnableSlice<'_>>>> {
        interrupt::check()?;
        let mut options = ReadOptions::default();
        options.set_snapshot(self.snapshot.get());
        let values = self.store.db.batched_multi_get_cf_opt(&self.store.family(family), keys, false, &options);
        values.into_iter().map(|value| Ok(value?)).collect()
    }

    /// A cursor over the keys that start with `prefix` (and, if given, are below `end`), not yet placed.
    pub(crate) fn cursor(&self, family: Family, prefix: &[u8], end: Option<&[u8]>) -> Cursor<'_> {
        Cursor::new(self.snapshot.get().raw_iterator_cf_opt(&self.store.family(family), bounds(prefix, end)))
    }
}

/// Goes over entries in key order; errors, and the end of an interrupted read, surface in [`Cursor::item`].
pub(crate) struct Cursor<'a> {
    inner: DBRawIteratorWithThreadMode<'a, DB>,
}

impl<'a> Cursor<'a> {
    fn new(inner: DBRawIteratorWithThreadMode<'a, DB>) -> Self {
        Self { inner }
    }

    /// Goes to the first entry at or after `key`.
    pub(crate) fn seek(&mut self, key: &[u8]) {
        self.inner.seek(key);
    }

    /// Goes to the next entry. Only after [`Cursor::item`] gave one.
    pub(crate) fn next(&mut self) {
        self.inner.next();
    }

    /// The entry the cursor stands at; `None` at the end.
    ///
    /// # Errors
    /// Those of the storage; [`Error::Interrupted`] when the read of this thread is to end.
    pub(crate) fn item(&self) -> Result<Option<(&[u8], &[u8])>> {
        interrupt::check()?;
        match self.inner.item() {
            Some(item) => Ok(Some(item)),
            None => {
                self.inner.status()?;
                Ok(None)
            }
        }
    }
}

impl Changes<'_> {
    pub(crate) fn put(&mut self, family: Family, key: &[u8], value: &[u8]) {
        self.batch.put_cf(&self.store.family(family), key, value);
    }

    pub(crate) fn delete(&mut self, family: Family, key: &[u8]) {
        self.batch.delete_cf(&self.store.family(family), key);
    }

    /// Deletes all keys that start with `prefix`, by one range tombstone.
    ///
    /// # Errors
    /// [`Error::Damaged`] for a prefix above which no key is: no group, collection or tag has such a number.
    pub(crate) fn delete_prefix(&mut self, family: Family, prefix: &[u8]) -> Result<()> {
        let end = key::after_prefix(prefix).ok_or_else(|| Error::Damaged(format!("key {prefix:02x?}")))?;
        self.batch.delete_range_cf(&self.store.family(family), prefix, &end);
        Ok(())
    }

    /// Writes all of it at once.
    pub(crate) fn write(self) -> Result<()> {
        let mut options = WriteOptions::default();
        options.disable_wal(true);
        options.set_memtable_insert_hint_per_batch(true);
        Ok(self.store.db.write_opt(self.batch, &options)?)
    }
}

fn bounds(prefix: &[u8], end: Option<&[u8]>) -> ReadOptions {
    let mut options = ReadOptions::default();
    options.set_iterate_lower_bound(prefix);
    let end = end.map(<[u8]>::to_vec).or_else(|| key::after_prefix(prefix));
    end.into_iter().for_each(|end| options.set_iterate_upper_bound(end));
    options
}

/// Disk space that a manifest takes ahead; RocksDB's 4 MiB count on a full disk.
const MANIFEST_PREALLOCATED_BYTES: usize = 64 << 10;

fn db_options(budget: &StorageBudget) -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    options.set_atomic_flush(true);
    options.set_paranoid_checks(true);
    options.set_max_background_jobs(2);
    options.set_max_open_files(1_024);
    options.set_keep_log_file_num(4);
    options.set_max_log_file_size(4 << 20);
    options.set_manifest_preallocation_size(MANIFEST_PREALLOCATED_BYTES);
    options.set_stats_dump_period_sec(0);
    options.set_write_buffer_manager(&budget.write_buffers);
    options
}

fn families(budget: &StorageBudget) -> Vec<ColumnFamilyDescriptor> {
    Family::ALL
        .iter()
        .map(|family| ColumnFamilyDescriptor::new(family.name(), family_options(*family, budget)))
        .collect()
}

fn family_options(family: Family, budget: &StorageBudget) -> Options {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(&budget.cache);
    table.set_cache_index_and_filter_blocks(true);
    table.set_pin_l0_filter_and_index_blocks_in_cache(true);
    table.set_format_version(6);
    table.set_block_size(16 << 10);
    if matches!(family, Family::Objects | Family::Ids | Family::Vectors) {
        table.set_bloom_filter(10.0, false);
    }
    let mut options = Options::default();
    options.set_block_based_table_factory(&table);
    options.set_level_compaction_dynamic_level_bytes(true);
    options.set_write_buffer_size(64 << 20);
    options.set_arena_block_size(1 << 20);
    options.set_max_write_buffer_number(4);
    match family {
        Family::Vectors => {
            options.set_compression_type(DBCompressionType::None);
            options.set_enable_blob_files(true);
            options.set_min_blob_size(1 << 10);
            options.set_blob_file_size(256 << 20);
            options.set_blob_compression_type(DBCompressionType::None);
            options.set_enable_blob_gc(true);
            options.set_blob_gc_age_cutoff(0.25);
            options.set_blob_gc_force_threshold(0.5);
        }
        Family::Objects | Family::Inverted => options.set_compression_type(DBCompressionType::Lz4),
        Family::Ids | Family::Meta => options.set_compression_type(DBCompressionType::None),
    }
    options
}
