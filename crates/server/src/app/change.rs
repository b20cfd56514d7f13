//! Changes of the schema: one after another for each collection, each made from the newest state of it.
//!
//! A change is a function of the catalog, so that it is checked against the state that it replaces, however many
//! changes were on the way when the request came in. The meta group takes it first and the data group second; both
//! happen even if the caller goes away in between.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use azimuth_engine::command::{Command, Outcome};
use azimuth_engine::ids::{ShardId, ShardKey};
use azimuth_engine::meta::Catalog;
use azimuth_engine::schema::{Collection, Shard, check_schema};
use azimuth_raft::Node;
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::access::check;
use super::{App, AppError, AppResult, schema, tenants};
use crate::auth::{Access, Permit, Resource};

/// Locks over all collections; two of one lock wait for each other without need.
const LOCKS: usize = 64;

/// How often a change is made anew because another node changed the same collection first.
pub(super) const ATTEMPTS_MAX: usize = 16;

/// A change of a collection.
#[derive(Debug)]
pub(crate) enum Change {
    /// The collection stays as it is.
    Nothing,
    /// The collection is created, with as many shards as its sharding has.
    Create(Collection),
    /// The new state of the collection. Id and version are those of the state that it was made from.
    Update(Collection),
}

/// Keeps the changes of one collection in order.
#[derive(Debug)]
pub(super) struct Order {
    /// By the collection's name without regard to case.
    locks: Vec<Arc<Mutex<()>>>,
}

impl Order {
    /// One order for all collections if they are counted, so that two creations do not both become the last one possible.
    pub(super) fn new(counted: bool) -> Self {
        let locks = if counted { 1 } else { LOCKS };
        Self { locks: (0..locks).map(|_| Arc::default()).collect() }
    }

    /// Waits until no other change of that collection is on the way.
    async fn enter(&self, name: &str) -> OwnedMutexGuard<()> {
        let mut hasher = DefaultHasher::new();
        name.to_lowercase().hash(&mut hasher);
        let lock = (hasher.finish() % self.locks.len() as u64) as usize;
        self.locks[lock].clone().lock_owned().await
    }
}

impl App {
    /// As [`App::alter`], for a caller that may do so: collections are created with a permit to create, and changed with one
    /// to update.
    ///
    /// # Errors
    /// As [`App::alter`].
    pub(crate) async fn change_collection<E, F>(
        &self,
        permit: &Permit,
        name: &str,
        mut change: F,
    ) -> Result<Option<Arc<Collection>>, E>
    where
        E: From<AppError>,
        F: FnMut(&Catalog, Option<&Arc<Collection>>) -> Result<Change, E>,
    {
        let permitted = |catalog: &Catalog, there: Option<&Arc<Collection>>| {
            let change = change(catalog, there)?;
            let access = match &change {
                Change::Nothing => return Ok(change),
                Change::Create(_) => Access::Create,
                Change::Update(_) => Access::Update,
            };
            check(permit, access, &Resource::collection(name))?;
            Ok(change)
        };
        self.alter(name, permitted).await
    }

    /// Changes the collection of that name, or creates it. `change` gets the catalog and the collection in it that has
    /// exactly that name; it is called again when another node was faster. The answer is the collection afterwards, if
    /// there is one.
    ///
    /// # Errors
    /// The errors of `change`, [`AppError::Limit`] for a limit of collections, [`AppError::UsageLimit`] when there
    /// may be no more collections, and the errors of a write.
    pub(super) async fn alter<E, F>(&self, name: &str, mut change: F) -> Result<Option<Arc<Collection>>, E>
    where
        E: From<AppError>,
        F: FnMut(&Catalog, Option<&Arc<Collection>>) -> Result<Change, E>,
    {
        let mut order = self.order.enter(name).await;
        for _ in 0..ATTEMPTS_MAX {
            let catalog = self.catalog()?;
            let there = catalog.find(name);
            let within = |new: &Collection, old: Option<&Collection>| {
                check_schema(new, old).map_err(|error| E::from(AppError::from(error)))
            };
            let command = match change(&catalog, there)? {
                Change::Nothing => return Ok(there.cloned()),
                Change::Create(collection) => {
                    schema::check_count(&catalog, self.settings.collections_max)?;
                    schema::check_shard_count(&collection, self.settings.shards_max)?;
                    within(&collection, None)?;
                    let shards = tenants::shard_names(&collection).map(tenants::new_shard).collect();
                    Command::CreateSharded { collection: Box::new(collection), shards }
                }
                Change::Update(collection) => {
                    within(&collection, there.map(Arc::as_ref))?;
                    let expected_version = collection.version;
                    Command::UpdateCollection { expected_version, collection: Box::new(collection) }
                }
            };
            let outcome;
            (order, outcome) = carry_out(self.node()?.clone(), order, command).await?;
            match outcome {
                Outcome::Collection(collection) | Outcome::Created { collection, .. } => {
                    return Ok(Some(Arc::new(*collection)));
                }
                // The catalog that the change was made from is out of date.
                Outcome::Conflict(_) | Outcome::NotFound => {}
                Outcome::Refused(text) => return Err(AppError::Limit(text).into()),
                other => {
                    return Err(AppError::Internal(format!("a change of the schema ended with {other:?}")).into());
                }
            }
        }
        let text = format!("collection {name} is being changed by others: try again");
        Err(AppError::Unavailable(text).into())
    }

    /// Removes the collection of that name with all its objects; whether there was one.
    ///
    /// # Errors
    /// The errors of a write; objects that a failed removal leaves behind are removed at the next start.
    pub(crate) async fn delete_collection(&self, permit: &Permit, name: &str) -> AppResult<bool> {
        check(permit, Access::Delete, &Resource::collection(name))?;
        let order = self.order.enter(name).await;
        let Some(collection) = self.catalog()?.find(name).map(|collection| collection.id) else { return Ok(false) };
        carry_out(self.node()?.clone(), order, Command::DeleteCollection(collection)).await?;
        Ok(true)
    }

    /// Returns once the data group knows `collection` in this state or a newer one, and the shard. The meta group knows a
    /// change a moment earlier: a write between the two would not find a new property or tenant in the data group.
    ///
    /// # Errors
    /// The errors of a write.
    pub(super) async fn published(&self, collection: &Arc<Collection>, shard: Option<ShardId>) -> AppResult<()> {
        if self.is_published(collection, shard)? {
            return Ok(());
        }
        let _order = self.order.enter(&collection.name).await;
        if self.is_published(collection, shard)? {
            return Ok(());
        }
        // The meta group has accepted the change, but the data group did not get it: it is proposed to the data group
        // here.
        let catalog = self.catalog()?;
        let Some(newest) = catalog.get(collection.id) else { return Ok(()) };
        if !self.is_published(newest, None)? {
            self.propose(vec![Command::PutCollection(Box::new(Collection::clone(newest)))]).await?;
        }
        let lacking = shard.and_then(|shard| catalog.shards(collection.id).by_id(shard));
        let lacking: Vec<Shard> = lacking.map(|shard| Shard::clone(shard)).into_iter().collect();
        tenants::publish(self.node()?, collection.id, &lacking).await
    }

    fn is_published(&self, collection: &Collection, shard: Option<ShardId>) -> AppResult<bool> {
        let data = self.data()?;
        let known = data.collection(collection.id);
        let at = |shard| ShardKey { collection: collection.id, shard };
        Ok(known.is_some_and(|known| known.version >= collection.version)
            && shard.is_none_or(|shard| data.knows(at(shard))))
    }
}

/// Writes a change to the meta group, then to the data group. It runs in a task of its own, so that both groups or
/// neither get the change even if the caller goes away.
async fn carry_out(
    node: Arc<Node>,
    order: OwnedMutexGuard<()>,
    command: Command,
) -> AppResult<(OwnedMutexGuard<()>, Outcome)> {
    let task = tokio::spawn(async move {
        let deleted = if let Command::DeleteCollection(id) = command { Some(id) } else { None };
        let outcome = node.meta().propose(vec![command]).await?.into_iter().next();
        let outcome = outcome.ok_or_else(|| AppError::Internal("a write without an outcome".to_owned()))?;
        let mut follow = Vec::new();
        match (&outcome, deleted) {
            (_, Some(id)) => follow.push(Command::DropCollection(id)),
            (Outcome::Collection(collection), None) => follow.push(Command::PutCollection(collection.clone())),
            (Outcome::Created { collection, shards }, None) => {
                follow.push(Command::PutCollection(collection.clone()));
                follow.extend(tenants::records(collection.id, shards));
            }
            _ => {}
        }
        if follow.is_empty() {
            return Ok((order, outcome));
        }
        match node.data().propose(follow).await?.into_iter().find(|outcome| *outcome != Outcome::Done) {
            None => Ok((order, outcome)),
            Some(other) => Err(AppError::Internal(format!("the data group took a schema with {other:?}"))),
        }
    });
    task.await.map_err(|error| AppError::Internal(format!("a change of the schema did not end: {error}")))?
}
