//! Whether the targets of references exist.

use azimuth_engine::command::At;
use azimuth_engine::meta::Catalog;
use azimuth_engine::object::Beacon;
use uuid::Uuid;

use super::shard::locate;
use crate::app::{App, AppResult};

/// One target to look for.
#[derive(Debug, Clone)]
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
pub(crate) async fn exist(app: &App, targets: &[Target]) -> AppResult<Vec<bool>> {
    if targets.is_empty() {
        return Ok(Vec::new());
    }
    let catalog = app.catalog()?;
    let places: Vec<(Uuid, Vec<At>)> =
        targets.iter().map(|target| (target.beacon.id, places(&catalog, target))).collect();
    app.read(move |data| {
        places
            .into_iter()
            .map(|(id, places)| {
                for at in places {
                    if data.exists(at, id)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            })
            .collect()
    })
    .await
}

/// The shards that can hold a target.
fn places(catalog: &Catalog, target: &Target) -> Vec<At> {
    let place = |collection: &azimuth_engine::schema::Collection| {
        let tenant = target.tenant.as_deref().filter(|_| collection.multi_tenancy.enabled);
        locate(collection, tenant).ok()
    };
    match &target.beacon.collection {
        Some(name) => catalog.find(name).and_then(|collection| place(collection)).into_iter().collect(),
        None => catalog.collections().iter().filter_map(|collection| place(collection)).collect(),
    }
}
