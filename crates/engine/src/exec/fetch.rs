//! Reads of single objects and of counts.

use uuid::Uuid;

use super::ReadContext;
use crate::error::readable;
use crate::ids::{DocId, ShardKey, VectorId};
use crate::object::codec::{self, Wanted};
use crate::object::{FoundVersion, Object, StoredObject};
use crate::query::Include;
use crate::schema::Collection;
use crate::shard::{Shard, ShardView};
use crate::storage::key::ShardPrefix;
use crate::storage::{Family, key};
use crate::{Error, Result};

/// Bytes of a vector in memory beside its row.
const VECTOR_BYTES: usize = 64;

impl ReadContext<'_> {
    /// The object with that id. Vectors that it does not have are left out.
    ///
    /// # Errors
    /// [`Error::UnknownShard`] when the group does not know the shard, [`Error::Unreadable`] when the object cannot be
    /// decoded, and the errors of [`Include::charge`].
    pub(crate) fn get(self, at: ShardKey, id: Uuid, include: &Include) -> Result<Option<StoredObject>> {
        let (schema, shard) = self.state.known(at)?;
        let view = shard.view(&self.state.store);
        let Some(doc_id) = doc_id_of(&shard, &view, id)? else { return Ok(None) };
        let wanted = Wanted::new(&schema, &include.properties);
        let row = view.store.get(Family::Objects, &shard.prefix.object(doc_id))?;
        let object = from_row(&shard, &view, &wanted, doc_id, row.as_deref(), include)?;
        Ok(Some(StoredObject { doc_id, object }))
    }

    /// The live objects among these versions, in the order of `doc_ids`.
    ///
    /// # Errors
    /// As [`ReadContext::get`]; an object that cannot be decoded is left out.
    pub(crate) fn versions(self, at: ShardKey, doc_ids: &[DocId], include: &Include) -> Result<Vec<Option<Object>>> {
        let (schema, shard) = self.state.known(at)?;
        let view = shard.view(&self.state.store);
        let live: Vec<DocId> = doc_ids.iter().copied().filter(|doc_id| view.state.live.contains(doc_id.0)).collect();
        let mut objects = read_objects(&shard, &view, &schema, &live, include)?.into_iter();
        let object = |doc_id: &DocId| if view.state.live.contains(doc_id.0) { objects.next().flatten() } else { None };
        Ok(doc_ids.iter().map(object).collect())
    }

    /// Whether there is an object with that id.
    ///
    /// # Errors
    /// [`Error::UnknownShard`] when the group does not know the shard.
    pub(crate) fn exists(self, at: ShardKey, id: Uuid) -> Result<bool> {
        // Without loading the shard: references without a collection are looked for in all of them.
        let prefix = match self.state.loaded(at) {
            Some(_) => self.state.known(at)?.1.prefix,
            None if self.state.knows(at) => ShardPrefix::new(self.state.group, at),
            None => return Err(Error::UnknownShard(at)),
        };
        Ok(self.state.store.get(Family::Ids, &prefix.id(id))?.is_some())
    }

    /// Bytes of an object's row, vectors aside; 0 if there is none.
    ///
    /// # Errors
    /// [`Error::UnknownShard`] when the group does not know the shard.
    pub(crate) fn row_bytes(self, at: ShardKey, id: Uuid) -> Result<usize> {
        let (_, shard) = self.state.known(at)?;
        let view = shard.view(&self.state.store);
        let doc_id = doc_id_of(&shard, &view, id)?;
        doc_id.map_or(Ok(0), |doc_id| Ok(found_version(&shard, &view, doc_id)?.row_bytes))
    }

    /// Length of a vector's values in that shard; `None` until the first object fixed it.
    pub(crate) fn vector_dimension(self, at: ShardKey, vector: VectorId) -> Option<u32> {
        let (_, shard) = self.state.known(at).ok()?;
        shard.state().record.dimensions.get(&vector).copied()
    }
}

/// The doc id of an object at the view's moment.
pub(crate) fn doc_id_of(shard: &Shard, view: &ShardView<'_>, id: Uuid) -> Result<Option<DocId>> {
    match view.store.get(Family::Ids, &shard.prefix.id(id))? {
        // The view may already hold rows of a batch that is about to be published: not live yet, not there.
        Some(bytes) => Ok(Some(key::parse_doc_id(&bytes)?).filter(|doc_id| view.state.live.contains(doc_id.0))),
        None => Ok(None),
    }
}

/// Reads live objects, in the order of `doc_ids`; `None` for those that cannot be decoded.
pub(crate) fn read_objects(
    shard: &Shard,
    view: &ShardView<'_>,
    schema: &Collection,
    doc_ids: &[DocId],
    include: &Include,
) -> Result<Vec<Option<Object>>> {
    let wanted = Wanted::new(schema, &include.properties);
    let mut objects = Vec::with_capacity(doc_ids.len());
    let mut rest = doc_ids;
    while !rest.is_empty() {
        let (batch, later) = rest.split_at(shard.rows.batch_rows().min(rest.len()));
        let keys: Vec<_> = batch.iter().map(|doc_id| shard.prefix.object(*doc_id)).collect();
        let rows = view.store.get_many(Family::Objects, &keys)?;
        shard.rows.note(rows.iter().flatten().map(|row| row.len()).max().unwrap_or(0));
        for (doc_id, row) in batch.iter().zip(rows) {
            objects.push(readable(from_row(shard, view, &wanted, *doc_id, row.as_deref(), include))?);
        }
        rest = later;
    }
    Ok(objects)
}

fn from_row(
    shard: &Shard,
    view: &ShardView<'_>,
    wanted: &Wanted<'_>,
    doc_id: DocId,
    row: Option<&[u8]>,
    include: &Include,
) -> Result<Object> {
    let row = row.ok_or_else(|| Error::Damaged(format!("live doc id {doc_id} has no row")))?;
    let unreadable = |error: Error| shard.unreadable.note(shard.at, doc_id, &error);
    include.charge.take(codec::weight(row, wanted).map_err(unreadable)?)?;
    let (header, mut object) = codec::decode(row, wanted).map_err(unreadable)?;
    for vector in include.vectors.iter().filter(|vector| header.vectors.contains(vector)) {
        let row = view.store.get(Family::Vectors, &shard.prefix.vector(*vector, doc_id))?;
        let row = row.ok_or_else(|| Error::Damaged(format!("vector {vector} of doc id {doc_id} has no row")))?;
        include.charge.take(row.len() + VECTOR_BYTES)?;
        object.vectors.insert(*vector, codec::decode_vector(&row).map_err(unreadable)?);
    }
    Ok(object)
}

/// The id of a live object, and the size of its row.
pub(crate) fn found_version(shard: &Shard, view: &ShardView<'_>, doc_id: DocId) -> Result<FoundVersion> {
    let row = view.store.get(Family::Objects, &shard.prefix.object(doc_id))?;
    let row = row.ok_or_else(|| Error::Damaged(format!("live doc id {doc_id} has no row")))?;
    let header = codec::decode_header(&row).map_err(|error| shard.unreadable.note(shard.at, doc_id, &error))?;
    Ok(FoundVersion { id: header.id, doc_id, updated_ms: header.updated_ms, row_bytes: row.len() })
}

/// The id of a live object.
pub(crate) fn read_id(shard: &Shard, view: &ShardView<'_>, doc_id: DocId) -> Result<Uuid> {
    let row = view.store.get(Family::Objects, &shard.prefix.object(doc_id))?;
    let row = row.ok_or_else(|| Error::Damaged(format!("live doc id {doc_id} has no row")))?;
    let header = codec::decode_header(&row);
    header.map(|header| header.id).map_err(|error| shard.unreadable.note(shard.at, doc_id, &error))
}
