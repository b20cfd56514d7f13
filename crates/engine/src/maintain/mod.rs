//! Background maintenance of a data group: graphs, the inverted index, dropped data, indexes in memory.
//!
//! [`Maintenance`] holds the queue of pending work. It reads the group's [`State`], changes derived data only, and learns of applies by
//! their [`Effects`]. Steps are bounded by counts, because the engine reads no clock.
//!
//! Read in this order: `work` (one step), `queue` (shards with pending work), `inspect` (finds the work of a shard),
//! `compaction` and `rebuild` (the inverted index), `purge` (dropped data), `index_cache` (vector indexes in memory),
//! `index_budget` (their memory, shared by all groups).

mod compaction;
mod index_budget;
mod index_cache;
mod inspect;
mod purge;
mod queue;
mod rebuild;
mod work;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

pub use index_budget::IndexBudget;
pub use work::{WorkBudget, WorkReport};

pub(crate) use index_cache::{IndexCache, index_memory};

use queue::Queue;
use rebuild::Rebuilds;
use work::Turns;

use crate::data::{Effects, GroupOptions, State};
use crate::ids::ShardKey;
use crate::shard::Shard;

/// The state of background maintenance between its steps.
pub(crate) struct Maintenance {
    /// Vector indexes in memory.
    pub indexes: IndexCache,
    /// Inverted indexes that are rebuilt.
    rebuilds: Rebuilds,
    /// Shards with something due.
    queue: Mutex<Queue>,
    /// Shards whose indexes keep deleted documents for readers of older states.
    departing: Mutex<BTreeMap<ShardKey, Arc<Shard>>>,
    /// Dropped shards whose memory is to be freed, and whose data stays until no reader holds them.
    ended: Mutex<Vec<Arc<Shard>>>,
    /// Prefixes of dropped data that was removed since the last flush.
    removed: Mutex<Vec<Vec<u8>>>,
    /// Keys of dropped collections and shards whose data is still to be removed.
    dropped: Mutex<BTreeSet<Vec<u8>>>,
    /// Locked by the thread that writes to the store in the background.
    writing: Mutex<()>,
    /// How often an apply or a reader asked for work.
    requests: AtomicU64,
    turns: Turns,
    compaction_changes_min: u64,
    loaded_shards_max: usize,
    /// Locked by the thread that drops inactive shards from memory.
    unloading: Mutex<()>,
}

impl Maintenance {
    /// Maintenance of a group whose vector indexes have their files in `index_dir`.
    pub(crate) fn new(index_dir: &Path, options: &GroupOptions) -> Self {
        Self {
            indexes: IndexCache::new(index_dir, options),
            rebuilds: Rebuilds::default(),
            queue: Mutex::default(),
            departing: Mutex::default(),
            ended: Mutex::default(),
            removed: Mutex::default(),
            dropped: Mutex::default(),
            writing: Mutex::default(),
            requests: AtomicU64::default(),
            turns: Turns::default(),
            compaction_changes_min: options.compaction_changes_min,
            loaded_shards_max: options.loaded_shards_max,
            unloading: Mutex::default(),
        }
    }

    /// Takes notice of an apply: its effects on the shards, and the dropped shards that left memory with it.
    pub(crate) fn note(&self, state: &State, effects: Effects, ended: Vec<Arc<Shard>>) {
        if effects.drops() {
            self.forget(|at| !state.knows(*at));
            self.remove_dropped(&effects, ended);
        }
        // A shard that is active again gets its graphs at once, not by the first query.
        self.queue.lock().inspect(effects.activated);
        for changed in effects.shards {
            self.note_growth(&changed);
            if changed.keeps_departed {
                self.let_go_later(changed.shard);
            }
        }
        // Counted last: a worker that reads the new count finds all of the above.
        self.requests.fetch_add(1, Ordering::AcqRel);
    }

    /// Queues a compaction of the shard's inverted index.
    fn request_compaction(&self, at: ShardKey) {
        self.queue.lock().compact(at);
        self.requests.fetch_add(1, Ordering::AcqRel);
    }

    /// Number of rebuilds of inverted indexes because of damage.
    pub(crate) fn rebuilds_begun(&self) -> u64 {
        self.rebuilds.begun()
    }

    /// Shards whose inverted index is damaged and not rebuilt again.
    pub(crate) fn rebuilds_given_up(&self) -> u64 {
        self.rebuilds.given_up()
    }

    /// Deletes departed documents from the shard's vector indexes when no reader's state has them any more.
    fn let_go_later(&self, shard: Arc<Shard>) {
        self.departing.lock().insert(shard.at, shard);
    }

    /// Deletes departed documents from vector indexes, as far as no reader's state has them any more.
    fn let_go(&self) {
        let shards: Vec<_> = self.departing.lock().values().cloned().collect();
        for shard in shards {
            if !shard.let_go() {
                // An apply that leaves departed documents meanwhile lists the shard again afterwards.
                self.departing.lock().remove(&shard.at);
                if !shard.is_settled() {
                    self.let_go_later(shard);
                }
            }
        }
    }

    /// Drops shards from memory: inactive ones with their vector indexes, and the least used ones beyond
    /// [`GroupOptions::loaded_shards_max`]. A shard that is in use stays until a later step.
    fn unload(&self, state: &State) {
        let Some(_alone) = self.unloading.try_lock() else { return };
        let leaving = state.leaving();
        if !leaving.is_empty() {
            self.indexes.unload(&leaving.iter().copied().filter(|at| state.is_inactive(*at)).collect());
            leaving.into_iter().for_each(|at| state.unload_inactive(at));
        }
        // The count of vectors that wait for a graph is lost with the shard.
        let has_no_graph = |shard: &Shard| {
            let schema = state.collection(shard.at.collection);
            schema.is_none_or(|schema| self.indexes.graphs(&schema, &shard.state()).is_empty())
        };
        state.unload_idle(self.loaded_shards_max, has_no_graph);
    }

    /// Forgets shards that are dropped.
    fn forget(&self, dropped: impl Fn(&ShardKey) -> bool) {
        self.indexes.forget(&dropped);
        self.departing.lock().retain(|at, _| !dropped(at));
        self.queue.lock().forget(dropped);
    }
}
