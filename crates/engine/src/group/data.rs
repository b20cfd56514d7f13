//! A data group: objects and their indexes.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};

use super::due::DueRecord;
use super::ledger::{self, Ledger};
use super::shard::{Shard, ShardView};
use super::store::{Family, Store};
use super::vectors::Opening;
use super::work::Agenda;
use super::{
    Applied, Attempt, Contained, Entry, GroupOptions, LogPosition, OpenReport, StateMachine, apply, contained, inspect,
};
use crate::command::{At, Command, Outcome};
use crate::ids::{CollectionId, GroupId, ShardId, VectorId};
use crate::key::{self, MetaKey};
use crate::schema::{Collection, VectorIndexKind, decode_schema};
use crate::vector::IndexOptions;
use crate::{Error, Result};

/// Locks that loads of shards share.
const LOADING_LOCKS: usize = 32;

/// A group that holds objects.
///
/// Reads may come from any number of threads and never wait for compaction, indexing or checkpoints. Each answers from
/// one moment: a batch is seen whole or not at all.
pub struct DataGroup {
    pub(super) group: GroupId,
    pub(super) store: Store,
    /// Folder of the vector indexes' files.
    pub(super) index_dir: PathBuf,
    pub(super) options: GroupOptions,
    /// Held by whoever applies.
    ledger: Mutex<Ledger>,
    applied: RwLock<Applied>,
    durable: Mutex<Option<LogPosition>>,
    pub(super) collections: RwLock<HashMap<CollectionId, Arc<Collection>>>,
    pub(super) dropped: RwLock<Dropped>,
    pub(super) shards: RwLock<HashMap<At, Arc<Shard>>>,
    /// Held while a shard is loaded, by its number, so that it is loaded once.
    loading: [Mutex<()>; LOADING_LOCKS],
    /// Clock of uses, by which idle indexes are told.
    pub(super) uses: AtomicU64,
    /// Background work that is due.
    pub(super) agenda: Agenda,
    pub(super) entries_applied: AtomicU64,
    pub(super) commands_applied: AtomicU64,
    /// Commands refused because they could not be carried out.
    pub(super) commands_contained: AtomicU64,
    pub(super) objects_laid_down: AtomicU64,
    /// Whether an installed checkpoint has taken the group's place; see [`DataGroup::while_present`].
    pub(super) replaced: RwLock<bool>,
}

/// Collections and shards that are gone for good.
#[derive(Debug, Default)]
pub(super) struct Dropped {
    collections: BTreeSet<CollectionId>,
    shards: BTreeSet<(CollectionId, ShardId)>,
}

impl Dropped {
    pub(super) fn contains(&self, collection: CollectionId, shard: Option<ShardId>) -> bool {
        self.collections.contains(&collection) || shard.is_some_and(|shard| self.shards.contains(&(collection, shard)))
    }
}

impl DataGroup {
    /// Opens the group in `dir`, or creates it. `gen-<n>/` holds its RocksDB, `hnsw/` the vector indexes' files, which may
    /// be removed while it is closed.
    ///
    /// # Errors
    /// [`Error::Damaged`] when what is stored fails its checks or is of a later version.
    pub fn open(dir: &Path, options: GroupOptions) -> Result<(Arc<Self>, OpenReport)> {
        let (store, mut report) = Store::open(dir, &options)?;
        let this = Self::with_store(store, dir.join("hnsw"), options)?;
        report.collections = this.collections.read().len();
        this.look_at_what_is_due()?;
        Ok((Arc::new(this), report))
    }

    fn with_store(store: Store, index_dir: PathBuf, options: GroupOptions) -> Result<Self> {
        let group = options.group;
        let ledger = Ledger::load(&store, group)?;
        let mut collections = HashMap::new();
        for (_, value) in store.entries(Family::Meta, &key::meta(group, MetaKey::Collection, &[]))? {
            let collection = decode_schema(&value)?;
            collections.insert(collection.id, Arc::new(collection));
        }
        Ok(Self {
            group,
            index_dir,
            applied: RwLock::new(ledger.applied.clone()),
            durable: Mutex::new(ledger.applied.position),
            ledger: Mutex::new(ledger),
            collections: RwLock::new(collections),
            dropped: RwLock::new(load_dropped(&store, group)?),
            shards: RwLock::default(),
            loading: Default::default(),
            uses: AtomicU64::new(0),
            agenda: Agenda::default(),
            entries_applied: AtomicU64::new(0),
            commands_applied: AtomicU64::new(0),
            commands_contained: AtomicU64::new(0),
            objects_laid_down: AtomicU64::new(0),
            replaced: RwLock::new(false),
            options,
            store,
        })
    }

    /// The newest schema that the group knows of a collection.
    pub fn collection(&self, id: CollectionId) -> Option<Arc<Collection>> {
        self.collections.read().get(&id).cloned()
    }

    /// All collections that the group knows, by id.
    pub fn collections(&self) -> Vec<Arc<Collection>> {
        let mut all: Vec<_> = self.collections.read().values().cloned().collect();
        all.sort_unstable_by_key(|collection| collection.id);
        all
    }

    /// A shard, loaded if need be. Whether it is in any schema is the caller's to know.
    pub(crate) fn shard(&self, at: At) -> Result<Arc<Shard>> {
        if let Some(shard) = self.shards.read().get(&at) {
            return Ok(shard.clone());
        }
        let _loading = self.loading[at.collection.0.wrapping_add(at.shard.0) as usize % LOADING_LOCKS].lock();
        if let Some(shard) = self.shards.read().get(&at) {
            return Ok(shard.clone());
        }
        // Loads without the lock that all reads take, because reading the shard from disk may take long. The shard does
        // not change meanwhile, as an apply that writes to it has to load it first.
        let shard = Arc::new(Shard::load(&self.store, self.group, at)?);
        Ok(self.shards.write().entry(at).or_insert(shard).clone())
    }

    /// Whether the group knows that shard. A new collection reaches this group a moment after the meta group. A deleted
    /// collection is gone at once, also for a caller that still holds an older catalog.
    pub fn knows(&self, at: At) -> bool {
        let schema = self.collection(at.collection);
        schema.is_some_and(|schema| schema.shards.values().any(|shard| shard.id == at.shard))
    }

    /// Schema and shard for a read.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the group does not know them.
    pub(crate) fn known(&self, at: At) -> Result<(Arc<Collection>, Arc<Shard>)> {
        let schema = self.collection(at.collection);
        let schema = schema.ok_or_else(|| Error::Invalid(format!("collection {} is not there", at.collection)))?;
        let known = schema.shards.values().any(|shard| shard.id == at.shard)
            && !self.dropped.read().contains(at.collection, Some(at.shard));
        if !known {
            return Err(Error::Invalid(format!("shard {} of collection {} is not there", at.shard, schema.name)));
        }
        Ok((schema, self.shard(at)?))
    }

    /// A shard and the store at this moment.
    pub(crate) fn view(&self, shard: &Shard) -> ShardView<'_> {
        shard.view(&self.store)
    }

    /// What opening the index of a vector needs; `None` when the schema does not know the vector.
    pub(super) fn opening<'a>(&'a self, schema: &'a Collection, vector: VectorId) -> Option<Opening<'a>> {
        let (_, config) = schema.vector_by_id(vector)?;
        let options: IndexOptions = self.options.index;
        Some(Opening {
            store: &self.store,
            dir: &self.index_dir,
            config,
            options,
            uses: &self.uses,
            opened: &self.agenda.indexes,
        })
    }

    fn apply_entries(
        &self,
        entries: Vec<Entry>,
        again: Option<&dyn Fn(usize) -> Result<Entry>>,
    ) -> Result<Vec<Vec<Outcome>>> {
        let mut ledger = self.ledger.lock();
        let nothing = Command::DeleteCollection(CollectionId(0));
        let mut attempt = |entries, attempt: &Attempt| {
            let outcomes = apply::apply(self, &mut ledger, entries, attempt)?;
            *self.applied.write() = ledger.applied.clone();
            Ok(outcomes)
        };
        let Contained { outcomes, refused } = contained(self.group, entries, again, &nothing, &mut attempt)?;
        self.entries_applied.fetch_add(outcomes.len() as u64, Ordering::Relaxed);
        let commands = outcomes.iter().map(|outcomes| outcomes.len() as u64).sum();
        self.commands_applied.fetch_add(commands, Ordering::Relaxed);
        self.commands_contained.fetch_add(refused, Ordering::Relaxed);
        Ok(outcomes)
    }

    /// As [`opening`](Self::opening); `None` also when the vector has no index that can be searched.
    pub(super) fn searchable<'a>(&'a self, schema: &'a Collection, vector: VectorId) -> Option<Opening<'a>> {
        let opening = self.opening(schema, vector)?;
        let indexed = opening.config.kind != VectorIndexKind::None && !opening.config.index.skip;
        indexed.then_some(opening)
    }

    /// Makes schema changes of an apply visible. Its rows already are.
    pub(super) fn publish(
        &self,
        changed: &HashMap<CollectionId, Option<Arc<Collection>>>,
        dropped_shards: &BTreeSet<At>,
    ) {
        if changed.is_empty() && dropped_shards.is_empty() {
            return;
        }
        let mut collections = self.collections.write();
        let mut dropped = self.dropped.write();
        for (&id, collection) in changed {
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
        dropped.shards.extend(dropped_shards.iter().map(|at| (at.collection, at.shard)));
        if dropped_shards.is_empty() && changed.values().all(Option::is_some) {
            return;
        }
        let gone = |at: &At| dropped.contains(at.collection, Some(at.shard));
        // Freeing a large index takes long, and every write would wait for it here: the background does it.
        let mut shards = self.shards.write();
        let ended: Vec<At> = shards.keys().filter(|at| gone(at)).copied().collect();
        self.agenda.ended.lock().extend(ended.iter().filter_map(|at| shards.remove(at)));
        drop(shards);
        self.agenda.forget(gone);
        self.agenda.remove_dropped();
    }

    /// Has the background look at the shards where something may be due, at every one if that is not known.
    fn look_at_what_is_due(&self) -> Result<()> {
        self.agenda.remove_dropped();
        match DueRecord::load(&self.store, self.group, self.applied.read().position)? {
            Some(shards) => self.agenda.look_at(shards),
            None => self.look_at_everything(),
        }
        Ok(())
    }

    fn look_at_everything(&self) {
        for collection in self.collections() {
            let at = |shard: ShardId| At { collection: collection.id, shard };
            self.agenda.look_at(collection.shards.values().map(|shard| at(shard.id)));
        }
    }

    fn update_indexes(&self, collection: &Collection) {
        for shard in collection.shards.values() {
            let at = At { collection: collection.id, shard: shard.id };
            let Some(shard) = self.shards.read().get(&at).cloned() else { continue };
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

impl StateMachine for DataGroup {
    fn applied(&self) -> Result<Applied> {
        Ok(self.applied.read().clone())
    }

    fn durable(&self) -> Option<LogPosition> {
        *self.durable.lock()
    }

    fn apply(&self, entries: Vec<Entry>) -> Result<Vec<Vec<Outcome>>> {
        self.apply_entries(entries, None)
    }

    fn apply_contained(
        &self,
        entries: Vec<Entry>,
        again: &dyn Fn(usize) -> Result<Entry>,
    ) -> Result<Vec<Vec<Outcome>>> {
        self.apply_entries(entries, Some(again))
    }

    fn flush(&self) -> Result<Option<LogPosition>> {
        let position = self.applied.read().position;
        self.note_due(position)?;
        self.store.flush()?;
        let mut durable = self.durable.lock();
        *durable = position.max(*durable);
        Ok(*durable)
    }

    fn checkpoint(&self, dir: &Path) -> Result<Applied> {
        self.store.checkpoint(dir)?;
        let applied = ledger::load_applied(&Store::open_read_only(dir)?, self.group)?;
        let mut durable = self.durable.lock();
        *durable = applied.position.max(*durable);
        Ok(applied)
    }

    fn inspect(&self, dir: &Path) -> Result<Applied> {
        inspect(dir, self.group)
    }

    fn install(&self, dir: &Path, position: LogPosition) -> Result<Arc<Self>> {
        // Waits for the present steps of background work. None begins until the new state has taken over.
        let mut replaced = self.replaced.write();
        let store = self.store.open_beside(dir, position, &self.options)?;
        let next = Self::with_store(store, self.index_dir.clone(), self.options.clone())?;
        // The record of what is due is the other replica's, whose vector indexes are not these.
        next.agenda.remove_dropped();
        next.look_at_everything();
        self.store.give_way_to(&next.store)?;
        *replaced = true;
        next.remove_unknown_indexes();
        Ok(Arc::new(next))
    }

    fn check_storage(&self) -> Result<()> {
        self.store.check_background()
    }

    fn reclaim_space(&self) -> Result<()> {
        self.flush()?;
        self.store.compact();
        Ok(())
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
            let at = key::parse_shard(rest)?;
            dropped.shards.insert((at.collection, at.shard));
        }
    }
    Ok(dropped)
}
