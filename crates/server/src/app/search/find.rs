//! Searches as front ends run them: hits with the objects that their references lead to, and their rendering.

use std::sync::Arc;

use super::related::{Related, unite};
use super::{Search, SearchError};
use crate::app::access::check_target;
use crate::app::shards::{Follow, HitTree, Profile, Shards};
use crate::app::{App, AppResult};
use crate::auth::{Access, Permit};

/// A search and the objects that are read with its hits.
#[derive(Debug, Clone)]
pub(crate) struct Find {
    /// The right to read the objects.
    pub(crate) permit: Permit,
    /// The search.
    pub(crate) search: Search,
    /// Unites hits that are close to each other.
    pub(crate) related: Option<Related>,
    /// Times the search.
    pub(crate) profile: Option<Arc<Profile>>,
    /// References that are followed.
    pub(crate) follow: Vec<Follow>,
    /// Whether the same request asks for something else, which would have to wait if this ran on its thread.
    pub(crate) is_one_of_several: bool,
}

impl Find {
    /// A search alone.
    pub(crate) fn new(permit: Permit, search: Search) -> Self {
        Self { permit, search, related: None, profile: None, follow: Vec::new(), is_one_of_several: false }
    }

    fn is_short(&self, app: &App) -> bool {
        !self.is_one_of_several
            && self.related.is_none()
            && self.profile.is_none()
            && self.follow.is_empty()
            && self.search.is_short(app)
    }

    fn hits(self, shards: Shards<'_>) -> Result<Vec<HitTree>, SearchError> {
        let search = self.search;
        let hits = match self.profile {
            Some(profile) => shards.profiled(&profile, |shards| search.hits(shards))?,
            None => search.hits(shards)?,
        };
        let hits = match self.related {
            Some(related) => unite(hits, related)?,
            None => hits,
        };
        Ok(shards.with_references(hits, &self.follow)?)
    }
}

impl App {
    /// Runs a search; `show` makes the answer of its hits on the same thread, within the same deadline.
    ///
    /// # Errors
    /// The error of the read or of `show`.
    pub(crate) async fn find<T, F>(self: &Arc<Self>, find: Find, show: F) -> AppResult<T>
    where
        T: Send + 'static,
        F: FnOnce(Vec<HitTree>) -> azimuth_engine::Result<T> + Send + 'static,
    {
        check_target(&find.permit, Access::Read, &find.search.shard_target)?;
        let is_short = find.is_short(self);
        if !is_short {
            self.open_indexes(&find.search.shard_target, &find.search.vectors()).await?;
        }
        let found = self.read_inline(is_short, move |shards| match find.hits(shards) {
            Ok(hits) => show(hits).map(Ok),
            Err(SearchError::Read(error)) => Err(error),
            Err(refused) => Ok(Err(refused)),
        });
        Ok(found.await??)
    }

    /// Runs several searches as one batch; `show` makes the answers of their hits.
    ///
    /// # Errors
    /// An error that concerns all of them.
    pub(crate) async fn find_each<T, F>(self: &Arc<Self>, finds: Vec<Find>, show: F) -> AppResult<T>
    where
        T: Send + 'static,
        F: FnOnce(Vec<Result<Vec<HitTree>, SearchError>>) -> T + Send + 'static,
    {
        for find in &finds {
            check_target(&find.permit, Access::Read, &find.search.shard_target)?;
            self.open_indexes(&find.search.shard_target, &find.search.vectors()).await?;
        }
        let found = move |shards: Shards<'_>| {
            let (searches, follow): (Vec<_>, Vec<_>) = finds.into_iter().map(|find| (find.search, find.follow)).unzip();
            let hits = Search::hits_of_each(shards, searches).into_iter().zip(follow);
            let trees = hits.map(|(hits, follow)| Ok(shards.with_references(hits?, &follow)?));
            Ok(show(trees.collect()))
        };
        self.read(found).await
    }
}
