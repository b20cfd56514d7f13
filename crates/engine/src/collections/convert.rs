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
pub(crate) fn take_listed(schema: &mut Collection) -> Option<Listed> {
    let next = schema.listed_next.take().unwrap_or(0);
    schema.listed.take().map(|shards| Listed { shards, next })
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
