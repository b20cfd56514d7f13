//! Aliases of collections: their records, and the commands on them.

use std::sync::Arc;

use super::CatalogDraft;
use super::catalog::Buckets;
use crate::Result;
use crate::command::Outcome;
use crate::ids::GroupId;
use crate::limits::{ALIAS_NAME_BYTES_MAX, ALIASES_MAX};
use crate::schema::Alias;
use crate::storage::key::{self, MetaKey};
use crate::storage::{Family, Store, record};

/// All aliases at one moment. Cheap to copy.
#[derive(Debug, Clone, Default)]
pub(super) struct Aliases {
    /// By lower-cased name.
    by_name: Buckets<String, Vec<Arc<Alias>>>,
    count: usize,
}

impl Aliases {
    /// The alias of exactly that name.
    pub(super) fn get(&self, name: &str) -> Option<&Arc<Alias>> {
        self.similar(name).iter().find(|alias| alias.name == name)
    }

    /// The aliases of that name, without regard to case.
    pub(super) fn similar(&self, name: &str) -> &[Arc<Alias>] {
        if self.count == 0 {
            return &[];
        }
        let name = name.to_lowercase();
        self.by_name.bucket(&name).get(&name).map_or(&[], Vec::as_slice)
    }

    /// All of them, by name.
    pub(super) fn sorted(&self) -> Vec<Arc<Alias>> {
        let mut all: Vec<_> = self.by_name.values().flatten().cloned().collect();
        all.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        all
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// Adds an alias, in place of that of its name.
    pub(super) fn put(&mut self, alias: Alias) {
        let name = alias.name.to_lowercase();
        let similar = self.by_name.bucket_mut(&name).entry(name).or_default();
        let before = similar.len();
        similar.retain(|known| known.name != alias.name);
        similar.push(Arc::new(alias));
        self.count += similar.len() - before;
    }

    /// Removes the alias of exactly that name; whether there was one.
    fn remove(&mut self, name: &str) -> bool {
        let lower = name.to_lowercase();
        let bucket = self.by_name.bucket_mut(&lower);
        let Some(similar) = bucket.get_mut(&lower) else { return false };
        let before = similar.len();
        similar.retain(|known| known.name != name);
        let removed = before - similar.len();
        if similar.is_empty() {
            bucket.remove(&lower);
        }
        self.count -= removed;
        removed > 0
    }
}

/// Reads the aliases of a group.
///
/// # Errors
/// [`Error::Damaged`](crate::Error::Damaged) when a record fails its checks.
pub(super) fn load(store: &Store, group: GroupId) -> Result<Aliases> {
    let mut aliases = Aliases::default();
    for (_, value) in store.entries(Family::Meta, &key::meta(group, MetaKey::Alias, &[]))? {
        aliases.put(record::decode("alias", &value)?);
    }
    Ok(aliases)
}

impl CatalogDraft<'_> {
    pub(super) fn create_alias(&mut self, alias: Alias) -> Result<Outcome> {
        if alias.name.len() > ALIAS_NAME_BYTES_MAX {
            let why = format!("the name of an alias has more than {ALIAS_NAME_BYTES_MAX} bytes");
            return Ok(Outcome::Refused(why));
        }
        if let Some(there) = self.catalog.find_similar(&alias.name) {
            return Ok(Outcome::Conflict(super::taken(&alias.name, &there.name)));
        }
        if self.catalog.alias(&alias.name).is_some() {
            return Ok(Outcome::Conflict(format!("alias {} exists", alias.name)));
        }
        if self.catalog.find(&alias.collection).is_none() {
            return Ok(Outcome::NotFound);
        }
        if self.catalog.alias_count() >= ALIASES_MAX {
            return Ok(Outcome::Refused(format!("there are {ALIASES_MAX} aliases already")));
        }
        self.put_alias(alias)
    }

    pub(super) fn update_alias(&mut self, alias: Alias) -> Result<Outcome> {
        if self.catalog.alias(&alias.name).is_none() || self.catalog.find(&alias.collection).is_none() {
            return Ok(Outcome::NotFound);
        }
        self.put_alias(alias)
    }

    pub(super) fn drop_alias(&mut self, name: &str) -> Outcome {
        if !self.catalog.aliases.remove(name) {
            return Outcome::NotFound;
        }
        self.changes.delete(Family::Meta, &alias_key(self.group, name));
        Outcome::Done
    }

    fn put_alias(&mut self, alias: Alias) -> Result<Outcome> {
        self.changes.put(Family::Meta, &alias_key(self.group, &alias.name), &record::encode(&alias)?);
        self.catalog.aliases.put(alias);
        Ok(Outcome::Done)
    }
}

fn alias_key(group: GroupId, name: &str) -> Vec<u8> {
    key::meta(group, MetaKey::Alias, name.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aliases_are_found_by_their_exact_name() {
        let alias = |name: &str, collection: &str| Alias { name: name.into(), collection: collection.into() };
        let mut aliases = Aliases::default();
        assert!(aliases.similar("a").is_empty());
        aliases.put(alias("Blue", "One"));
        aliases.put(alias("BLUE", "Two"));
        let before = aliases.clone();
        aliases.put(alias("Blue", "Three"));
        assert_eq!((aliases.len(), aliases.similar("bLUE").len()), (2, 2));
        let target = |aliases: &Aliases, name: &str| aliases.get(name).map(|alias| alias.collection.clone());
        assert_eq!(target(&aliases, "Blue").as_deref(), Some("Three"));
        assert_eq!(target(&aliases, "BLUE").as_deref(), Some("Two"));
        assert_eq!(target(&aliases, "blue"), None);
        assert_eq!(target(&before, "Blue").as_deref(), Some("One"), "copies stay");
        let names: Vec<_> = aliases.sorted().iter().map(|alias| alias.name.clone()).collect();
        assert_eq!(names, ["BLUE", "Blue"]);
        assert!(aliases.remove("Blue") && !aliases.remove("Blue"));
        assert_eq!((aliases.len(), aliases.get("Blue")), (1, None));
        assert!(aliases.remove("BLUE"));
        assert_eq!((aliases.len(), aliases.sorted().len()), (0, 0));
    }
}
