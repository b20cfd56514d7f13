//! Disk space that is set aside while the disk has plenty, and given back when it is full: a node whose disk is full
//! can still start, and write the log of the removals that make room again.
//!
//! The space is that of the file `RESERVE` in the data folder, which holds nothing. It is given back in parts, because
//! other processes may use it up. The part by which the file is shorter than it should be counts as used: writes are
//! refused until the disk has room for that part as well. Removing the file does no harm.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use crate::disk::{DiskUse, Space};

const RESERVE: &str = "RESERVE";

/// Bytes set aside: more than the raft log writes when it is opened after a crash (its memory tables).
const BYTES_MAX: u64 = 128 << 20;
/// Part of a small disk that is set aside.
const DISK_SHARE: u64 = 16;
/// The parts in which it is given back.
const PARTS: u64 = 4;
/// A block of a file system, or a multiple of one.
const BLOCK_BYTES: u64 = 64 << 10;
/// Points of the limit of the disk that stay free when space is set aside.
const FREE_PERCENT: u64 = 5;

/// The file of a data folder.
#[derive(Debug, Clone)]
pub(crate) struct Reserve {
    path: PathBuf,
}

impl Reserve {
    pub(crate) fn new(data_path: &Path) -> Self {
        Self { path: data_path.join(RESERVE) }
    }

    /// Space of the disk of a data folder; the bytes missing from the reserve count as used.
    pub(crate) fn space(&self) -> Option<Space> {
        let space = Space::of(self.path.parent()?)?;
        let owed = fs::metadata(&self.path).map_or(0, |file| bytes_of(space).saturating_sub(file.len()));
        let used = u64::from(space.used_percent) + (owed * 100).div_ceil(space.total_bytes.max(1));
        Some(Space { used_percent: u8::try_from(used.min(100)).unwrap_or(100), ..space })
    }

    /// Sets the space aside if that leaves enough of it for data. `space` is as of [`Reserve::space`].
    ///
    /// # Errors
    /// When the file cannot be made. A file system that cannot allocate space ahead of writing is no error.
    pub(crate) fn keep(&self, space: Space, disk: DiskUse) -> io::Result<()> {
        let (bytes, length) = (bytes_of(space), fs::metadata(&self.path).ok().map(|file| file.len()));
        // `space` already counts the bytes missing from an existing reserve as used.
        let share = if length.is_some() { 0 } else { (bytes * 100).div_ceil(space.total_bytes.max(1)) };
        let used = u64::from(space.used_percent) + share;
        let plenty = space.free_bytes >= bytes * 2 && used + FREE_PERCENT <= u64::from(disk.percent_max);
        if disk.refuses() || !plenty || bytes == 0 || length.is_some_and(|length| length >= bytes) {
            return Ok(());
        }
        let file = File::options().write(true).create(true).truncate(false).open(&self.path)?;
        let length = libc::off_t::try_from(bytes).map_err(io::Error::other)?;
        // SAFETY: the descriptor is open for as long as `file` lives; no memory is passed.
        let result = unsafe { libc::posix_fallocate(file.as_raw_fd(), 0, length) };
        if result == 0 {
            return Ok(());
        }
        fs::remove_file(&self.path)?;
        match result {
            libc::EOPNOTSUPP | libc::EINVAL | libc::ENOSPC => Ok(()),
            other => Err(io::Error::from_raw_os_error(other)),
        }
    }

    /// Gives a part of the space back, `bytes` at least if the reserve has so many. Returns whether there was any.
    ///
    /// # Errors
    ///
    /// When the file exists and cannot be shortened.
    pub(crate) fn release(&self, bytes: u64, space: Space) -> io::Result<bool> {
        let file = match File::options().write(true).open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        let (length, part) = (file.metadata()?.len(), bytes_of(space) / PARTS);
        if length == 0 {
            return Ok(false);
        }
        let kept = length.saturating_sub(bytes.max(part));
        // A block that is kept in part gives nothing back.
        file.set_len(kept - kept % BLOCK_BYTES).map(|()| true)
    }
}

/// Bytes to set aside on a disk.
fn bytes_of(space: Space) -> u64 {
    BYTES_MAX.min(space.total_bytes / DISK_SHARE)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn space_is_set_aside_while_there_is_plenty() {
        let dir = tempfile::tempdir().unwrap();
        let reserve = Reserve::new(dir.path());
        let space = Space::of_percent;
        let disk = DiskUse::new(90);
        reserve.keep(space(80), disk).unwrap();
        assert!(!reserve.path.exists(), "it would fill the disk up to the limit");
        reserve.keep(space(95), disk.read(space(95))).unwrap();
        assert!(!reserve.path.exists(), "the disk is full");
        reserve.keep(space(10), disk).unwrap();
        let data = fs::metadata(&reserve.path).unwrap();
        assert_eq!(data.len(), (100 << 20) / DISK_SHARE);
        assert!(data.blocks() * 512 >= data.len(), "the space is taken, not only named");

        let length = || fs::metadata(&reserve.path).unwrap().len();
        let whole = length();
        assert!(reserve.release(1, space(100)).unwrap() && length() == whole / 4 * 3, "a part");
        assert!(reserve.release(whole / 2 - 1, space(100)).unwrap() && length() == whole / 4, "whole blocks");
        assert!(reserve.release(1, space(100)).unwrap() && !reserve.release(1, space(100)).unwrap(), "until the end");
        assert!(fs::metadata(&reserve.path).unwrap().blocks() == 0 && reserve.space().is_some());
        reserve.keep(space(86), disk).unwrap();
        assert_eq!(fs::metadata(&reserve.path).unwrap().len(), 0, "still owed");
        reserve.keep(space(80), disk).unwrap();
        assert!(fs::metadata(&reserve.path).unwrap().len() > 0, "what is owed is counted already");
    }
}
