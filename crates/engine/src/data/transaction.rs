//! A transaction: the changes of one apply, collected beside the present state and published at once.
//!
//! Later commands see the changes of earlier ones through the drafts kept here; the state does not change before
//! [`Transaction::commit`], which returns the [`Effects`] on the rest of the group. Read next: `draft`, a shard within a transaction.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::draft::ShardDraft;
use super::effects::ChangedShard;
use super::{Effects, State, apply};
use crate::Result;
use crate::command::{Command, Outcome};
use crate::ids::{CollectionId, ShardId, ShardKey};
use crate::replica::{Attempt, Executor};
use crate::schema::Collection;
use crate::storage::key::{self, MetaKey};
use crate::storage::{Changes, Family};

/// A collection that takes writes, and its shards.
type Open = (Arc<Collection>, HashSet<ShardId>);

/// The changes of one apply.
pub(crate) struct Transaction<'a> {
    pub state: &'a State,
    changes: Changes<'a>,
    /// Schemas changed here; `None` for dropped collections.
    collections: HashMap<CollectionId, Option<Arc<Collection>>>,
    dropped_shards: BTreeSet<ShardKey>,
    /// Collections that commands named, with their shards, as far as they take writes.
    open: HashMap<CollectionId, Option<Open>>,
    drafts: BTreeMap<ShardKey, ShardDraft<'a>>,
}

impl<'a> Transaction<'a> {
    pub(crate) fn new(state: &'a State) -> Self {
        Self {
            state,
            changes: state.store.changes(),
            collections: HashMap::new(),
            dropped_shards: BTreeSet::new(),
            open: HashMap::new(),
            drafts: BTreeMap::new(),
        }
    }

    /// The schema as earlier commands left it.
    pub(crate) fn collection(&self, id: CollectionId) -> Option<Arc<Collection>> {
        match self.collections.get(&id) {
            Some(changed) => changed.clone(),
            None => self.state.collection(id),
        }
    }

    /// Whether the collection or shard was ever dropped.
    pub(crate) fn was_dropped(&self, id: CollectionId, shard: Option<ShardId>) -> bool {
        let here = match shard {
            Some(shard) => self.dropped_shards.contains(&ShardKey { collection: id, shard }),
            None => matches!(self.collections.get(&id), Some(None)),
        };
        here || self.state.was_dropped(id, shard)
    }

    /// Schema of a shard that takes writes. The shards of a collection, of which tenants make many, are gone through once.
    pub(crate) fn schema_of(&mut self, at: ShardKey) -> Option<Arc<Collection>> {
        if let Entry::Vacant(entry) = self.open.entry(at.collection) {
            let schema = match self.collections.get(&at.collection) {
                Some(changed) => changed.clone(),
                None => self.state.collection(at.collection),
            };
            entry.insert(schema.map(|schema| {
                let shards = schema.shards.values().map(|shard| shard.id).collect();
                (schema, shards)
            }));
        }
        let (schema, shards) = self.open.get(&at.collection)?.as_ref()?;
        (shards.contains(&at.shard) && !self.was_dropped(at.collection, Some(at.shard))).then(|| schema.clone())
    }

    /// Writes a schema; `record` is its stored form.
    pub(crate) fn put_collection(&mut self, collection: Collection, record: &[u8]) -> Result<()> {
        // Changes made before this command are written under the schema that was valid for them.
        self.settle()?;
        let record_key = key::meta(self.state.group, MetaKey::Collection, &collection.id.0.to_be_bytes());
        self.changes.put(Family::Meta, &record_key, record);
        self.open.remove(&collection.id);
        self.collections.insert(collection.id, Some(Arc::new(collection)));
        Ok(())
    }

    pub(crate) fn drop_collection(&mut self, id: CollectionId) {
        let bytes = id.0.to_be_bytes();
        self.changes.delete(Family::Meta, &key::meta(self.state.group, MetaKey::Collection, &bytes));
        self.mark_dropped(&bytes);
        self.open.remove(&id);
        self.collections.insert(id, None);
        self.drafts.retain(|at, _| at.collection != id);
    }

    pub(crate) fn drop_shard(&mut self, at: ShardKey) {
        self.mark_dropped(&key::shard_bytes(at));
        self.dropped_shards.insert(at);
        self.drafts.remove(&at);
    }

    fn mark_dropped(&mut self, bytes: &[u8]) {
        for tag in [MetaKey::Dropped, MetaKey::Purge] {
            self.changes.put(Family::Meta, &key::meta(self.state.group, tag, bytes), &[1]);
        }
    }

    /// The shard as earlier commands left it.
    pub(crate) fn draft(&mut self, at: ShardKey) -> Result<&mut ShardDraft<'a>> {
        Ok(match self.drafts.entry(at) {
            std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::btree_map::Entry::Vacant(entry) => {
                entry.insert(ShardDraft::new(self.state, self.state.shard(at)?))
            }
        })
    }

    /// Writes the version of each object that the commands so far have left. Called at the end of each entry.
    pub(crate) fn settle(&mut self) -> Result<()> {
        let Self { state, changes, collections, drafts, .. } = self;
        for (at, draft) in drafts {
            let schema = match collections.get(&at.collection) {
                Some(changed) => changed.clone(),
                None => state.collection(at.collection),
            };
            // Drafts of dropped collections are dropped with them.
            if let Some(schema) = schema {
                draft.settle(&schema, changes)?;
            }
        }
        Ok(())
    }

    /// Writes all changes and publishes the new states of the shards. Returns the effects, or `None` if the attempt is not
    /// to write.
    ///
    /// # Errors
    /// Those of the storage; a damaged or unreadable row that the changes need.
    pub(crate) fn commit(mut self, attempt: &Attempt) -> Result<Option<Effects>> {
        self.settle()?;
        let mut published = Vec::with_capacity(self.drafts.len());
        for (_, draft) in std::mem::take(&mut self.drafts) {
            let state = draft.finish(&mut self.changes)?;
            published.push((draft, Arc::new(state)));
        }
        if !attempt.may_write() {
            return Ok(None);
        }
        let shards: Vec<_> = published.iter().map(|(draft, _)| draft.shard.clone()).collect();
        let committing: Vec<_> = shards.iter().map(|shard| shard.indexes.committing()).collect();
        for (draft, _) in &published {
            draft.shard.indexes.add(draft.shard.at, &draft.added());
        }
        if published.iter().any(|(draft, _)| draft.takes_away()) {
            // Readers must not pair the old live set with a store that lost the rows.
            let derived: Vec<_> = shards.iter().map(|shard| shard.derived()).collect();
            let before = self.state.store.snapshot();
            shards.iter().zip(derived).for_each(|(shard, derived)| shard.freeze(before.clone(), derived));
        }
        self.changes.write()?;
        published.iter().for_each(|(draft, state)| draft.shard.publish(state.clone()));
        drop(committing);
        let mut effects =
            Effects { collections: self.collections, dropped_shards: self.dropped_shards, ..Effects::default() };
        for (draft, state) in published {
            draft.forget_unreadable();
            draft.note_columns();
            effects.versions_written += draft.versions_written();
            let (changes_before, changes_after) = (draft.base.changes(), state.changes());
            let (shard, base, removed) = draft.into_departed();
            let keeps_departed = shard.depart(base, removed);
            effects.shards.push(ChangedShard { shard, changes_before, changes_after, keeps_departed });
        }
        Ok(Some(effects))
    }
}

impl<'a> Executor<'a> for Transaction<'a> {
    fn changes(&mut self) -> &mut Changes<'a> {
        &mut self.changes
    }

    fn execute(&mut self, commands: Vec<Command>) -> Result<Vec<Outcome>> {
        let outcomes = commands.into_iter().map(|command| apply::execute(self, command)).collect();
        self.settle()?;
        outcomes
    }
}
