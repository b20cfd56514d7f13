//! Brings the data group's schemas and shards in line with the meta group's after a start.
//!
//! A change of the schema or of shards is written to the meta group first and to the data group second; a crash in between
//! leaves the data group behind, never ahead. Repeating the second write is harmless.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use azimuth_engine::command::{Command, Outcome};
use azimuth_engine::ids::CollectionId;
use azimuth_engine::schema::{Shard, ShardTable};
use azimuth_raft::{Node, ProposeError};

use super::AppResult;
use super::tenants::records;

/// Pause before the next attempt while the disk is full.
const FULL_PAUSE: Duration = Duration::from_secs(1);

/// Sends the data group what it lacks.
///
/// # Errors
/// What a write can end with.
pub(super) async fn reconcile(node: &Node) -> AppResult<()> {
    let catalog = node.meta().state().catalog();
    let wanted = catalog.collections();
    let known = node.data().state().collections();
    let known: HashMap<_, _> = known.iter().map(|collection| (collection.id, collection.version)).collect();
    let mut commands: Vec<_> = wanted
        .iter()
        .filter(|collection| known.get(&collection.id).is_none_or(|&version| version < collection.version))
        .map(|collection| Command::PutCollection(Box::new(collection.as_ref().clone())))
        .collect();
    let dropped = known.keys().filter(|id| catalog.get(**id).is_none());
    commands.extend(dropped.map(|&id| Command::DropCollection(id)));
    if !commands.is_empty() {
        tracing::info!(commands = commands.len(), "bring the data group in line with the schema");
    }
    for command in commands {
        bring(node, command).await?;
    }
    for collection in wanted {
        let (id, known) = (collection.id, node.data().state().shards(collection.id));
        for command in lacking(id, catalog.shards(id), &known) {
            bring(node, command).await?;
        }
    }
    Ok(())
}

/// The commands that bring the shards that the data group knows of a collection in line with the wanted ones.
fn lacking(collection: CollectionId, wanted: &ShardTable, known: &ShardTable) -> Vec<Command> {
    let is_known = |shard: &&Arc<Shard>| known.by_id(shard.id).is_some_and(|known| known.version >= shard.version);
    let newer: Vec<Shard> =
        wanted.iter_by_id().filter(|shard| !is_known(shard)).map(|shard| Shard::clone(shard)).collect();
    let of_data = known.iter_by_id().map(|shard| shard.id).chain(known.missing());
    let dropped = of_data.filter(|id| wanted.by_id(*id).is_none()).map(|id| Command::DropShard(collection, id));
    records(collection, &newer).chain(dropped).collect()
}

/// One schema that the data group cannot take keeps the requests on its collection from being served, not the node.
async fn bring(node: &Node, command: Command) -> AppResult<()> {
    let (name, id) = match &command {
        Command::PutCollection(collection) => (collection.name.clone(), collection.id),
        Command::DropCollection(id) | Command::DropShard(id, _) => (String::new(), *id),
        Command::PutShards { collection, .. } => (String::new(), *collection),
        _ => return Ok(()),
    };
    let proposed = loop {
        match node.data().propose(vec![command.clone()]).await {
            Err(error @ ProposeError::DiskFull { .. }) => {
                tracing::warn!(%error, "bring the data group in line with the schema: waits for room on the disk");
                tokio::time::sleep(FULL_PAUSE).await;
            }
            proposed => break proposed,
        }
    };
    let refused = match proposed {
        Ok(outcomes) => match outcomes.into_iter().next() {
            // Shards of a collection whose schema was refused are not found; the refusal was logged.
            Some(Outcome::Done | Outcome::NotFound) => return Ok(()),
            other => format!("{other:?}"),
        },
        Err(error @ ProposeError::TooLarge { .. }) => error.to_string(),
        Err(error) => return Err(error.into()),
    };
    tracing::error!(
        collection = name,
        id = id.0,
        refused,
        "the data group does not take the schema or the shards of a collection: delete the collection, and create it with a \
         smaller schema"
    );
    Ok(())
}
