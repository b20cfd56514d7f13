//! Changes of shards and tenants: the meta group takes each first and the data group second, as with changes of schemas.
//!
//! Changes at the same time need no order: a name that exists keeps its shard, and the data group takes records of shards
//! in any order and repeatedly. Both groups get a change even if the caller goes away in between.

use azimuth_engine::command::{Command, NewShard, Outcome, ShardChange};
use azimuth_engine::ids::{CollectionId, GroupId};
use azimuth_engine::limits::SHARDS_AT_ONCE_MAX;
use azimuth_engine::schema::{Collection, Shard, TenantStatus};
use azimuth_raft::Node;

use super::access::check;
use super::{App, AppError, AppResult};
use crate::auth::{Access, Permit, Resource};

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

impl App {
    /// Creates shards; a name that exists keeps its shard. Returns a shard for each, in that order; `None` when there is no
    /// such collection.
    ///
    /// # Errors
    /// [`AppError::Limit`], and the errors of a write.
    pub(super) async fn create_shards(
        &self,
        collection: CollectionId,
        shards: Vec<NewShard>,
    ) -> AppResult<Option<Vec<Shard>>> {
        let command = |shards: &[NewShard]| Command::CreateShards { collection, shards: shards.to_vec() };
        self.change_shards(collection, shards.chunks(SHARDS_AT_ONCE_MAX).map(command).collect()).await
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
        self.change_shards(collection, changes.chunks(SHARDS_AT_ONCE_MAX).map(command).collect()).await
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

    async fn change_shards(&self, collection: CollectionId, commands: Vec<Command>) -> AppResult<Option<Vec<Shard>>> {
        let node = self.node()?.clone();
        let task = tokio::spawn(async move {
            let (mut shards, mut missing, mut refused) = (Vec::new(), false, None);
            for outcome in node.meta().propose(commands).await? {
                match outcome {
                    Outcome::Shards(named) => shards.extend(named),
                    Outcome::NotFound => missing = true,
                    Outcome::Refused(why) => refused = Some(AppError::Limit(why)),
                    other => refused = Some(AppError::Internal(format!("a change of shards ended with {other:?}"))),
                }
            }
            // The commands before the one that was refused are carried out.
            publish(&node, collection, &shards).await?;
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

/// The commands that make shards known to the data group.
pub(super) fn records(collection: CollectionId, shards: &[Shard]) -> impl Iterator<Item = Command> {
    shards.chunks(SHARDS_AT_ONCE_MAX).map(move |shards| Command::PutShards { collection, shards: shards.to_vec() })
}
