//! The RocksDB under the log: families, options, and reads.

use std::path::Path;

use azimuth_engine::ids::GroupId;
use azimuth_engine::replica::LogPosition;
use rocksdb::{
    BlockBasedOptions, BoundColumnFamily, Cache, ColumnFamilyDescriptor, DBRecoveryMode, DBWithThreadMode, Direction,
    IteratorMode, MultiThreaded, Options, ReadOptions, WriteBatch, WriteOptions,
};

use super::record::{self, Record, Vote};
use super::{LogError, Result, key};
use crate::disk::Space;

const LOG: &str = "log";
const META: &str = "meta";

/// Memory of entries that are not yet in a table file.
const WRITE_BUFFER_BYTES: u64 = 32 << 20;
/// Part of a small disk that one such memory table may hold: several of them must fit after a crash into the space that
/// is set aside for the next start ([`crate::reserve`]).
const WRITE_BUFFER_DISK_SHARE: u64 = 64;
const WRITE_BUFFER_BYTES_MIN: u64 = 1 << 20;
/// Disk space that a manifest takes ahead; RocksDB's 4 MiB count on a full disk.
const MANIFEST_PREALLOCATED_BYTES: usize = 64 << 10;

/// The log's RocksDB. Anybody may read; only the flusher writes.
pub(crate) struct Database {
    db: DBWithThreadMode<MultiThreaded>,
}

impl Database {
    /// Opens it; creates what is missing only if it `may_be_new`.
    pub(crate) fn open(dir: &Path, may_be_new: bool) -> Result<Self> {
        let families = [LOG, META].map(|name| ColumnFamilyDescriptor::new(name, family_options(buffer_bytes(dir))));
        let db = DBWithThreadMode::open_cf_descriptors(&database_options(may_be_new), dir, families)?;
        Ok(Self { db })
    }

    /// Number of the last change; grows with every key that is written or removed.
    pub(crate) fn sequence(&self) -> u64 {
        self.db.latest_sequence_number()
    }

    /// Bytes of entries on disk and in memory, about.
    pub(crate) fn log_bytes(&self) -> u64 {
        let family = self.family(LOG);
        ["rocksdb.live-sst-files-size", "rocksdb.cur-size-all-mem-tables"]
            .into_iter()
            .filter_map(|name| self.db.property_int_value_cf(&family, name).ok().flatten())
            .sum()
    }

    /// A value of family `meta`.
    pub(crate) fn meta(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        Ok(self.db.get_cf_opt(&self.family(META), key, &read_options())?)
    }

    /// Whether nothing was ever stored.
    pub(crate) fn is_empty(&self) -> Result<bool> {
        for family in [LOG, META] {
            let family = self.family(family);
            if let Some(first) = self.db.iterator_cf_opt(&family, read_options(), IteratorMode::Start).next() {
                first?;
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// A group's position in family `meta`.
    pub(crate) fn position(&self, group: GroupId, what: key::Meta) -> Result<Option<LogPosition>> {
        let bytes = self.meta(&key::meta(group, what))?;
        bytes.map(|bytes| record::decode_position(&bytes, &format!("{what:?} of group {group}"))).transpose()
    }

    /// A group's vote.
    pub(crate) fn vote(&self, group: GroupId) -> Result<Option<Vote>> {
        self.meta(&key::meta(group, key::Meta::Vote))?.map(|bytes| Vote::decode(&bytes)).transpose()
    }

    /// Calls `take` with the entries of a group from index `start` on, in order and checked, until it says `false`.
    /// Whether the indexes follow one another is for the caller to check.
    pub(crate) fn scan(&self, group: GroupId, start: u64, mut take: impl FnMut(Record) -> Result<bool>) -> Result<()> {
        let mut options = read_options();
        options.set_iterate_upper_bound(key::entries_end(group));
        let start = key::entry(group, start);
        let mode = IteratorMode::From(&start, Direction::Forward);
        for item in self.db.iterator_cf_opt(&self.family(LOG), options, mode) {
            let (key, value) = item?;
            let index = key::index(group, &key)
                .ok_or_else(|| LogError::Damaged(format!("key of {} bytes in group {group}", key.len())))?;
            if !take(Record::decode(group, index, &value)?)? {
                break;
            }
        }
        Ok(())
    }

    /// An empty batch and the families to write to.
    pub(crate) fn batch(&self) -> Batch<'_> {
        Batch { writes: WriteBatch::default(), log: self.family(LOG), meta: self.family(META) }
    }

    /// Makes a batch visible. It is durable after [`Database::sync`].
    pub(crate) fn write(&self, batch: Batch<'_>) -> Result<()> {
        Ok(self.db.write_opt(batch.writes, &WriteOptions::default())?)
    }

    /// Makes everything written so far durable: one write to the write-ahead log, one fsync.
    pub(crate) fn sync(&self) -> Result<()> {
        Ok(self.db.flush_wal(true)?)
    }

    /// Writes memory to table files, so that the next open reads no write-ahead log.
    pub(crate) fn flush_memory(&self) -> Result<()> {
        let families = [self.family(LOG), self.family(META)];
        Ok(self.db.flush_cfs_opt(&families.iter().collect::<Vec<_>>(), &rocksdb::FlushOptions::default())?)
    }

    /// Removes table files that hold nothing but entries of `group` up to `index`. Frees space early; the entries
    /// are already deleted.
    pub(crate) fn drop_files(&self, group: GroupId, index: u64) -> Result<()> {
        Ok(self.db.delete_file_in_range_cf(&self.family(LOG), key::entry(group, 0), key::entry(group, index))?)
    }

    fn family(&self, name: &str) -> std::sync::Arc<BoundColumnFamily<'_>> {
        self.db.cf_handle(name).expect("both families were opened with the database and are never dropped")
    }
}

/// Changes that are written together.
pub(crate) struct Batch<'a> {
    writes: WriteBatch,
    log: std::sync::Arc<BoundColumnFamily<'a>>,
    meta: std::sync::Arc<BoundColumnFamily<'a>>,
}

impl Batch<'_> {
    /// Adds an encoded entry.
    pub(crate) fn put_entry(&mut self, group: GroupId, index: u64, encoded: &[u8]) {
        self.writes.put_cf(&self.log, key::entry(group, index), encoded);
    }

    /// Removes the entries of a group with indexes in `[from, to)`.
    pub(crate) fn delete_entries(&mut self, group: GroupId, from: u64, to: u64) {
        self.writes.delete_range_cf(&self.log, key::entry(group, from), key::entry(group, to));
    }

    /// Sets a value of family `meta`.
    pub(crate) fn put_meta(&mut self, key: &[u8], value: &[u8]) {
        self.writes.put_cf(&self.meta, key, value);
    }

    /// Removes a value of family `meta`.
    pub(crate) fn delete_meta(&mut self, key: &[u8]) {
        self.writes.delete_cf(&self.meta, key);
    }
}

/// Reliability first: a damaged record before the end of the write-ahead log refuses to open, checks are paranoid,
/// and nothing reaches the file before the flusher says so.
fn database_options(may_be_new: bool) -> Options {
    let mut options = Options::default();
    options.create_if_missing(may_be_new);
    options.create_missing_column_families(may_be_new);
    options.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
    options.set_track_and_verify_wals_in_manifest(true);
    options.set_paranoid_checks(true);
    options.set_manual_wal_flush(true);
    options.set_manifest_preallocation_size(MANIFEST_PREALLOCATED_BYTES);
    // Both families leave memory together: a write-ahead log is kept only until its entries are in table files.
    options.set_atomic_flush(true);
    options.set_max_background_jobs(2);
    options.set_keep_log_file_num(4);
    options.set_max_log_file_size(1 << 20);
    options.set_stats_dump_period_sec(0);
    options
}

/// Bytes of one memory table.
fn buffer_bytes(dir: &Path) -> u64 {
    let disk_bytes = Space::of(dir).map_or(u64::MAX, |space| space.total_bytes);
    WRITE_BUFFER_BYTES.min(disk_bytes / WRITE_BUFFER_DISK_SHARE).max(WRITE_BUFFER_BYTES_MIN)
}

/// Bytes of disk that an open takes ahead for the new write-ahead log: 1.1 times a memory table (RocksDB,
/// `GetWalPreallocateBlockSize`).
pub(super) fn preallocated_bytes(dir: &Path) -> u64 {
    buffer_bytes(dir) / 10 * 11
}

fn family_options(buffer_bytes: u64) -> Options {
    let mut table = BlockBasedOptions::default();
    // Entries are read once, when a node starts or a follower lags: a small cache is enough.
    table.set_block_cache(&Cache::new_lru_cache(1 << 20));
    table.set_format_version(6);
    let mut options = Options::default();
    options.set_write_buffer_size(usize::try_from(buffer_bytes).unwrap_or(usize::MAX));
    options.set_max_write_buffer_number(3);
    options.set_block_based_table_factory(&table);
    options.set_compression_type(rocksdb::DBCompressionType::Lz4);
    options
}

fn read_options() -> ReadOptions {
    let mut options = ReadOptions::default();
    options.set_verify_checksums(true);
    options.set_total_order_seek(true);
    options.fill_cache(false);
    options
}
