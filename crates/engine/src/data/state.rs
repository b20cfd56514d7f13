//! The state of a data group: its store, the schemas and the shards in memory. Only an apply changes it.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use super::Effects;
use crate::collections::{self, Known};
use crate::ids::{CollectionId, GroupId, ShardKey};
use crate::schema::{Collection, ShardTable};
use crate::shard::Shard;
use crate::storage::key::{self, MetaKey};
use crate::storage::{Family, Store};
use crate::{Error, Result};

/// Locks that loads of shards share.
const LOADING_LOCKS: usize = 32;
/// When too many shards are in memory, this part of them leaves, so that there are not too many at once again.
const UNLOADED_SHARE: usize = 8;

/// The state of a data group.
pub(crate) struct State {
    pub group: GroupId,
    pub store: Store,
    /// Entries of the inverted index from which on a batch is written as one segment.
    pub segment_entries_min: usize,
    collections: RwLock<HashMap<CollectionId, Known>>,
    /// Collections that were dropped. Their ids are never used again.
    dropped: RwLock<BTreeSet<CollectionId>>,
    /// Shards in memory.
    shards: RwLock<HashMap<ShardKey, Arc<Shard>>>,
    /// Inactive shards that may be in memory.
    leaving: Mutex<BTreeSet<ShardKey>>,
    /// Locked while a shard is loaded, by its id, so that it is loaded once.
    loading: [Mutex<()>; LOADING_LOCKS],
}

impl State {
    /// Reads the schemas of a group and the records of the shards; shards are loaded when they are needed.
    ///
    /// # Errors
    /// [`Error::Damaged`] when a stored schema or mark fails its checks.
    pub(crate) fn load(store: Store, group: GroupId, segment_entries_min: usize) -> Result<Self> {
        let collections = collections::load(&store, group)?;
        let collections = collections.into_iter().map(|known| (known.schema.id, known)).collect();
        Ok(Self {
            group,
            segment_entries_min,
            collections: RwLock::new(collections),
            dropped: RwLock::new(load_dropped(&store, group)?),
            shards: RwLock::default(),
            leaving: Mutex::default(),
            loading: Default::default(),
            store,
        })
    }

    /// The newest schema that the group knows of a collection.
    pub(crate) fn collection(&self, id: CollectionId) -> Option<Arc<Collection>> {
        self.collections.read().get(&id).map(|known| known.schema.clone())
    }

    /// The shards that the group knows of a collection.
    pub(crate) fn shards(&self, id: CollectionId) -> ShardTable {
        self.collections.read().get(&id).map(|known| known.shards.clone()).unwrap_or_default()
    }

    /// Schema and shards of a collection.
    pub(crate) fn with_shards(&self, id: CollectionId) -> Option<Known> {
        self.collections.read().get(&id).cloned()
    }

    /// All collections that the group knows, by id.
    pub(crate) fn collections(&self) -> Vec<Arc<Collection>> {
        let mut all: Vec<_> = self.collections.read().values().map(|known| known.schema.clone()).collect();
        all.sort_unstable_by_key(|collection| collection.id);
        all
    }

    /// Number of collections that the group knows.
    pub(crate) fn collection_count(&self) -> usize {
        self.collections.read().len()
    }

    /// Whether the collection was ever dropped.
    pub(crate) fn was_dropped(&self, id: CollectionId) -> bool {
        self.dropped.read().contains(&id)
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
        let shard = self.shards.write().entry(at).or_insert(shard).clone();
        // Asked after the shard is listed: an apply that makes it inactive later finds it in memory.
        if self.is_inactive(at) {
            self.leaving.lock().insert(at);
        }
        Ok(shard)
    }

    /// A shard, if it is in memory.
    pub(crate) fn loaded(&self, at: ShardKey) -> Option<Arc<Shard>> {
        let shards = self.shards.read();
        let shard = shards.get(&at)?;
        shard.note_use();
        Some(shard.clone())
    }

    /// Whether the group knows the shard, as one that takes no requests.
    pub(crate) fn is_inactive(&self, at: ShardKey) -> bool {
        let collections = self.collections.read();
        let shard = collections.get(&at.collection).and_then(|known| known.shards.by_id(at.shard));
        shard.is_some_and(|shard| !shard.is_active())
    }

    /// Inactive shards that may be in memory.
    pub(crate) fn leaving(&self) -> Vec<ShardKey> {
        self.leaving.lock().iter().copied().collect()
    }

    /// Drops an inactive shard from memory, unless a reader, an apply or background work holds it: it is then tried again.
    ///
    /// A second copy of a shard beside one that is held would miss the writes to the other: a shard leaves only when the list
    /// is the last to hold it.
    pub(crate) fn unload_inactive(&self, at: ShardKey) {
        // Taken out first: a load or an apply that comes now lists the shard again.
        self.leaving.lock().remove(&at);
        if self.is_inactive(at) && !self.unload(at) {
            self.leaving.lock().insert(at);
        }
    }

    /// Drops shards from memory if more than `max` are there: those that were not used since the last call and that `may`
    /// leave, until an eighth of `max` is free.
    pub(crate) fn unload_idle(&self, max: usize, may: impl Fn(&Shard) -> bool) {
        let (idle, enough) = {
            let shards = self.shards.read();
            if shards.len() <= max {
                return;
            }
            let idle = shards.values().filter(|shard| !shard.take_use() && Arc::strong_count(shard) == 1);
            let idle: Vec<ShardKey> = idle.map(|shard| shard.at).collect();
            (idle, shards.len() - (max - max / UNLOADED_SHARE))
        };
        // Asked without the lock: `may` looks at the collections, whose lock is taken before that of the shards.
        let may = |at: &ShardKey| self.shards.read().get(at).cloned().is_some_and(|shard| may(&shard));
        for at in idle.into_iter().filter(may).take(enough) {
            self.unload(at);
        }
    }

    /// Drops a shard from memory if nothing else holds it. Returns whether it is gone.
    fn unload(&self, at: ShardKey) -> bool {
        let mut shards = self.shards.write();
        let Some(shard) = shards.get(&at) else { return true };
        if Arc::strong_count(shard) > 1 || shard.indexes.has_failed() {
            return false;
        }
        let gone = shards.remove(&at);
        drop(shards);
        // Its memory is given back outside of the lock.
        drop(gone);
        true
    }

    /// All shards in memory.
    pub(crate) fn all_loaded(&self) -> Vec<Arc<Shard>> {
        self.shards.read().values().cloned().collect()
    }

    /// Whether the group knows the shard.
    pub(crate) fn knows(&self, at: ShardKey) -> bool {
        let collections = self.collections.read();
        collections.get(&at.collection).is_some_and(|known| known.shards.by_id(at.shard).is_some())
    }

    /// Schema and shard for a read.
    ///
    /// # Errors
    /// [`Error::UnknownShard`]
    pub(crate) fn known(&self, at: ShardKey) -> Result<(Arc<Collection>, Arc<Shard>)> {
        self.listed(at)?;
        let shard = self.shard(at);
        // The shard may have been dropped, and its data removed, while it was loaded. If it is still listed now that it is in
        // memory, `publish` returns it when it is dropped, and the removal of its data waits for this reader.
        match self.listed(at) {
            Ok(schema) => Ok((schema, shard?)),
            Err(error) => {
                self.shards.write().remove(&at);
                Err(error)
            }
        }
    }

    /// The schema of a shard that the group knows.
    fn listed(&self, at: ShardKey) -> Result<Arc<Collection>> {
        let collections = self.collections.read();
        let known = collections.get(&at.collection);
        match known.filter(|known| known.shards.by_id(at.shard).is_some()) {
            Some(known) => Ok(known.schema.clone()),
            None => Err(Error::UnknownShard(at)),
        }
    }

    /// Makes the schema changes of an apply visible; its rows and the states of its shards already are. Returns dropped
    /// shards that were in memory: freeing a large index takes long, and their data must stay until no reader holds them.
    pub(crate) fn publish(&self, effects: &Effects) -> Vec<Arc<Shard>> {
        if effects.collections.is_empty() {
            return Vec::new();
        }
        let mut gone: Vec<ShardKey> = effects.dropped_shards.iter().copied().collect();
        let mut collections = self.collections.write();
        for (&id, changed) in &effects.collections {
            match changed {
                Some(changed) => {
                    let before = collections.insert(id, changed.clone());
                    if before.is_none_or(|before| !Arc::ptr_eq(&before.schema, &changed.schema)) {
                        self.update_indexes(changed);
                    }
                }
                None => {
                    let before = collections.remove(&id);
                    gone.extend(before.iter().flat_map(|before| self.loaded_of(before)).map(|shard| shard.at));
                    self.dropped.write().insert(id);
                }
            }
        }
        drop(collections);
        self.leaving.lock().extend(&effects.deactivated);
        if gone.is_empty() {
            return Vec::new();
        }
        let mut shards = self.shards.write();
        gone.iter().filter_map(|at| shards.remove(at)).collect()
    }

    /// The shards of a collection that are in memory. Looks at the shards of the collection, or at those in memory, of which
    /// there are fewer.
    fn loaded_of(&self, known: &Known) -> Vec<Arc<Shard>> {
        let id = known.schema.id;
        let shards = self.shards.read();
        if known.shards.len() <= shards.len() {
            let at = known.shards.iter_by_id().map(|shard| ShardKey { collection: id, shard: shard.id });
            return at.filter_map(|at| shards.get(&at).cloned()).collect();
        }
        shards.values().filter(|shard| shard.at.collection == id).cloned().collect()
    }

    /// Hands changed settings to the vector indexes in memory.
    fn update_indexes(&self, known: &Known) {
        for shard in self.loaded_of(known) {
            for (vector, index) in shard.indexes.all_known() {
                if let Some((_, config)) = known.schema.vector_by_id(vector) {
                    shard.indexes.contained(shard.at, vector, || {
                        index.update_config(config.index);
                        Ok(())
                    });
                }
            }
        }
    }
}

/// The marks of dropped collections; those of shards, which earlier versions wrote, are converted before.
fn load_dropped(store: &Store, group: GroupId) -> Result<BTreeSet<CollectionId>> {
    let prefix = key::meta(group, MetaKey::Dropped, &[]);
    let id = |key: &[u8]| {
        let id = key[prefix.len()..].try_into().map(u32::from_be_bytes).map(CollectionId);
        id.map_err(|_| Error::Damaged("mark of a dropped collection".into()))
    };
    store.entries(Family::Meta, &prefix)?.iter().map(|(key, _)| id(key)).collect()
}
