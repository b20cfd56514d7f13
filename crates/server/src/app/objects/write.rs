//! Writes of whole objects, and changes of some of their parts.

use std::sync::Arc;

use azimuth_engine::command::{Command, Outcome, Patch, PutMode};
use azimuth_engine::ids::ShardKey;
use azimuth_engine::schema::Collection;
use uuid::Uuid;

use super::auto_schema::Extension;
use super::convert::Converted;
use super::existence::{self, Target};
use super::extend::extend;
use super::prepare::{check, check_weight, dangling};
use super::{Draft, ObjectError, Prepared, Purpose, lengths, vectorize, vectors};
use crate::app::{App, AppError, AppResult, Permitted, now_ms};
use crate::auth::{Access, Permit};
use crate::modules::vectorizer::Vectorizer;

/// Writes objects in one call; per object its creation time, in order. What was refused before stays refused.
///
/// # Errors
/// Only what hinders all of them.
pub(crate) async fn write(
    app: &App,
    mut prepared: Vec<Result<Prepared, ObjectError>>,
    mode: PutMode,
) -> Result<Vec<Result<i64, ObjectError>>, ObjectError> {
    let access = access(mode);
    if !prepared.iter().flatten().all(|prepared| access.iter().all(|access| prepared.grant.allows(*access))) {
        return Err(AppError::Internal("an object is written in another way than permitted".to_owned()).into());
    }
    lengths::check(app, &mut prepared).await?;
    let mut last = None;
    for prepared in prepared.iter().flatten() {
        // Objects of one shard often follow one another.
        if last.replace(prepared.at) != Some(prepared.at) {
            app.published(&prepared.collection, Some(prepared.at.shard)).await?;
        }
    }
    let mut commands = Vec::with_capacity(prepared.len());
    let mut results: Vec<Result<Uuid, ObjectError>> = Vec::with_capacity(prepared.len());
    for prepared in prepared {
        results.push(prepared.map(|prepared| {
            let id = prepared.object.id;
            commands.push(Command::Put { at: prepared.at, mode, object: Box::new(prepared.object) });
            id
        }));
    }
    let mut outcomes = app.propose(commands).await?.into_iter();
    let outcome = |id: Uuid| match outcomes.next() {
        Some(outcome) => written(id, outcome),
        None => Err(lost()),
    };
    let mut outcome = outcome;
    Ok(results.into_iter().map(|result| result.and_then(&mut outcome)).collect())
}

/// What a caller must be allowed to do for a write in this mode.
fn access(mode: PutMode) -> &'static [Access] {
    match mode {
        PutMode::Insert => &[Access::Create],
        PutMode::Replace => &[Access::Update],
        PutMode::Upsert => &[Access::Update, Access::Create],
    }
}

/// Deletes an object; whether there was one.
///
/// # Errors
/// The error of the write.
pub(crate) async fn delete_one(app: &App, permit: &Permit, at: ShardKey, id: Uuid) -> AppResult<bool> {
    app.check_shard(permit, Access::Delete, at, Some(id))?;
    let outcomes = app.propose(vec![Command::Delete { at, id }]).await?;
    Ok(matches!(outcomes.first(), Some(Outcome::Done)))
}

/// Changes the parts of an object that `draft` names.
///
/// # Errors
/// [`ObjectError::NotFound`] when it is not there, and what is wrong with the change.
pub(crate) async fn merge(
    app: &App,
    collection: &Arc<Collection>,
    at: ShardKey,
    id: Uuid,
    mut draft: Permitted<Draft>,
) -> Result<(), ObjectError> {
    if !draft.allows(Access::Update) || draft.collection != collection.name || draft.id != Some(id) {
        return Err(AppError::Internal("another object is changed than permitted".to_owned()).into());
    }
    let there = app.read_inline(app.is_loaded(at)?, move |shards| shards.exist(&[(at, id)])).await?;
    if there != [true] {
        return Err(ObjectError::NotFound);
    }
    let refused = extend(app, std::slice::from_ref(&draft), Purpose::Merge).await?;
    if let Some(why) = refused.into_iter().flatten().next() {
        return Err(why);
    }
    let catalog = app.catalog()?;
    let collection = catalog.find(&collection.name).unwrap_or(collection);
    let given = std::mem::take(&mut draft.value_mut().properties);
    let Converted { mut properties, nulls, references } = check(&catalog, collection, &Extension::default(), given)?;
    let vectors = vectors::assign(collection, std::mem::take(&mut draft.value_mut().vectors))?;
    lengths::check_one(app, collection, id, vectors.iter().filter_map(|(id, vector)| Some((*id, vector.as_ref()?))))
        .await?;
    let target = |(_, beacon): &(String, _)| Target { beacon: Clone::clone(beacon), tenant: draft.tenant.clone() };
    let targets: Vec<Target> = references.iter().map(target).collect();
    let there = existence::exist(app, &targets).await?;
    if let Some(((property, beacon), _)) = references.iter().zip(there).find(|(_, there)| !there) {
        return Err(dangling(&collection.name, property, beacon.id));
    }
    check_weight(collection, &mut properties).await?.map_err(ObjectError::Invalid)?;
    let mut vectors = vectors;
    if Vectorizer::is_needed(collection) {
        let given = vectors.keys().copied().collect::<Vec<_>>();
        let made = Box::pin(vectorize::changed(app, collection, (at, id), &properties, &nulls, &given)).await?;
        vectors.extend(made.into_iter().map(|(id, vector)| (id, Some(vector))));
    }
    let patch = Patch { set: properties, remove: nulls, vectors, ..Patch::default() };
    change(app, at, id, patch).await
}

/// Proposes a change of one object.
///
/// # Errors
/// As [`merge`].
pub(super) async fn change(app: &App, at: ShardKey, id: Uuid, patch: Patch) -> Result<(), ObjectError> {
    publish(app, at).await?;
    let command = Command::Merge { at, id, patch: Box::new(patch), updated_ms: now_ms() };
    let outcome = app.propose(vec![command]).await?.into_iter().next().ok_or_else(lost)?;
    written(id, outcome).map(|_| ())
}

/// References to append to objects, one change per object, in one call; the answer is per change, in order.
///
/// # Errors
/// Only what hinders all of them.
pub(super) async fn change_all(
    app: &App,
    changes: Vec<(ShardKey, Uuid, Patch)>,
) -> Result<Vec<Result<(), ObjectError>>, ObjectError> {
    let mut last = None;
    for (at, ..) in &changes {
        if last.replace(*at) != Some(*at) {
            publish(app, *at).await?;
        }
    }
    let updated_ms = now_ms();
    let places: Vec<(ShardKey, Uuid)> = changes.iter().map(|(at, id, _)| (*at, *id)).collect();
    let asked = places.clone();
    let sizes = app.read(move |shards| shards.row_bytes(&asked)).await?;
    let command = |(at, id, patch)| Command::Merge { at, id, patch: Box::new(patch), updated_ms };
    let outcomes = app.propose_in_turns(sizes.into_iter().zip(changes.into_iter().map(command)).collect()).await?;
    Ok(places.into_iter().zip(outcomes).map(|((_, id), outcome)| written(id, outcome).map(|_| ())).collect())
}

/// Makes sure that the data group knows the shard, and the schema that a change was checked against or a newer one.
async fn publish(app: &App, at: ShardKey) -> AppResult<()> {
    match app.catalog()?.get(at.collection) {
        Some(collection) => app.published(collection, Some(at.shard)).await,
        None => Ok(()),
    }
}

/// What the outcome of a write means; the creation time, where there is one.
fn written(id: Uuid, outcome: Outcome) -> Result<i64, ObjectError> {
    match outcome {
        Outcome::Written { created_ms, .. } => Ok(created_ms),
        Outcome::Done => Ok(0),
        Outcome::Exists => Err(ObjectError::Exists(id)),
        Outcome::NotFound => Err(ObjectError::NotFound),
        Outcome::WrongDimension { given, expected, .. } => {
            Err(ObjectError::WrongDimension { id, given: given as usize, expected: expected as usize })
        }
        Outcome::Conflict(text) | Outcome::Refused(text) => Err(ObjectError::Invalid(text)),
        Outcome::Collection(_) | Outcome::Created { .. } | Outcome::Shards(_) | Outcome::Repeated => Err(lost()),
    }
}

fn lost() -> ObjectError {
    ObjectError::App(AppError::Internal("a write without an outcome of its own".to_owned()))
}
