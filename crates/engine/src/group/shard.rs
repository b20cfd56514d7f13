//! A shard in memory: which doc ids are live, what its record says. Its rows stay on disk.
//!
//! The state is small, is loaded when first asked for, and is replaced as a whole by each apply that changes it; a reader
//! holds on to the one it started with, together with a view of the store taken at the same moment.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;
use roaring::RoaringTreemap;

use super::records::{self, ShardRecord, SweepRecord};
use super::store::{Family, Store, View};
use super::unreadable::Unreadable;
use super::vectors::ShardIndexes;
use crate::command::At;
use crate::ids::{DocId, GroupId, VectorId};
use crate::inverted::docset;
use crate::inverted::terms::{OBJECT, vector_key};
use crate::key::{self, InvKind, MetaKey, ShardPrefix};
use crate::{Error, Result};

/// A shard.
pub(crate) struct Shard {
    pub at: At,
    pub prefix: ShardPrefix,
    /// The present state. Apply holds the lock for writing while rows are taken away, so that a reader never sees
    /// a state and a view that do not belong together.
    pub state: RwLock<Arc<ShardState>>,
    /// Segments of the inverted index that begin below this doc id are gone. Published after they are, so that a view taken
    /// later misses none; it spares readers the way over what was deleted.
    pub fresh_from: AtomicU64,
    /// Its vector indexes, as far as they are in memory.
    pub indexes: ShardIndexes,
    /// Its objects that cannot be read, as far as they were met.
    pub unreadable: Unreadable,
}

/// A shard at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct ShardState {
    pub record: ShardRecord,
    /// Live doc ids.
    pub live: RoaringTreemap,
    /// Live doc ids that have the vector; no entry for vectors that none has.
    pub with_vector: BTreeMap<VectorId, RoaringTreemap>,
    /// How often doc ids were taken away since the shard was loaded.
    pub removals: u64,
}

/// A shard and the store at the same moment.
pub(crate) struct ShardView<'a> {
    pub state: Arc<ShardState>,
    pub store: View<'a>,
    /// No segment of the inverted index begins below this doc id.
    pub fresh_from: DocId,
}

impl Shard {
    /// Reads a shard's state.
    pub(crate) fn load(store: &Store, group: GroupId, at: At) -> Result<Self> {
        let prefix = ShardPrefix::new(group, at);
        let record = store.get(Family::Meta, &key::meta(group, MetaKey::Shard, &key::shard_bytes(at)))?;
        let mut state = ShardState::default();
        if let Some(record) = record {
            state.record = records::decode("shard", &record)?;
            state.live = load_set(store, &prefix.inverted(OBJECT, InvKind::Live))?;
            for &vector in state.record.dimensions.keys() {
                let members = load_set(store, &prefix.value(OBJECT, InvKind::HasVector, &vector_key(vector)))?;
                if !members.is_empty() {
                    state.with_vector.insert(vector, members);
                }
            }
            state.validate().map_err(|what| Error::Damaged(format!("shard {at:?}: {what}")))?;
        }
        let sweep = SweepRecord::load(store, group, at)?;
        Ok(Self {
            at,
            prefix,
            state: RwLock::new(Arc::new(state)),
            fresh_from: AtomicU64::new(sweep.promoted),
            indexes: ShardIndexes::default(),
            unreadable: Unreadable::default(),
        })
    }

    /// The shard as it is now.
    pub(crate) fn state(&self) -> Arc<ShardState> {
        self.state.read().clone()
    }

    /// The shard and the store as they are now.
    pub(crate) fn view<'a>(&self, store: &'a Store) -> ShardView<'a> {
        let fresh_from = DocId(self.fresh_from.load(Ordering::Acquire));
        let state = self.state.read();
        ShardView { fresh_from, state: state.clone(), store: store.view() }
    }
}

impl ShardState {
    /// What must hold of every state.
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
            // More objects than are live may be counted after one was removed that could not be read.
            if stats.objects == 0 || stats.tokens < stats.objects {
                return Err(format!("property {property}: {stats:?}"));
            }
        }
        Ok(())
    }
}

fn load_set(store: &Store, prefix: &[u8]) -> Result<RoaringTreemap> {
    let mut set = RoaringTreemap::new();
    for (key, value) in store.entries(Family::Inverted, prefix)? {
        // Apply keeps these sets itself: they are no part of what can be rebuilt.
        let first = key::parse_doc_id(&key)?;
        docset::decode_into(&mut set, first, &value).map_err(|error| Error::Damaged(error.to_string()))?;
    }
    Ok(set)
}
