//! Whether the targets of references exist.

use std::collections::HashMap;
use std::ops::Range;

use azimuth_engine::ids::ShardKey;
use azimuth_engine::meta::Catalog;
use azimuth_engine::object::Beacon;
use uuid::Uuid;

use super::shard::route;
use crate::app::{App, AppResult};

/// One target to look for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Target {
    /// The beacon.
    pub(crate) beacon: Beacon,
    /// Tenant of the object that refers to it.
    pub(crate) tenant: Option<String>,
}

/// For each target whether it exists. A target without a collection may be in any.
///
/// # Errors
/// What a read ends with.
pub(super) async fn exist(app: &App, targets: &[Target]) -> AppResult<Vec<bool>> {
    if targets.is_empty() {
        return Ok(Vec::new());
    }
    let catalog = app.catalog()?;
    // References often lead to few objects: each is looked for once.
    let mut wanted: Vec<(ShardKey, Uuid)> = Vec::new();
    let mut places_of: Vec<Range<usize>> = Vec::new();
    let mut known: HashMap<&Target, usize> = HashMap::new();
    let mut positions = Vec::with_capacity(targets.len());
    for target in targets {
        let position = *known.entry(target).or_insert_with(|| {
            let first = wanted.len();
            wanted.extend(places(&catalog, target).into_iter().map(|at| (at, target.beacon.id)));
            places_of.push(first..wanted.len());
            places_of.len() - 1
        });
        positions.push(position);
    }
    let there = app.read(move |shards| shards.exist(&wanted)).await?;
    Ok(positions.into_iter().map(|position| there[places_of[position].clone()].contains(&true)).collect())
}

/// The shards that can hold a target.
fn places(catalog: &Catalog, target: &Target) -> Vec<ShardKey> {
    let place = |collection: &azimuth_engine::schema::Collection| {
        let tenant = target.tenant.as_deref().filter(|_| collection.multi_tenancy.enabled);
        route(catalog, collection, tenant, target.beacon.id).ok()
    };
    match &target.beacon.collection {
        Some(name) => catalog.find(name).and_then(|collection| place(collection)).into_iter().collect(),
        None => catalog.collections().iter().filter_map(|collection| place(collection)).collect(),
    }
}
