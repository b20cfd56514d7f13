//! The maintenance queue: which shards have to be inspected or compacted, while the group is open and over a restart.
//!
//! A flush records the queue beside the position that the flush makes durable. A group that opens at that very position
//! has nothing else to inspect; a group that opens at another position inspects every shard once.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::ids::{GroupId, ShardKey};
use crate::replica::LogPosition;
use crate::storage::key::{self, MetaKey};
use crate::storage::{Family, Store, record};

/// Shards with something due.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// Shards to inspect.
    inspections: BTreeSet<ShardKey>,
    /// Shards whose inverted index is to be compacted.
    compactions: BTreeSet<ShardKey>,
    /// Shards taken from one of the two sets and not given back yet.
    taken: Vec<ShardKey>,
    /// Shards that changed since their last inspection, too little for another one.
    touched: BTreeSet<ShardKey>,
}

impl Queue {
    /// Queues inspections of these shards.
    pub(super) fn inspect(&mut self, shards: impl IntoIterator<Item = ShardKey>) {
        self.inspections.extend(shards);
    }

    /// Notes a change that is due for an inspection only after the next start.
    pub(super) fn touch(&mut self, at: ShardKey) {
        self.touched.insert(at);
    }

    /// Takes a shard to inspect; [`Queue::done`] gives it back.
    pub(super) fn next_inspection(&mut self) -> Option<ShardKey> {
        let at = self.inspections.pop_first()?;
        self.touched.remove(&at);
        self.taken.push(at);
        Some(at)
    }

    /// Queues a compaction.
    pub(super) fn compact(&mut self, at: ShardKey) {
        self.compactions.insert(at);
    }

    /// Takes a shard to compact; [`Queue::done`] gives it back.
    pub(super) fn next_compaction(&mut self) -> Option<ShardKey> {
        let at = self.compactions.pop_first()?;
        self.taken.push(at);
        Some(at)
    }

    /// Ends an inspection or a compaction step. A shard whose step failed stays taken: it is due after the next start.
    pub(super) fn done(&mut self, at: ShardKey) {
        if let Some(position) = self.taken.iter().position(|taken| *taken == at) {
            self.taken.swap_remove(position);
        }
    }

    /// Whether a shard waits for an inspection.
    pub(super) fn has_inspections(&self) -> bool {
        !self.inspections.is_empty()
    }

    /// Whether a shard waits for a compaction.
    pub(super) fn has_compactions(&self) -> bool {
        !self.compactions.is_empty()
    }

    /// Forgets shards that are dropped.
    pub(super) fn forget(&mut self, dropped: impl Fn(&ShardKey) -> bool) {
        for set in [&mut self.inspections, &mut self.compactions, &mut self.touched] {
            set.retain(|at| !dropped(at));
        }
    }

    /// All shards that have to be inspected after a restart.
    pub(super) fn all(&self) -> BTreeSet<ShardKey> {
        let sets = [&self.inspections, &self.compactions, &self.touched];
        sets.into_iter().flatten().chain(&self.taken).copied().collect()
    }
}

/// The queue when a flush began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct QueueRecord {
    /// Everything up to here was applied.
    pub position: Option<LogPosition>,
    /// Ascending.
    pub shards: Vec<ShardKey>,
}

impl QueueRecord {
    /// The shards to inspect in a group at `position`; `None` when the record is of another position, and all are due.
    pub(super) fn load(store: &Store, group: GroupId, position: Option<LogPosition>) -> Result<Option<Vec<ShardKey>>> {
        let bytes = store.get(Family::Meta, &key::meta(group, MetaKey::Queue, &[]))?;
        // An unreadable record costs an inspection of every shard, not the group.
        let record = bytes.and_then(|bytes| record::decode::<Self>("maintenance queue", &bytes).ok());
        Ok(record.filter(|record| record.position == position).map(|record| record.shards))
    }

    /// Replaces the record, if it differs.
    pub(super) fn put(&self, store: &Store, group: GroupId) -> Result<()> {
        let (key, bytes) = (key::meta(group, MetaKey::Queue, &[]), record::encode(self)?);
        if store.get(Family::Meta, &key)?.is_some_and(|present| *present == *bytes) {
            return Ok(());
        }
        let mut changes = store.changes();
        changes.put(Family::Meta, &key, &bytes);
        changes.write()
    }
}
