//! The state hash, which proves that replicas hold the same state, and the audit of derived data.

use std::collections::BTreeMap;

use super::group::DataGroup;
use crate::Result;
use crate::ids::{DocId, ShardKey};
use crate::inverted::reader::audit;
use crate::object::codec;
use crate::replica::StateMachine;
use crate::schema::encode_schema;
use crate::shard::indexes;
use crate::storage::{Family, record};

impl DataGroup {
    /// A hash over the logical content: schemas, objects with their doc ids and vectors, and the statistics that are kept
    /// of them. Equal on all replicas at the same position, across restarts and replays, however entries were grouped;
    /// nothing derived or physical is in it. Reads everything; meant for tests and for audits.
    ///
    /// # Errors
    /// When stored data fail their checks, or an apply ran meanwhile ([`Error::Limit`](crate::Error::Limit)).
    pub fn state_hash(&self) -> Result<[u8; 16]> {
        let before = self.applied()?.position;
        let mut hasher = Hasher::default();
        for schema in self.collections() {
            hasher.add(&encode_schema(&schema)?);
            let shards: BTreeMap<_, _> = schema.shards.values().map(|shard| (shard.id, ())).collect();
            for (shard, ()) in shards {
                let at = ShardKey { collection: schema.id, shard };
                if !self.dropped.read().contains(at.collection, Some(at.shard)) {
                    self.hash_shard(at, &schema, &mut hasher)?;
                }
            }
        }
        if self.applied()?.position != before {
            return Err(crate::Error::Limit("the group changed while it was hashed".into()));
        }
        Ok(hasher.finish())
    }

    /// The differences between a shard's inverted index and its objects, one sentence each; empty when there are none.
    /// Reads everything into memory; meant for tests and for audits.
    ///
    /// # Errors
    /// [`Error::DamagedIndex`](crate::Error::DamagedIndex) when an entry fails its checks.
    pub fn audit_inverted(&self, at: ShardKey) -> Result<Vec<String>> {
        let (schema, shard) = self.known(at)?;
        audit::differences(&self.view(&shard), shard.prefix, &schema)
    }

    fn hash_shard(&self, at: ShardKey, schema: &crate::schema::Collection, hasher: &mut Hasher) -> Result<()> {
        let shard = self.shard(at)?;
        let view = shard.view(&self.store);
        hasher.add(&crate::storage::key::shard_bytes(at));
        hasher.add(&record::encode(&view.state.record)?);
        let mut cursor = view.store.cursor(Family::Ids, shard.prefix.bytes(), None);
        cursor.seek(shard.prefix.bytes());
        let mut count = 0_u64;
        while let Some((key, value)) = cursor.item()? {
            hasher.add(key);
            hasher.add(value);
            let doc_id = crate::storage::key::parse_doc_id(value)?;
            let row = view.store.get(Family::Objects, &shard.prefix.object(doc_id))?;
            let row = row.ok_or_else(|| missing(doc_id))?;
            count += 1;
            let Ok((header, object)) = codec::decode(&row, schema, true) else {
                // An unreadable row is the same on all replicas too.
                hasher.add(&row);
                cursor.next();
                continue;
            };
            if header.id != crate::storage::key::parse_id(key)? || !view.state.live.contains(doc_id.0) {
                return Err(crate::Error::Damaged(format!("doc id {doc_id} is not what its id says")));
            }
            hasher.add(&codec::encode(&header, &object.properties, schema)?);
            cursor.next();
        }
        if count != view.state.live.len() {
            let live = view.state.live.len();
            return Err(crate::Error::Damaged(format!("shard {at:?}: {count} ids and {live} live doc ids")));
        }
        for (&vector, members) in &view.state.with_vector {
            indexes::each_vector(&shard, vector, &view, members, |doc_id, values| {
                hasher.add(&shard.prefix.vector(vector, doc_id));
                // An unreadable vector is unreadable on all replicas.
                hasher.add(&values.map_or_else(|_| Vec::new(), |values| codec::encode_vector(&values)));
                Ok(())
            })?;
        }
        Ok(())
    }
}

fn missing(doc_id: DocId) -> crate::Error {
    crate::Error::Damaged(format!("doc id {doc_id} has no row"))
}

/// Murmur3 over length-prefixed parts, chained so that order counts.
#[derive(Default)]
pub(crate) struct Hasher {
    state: u128,
}

impl Hasher {
    pub(crate) fn add(&mut self, part: &[u8]) {
        let hash = |mut bytes: &[u8], seed| murmur3::murmur3_x64_128(&mut bytes, seed).unwrap_or_default();
        let mut chained = [0; 40];
        chained[..16].copy_from_slice(&self.state.to_le_bytes());
        chained[16..32].copy_from_slice(&hash(part, 0).to_le_bytes());
        chained[32..].copy_from_slice(&(part.len() as u64).to_le_bytes());
        self.state = hash(&chained, 1);
    }

    pub(crate) fn finish(self) -> [u8; 16] {
        self.state.to_be_bytes()
    }
}
