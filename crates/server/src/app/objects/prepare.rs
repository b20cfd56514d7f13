//! Drafts -> objects that the engine can take.

use std::sync::Arc;

use azimuth_engine::ids::ShardKey;
use azimuth_engine::meta::Catalog;
use azimuth_engine::object::{Beacon, Object, Properties, Vectors};
use azimuth_engine::schema::Collection;
use azimuth_engine::weight;
use uuid::Uuid;

use super::auto_schema::Extension;
use super::convert::{self, Converted};
use super::existence::{self, Target};
use super::extend::extend;
use super::references::check_tenancy;
use super::shard::route_to_write;
use super::{Draft, InputMap, ObjectError, ReferenceError, vectorize, vectors};
use crate::app::{App, AppError, Permitted, now_ms};
use crate::auth::{Access, Grant};

/// What drafts are prepared for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To be written, whether the id is taken or not: the schema and the tenants may be extended.
    Write,
    /// To be written as a new object: as `Write`.
    Insert,
    /// To be written in place of another: no collection comes into being.
    Replace,
    /// To be merged into another: as `Replace`.
    Merge,
    /// Only to be checked: nothing changes, and tenants are not looked at.
    Validate,
}

impl Purpose {
    /// What the caller must be allowed to do with the objects.
    pub(super) fn access(self) -> &'static [Access] {
        match self {
            Self::Write => &[Access::Update, Access::Create],
            Self::Insert => &[Access::Create],
            Self::Replace | Self::Merge => &[Access::Update],
            Self::Validate => &[Access::Read],
        }
    }

    /// Whether collections and tenants may come into being.
    pub(super) fn creates(self) -> bool {
        matches!(self, Self::Write | Self::Insert)
    }
}

/// An object that fits the schema.
#[derive(Debug, Clone)]
pub(crate) struct Prepared {
    /// Where it goes.
    pub(crate) at: ShardKey,
    /// The object.
    pub(crate) object: Object,
    /// The schema that it was checked against.
    pub(crate) collection: Arc<Collection>,
    /// What its caller may do.
    pub(super) grant: Grant,
}

/// Checks `drafts` against the schema, which is extended where auto-schema is on; the answer is per draft, in order.
/// Properties and vectors are taken out of the drafts.
///
/// # Errors
/// Only what hinders all of them; what is wrong with a draft is its own answer.
pub(crate) async fn prepare(
    app: &App,
    drafts: &mut [Permitted<Draft>],
    purpose: Purpose,
) -> Result<Vec<Result<Prepared, ObjectError>>, ObjectError> {
    for draft in drafts.iter_mut() {
        if !purpose.access().iter().all(|access| draft.allows(*access)) {
            return Err(AppError::Internal("an object is written for another purpose than permitted".to_owned()).into());
        }
        let draft = draft.value_mut();
        draft.id.get_or_insert_with(Uuid::new_v4);
    }
    let refused = match purpose {
        Purpose::Validate => drafts.iter().map(|draft| draft.unreadable.clone().map(ObjectError::Unreadable)).collect(),
        _ => extend(app, drafts, purpose).await?,
    };
    let catalog = app.catalog()?;
    let now = now_ms();
    let mut results = Vec::with_capacity(drafts.len());
    let mut references = Vec::new();
    for (draft, refused) in drafts.iter_mut().zip(refused) {
        results.push(match refused {
            Some(why) => Err(why),
            None => one(&catalog, draft, purpose, now).map(|(prepared, named)| {
                references.extend(named.into_iter().map(|(property, beacon)| Reference {
                    draft: results.len(),
                    property,
                    target: Target { beacon, tenant: draft.tenant.clone() },
                }));
                prepared
            }),
        });
    }
    refuse_dangling(app, references, &mut results).await?;
    refuse_heavy(&mut results).await?;
    if purpose != Purpose::Validate && vectorize::is_needed(&results) {
        Box::pin(vectorize::vectorize(app, &mut results)).await?;
    }
    Ok(results)
}

/// Refuses objects that exceed the limits of indexing. Long objects are checked off the threads that serve connections.
async fn refuse_heavy(results: &mut [Result<Prepared, ObjectError>]) -> Result<(), ObjectError> {
    for result in results {
        let Ok(prepared) = result else { continue };
        if let Err(why) = check_weight(&prepared.collection, &mut prepared.object.properties).await? {
            *result = Err(ObjectError::Invalid(why));
        }
    }
    Ok(())
}

/// Whether these properties are within the limits of indexing; the reason, if not.
///
/// # Errors
/// Only when the check could not be carried out.
pub(super) async fn check_weight(
    collection: &Arc<Collection>,
    properties: &mut Properties,
) -> Result<Result<(), String>, ObjectError> {
    if weight::is_light(properties) {
        return Ok(Ok(()));
    }
    let (collection, heavy) = (collection.clone(), std::mem::take(properties));
    let checked = tokio::task::spawn_blocking(move || (weight::check(&collection, &heavy), heavy)).await;
    let (checked, heavy) =
        checked.map_err(|error| AppError::Internal(format!("an object was not checked: {error}")))?;
    *properties = heavy;
    Ok(checked)
}

type Named = Vec<(String, Beacon)>;

fn one(
    catalog: &Catalog,
    permitted: &mut Permitted<Draft>,
    purpose: Purpose,
    now: i64,
) -> Result<(Prepared, Named), ObjectError> {
    let (grant, draft) = (permitted.grant(), permitted.value_mut());
    let collection = (catalog.find(&draft.collection).cloned())
        .ok_or_else(|| ObjectError::NoCollection(draft.collection.clone()))?;
    let Converted { properties, references, .. } =
        check(catalog, &collection, &Extension::default(), std::mem::take(&mut draft.properties))?;
    let given = std::mem::take(&mut draft.vectors);
    let assigned = vectors::assign(&collection, given)?;
    let vectors: Vectors = assigned.into_iter().filter_map(|(id, vector)| Some((id, vector?))).collect();
    let id = draft.id.unwrap_or_else(Uuid::new_v4);
    let at = match purpose {
        Purpose::Validate => ShardKey { collection: collection.id, shard: azimuth_engine::ids::ShardId::FIRST },
        Purpose::Write | Purpose::Insert | Purpose::Replace | Purpose::Merge => {
            route_to_write(catalog, &collection, draft.tenant.as_deref(), id)?
        }
    };
    let object = Object { id, created_ms: now, updated_ms: now, properties, vectors };
    Ok((Prepared { at, object, collection, grant }, references))
}

/// The properties of an object as values, checked against the schema as it is with `extension`.
///
/// # Errors
/// The property that does not fit, and why.
pub(super) fn check(
    catalog: &Catalog,
    collection: &Collection,
    extension: &Extension,
    properties: InputMap,
) -> Result<Converted, ObjectError> {
    let converted = convert::properties(collection, extension, properties)?;
    for (_, target) in &converted.references {
        check_tenancy(catalog, collection, target)?;
    }
    Ok(converted)
}

struct Reference {
    draft: usize,
    property: String,
    target: Target,
}

async fn refuse_dangling(
    app: &App,
    references: Vec<Reference>,
    results: &mut [Result<Prepared, ObjectError>],
) -> Result<(), ObjectError> {
    let targets: Vec<Target> = references.iter().map(|reference| reference.target.clone()).collect();
    let there = existence::exist(app, &targets).await?;
    for (reference, _) in references.into_iter().zip(there).filter(|(_, there)| !there) {
        if let Ok(prepared) = &results[reference.draft] {
            let (collection, id) = (&prepared.collection.name, reference.target.beacon.id);
            let property = &reference.property;
            results[reference.draft] = Err(dangling(collection, property, id));
        }
    }
    Ok(())
}

/// The error of a reference inside an object whose target is not there.
pub(super) fn dangling(collection: &str, property: &str, id: Uuid) -> ObjectError {
    let (collection, property) = (collection.to_owned(), property.to_owned());
    ReferenceError::Dangling { collection, property, id }.into()
}
