//! A transaction: the changes of one apply, collected beside the present state and published at once.
//!
//! Later commands see the changes of earlier ones through the drafts kept here; the state does not change before
//! [`Transaction::commit`], which returns the [`Effects`] on the rest of the group. Read next: `draft`, a shard within a transaction.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::draft::ShardDraft;
use super::effects::ChangedShard;
use super::{Effects, State, apply};
use crate::Result;
use crate::collections::{self, Known};
use crate::command::{Command, Outcome};
use crate::ids::{CollectionId, ShardKey};
use crate::level::{ApplyLimits, FeatureLevel};
use crate::replica::{Attempt, Executor};
use crate::schema::{Collection, Shard, ShardTable};
use crate::storage::key::{self, MetaKey};
use crate::storage::{Changes, Family};

/// The changes of one apply.
pub(crate) struct Transaction<'a> {
    pub state: &'a State,
    level: FeatureLevel,
    changes: Changes<'a>,
    /// Collections that commands named, as they have left them; `None` for unknown and dropped ones.
    collections: HashMap<CollectionId, Option<Known>>,
    /// Those of them that were changed or dropped here.
    changed: BTreeSet<CollectionId>,
    /// Shards that became active, or inactive, with that state.
    switched: BTreeMap<ShardKey, bool>,
    dropped_shards: BTreeSet<ShardKey>,
    drafts: BTreeMap<ShardKey, ShardDraft<'a>>,
}

impl<'a> Transaction<'a> {
    pub(crate) fn new(state: &'a State) -> Self {
        Self {
            state,
            level: FeatureLevel::INITIAL,
            changes: state.store.changes(),
            collections: HashMap::new(),
            changed: BTreeSet::new(),
            switched: BTreeMap::new(),
            dropped_shards: BTreeSet::new(),
            drafts: BTreeMap::new(),
        }
    }

    /// The limits of the feature level by which the present entry is applied.
    pub(crate) fn limits(&self) -> &'static ApplyLimits {
        self.level.limits()
    }

    /// The collection as earlier commands left it.
    pub(crate) fn collection(&mut self, id: CollectionId) -> Option<&mut Known> {
        self.collections.entry(id).or_insert_with(|| self.state.with_shards(id)).as_mut()
    }

    /// Whether the collection was ever dropped.
    pub(crate) fn was_dropped(&self, id: CollectionId) -> bool {
        let dropped_here = matches!(self.collections.get(&id), Some(None)) && self.changed.contains(&id);
        dropped_here || self.state.was_dropped(id)
    }

    /// Schema of a shard that takes writes.
    pub(crate) fn schema_of(&mut self, at: ShardKey) -> Option<Arc<Collection>> {
        let known = self.collection(at.collection)?;
        known.shards.by_id(at.shard).map(|_| known.schema.clone())
    }

    /// Writes a schema; `record` is its stored form.
    pub(crate) fn put_schema(&mut self, schema: Collection, record: &[u8]) -> Result<()> {
        // Changes made before this command are written under the schema that was valid for them.
        self.settle()?;
        let id = schema.id;
        collections::put_schema(&mut self.changes, self.state.group, id, record);
        let shards = self.collection(id).map(|known| known.shards.clone()).unwrap_or_default();
        self.changed.insert(id);
        self.collections.insert(id, Some(Known { schema: Arc::new(schema), shards }));
        Ok(())
    }

    /// Replaces the shards of a collection; those in `changed` are written.
    pub(crate) fn set_shards(&mut self, id: CollectionId, shards: ShardTable, changed: &[Arc<Shard>]) -> Result<()> {
        collections::put_shards(&mut self.changes, self.state.group, id, changed, shards.given())?;
        let Some(known) = self.collection(id) else { return Ok(()) };
        let before = std::mem::replace(&mut known.shards, shards);
        let was = |shard: &Shard| before.by_id(shard.id).map(|before| before.is_active());
        let switched = changed.iter().filter(|shard| was(shard).is_some_and(|was| was != shard.is_active()));
        let at = |shard: &Shard| ShardKey { collection: id, shard: shard.id };
        self.switched.extend(switched.map(|shard| (at(shard), shard.is_active())));
        self.changed.insert(id);
        Ok(())
    }

    pub(crate) fn drop_collection(&mut self, id: CollectionId) -> Result<()> {
        collections::remove(&mut self.changes, self.state.group, id)?;
        let bytes = id.0.to_be_bytes();
        for tag in [MetaKey::Dropped, MetaKey::Purge] {
            self.changes.put(Family::Meta, &key::meta(self.state.group, tag, &bytes), &[1]);
        }
        self.changed.insert(id);
        self.collections.insert(id, None);
        self.drafts.retain(|at, _| at.collection != id);
        Ok(())
    }

    /// Forgets a shard that its table does not list any more.
    pub(crate) fn drop_shard(&mut self, at: ShardKey) {
        collections::remove_shard(&mut self.changes, self.state.group, at);
        let purge = key::meta(self.state.group, MetaKey::Purge, &key::shard_bytes(at));
        self.changes.put(Family::Meta, &purge, &[1]);
        self.dropped_shards.insert(at);
        self.drafts.remove(&at);
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
        let Self { changes, collections, drafts, .. } = self;
        for (at, draft) in drafts {
            // The command that made the draft has looked up the collection; drafts of dropped ones are dropped with them.
            if let Some(Some(known)) = collections.get(&at.collection) {
                draft.settle(&known.schema, changes)?;
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
        let changed = self.changed;
        let collections = self.collections.into_iter().filter(|(id, _)| changed.contains(id)).collect();
        let (active, inactive): (BTreeMap<_, _>, BTreeMap<_, _>) =
            self.switched.into_iter().partition(|(_, is_active)| *is_active);
        let mut effects = Effects {
            collections,
            deactivated: inactive.into_keys().collect(),
            activated: active.into_keys().collect(),
            dropped_shards: self.dropped_shards,
            ..Effects::default()
        };
        for (draft, state) in published {
            draft.forget_unreadable();
            draft.note_parts();
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

    fn execute(&mut self, commands: Vec<Command>, level: FeatureLevel) -> Result<Vec<Outcome>> {
        self.level = level;
        let outcomes = commands.into_iter().map(|command| apply::execute(self, command)).collect();
        self.settle()?;
        outcomes
    }
}
