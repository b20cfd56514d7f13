//! A shard in memory: its live doc ids, its record and its vector indexes. Its rows stay on disk.
//!
//! The state is small, is loaded by the first read or write, and is replaced as a whole by each apply that changes it;
//! a reader keeps the state that it started with, together with a view of the store that has every row of it. No lock
//! is held for longer than a snapshot is taken, and a reader never waits for a write of the store: see
//! [`Shard::freeze`].

mod departed;
pub(crate) mod doc_index;
pub(crate) mod indexes;
pub(crate) mod records;
mod row_sizes;
mod unreadable;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::RwLock;

use crate::ids::{DocId, GroupId, ShardKey, VectorId};
use crate::inverted::form::terms::{OBJECT, vector_key};
use crate::inverted::{DocSet, IndexView};
use crate::storage::key::{self, InvKind, MetaKey, ShardPrefix};
use crate::storage::{Family, Snapshot, Store, StoreView, record};
use crate::{Error, Result};
use departed::Departed;
use indexes::ShardIndexes;
use records::{CompactionRecord, Part, PartRecord, ShardRecord};
use row_sizes::RowSizes;
use unreadable::Unreadable;

/// A shard.
pub(crate) struct Shard {
    pub at: ShardKey,
    pub prefix: ShardPrefix,
    present: RwLock<Present>,
    /// Segments of the inverted index that begin below this doc id are merged. Published after their deletion, so that a view
    /// taken later misses none; readers seek past the tombstones of merged segments.
    segments_from: AtomicU64,
    /// Which objects have entries of each [`Part`].
    parts: [Coverage; Part::ALL.len()],
    /// Vector indexes in memory.
    pub indexes: ShardIndexes,
    /// Unreadable objects that were met.
    pub unreadable: Unreadable,
    /// Sizes of object rows.
    pub rows: RowSizes,
    /// Whether the shard was used since [`Shard::take_use`].
    used: AtomicBool,
    /// Replaced states that readers may hold, with the documents that the vector indexes keep for them.
    departed: Departed<ShardState>,
}

/// Which objects of a shard have entries of one part of the inverted index.
#[derive(Debug)]
struct Coverage {
    /// Objects from this doc id on have them. Published after the entries are written.
    from: AtomicU64,
    /// Whether the store has a [`PartRecord`].
    recorded: AtomicBool,
}

/// The current state of a shard, and the snapshot that views of it read.
struct Present {
    state: Arc<ShardState>,
    /// The store from before a write that takes rows of `state` away, until the state without them is published.
    frozen: Option<Frozen>,
}

/// The store from before a write that takes rows away.
struct Frozen {
    snapshot: Arc<Snapshot>,
    derived: Derived,
}

/// How far background work on the inverted index has come, as a snapshot that is taken later shows it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Derived {
    /// No segment begins below this doc id.
    segments_from: DocId,
    /// Objects from this doc id on have entries of each [`Part`].
    parts_from: [DocId; Part::ALL.len()],
}

/// A shard at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct ShardState {
    pub record: ShardRecord,
    /// Live doc ids.
    pub live: DocSet,
    /// Live doc ids that have the vector; no entry for vectors that none has.
    pub with_vector: BTreeMap<VectorId, DocSet>,
    /// How often doc ids were taken away since the shard was loaded.
    pub removals: u64,
}

/// A shard and the store at the same moment.
pub(crate) struct ShardView<'a> {
    pub state: Arc<ShardState>,
    pub store: StoreView<'a>,
    prefix: ShardPrefix,
    derived: Derived,
}

impl Shard {
    /// Reads a shard's state from one snapshot.
    pub(crate) fn load(store: &Store, group: GroupId, at: ShardKey) -> Result<Self> {
        let prefix = ShardPrefix::new(group, at);
        let compaction = CompactionRecord::load(store, group, at)?;
        let view = store.view();
        let record = view.get(Family::Meta, &key::meta(group, MetaKey::Shard, &key::shard_bytes(at)))?;
        let mut state = ShardState::default();
        if let Some(record) = record {
            state.record = record::decode("shard", &record)?;
            state.live = load_set(&view, &prefix.inverted(OBJECT, InvKind::Live))?;
            for &vector in state.record.dimensions.keys() {
                let members = load_set(&view, &prefix.value(OBJECT, InvKind::HasVector, &vector_key(vector)))?;
                if !members.is_empty() {
                    state.with_vector.insert(vector, members);
                }
            }
            state.validate().map_err(|what| Error::Damaged(format!("shard {at:?}: {what}")))?;
        }
        let mut parts = Vec::with_capacity(Part::ALL.len());
        for part in Part::ALL {
            let record = PartRecord::load(store, group, at, part)?;
            parts.push(record);
        }
        let next_doc_id = state.record.next_doc_id;
        let coverage = |part: Part| {
            let record = parts.get(part as usize).copied().flatten();
            let from = AtomicU64::new(record.map_or(next_doc_id, |record| record.from));
            Coverage { from, recorded: AtomicBool::new(record.is_some()) }
        };
        Ok(Self {
            at,
            prefix,
            parts: Part::ALL.map(coverage),
            present: RwLock::new(Present { state: Arc::new(state), frozen: None }),
            segments_from: AtomicU64::new(compaction.merged_below),
            indexes: ShardIndexes::default(),
            unreadable: Unreadable::default(),
            departed: Departed::default(),
            rows: RowSizes::default(),
            used: AtomicBool::new(true),
        })
    }

    /// Notes a use.
    pub(crate) fn note_use(&self) {
        // A write that changes nothing would take the line of the cache from other readers.
        if !self.used.load(Ordering::Relaxed) {
            self.used.store(true, Ordering::Relaxed);
        }
    }

    /// Whether the shard was used since the last call.
    pub(crate) fn take_use(&self) -> bool {
        self.used.swap(false, Ordering::Relaxed)
    }

    /// The shard as it is now.
    pub(crate) fn state(&self) -> Arc<ShardState> {
        self.present.read().state.clone()
    }

    /// Whether an object has this vector.
    pub(crate) fn has_vector(&self, vector: VectorId) -> bool {
        self.present.read().state.with_vector.contains_key(&vector)
    }

    /// The shard and the store as they are now: every row of the state is in the store. Rows in the store beyond the
    /// state belong to a batch that is about to be published.
    pub(crate) fn view<'a>(&self, store: &'a Store) -> ShardView<'a> {
        let derived = self.derived();
        let present = self.present.read();
        let state = present.state.clone();
        let (store, derived) = match &present.frozen {
            // The lock is held until the snapshot is taken: no write that takes rows away begins before.
            None => (store.view(), derived),
            Some(Frozen { snapshot, derived }) => (store.view_at(snapshot.clone()), *derived),
        };
        ShardView { state, store, prefix: self.prefix, derived }
    }

    /// The published state with the newest snapshot of the store, for compaction of the inverted index: compaction has to
    /// see its own last write, and reads no rows of objects, which may be deleted already.
    pub(crate) fn newest<'a>(&self, store: &'a Store) -> ShardView<'a> {
        let derived = self.derived();
        ShardView { state: self.state(), store: store.view(), prefix: self.prefix, derived }
    }

    /// How far background work has come, for snapshots that are taken now or later.
    pub(crate) fn derived(&self) -> Derived {
        Derived {
            segments_from: DocId(self.segments_from.load(Ordering::Acquire)),
            parts_from: Part::ALL.map(|part| DocId(self.parts[part as usize].from.load(Ordering::Acquire))),
        }
    }

    /// The records of parts that the store lacks: an apply writes them.
    pub(crate) fn missing_part_records(&self) -> Vec<(Part, PartRecord)> {
        let missing = Part::ALL.into_iter().filter(|part| !self.parts[*part as usize].recorded.load(Ordering::Acquire));
        let from = |part: Part| self.parts[part as usize].from.load(Ordering::Acquire);
        missing.map(|part| (part, PartRecord { from: from(part), rebuild: None })).collect()
    }

    /// Notes that the store has this record of a part.
    pub(crate) fn set_part(&self, part: Part, record: PartRecord) {
        let coverage = &self.parts[part as usize];
        coverage.from.store(record.from, Ordering::Release);
        coverage.recorded.store(true, Ordering::Release);
    }

    /// Notes that all segments below this doc id are merged and deleted.
    pub(crate) fn set_segments_from(&self, doc_id: u64) {
        self.segments_from.store(doc_id, Ordering::Release);
    }

    /// Lets readers go on with the present state and a snapshot that was taken after `derived` was read, until
    /// [`Shard::publish`]: called before a write that takes rows of the state away.
    pub(crate) fn freeze(&self, snapshot: Arc<Snapshot>, derived: Derived) {
        self.present.write().frozen = Some(Frozen { snapshot, derived });
    }

    /// Makes a state visible whose rows are written.
    pub(crate) fn publish(&self, state: Arc<ShardState>) {
        let replaced = std::mem::replace(&mut *self.present.write(), Present { state, frozen: None });
        // Outside of the lock: a snapshot is given back here.
        drop(replaced);
    }

    /// Takes documents out of the indexes in memory once no reader holds `replaced`, the state before the published
    /// one, which had them, or an older one. Returns whether some stay for now: [`Shard::let_go`] is to be called
    /// later.
    pub(crate) fn depart(&self, replaced: Arc<ShardState>, removed: Vec<(VectorId, DocId)>) -> bool {
        self.departed.push(replaced, removed);
        self.let_go()
    }

    /// Deletes documents from the indexes that no reader's state has any more. Returns whether some stay for now.
    pub(crate) fn let_go(&self) -> bool {
        self.indexes.remove(self.at, &self.departed.collect());
        !self.is_settled()
    }

    /// Whether the indexes keep no document for readers of older states.
    pub(crate) fn is_settled(&self) -> bool {
        self.departed.is_empty()
    }
}

impl ShardView<'_> {
    /// The inverted index at the same moment.
    pub(crate) fn index(&self) -> IndexView<'_> {
        let Derived { segments_from, parts_from } = self.derived;
        let from = |part: Part| parts_from[part as usize];
        let live = (&self.state.live, self.state.record.next_doc_id);
        IndexView::new(&self.store, self.prefix, live, (segments_from, from(Part::Columns), from(Part::Nested)))
    }
}

impl ShardState {
    /// Grows with every doc id that is given out and with every apply that takes doc ids away.
    pub(crate) fn changes(&self) -> u64 {
        self.record.next_doc_id + self.removals
    }

    /// Checks the invariants of every state.
    pub(crate) fn validate(&self) -> std::result::Result<(), String> {
        if self.live.max().is_some_and(|last| last >= self.record.next_doc_id) {
            return Err(format!("doc id {:?} was never given out", self.live.max()));
        }
        for (vector, members) in &self.with_vector {
            if members.is_empty() || !members.is_subset(&self.live) {
                return Err(format!("vector {vector}: its objects are not live ones"));
            }
            if !self.record.dimensions.contains_key(vector) {
                return Err(format!("vector {vector} has objects and no dimension"));
            }
        }
        for (property, stats) in &self.record.lengths {
            // The count may be above the number of live objects after an unreadable object was removed.
            if stats.objects == 0 || stats.tokens < stats.objects {
                return Err(format!("property {property}: {stats:?}"));
            }
        }
        Ok(())
    }
}

fn load_set(view: &StoreView<'_>, prefix: &[u8]) -> Result<DocSet> {
    let mut set = DocSet::default();
    let mut cursor = view.cursor(Family::Inverted, prefix, None);
    cursor.seek(prefix);
    while let Some((key, value)) = cursor.item()? {
        // Apply keeps these sets itself: they are not derived from other data and cannot be rebuilt.
        let first = key::parse_doc_id(key)?;
        set.decode_chunk(first, value).map_err(|error| Error::Damaged(error.to_string()))?;
        cursor.next();
    }
    Ok(set)
}
