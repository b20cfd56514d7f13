//! Sealed values: small things on disk that must be whole or refused.
//!
//! Format: version (1 byte, 1), crc32c of the rest (4 bytes, little-endian), the rest. A sealed *file* is written beside
//! its place, synced, renamed into it, and the directory is synced: it is there wholly or not at all.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

const VERSION: u8 = 1;

/// Puts version and checksum before a value.
pub(crate) fn seal(value: &[u8]) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    bytes.extend_from_slice(&crc32c::crc32c(value).to_le_bytes());
    bytes.extend_from_slice(value);
    bytes
}

/// Takes off what [`seal`] put there; `None` when that is not what it finds.
pub(crate) fn unseal(bytes: &[u8]) -> Option<&[u8]> {
    match bytes.split_first_chunk::<5>() {
        Some(([VERSION, sum @ ..], value)) if crc32c::crc32c(value).to_le_bytes() == *sum => Some(value),
        _ => None,
    }
}

/// Writes a file that appears whole, and durably, or not at all.
pub(crate) fn write_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let dir = path.parent().ok_or_else(|| io::Error::other("a file needs a directory"))?;
    let beside = path.with_extension("new");
    let mut file = File::create(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    sync_dir(dir)
}

/// Makes the names in a directory durable.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}
