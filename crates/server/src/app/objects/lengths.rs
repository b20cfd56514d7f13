//! The length of a vector, which is the same in all shards of a collection.
//!
//! The first object of a shard fixes the lengths of its vectors, and an apply refuses other lengths in that shard. Over
//! several shards the lengths are compared before the write is proposed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use azimuth_engine::ids::{CollectionId, ShardKey, VectorId};
use azimuth_engine::object::Vector;
use azimuth_engine::schema::Collection;
use uuid::Uuid;

use super::{ObjectError, Prepared};
use crate::app::shards::ShardTarget;
use crate::app::{App, AppResult};

/// Lengths of the vectors of a collection.
type Lengths = BTreeMap<VectorId, u32>;

/// Refuses objects of collections of several shards whose vectors have another length than the stored ones, or than those
/// before them.
///
/// # Errors
/// The error of a read.
pub(super) async fn check(app: &App, prepared: &mut [Result<Prepared, ObjectError>]) -> AppResult<()> {
    let mut wanted: BTreeMap<CollectionId, (Arc<Collection>, BTreeSet<VectorId>)> = BTreeMap::new();
    for prepared in prepared.iter().flatten().filter(|prepared| is_spread(&prepared.collection)) {
        let collection = &prepared.collection;
        let (_, vectors) = wanted.entry(collection.id).or_insert_with(|| (collection.clone(), BTreeSet::new()));
        vectors.extend(prepared.object.vectors.keys());
    }
    let mut known: BTreeMap<CollectionId, Lengths> = BTreeMap::new();
    for (id, (collection, vectors)) in wanted {
        known.insert(id, stored(app, &collection, vectors.into_iter().collect()).await?);
    }
    for slot in prepared {
        let Ok(prepared) = slot else { continue };
        let Some(known) = known.get_mut(&prepared.collection.id) else { continue };
        let vectors = prepared.object.vectors.iter().map(|(id, vector)| (*id, vector));
        if let Err(error) = compare(known, prepared.object.id, vectors) {
            *slot = Err(error);
        }
    }
    Ok(())
}

/// Refuses vectors of the object `id` that have another length than the stored ones.
///
/// # Errors
/// [`ObjectError::WrongDimension`], and the error of a read.
pub(super) async fn check_one<'v>(
    app: &App,
    collection: &Arc<Collection>,
    id: Uuid,
    vectors: impl Iterator<Item = (VectorId, &'v Vector)> + Clone,
) -> Result<(), ObjectError> {
    let named: Vec<VectorId> = vectors.clone().map(|(vector, _)| vector).collect();
    if named.is_empty() || !is_spread(collection) {
        return Ok(());
    }
    let mut known = stored(app, collection, named).await?;
    compare(&mut known, id, vectors)
}

/// Whether the objects are spread over several shards by their ids.
fn is_spread(collection: &Collection) -> bool {
    !collection.multi_tenancy.enabled && collection.sharding.actual_count > 1
}

async fn stored(app: &App, collection: &Arc<Collection>, vectors: Vec<VectorId>) -> AppResult<Lengths> {
    let catalog = app.catalog()?;
    let Ok(target) = ShardTarget::new(collection.clone(), catalog.shards(collection.id), "") else {
        return Ok(Lengths::new());
    };
    let shards_of_target: Vec<ShardKey> = target.all().collect();
    app.read(move |shards| shards.dimensions(&shards_of_target, &vectors)).await
}

/// Compares the vectors with the known lengths, and notes those that were not known.
fn compare<'v>(
    known: &mut Lengths,
    id: Uuid,
    vectors: impl Iterator<Item = (VectorId, &'v Vector)>,
) -> Result<(), ObjectError> {
    for (vector, values) in vectors {
        let given = match values {
            Vector::Single(values) => u32::try_from(values.len()).unwrap_or(u32::MAX),
            Vector::Multi { dim, .. } => *dim,
        };
        let expected = *known.entry(vector).or_insert(given);
        if expected != given {
            return Err(ObjectError::WrongDimension { id, given: given as usize, expected: expected as usize });
        }
    }
    Ok(())
}
