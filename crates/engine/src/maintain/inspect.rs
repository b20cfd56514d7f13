//! Inspections: find the maintenance that a shard needs. Few shards are inspected in one step, after an apply changed them or at the start.

use std::sync::Arc;

use super::Maintenance;
use super::queue::QueueRecord;
use crate::Result;
use crate::data::{ChangedShard, State};
use crate::ids::{ShardId, ShardKey};
use crate::inverted::writer::merge;
use crate::replica::LogPosition;
use crate::shard::Shard;
use crate::shard::records::RebuildRecord;

/// Shards inspected in one step.
const INSPECTIONS_MAX: usize = 64;
/// A shard is inspected whenever this many more doc ids were given out, or sooner if compaction is due sooner.
const INSPECTION_CHANGES: u64 = 256;

impl Maintenance {
    /// Queues inspections of the shards that were due at the last flush, or of all shards if the group was opened at
    /// another position.
    pub(crate) fn inspect_due(&self, state: &State, position: Option<LogPosition>) -> Result<()> {
        self.remove_marked(state)?;
        match QueueRecord::load(&state.store, state.group, position)? {
            Some(shards) => self.queue.lock().inspect(shards),
            None => self.inspect_all(state),
        }
        Ok(())
    }

    /// Queues inspections of all shards.
    pub(crate) fn inspect_all(&self, state: &State) {
        for collection in state.collections() {
            let shards = state.shards(collection.id);
            let at = |shard: ShardId| ShardKey { collection: collection.id, shard };
            self.queue.lock().inspect(shards.iter_by_id().map(|shard| at(shard.id)));
        }
    }

    /// Writes the queue to the store for the next start; `position` becomes durable with it.
    pub(crate) fn record_queue(&self, state: &State, position: Option<LogPosition>) -> Result<()> {
        let mut shards = self.queue.lock().all();
        let loaded = state.all_loaded();
        // Their graphs are opened at the start, not by the first query.
        let with_graph = loaded.iter().filter(|shard| {
            let schema = state.collection(shard.at.collection);
            schema.is_some_and(|schema| !self.indexes.graphs(&schema, &shard.state()).is_empty())
        });
        shards.extend(with_graph.map(|shard| shard.at));
        QueueRecord { position, shards: shards.into_iter().collect() }.put(&state.store, state.group)
    }

    /// Queues an inspection of a shard that grew over a threshold of background work.
    pub(super) fn note_growth(&self, changed: &ChangedShard) {
        let step = self.compaction_changes_min.clamp(1, INSPECTION_CHANGES);
        let mut queue = self.queue.lock();
        if changed.changes_before / step == changed.changes_after / step {
            queue.touch(changed.shard.at);
        } else {
            queue.inspect([changed.shard.at]);
        }
    }

    /// Inspects some shards and queues the maintenance that they need. Returns the number of shards.
    pub(super) fn inspect_some(&self, state: &State) -> Result<usize> {
        for inspected in 0..INSPECTIONS_MAX {
            let Some(at) = self.queue.lock().next_inspection() else { return Ok(inspected) };
            self.inspect(state, at)?;
            self.queue.lock().done(at);
        }
        Ok(INSPECTIONS_MAX)
    }

    fn inspect(&self, state: &State, at: ShardKey) -> Result<()> {
        // A shard that becomes active is inspected then.
        let is_active = state.knows(at) && !state.is_inactive(at);
        let Some(schema) = state.collection(at.collection).filter(|_| is_active) else { return Ok(()) };
        // A shard that no request has loaded is inspected and dropped again.
        let shard = match state.loaded(at) {
            Some(shard) => shard,
            None => match Shard::load(&state.store, state.group, at) {
                // Its data was removed meanwhile.
                Err(_) if !state.knows(at) => return Ok(()),
                loaded => Arc::new(loaded?),
            },
        };
        let present = shard.state();
        if self.compaction_is_due(state, at, &present)?
            || merge::is_due(&shard.view(&state.store).index())?
            || RebuildRecord::load(&state.store, state.group, at)?.is_some()
        {
            self.queue.lock().compact(at);
        }
        // Shards that no request has loaded are converted when one sorts by their columns.
        if state.loaded(at).is_some() && !shard.view(&state.store).index().has_columns() {
            self.rebuild_inverted(at);
        }
        for vector in self.indexes.graphs(&schema, &present) {
            if let (Ok((schema, shard)), true) = (state.known(at), shard.indexes.loaded(vector).is_none())
                && let Some(opening) = self.indexes.opening(&state.store, &schema, vector)
                && let Err(error) = shard.index(vector, &opening)
            {
                // A search of the index ends with the same error; everything else goes on.
                if error.is_fatal() {
                    return Err(error);
                }
                tracing::error!(?at, vector = vector.0, %error, "open a vector index");
            }
        }
        Ok(())
    }
}
