//! A checkpoint that another replica wrote becomes a generation of the group.
//!
//! The checkpoint becomes a generation beside the present one: its files are linked into `gen-<n>` and synced, the
//! database in it is opened and checked, and the file `CURRENT` is replaced. A crash before that leaves a folder that
//! the next start removes, a crash after it the new state. The old generation stays open for its readers.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use super::key::{self, MetaKey};
use super::store::{Family, GROUP_FORMAT, Store};
use crate::ids::GroupId;
use crate::{Error, Result};

/// Files that RocksDB never changes once they are written: a second name for them is as good as a copy.
const IMMUTABLE: [&str; 2] = ["sst", "blob"];

impl Store {
    /// Opens the checkpoint in `dir` to read from it.
    ///
    /// # Errors
    /// [`Error::Damaged`] when it is not a checkpoint of the group that this version reads.
    pub(crate) fn open_checkpoint(dir: &Path, group: GroupId) -> Result<Self> {
        let store = Self::open_read_only(dir)?;
        check_format(&store, group, dir)?;
        Ok(store)
    }

    /// Opens the checkpoint in `dir` as a generation of its own beside this one. It is not the present one before
    /// [`Store::give_way_to`].
    ///
    /// # Errors
    /// [`Error::Damaged`] when it is not a checkpoint of the group that this version reads.
    pub(crate) fn open_beside(&self, dir: &Path, group: GroupId) -> Result<Self> {
        let present = self.generation().ok_or_else(|| Error::Unsupported("installing into a checkpoint".into()))?;
        let generations = present.generations();
        let newest = generations.all()?.last().copied().unwrap_or(0).max(present.number());
        let number = newest.checked_add(1).ok_or_else(|| Error::Damaged("the generations are used up".into()))?;
        let path = generations.path(number);
        link(dir, &path)?;
        let store = Self::open_generation(generations, number, self.budget())?;
        check_format(&store, group, &path)?;
        Ok(store)
    }

    /// Makes the generation of `next` the present one, durably. The folder of this one is removed when the last reader
    /// drops it.
    pub(crate) fn give_way_to(&self, next: &Self) -> Result<()> {
        if let (Some(present), Some(next)) = (self.generation(), next.generation()) {
            next.generations().switch(next.number())?;
            present.replaced();
        }
        Ok(())
    }
}

fn check_format(store: &Store, group: GroupId, dir: &Path) -> Result<()> {
    match store.get(Family::Meta, &key::meta(group, MetaKey::Format, &[]))? {
        Some(bytes) if bytes.as_ref() == GROUP_FORMAT.to_be_bytes() => Ok(()),
        Some(bytes) => Err(Error::Damaged(format!("{}: group format {:02x?}", dir.display(), bytes.as_ref()))),
        None => Err(Error::Damaged(format!("{} does not hold group {group}", dir.display()))),
    }
}

/// Gives the files of a checkpoint a second place in the new folder `to`, durably. `from` is flat.
fn link(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name()))?;
        let target = to.join(&name);
        let immutable = path.extension().is_some_and(|extension| IMMUTABLE.iter().any(|known| extension == *known));
        if !immutable || fs::hard_link(&path, &target).is_err() {
            copy(&path, &target)?;
        }
    }
    File::open(to)?.sync_all()?;
    if let Some(parent) = to.parent() {
        File::open(parent)?.sync_all()?;
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::copy(from, to)?;
    File::open(to)?.sync_all()
}
