//! Why a search failed, and where.

use azimuth_engine::Error;
use uuid::Uuid;

use super::RankingKind;
use crate::app::shards::{FollowError, RouteError};

/// Why a search failed. Front ends word it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SearchError {
    /// A shard refuses the query.
    #[error("shard {shard} of collection {collection}: {error}")]
    Shard {
        /// Name of the collection.
        collection: String,
        /// Name of the shard.
        shard: String,
        /// The kind of the search.
        kind: RankingKind,
        /// The reason.
        error: Error,
    },
    /// The object whose vectors are compared does not exist.
    #[error("the object whose vectors are compared does not exist")]
    NoObject,
    /// The object whose vectors are compared has no unnamed vector.
    #[error("object {0} has no vector")]
    NoVector(Uuid),
    /// The object whose vectors are compared has no vector of that name.
    #[error("the object whose vectors are compared has no vector {0:?}")]
    NoNamedVector(String),
    /// References of the hits lead into a collection in which the request names no usable tenant.
    #[error("follow references: {0}")]
    Follow(RouteError),
    /// The read failed: storage, memory, deadline.
    #[error(transparent)]
    Read(#[from] Error),
}

impl From<FollowError> for SearchError {
    fn from(error: FollowError) -> Self {
        match error {
            FollowError::Tenant(error) => Self::Follow(error),
            FollowError::Read(error) => Self::Read(error),
        }
    }
}
