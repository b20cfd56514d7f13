//! Hashes of the files of snapshots, each computed once.
//!
//! Snapshots share most of their files with one another, as links to the same file, and RocksDB never changes a table
//! or blob file. So a file is known by device, inode, size and time of its last change.

use std::collections::HashMap;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use parking_lot::Mutex;

use super::manifest::{FileEntry, Hash};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct FileId {
    device: u64,
    inode: u64,
    bytes: u64,
    changed_ns: (i64, i64),
}

impl FileId {
    fn of(data: &Metadata) -> Self {
        let changed_ns = (data.mtime(), data.mtime_nsec());
        Self { device: data.dev(), inode: data.ino(), bytes: data.len(), changed_ns }
    }
}

/// The known hashes.
#[derive(Debug, Default)]
pub(crate) struct Hashes(Mutex<HashMap<FileId, Hash>>);

impl Hashes {
    /// Fills in the hashes that are missing, and forgets those of all other files. Reads files that are not known.
    pub(super) fn complete(&self, dir: &Path, files: &mut [FileEntry]) -> io::Result<()> {
        let mut known = HashMap::with_capacity(files.len());
        for file in files {
            let path = dir.join(&file.name);
            let id = FileId::of(&fs::metadata(&path)?);
            let found = file.hash.or_else(|| self.0.lock().get(&id).copied());
            let hash = match found {
                Some(hash) => hash,
                None => *blake3::Hasher::new().update_reader(File::open(&path)?)?.finalize().as_bytes(),
            };
            known.insert(id, hash);
            file.hash = Some(hash);
        }
        *self.0.lock() = known;
        Ok(())
    }

    /// Notes the hash of a file that was just written.
    pub(super) fn note(&self, data: &Metadata, hash: Hash) {
        self.0.lock().insert(FileId::of(data), hash);
    }
}
