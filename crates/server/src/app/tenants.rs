//! Changes of shards and tenants: the meta group takes each first and the data group second, as with changes of schemas.
//!
//! Changes at the same time need no order: a name that exists keeps its shard, and the data group takes records of shards
//! in any order and repeatedly. Both groups get a change even if the caller goes away in between. Only creations that are
//! counted against a limit wait for each other.

use std::collections::HashSet;
use std::sync::Arc;

use azimuth_engine::command::{Command, NewShard, Outcome, ShardChange};
use azimuth_engine::ids::{CollectionId, GroupId};
use azimuth_engine::limits::SHARDS_AT_ONCE_MAX;
use azimuth_engine::schema::{Collection, Shard, ShardTable, TenantStatus};
use azimuth_raft::Node;
use tokio::sync::OwnedMutexGuard;

use super::access::check;
use super::{App, AppError, AppResult};
use crate::auth::{Access, Permit, Resource};

/// The reason why a request on the tenants of a collection is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TenantsError {
    /// There is no collection of that name.
    NoCollection,
    /// The collection of that name has no tenants.
    NoTenancy(String),
    /// The collection has no tenant of that name.
    NotFound(String),
    /// The request failed.
    App(AppError),
}

impl From<AppError> for TenantsError {
    fn from(error: AppError) -> Self {
        Self::App(error)
    }
}

/// A tenant and its status, as a request names them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NamedTenant {
    /// Its name.
    pub(crate) name: String,
    /// The status that it is to have.
    pub(crate) status: TenantStatus,
}

/// A shard that is to be created, ready for requests.
pub(super) fn new_shard(name: String) -> NewShard {
    NewShard { name, group: GroupId::FIRST_DATA, status: TenantStatus::Hot }
}

/// Names for the shards of a new collection: random ones of twelve letters and digits. A collection with tenants has none.
pub(super) fn shard_names(collection: &Collection) -> impl Iterator<Item = String> {
    (0..collection.sharding.actual_count).map(|_| shard_name())
}

fn shard_name() -> String {
    const LETTERS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    uuid::Uuid::new_v4().as_bytes()[..12].iter().map(|byte| char::from(LETTERS[usize::from(*byte) % 62])).collect()
}

/// Tenants by the name of their collection.
impl App {
    /// The tenants of the collection of exactly that name, at one moment.
    ///
    /// # Errors
    /// [`TenantsError::NoCollection`], [`TenantsError::NoTenancy`].
    pub(crate) fn tenants(&self, permit: &Permit, collection: &str) -> Result<ShardTable, TenantsError> {
        check(permit, Access::Read, &Resource::collection(collection))?;
        let catalog = self.catalog()?;
        let collection = with_tenants(catalog.find(collection))?;
        Ok(catalog.shards(collection.id).clone())
    }

    /// Creates tenants; one that exists stays as it is. A failure in between leaves those created that came before.
    ///
    /// # Errors
    /// Those of [`App::tenants`] and [`App::create_shards`].
    pub(crate) async fn create_tenants(
        &self,
        permit: &Permit,
        collection: &str,
        tenants: Vec<NamedTenant>,
    ) -> Result<(), TenantsError> {
        check(permit, Access::Create, &Resource::shards(collection, None))?;
        let catalog = self.catalog()?;
        let id = with_tenants(catalog.find(collection))?.id;
        let shard = |tenant: NamedTenant| NewShard { status: tenant.status, ..new_shard(tenant.name) };
        let created = self.create_shards(id, tenants.into_iter().map(shard).collect()).await?;
        created.map(drop).ok_or(TenantsError::NoCollection)
    }

    /// Gives tenants another status: all, or none if one of them does not exist.
    ///
    /// # Errors
    /// Those of [`App::tenants`] and of a write, and [`TenantsError::NotFound`] with the first name that does not exist.
    pub(crate) async fn update_tenants(
        &self,
        permit: &Permit,
        collection: &str,
        tenants: Vec<NamedTenant>,
    ) -> Result<(), TenantsError> {
        check(permit, Access::Update, &Resource::shards(collection, None))?;
        let catalog = self.catalog()?;
        let id = with_tenants(catalog.find(collection))?.id;
        let missing = |table: &ShardTable| tenants.iter().find(|tenant| table.get(&tenant.name).is_none());
        if let Some(tenant) = missing(catalog.shards(id)) {
            return Err(TenantsError::NotFound(tenant.name.clone()));
        }
        let change = |tenant: &NamedTenant| {
            let status = Some(tenant.status);
            ShardChange { name: tenant.name.clone(), expected: None, status, read_only: None }
        };
        if self.update_shards(id, tenants.iter().map(change).collect()).await?.is_some() {
            return Ok(());
        }
        // The collection or one of the tenants was deleted meanwhile.
        let catalog = self.catalog()?;
        let missing = missing(catalog.shards(id)).map(|tenant| TenantsError::NotFound(tenant.name.clone()));
        Err(missing.filter(|_| catalog.get(id).is_some()).unwrap_or(TenantsError::NoCollection))
    }

    /// Deletes tenants with all their objects; names that do not exist are left out.
    ///
    /// # Errors
    /// Those of [`App::tenants`] and of a write.
    pub(crate) async fn delete_tenants(
        &self,
        permit: &Permit,
        collection: &str,
        names: &[String],
    ) -> Result<(), TenantsError> {
        check(permit, Access::Delete, &Resource::shards(collection, None))?;
        let catalog = self.catalog()?;
        let id = with_tenants(catalog.find(collection))?.id;
        let command = |names: &[String]| Command::DropShards { collection: id, names: names.to_vec() };
        self.change_shards(id, names.chunks(SHARDS_AT_ONCE_MAX).map(command).collect(), None).await?;
        Ok(())
    }
}

fn with_tenants(collection: Option<&Arc<Collection>>) -> Result<&Arc<Collection>, TenantsError> {
    let collection = collection.ok_or(TenantsError::NoCollection)?;
    if !collection.multi_tenancy.enabled {
        return Err(TenantsError::NoTenancy(collection.name.clone()));
    }
    Ok(collection)
}

impl App {
    /// Creates shards; a name that exists keeps its shard. Returns a shard for each, in that order; `None` when there is no
    /// such collection.
    ///
    /// # Errors
    /// [`AppError::Limit`], [`AppError::UsageLimit`] when there may be no more tenants, and the errors of a write.
    pub(super) async fn create_shards(
        &self,
        collection: CollectionId,
        shards: Vec<NewShard>,
    ) -> AppResult<Option<Vec<Shard>>> {
        // Two creations must not both become the last one possible.
        let alone = match self.settings.tenants_max {
            Some(max) => {
                let alone = self.counted_tenants.clone().lock_owned().await;
                check_tenant_count(self.catalog()?.shards(collection), &shards, max)?;
                Some(alone)
            }
            None => None,
        };
        let command = |shards: &[NewShard]| Command::CreateShards { collection, shards: shards.to_vec() };
        self.change_shards(collection, shards.chunks(SHARDS_AT_ONCE_MAX).map(command).collect(), alone).await
    }

    /// Changes shards. Returns a shard for each change, in that order; `None` when the collection or one of the shards does
    /// not exist.
    ///
    /// # Errors
    /// As [`App::create_shards`].
    pub(super) async fn update_shards(
        &self,
        collection: CollectionId,
        changes: Vec<ShardChange>,
    ) -> AppResult<Option<Vec<Shard>>> {
        let command = |changes: &[ShardChange]| Command::UpdateShards { collection, changes: changes.to_vec() };
        self.change_shards(collection, changes.chunks(SHARDS_AT_ONCE_MAX).map(command).collect(), None).await
    }

    /// Makes a shard read-only, or writable again; `None` when there is no such shard.
    ///
    /// # Errors
    /// The errors of a write.
    pub(crate) async fn set_read_only(
        &self,
        permit: &Permit,
        collection: &Collection,
        shard: &str,
        read_only: bool,
    ) -> AppResult<Option<()>> {
        check(permit, Access::Update, &Resource::shards(&collection.name, Some(shard)))?;
        let change = ShardChange { name: shard.to_owned(), expected: None, status: None, read_only: Some(read_only) };
        Ok(self.update_shards(collection.id, vec![change]).await?.map(drop))
    }

    /// `alone` is held until the change has ended, also without its caller.
    async fn change_shards(
        &self,
        collection: CollectionId,
        commands: Vec<Command>,
        alone: Option<OwnedMutexGuard<()>>,
    ) -> AppResult<Option<Vec<Shard>>> {
        let node = self.node()?.clone();
        let task = tokio::spawn(async move {
            let _alone = alone;
            let (mut shards, mut missing, mut refused) = (Vec::new(), false, None);
            let drops = commands.iter().any(|command| matches!(command, Command::DropShards { .. }));
            for outcome in node.meta().propose(commands).await? {
                match outcome {
                    Outcome::Shards(named) => shards.extend(named),
                    Outcome::NotFound => missing = true,
                    Outcome::Refused(why) => refused = Some(AppError::Limit(why)),
                    other => refused = Some(AppError::Internal(format!("a change of shards ended with {other:?}"))),
                }
            }
            // The commands before the one that was refused are carried out.
            if drops {
                forget(&node, collection, &shards).await?;
            } else {
                publish(&node, collection, &shards).await?;
            }
            refused.map_or(Ok((!missing).then_some(shards)), Err)
        });
        task.await.map_err(|error| AppError::Internal(format!("a change of shards did not end: {error}")))?
    }
}

/// Makes shards known to the data group, and before them the schema of their collection, if the data group lacks it.
///
/// # Errors
/// The errors of a write.
pub(super) async fn publish(node: &Node, collection: CollectionId, shards: &[Shard]) -> AppResult<()> {
    if shards.is_empty() {
        return Ok(());
    }
    let mut commands = Vec::new();
    if node.data().state().collection(collection).is_none()
        && let Some(schema) = node.meta().state().catalog().get(collection)
    {
        commands.push(Command::PutCollection(Box::new(schema.as_ref().clone())));
    }
    commands.extend(records(collection, shards));
    for outcome in node.data().propose(commands).await? {
        match outcome {
            // A collection that was dropped meanwhile is not found.
            Outcome::Done | Outcome::NotFound => {}
            other => return Err(AppError::Internal(format!("the data group took shards with {other:?}"))),
        }
    }
    Ok(())
}

/// Removes dropped shards from the data group.
///
/// # Errors
/// The errors of a write; shards that a failed removal leaves behind are removed at the next start.
async fn forget(node: &Node, collection: CollectionId, shards: &[Shard]) -> AppResult<()> {
    let commands = shards.iter().map(|shard| Command::DropShard(collection, shard.id)).collect::<Vec<_>>();
    if commands.is_empty() {
        return Ok(());
    }
    match node.data().propose(commands).await?.into_iter().find(|outcome| *outcome != Outcome::Done) {
        None => Ok(()),
        Some(other) => Err(AppError::Internal(format!("the data group dropped shards with {other:?}"))),
    }
}

/// Refuses new tenants beyond the limit.
fn check_tenant_count(table: &ShardTable, shards: &[NewShard], max: usize) -> AppResult<()> {
    let new: HashSet<&str> =
        shards.iter().map(|shard| shard.name.as_str()).filter(|name| table.get(name).is_none()).collect();
    if new.is_empty() || table.len().saturating_add(new.len()) <= max {
        return Ok(());
    }
    Err(AppError::UsageLimit { what: "tenants", max })
}

/// The commands that make shards known to the data group.
pub(super) fn records(collection: CollectionId, shards: &[Shard]) -> impl Iterator<Item = Command> {
    shards.chunks(SHARDS_AT_ONCE_MAX).map(move |shards| Command::PutShards { collection, shards: shards.to_vec() })
}
