//! The state hash, which proves that replicas hold the same state.

use super::{DataGroup, State};
use crate::ids::{DocId, ShardKey};
use crate::object::codec::{self, Wanted};
use crate::replica::{StateHasher, StateMachine};
use crate::schema::{Collection, encode_schema};
use crate::shard::indexes::each_vector;
use crate::storage::{Family, key, record};
use crate::{Error, Result};

impl DataGroup {
    /// A hash over the logical content: schemas, shards, objects with their doc ids and vectors, and the statistics that are kept
    /// of them. Equal on all replicas at the same position, across restarts and replays, however entries were grouped;
    /// nothing derived or physical is in it. Reads everything; meant for tests and for audits.
    ///
    /// # Errors
    /// When stored data fail their checks, or an apply ran meanwhile ([`Error::Limit`]).
    pub fn state_hash(&self) -> Result<[u8; 16]> {
        let before = self.applied()?.position;
        let mut hasher = StateHasher::default();
        hasher.add(&self.level().number().to_be_bytes());
        for schema in self.state.collections() {
            hasher.add(&encode_schema(&schema)?);
            let shards = self.state.shards(schema.id);
            hasher.add(&record::encode(shards.given())?);
            for shard in shards.iter_by_id() {
                hasher.add(&record::encode(shard.as_ref())?);
                let at = ShardKey { collection: schema.id, shard: shard.id };
                self.state.hash_shard(at, &schema, &mut hasher)?;
            }
        }
        if self.applied()?.position != before {
            return Err(Error::Limit("the group changed while it was hashed".into()));
        }
        Ok(hasher.finish())
    }
}

impl State {
    fn hash_shard(&self, at: ShardKey, schema: &Collection, hasher: &mut StateHasher) -> Result<()> {
        let shard = self.shard(at)?;
        let view = shard.view(&self.store);
        hasher.add(&key::shard_bytes(at));
        hasher.add(&record::encode(&view.state.record)?);
        let mut cursor = view.store.cursor(Family::Ids, shard.prefix.bytes(), None);
        cursor.seek(shard.prefix.bytes());
        let mut count = 0_u64;
        while let Some((key, value)) = cursor.item()? {
            hasher.add(key);
            hasher.add(value);
            let doc_id = key::parse_doc_id(value)?;
            let row = view.store.get(Family::Objects, &shard.prefix.object(doc_id))?;
            let row = row.ok_or_else(|| missing(doc_id))?;
            count += 1;
            let Ok((header, object)) = codec::decode(&row, &Wanted::all(schema)) else {
                // An unreadable row is the same on all replicas too.
                hasher.add(&row);
                cursor.next();
                continue;
            };
            if header.id != key::parse_id(key)? || !view.state.live.contains(doc_id.0) {
                return Err(Error::Damaged(format!("doc id {doc_id} is not what its id says")));
            }
            hasher.add(&codec::encode(&header, &object.properties, schema)?);
            cursor.next();
        }
        if count != view.state.live.len() {
            let live = view.state.live.len();
            return Err(Error::Damaged(format!("shard {at:?}: {count} ids and {live} live doc ids")));
        }
        for (&vector, members) in &view.state.with_vector {
            each_vector(&shard, vector, &view, members.iter(), |doc_id, values| {
                hasher.add(&shard.prefix.vector(vector, doc_id));
                // An unreadable vector is unreadable on all replicas.
                hasher.add(&values.map_or_else(|_| Vec::new(), |values| codec::encode_vector(&values)));
                Ok(())
            })?;
        }
        Ok(())
    }
}

fn missing(doc_id: DocId) -> Error {
    Error::Damaged(format!("doc id {doc_id} has no row"))
}
