//! Brings the data group's schemas in line with the meta group's after a start.
//!
//! A change of the schema is written to the meta group first and to the data group second; a crash in between leaves
//! the data group behind, never ahead. Repeating the second write is harmless.

use std::collections::HashMap;

use azimuth_engine::command::Command;
use azimuth_raft::Node;

use super::AppResult;

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
        node.data().propose(commands).await?;
    }
    Ok(())
}
