//! The catalog: all collections with their aliases and shards at one moment, by id and by name.

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::aliases::Aliases;
use crate::collections::Known;
use crate::ids::CollectionId;
use crate::schema::{Alias, Collection, ShardTable};

/// All collections with their shards at one moment. Cheap to hold and to copy: a change makes a new catalog, which shares with this one all
/// but a few buckets, and leaves this one as it is.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    by_id: Buckets<CollectionId, Arc<Known>>,
    /// Ids by lower-cased name.
    by_name: Buckets<String, CollectionId>,
    pub(super) aliases: Aliases,
    /// The shards of a collection that does not exist.
    no_shards: ShardTable,
}

impl Catalog {
    /// The collection with that id.
    pub fn get(&self, id: CollectionId) -> Option<&Arc<Collection>> {
        self.known(id).map(|known| &known.schema)
    }

    /// The shards of the collection with that id; none if there is no such collection.
    pub fn shards(&self, id: CollectionId) -> &ShardTable {
        self.known(id).map_or(&self.no_shards, |known| &known.shards)
    }

    /// The collection of exactly that name.
    pub fn find(&self, name: &str) -> Option<&Arc<Collection>> {
        self.find_similar(name).filter(|collection| collection.name == name)
    }

    /// The collection of that name, without regard to case.
    pub fn find_similar(&self, name: &str) -> Option<&Arc<Collection>> {
        let name = name.to_lowercase();
        self.get(*self.by_name.bucket(&name).get(&name)?)
    }

    /// The collection of exactly that name, or the one that the alias of exactly that name leads to.
    pub fn resolve(&self, name: &str) -> Option<&Arc<Collection>> {
        self.find(name).or_else(|| self.find(&self.alias(name)?.collection))
    }

    /// The alias of exactly that name.
    pub fn alias(&self, name: &str) -> Option<&Arc<Alias>> {
        self.aliases.get(name)
    }

    /// An alias of that name, without regard to case.
    pub fn similar_alias(&self, name: &str) -> Option<&Arc<Alias>> {
        self.aliases.get(name).or_else(|| self.aliases.similar(name).first())
    }

    /// All aliases, by name.
    pub fn aliases(&self) -> Vec<Arc<Alias>> {
        self.aliases.sorted()
    }

    /// How many aliases there are.
    pub fn alias_count(&self) -> usize {
        self.aliases.len()
    }

    /// All collections, by id, which is the order of creation.
    pub fn collections(&self) -> Vec<Arc<Collection>> {
        let mut all: Vec<_> = self.by_id.values().map(|known| known.schema.clone()).collect();
        all.sort_unstable_by_key(|collection| collection.id);
        all
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_id.buckets.iter().map(|bucket| bucket.len()).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn known(&self, id: CollectionId) -> Option<&Arc<Known>> {
        self.by_id.bucket(&id).get(&id)
    }

    pub(super) fn insert(&mut self, known: Known) {
        let (id, name) = (known.schema.id, known.schema.name.to_lowercase());
        self.by_name.bucket_mut(&name).insert(name, id);
        self.by_id.bucket_mut(&id).insert(id, Arc::new(known));
    }

    /// Replaces the shards of an existing collection.
    pub(super) fn set_shards(&mut self, schema: Arc<Collection>, shards: ShardTable) {
        let id = schema.id;
        self.by_id.bucket_mut(&id).insert(id, Arc::new(Known { schema, shards }));
    }

    pub(super) fn remove(&mut self, id: CollectionId) -> Option<Arc<Known>> {
        let known = self.by_id.bucket_mut(&id).remove(&id)?;
        let name = known.schema.name.to_lowercase();
        self.by_name.bucket_mut(&name).remove(&name);
        Some(known)
    }
}

impl FromIterator<Collection> for Catalog {
    /// These collections, which have different ids and names, without shards.
    fn from_iter<I: IntoIterator<Item = Collection>>(collections: I) -> Self {
        let mut catalog = Self::default();
        collections.into_iter().for_each(|collection| catalog.insert(without_shards(collection)));
        catalog
    }
}

fn without_shards(collection: Collection) -> Known {
    Known { schema: Arc::new(collection), shards: ShardTable::default() }
}

/// Buckets of a map: with ten thousand collections a change copies some forty entries.
const BUCKETS: usize = 256;

/// A map in buckets that its copies share until one of them changes.
#[derive(Debug, Clone)]
pub(super) struct Buckets<K, V> {
    buckets: Arc<[Arc<HashMap<K, V>>]>,
}

impl<K, V> Default for Buckets<K, V> {
    fn default() -> Self {
        Self { buckets: vec![Arc::default(); BUCKETS].into() }
    }
}

impl<K: Hash + Eq + Clone, V: Clone> Buckets<K, V> {
    pub(super) fn bucket(&self, key: &K) -> &HashMap<K, V> {
        &self.buckets[number(key)]
    }

    pub(super) fn bucket_mut(&mut self, key: &K) -> &mut HashMap<K, V> {
        Arc::make_mut(&mut Arc::make_mut(&mut self.buckets)[number(key)])
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &V> {
        self.buckets.iter().flat_map(|bucket| bucket.values())
    }
}

fn number(key: &impl Hash) -> usize {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    (hasher.finish() % BUCKETS as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_leaves_older_copies_as_they_were() {
        let mut catalog = Catalog::default();
        let mut copies = Vec::new();
        for n in 1..=1_000 {
            copies.push(catalog.clone());
            let new = Collection { id: CollectionId(n), name: format!("Name{n}"), ..Collection::default() };
            catalog.insert(without_shards(new));
        }
        for (len, copy) in copies.iter().enumerate() {
            assert_eq!((copy.len(), copy.is_empty()), (len, len == 0));
            let ids: Vec<_> = copy.collections().iter().map(|collection| collection.id.0 as usize).collect();
            assert_eq!(ids, (1..=len).collect::<Vec<_>>());
        }
        let before = catalog.clone();
        assert_eq!(catalog.remove(CollectionId(7)).map(|gone| gone.schema.name.clone()), Some("Name7".to_owned()));
        assert!(catalog.remove(CollectionId(7)).is_none());
        assert!(catalog.get(CollectionId(7)).is_none() && catalog.find_similar("name7").is_none());
        assert_eq!(catalog.len(), 999);
        assert!(before.find("Name7").is_some() && before.find("name7").is_none());
        assert!(before.find_similar("nAME7").is_some());
    }
}
