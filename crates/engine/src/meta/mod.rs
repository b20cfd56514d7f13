//! The meta group: which collections there are.
//!
//! Ids of collections, properties and vectors are given here, at apply, and never again.

mod catalog;

use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::{Mutex, RwLock};

pub use catalog::Catalog;

use crate::command::{Command, Outcome};
use crate::group::{
    Applied, Attempt, Changes, Entry, EntryBody, Family, GroupOptions, Hasher, Ledger, LogPosition, OpenReport,
    ProposerRecord, StateMachine, Store, contained, inspect, load_applied,
};
use crate::ids::{CollectionId, GroupId};
use crate::key::{self, MetaKey};
use crate::schema::{Collection, decode_schema, encode_schema, encode_to_apply};
use crate::{Error, Result};

/// The group that holds the schema.
pub struct MetaGroup {
    group: GroupId,
    options: GroupOptions,
    store: Store,
    /// Held by whoever applies.
    ledger: Mutex<Ledger>,
    applied: RwLock<Applied>,
    durable: Mutex<Option<LogPosition>>,
    catalog: ArcSwap<Catalog>,
}

/// The catalog as one apply leaves it.
struct Draft {
    catalog: Catalog,
    next_collection: u32,
}

impl MetaGroup {
    /// Opens the group in `dir`, or creates it.
    ///
    /// # Errors
    /// [`Error::Damaged`] when what is stored fails its checks or is of a later version.
    pub fn open(dir: &Path, options: GroupOptions) -> Result<(Arc<Self>, OpenReport)> {
        let (store, mut report) = Store::open(dir, &options)?;
        let this = Self::with_store(store, options)?;
        report.collections = this.catalog().len();
        Ok((Arc::new(this), report))
    }

    fn with_store(store: Store, options: GroupOptions) -> Result<Self> {
        let group = options.group;
        let ledger = Ledger::load(&store, group)?;
        let mut catalog = Catalog::default();
        for (_, value) in store.entries(Family::Meta, &key::meta(group, MetaKey::Collection, &[]))? {
            catalog.insert(Arc::new(decode_schema(&value)?));
        }
        Ok(Self {
            group,
            options,
            applied: RwLock::new(ledger.applied.clone()),
            durable: Mutex::new(ledger.applied.position),
            ledger: Mutex::new(ledger),
            catalog: ArcSwap::from_pointee(catalog),
            store,
        })
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
        let mut hasher = Hasher::default();
        hasher.add(&self.next_collection()?.to_be_bytes());
        for collection in self.catalog().collections() {
            hasher.add(&encode_schema(&collection)?);
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
        let mut ledger = self.ledger.lock();
        let nothing = Command::DropCollection(CollectionId(0));
        let mut attempt = |entries, attempt: &Attempt| self.attempt(&mut ledger, entries, attempt);
        Ok(contained(self.group, entries, again, &nothing, &mut attempt)?.outcomes)
    }

    fn attempt(&self, ledger: &mut Ledger, entries: Vec<Entry>, attempt: &Attempt) -> Result<Vec<Vec<Outcome>>> {
        let mut next = ledger.clone();
        let mut changes = self.store.changes();
        let mut draft =
            Draft { catalog: (*self.catalog.load_full()).clone(), next_collection: self.next_collection()? };
        let mut outcomes = Vec::with_capacity(entries.len());
        for entry in entries {
            next.advance(&mut changes, self.group, entry.position)?;
            outcomes.push(match entry.body {
                EntryBody::Blank => Vec::new(),
                EntryBody::Membership(members) => {
                    next.set_members(&mut changes, self.group, entry.position, members)?;
                    Vec::new()
                }
                EntryBody::Batch(batch) => {
                    let record = ProposerRecord { sequence: batch.sequence, index: entry.position.index };
                    if next.admit(&mut changes, self.group, batch.proposer, record)? {
                        let commands = batch.commands.into_iter();
                        commands
                            .map(|command| self.execute(&mut draft, &mut changes, command))
                            .collect::<Result<_>>()?
                    } else {
                        vec![Outcome::Repeated; batch.commands.len()]
                    }
                }
            });
        }
        if attempt.may_write() {
            changes.write()?;
            *ledger = next;
            *self.applied.write() = ledger.applied.clone();
            self.catalog.store(Arc::new(draft.catalog));
        }
        Ok(outcomes)
    }

    fn execute(&self, draft: &mut Draft, changes: &mut Changes<'_>, command: Command) -> Result<Outcome> {
        match command {
            Command::CreateCollection(collection) => self.create(draft, changes, *collection),
            Command::UpdateCollection { expected_version, collection } => {
                self.update(draft, changes, expected_version, *collection)
            }
            Command::DeleteCollection(id) => {
                if draft.catalog.remove(id).is_none() {
                    return Ok(Outcome::NotFound);
                }
                changes.delete(Family::Meta, &self.schema_key(id));
                Ok(Outcome::Done)
            }
            Command::PutCollection(_)
            | Command::DropCollection(_)
            | Command::DropShard(..)
            | Command::Put { .. }
            | Command::Merge { .. }
            | Command::Delete { .. }
            | Command::DeleteVersion { .. } => Ok(Outcome::Refused("the meta group holds no objects".into())),
        }
    }

    fn create(&self, draft: &mut Draft, changes: &mut Changes<'_>, mut collection: Collection) -> Result<Outcome> {
        if let Some(there) = draft.catalog.find_similar(&collection.name) {
            return Ok(Outcome::Conflict(taken(&collection.name, &there.name)));
        }
        collection.id = CollectionId(draft.next_collection);
        collection.version = 1;
        let Some(next) = draft.next_collection.checked_add(1) else {
            return Ok(Outcome::Refused("the ids of collections are used up".into()));
        };
        let record = match numbered(&mut collection) {
            Ok(record) => record,
            Err(error) => return Ok(Outcome::Refused(error.to_string())),
        };
        draft.next_collection = next;
        let next_key = key::meta(self.group, MetaKey::NextCollection, &[]);
        changes.put(Family::Meta, &next_key, &draft.next_collection.to_be_bytes());
        Ok(self.put(draft, changes, collection, &record))
    }

    fn update(
        &self,
        draft: &mut Draft,
        changes: &mut Changes<'_>,
        expected_version: u64,
        mut collection: Collection,
    ) -> Result<Outcome> {
        let Some(known) = draft.catalog.get(collection.id) else { return Ok(Outcome::NotFound) };
        if known.version != expected_version {
            return Ok(Outcome::Conflict(format!("collection {} was changed by somebody else", known.name)));
        }
        if let Some(there) = draft.catalog.find_similar(&collection.name)
            && there.id != collection.id
        {
            return Ok(Outcome::Conflict(taken(&collection.name, &there.name)));
        }
        let Some(version) = expected_version.checked_add(1) else {
            return Ok(Outcome::Refused(format!("the versions of collection {} are used up", known.name)));
        };
        collection.version = version;
        let record = match numbered(&mut collection) {
            Ok(record) => record,
            Err(error) => return Ok(Outcome::Refused(error.to_string())),
        };
        draft.catalog.remove(collection.id);
        Ok(self.put(draft, changes, collection, &record))
    }

    fn put(&self, draft: &mut Draft, changes: &mut Changes<'_>, collection: Collection, record: &[u8]) -> Outcome {
        changes.put(Family::Meta, &self.schema_key(collection.id), record);
        draft.catalog.insert(Arc::new(collection.clone()));
        Outcome::Collection(Box::new(collection))
    }

    fn schema_key(&self, id: CollectionId) -> Vec<u8> {
        key::meta(self.group, MetaKey::Collection, &id.0.to_be_bytes())
    }
}

impl StateMachine for MetaGroup {
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
        self.store.flush()?;
        let mut durable = self.durable.lock();
        *durable = position.max(*durable);
        Ok(*durable)
    }

    fn checkpoint(&self, dir: &Path) -> Result<Applied> {
        self.store.checkpoint(dir)?;
        let applied = load_applied(&Store::open_read_only(dir)?, self.group)?;
        let mut durable = self.durable.lock();
        *durable = applied.position.max(*durable);
        Ok(applied)
    }

    fn inspect(&self, dir: &Path) -> Result<Applied> {
        inspect(dir, self.group)
    }

    fn install(&self, dir: &Path, position: LogPosition) -> Result<Arc<Self>> {
        let next = Self::with_store(self.store.open_beside(dir, position, &self.options)?, self.options.clone())?;
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
    if name == there {
        format!("class name {name} already exists")
    } else {
        format!("class already exists: found similar class \"{there}\"")
    }
}
