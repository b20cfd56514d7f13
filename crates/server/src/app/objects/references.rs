//! Adding, replacing and removing references of objects that are there.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use azimuth_engine::command::Patch;
use azimuth_engine::ids::ShardKey;
use azimuth_engine::meta::Catalog;
use azimuth_engine::object::{Beacon, Value};
use azimuth_engine::query::{Include, Projection};
use azimuth_engine::schema::{Collection, DataType};
use uuid::Uuid;

use super::existence::{self, Target};
use super::write::{change, change_all};
use super::{BatchReferenceError, ObjectError, ReferenceError, shard};
use crate::app::aliases::Aliases;
use crate::app::{App, AppResult, Permitted};
use crate::auth::{Access, Caller, Permit, Resource};

/// References of one object that are added by one command, so that none gets too large; apply writes the object once anyway.
const GROUP_REFERENCES_MAX: usize = 10_000;

/// How the references of a property change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// They are appended.
    Add,
    /// They take the place of those that are there.
    Replace,
    /// They are taken out, as often as they are there.
    Remove,
}

/// Changes the references of one property of one object.
///
/// # Errors
/// [`ObjectError::NotFound`] when the object is not there.
pub(crate) async fn apply(
    app: &App,
    permit: &Permit,
    at: ShardKey,
    id: Uuid,
    property: &str,
    change_kind: Change,
    beacons: Vec<Beacon>,
) -> Result<(), ObjectError> {
    app.check_shard(permit, Access::Update, at, Some(id))?;
    let mut patch = Patch::default();
    match change_kind {
        Change::Add => {
            patch.set.insert(property.to_owned(), Value::References(beacons));
        }
        Change::Replace => {
            patch.replace_references.insert(property.to_owned(), beacons);
        }
        Change::Remove => {
            let include = Include { properties: Projection::of([property]), ..Include::default() };
            let stored = app.get(at, id, include).await?.ok_or(ObjectError::NotFound)?;
            let mut there = match stored.object.properties.get(property) {
                Some(Value::References(there)) => there.clone(),
                _ => Vec::new(),
            };
            let gone: HashSet<&Beacon> = beacons.iter().collect();
            there.retain(|beacon| gone.contains(beacon));
            if there.is_empty() {
                return Ok(());
            }
            patch.remove_references.insert(property.to_owned(), there);
        }
    }
    change(app, at, id, patch).await
}

/// The collections that a reference property leads to.
///
/// # Errors
/// [`ReferenceError::NoProperty`], [`ReferenceError::NotAReference`]
pub(crate) fn targets<'a>(collection: &'a Collection, property: &str) -> Result<&'a [String], ReferenceError> {
    match collection.property(property).map(|property| &property.data_type) {
        None => Err(ReferenceError::NoProperty { collection: collection.name.clone(), property: property.to_owned() }),
        Some(DataType::Reference(targets)) => Ok(targets),
        Some(_) => Err(ReferenceError::NotAReference(property.to_owned())),
    }
}

/// The first of `beacons` whose target is not there, for a caller that may change the object `at` that refers to them.
///
/// # Errors
/// What a read ends with.
pub(crate) async fn first_missing(
    app: &App,
    permit: &Permit,
    at: ShardKey,
    beacons: &[Beacon],
    tenant: Option<&str>,
) -> AppResult<Option<Uuid>> {
    app.check_reach(permit, at)?;
    let target = |beacon: &Beacon| Target { beacon: beacon.clone(), tenant: tenant.map(str::to_owned) };
    let targets: Vec<Target> = beacons.iter().map(target).collect();
    let there = existence::exist(app, &targets).await?;
    Ok(beacons.iter().zip(there).find(|(_, there)| !there).map(|(beacon, _)| beacon.id))
}

/// Refuses a reference from a collection without tenants into one that has them: it would lead nowhere.
///
/// # Errors
/// [`ReferenceError::IntoTenants`]
pub(crate) fn check_tenancy(catalog: &Catalog, from: &Collection, to: &Beacon) -> Result<(), ReferenceError> {
    let target = to.collection.as_ref().and_then(|name| catalog.find(name));
    if !from.multi_tenancy.enabled && target.is_some_and(|target| target.multi_tenancy.enabled) {
        return Err(ReferenceError::IntoTenants);
    }
    Ok(())
}

/// One reference of a batch.
#[derive(Debug, Clone)]
pub(crate) struct NewReference {
    /// Name of the collection of the object that refers.
    pub(crate) from: String,
    /// Its id.
    pub(crate) id: Uuid,
    /// The property.
    pub(crate) property: String,
    /// The target.
    pub(crate) to: Beacon,
    /// The tenant; never empty.
    pub(crate) tenant: Option<String>,
}

/// Decides whether the caller may change the object that refers. A collection that is named by an alias is named by its own
/// name from here on; collections of targets have no aliases.
///
/// # Errors
/// [`AppError::Forbidden`](crate::app::AppError::Forbidden)
pub(crate) fn permit(
    app: &App,
    caller: &Caller,
    aliases: &Aliases,
    mut reference: NewReference,
) -> AppResult<Permitted<NewReference>> {
    reference.from = aliases.resolve(reference.from);
    let resource = Resource::object(Some(&reference.from), reference.tenant.as_deref(), reference.id);
    let grant = app.auth.decide(caller, Access::Update.alone(), &resource)?;
    Ok(Permitted::new(grant, reference))
}

/// Appends references in one call; the answer is per reference, in order: its target, with its collection where that
/// can be told. That targets exist is checked only where
/// collections have tenants.
///
/// # Errors
/// Only what hinders all of them.
pub(crate) async fn add_all(
    app: &App,
    references: Vec<Result<Permitted<NewReference>, ObjectError>>,
) -> Result<Vec<Result<Beacon, ObjectError>>, ObjectError> {
    let catalog = app.catalog()?;
    let mut results = Vec::with_capacity(references.len());
    let mut accepted = Vec::with_capacity(references.len());
    let mut to_check = Vec::new();
    for reference in references {
        let checked = reference.and_then(|reference| {
            let reference = reference.into_inner();
            let from = catalog.find(&reference.from);
            let from: &Arc<Collection> = from.ok_or_else(|| BatchReferenceError::NoSource(reference.from.clone()))?;
            let (at, to) = check(&catalog, from, &reference)?;
            Ok((at, to, from.multi_tenancy.enabled, reference))
        });
        results.push(checked.map(|(at, to, tenants, reference)| {
            if tenants {
                let target = Target { beacon: to.clone(), tenant: reference.tenant.clone() };
                to_check.push((results.len(), target));
            }
            accepted.push((results.len(), at, reference));
            to
        }));
    }
    let targets: Vec<Target> = to_check.iter().map(|(_, target)| target.clone()).collect();
    let there = existence::exist(app, &targets).await?;
    for ((index, target), _) in to_check.iter().zip(there).filter(|(_, there)| !there) {
        results[*index] = Err(BatchReferenceError::TargetNotFound(target.beacon.id).into());
    }
    let grouped = group(accepted, &results);
    let (members, changes): (Vec<_>, Vec<_>) = grouped.into_iter().map(|group| (group.members, group.change)).unzip();
    let outcomes = change_all(app, changes).await?;
    for (members, outcome) in members.into_iter().zip(outcomes) {
        let Err(error) = outcome else { continue };
        for (index, missing) in members {
            results[index] = Err(match &error {
                ObjectError::NotFound => missing.into(),
                error => error.clone(),
            });
        }
    }
    Ok(results)
}

/// References of one property of one object: one change.
struct Group {
    /// Where in the call each stands, and its error if the object is not there.
    members: Vec<(usize, BatchReferenceError)>,
    change: (ShardKey, Uuid, Patch),
}

/// Puts the references that were accepted, and are right in `results`, together by object and property, in their order.
fn group(accepted: Vec<(usize, ShardKey, NewReference)>, results: &[Result<Beacon, ObjectError>]) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let mut known: HashMap<(ShardKey, Uuid, String), usize> = HashMap::new();
    for (index, at, reference) in accepted {
        let Ok(to) = &results[index] else { continue };
        let id = reference.id;
        let missing = BatchReferenceError::SourceNotFound { collection: reference.from, id, tenant: reference.tenant };
        let place = known.entry((at, id, reference.property.clone())).or_insert(groups.len());
        if groups.get(*place).is_some_and(|group| group.members.len() >= GROUP_REFERENCES_MAX) {
            *place = groups.len();
        }
        let place = *place;
        if place == groups.len() {
            groups.push(Group { members: Vec::new(), change: (at, id, Patch::default()) });
        }
        let Group { members, change: (_, _, patch) } = &mut groups[place];
        members.push((index, missing));
        if let Value::References(beacons) =
            patch.set.entry(reference.property).or_insert_with(|| Value::References(Vec::new()))
        {
            beacons.push(to.clone());
        }
    }
    groups
}

fn check(catalog: &Catalog, from: &Collection, reference: &NewReference) -> Result<(ShardKey, Beacon), ObjectError> {
    let property = &reference.property;
    let targets = match from.property(property).map(|property| &property.data_type) {
        None => {
            let (collection, property) = (from.name.clone(), property.clone());
            let names_target = reference.to.collection.is_some();
            return Err(BatchReferenceError::NoProperty { collection, property, names_target }.into());
        }
        Some(DataType::Reference(targets)) => targets,
        Some(_) => return Err(ReferenceError::NotAReference(property.clone()).into()),
    };
    let mut to = reference.to.clone();
    if let (None, [only]) = (&to.collection, targets.as_slice()) {
        to.collection = Some(only.clone());
    }
    if let Some(name) = to.collection.as_ref().filter(|name| catalog.find(name).is_none()) {
        return Err(BatchReferenceError::NoTarget(name.clone()).into());
    }
    check_tenancy(catalog, from, &to)?;
    let at =
        shard::route_to_write(catalog, from, reference.tenant.as_deref(), reference.id).map_err(
            |error| match error {
                ObjectError::Route(error) if from.multi_tenancy.enabled => {
                    BatchReferenceError::Route { collection: from.name.clone(), id: reference.id, error }.into()
                }
                error => error,
            },
        )?;
    Ok((at, to))
}
