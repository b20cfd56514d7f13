//! Brings the data group's schemas in line with the meta group's after a start.
//!
//! A change of the schema is written to the meta group first and to the data group second; a crash in between leaves
//! the data group behind, never ahead. Repeating the second write is harmless.

use std::collections::HashMap;
use std::time::Duration;

use azimuth_engine::command::{Command, Outcome};
use azimuth_raft::{Node, ProposeError};

use super::AppResult;

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
    Ok(())
}

/// One schema that the data group cannot take keeps the requests on its collection from being served, not the node.
async fn bring(node: &Node, command: Command) -> AppResult<()> {
    let (name, id) = match &command {
        Command::PutCollection(collection) => (collection.name.clone(), collection.id),
        Command::DropCollection(id) => (String::new(), *id),
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
            Some(Outcome::Done) => return Ok(()),
            other => format!("{other:?}"),
        },
        Err(error @ ProposeError::TooLarge { .. }) => error.to_string(),
        Err(error) => return Err(error.into()),
    };
    tracing::error!(
        collection = name,
        id = id.0,
        refused,
        "the data group does not take the schema of a collection: delete the collection, and create it with a smaller one"
    );
    Ok(())
}
