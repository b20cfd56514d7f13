//! The effects of an apply on the parts of a data group beside the store and the states of its shards.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::collections::Known;
use crate::ids::{CollectionId, ShardKey};
use crate::shard::Shard;

/// The effects of an apply that was written.
#[derive(Default)]
pub(crate) struct Effects {
    /// Collections whose schema or shards changed; `None` for dropped collections.
    pub collections: HashMap<CollectionId, Option<Known>>,
    /// Shards that were active and are not any more.
    pub deactivated: BTreeSet<ShardKey>,
    /// Shards that were inactive and are active.
    pub activated: BTreeSet<ShardKey>,
    /// Shards that were dropped on their own.
    pub dropped_shards: BTreeSet<ShardKey>,
    /// Shards whose state changed.
    pub shards: Vec<ChangedShard>,
    /// Versions of objects that were written, at most one per object and log entry.
    pub versions_written: u64,
}

/// A shard whose state an apply replaced.
pub(crate) struct ChangedShard {
    pub shard: Arc<Shard>,
    /// [`ShardState::changes`](crate::shard::ShardState::changes) of the replaced state.
    pub changes_before: u64,
    /// The same of the new state.
    pub changes_after: u64,
    /// Whether the vector indexes keep deleted documents for readers of older states.
    pub keeps_departed: bool,
}

impl Effects {
    /// Whether a collection or shard was dropped.
    pub(crate) fn drops(&self) -> bool {
        !self.dropped_shards.is_empty() || self.collections.values().any(Option::is_none)
    }
}
