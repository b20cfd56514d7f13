//! Aliases of collections: names that a request may use in place of a collection's.
//!
//! Front ends resolve the names in a request first ([`App::resolve`]), so that permits, errors and answers name the
//! collection. Definitions of collections are changed under their own name only.

use std::sync::Arc;

use azimuth_engine::command::{Command, Outcome};
use azimuth_engine::meta::Catalog;
use azimuth_engine::schema::Alias;

use super::access::check;
use super::change::ATTEMPTS_MAX;
use super::schema::names::{self, NameError, upper_first};
use super::{App, AppError, AppResult};
use crate::auth::{Access, Caller, Permit, Resource};

/// The reason why a request on aliases is refused. Front ends word it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AliasError {
    /// The name of the alias, or of its collection, is not allowed, or a collection has it.
    Name(NameError),
    /// There is an alias of that name.
    Exists(String),
    /// There is no alias of that name.
    NotFound,
    /// There is no collection of that name.
    NoCollection(String),
    /// The request failed.
    App(AppError),
}

impl From<AppError> for AliasError {
    fn from(error: AppError) -> Self {
        Self::App(error)
    }
}

impl From<NameError> for AliasError {
    fn from(error: NameError) -> Self {
        Self::Name(error)
    }
}

/// The aliases at one moment. A request resolves all its names with the same ones, so that a change beside it does not part
/// a batch.
pub(crate) struct Aliases(Option<Arc<Catalog>>);

impl Aliases {
    /// The name of the collection that a name stands for, whose first letter is in upper case. It is not checked whether
    /// there is such a collection.
    pub(crate) fn resolve(&self, name: String) -> String {
        let alias = self.0.as_ref().and_then(|catalog| catalog.alias(&name));
        alias.map_or(name, |alias| alias.collection.clone())
    }
}

impl From<Arc<Catalog>> for Aliases {
    fn from(catalog: Arc<Catalog>) -> Self {
        Self(Some(catalog))
    }
}

impl App {
    /// The aliases as of now. While the node starts, no alias is known.
    pub(crate) fn known_aliases(&self, _: &Caller) -> Aliases {
        Aliases(self.catalog().ok())
    }

    /// The name of the collection that a name in a request stands for, the first letter in upper case. It is not checked
    /// whether there is such a collection. While the node starts, no alias is known.
    pub(crate) fn resolve(&self, caller: &Caller, name: &str) -> String {
        self.known_aliases(caller).resolve(upper_first(name))
    }

    /// The aliases that the caller may read, by name; with `collection` only those of the collection of that name.
    ///
    /// # Errors
    /// [`AppError::Unavailable`] while the node starts.
    pub(crate) fn aliases(&self, caller: &Caller, collection: Option<&str>) -> AppResult<Vec<Arc<Alias>>> {
        let catalog = self.catalog()?;
        if collection.is_some_and(|name| catalog.find(name).is_none()) {
            return Ok(Vec::new());
        }
        let mut aliases = catalog.aliases();
        aliases.retain(|alias| collection.is_none_or(|name| alias.collection == name));
        aliases.retain(|alias| self.permit(caller, Access::Read, resource(alias)).is_ok());
        Ok(aliases)
    }

    /// The alias of that name, for a caller that may do `access` with it; the permit for it.
    ///
    /// # Errors
    /// [`AliasError::NotFound`], [`AppError::Forbidden`], [`AppError::Unavailable`] while the node starts.
    pub(crate) fn alias(
        &self,
        caller: &Caller,
        access: Access,
        name: &str,
    ) -> Result<(Arc<Alias>, Permit), AliasError> {
        let alias = self.catalog()?.alias(name).cloned().ok_or(AliasError::NotFound)?;
        let permit = self.permit(caller, access, resource(&alias))?;
        Ok((alias, permit))
    }

    /// Creates an alias.
    ///
    /// # Errors
    /// Every [`AliasError`] but [`AliasError::NotFound`]: [`AppError::Limit`] for the number of aliases, and those of a
    /// write.
    pub(crate) async fn create_alias(&self, permit: &Permit, alias: &Alias) -> Result<(), AliasError> {
        check(permit, Access::Create, &resource(alias))?;
        let checked = |catalog: &Catalog| {
            names::check_alias(&alias.name)?;
            names::check_class(&alias.collection)?;
            check_target(catalog, alias)?;
            match catalog.alias(&alias.name) {
                Some(_) => Err(AliasError::Exists(alias.name.clone())),
                None => Ok(names::check_no_collection(catalog, &alias.name)?),
            }
        };
        self.change_alias(Command::CreateAlias(alias.clone()), checked).await
    }

    /// Leads an alias to another collection.
    ///
    /// # Errors
    /// [`AliasError::NotFound`], [`AliasError::NoCollection`], and those of a write.
    pub(crate) async fn update_alias(&self, permit: &Permit, alias: &Alias) -> Result<(), AliasError> {
        check(permit, Access::Update, &resource(alias))?;
        let checked = |catalog: &Catalog| {
            catalog.alias(&alias.name).ok_or(AliasError::NotFound)?;
            check_target(catalog, alias)
        };
        self.change_alias(Command::UpdateAlias(alias.clone()), checked).await
    }

    /// Removes an alias.
    ///
    /// # Errors
    /// [`AliasError::NotFound`], and those of a write.
    pub(crate) async fn delete_alias(&self, permit: &Permit, alias: &Alias) -> Result<(), AliasError> {
        check(permit, Access::Delete, &resource(alias))?;
        let checked = |catalog: &Catalog| catalog.alias(&alias.name).map(drop).ok_or(AliasError::NotFound);
        self.change_alias(Command::DropAlias(alias.name.clone()), checked).await
    }

    /// Writes a change that `checked` accepts. A command that the meta group refuses was checked against a catalog that is
    /// out of date: it is checked again.
    async fn change_alias(
        &self,
        command: Command,
        checked: impl Fn(&Catalog) -> Result<(), AliasError>,
    ) -> Result<(), AliasError> {
        for _ in 0..ATTEMPTS_MAX {
            checked(self.catalog()?.as_ref())?;
            let outcomes = self.node()?.meta().propose(vec![command.clone()]).await.map_err(AppError::from)?;
            match outcomes.into_iter().next() {
                Some(Outcome::Done) => return Ok(()),
                Some(Outcome::Conflict(_) | Outcome::NotFound) => {}
                Some(Outcome::Refused(why)) => return Err(AppError::Limit(why).into()),
                other => return Err(AppError::Internal(format!("a change of an alias ended with {other:?}")).into()),
            }
        }
        Err(AppError::Unavailable("aliases are being changed by others: try again".to_owned()).into())
    }
}

/// The alias as a permit names it.
pub(crate) fn resource(alias: &Alias) -> Resource<'_> {
    Resource::Alias { collection: alias.collection.as_str().into(), name: alias.name.as_str().into() }
}

fn check_target(catalog: &Catalog, alias: &Alias) -> Result<(), AliasError> {
    catalog.find(&alias.collection).map(drop).ok_or_else(|| AliasError::NoCollection(alias.collection.clone()))
}
