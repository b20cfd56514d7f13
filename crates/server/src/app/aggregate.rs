//! Aggregates over a collection: of all objects, of those that match, or of the hits of a search.

use azimuth_engine::query::{Aggregate, Filter, Group};

use super::access::check_target;
use super::search::{Search, SearchError};
use super::shards::{ShardTarget, Shards};
use super::{App, AppResult};
use crate::auth::{Access, Permit};

/// An aggregation of a front end.
#[derive(Debug, Clone)]
pub(crate) struct Aggregation {
    /// The shards.
    pub(crate) shard_target: ShardTarget,
    /// Only objects that match; a search has a filter of its own.
    pub(crate) filter: Option<Filter>,
    /// Only the hits of this search, over the same shards.
    pub(crate) search: Option<Box<Search>>,
    /// The aggregates.
    pub(crate) aggregate: Aggregate,
    /// Groups at most.
    pub(crate) groups_max: Option<usize>,
}

impl Aggregation {
    fn groups(self, shards: Shards<'_>) -> Result<Vec<Group>, SearchError> {
        let Self { shard_target, filter, search, aggregate, groups_max } = self;
        let read = |failed: super::shards::ShardError| SearchError::Read(failed.error);
        let mut groups = match search {
            None => shards.aggregate(&shard_target, filter.as_ref(), &aggregate).map_err(read)?,
            Some(search) => {
                let hits = search.hits(shards)?;
                shards.aggregate_hits(&shard_target, &hits, &aggregate).map_err(read)?
            }
        };
        // The order of values stays among groups of one size.
        groups.sort_by_key(|group| std::cmp::Reverse(group.count));
        groups.truncate(groups_max.unwrap_or(usize::MAX));
        Ok(groups)
    }
}

impl App {
    /// The groups of an aggregation, the largest first: one without [`Aggregate::group_by`].
    ///
    /// # Errors
    /// The error of the read.
    pub(crate) async fn aggregate(&self, permit: &Permit, aggregation: Aggregation) -> AppResult<Vec<Group>> {
        check_target(permit, Access::Read, &aggregation.shard_target)?;
        if let Some(search) = &aggregation.search {
            check_target(permit, Access::Read, &search.shard_target)?;
            self.open_indexes(&search.shard_target, &search.vectors()).await?;
        }
        let found = self.read(move |shards| match aggregation.groups(shards) {
            Ok(groups) => Ok(Ok(groups)),
            Err(SearchError::Read(error)) => Err(error),
            Err(refused) => Ok(Err(refused)),
        });
        Ok(found.await??)
    }
}
