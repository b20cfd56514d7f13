//! Vectors that modules make for objects that come without them, before anything is proposed.
//!
//! An object whose text is that of the stored object with its id keeps the stored vector: no service is called.

use std::collections::BTreeMap;
use std::sync::Arc;

use azimuth_engine::ids::{CollectionId, ShardKey, VectorId};
use azimuth_engine::object::{Object, Properties, Vector};
use azimuth_engine::query::{Include, Projection};
use azimuth_engine::schema::{Collection, VectorConfig};
use uuid::Uuid;

use super::{ObjectError, Prepared};
use crate::app::{App, AppResult};
use crate::modules::vectorizer::{Use, Vectorizer};
use crate::request_memory;

/// Objects that get the same vector of a collection.
struct Group {
    collection: Arc<Collection>,
    vectorizer: Vectorizer,
    /// Positions of the objects, and their texts.
    members: Vec<(usize, String)>,
}

/// Whether a module makes vectors of any of the objects' collections.
pub(super) fn is_needed(results: &[Result<Prepared, ObjectError>]) -> bool {
    let mut last = None;
    // Objects of one collection often follow one another.
    let another = |prepared: &&Prepared| last.replace(prepared.collection.id) != Some(prepared.collection.id);
    results.iter().flatten().filter(another).any(|prepared| Vectorizer::is_needed(&prepared.collection))
}

/// Adds the vectors that modules make; an object whose vector could not be made becomes an error.
///
/// # Errors
/// Only what hinders all of them.
pub(super) async fn vectorize(app: &App, results: &mut [Result<Prepared, ObjectError>]) -> Result<(), ObjectError> {
    let mut groups: BTreeMap<(CollectionId, VectorId), Group> = BTreeMap::new();
    for (position, prepared) in results.iter().enumerate() {
        let Ok(Prepared { collection, object, .. }) = prepared else { continue };
        if !Vectorizer::is_needed(collection) {
            continue;
        }
        for config in missing(collection, |id| object.vectors.contains_key(&id)) {
            let key = (collection.id, config.id);
            let group = match groups.get_mut(&key) {
                Some(group) => group,
                None => {
                    let Some(vectorizer) = Vectorizer::of(collection, config) else { continue };
                    let collection = collection.clone();
                    groups.entry(key).or_insert(Group { collection, vectorizer, members: Vec::new() })
                }
            };
            let text = group.vectorizer.text(&collection.name, &object.properties);
            request_memory::charge(text.len()).map_err(|refusal| ObjectError::App(refusal.into()))?;
            group.members.push((position, text));
        }
    }
    for ((_, vector), group) in groups {
        fill(app, results, vector, group).await?;
    }
    Ok(())
}

/// The vectors of a collection that a module makes and that an object does not have.
fn missing(collection: &Collection, has: impl Fn(VectorId) -> bool) -> impl Iterator<Item = &VectorConfig> {
    collection.vectors.iter().map(|(_, config)| config).filter(move |config| !config.multi && !has(config.id))
}

async fn fill(
    app: &App,
    results: &mut [Result<Prepared, ObjectError>],
    vector: VectorId,
    group: Group,
) -> Result<(), ObjectError> {
    let Group { collection, vectorizer, mut members } = group;
    let place = |position: usize| {
        let prepared = results.get(position).and_then(|prepared| prepared.as_ref().ok());
        prepared.map(|prepared| (prepared.at, prepared.object.id))
    };
    let wanted: Vec<(ShardKey, Uuid)> = members.iter().filter_map(|(position, _)| place(*position)).collect();
    let stored = stored(app, &collection, wanted, vec![vector]).await?;
    let mut kept = Vec::new();
    let mut stored = stored.into_iter();
    members.retain(|(position, text)| {
        let Some(Some(mut object)) = stored.next() else { return true };
        let same = vectorizer.text(&collection.name, &object.properties) == *text;
        match object.vectors.remove(&vector).filter(|_| same) {
            Some(vector) => {
                kept.push((*position, Ok(vector)));
                false
            }
            None => true,
        }
    });
    let (positions, texts): (Vec<usize>, Vec<String>) = members.into_iter().unzip();
    let made = app.modules.vectorize(&vectorizer, &texts, Use::Passage).await;
    let made = made.into_iter().map(|vector| vector.map(Vector::Single).map_err(ObjectError::Vectorizer));
    for (position, made) in kept.into_iter().chain(positions.into_iter().zip(made)) {
        match (made, &mut results[position]) {
            (Ok(values), Ok(prepared)) => {
                prepared.object.vectors.insert(vector, values);
            }
            (Err(error), result @ Ok(_)) => *result = Err(error),
            (_, Err(_)) => {}
        }
    }
    Ok(())
}

/// The stored objects with those ids, with all properties and these vectors.
async fn stored(
    app: &App,
    collection: &Arc<Collection>,
    wanted: Vec<(ShardKey, Uuid)>,
    vectors: Vec<VectorId>,
) -> AppResult<Vec<Option<Object>>> {
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let mut last = None;
    for (at, _) in &wanted {
        if last.replace(*at) != Some(*at) {
            app.published(collection, Some(at.shard)).await?;
        }
    }
    let include = Include { properties: Projection::All, vectors, charge: request_memory::reading() };
    app.read(move |shards| shards.get_each(&wanted, &include)).await
}

/// The vectors that a change of some properties of an object makes necessary, `given` being those that the change brings.
///
/// # Errors
/// The service did not answer, or the read failed.
pub(super) async fn changed(
    app: &App,
    collection: &Arc<Collection>,
    (at, id): (ShardKey, Uuid),
    set: &Properties,
    removed: &[String],
    given: &[VectorId],
) -> Result<BTreeMap<VectorId, Vector>, ObjectError> {
    let mut made = BTreeMap::new();
    let configs: Vec<_> = missing(collection, |id| given.contains(&id)).collect();
    let vectors = configs.iter().map(|config| config.id).collect();
    let Some(Some(old)) = stored(app, collection, vec![(at, id)], vectors).await?.pop() else { return Ok(made) };
    let mut new = old.properties.clone();
    new.extend(set.iter().map(|(name, value)| (name.clone(), value.clone())));
    new.retain(|name, _| !removed.contains(name));
    for config in configs {
        let Some(vectorizer) = Vectorizer::of(collection, config) else { continue };
        let text = vectorizer.text(&collection.name, &new);
        let is_same = vectorizer.text(&collection.name, &old.properties) == text;
        if is_same && old.vectors.contains_key(&config.id) {
            continue;
        }
        for vector in app.modules.vectorize(&vectorizer, &[text], Use::Passage).await {
            made.insert(config.id, Vector::Single(vector.map_err(ObjectError::Vectorizer)?));
        }
    }
    Ok(made)
}
