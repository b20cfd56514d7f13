//! Reads of front ends that are no searches: objects by id, listings, shards.

use std::sync::Arc;

use azimuth_engine::ids::{ShardKey, VectorId};
use azimuth_engine::object::StoredObject;
use azimuth_engine::query::{Hit, Include, Query, ShardSummary};
use azimuth_engine::schema::Collection;
use uuid::Uuid;

use super::access::{beyond, check_target};
use super::shards::ShardTarget;
use super::{App, AppResult};
use crate::auth::{Access, Permit, Resource};

impl App {
    /// The object with that id.
    ///
    /// # Errors
    /// The error of the read.
    pub(crate) async fn object(
        &self,
        permit: &Permit,
        collection: &Arc<Collection>,
        at: ShardKey,
        id: Uuid,
        include: Include,
    ) -> AppResult<Option<StoredObject>> {
        self.check_shard(permit, Access::Read, at, Some(id))?;
        // A multi-vector may be megabytes long.
        let is_multi = |id: &VectorId| collection.vectors.iter().any(|(_, config)| config.id == *id && config.multi);
        let is_short = self.is_loaded(at)? && !include.vectors.iter().any(is_multi);
        self.read_inline(is_short, move |shards| shards.get(at, id, include)).await
    }

    /// Whether there is an object with that id. Callers that may change it may know as well.
    ///
    /// # Errors
    /// The error of the read.
    pub(crate) async fn exists(&self, permit: &Permit, at: ShardKey, id: Uuid) -> AppResult<bool> {
        self.check_known(permit, at, id)?;
        let there = self.read_inline(self.is_loaded(at)?, move |shards| shards.exist(&[(at, id)])).await?;
        Ok(there == [true])
    }

    /// The first of these shards that has the object.
    ///
    /// # Errors
    /// The error of the read.
    pub(crate) async fn find_shard(&self, permit: &Permit, shards: &[ShardKey], id: Uuid) -> AppResult<Option<usize>> {
        shards.iter().try_for_each(|at| self.check_known(permit, *at, id))?;
        let wanted: Vec<_> = shards.iter().map(|at| (*at, id)).collect();
        let there = self.read(move |shards| shards.exist(&wanted)).await?;
        Ok(there.iter().position(|there| *there))
    }

    /// Checks that the permit is for some access to the object.
    fn check_known(&self, permit: &Permit, at: ShardKey, id: Uuid) -> AppResult<()> {
        let access = [Access::Read, Access::Update, Access::Delete];
        let mut checks = access.iter().map(|access| self.check_shard(permit, *access, at, Some(id)));
        if checks.any(|check| check.is_ok()) { Ok(()) } else { Err(beyond(permit)) }
    }

    /// The hits of a query; `show` makes the answer of them on the same thread, within the same deadline.
    ///
    /// # Errors
    /// The error of the read or of `show`.
    pub(crate) async fn list<T, F>(&self, permit: &Permit, target: ShardTarget, query: Query, show: F) -> AppResult<T>
    where
        T: Send + 'static,
        F: FnOnce(Vec<Hit>) -> azimuth_engine::Result<T> + Send + 'static,
    {
        check_target(permit, Access::Read, &target)?;
        self.read(move |shards| show(shards.search(&target, query)?)).await
    }

    /// Sizes and queues of a shard.
    ///
    /// # Errors
    /// The error of the read.
    pub(crate) async fn shard_status(
        &self,
        permit: &Permit,
        collection: &Collection,
        name: &str,
        at: ShardKey,
    ) -> AppResult<ShardSummary> {
        let of_node = Resource::NodeShards(Some(collection.name.as_str().into()));
        let of_shard = Resource::shards(&collection.name, Some(name));
        if !permit.covers(Access::Read, &of_node) && !permit.covers(Access::Read, &of_shard) {
            return Err(beyond(permit));
        }
        self.read(move |shards| shards.status(at)).await
    }

    /// Runs work that reads no data on a thread for reads, within the deadline of the request.
    ///
    /// # Errors
    /// The error of `work`.
    pub(crate) async fn compute<T, F>(&self, work: F) -> AppResult<T>
    where
        T: Send + 'static,
        F: FnOnce() -> azimuth_engine::Result<T> + Send + 'static,
    {
        self.read(move |_| work()).await
    }
}
