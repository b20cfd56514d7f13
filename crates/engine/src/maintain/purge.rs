//! Removal of dropped collections and shards: rows, index entries, records and files of vector indexes.

use std::path::Path;
use std::sync::atomic::Ordering;

use super::{Maintenance, WorkReport};
use crate::data::State;
use crate::ids::{CollectionId, VectorId};
use crate::shard::indexes::{index_dir, shard_of_index_dir};
use crate::storage::Family;
use crate::storage::key::{self, MetaKey};
use crate::{Error, Result};

impl Maintenance {
    /// Removes keys of one dropped collection or shard, and its files with the last of them.
    pub(super) fn purge(&self, state: &State, keys_max: usize, report: &mut WorkReport) -> Result<()> {
        if !self.purge.load(Ordering::Acquire) {
            return Ok(());
        }
        let ended = std::mem::take(&mut *self.ended.lock());
        drop(ended);
        let marks = key::meta(state.group, MetaKey::Purge, &[]);
        let view = state.store.view();
        let mut first = view.cursor(Family::Meta, &marks, None);
        first.seek(&marks);
        let Some(mark) = first.item()?.map(|(mark, _)| mark.to_vec()) else {
            self.purge.store(false, Ordering::Release);
            return Ok(());
        };
        drop(first);
        report.more = true;
        let dropped = &mark[marks.len()..];
        let prefix = [&state.group.0.to_be_bytes(), dropped].concat();
        let end =
            key::after_prefix(&prefix).ok_or_else(|| Error::Damaged("drop mark of the last collection".into()))?;
        let mut changes = state.store.changes();
        let mut left = keys_max.max(1);
        for family in Family::OF_SHARDS {
            state.store.drop_files(family, &prefix, &end)?;
            let view = state.store.view();
            let mut cursor = view.cursor(family, &prefix, None);
            cursor.seek(&prefix);
            while let Some((key, _)) = cursor.item()?.filter(|_| left > 0) {
                changes.delete(family, key);
                left -= 1;
                report.purged += 1;
                cursor.next();
            }
        }
        if left > 0 {
            for tag in [MetaKey::Shard, MetaKey::Compaction, MetaKey::Rebuild, MetaKey::Columns] {
                for (key, _) in state.store.entries(Family::Meta, &key::meta(state.group, tag, dropped))? {
                    changes.delete(Family::Meta, &key);
                }
            }
            changes.delete(Family::Meta, &mark);
            remove_index_files(self.indexes.dir(), dropped)?;
        }
        changes.write()
    }

    /// Removes the files of vector indexes of collections and shards that the state does not know. The marks by which
    /// the other replica removed its own may be gone already.
    pub(crate) fn remove_unknown_indexes(&self, state: &State) {
        for entry in std::fs::read_dir(self.indexes.dir()).into_iter().flatten().flatten() {
            let unknown = entry.file_name().to_str().and_then(shard_of_index_dir).is_some_and(|at| !state.knows(at));
            if unknown && let Err(error) = std::fs::remove_dir_all(entry.path()) {
                tracing::warn!(path = %entry.path().display(), %error, "remove files of a dropped vector index");
            }
        }
    }
}

/// Removes the files of the vector indexes of a collection or shard, whose key is `dropped`.
fn remove_index_files(dir: &Path, dropped: &[u8]) -> Result<()> {
    let name = match dropped.try_into() {
        Ok(collection) => format!("c{}-", CollectionId(u32::from_be_bytes(collection))),
        Err(_) => {
            let at = key::parse_shard(dropped)?;
            let sample = index_dir(dir, at, VectorId::UNNAMED);
            let sample = sample.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            sample.trim_end_matches(|c: char| c.is_ascii_digit()).to_owned()
        }
    };
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_name().to_str().is_some_and(|found| found.starts_with(&name)) {
            std::fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}
