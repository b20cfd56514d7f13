//! Objects: from what a front end was given to commands of the engine, and back.
//!
//! A [`Draft`] is an object as it came in. [`prepare`] checks drafts against the schema (which [`extend`] changes first
//! where auto-schema is on) and makes them [`Prepared`]; [`write`] proposes those in one call. REST and gRPC share all of it,
//! one object being a batch of one.

mod auto_schema;
pub(crate) mod convert;
pub(crate) mod date;
pub(crate) mod delete;
mod error;
mod existence;
mod extend;
mod input;
mod lengths;
mod phone;
mod prepare;
pub(crate) mod references;
pub(crate) mod shard;
pub(crate) mod uuid_text;
mod vectorize;
pub(crate) mod vectors;
mod write;

use uuid::Uuid;

pub(crate) use error::{
    BatchReferenceError, ExtensionError, ObjectError, PropertyError, ReferenceError, ValueError, VectorError,
    WrongProperty,
};
pub(crate) use input::{InputKind, InputMap, InputValue};
pub(crate) use prepare::{Prepared, Purpose, prepare};
pub(crate) use vectors::GivenVectors;
pub(crate) use write::{delete_one, merge, write};

use super::aliases::Aliases;
use super::{App, AppResult, Permitted};
use crate::auth::{Caller, Permit, Resource};

/// An object as it came in.
#[derive(Debug, Clone)]
pub(crate) struct Draft {
    /// Name of the collection, the first letter in upper case.
    pub(crate) collection: String,
    /// The id; one is made up when there is none.
    pub(crate) id: Option<Uuid>,
    /// Properties as given.
    pub(crate) properties: InputMap,
    /// Vectors as given.
    pub(crate) vectors: GivenVectors,
    /// The tenant; never empty.
    pub(crate) tenant: Option<String>,
    /// Why it cannot be written whatever the schema says: a part of it could not be read.
    pub(crate) unreadable: Option<String>,
}

/// Decides whether the caller may have `draft` written, or checked, for that purpose. A collection that is named by an alias
/// is named by its own name from here on. An upsert is refused for the change first, and then for the creation.
///
/// # Errors
/// [`AppError::Forbidden`](super::AppError::Forbidden)
pub(crate) fn permit(
    app: &App,
    caller: &Caller,
    aliases: &Aliases,
    mut draft: Draft,
    purpose: Purpose,
) -> AppResult<Permitted<Draft>> {
    draft.collection = aliases.resolve(draft.collection);
    let id = draft.id.filter(|_| purpose == Purpose::Merge);
    let grant = app.auth.decide(caller, purpose.access(), &resource(&draft, id))?;
    Ok(Permitted::new(grant, draft))
}

fn resource(draft: &Draft, id: Option<Uuid>) -> Resource<'_> {
    let (collection, tenant) = (draft.collection.as_str(), draft.tenant.as_deref());
    match id {
        Some(id) => Resource::object(Some(collection), tenant, id),
        None => Resource::objects(collection, tenant),
    }
}

impl Permitted<Draft> {
    /// The permit for the object alone.
    pub(crate) fn permit(&self) -> Permit {
        Permit::new(self.grant(), resource(self, self.id))
    }
}

/// Converts properties of an object of a collection as it is: for fuzz targets of front ends.
///
/// # Errors
/// The first wrong value.
#[cfg(test)]
pub(crate) fn convert_as_is(
    collection: &azimuth_engine::schema::Collection,
    given: InputMap,
) -> Result<convert::Converted, PropertyError> {
    convert::properties(collection, &auto_schema::Extension::default(), given)
}
