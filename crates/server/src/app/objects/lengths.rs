//! The length of a vector, which is the same in all shards of a collection.
//!
//! The first object of a shard fixes the lengths of its vectors, and an apply refuses other lengths in that shard. Where
//! objects are spread over several shards, the lengths are part of the schema
//! ([`Collection::vector_lengths`](azimuth_engine::schema::Collection)): a vector that has none gets one by a change of the
//! schema before the first object with it is proposed. Changes of a schema follow one another, so that all writers see the
//! same length, also those that write the first objects of different shards at the same time.

use std::collections::BTreeMap;
use std::sync::Arc;

use azimuth_engine::ids::{CollectionId, ShardKey, VectorId};
use azimuth_engine::object::Vector;
use azimuth_engine::schema::Collection;
use uuid::Uuid;

use super::{ObjectError, Prepared};
use crate::app::shards::ShardTarget;
use crate::app::{App, AppError, AppResult, Change};

/// Lengths of the vectors of a collection.
type Lengths = BTreeMap<VectorId, u32>;

/// Refuses objects of collections of several shards whose vectors have another length than the schema fixes. A length that
/// is not fixed yet is that of the stored vectors, or of the first object that brings one.
///
/// # Errors
/// The error of a read or of a change of the schema.
pub(super) async fn check(app: &App, prepared: &mut [Result<Prepared, ObjectError>]) -> AppResult<()> {
    let mut given: BTreeMap<CollectionId, (Arc<Collection>, Lengths)> = BTreeMap::new();
    for prepared in prepared.iter().flatten().filter(|prepared| is_spread(&prepared.collection)) {
        let collection = &prepared.collection;
        let (_, lengths) = given.entry(collection.id).or_insert_with(|| (collection.clone(), Lengths::new()));
        for (vector, values) in &prepared.object.vectors {
            lengths.entry(*vector).or_insert_with(|| length(values));
        }
    }
    let mut known: BTreeMap<CollectionId, Lengths> = BTreeMap::new();
    for (id, (collection, lengths)) in given {
        known.insert(id, fixed(app, &collection, &lengths).await?);
    }
    for slot in prepared {
        let Ok(prepared) = slot else { continue };
        let Some(known) = known.get(&prepared.collection.id) else { continue };
        let vectors = prepared.object.vectors.iter().map(|(id, vector)| (*id, vector));
        if let Err(error) = compare(known, prepared.object.id, vectors) {
            *slot = Err(error);
        }
    }
    Ok(())
}

/// As [`check`], for the vectors of one object.
///
/// # Errors
/// [`ObjectError::WrongDimension`], and the error of a read or of a change of the schema.
pub(super) async fn check_one<'v>(
    app: &App,
    collection: &Arc<Collection>,
    id: Uuid,
    vectors: impl Iterator<Item = (VectorId, &'v Vector)> + Clone,
) -> Result<(), ObjectError> {
    let given: Lengths = vectors.clone().map(|(vector, values)| (vector, length(values))).collect();
    if given.is_empty() || !is_spread(collection) {
        return Ok(());
    }
    compare(&fixed(app, collection, &given).await?, id, vectors)
}

/// Whether the objects are spread over several shards by their ids.
fn is_spread(collection: &Collection) -> bool {
    !collection.multi_tenancy.enabled && collection.sharding.actual_count > 1
}

fn length(values: &Vector) -> u32 {
    match values {
        Vector::Single(values) => u32::try_from(values.len()).unwrap_or(u32::MAX),
        Vector::Multi { dim, .. } => *dim,
    }
}

/// The lengths in the schema, after those of the vectors in `given` were fixed. None if the collection was dropped: its
/// objects will not be written.
async fn fixed(app: &App, collection: &Arc<Collection>, given: &Lengths) -> AppResult<Lengths> {
    let catalog = app.catalog()?;
    let Some(newest) = catalog.get(collection.id) else { return Ok(Lengths::new()) };
    let missing: Vec<VectorId> =
        given.keys().copied().filter(|vector| !newest.vector_lengths.contains_key(vector)).collect();
    if missing.is_empty() {
        return Ok(newest.vector_lengths.clone());
    }
    // Objects that were written before schemas had lengths.
    let stored = match ShardTarget::new(newest.clone(), catalog.shards(collection.id), "") {
        Ok(target) => {
            let (all, vectors): (Vec<ShardKey>, _) = (target.all().collect(), missing.clone());
            app.read(move |shards| shards.dimensions(&all, &vectors)).await?
        }
        Err(_) => Lengths::new(),
    };
    let changed = app.alter(&collection.name, |_, newest| {
        let Some(newest) = newest.filter(|newest| newest.id == collection.id) else { return Ok(Change::Nothing) };
        let mut new = Collection::clone(newest);
        for vector in &missing {
            if let Some(length) = stored.get(vector).or_else(|| given.get(vector)) {
                new.vector_lengths.entry(*vector).or_insert(*length);
            }
        }
        let is_new = new.vector_lengths != newest.vector_lengths;
        Ok::<_, AppError>(if is_new { Change::Update(new) } else { Change::Nothing })
    });
    let changed = changed.await?.filter(|changed| changed.id == collection.id);
    Ok(changed.map(|changed| changed.vector_lengths.clone()).unwrap_or_default())
}

/// Compares the vectors with the known lengths.
fn compare<'v>(
    known: &Lengths,
    id: Uuid,
    vectors: impl Iterator<Item = (VectorId, &'v Vector)>,
) -> Result<(), ObjectError> {
    for (vector, values) in vectors {
        let given = length(values);
        match known.get(&vector) {
            Some(&expected) if expected != given => {
                return Err(ObjectError::WrongDimension { id, given: given as usize, expected: expected as usize });
            }
            _ => {}
        }
    }
    Ok(())
}
