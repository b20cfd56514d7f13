//! Files that change while the process runs: mounted secrets, renewed certificates.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

/// How often the files are looked at.
const EVERY: Duration = Duration::from_secs(1);

/// Some files and how they looked last. Links are followed, because mounted secrets are replaced by turning a link.
pub(crate) struct Watched {
    paths: Vec<PathBuf>,
    seen: Vec<Option<Stamp>>,
}

/// What tells one content of a file from another without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    modified: SystemTime,
    bytes: u64,
    inode: u64,
}

impl Watched {
    /// Watches from now on.
    pub(crate) fn new(paths: impl Into<Vec<PathBuf>>) -> Self {
        let paths = paths.into();
        let seen = paths.iter().map(stamp).collect();
        Self { paths, seen }
    }

    /// Returns when a file has another content, or came back. A file that goes away is no change by itself: it does so
    /// for a moment while it is replaced.
    pub(crate) async fn changed(&mut self) {
        loop {
            tokio::time::sleep(EVERY).await;
            let now: Vec<Option<Stamp>> = self.paths.iter().map(stamp).collect();
            if now.iter().all(Option::is_some) && now != self.seen {
                self.seen = now;
                return;
            }
        }
    }
}

fn stamp(path: &PathBuf) -> Option<Stamp> {
    use std::os::unix::fs::MetadataExt;
    let meta = std::fs::metadata(path).ok()?;
    Some(Stamp { modified: meta.modified().ok()?, bytes: meta.len(), inode: meta.ino() })
}
