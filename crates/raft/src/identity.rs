//! Who a node is. It lives in the data directory and nowhere else: a changed host name or address never matters, and
//! an empty directory is a new node.
//!
//! `NODE` is text, written once:
//!
//! ```text
//! azimuth node 1
//! node_id 1234
//! store_uuid 8c6f...
//! cluster_id 51aa...
//! crc32c 0a1b2c3d
//! ```
//!
//! The number in the first line is the version of the layout of the whole directory; the last line is the checksum of
//! the lines before it. Each `g<group>/GROUP` is a sealed copy of the store's id and the group's number: directories of
//! different nodes cannot be mixed.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use azimuth_engine::ids::GroupId;
use uuid::Uuid;

use crate::error::StartError;
use crate::seal;

/// Version of the layout of a data directory.
pub const FORMAT_VERSION: u32 = 1;

const NODE: &str = "NODE";
const LOCK: &str = "LOCK";
const GROUP: &str = "GROUP";

/// How long a locked directory is tried again before it counts as in use. The system keeps the lock of a killed process
/// until its last thread has ended, and a child process holds its parent's lock between `fork` and `exec`.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// Who a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// Number of the node in every group.
    pub node_id: u64,
    /// Its data directory. A new directory has a new one, even under the same node id.
    pub store_uuid: Uuid,
    /// Of which cluster.
    pub cluster_id: Uuid,
    /// Version of the layout of the directory.
    pub format_version: u32,
}

/// A data directory that this process owns.
#[derive(Debug)]
pub(crate) struct DataDir {
    path: PathBuf,
    identity: Identity,
    /// Whether it was empty and is now this node's.
    created: bool,
    /// Locked until it is dropped; the system lets go of it when the process ends, however it ends.
    _lock: File,
}

impl DataDir {
    /// Takes a directory, and gives it an identity if it is empty.
    pub(crate) fn open(path: &Path) -> Result<Self, StartError> {
        fs::create_dir_all(path).map_err(|error| at(path, &error))?;
        let lock = lock(path)?;
        let file = path.join(NODE);
        let (identity, created) = match fs::read_to_string(&file) {
            Ok(text) => (parse(&text).map_err(|reason| refuse(&file, &reason))?, false),
            Err(error) if error.kind() == io::ErrorKind::NotFound => (create(path)?, true),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => return Err(refuse(&file, "it is not text")),
            Err(error) => return Err(at(&file, &error)),
        };
        Ok(Self { path: path.to_path_buf(), identity, created, _lock: lock })
    }

    pub(crate) fn identity(&self) -> Identity {
        self.identity
    }

    /// Whether it was empty when it was opened.
    pub(crate) fn created(&self) -> bool {
        self.created
    }

    /// The directory of the log of all groups.
    pub(crate) fn log_dir(&self) -> PathBuf {
        self.path.join("raftlog")
    }

    /// The directory of a group.
    pub(crate) fn group_dir(&self, group: GroupId) -> PathBuf {
        self.path.join(format!("g{group}"))
    }

    /// The files and directories of the data folder that must stay the same while the node runs.
    pub(crate) fn parts(&self) -> Vec<PathBuf> {
        let mut parts = vec![self.path.clone(), self.path.join(LOCK), self.path.join(NODE), self.log_dir()];
        for group in [GroupId::META, GroupId::FIRST_DATA] {
            let dir = self.group_dir(group);
            parts.extend([dir.join(GROUP), dir]);
        }
        parts
    }

    /// Checks that a group's directory is this node's, and makes it if the group is new.
    ///
    /// `known` says whether the log knows the group: then the directory must be there.
    pub(crate) fn claim_group(&self, group: GroupId, known: bool) -> Result<PathBuf, StartError> {
        let dir = self.group_dir(group);
        let file = dir.join(GROUP);
        let claim = claim(self.identity.store_uuid, group);
        match fs::read(&file) {
            Ok(bytes) => match seal::unseal(&bytes) {
                Some(found) if found == claim => Ok(dir),
                Some(_) => Err(refuse(&file, "the directory is of another node or another group")),
                None => Err(StartError::Damaged(format!("{} fails its checksum", file.display()))),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound && known => {
                let text = format!("{} is missing, but the raft log knows group {group}", file.display());
                Err(StartError::Damaged(text))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if dir.exists() && fs::read_dir(&dir)?.next().is_some_and(|entry| !is_unfinished(&entry)) {
                    return Err(refuse(&dir, "it holds files, but does not say whose they are"));
                }
                fs::create_dir_all(&dir)?;
                seal::write_file(&file, &seal::seal(&claim))?;
                seal::sync_dir(&self.path)?;
                Ok(dir)
            }
            Err(error) => Err(error.into()),
        }
    }
}

fn claim(store: Uuid, group: GroupId) -> Vec<u8> {
    let mut claim = store.as_bytes().to_vec();
    claim.extend_from_slice(&group.0.to_le_bytes());
    claim
}

fn refuse(path: &Path, reason: &str) -> StartError {
    StartError::Refused(format!("{}: {reason}", path.display()))
}

/// A system error on a file, with the user of the process where that matters.
fn at(path: &Path, error: &io::Error) -> StartError {
    let path = path.display();
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            // SAFETY: asks for a number of the process; no memory is passed.
            let user = unsafe { libc::geteuid() };
            StartError::Storage(format!("{path}: {error}; the server runs as user {user}, which must own the folder"))
        }
        _ => StartError::Storage(format!("{path}: {error}")),
    }
}

/// Takes the lock of a data directory, and waits up to [`LOCK_PATIENCE`] for a holder that is about to end.
fn lock(path: &Path) -> Result<File, StartError> {
    let file = path.join(LOCK);
    let options = File::options().read(true).write(true).create(true).truncate(false).clone();
    let file = options.open(&file).map_err(|error| at(&file, &error))?;
    let begun = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if begun.elapsed() < LOCK_PATIENCE => std::thread::sleep(LOCK_PAUSE),
            Err(TryLockError::WouldBlock) => return Err(StartError::InUse(path.display().to_string())),
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
    }
}

/// A file that a crash left behind before it got its name.
fn is_unfinished(entry: &io::Result<fs::DirEntry>) -> bool {
    entry.as_ref().is_ok_and(|entry| entry.path().extension().is_some_and(|extension| extension == "new"))
}

/// Gives an empty directory an identity.
fn create(path: &Path) -> Result<Identity, StartError> {
    let mut strangers = Vec::new();
    for entry in fs::read_dir(path)? {
        let unfinished = is_unfinished(&entry);
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name != LOCK && name != "lost+found" && !name.starts_with('.') && !unfinished {
            strangers.push(name);
        }
    }
    if !strangers.is_empty() {
        strangers.sort();
        strangers.truncate(8);
        let text = format!("it has no {NODE} file but holds {}; an empty directory is needed", strangers.join(", "));
        return Err(refuse(path, &text));
    }
    let identity = Identity {
        node_id: rand::random_range(1..=i64::MAX as u64),
        store_uuid: Uuid::new_v4(),
        cluster_id: Uuid::new_v4(),
        format_version: FORMAT_VERSION,
    };
    let file = path.join(NODE);
    seal::write_file(&file, format(&identity).as_bytes()).map_err(|error| at(&file, &error))?;
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        // The directory itself may be new. Not being allowed to look at its parent is no reason to fail.
        let _ = seal::sync_dir(parent);
    }
    Ok(identity)
}

pub(crate) fn format(identity: &Identity) -> String {
    let Identity { node_id, store_uuid, cluster_id, format_version } = identity;
    let body =
        format!("azimuth node {format_version}\nnode_id {node_id}\nstore_uuid {store_uuid}\ncluster_id {cluster_id}\n");
    let checksum = crc32c::crc32c(body.as_bytes());
    format!("{body}crc32c {checksum:08x}\n")
}

pub(crate) fn parse(text: &str) -> Result<Identity, String> {
    let version = text.lines().next().and_then(|line| line.strip_prefix("azimuth node ")).ok_or("not a node file")?;
    let version: u32 = version.parse().map_err(|_| "not a node file")?;
    if version > FORMAT_VERSION {
        return Err(format!(
            "the data is in format {version}, this program reads up to {FORMAT_VERSION}: a newer program wrote it"
        ));
    }
    let damaged = || "it is damaged: its checksum does not fit".to_string();
    let value = |line: usize, name: &str| {
        text.lines().nth(line).and_then(|line| line.strip_prefix(name)?.strip_prefix(' ')).ok_or_else(damaged)
    };
    let identity = Identity {
        node_id: value(1, "node_id")?.parse().map_err(|_| damaged())?,
        store_uuid: value(2, "store_uuid")?.parse().map_err(|_| damaged())?,
        cluster_id: value(3, "cluster_id")?.parse().map_err(|_| damaged())?,
        format_version: version,
    };
    if text != format(&identity) { Err(damaged()) } else { Ok(identity) }
}

#[cfg(test)]
mod tests;
