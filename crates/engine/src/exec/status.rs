//! Sizes and queues of a shard.

use super::ReadContext;
use crate::Result;
use crate::data::{ShardStatus, VectorStatus};
use crate::ids::ShardKey;

impl ReadContext<'_> {
    /// Sizes and queues of a shard.
    ///
    /// # Errors
    /// [`Error::UnknownShard`](crate::Error::UnknownShard) when the group does not know the shard.
    pub(crate) fn shard_status(self, at: ShardKey) -> Result<ShardStatus> {
        let (schema, shard) = self.state.known(at)?;
        let state = shard.state();
        let mut status = ShardStatus { objects: state.live.len(), ..ShardStatus::default() };
        let graphs = self.maintenance.indexes.graphs(&schema, &state);
        for (_, config) in schema.vectors.iter() {
            let index = shard.indexes.loaded(config.id);
            let objects = state.with_vector.get(&config.id).map_or(0, crate::inverted::DocSet::len);
            if index.is_some() || graphs.contains(&config.id) {
                status.vector_queue += shard.indexes.waiting(config.id, objects);
            }
            status.vectors.push(VectorStatus {
                vector: config.id,
                dimension: state.record.dimensions.get(&config.id).copied(),
                objects,
                index: index.map(|index| index.vectors().stats()),
            });
        }
        Ok(status)
    }
}
