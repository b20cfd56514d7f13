//! A transaction: the effects of one apply, collected beside the present state and published at once.
//!
//! Later commands see what earlier ones did through the drafts kept here; nothing of the group changes before
//! [`Transaction::commit`]. Read next: `draft`, a shard within a transaction.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::draft::ShardDraft;
use super::group::DataGroup;
use crate::Result;
use crate::ids::{CollectionId, ShardId, ShardKey};
use crate::replica::Attempt;
use crate::schema::Collection;
use crate::storage::key::{self, MetaKey};
use crate::storage::{Changes, Family};

/// A collection that takes writes, and its shards.
type Open = (Arc<Collection>, HashSet<ShardId>);

/// The effects of one apply.
pub(crate) struct Transaction<'a> {
    pub group: &'a DataGroup,
    pub changes: Changes<'a>,
    /// Schemas changed here; `None` for dropped collections.
    collections: HashMap<CollectionId, Option<Arc<Collection>>>,
    dropped_shards: BTreeSet<ShardKey>,
    /// Collections that commands named, with their shards, as far as they take writes.
    open: HashMap<CollectionId, Option<Open>>,
    drafts: BTreeMap<ShardKey, ShardDraft<'a>>,
}

impl<'a> Transaction<'a> {
    pub(crate) fn new(group: &'a DataGroup) -> Self {
        Self {
            group,
            changes: group.store.changes(),
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
            None => self.group.collection(id),
        }
    }

    /// Whether the collection or shard was ever dropped.
    pub(crate) fn was_dropped(&self, id: CollectionId, shard: Option<ShardId>) -> bool {
        let here = match shard {
            Some(shard) => self.dropped_shards.contains(&ShardKey { collection: id, shard }),
            None => matches!(self.collections.get(&id), Some(None)),
        };
        here || self.group.dropped.read().contains(id, shard)
    }

    /// Schema of a shard that takes writes. The shards of a collection, of which tenants make many, are gone through once.
    pub(crate) fn schema_of(&mut self, at: ShardKey) -> Option<Arc<Collection>> {
        if let Entry::Vacant(entry) = self.open.entry(at.collection) {
            let schema = match self.collections.get(&at.collection) {
                Some(changed) => changed.clone(),
                None => self.group.collection(at.collection),
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
        let record_key = key::meta(self.group.group, MetaKey::Collection, &collection.id.0.to_be_bytes());
        self.changes.put(Family::Meta, &record_key, record);
        self.open.remove(&collection.id);
        self.collections.insert(collection.id, Some(Arc::new(collection)));
        Ok(())
    }

    pub(crate) fn drop_collection(&mut self, id: CollectionId) {
        let bytes = id.0.to_be_bytes();
        self.changes.delete(Family::Meta, &key::meta(self.group.group, MetaKey::Collection, &bytes));
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
            self.changes.put(Family::Meta, &key::meta(self.group.group, tag, bytes), &[1]);
        }
    }

    /// The shard as earlier commands left it.
    pub(crate) fn draft(&mut self, at: ShardKey) -> Result<&mut ShardDraft<'a>> {
        Ok(match self.drafts.entry(at) {
            std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::btree_map::Entry::Vacant(entry) => {
                entry.insert(ShardDraft::new(self.group, self.group.shard(at)?))
            }
        })
    }

    /// Writes the version of each object that the commands so far have left. Called at the end of each entry.
    pub(crate) fn settle(&mut self) -> Result<()> {
        let Self { group, changes, collections, drafts, .. } = self;
        for (at, draft) in drafts {
            let schema = match collections.get(&at.collection) {
                Some(changed) => changed.clone(),
                None => group.collection(at.collection),
            };
            // Drafts of dropped collections are dropped with them.
            if let Some(schema) = schema {
                draft.settle(&schema, changes)?;
            }
        }
        Ok(())
    }

    /// Writes everything and publishes it, if the attempt is to write; whether it was.
    pub(crate) fn commit(mut self, attempt: &Attempt) -> Result<bool> {
        self.settle()?;
        let mut published = Vec::with_capacity(self.drafts.len());
        for (_, draft) in std::mem::take(&mut self.drafts) {
            let state = draft.finish(&mut self.changes)?;
            published.push((draft, Arc::new(state)));
        }
        if !attempt.may_write() {
            return Ok(false);
        }
        let shards: Vec<_> = published.iter().map(|(draft, _)| draft.shard.clone()).collect();
        let committing: Vec<_> = shards.iter().map(|shard| shard.indexes.committing()).collect();
        for (draft, _) in &published {
            draft.shard.indexes.add(draft.shard.at, &draft.added());
        }
        if published.iter().any(|(draft, _)| draft.takes_away()) {
            // Readers must not pair the old live set with a store that lost the rows.
            let fresh_from: Vec<_> = shards.iter().map(|shard| shard.fresh_from()).collect();
            let before = self.group.store.snapshot();
            shards.iter().zip(fresh_from).for_each(|(shard, from)| shard.freeze(before.clone(), from));
        }
        self.changes.write()?;
        published.iter().for_each(|(draft, state)| draft.shard.publish(state.clone()));
        drop(committing);
        self.group.publish(&self.collections, &self.dropped_shards);
        for (draft, state) in published {
            self.group.note_growth(&draft.shard, &draft.base, &state);
            draft.forget_unreadable();
            self.group.objects_laid_down.fetch_add(draft.laid_down(), Ordering::Relaxed);
            let (shard, base, removed) = draft.into_departed();
            if shard.depart(base, removed) {
                self.group.agenda.let_go_later(shard);
            }
        }
        Ok(true)
    }
}
