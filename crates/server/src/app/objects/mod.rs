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
pub(crate) use write::{merge, write};

use super::{App, AppResult};
use crate::auth::{Access, Principal};

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

/// Whether the caller may put an object there, in place of another or as a new one.
///
/// # Errors
/// [`AppError::Forbidden`], of the change first.
pub(crate) fn authorize_upsert(app: &App, principal: &Principal, draft: &Draft) -> AppResult<()> {
    let tenant = draft.tenant.as_deref().unwrap_or("*");
    let resource = format!("data/collections/{}/shards/{tenant}/objects/*", draft.collection);
    app.auth.authorize(principal, Access::Update, &resource)?;
    app.auth.authorize(principal, Access::Create, &resource)
}

/// Converts properties of an object of a collection as it is: for fuzz targets of front ends.
///
/// # Errors
/// The first wrong value.
#[cfg(test)]
pub(crate) fn convert_as_is(
    collection: &azimuth_engine::schema::Collection,
    given: &InputMap,
) -> Result<convert::Converted, PropertyError> {
    convert::properties(collection, &auto_schema::Extension::default(), given)
}
