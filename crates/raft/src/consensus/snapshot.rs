//! Snapshots of a group on this node: checkpoints of its RocksDB, in `g<group>/snap/`.
//!
//! A snapshot is a directory named after the last entry it contains (and a number, if there are several of one state),
//! with a checkpoint in `state/` and a sealed `MANIFEST` that was written last, before the directory got its name. It is never changed. A newer one takes its
//! place by a swap, so that nothing waits for a build, and the old directory is removed when its last reader is done.
//! Since entries are purged only up to a snapshot, and building one makes the state durable, a node always has either
//! the entry or its effect. A snapshot that fails its checks is removed: the group itself is what counts on its node.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use azimuth_engine::ids::GroupId;
use azimuth_engine::replica::{Applied, StateMachine};
use openraft::{Snapshot, SnapshotMeta};
use parking_lot::Mutex;
use uuid::Uuid;

use super::hashes::Hashes;
use super::manifest::{FILES_MAX, FileEntry, Hash, MANIFEST_BYTES_MAX, Manifest};
use super::membership;
use super::receiver::SnapshotReceiver;
use super::types::{self, SnapshotDir, StorageError, TypeConfig};
use crate::disk::Space;
use crate::error::SnapshotError;
use crate::seal;

const MANIFEST: &str = "MANIFEST";
const STATE: &str = "state";
const BUILDING: &str = "building";
const RECEIVING: &str = "receiving-";

/// The owner of snapshots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) cluster: Uuid,
    pub(crate) store: Uuid,
    pub(crate) group: GroupId,
}

/// The directory of a snapshot. Every reader holds it; one that was replaced is removed when the last one drops it.
#[derive(Debug)]
pub(crate) struct SnapshotFiles {
    path: PathBuf,
    manifest: Manifest,
    /// The manifest with all hashes, once a reader has asked for it.
    hashed: Mutex<Option<Manifest>>,
    hashes: Arc<Hashes>,
    removed: AtomicBool,
}

impl SnapshotFiles {
    fn new(path: PathBuf, manifest: Manifest, hashes: Arc<Hashes>) -> Self {
        Self { path, manifest, hashed: Mutex::default(), hashes, removed: AtomicBool::new(false) }
    }

    /// The directory of the checkpoint.
    pub(crate) fn state_dir(&self) -> PathBuf {
        self.path.join(STATE)
    }

    /// Its content. Files of a snapshot that was made here may have no hashes.
    pub(crate) fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Its content, with the hash of every file. Reads those files that were never hashed.
    pub(crate) fn hashed_manifest(&self) -> io::Result<Manifest> {
        let mut hashed = self.hashed.lock();
        if let Some(manifest) = &*hashed {
            return Ok(manifest.clone());
        }
        let mut manifest = self.manifest.clone();
        self.hashes.complete(&self.state_dir(), &mut manifest.files)?;
        Ok(hashed.insert(manifest).clone())
    }

    /// Notes the hash of a file that was received.
    pub(super) fn note_hash(&self, data: &fs::Metadata, hash: Hash) {
        self.hashes.note(data, hash);
    }

    /// Has the directory removed with its last reader.
    pub(super) fn remove_later(&self) {
        self.removed.store(true, Ordering::Release);
    }

    /// The form that openraft takes.
    pub(crate) fn snapshot(self: &Arc<Self>) -> Result<Snapshot<TypeConfig>, StorageError> {
        let Manifest { position, membership, .. } = &self.manifest;
        let meta = SnapshotMeta {
            last_log_id: position.map(types::log_id),
            last_membership: membership::stored(membership.as_ref())?,
            snapshot_id: self.manifest.name(),
        };
        Ok(Snapshot { meta, snapshot: Box::new(SnapshotDir(Some(self.clone()))) })
    }
}

impl Drop for SnapshotFiles {
    fn drop(&mut self) {
        if *self.removed.get_mut()
            && let Err(error) = remove_if_there(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "remove a snapshot; the next start tries again");
        }
    }
}

/// The snapshots of a group; at most one is current.
pub(crate) struct SnapshotStore {
    dir: PathBuf,
    owner: Owner,
    hashes: Arc<Hashes>,
    /// Locked only to read or to swap.
    current: Mutex<Option<Arc<SnapshotFiles>>>,
    /// Held during a build. Only builds take it.
    building: Mutex<()>,
    received: AtomicU64,
}

impl SnapshotStore {
    /// Opens the directory and keeps the newest snapshot that passes its checks.
    pub(crate) fn open(dir: PathBuf, owner: Owner) -> io::Result<Self> {
        fs::create_dir_all(&dir)?;
        let mut found: Vec<(Manifest, PathBuf)> = Vec::new();
        for entry in fs::read_dir(&dir)? {
            let path = entry?.path();
            match load(&path, &owner) {
                Ok(manifest) => found.push((manifest, path)),
                Err(reason) => {
                    tracing::warn!(group = %owner.group, path = %path.display(), reason, "removing an unusable snapshot");
                    fs::remove_dir_all(&path)?;
                }
            }
        }
        found.sort_by_key(|(manifest, _)| manifest.position);
        let hashes = Arc::new(Hashes::default());
        let current = found.pop().map(|(manifest, path)| Arc::new(SnapshotFiles::new(path, manifest, hashes.clone())));
        for (_, path) in found {
            fs::remove_dir_all(path)?;
        }
        let (building, received) = (Mutex::default(), AtomicU64::new(0));
        Ok(Self { dir, owner, hashes, current: Mutex::new(current), building, received })
    }

    /// The current snapshot. It stays on the disk as long as the caller holds it.
    pub(crate) fn current(&self) -> Option<Arc<SnapshotFiles>> {
        self.current.lock().clone()
    }

    /// Makes `state` durable, takes a checkpoint of it, and makes that the current snapshot, unless an install has made a
    /// newer one meanwhile, which is returned then. One of the same state takes the place of the one before it, too: it
    /// links other files after a compaction. Blocks.
    pub(crate) fn build<S: StateMachine>(&self, state: &S) -> Result<Arc<SnapshotFiles>, StorageError> {
        let _building = self.building.lock();
        let building = self.dir.join(BUILDING);
        remove_if_there(&building).map_err(|error| self.failed("remove an unfinished one", &error))?;
        fs::create_dir(&building).map_err(|error| self.failed("create its directory", &error))?;
        let Applied { position, membership } =
            state.checkpoint(&building.join(STATE)).map_err(|error| types::state_failed(&error))?;
        // The checkpoint can contain more than the state had made durable before it; the log may be purged up to it.
        if state.durable() < position {
            state.flush().map_err(|error| types::state_failed(&error))?;
        }
        let current = self.current();
        if let Some(current) = current.filter(|current| current.manifest.position > position) {
            remove_if_there(&building).map_err(|error| self.failed("remove one that is not needed", &error))?;
            return Ok(current);
        }
        let files = list(&building.join(STATE)).map_err(|error| self.failed("list its files", &error))?;
        let Owner { cluster, store, group } = self.owner;
        let manifest = Manifest { cluster, store, group, position, membership, files };
        let path = self.publish(&building, &manifest).map_err(|error| self.failed("publish it", &error))?;
        let files = Arc::new(SnapshotFiles::new(path, manifest, self.hashes.clone()));
        let replaced = self.current.lock().replace(files.clone());
        if let Some(replaced) = replaced {
            replaced.remove_later();
        }
        Ok(files)
    }

    fn publish(&self, building: &Path, manifest: &Manifest) -> io::Result<PathBuf> {
        seal::write_file(&building.join(MANIFEST), &manifest.encode().map_err(io::Error::other)?)?;
        // One of the same state may still be read.
        let numbered = |number: u32| self.dir.join(format!("{}.{number}", manifest.name()));
        let mut paths = [self.dir.join(manifest.name())].into_iter().chain((1..).map(numbered));
        let path = paths.find(|path| !path.exists()).ok_or_else(|| io::Error::other("no name is left"))?;
        fs::rename(building, &path)?;
        seal::sync_dir(&self.dir)?;
        Ok(path)
    }

    /// Begins to receive the snapshot of another node that has this manifest. The received files are removed when the
    /// receiver, or the snapshot that it became, is dropped, and at the next start.
    ///
    /// # Errors
    /// [`SnapshotError::Refused`] when it is not for this group or has no room.
    pub(crate) fn receive(&self, manifest: &[u8]) -> Result<SnapshotReceiver, SnapshotError> {
        let manifest = Manifest::decode(manifest).map_err(SnapshotError::Refused)?;
        if (manifest.cluster, manifest.group) != (self.owner.cluster, self.owner.group) {
            let text = format!("it is of group {} in cluster {}", manifest.group, manifest.cluster);
            return Err(SnapshotError::Refused(text));
        }
        if manifest.position.is_none() || manifest.files.iter().any(|file| file.hash.is_none()) {
            return Err(SnapshotError::Refused("it has no last entry, or files without hashes".into()));
        }
        let space = Space::of(&self.dir);
        let needed = manifest.bytes().unwrap_or(u64::MAX);
        if let Some(space) =
            space.filter(|space| space.free_bytes.saturating_sub(space.removals_free_bytes_min()) < needed)
        {
            let text = format!("it has {needed} bytes, and the disk has {} free", space.free_bytes);
            return Err(SnapshotError::Refused(text));
        }
        let path = self.dir.join(format!("{RECEIVING}{}", self.received.fetch_add(1, Ordering::Relaxed)));
        remove_if_there(&path)?;
        let files = SnapshotFiles::new(path, manifest, self.hashes.clone());
        files.remove_later();
        fs::create_dir_all(files.state_dir())?;
        Ok(SnapshotReceiver::new(files))
    }

    fn failed(&self, doing: &str, error: &io::Error) -> StorageError {
        types::state_failed(&format!("snapshot of group {}: {doing}: {error}", self.owner.group))
    }
}

fn load(path: &Path, owner: &Owner) -> Result<Manifest, String> {
    let file = path.join(MANIFEST);
    let bytes = fs::metadata(&file).map_err(|error| format!("no manifest: {error}"))?.len();
    if bytes > MANIFEST_BYTES_MAX as u64 {
        return Err(format!("a manifest of {bytes} bytes"));
    }
    let manifest = Manifest::decode(&fs::read(&file).map_err(|error| format!("no manifest: {error}"))?)?;
    if (manifest.cluster, manifest.group) != (owner.cluster, owner.group) {
        return Err(format!("it is of group {} in cluster {}", manifest.group, manifest.cluster));
    }
    // A crash can come between the manifest and the name that makes it a snapshot.
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if name.split('.').next() != Some(&manifest.name()) {
        return Err("it was not finished".to_owned());
    }
    let files = list(&path.join(STATE)).map_err(|error| error.to_string())?;
    let sizes = |files: &[FileEntry]| files.iter().map(|file| (file.name.clone(), file.bytes)).collect::<Vec<_>>();
    if sizes(&files) != sizes(&manifest.files) {
        return Err("files are missing or have another size".into());
    }
    Ok(manifest)
}

/// The files in `dir` in order, without hashes. A checkpoint is flat.
fn list(dir: &Path) -> io::Result<Vec<FileEntry>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        files.push(FileEntry { name, bytes: entry.metadata()?.len(), hash: None });
        if files.len() > FILES_MAX {
            return Err(io::Error::other(format!("more than {FILES_MAX} files")));
        }
    }
    files.sort_unstable_by(|one, other| one.name.cmp(&other.name));
    Ok(files)
}

fn remove_if_there(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
