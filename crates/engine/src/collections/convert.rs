//! Schemas of version 1, which list the shards of their collection: in old directories, and in commands of old logs.
//!
//! A directory that is converted has the same state as one that applies the same log from its beginning.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Known, put_schema, put_shards};
use crate::ids::{CollectionId, GroupId, ShardKey};
use crate::schema::{Collection, ListedShard, Shard, ShardTable, encode_schema};
use crate::storage::key::{self, MetaKey};
use crate::storage::{Family, Store};
use crate::{Error, Result};

/// The shards that a schema of version 1 lists.
pub(crate) struct Listed {
    shards: BTreeMap<String, ListedShard>,
    next: u32,
}

/// Takes the listed shards out of a schema, which is of version 2 then; `None` if it was before.
///
/// Of a collection without tenants only the first shard by name is kept: the versions that listed several stored all objects
/// in that one, and objects are found by the number of shards.
pub(crate) fn take_listed(schema: &mut Collection) -> Option<Listed> {
    let next = schema.listed_next.take().unwrap_or(0);
    let mut shards = schema.listed.take()?;
    if !schema.multi_tenancy.enabled && shards.len() > 1 {
        shards = shards.into_iter().take(1).collect();
        schema.sharding.actual_count = 1;
    }
    Some(Listed { shards, next })
}

impl Listed {
    /// Brings the shards into the table of their collection, whose schema has version `version`. Returns those that are new
    /// or have changed.
    pub(crate) fn adopt(self, table: &mut ShardTable, version: u64) -> Vec<Arc<Shard>> {
        // Earlier versions had one data group.
        let group = GroupId::FIRST_DATA;
        let shard =
            |(name, ListedShard { id, status, read_only })| Shard { id, name, group, status, read_only, version };
        table.adopt(self.shards.into_iter().map(shard), self.next)
    }
}

/// Converts the schemas at these positions of `all`, and removes the marks of dropped shards.
pub(super) fn convert(store: &Store, group: GroupId, all: &mut [Known], old: Vec<(usize, Listed)>) -> Result<()> {
    let mut changes = store.changes();
    let marks = shard_marks(store, group)?;
    if old.is_empty() && marks.is_empty() {
        return Ok(());
    }
    for (at, listed) in old {
        let Known { schema, shards } = &mut all[at];
        listed.adopt(shards, schema.version);
        for at in marks.range(ShardKey::all_of(schema.id)).map(|(at, _)| at) {
            shards.drop_shard(at.shard).map_err(Error::Damaged)?;
        }
        put_schema(&mut changes, group, schema.id, &encode_schema(schema)?);
        put_shards(&mut changes, group, schema.id, shards.iter_by_id(), shards.given())?;
    }
    for mark in marks.values() {
        changes.delete(Family::Meta, mark);
    }
    changes.write()
}

/// The marks by which earlier versions kept ids of dropped shards from coming back, with their keys.
fn shard_marks(store: &Store, group: GroupId) -> Result<BTreeMap<ShardKey, Vec<u8>>> {
    let prefix = key::meta(group, MetaKey::Dropped, &[]);
    let mut marks = BTreeMap::new();
    for (key, _) in store.entries(Family::Meta, &prefix)? {
        let rest = &key[prefix.len()..];
        if rest.len() != size_of::<CollectionId>() {
            marks.insert(key::parse_shard(rest)?, key);
        }
    }
    Ok(marks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ShardId;
    use crate::schema::TenantStatus;

    #[test]
    fn the_shard_that_holds_the_objects_is_kept() {
        let shard = |id| ListedShard { id: ShardId(id), status: TenantStatus::Hot, read_only: false };
        let listed = || BTreeMap::from([("b".to_owned(), shard(0)), ("a".to_owned(), shard(1))]);
        let mut plain = Collection { listed: Some(listed()), listed_next: Some(2), ..Collection::default() };
        plain.sharding.actual_count = 2;
        let mut tenants = plain.clone();
        tenants.multi_tenancy.enabled = true;

        let mut table = ShardTable::default();
        let kept = take_listed(&mut plain).expect("a schema of version 1").adopt(&mut table, 1);
        assert_eq!(kept.iter().map(|shard| shard.name.as_str()).collect::<Vec<_>>(), ["a"]);
        assert_eq!((table.len(), plain.sharding.actual_count), (1, 1));
        assert!(table.given().has(ShardId(0)), "its id is never given again");
        assert_eq!(take_listed(&mut tenants).map(|listed| listed.shards.len()), Some(2));
        assert!(take_listed(&mut plain).is_none());
    }
}
