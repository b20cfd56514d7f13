//! The catalog: all collections at one moment, by id and by name.

use std::collections::HashMap;
use std::sync::Arc;

use crate::ids::CollectionId;
use crate::schema::Collection;

/// All collections at one moment. Cheap to hold: a change makes a new catalog and leaves this one as it is.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    by_id: HashMap<CollectionId, Arc<Collection>>,
    /// Ids by lower-cased name.
    by_name: HashMap<String, CollectionId>,
}

impl Catalog {
    /// The collection with that id.
    pub fn get(&self, id: CollectionId) -> Option<&Arc<Collection>> {
        self.by_id.get(&id)
    }

    /// The collection of exactly that name.
    pub fn find(&self, name: &str) -> Option<&Arc<Collection>> {
        self.find_similar(name).filter(|collection| collection.name == name)
    }

    /// The collection of that name, without regard to case.
    pub fn find_similar(&self, name: &str) -> Option<&Arc<Collection>> {
        self.by_id.get(self.by_name.get(&name.to_lowercase())?)
    }

    /// All collections, by id, which is the order of creation.
    pub fn collections(&self) -> Vec<Arc<Collection>> {
        let mut all: Vec<_> = self.by_id.values().cloned().collect();
        all.sort_unstable_by_key(|collection| collection.id);
        all
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    pub(super) fn insert(&mut self, collection: Arc<Collection>) {
        self.by_name.insert(collection.name.to_lowercase(), collection.id);
        self.by_id.insert(collection.id, collection);
    }

    pub(super) fn remove(&mut self, id: CollectionId) -> Option<Arc<Collection>> {
        let collection = self.by_id.remove(&id)?;
        self.by_name.remove(&collection.name.to_lowercase());
        Some(collection)
    }
}
