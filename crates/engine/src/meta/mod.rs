//! The meta group: the catalog of collections, their aliases and shards.
//!
//! Ids of collections, properties, vectors and shards are given here, at apply, and never again.

mod aliases;
mod catalog;
mod shards;

use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;

pub use catalog::Catalog;

use crate::collections::{self, Known, take_listed};
use crate::command::{Command, NewShard, Outcome};
use crate::ids::{CollectionId, GroupId};
use crate::level::{ApplyLimits, FeatureLevel};
use crate::replica::{
    self, Applied, AppliedLog, AppliedState, Attempt, Entry, Executor, LogPosition, StateHasher, StateMachine,
};
use crate::schema::{Collection, GivenIds, Shard, ShardTable, check_kept, encode_schema, encode_to_apply};
use crate::storage::key::{self, MetaKey};
use crate::storage::{Changes, Family, OpenReport, StorageBudget, Store, record};
use crate::{Error, Result};

/// The group that holds the schema.
pub struct MetaGroup {
    group: GroupId,
    store: Store,
    log: AppliedLog,
    catalog: ArcSwap<Catalog>,
}

/// A new collection and its shards.
type Created = (Box<Collection>, Vec<Shard>);

/// The catalog as one apply leaves it.
struct CatalogDraft<'a> {
    group: GroupId,
    changes: Changes<'a>,
    catalog: Catalog,
    next_collection: u32,
    /// Limits of the group's level.
    limits: &'static ApplyLimits,
}

impl MetaGroup {
    /// Opens the group in `dir`, or creates it.
    ///
    /// # Errors
    /// [`Error::Damaged`] when stored data fail their checks or are of a later version, [`Error::NewerLevel`] when this
    /// program does not support the group's feature level.
    pub fn open(dir: &Path, group: GroupId, budget: &StorageBudget) -> Result<(Arc<Self>, OpenReport)> {
        let (store, mut report) = Store::open(dir, group, budget)?;
        let this = Self::with_store(store, group)?;
        report.collections = this.catalog().len();
        Ok((Arc::new(this), report))
    }

    fn with_store(store: Store, group: GroupId) -> Result<Self> {
        // Refuses a state that this program does not support, before any record is converted.
        let log = AppliedLog::load(&store, group)?;
        let mut catalog = Catalog::default();
        collections::load(&store, group)?.into_iter().for_each(|known| catalog.insert(known));
        catalog.aliases = aliases::load(&store, group)?;
        Ok(Self { group, store, log, catalog: ArcSwap::from_pointee(catalog) })
    }

    /// All collections as of now.
    pub fn catalog(&self) -> Arc<Catalog> {
        self.catalog.load_full()
    }

    /// A hash over the logical content, equal on all replicas at the same position.
    ///
    /// # Errors
    /// When stored data fail their checks.
    pub fn state_hash(&self) -> Result<[u8; 16]> {
        let mut hasher = StateHasher::default();
        hasher.add(&self.level().number().to_be_bytes());
        hasher.add(&self.next_collection()?.to_be_bytes());
        let catalog = self.catalog();
        for collection in catalog.collections() {
            hasher.add(&encode_schema(&collection)?);
            let shards = catalog.shards(collection.id);
            hasher.add(&record::encode(shards.given())?);
            for shard in shards.iter_by_id() {
                hasher.add(&record::encode(shard.as_ref())?);
            }
        }
        for alias in catalog.aliases() {
            hasher.add(&record::encode(alias.as_ref())?);
        }
        Ok(hasher.finish())
    }

    fn next_collection(&self) -> Result<u32> {
        match self.store.get(Family::Meta, &key::meta(self.group, MetaKey::NextCollection, &[]))? {
            Some(bytes) => bytes
                .as_ref()
                .try_into()
                .map(u32::from_be_bytes)
                .map_err(|_| Error::Damaged("next collection id".into())),
            None => Ok(1),
        }
    }

    fn apply_entries(
        &self,
        entries: Vec<Entry>,
        again: Option<&dyn Fn(usize) -> Result<Entry>>,
    ) -> Result<Vec<Vec<Outcome>>> {
        let nothing = Command::DropCollection(CollectionId(0));
        let mut attempt = |applied: &mut AppliedState, entries: Vec<Entry>, attempt: &Attempt| {
            self.attempt(applied, entries, attempt)
        };
        Ok(self.log.apply(entries, again, &nothing, &mut attempt)?.outcomes)
    }

    fn attempt(&self, applied: &mut AppliedState, entries: Vec<Entry>, attempt: &Attempt) -> Result<Vec<Vec<Outcome>>> {
        let mut draft = CatalogDraft {
            group: self.group,
            changes: self.store.changes(),
            catalog: (*self.catalog.load_full()).clone(),
            next_collection: self.next_collection()?,
            limits: self.level().limits(),
        };
        let outcomes = applied.apply(self.group, entries, &mut draft)?;
        if attempt.may_write() {
            draft.changes.write()?;
            self.catalog.store(Arc::new(draft.catalog));
        }
        Ok(outcomes)
    }
}

impl<'a> Executor<'a> for CatalogDraft<'a> {
    fn changes(&mut self) -> &mut Changes<'a> {
        &mut self.changes
    }

    fn execute(&mut self, commands: Vec<Command>, level: FeatureLevel) -> Result<Vec<Outcome>> {
        self.limits = level.limits();
        commands.into_iter().map(|command| self.carry_out(command)).collect()
    }
}

impl CatalogDraft<'_> {
    fn carry_out(&mut self, command: Command) -> Result<Outcome> {
        Ok(match command {
            Command::CreateCollection(collection) => match self.create(*collection, Vec::new())? {
                Ok((collection, _)) => Outcome::Collection(collection),
                Err(why) => why,
            },
            Command::CreateSharded { collection, shards } => match self.create(*collection, shards)? {
                Ok((collection, shards)) => Outcome::Created { collection, shards },
                Err(why) => why,
            },
            Command::UpdateCollection { expected_version, collection } => self.update(expected_version, *collection)?,
            Command::DeleteCollection(id) => {
                if self.catalog.remove(id).is_none() {
                    return Ok(Outcome::NotFound);
                }
                collections::remove(&mut self.changes, self.group, id)?;
                Outcome::Done
            }
            Command::CreateShards { collection, shards } => self.create_shards(collection, shards)?,
            Command::UpdateShards { collection, changes } => self.update_shards(collection, changes)?,
            Command::DropShards { collection, names } => self.drop_shards(collection, &names)?,
            Command::RaiseLevel(_) => Outcome::Done,
            Command::CreateAlias(alias) => self.create_alias(alias)?,
            Command::UpdateAlias(alias) => self.update_alias(alias)?,
            Command::DropAlias(name) => self.drop_alias(&name),
            Command::PutCollection(_)
            | Command::DropCollection(_)
            | Command::DropShard(..)
            | Command::Put { .. }
            | Command::Merge { .. }
            | Command::Delete { .. }
            | Command::DeleteVersion { .. }
            | Command::PutShards { .. } => Outcome::Refused("the meta group holds no objects".into()),
        })
    }

    /// Creates a collection with these shards and those that its schema lists. Returns both as they are then, or the
    /// outcome that says why not.
    fn create(
        &mut self,
        mut collection: Collection,
        shards: Vec<NewShard>,
    ) -> Result<std::result::Result<Created, Outcome>> {
        let refused = |why: String| Ok(Err(Outcome::Refused(why)));
        if let Some(there) = self.catalog.find_similar(&collection.name) {
            return Ok(Err(Outcome::Conflict(taken(&collection.name, &there.name))));
        }
        if let Some(there) = self.catalog.similar_alias(&collection.name) {
            return Ok(Err(Outcome::Conflict(format!(
                "the name {} is taken by alias {}",
                collection.name, there.name
            ))));
        }
        collection.id = CollectionId(self.next_collection);
        collection.version = 1;
        let Some(next) = self.next_collection.checked_add(1) else {
            return refused("the ids of collections are used up".into());
        };
        let mut table = ShardTable::default();
        let mut listed = take_listed(&mut collection).map_or_else(Vec::new, |listed| listed.adopt(&mut table, 1));
        let created = match shards::create(&mut table, shards, self.limits) {
            Ok(created) => created,
            Err(why) => return refused(why),
        };
        let record = match numbered(&mut collection) {
            Ok(record) => record,
            Err(error) => return refused(error.to_string()),
        };
        self.next_collection = next;
        let next_key = key::meta(self.group, MetaKey::NextCollection, &[]);
        self.changes.put(Family::Meta, &next_key, &self.next_collection.to_be_bytes());
        listed.extend(created.iter().cloned());
        self.put(collection.clone(), &record, table, &listed)?;
        Ok(Ok((Box::new(collection), created.iter().map(|shard| Shard::clone(shard)).collect())))
    }

    fn update(&mut self, expected_version: u64, mut collection: Collection) -> Result<Outcome> {
        let Some(known) = self.catalog.known(collection.id).cloned() else { return Ok(Outcome::NotFound) };
        let Known { schema: old, shards: table } = known.as_ref();
        if old.version != expected_version {
            return Ok(Outcome::Conflict(format!("collection {} was changed by somebody else", old.name)));
        }
        if let Some(there) = self.catalog.find_similar(&collection.name)
            && there.id != collection.id
        {
            return Ok(Outcome::Conflict(taken(&collection.name, &there.name)));
        }
        if let Err(why) = check_kept(old, &collection) {
            return Ok(Outcome::Refused(why));
        }
        let Some(version) = expected_version.checked_add(1) else {
            return Ok(Outcome::Refused(format!("the versions of collection {} are used up", old.name)));
        };
        collection.version = version;
        let mut table = table.clone();
        let listed = take_listed(&mut collection).map_or_else(Vec::new, |listed| listed.adopt(&mut table, version));
        let record = match numbered(&mut collection) {
            Ok(record) => record,
            Err(error) => return Ok(Outcome::Refused(error.to_string())),
        };
        self.catalog.remove(collection.id);
        self.put(collection.clone(), &record, table, &listed)?;
        Ok(Outcome::Collection(Box::new(collection)))
    }

    /// Writes a schema, its shards that have changed, and the ids of shards that were given.
    fn put(&mut self, schema: Collection, record: &[u8], shards: ShardTable, changed: &[Arc<Shard>]) -> Result<()> {
        collections::put_schema(&mut self.changes, self.group, schema.id, record);
        if *shards.given() != GivenIds::default() {
            collections::put_shards(&mut self.changes, self.group, schema.id, changed, shards.given())?;
        }
        self.catalog.insert(Known { schema: Arc::new(schema), shards });
        Ok(())
    }
}

impl StateMachine for MetaGroup {
    fn applied(&self) -> Result<Applied> {
        Ok(self.log.applied())
    }

    fn level(&self) -> FeatureLevel {
        self.log.level()
    }

    fn durable(&self) -> Option<LogPosition> {
        self.log.durable()
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
        self.log.flush(&self.store, |_| Ok(()))
    }

    fn checkpoint(&self, dir: &Path) -> Result<Applied> {
        self.log.checkpoint(&self.store, dir)
    }

    fn inspect(&self, dir: &Path) -> Result<Applied> {
        replica::inspect(dir, self.group)
    }

    fn install(&self, dir: &Path, position: LogPosition) -> Result<Arc<Self>> {
        let store = replica::open_beside(&self.store, dir, self.group, position)?;
        let next = Self::with_store(store, self.group)?;
        self.store.give_way_to(&next.store)?;
        Ok(Arc::new(next))
    }

    fn check_storage(&self) -> Result<()> {
        self.store.check_background()
    }
}

/// Assigns the missing ids of a collection, and encodes the collection.
fn numbered(collection: &mut Collection) -> Result<Vec<u8>> {
    collection.assign_ids()?;
    encode_to_apply(collection)
}

fn taken(name: &str, there: &str) -> String {
    format!("the name {name} is taken by collection {there}")
}
