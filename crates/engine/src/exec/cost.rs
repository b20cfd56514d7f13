//! The cost of a read, estimated from counts in memory before the read begins. The server uses the estimate to tell
//! reads that are certainly short from reads that need a thread of their own.

use super::ReadContext;
use crate::Result;
use crate::ids::{ShardKey, VectorId};
use crate::shard::doc_index::DocIndex;

impl ReadContext<'_> {
    /// Whether the shard is in memory: a read of any other shard loads it first.
    pub(crate) fn is_loaded(self, at: ShardKey) -> bool {
        self.state.loaded(at).is_some()
    }

    /// Vector components that a search without a filter compares for the `k` nearest to one vector by each of these
    /// targets, at most as a rule. `None` when that is not known, because the shard or an index is not in memory, or when
    /// the objects have several vectors each, whose number the index does not bound.
    pub(crate) fn near_cost(self, at: ShardKey, targets: impl IntoIterator<Item = VectorId>, k: usize) -> Option<u64> {
        let shard = self.state.loaded(at)?;
        let mut components = 0_u64;
        for vector in targets {
            match shard.indexes.loaded(vector).as_deref() {
                Some(DocIndex::Single(index)) => components = components.saturating_add(index.search_cost(k)),
                Some(DocIndex::Multi(_)) => return None,
                None if shard.has_vector(vector) => return None,
                None => {}
            }
        }
        Some(components)
    }

    /// Whether the indexes of these vectors are in memory, as far as objects of the shard have them.
    pub(crate) fn has_open(self, at: ShardKey, vectors: &[VectorId]) -> bool {
        let shard = self.state.loaded(at);
        shard.is_some_and(|shard| {
            vectors.iter().all(|vector| shard.indexes.loaded(*vector).is_some() || !shard.has_vector(*vector))
        })
    }

    /// Opens the indexes of these vectors that are not in memory; unknown ones are left out. Takes as long as their files and the
    /// rows that these lack take to be read; a search that needs one opens it as well.
    ///
    /// # Errors
    /// [`Error::UnknownShard`](crate::Error::UnknownShard) when the group does not know the shard; storage errors.
    pub(crate) fn open_indexes(self, at: ShardKey, vectors: &[VectorId]) -> Result<()> {
        let (schema, shard) = self.state.known(at)?;
        for &vector in vectors {
            if let Some(opening) = self.searchable(&schema, vector).filter(|_| shard.has_vector(vector)) {
                shard.index(vector, &opening)?;
            }
        }
        Ok(())
    }
}
