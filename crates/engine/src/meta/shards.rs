//! Commands on shards: creation, change and removal by name.

use std::collections::HashSet;
use std::sync::Arc;

use super::CatalogDraft;
use crate::Result;
use crate::collections::{self, Known};
use crate::command::{NewShard, Outcome, ShardChange};
use crate::ids::{CollectionId, ShardId, ShardKey};
use crate::level::ApplyLimits;
use crate::schema::{Shard, ShardTable, check_names};

/// Creates shards in a table, and returns for each its shard: a name that exists keeps its shard.
///
/// # Errors
/// A text that names the limit; the table must not be used then.
pub(super) fn create(
    table: &mut ShardTable,
    shards: Vec<NewShard>,
    limits: &ApplyLimits,
) -> std::result::Result<Vec<Arc<Shard>>, String> {
    let names: HashSet<&str> = shards.iter().map(|shard| shard.name.as_str()).collect();
    let created = names.iter().filter(|name| table.get(name).is_none()).count();
    check_names(limits, shards.iter().map(|shard| shard.name.as_str()), table.len(), created)?;
    let one = |NewShard { name, group, status }| {
        // The table gives the id.
        table.create(Shard { id: ShardId(0), name, group, status, read_only: false, version: 1 })
    };
    shards.into_iter().map(one).collect()
}

impl CatalogDraft<'_> {
    pub(super) fn create_shards(&mut self, id: CollectionId, shards: Vec<NewShard>) -> Result<Outcome> {
        let Some(known) = self.catalog.known(id).cloned() else { return Ok(Outcome::NotFound) };
        let mut table = known.shards.clone();
        let shards = match create(&mut table, shards, self.limits) {
            Ok(shards) => shards,
            Err(why) => return Ok(Outcome::Refused(format!("collection {}: {why}", known.schema.name))),
        };
        let first = known.shards.given().next();
        self.set_shards(&known, table, shards.iter().filter(|shard| shard.id >= first))?;
        Ok(named(&shards))
    }

    pub(super) fn update_shards(&mut self, id: CollectionId, changes: Vec<ShardChange>) -> Result<Outcome> {
        let Some(known) = self.catalog.known(id).cloned() else { return Ok(Outcome::NotFound) };
        if let Err(why) = check_names(self.limits, changes.iter().map(|change| change.name.as_str()), 0, 0) {
            return Ok(Outcome::Refused(format!("collection {}: {why}", known.schema.name)));
        }
        let mut table = known.shards.clone();
        let mut names = Vec::with_capacity(changes.len());
        for change in changes {
            let Some(shard) = table.get(&change.name) else { return Ok(Outcome::NotFound) };
            if let Some(changed) = changed(shard, &change) {
                table.list(Arc::new(changed));
            }
            names.push(change.name);
        }
        // A shard that was named several times is returned and written as it is in the end.
        let shards: Vec<_> = names.iter().filter_map(|name| table.get(name).cloned()).collect();
        let is_new =
            |shard: &&Arc<Shard>| known.shards.by_id(shard.id).is_none_or(|before| before.version < shard.version);
        self.set_shards(&known, table, shards.iter().filter(is_new))?;
        Ok(named(&shards))
    }

    pub(super) fn drop_shards(&mut self, id: CollectionId, names: &[String]) -> Result<Outcome> {
        let Some(known) = self.catalog.known(id).cloned() else { return Ok(Outcome::NotFound) };
        if let Err(why) = check_names(self.limits, names.iter().map(String::as_str), 0, 0) {
            return Ok(Outcome::Refused(format!("collection {}: {why}", known.schema.name)));
        }
        let mut table = known.shards.clone();
        let mut dropped = Vec::new();
        for name in names {
            let Some(shard) = table.get(name).map(|shard| shard.id) else { continue };
            // The table has given the id, so the removal cannot be refused.
            dropped.extend(table.drop_shard(shard).ok().flatten());
            collections::remove_shard(&mut self.changes, self.group, ShardKey { collection: id, shard });
        }
        self.set_shards(&known, table, [])?;
        Ok(named(&dropped))
    }

    /// Replaces the shards of a collection; those in `changed` are written.
    fn set_shards<'s>(
        &mut self,
        known: &Known,
        table: ShardTable,
        changed: impl IntoIterator<Item = &'s Arc<Shard>>,
    ) -> Result<()> {
        collections::put_shards(&mut self.changes, self.group, known.schema.id, changed, table.given())?;
        self.catalog.set_shards(known.schema.clone(), table);
        Ok(())
    }
}

/// The shard after a change; `None` if it stays as it is.
fn changed(shard: &Shard, change: &ShardChange) -> Option<Shard> {
    if change.expected.is_some_and(|expected| expected != shard.status) {
        return None;
    }
    let status = change.status.unwrap_or(shard.status);
    let read_only = change.read_only.unwrap_or(shard.read_only);
    if (status, read_only) == (shard.status, shard.read_only) {
        return None;
    }
    // The versions of a shard end after 2^64 changes.
    Some(Shard { status, read_only, version: shard.version.saturating_add(1), ..shard.clone() })
}

fn named(shards: &[Arc<Shard>]) -> Outcome {
    Outcome::Shards(shards.iter().map(|shard| Shard::clone(shard)).collect())
}
