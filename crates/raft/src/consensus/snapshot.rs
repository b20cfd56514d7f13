//! Snapshots of a group on this node: checkpoints of its RocksDB, in `g<group>/snap/`.
//!
//! A snapshot is a directory named after the last entry it contains, with a checkpoint in `state/` and a sealed
//! `MANIFEST` that was written last, before the directory got its name. It is never changed; a newer one replaces it.
//! Since entries are purged only up to a snapshot, and building one makes the state durable, a node always has either
//! the entry or its effect. A snapshot that fails its checks is removed: the group itself is what counts on its node.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use azimuth_engine::ids::GroupId;
use azimuth_engine::replica::{Applied, LogPosition, StateMachine};
use openraft::{Snapshot, SnapshotMeta};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::membership;
use super::types::{self, SnapshotDir, StorageError, TypeConfig};
use crate::seal;

const MANIFEST: &str = "MANIFEST";
const STATE: &str = "state";
const BUILDING: &str = "building";

/// Files that a snapshot may have.
const FILES_MAX: usize = 100_000;

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Manifest {
    store: Uuid,
    group: GroupId,
    position: Option<LogPosition>,
    membership: Option<(LogPosition, Vec<u8>)>,
    /// Names below `state/` and sizes in bytes.
    files: Vec<(String, u64)>,
}

/// The snapshots of a group; at most one is current.
pub(crate) struct SnapshotStore {
    dir: PathBuf,
    group: GroupId,
    store: Uuid,
    current: Mutex<Option<(Manifest, PathBuf)>>,
}

impl SnapshotStore {
    /// Opens the directory and keeps the newest snapshot that passes its checks.
    pub(crate) fn open(dir: PathBuf, group: GroupId, store: Uuid) -> io::Result<Self> {
        fs::create_dir_all(&dir)?;
        let mut found: Vec<(Manifest, PathBuf)> = Vec::new();
        for entry in fs::read_dir(&dir)? {
            let path = entry?.path();
            match load(&path, group, store) {
                Ok(manifest) => found.push((manifest, path)),
                Err(reason) => {
                    tracing::warn!(%group, path = %path.display(), reason, "removing an unusable snapshot");
                    fs::remove_dir_all(&path)?;
                }
            }
        }
        found.sort_by_key(|(manifest, _)| manifest.position);
        let current = found.pop();
        for (_, path) in found {
            fs::remove_dir_all(path)?;
        }
        Ok(Self { dir, group, store, current: Mutex::new(current) })
    }

    /// Where a snapshot that comes from another node would be received.
    pub(crate) fn receiving(&self) -> SnapshotDir {
        SnapshotDir { path: self.dir.join("receiving") }
    }

    /// The current snapshot.
    pub(crate) fn current(&self) -> Result<Option<Snapshot<TypeConfig>>, StorageError> {
        self.current.lock().as_ref().map(|(manifest, path)| snapshot(manifest, path)).transpose()
    }

    /// Makes `state` durable, takes a checkpoint of it, and makes that the current snapshot. Blocks.
    pub(crate) fn build<S: StateMachine>(&self, state: &S) -> Result<Snapshot<TypeConfig>, StorageError> {
        let mut current = self.current.lock();
        let building = self.dir.join(BUILDING);
        remove_if_there(&building).map_err(|error| self.failed("remove an unfinished one", &error))?;
        fs::create_dir(&building).map_err(|error| self.failed("create its directory", &error))?;
        let Applied { position, membership } =
            state.checkpoint(&building.join(STATE)).map_err(|error| types::state_failed(&error))?;
        // The checkpoint can contain more than the state had made durable before it; the log may be purged up to it.
        if state.durable() < position {
            state.flush().map_err(|error| types::state_failed(&error))?;
        }
        let files = list(&building.join(STATE)).map_err(|error| self.failed("list its files", &error))?;
        let manifest = Manifest { store: self.store, group: self.group, position, membership, files };
        let path = self.publish(&building, &manifest).map_err(|error| self.failed("publish it", &error))?;
        let snapshot = snapshot(&manifest, &path)?;
        let replaced = current.replace((manifest, path.clone()));
        if let Some((_, old)) = replaced.filter(|(_, old)| *old != path) {
            fs::remove_dir_all(old).map_err(|error| self.failed("remove the one before it", &error))?;
        }
        Ok(snapshot)
    }

    fn publish(&self, building: &Path, manifest: &Manifest) -> io::Result<PathBuf> {
        let bytes = postcard::to_stdvec(manifest).map_err(io::Error::other)?;
        seal::write_file(&building.join(MANIFEST), &seal::seal(&bytes))?;
        let path = self.dir.join(name(manifest.position));
        remove_if_there(&path)?;
        fs::rename(building, &path)?;
        seal::sync_dir(&self.dir)?;
        Ok(path)
    }

    fn failed(&self, doing: &str, error: &io::Error) -> StorageError {
        types::state_failed(&format!("snapshot of group {}: {doing}: {error}", self.group))
    }
}

fn name(position: Option<LogPosition>) -> String {
    position.map_or_else(|| "empty".into(), |at| format!("{}-{}-{}", at.index, at.term, at.node))
}

fn snapshot(manifest: &Manifest, path: &Path) -> Result<Snapshot<TypeConfig>, StorageError> {
    let meta = SnapshotMeta {
        last_log_id: manifest.position.map(types::log_id),
        last_membership: membership::stored(manifest.membership.as_ref())?,
        snapshot_id: name(manifest.position),
    };
    Ok(Snapshot { meta, snapshot: Box::new(SnapshotDir { path: path.join(STATE) }) })
}

fn load(path: &Path, group: GroupId, store: Uuid) -> Result<Manifest, String> {
    let bytes = fs::read(path.join(MANIFEST)).map_err(|error| format!("no manifest: {error}"))?;
    let manifest = seal::unseal(&bytes).ok_or("damaged manifest")?;
    let manifest: Manifest = postcard::from_bytes(manifest).map_err(|error| format!("manifest: {error}"))?;
    if (manifest.group, manifest.store) != (group, store) {
        return Err(format!("it is of group {} of store {}", manifest.group, manifest.store));
    }
    // A crash can come between the manifest and the name that makes it a snapshot.
    if path.file_name().is_none_or(|found| found != name(manifest.position).as_str()) {
        return Err("it was not finished".to_owned());
    }
    let files = list(&path.join(STATE)).map_err(|error| error.to_string())?;
    if files != manifest.files {
        return Err("files are missing or have another size".into());
    }
    Ok(manifest)
}

/// Names and sizes of the files below `dir`, in order. A checkpoint is flat.
fn list(dir: &Path) -> io::Result<Vec<(String, u64)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        files.push((entry.file_name().to_string_lossy().into_owned(), entry.metadata()?.len()));
        if files.len() > FILES_MAX {
            return Err(io::Error::other(format!("more than {FILES_MAX} files")));
        }
    }
    files.sort();
    Ok(files)
}

fn remove_if_there(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use azimuth_engine::replica::{Entry, EntryBody};

    use super::*;
    use crate::consensus::double::Double;

    const GROUP: GroupId = GroupId(3);
    const STORE: Uuid = Uuid::from_u128(3);

    fn apply(state: &Double, index: u64) {
        let position = LogPosition { term: 1, node: 1, index };
        state.apply(vec![Entry { position, body: EntryBody::Blank }]).unwrap();
    }

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// The crash between a manifest and the rename that makes its directory a snapshot.
    #[test]
    fn a_whole_snapshot_without_its_name_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let snap = dir.path().join("snap");
        let state = Double::open(dir.path()).unwrap();
        let open = || SnapshotStore::open(snap.clone(), GROUP, STORE).unwrap();
        apply(&state, 1);
        open().build(&state).unwrap();
        apply(&state, 2);
        open().build(&state).unwrap();
        assert_eq!(names(&snap), ["2-1-1"]);

        fs::rename(snap.join("2-1-1"), snap.join(BUILDING)).unwrap();
        let store = open();
        assert!(store.current().unwrap().is_none());
        apply(&state, 3);
        let built = store.build(&state).unwrap();
        assert_eq!(built.meta.snapshot_id, "3-1-1");
        assert_eq!(names(&snap), ["3-1-1"]);
    }
}
