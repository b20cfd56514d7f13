//! The calls of a data group that read.

use std::collections::HashSet;
use std::sync::Arc;

use uuid::Uuid;

use super::{DataGroup, ShardStatus};
use crate::Result;
use crate::ids::{CollectionId, ShardKey, VectorId};
use crate::inverted::reader::audit;
use crate::object::{FoundVersion, StoredObject};
use crate::query::{Filter, Hit, Include, Plan, Query, ShardAnswer, ShardRead};
use crate::schema::{Collection, ShardTable};

impl DataGroup {
    /// The newest schema that the group knows of a collection.
    pub fn collection(&self, id: CollectionId) -> Option<Arc<Collection>> {
        self.state.collection(id)
    }

    /// All collections that the group knows, by id.
    pub fn collections(&self) -> Vec<Arc<Collection>> {
        self.state.collections()
    }

    /// The shards that the group knows of a collection; none of an unknown one.
    pub fn shards(&self, id: CollectionId) -> ShardTable {
        self.state.shards(id)
    }

    /// Whether the group knows that shard. A new collection or shard reaches this group a moment after the meta group. A deleted
    /// collection is gone at once, also for a caller that still holds an older catalog.
    pub fn knows(&self, at: ShardKey) -> bool {
        self.state.knows(at)
    }

    /// The object with that id. Vectors that it does not have are left out.
    ///
    /// # Errors
    /// [`Error::UnknownShard`](crate::Error::UnknownShard) when the group does not know the shard,
    /// [`Error::Unreadable`](crate::Error::Unreadable) when the object cannot be decoded, and the errors of
    /// [`Include::charge`].
    pub fn get(&self, at: ShardKey, id: Uuid, include: &Include) -> Result<Option<StoredObject>> {
        self.context().get(at, id, include)
    }

    /// Whether there is an object with that id.
    ///
    /// # Errors
    /// [`Error::UnknownShard`](crate::Error::UnknownShard) when the group does not know the shard.
    pub fn exists(&self, at: ShardKey, id: Uuid) -> Result<bool> {
        self.context().exists(at, id)
    }

    /// Bytes of an object's row, vectors aside; 0 if there is none.
    ///
    /// # Errors
    /// [`Error::UnknownShard`](crate::Error::UnknownShard) when the group does not know the shard.
    pub fn row_bytes(&self, at: ShardKey, id: Uuid) -> Result<usize> {
        self.context().row_bytes(at, id)
    }

    /// Length of a vector's values in that shard; `None` until the first object fixed it.
    pub fn vector_dimension(&self, at: ShardKey, vector: VectorId) -> Option<u32> {
        self.context().vector_dimension(at, vector)
    }

    /// Sizes and queues of a shard.
    ///
    /// # Errors
    /// [`Error::UnknownShard`](crate::Error::UnknownShard) when the group does not know the shard.
    pub fn shard_status(&self, at: ShardKey) -> Result<ShardStatus> {
        self.context().shard_status(at)
    }

    /// Answers a read that may have come from another process.
    ///
    /// # Errors
    /// Those of a wrong request ([`Error::is_invalid`](crate::Error::is_invalid)),
    /// [`Error::Unreadable`](crate::Error::Unreadable) when an object cannot be decoded, and the errors of
    /// [`Include::charge`].
    pub fn execute(&self, read: ShardRead) -> Result<ShardAnswer> {
        self.context().execute(read)
    }

    /// Answers a query.
    ///
    /// # Errors
    /// Those of a wrong request ([`Error::is_invalid`](crate::Error::is_invalid)),
    /// [`Error::Unsupported`](crate::Error::Unsupported) for a feature that does not exist yet, and the errors of
    /// [`Include::charge`].
    pub fn search(&self, at: ShardKey, query: &Query) -> Result<Vec<Hit>> {
        self.context().search(at, query)
    }

    /// Answers several queries from one moment of the shard, each as [`DataGroup::search`] would. Equal filters are looked
    /// up once, and vectors that several queries have to be compared with are read once.
    pub fn search_many(&self, at: ShardKey, queries: &[Query]) -> Vec<Result<Vec<Hit>>> {
        self.context().search_many(at, queries)
    }

    /// The plan by which [`DataGroup::search`] would answer a query.
    ///
    /// # Errors
    /// As [`DataGroup::search`].
    pub fn plan(&self, at: ShardKey, query: &Query) -> Result<Plan> {
        self.context().plan(at, query)
    }

    /// Number of objects, or of those that match.
    ///
    /// # Errors
    /// As [`DataGroup::search`].
    pub fn count(&self, at: ShardKey, filter: Option<&Filter>) -> Result<u64> {
        self.context().count(at, filter)
    }

    /// The first `limit` objects that match, in doc id order, and the number of all that match.
    ///
    /// # Errors
    /// As [`DataGroup::search`].
    pub fn matching(&self, at: ShardKey, filter: &Filter, limit: usize) -> Result<(Vec<FoundVersion>, u64)> {
        self.context().matching(at, filter, limit)
    }

    /// Those of these objects that match, in no order.
    ///
    /// # Errors
    /// As [`DataGroup::search`].
    pub fn matching_of(&self, at: ShardKey, filter: &Filter, ids: &HashSet<Uuid>) -> Result<Vec<FoundVersion>> {
        self.context().matching_of(at, filter, ids)
    }

    /// Whether the shard is in memory: a read of any other shard loads it first.
    pub fn is_loaded(&self, at: ShardKey) -> bool {
        self.context().is_loaded(at)
    }

    /// Vector components that a search without a filter compares for the `k` nearest to one vector by each of these
    /// targets, at most as a rule. `None` when the number is not known, because the shard or an index is not in memory, or
    /// because the objects have several vectors each, whose number the index does not bound.
    pub fn near_cost(&self, at: ShardKey, targets: impl IntoIterator<Item = VectorId>, k: usize) -> Option<u64> {
        self.context().near_cost(at, targets, k)
    }

    /// Whether the indexes of these vectors are in memory, as far as objects of the shard have them.
    pub fn has_open(&self, at: ShardKey, vectors: &[VectorId]) -> bool {
        self.context().has_open(at, vectors)
    }

    /// Opens the indexes of these vectors that are not in memory; unknown ones are left out. Takes as long as reading their
    /// files, and the rows that the files lack; a search that needs an index opens it as well.
    ///
    /// # Errors
    /// [`Error::UnknownShard`](crate::Error::UnknownShard) when the group does not know the shard; storage errors.
    pub fn open_indexes(&self, at: ShardKey, vectors: &[VectorId]) -> Result<()> {
        self.context().open_indexes(at, vectors)
    }

    /// The differences between a shard's inverted index and its objects, one sentence each; empty when there are none.
    /// Reads everything into memory; meant for tests and for audits.
    ///
    /// # Errors
    /// [`Error::DamagedIndex`](crate::Error::DamagedIndex) when an entry fails its checks.
    pub fn audit_inverted(&self, at: ShardKey) -> Result<Vec<String>> {
        let (schema, shard) = self.state.known(at)?;
        audit::differences(&shard.view(&self.state.store).index(), &schema)
    }
}
