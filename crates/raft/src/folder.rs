//! Notices that the data folder, or a part of it, was removed or replaced while the node has it open.
//!
//! Open files stay usable after their names are removed, so writes and syncs succeed although their data is lost at a
//! restart. The file that a path names now is therefore compared, by device and inode, with the file that was opened.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use azimuth_engine::storage::Generations;
use parking_lot::Mutex;

/// A file or folder as it was when it was opened.
#[derive(Debug)]
pub(crate) struct Anchor {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl Anchor {
    /// Remembers the file or folder that `path` names now.
    pub(crate) fn new(path: impl Into<PathBuf>) -> io::Result<Self> {
        let path = path.into();
        let data = fs::metadata(&path)?;
        Ok(Self { path, device: data.dev(), inode: data.ino() })
    }

    /// Checks that the path still names the same file or folder.
    ///
    /// # Errors
    /// The change of the path, as a text for an operator.
    pub(crate) fn check(&self) -> Result<(), String> {
        let path = self.path.display();
        match fs::metadata(&self.path) {
            Ok(data) if (data.dev(), data.ino()) == (self.device, self.inode) => Ok(()),
            Ok(_) => Err(format!("{path} was replaced while the node had it open")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(format!("{path} was removed while the node had it open"))
            }
            Err(error) => Err(format!("{path} cannot be reached any more: {error}")),
        }
    }
}

/// The parts of a data folder that must stay the same files and directories.
#[derive(Debug, Default)]
pub(crate) struct Anchors {
    parts: Vec<Anchor>,
    /// Folders of groups, each with its present generation. An installed snapshot is another generation.
    groups: Mutex<Vec<(PathBuf, Option<Anchor>)>>,
    /// The folder of the raft log: it always holds a write-ahead log.
    log_dir: PathBuf,
}

impl Anchors {
    /// Remembers `parts`, the present generations of `groups`, and where the raft log lies.
    pub(crate) fn new(
        parts: impl IntoIterator<Item = PathBuf>,
        groups: impl IntoIterator<Item = PathBuf>,
        log_dir: &Path,
    ) -> io::Result<Self> {
        let named = |path: PathBuf| {
            let shown = path.display().to_string();
            Anchor::new(path).map_err(|error| io::Error::new(error.kind(), format!("{shown}: {error}")))
        };
        let parts = parts.into_iter().map(named).collect::<io::Result<_>>()?;
        let groups = Mutex::new(groups.into_iter().map(|group| (group, None)).collect());
        let anchors = Self { parts, groups, log_dir: log_dir.to_path_buf() };
        anchors.check_generations().map_err(io::Error::other)?;
        Ok(anchors)
    }

    /// Checks every part.
    ///
    /// # Errors
    /// As [`Anchor::check`].
    pub(crate) fn check(&self) -> Result<(), String> {
        self.parts.iter().try_for_each(Anchor::check)?;
        self.check_generations()?;
        let entries = fs::read_dir(&self.log_dir).map_err(|error| format!("{}: {error}", self.log_dir.display()))?;
        let is_log = |entry: &io::Result<fs::DirEntry>| {
            entry.as_ref().is_ok_and(|entry| entry.path().extension().is_some_and(|extension| extension == "log"))
        };
        // RocksDB creates the next write-ahead log before it removes one.
        match entries.into_iter().any(|entry| is_log(&entry)) {
            true => Ok(()),
            false => Err(format!("{} holds no write-ahead log any more", self.log_dir.display())),
        }
    }

    /// Checks the generations that the groups name. One that a group names for the first time is remembered.
    fn check_generations(&self) -> Result<(), String> {
        for (group, anchor) in &mut *self.groups.lock() {
            let generations = Generations::new(group);
            let current = generations.current().map_err(|error| error.to_string())?;
            let Some(path) = current.map(|current| generations.path(current)) else {
                return Err(format!("{} names no generation any more", group.display()));
            };
            match anchor {
                Some(anchor) if anchor.path == path => anchor.check()?,
                _ => *anchor = Some(Anchor::new(&path).map_err(|error| format!("{}: {error}", path.display()))?),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_removed_or_replaced_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let part = dir.path().join("part");
        let (log, away) = (dir.path().join("log"), dir.path().join("away"));
        for folder in [&part, &log] {
            fs::create_dir(folder).unwrap();
        }
        fs::write(log.join("000001.log"), "").unwrap();
        let anchors = Anchors::new([part.clone(), log.clone()], [], &log).unwrap();
        assert_eq!(anchors.check(), Ok(()));

        fs::rename(&part, &away).unwrap();
        assert!(anchors.check().unwrap_err().contains("removed"));
        fs::create_dir(&part).unwrap();
        assert!(anchors.check().unwrap_err().contains("replaced"));
        fs::remove_dir(&part).unwrap();
        fs::rename(&away, &part).unwrap();
        assert_eq!(anchors.check(), Ok(()));

        fs::remove_file(log.join("000001.log")).unwrap();
        assert!(anchors.check().unwrap_err().contains("write-ahead log"));
    }

    #[test]
    fn a_generation_may_give_way_to_another_and_to_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let (group, log) = (dir.path().join("g1"), dir.path().join("log"));
        let generations = Generations::new(&group);
        for folder in [&group, &log, &generations.path(1), &generations.path(2)] {
            fs::create_dir(folder).unwrap();
        }
        fs::write(log.join("000001.log"), "").unwrap();
        generations.switch(1).unwrap();
        let anchors = Anchors::new([], [group], &log).unwrap();
        assert_eq!(anchors.check(), Ok(()));
        generations.switch(2).unwrap();
        fs::remove_dir(generations.path(1)).unwrap();
        assert_eq!(anchors.check(), Ok(()));
        fs::remove_dir(generations.path(2)).unwrap();
        assert!(anchors.check().unwrap_err().contains("removed"));
    }
}
