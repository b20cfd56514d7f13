//! Commands on shards: records that the meta group has given, and drops.

use std::sync::Arc;

use super::transaction::Transaction;
use crate::Result;
use crate::command::Outcome;
use crate::ids::{CollectionId, ShardKey};
use crate::schema::Shard;

/// Takes notice of shards; see [`Command::PutShards`](crate::command::Command::PutShards).
pub(super) fn put_shards(
    transaction: &mut Transaction<'_>,
    collection: CollectionId,
    shards: Vec<Shard>,
) -> Result<Outcome> {
    let Some(known) = transaction.collection(collection) else { return Ok(Outcome::NotFound) };
    let (name, mut table) = (known.schema.name.clone(), known.shards.clone());
    let at_once_max = transaction.limits().shards_at_once;
    if shards.len() > at_once_max {
        let count = shards.len();
        return Ok(Outcome::Refused(format!("a command brings {count} shards, {at_once_max} are possible")));
    }
    let (mut changed, mut dropped) = (Vec::new(), Vec::new());
    for shard in shards {
        let id = shard.id;
        match table.put(shard) {
            Ok(put) => {
                dropped.extend(put.replaced);
                changed.extend(put.changed.then_some(id));
            }
            Err(why) => return Ok(Outcome::Refused(format!("collection {name}: {why}"))),
        }
    }
    // Of a shard that comes twice, or that a later one has replaced, the state that is left is written.
    let changed: Vec<Arc<Shard>> = changed.iter().filter_map(|id| table.by_id(*id).cloned()).collect();
    transaction.set_shards(collection, table, &changed)?;
    for shard in dropped {
        transaction.drop_shard(ShardKey { collection, shard });
    }
    Ok(Outcome::Done)
}

/// Forgets a shard, and keeps its id from becoming valid again.
pub(super) fn drop_shard(transaction: &mut Transaction<'_>, at: ShardKey) -> Result<Outcome> {
    let Some(known) = transaction.collection(at.collection) else { return Ok(Outcome::Done) };
    let (name, mut table) = (known.schema.name.clone(), known.shards.clone());
    let dropped = match table.drop_shard(at.shard) {
        Ok(dropped) => dropped,
        Err(why) => return Ok(Outcome::Refused(format!("collection {name}: {why}"))),
    };
    transaction.set_shards(at.collection, table, &[])?;
    if dropped.is_some() {
        transaction.drop_shard(at);
    }
    Ok(Outcome::Done)
}
