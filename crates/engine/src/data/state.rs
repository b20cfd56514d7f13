//! The state of a data group: its store, the schemas and the shards in memory. Only an apply changes it.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use super::Effects;
use crate::ids::{CollectionId, GroupId, ShardId, ShardKey};
use crate::schema::{Collection, decode_schema};
use crate::shard::Shard;
use crate::storage::key::{self, MetaKey};
use crate::storage::{Family, Store};
use crate::{Error, Result};

/// Locks that loads of shards share.
const LOADING_LOCKS: usize = 32;

/// The state of a data group.
pub(crate) struct State {
    pub group: GroupId,
    pub store: Store,
    /// Entries of the inverted index from which on a batch is written as one segment.
    pub segment_entries_min: usize,
    collections: RwLock<HashMap<CollectionId, Arc<Collection>>>,
    dropped: RwLock<Dropped>,
    /// Shards in memory.
    shards: RwLock<HashMap<ShardKey, Arc<Shard>>>,
    /// Locked while a shard is loaded, by its id, so that it is loaded once.
    loading: [Mutex<()>; LOADING_LOCKS],
}

/// Collections and shards that were dropped. Their ids are never used again.
#[derive(Debug, Default)]
struct Dropped {
    collections: BTreeSet<CollectionId>,
    shards: BTreeSet<ShardKey>,
}

impl Dropped {
    fn contains(&self, collection: CollectionId, shard: Option<ShardId>) -> bool {
        self.collections.contains(&collection)
            || shard.is_some_and(|shard| self.shards.contains(&ShardKey { collection, shard }))
    }
}

impl State {
    /// Reads the schemas of a group; shards are loaded when they are needed.
    ///
    /// # Errors
    /// [`Error::Damaged`] when a stored schema or mark fails its checks.
    pub(crate) fn load(store: Store, group: GroupId, segment_entries_min: usize) -> Result<Self> {
        let mut collections = HashMap::new();
        for (_, value) in store.entries(Family::Meta, &key::meta(group, MetaKey::Collection, &[]))? {
            let collection = decode_schema(&value)?;
            collections.insert(collection.id, Arc::new(collection));
        }
        Ok(Self {
            group,
            segment_entries_min,
            collections: RwLock::new(collections),
            dropped: RwLock::new(load_dropped(&store, group)?),
            shards: RwLock::default(),
            loading: Default::default(),
            store,
        })
    }

    /// The newest schema that the group knows of a collection.
    pub(crate) fn collection(&self, id: CollectionId) -> Option<Arc<Collection>> {
        self.collections.read().get(&id).cloned()
    }

    /// All collections that the group knows, by id.
    pub(crate) fn collections(&self) -> Vec<Arc<Collection>> {
        let mut all: Vec<_> = self.collections.read().values().cloned().collect();
        all.sort_unstable_by_key(|collection| collection.id);
        all
    }

    /// Number of collections that the group knows.
    pub(crate) fn collection_count(&self) -> usize {
        self.collections.read().len()
    }

    /// Whether the collection, or the shard of it, was ever dropped.
    pub(crate) fn was_dropped(&self, collection: CollectionId, shard: Option<ShardId>) -> bool {
        self.dropped.read().contains(collection, shard)
    }

    /// A shard, loaded if need be, whether a schema has it or not.
    pub(crate) fn shard(&self, at: ShardKey) -> Result<Arc<Shard>> {
        if let Some(shard) = self.loaded(at) {
            return Ok(shard);
        }
        let _loading = self.loading[at.collection.0.wrapping_add(at.shard.0) as usize % LOADING_LOCKS].lock();
        if let Some(shard) = self.loaded(at) {
            return Ok(shard);
        }
        // Loads without the lock that all reads take, because reading the shard from disk may take long. The shard does
        // not change meanwhile, as an apply that writes to it has to load it first.
        let shard = Arc::new(Shard::load(&self.store, self.group, at)?);
        Ok(self.shards.write().entry(at).or_insert(shard).clone())
    }

    /// A shard, if it is in memory.
    pub(crate) fn loaded(&self, at: ShardKey) -> Option<Arc<Shard>> {
        self.shards.read().get(&at).cloned()
    }

    /// All shards in memory.
    pub(crate) fn all_loaded(&self) -> Vec<Arc<Shard>> {
        self.shards.read().values().cloned().collect()
    }

    /// Whether the schema of the collection has the shard.
    pub(crate) fn knows(&self, at: ShardKey) -> bool {
        let schema = self.collection(at.collection);
        schema.is_some_and(|schema| schema.shards.values().any(|shard| shard.id == at.shard))
    }

    /// Schema and shard for a read.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the group does not know them.
    pub(crate) fn known(&self, at: ShardKey) -> Result<(Arc<Collection>, Arc<Shard>)> {
        let schema = self.collection(at.collection);
        let schema = schema.ok_or_else(|| Error::Invalid(format!("collection {} is not there", at.collection)))?;
        let known = schema.shards.values().any(|shard| shard.id == at.shard)
            && !self.was_dropped(at.collection, Some(at.shard));
        if !known {
            return Err(Error::Invalid(format!("shard {} of collection {} is not there", at.shard, schema.name)));
        }
        Ok((schema, self.shard(at)?))
    }

    /// Makes the schema changes of an apply visible; its rows and the states of its shards already are. Returns dropped
    /// shards that were in memory: freeing a large index takes long, so the caller leaves that to a background thread.
    pub(crate) fn publish(&self, effects: &Effects) -> Vec<Arc<Shard>> {
        if !effects.changes_schema() {
            return Vec::new();
        }
        let mut collections = self.collections.write();
        let mut dropped = self.dropped.write();
        for (&id, collection) in &effects.collections {
            match collection {
                Some(collection) => {
                    self.update_indexes(collection);
                    collections.insert(id, collection.clone());
                }
                None => {
                    collections.remove(&id);
                    dropped.collections.insert(id);
                }
            }
        }
        dropped.shards.extend(&effects.dropped_shards);
        if !effects.drops() {
            return Vec::new();
        }
        let mut shards = self.shards.write();
        let gone = |at: &&ShardKey| dropped.contains(at.collection, Some(at.shard));
        let ended: Vec<ShardKey> = shards.keys().filter(gone).copied().collect();
        ended.iter().filter_map(|at| shards.remove(at)).collect()
    }

    /// Hands changed settings to the vector indexes in memory.
    fn update_indexes(&self, collection: &Collection) {
        for shard in collection.shards.values() {
            let at = ShardKey { collection: collection.id, shard: shard.id };
            let Some(shard) = self.loaded(at) else { continue };
            for (vector, index) in shard.indexes.all_known() {
                if let Some((_, config)) = collection.vector_by_id(vector) {
                    shard.indexes.contained(at, vector, || {
                        index.update_config(config.index);
                        Ok(())
                    });
                }
            }
        }
    }
}

fn load_dropped(store: &Store, group: GroupId) -> Result<Dropped> {
    let mut dropped = Dropped::default();
    let prefix = key::meta(group, MetaKey::Dropped, &[]);
    for (key, _) in store.entries(Family::Meta, &prefix)? {
        let rest = &key[prefix.len()..];
        if let Ok(bytes) = rest.try_into() {
            dropped.collections.insert(CollectionId(u32::from_be_bytes(bytes)));
        } else {
            dropped.shards.insert(key::parse_shard(rest)?);
        }
    }
    Ok(dropped)
}
