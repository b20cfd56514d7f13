//! Reads RocksDB's own logs before RocksDB does.
//!
//! RocksDB keeps its write-ahead log and its MANIFEST as records in blocks of 32 KiB. Its reader skips some kinds of
//! damage, takes others for the end of the file, and loops for ever on one. So every record is held against its checksum
//! here, and only an incomplete record at the very end is let through, as a crash leaves it.
//!
//! Format of a record (RocksDB `db/log_format.h`): masked crc32c of type and rest (4), length (2), type (1), payload.
//! Nothing crosses a block; up to 6 zero bytes fill one up. Recycled files have types and headers of their own; none of
//! ours is ever recycled, and such a type at the end of a file is what RocksDB's reader loops on.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use crate::{Error, Result};

const BLOCK_BYTES: usize = 32 << 10;
const HEADER_BYTES: usize = 7;

/// Types of records in recycled files.
const RECYCLED_TYPES: [u8; 6] = [5, 6, 7, 8, 11, 131];

/// Checks CURRENT, the MANIFEST and every write-ahead log of the database in `dir`. A directory without database passes.
///
/// # Errors
/// [`Error::Damaged`]; [`Error::Storage`] if a file cannot be read.
pub fn check_database_files(dir: &Path) -> Result<()> {
    let mut logs = Vec::new();
    for entry in fs::read_dir(dir).map_err(|error| Error::Storage(error.to_string()))? {
        let path = entry.map_err(|error| Error::Storage(error.to_string()))?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if name.starts_with("MANIFEST-") || name.ends_with(".log") || name.ends_with(".sst") {
            logs.push((name, path));
        }
    }
    let current = match fs::read(dir.join("CURRENT")) {
        Ok(current) => current,
        Err(_) if logs.is_empty() => return Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(Error::Damaged(format!("CURRENT: {error}")));
        }
        Err(error) => return Err(Error::Storage(format!("{}: {error}", dir.join("CURRENT").display()))),
    };
    let manifest = current.strip_suffix(b"\n").and_then(|name| str::from_utf8(name).ok()).filter(|name| {
        let number = name.strip_prefix("MANIFEST-");
        number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
    });
    let manifest = manifest.ok_or_else(|| Error::Damaged("CURRENT does not name a MANIFEST".into()))?;
    if !logs.iter().any(|(name, _)| name == manifest) {
        return Err(Error::Damaged(format!("{manifest} is missing")));
    }
    for (name, path) in &logs {
        if name == manifest || name.ends_with(".log") {
            let file = File::open(path).map_err(|error| Error::Storage(format!("{name}: {error}")))?;
            check_records(file).map_err(|what| Error::Damaged(format!("{name}: {what}")))?;
        }
    }
    Ok(())
}

/// Reads a file block by block. `Err` says what is wrong with it.
fn check_records(mut file: impl Read) -> std::result::Result<(), String> {
    let mut block = vec![0; BLOCK_BYTES];
    let mut offset = 0_u64;
    loop {
        let mut filled = 0;
        while filled < BLOCK_BYTES {
            match file.read(&mut block[filled..]).map_err(|error| error.to_string())? {
                0 => break,
                read => filled += read,
            }
        }
        let last = filled < BLOCK_BYTES;
        check_block(&block[..filled], last).map_err(|(at, what)| format!("{what} at byte {}", offset + at as u64))?;
        if last {
            return Ok(());
        }
        offset += BLOCK_BYTES as u64;
    }
}

/// Checks the records of a block; only in the last one a record may be incomplete.
fn check_block(block: &[u8], last: bool) -> std::result::Result<(), (usize, &'static str)> {
    let mut at = 0;
    loop {
        let rest = &block[at..];
        let Some(header) = rest.first_chunk::<HEADER_BYTES>() else {
            let filler = rest.iter().all(|byte| *byte == 0);
            return if last || filler { Ok(()) } else { Err((at, "no filler at the end of a block")) };
        };
        let kind = header[6];
        let length = usize::from(u16::from_le_bytes([header[4], header[5]]));
        if kind == 0 && length == 0 {
            // A file system that grew the file before its content arrived leaves zeros behind the last record.
            let zeros = last && rest.iter().all(|byte| *byte == 0);
            return if zeros { Ok(()) } else { Err((at, "empty record")) };
        }
        if RECYCLED_TYPES.contains(&kind) {
            return Err((at, "record of a recycled file"));
        }
        let Some(record) = rest.get(..HEADER_BYTES + length) else {
            let torn = last && !(1..rest.len()).any(|behind| whole_record(&rest[behind..]));
            return if torn { Ok(()) } else { Err((at, "record with a wrong length")) };
        };
        if !has_its_checksum(record) {
            return Err((at, "wrong checksum"));
        }
        at += record.len();
    }
}

/// Whether `bytes` begin with a whole record. Behind a torn end there is none: it was the last that was written.
fn whole_record(bytes: &[u8]) -> bool {
    let Some(header) = bytes.first_chunk::<HEADER_BYTES>() else { return false };
    let length = usize::from(u16::from_le_bytes([header[4], header[5]]));
    header[6] != 0 && bytes.get(..HEADER_BYTES + length).is_some_and(has_its_checksum)
}

fn has_its_checksum(record: &[u8]) -> bool {
    let stored = u32::from_le_bytes([record[0], record[1], record[2], record[3]]);
    unmask(stored) == crc32c::crc32c(&record[HEADER_BYTES - 1..])
}

/// RocksDB rotates checksums that it stores, and adds a constant.
fn unmask(stored: u32) -> u32 {
    stored.wrapping_sub(0xa282_ead8).rotate_left(15)
}
