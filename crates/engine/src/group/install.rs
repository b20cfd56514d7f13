//! Replacing a group's state by a checkpoint that another replica wrote.
//!
//! The checkpoint becomes a generation beside the present one: its files are linked into `gen-<n>` and synced, the
//! database in it is opened and checked, and the file `CURRENT` is replaced. A crash before that leaves a folder that
//! the next start removes, a crash after it the new state. The old generation stays open for its readers.
//!
//! Files of vector indexes belong to the group and not to a generation. Replicas of a group give the same doc ids to
//! the same objects, so the new state brings the indexes up to date by the difference, as every start does.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use parking_lot::RwLockReadGuard;

use super::data::DataGroup;
use super::ledger::load_applied;
use super::options::GroupOptions;
use super::store::{Family, GROUP_FORMAT, Store};
use super::{Applied, LogPosition};
use crate::command::At;
use crate::ids::{CollectionId, GroupId, ShardId};
use crate::key::{self, MetaKey};
use crate::{Error, Result};

/// Files that RocksDB never changes once they are written: a second name for them is as good as a copy.
const IMMUTABLE: [&str; 2] = ["sst", "blob"];

/// Reads how far the checkpoint in `dir` is.
///
/// # Errors
/// [`Error::Damaged`] when it is not a checkpoint of the group that this version reads.
pub(crate) fn inspect(dir: &Path, group: GroupId) -> Result<Applied> {
    let store = Store::open_read_only(dir)?;
    check_format(&store, group, dir)?;
    load_applied(&store, group)
}

fn check_format(store: &Store, group: GroupId, dir: &Path) -> Result<()> {
    match store.get(Family::Meta, &key::meta(group, MetaKey::Format, &[]))? {
        Some(bytes) if bytes.as_ref() == GROUP_FORMAT.to_be_bytes() => Ok(()),
        Some(bytes) => Err(Error::Damaged(format!("{}: group format {:02x?}", dir.display(), bytes.as_ref()))),
        None => Err(Error::Damaged(format!("{} does not hold group {group}", dir.display()))),
    }
}

impl Store {
    /// Opens the checkpoint in `dir`, which is at `position`, as a generation of its own beside this one. It is not the
    /// present one before [`Store::give_way_to`].
    ///
    /// # Errors
    /// [`Error::Damaged`] when the checkpoint is not at that position.
    pub(crate) fn open_beside(&self, dir: &Path, position: LogPosition, options: &GroupOptions) -> Result<Self> {
        let present = self.generation().ok_or_else(|| Error::Unsupported("installing into a checkpoint".into()))?;
        let generations = present.generations();
        let newest = generations.all()?.last().copied().unwrap_or(0).max(present.number());
        let number = newest.checked_add(1).ok_or_else(|| Error::Damaged("the generations are used up".into()))?;
        let path = generations.path(number);
        link(dir, &path)?;
        let store = Self::open_generation(generations, number, self.budget())?;
        check_format(&store, options.group, &path)?;
        let found = load_applied(&store, options.group)?.position;
        if found != Some(position) {
            return Err(Error::Damaged(format!("{} is at {found:?} and not at {position:?}", path.display())));
        }
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

impl DataGroup {
    /// Keeps the state from being replaced while the guard lives; `None` once it was replaced: the files of the vector
    /// indexes are the new state's then.
    pub(super) fn while_present(&self) -> Option<RwLockReadGuard<'_, bool>> {
        let replaced = self.replaced.read();
        (!*replaced).then_some(replaced)
    }

    /// Removes the files of vector indexes of collections and shards that the group does not know. The marks by which
    /// the other replica removed its own may be gone already.
    pub(super) fn remove_unknown_indexes(&self) {
        for entry in fs::read_dir(&self.index_dir).into_iter().flatten().flatten() {
            let unknown = entry.file_name().to_str().and_then(place_of).is_some_and(|at| !self.knows(at));
            if unknown && let Err(error) = fs::remove_dir_all(entry.path()) {
                tracing::warn!(path = %entry.path().display(), %error, "remove files of a dropped vector index");
            }
        }
    }
}

/// The shard in the name of an index folder; see [`index_dir`](super::vectors::index_dir).
fn place_of(name: &str) -> Option<At> {
    let (collection, rest) = name.strip_prefix('c')?.split_once("-s")?;
    let (shard, _) = rest.split_once("-v")?;
    Some(At { collection: CollectionId(collection.parse().ok()?), shard: ShardId(shard.parse().ok()?) })
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
