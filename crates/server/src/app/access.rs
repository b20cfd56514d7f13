//! Callers, and the decisions about them.
//!
//! Every call of a front end on data takes a [`Caller`], a [`Permit`] or a value that one of them was needed to make
//! ([`Permitted`](super::Permitted), [`Prepared`](super::objects::Prepared)). A front end asks for the permit where its
//! protocol refuses callers; the call checks that the permit covers the data that it reads or changes. `access_tests`
//! finds calls without a decision.

use std::sync::Arc;

use azimuth_engine::ids::ShardKey;
use azimuth_engine::meta::Catalog;
use azimuth_engine::schema::Collection;
use uuid::Uuid;

use super::shards::ShardTarget;
use super::{App, AppError, AppResult};
use crate::auth::{Access, Caller, Permit, Resource, Unauthenticated};

impl App {
    /// The sender of a request with this `Authorization` header. `access_token` counts as a key as well.
    ///
    /// # Errors
    /// Why the caller is not known.
    pub(crate) fn authenticate(
        &self,
        authorization: Option<&str>,
        access_token: Option<&str>,
    ) -> Result<Caller, Unauthenticated> {
        self.auth.authenticate(authorization, access_token)
    }

    /// Decides whether the caller may do `access` with the resource.
    ///
    /// # Errors
    /// [`AppError::Forbidden`]
    pub(crate) fn permit(&self, caller: &Caller, access: Access, resource: Resource<'_>) -> AppResult<Permit> {
        Ok(self.auth.permit(caller, access.alone(), resource)?)
    }

    /// The schema as of now, for callers that are known: names in their requests are resolved with it. Definitions that an
    /// answer shows are read with [`App::collection`] and [`App::collections`].
    ///
    /// # Errors
    /// [`AppError::Unavailable`] while the node starts.
    pub(crate) fn names(&self, _: &Caller) -> AppResult<Arc<Catalog>> {
        self.catalog()
    }

    /// The definition of a collection, and of its shards.
    ///
    /// # Errors
    /// [`AppError::Unavailable`] while the node starts.
    pub(crate) fn collection(&self, permit: &Permit, name: &str) -> AppResult<Option<Arc<Collection>>> {
        check(permit, Access::Read, &Resource::collection(name))?;
        Ok(self.catalog()?.find(name).cloned())
    }

    /// The definitions of all collections.
    ///
    /// # Errors
    /// [`AppError::Unavailable`] while the node starts.
    pub(crate) fn collections(&self, permit: &Permit) -> AppResult<Vec<Arc<Collection>>> {
        check(permit, Access::Read, &Resource::Collection(None))?;
        Ok(self.catalog()?.collections())
    }

    /// Checks that the permit is for some access to objects of the collection of a shard.
    ///
    /// # Errors
    /// As [`check`]; [`AppError::Unavailable`] while the node starts.
    pub(super) fn check_reach(&self, permit: &Permit, at: ShardKey) -> AppResult<()> {
        let catalog = self.catalog()?;
        let Some(collection) = catalog.get(at.collection) else { return Ok(()) };
        if permit.concerns(&collection.name) { Ok(()) } else { Err(beyond(permit)) }
    }

    /// Checks that the permit is for that access to an object of a shard, or to all of them.
    ///
    /// # Errors
    /// As [`check`]; [`AppError::Unavailable`] while the node starts.
    pub(super) fn check_shard(&self, permit: &Permit, access: Access, at: ShardKey, id: Option<Uuid>) -> AppResult<()> {
        let catalog = self.catalog()?;
        // A collection that was dropped meanwhile has no objects.
        let Some(collection) = catalog.get(at.collection) else { return Ok(()) };
        let shard = catalog.shards(at.collection).by_id(at.shard).filter(|_| collection.multi_tenancy.enabled);
        let tenant = shard.map(|shard| shard.name.as_str());
        let resource = match id {
            Some(id) => Resource::object(Some(&collection.name), tenant, id),
            None => Resource::objects(&collection.name, tenant),
        };
        check(permit, access, &resource)
    }
}

/// Checks that the permit is for that access to the objects of a target.
///
/// # Errors
/// As [`check`].
pub(super) fn check_target(permit: &Permit, access: Access, target: &ShardTarget) -> AppResult<()> {
    let tenant = Some(target.tenant()).filter(|tenant| !tenant.is_empty());
    check(permit, access, &Resource::objects(&target.collection.name, tenant))
}

/// Checks that the permit is for that access to the resource.
///
/// # Errors
/// [`AppError::Internal`]: the front end asked for another permit than its call needs.
pub(super) fn check(permit: &Permit, access: Access, resource: &Resource<'_>) -> AppResult<()> {
    if permit.covers(access, resource) { Ok(()) } else { Err(beyond(permit)) }
}

/// The error of a call that goes beyond its permit.
pub(super) fn beyond(permit: &Permit) -> AppError {
    AppError::Internal(format!("a call goes beyond its permit {permit:?}"))
}
