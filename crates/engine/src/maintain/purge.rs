//! Removal of dropped collections and shards: rows, index entries, records and files of vector indexes.
//!
//! One range tombstone per column family removes a collection or shard, however large it is. Files that hold nothing else
//! are removed after the next flush: removed before, they would be missing after a crash that falls back to the state
//! before the drop.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Maintenance, WorkReport};
use crate::Result;
use crate::data::{Effects, State};
use crate::ids::ShardKey;
use crate::shard::Shard;
use crate::shard::indexes::shard_of_index_dir;
use crate::storage::key::{self, MetaKey};
use crate::storage::{Family, Store};

/// Collections and shards removed in one step.
const PURGED_MAX: usize = 256;
/// Removed collections and shards whose files are removed by the next flush. Compaction removes the files of further ones.
const REMOVED_MAX: usize = 65_536;

impl Maintenance {
    /// Frees dropped shards that no reader holds any more; their data can be removed then.
    pub(super) fn free_ended(&self) {
        let all: BTreeSet<ShardKey> = self.ended.lock().iter().map(|shard| shard.at).collect();
        if all.is_empty() {
            return;
        }
        // A reader that holds a shard may have opened one of its indexes since the drop.
        self.forget(|at| all.contains(at));
        let mut ended = self.ended.lock();
        let (freed, held) = std::mem::take(&mut *ended).into_iter().partition(|shard| Arc::strong_count(shard) == 1);
        *ended = held;
        drop(ended);
        let freed: Vec<_> = freed;
        if !freed.is_empty() {
            self.requests.fetch_add(1, Ordering::AcqRel);
        }
        // Freeing a large index takes long.
        drop(freed);
    }

    /// Queues the removal of everything that is marked for it in the store. Only while nothing is applied.
    pub(crate) fn remove_marked(&self, state: &State) -> Result<()> {
        let marks = key::meta(state.group, MetaKey::Purge, &[]);
        let marked = state.store.entries(Family::Meta, &marks)?;
        self.dropped.lock().extend(marked.iter().map(|(mark, _)| mark[marks.len()..].to_vec()));
        Ok(())
    }

    /// Queues the removal of the collections and shards that an apply has dropped. Those of them that were in memory are
    /// among `ended`: a mark that is in the store already is not enough, as readers may still come by the old table.
    pub(super) fn remove_dropped(&self, effects: &Effects, ended: Vec<Arc<Shard>>) {
        self.ended.lock().extend(ended);
        let collections = effects.collections.iter().filter(|(_, changed)| changed.is_none());
        let collections = collections.map(|(id, _)| id.0.to_be_bytes().to_vec());
        let shards = effects.dropped_shards.iter().map(|at| key::shard_bytes(*at).to_vec());
        self.dropped.lock().extend(collections.chain(shards));
    }

    /// Removes some dropped collections and shards, as far as no reader holds them.
    pub(super) fn purge(&self, state: &State, report: &mut WorkReport) -> Result<()> {
        let dropped = self.removable();
        if dropped.is_empty() {
            return Ok(());
        }
        remove_index_files(self.indexes.dir(), &dropped)?;
        let mut changes = state.store.changes();
        for dropped in &dropped {
            for family in Family::OF_SHARDS {
                changes.delete_prefix(family, &data_prefix(state, dropped))?;
            }
            for tag in [MetaKey::Shard, MetaKey::Compaction, MetaKey::Rebuild, MetaKey::Columns] {
                let records = key::meta(state.group, tag, dropped);
                match dropped.len() {
                    SHARD_BYTES => changes.delete(Family::Meta, &records),
                    _ => changes.delete_prefix(Family::Meta, &records)?,
                }
            }
            changes.delete(Family::Meta, &key::meta(state.group, MetaKey::Purge, dropped));
        }
        changes.write()?;
        {
            let mut queued = self.dropped.lock();
            for dropped in &dropped {
                queued.remove(dropped);
            }
        }
        let mut removed = self.removed.lock();
        let room = REMOVED_MAX.saturating_sub(removed.len());
        removed.extend(dropped.iter().take(room).map(|dropped| data_prefix(state, dropped)));
        report.purged += dropped.len();
        report.more = true;
        Ok(())
    }

    /// The keys of some queued collections and shards that no reader holds.
    fn removable(&self) -> Vec<Vec<u8>> {
        let queued = self.dropped.lock();
        let held: BTreeSet<[u8; SHARD_BYTES]> = match queued.is_empty() {
            true => return Vec::new(),
            false => self.ended.lock().iter().map(|shard| key::shard_bytes(shard.at)).collect(),
        };
        let is_held = |dropped: &[u8]| held.iter().any(|shard| shard.starts_with(dropped));
        queued.iter().filter(|dropped| !is_held(dropped)).take(PURGED_MAX).cloned().collect()
    }

    /// The prefixes of data that was removed since the last flush.
    pub(crate) fn take_removed(&self) -> Vec<Vec<u8>> {
        std::mem::take(&mut *self.removed.lock())
    }

    /// Removes the files of data whose removal is durable.
    pub(crate) fn remove_files(&self, store: &Store, removed: &[Vec<u8>]) -> Result<()> {
        for prefix in removed {
            Family::OF_SHARDS.into_iter().try_for_each(|family| store.drop_files(family, prefix))?;
        }
        Ok(())
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

/// Length of the key of a shard; that of a collection is shorter.
const SHARD_BYTES: usize = 8;

/// The start of all keys of a collection or shard.
fn data_prefix(state: &State, dropped: &[u8]) -> Vec<u8> {
    [&state.group.0.to_be_bytes(), dropped].concat()
}

/// Removes the files of the vector indexes of collections and shards, whose keys are `dropped`.
fn remove_index_files(dir: &Path, dropped: &[Vec<u8>]) -> Result<()> {
    let dropped: BTreeSet<&[u8]> = dropped.iter().map(Vec::as_slice).collect();
    let is_dropped = |at: ShardKey| {
        let shard = key::shard_bytes(at);
        dropped.contains(&shard[..]) || dropped.contains(&shard[..size_of_val(&at.collection)])
    };
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_name().to_str().and_then(shard_of_index_dir).is_some_and(is_dropped) {
            std::fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}
