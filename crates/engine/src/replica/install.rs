//! Checkpoints of other replicas of a group: how far one is, and opening one in place of the group's store.

use std::path::Path;

use super::applied::{load_applied, load_level};
use super::{Applied, LogPosition};
use crate::ids::GroupId;
use crate::storage::Store;
use crate::{Error, Result};

/// Reads how far the checkpoint in `dir` is.
///
/// # Errors
/// [`Error::Damaged`] when it is not a checkpoint of the group that this version reads, [`Error::NewerLevel`] when this
/// program does not support its feature level.
pub(crate) fn inspect(dir: &Path, group: GroupId) -> Result<Applied> {
    let store = Store::open_checkpoint(dir, group)?;
    load_level(&store, group)?;
    load_applied(&store, group)
}

/// Opens the checkpoint in `dir`, which is at `position`, beside `present`; see [`Store::open_beside`].
///
/// # Errors
/// [`Error::Damaged`] when the checkpoint is not at that position, [`Error::NewerLevel`] when this program does not support
/// its feature level, and as [`Store::open_beside`].
pub(crate) fn open_beside(present: &Store, dir: &Path, group: GroupId, position: LogPosition) -> Result<Store> {
    let store = present.open_beside(dir, group)?;
    load_level(&store, group)?;
    let found = load_applied(&store, group)?.position;
    if found != Some(position) {
        return Err(Error::Damaged(format!("{} is at {found:?} and not at {position:?}", store.path().display())));
    }
    Ok(store)
}
