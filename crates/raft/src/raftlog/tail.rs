//! The tail file: how much of the log was acknowledged.
//!
//! RocksDB cuts a record at the end of its write-ahead log that does not fit there, as a torn write would leave it. A
//! flipped bit in the length of an acknowledged record looks the same. So after every fsync the number of the last
//! change is noted here, and a log that comes back with less is refused. The note is not synced by itself: after a
//! power loss it may be older than the log, never newer.
//!
//! Format: two slots at offsets 0 and 512, written in turn; a slot is magic `AZTL` (4), version (4), number of the
//! last change (8), crc32c of the 16 bytes before (4). Integers are little-endian.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::{LogError, Result};
use crate::folder::Anchor;

/// Name of the file inside the log's directory.
pub(crate) const FILE_NAME: &str = "TAIL";

const MAGIC: [u8; 4] = *b"AZTL";
const VERSION: u32 = 1;
const SLOT_BYTES: usize = 20;
const SLOTS: [u64; 2] = [0, 512];

/// The open tail file.
pub(crate) struct Tail {
    file: File,
    next_slot: usize,
    anchor: Anchor,
}

impl Tail {
    /// Opens the file, or creates it, and holds it against `sequence`, the last change that the log has.
    ///
    /// # Errors
    /// [`LogError::Damaged`] when the log lost changes that were acknowledged, or no slot can be read.
    pub(crate) fn open(path: &Path, sequence: u64) -> Result<Self> {
        let exists = path.try_exists().map_err(storage)?;
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(storage)?;
        let mut tail = Self { file, next_slot: 0, anchor: Anchor::new(path).map_err(storage)? };
        if exists {
            let slots = SLOTS.map(|offset| tail.read(offset));
            let Some(acknowledged) = slots.iter().flatten().max() else {
                return Err(LogError::Damaged(format!("no slot of {} can be read", path.display())));
            };
            if sequence < *acknowledged {
                let text = format!("change {acknowledged} was acknowledged, but the log ends at {sequence}");
                return Err(LogError::Damaged(text));
            }
        } else if sequence > 0 {
            tracing::warn!(path = %path.display(), "no tail file beside the raft log; a new one is written");
        }
        tail.note(sequence)?;
        tail.note(sequence)?;
        tail.file.sync_all().map_err(storage)?;
        Ok(tail)
    }

    /// Notes that everything up to `sequence` is acknowledged.
    pub(crate) fn note(&mut self, sequence: u64) -> Result<()> {
        let mut slot = [0; SLOT_BYTES];
        slot[..4].copy_from_slice(&MAGIC);
        slot[4..8].copy_from_slice(&VERSION.to_le_bytes());
        slot[8..16].copy_from_slice(&sequence.to_le_bytes());
        let checksum = crc32c::crc32c(&slot[..16]);
        slot[16..].copy_from_slice(&checksum.to_le_bytes());
        self.file.write_all_at(&slot, SLOTS[self.next_slot]).map_err(storage)?;
        self.next_slot = (self.next_slot + 1) % SLOTS.len();
        Ok(())
    }

    /// Checks that the file is still the one that its path names: in a folder that was removed or replaced, synced data
    /// is lost when the process ends. One look at the file system, without any input or output.
    ///
    /// # Errors
    /// [`LogError::Storage`]
    pub(crate) fn check_place(&self) -> Result<()> {
        self.anchor.check().map_err(LogError::Storage)
    }

    /// Makes the last note durable.
    pub(crate) fn sync(&self) -> Result<()> {
        self.file.sync_data().map_err(storage)
    }

    fn read(&self, offset: u64) -> Option<u64> {
        let mut slot = [0; SLOT_BYTES];
        self.file.read_exact_at(&mut slot, offset).ok()?;
        let checksum = crc32c::crc32c(&slot[..16]).to_le_bytes();
        if slot[..4] != MAGIC || slot[4..8] != VERSION.to_le_bytes() || slot[16..] != checksum {
            return None;
        }
        Some(u64::from_le_bytes(slot[8..16].try_into().ok()?))
    }
}

#[allow(clippy::needless_pass_by_value)] // It is given to `map_err`.
fn storage(error: io::Error) -> LogError {
    LogError::Storage(format!("tail file: {error}"))
}
