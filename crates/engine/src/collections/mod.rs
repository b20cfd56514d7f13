//! The collections that a group knows, each with its shards: their records in the `meta` family, which the meta group and
//! data groups keep in the same form.
//!
//! Read next: `convert` (schemas of version 1, which list the shards themselves).

mod convert;

use std::collections::HashMap;
use std::sync::Arc;

pub(crate) use convert::take_listed;

use crate::ids::{CollectionId, GroupId, ShardId, ShardKey};
use crate::schema::{Collection, GivenIds, Shard, ShardTable, decode_schema};
use crate::storage::key::{self, MetaKey};
use crate::storage::{Changes, Family, Store, record};
use crate::{Error, Result};

/// A collection and its shards at one moment. Cheap to copy.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub schema: Arc<Collection>,
    pub shards: ShardTable,
}

/// Reads all collections of a group, in the order of their ids. Schemas of version 1 are converted, in the store too.
///
/// # Errors
/// [`Error::Damaged`] when a record fails its checks.
pub(crate) fn load(store: &Store, group: GroupId) -> Result<Vec<Known>> {
    let mut tables = load_tables(store, group)?;
    let mut all = Vec::new();
    let mut old = Vec::new();
    for (_, value) in store.entries(Family::Meta, &key::meta(group, MetaKey::Collection, &[]))? {
        let mut schema = decode_schema(&value)?;
        let shards = tables.remove(&schema.id).unwrap_or_default();
        if let Some(listed) = take_listed(&mut schema) {
            old.push((all.len(), listed));
        }
        all.push(Known { schema: Arc::new(schema), shards });
    }
    if let Some(id) = tables.keys().next() {
        return Err(Error::Damaged(format!("collection {id} has shards and no schema")));
    }
    convert::convert(store, group, &mut all, old)?;
    Ok(all)
}

fn load_tables(store: &Store, group: GroupId) -> Result<HashMap<CollectionId, ShardTable>> {
    let mut tables = HashMap::new();
    let prefix = key::meta(group, MetaKey::GivenShards, &[]);
    for (key, value) in store.entries(Family::Meta, &prefix)? {
        let id = key[prefix.len()..].try_into().map(u32::from_be_bytes);
        let id = id.map_err(|_| Error::Damaged("key of the shard ids of a collection".into()))?;
        let given: GivenIds = record::decode("shard ids", &value)?;
        tables.insert(CollectionId(id), ShardTable::with_given(given));
    }
    let prefix = key::meta(group, MetaKey::ShardRecord, &[]);
    for (key, value) in store.entries(Family::Meta, &prefix)? {
        let at = key::parse_shard(&key[prefix.len()..])?;
        let shard: Shard = record::decode("shard record", &value)?;
        let table = tables.get_mut(&at.collection).filter(|table| shard.id == at.shard && table.given().has(at.shard));
        let table = table.ok_or_else(|| Error::Damaged(format!("the record of shard {at:?} has another id")))?;
        table.list(Arc::new(shard));
    }
    Ok(tables)
}

/// Writes a schema; `record` is its stored form.
pub(crate) fn put_schema(changes: &mut Changes<'_>, group: GroupId, id: CollectionId, record: &[u8]) {
    changes.put(Family::Meta, &key::meta(group, MetaKey::Collection, &id.0.to_be_bytes()), record);
}

/// Writes the records of changed shards, and the ids that were given.
pub(crate) fn put_shards<'s>(
    changes: &mut Changes<'_>,
    group: GroupId,
    collection: CollectionId,
    shards: impl IntoIterator<Item = &'s Arc<Shard>>,
    given: &GivenIds,
) -> Result<()> {
    for shard in shards {
        changes.put(Family::Meta, &shard_key(group, collection, shard.id), &record::encode(shard.as_ref())?);
    }
    let given_key = key::meta(group, MetaKey::GivenShards, &collection.0.to_be_bytes());
    changes.put(Family::Meta, &given_key, &record::encode(given)?);
    Ok(())
}

/// Removes the record of a shard.
pub(crate) fn remove_shard(changes: &mut Changes<'_>, group: GroupId, at: ShardKey) {
    changes.delete(Family::Meta, &shard_key(group, at.collection, at.shard));
}

/// Removes all records of a collection and its shards.
pub(crate) fn remove(changes: &mut Changes<'_>, group: GroupId, id: CollectionId) -> Result<()> {
    let bytes = id.0.to_be_bytes();
    for tag in [MetaKey::Collection, MetaKey::GivenShards] {
        changes.delete(Family::Meta, &key::meta(group, tag, &bytes));
    }
    changes.delete_prefix(Family::Meta, &key::meta(group, MetaKey::ShardRecord, &bytes))
}

fn shard_key(group: GroupId, collection: CollectionId, shard: ShardId) -> Vec<u8> {
    key::meta(group, MetaKey::ShardRecord, &key::shard_bytes(ShardKey { collection, shard }))
}
