//! Transfer of a snapshot between nodes, independent of the transport: the sender reads, the receiver writes and checks.
//!
//! Files go one after the other in the order of the manifest, each from its first byte to its last, in parts of any
//! size. A file counts when its hash is that of the manifest and it is synced; the snapshot counts when all files do.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use azimuth_engine::replica::StateMachine;

use super::manifest::FileEntry;
use super::snapshot::SnapshotFiles;
use crate::error::SnapshotError;
use crate::seal;

/// A snapshot to be sent. Its files stay on the disk as long as the reader lives.
pub struct SnapshotReader {
    files: Arc<SnapshotFiles>,
    entries: Vec<FileEntry>,
    manifest: Vec<u8>,
}

impl SnapshotReader {
    /// Hashes files that were never hashed: may take as long as reading them.
    pub(crate) fn new(files: Arc<SnapshotFiles>) -> Result<Self, SnapshotError> {
        let manifest = files.hashed_manifest()?;
        let encoded = manifest.encode().map_err(SnapshotError::Storage)?;
        Ok(Self { files, entries: manifest.files, manifest: encoded })
    }

    /// The manifest, which the receiver takes first.
    pub fn manifest(&self) -> &[u8] {
        &self.manifest
    }

    /// Sizes of the files in bytes, in the order in which they are sent.
    pub fn sizes(&self) -> impl ExactSizeIterator<Item = u64> {
        self.entries.iter().map(|file| file.bytes)
    }

    /// Reads from file number `file`, `offset` bytes behind its start, as much as `buffer` takes. Returns the bytes read;
    /// 0 at the end of the file.
    ///
    /// # Errors
    /// Those of the disk, and a number that no file has.
    pub fn read(&self, file: usize, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let entry = self.entries.get(file).ok_or_else(|| io::Error::other(format!("no file {file}")))?;
        File::open(self.files.state_dir().join(&entry.name))?.read_at(buffer, offset)
    }
}

/// A snapshot that is being received.
pub struct SnapshotReceiver {
    files: SnapshotFiles,
    /// Number of the next file.
    file: usize,
    open: Option<Open>,
}

struct Open {
    file: File,
    hasher: blake3::Hasher,
    bytes: u64,
}

impl SnapshotReceiver {
    pub(super) fn new(files: SnapshotFiles) -> Self {
        Self { files, file: 0, open: None }
    }

    /// Number of the next file and the offset in it, in bytes, at which the next part begins; `None` after the last part.
    /// A sender whose connection broke continues there.
    pub fn next(&self) -> Option<(usize, u64)> {
        let entries = &self.files.manifest().files;
        (self.file < entries.len()).then(|| (self.file, self.open.as_ref().map_or(0, |open| open.bytes)))
    }

    /// Takes the next part. An empty part is right only for an empty file. Blocks.
    ///
    /// # Errors
    /// [`SnapshotError::Refused`] when it is not the next part, goes beyond the end of the file, or completes a file
    /// whose hash is wrong. The snapshot has to be sent again then.
    pub fn write(&mut self, file: usize, offset: u64, part: &[u8]) -> Result<(), SnapshotError> {
        if self.next() != Some((file, offset)) {
            let text = format!("part {offset} of file {file} came, and {:?} is next", self.next());
            return Err(SnapshotError::Refused(text));
        }
        let entry = &self.files.manifest().files[file];
        let mut open = match self.open.take() {
            Some(open) => open,
            None => {
                let path = self.files.state_dir().join(&entry.name);
                Open { file: File::create_new(path)?, hasher: blake3::Hasher::new(), bytes: 0 }
            }
        };
        let bytes = open.bytes + part.len() as u64;
        if bytes > entry.bytes || (part.is_empty() && entry.bytes > 0) {
            return Err(SnapshotError::Refused(format!("{bytes} bytes of {}, which has {}", entry.name, entry.bytes)));
        }
        open.file.write_all(part)?;
        open.hasher.update(part);
        open.bytes = bytes;
        if bytes < entry.bytes {
            self.open = Some(open);
            return Ok(());
        }
        let hash = *open.hasher.finalize().as_bytes();
        if entry.hash != Some(hash) {
            return Err(SnapshotError::Refused(format!("{} has another hash than its manifest says", entry.name)));
        }
        open.file.sync_all()?;
        self.files.note_hash(&open.file.metadata()?, hash);
        self.file += 1;
        Ok(())
    }

    /// Ends the transfer. Blocks.
    ///
    /// # Errors
    /// [`SnapshotError::Refused`] when something is missing.
    pub fn finish(self) -> Result<ReceivedSnapshot, SnapshotError> {
        if let Some(next) = self.next() {
            return Err(SnapshotError::Refused(format!("it ends before {next:?}")));
        }
        seal::sync_dir(&self.files.state_dir())?;
        Ok(ReceivedSnapshot { files: Arc::new(self.files) })
    }
}

/// A received snapshot whose files are complete and match its manifest.
pub struct ReceivedSnapshot {
    files: Arc<SnapshotFiles>,
}

impl ReceivedSnapshot {
    /// Checks that it can replace `state`: it can be opened and has the position and membership of its manifest. Blocks.
    pub(crate) fn check<S: StateMachine>(&self, state: &S) -> Result<(), SnapshotError> {
        let found = state.inspect(&self.files.state_dir());
        let found = found.map_err(|error| SnapshotError::Refused(format!("it cannot be opened: {error}")))?;
        let manifest = self.files.manifest();
        if (found.position, &found.membership) != (manifest.position, &manifest.membership) {
            let text = format!("it is at {:?}, and its manifest says {:?}", found.position, manifest.position);
            return Err(SnapshotError::Refused(text));
        }
        Ok(())
    }

    pub(crate) fn files(&self) -> &Arc<SnapshotFiles> {
        &self.files
    }
}
