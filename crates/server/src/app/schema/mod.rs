//! Rules on collections that hold for every front end: their number, the names of their parts, and defaults of
//! properties derived from objects.

pub(crate) mod defaults;
pub(crate) mod names;

use azimuth_engine::meta::Catalog;
use azimuth_engine::schema::Collection;

use super::{AppError, AppResult};

/// Refuses one more collection than there may be.
///
/// # Errors
/// [`AppError::UsageLimit`]
pub(crate) fn check_count(catalog: &Catalog, collections_max: Option<usize>) -> AppResult<()> {
    match collections_max.filter(|max| catalog.len() >= *max) {
        Some(max) => Err(AppError::UsageLimit { what: "collections", max }),
        None => Ok(()),
    }
}

/// Refuses a collection with more shards than it may have. Tenants are not counted here.
///
/// # Errors
/// [`AppError::UsageLimit`]
pub(crate) fn check_shard_count(collection: &Collection, shards_max: Option<usize>) -> AppResult<()> {
    let count = usize::try_from(collection.sharding.desired_count).unwrap_or_default();
    match shards_max.filter(|max| count > *max) {
        Some(max) => Err(AppError::UsageLimit { what: "shards", max }),
        None => Ok(()),
    }
}
