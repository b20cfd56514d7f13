//! Looking up many properties of a schema: by name or by id, without going through all of them each time.

use std::collections::HashMap;

use super::{Collection, Property};
use crate::ids::PropertyId;

/// Comparisons up to which a schema is searched; a map pays from then on.
const COMPARISONS_MAX: usize = 4_096;

/// The top-level properties of a schema.
pub enum PropertyLookup<'a> {
    /// Few lookups, or few properties.
    Search(&'a [Property]),
    /// Properties by name and by id.
    Map(HashMap<&'a str, &'a Property>, HashMap<PropertyId, &'a Property>),
}

impl<'a> PropertyLookup<'a> {
    /// For about so many lookups.
    pub fn new(schema: &'a Collection, lookups: usize) -> Self {
        let properties = schema.properties();
        if lookups.saturating_mul(properties.len()) <= COMPARISONS_MAX {
            return Self::Search(properties);
        }
        // Of several with one name the first counts, as in a search.
        let by_name = properties.iter().rev().map(|property| (property.name.as_str(), property)).collect();
        Self::Map(by_name, properties.iter().rev().map(|property| (property.id, property)).collect())
    }

    /// The property of that exact name.
    pub fn by_name(&self, name: &str) -> Option<&'a Property> {
        match self {
            Self::Search(properties) => properties.iter().find(|property| property.name == name),
            Self::Map(by_name, _) => by_name.get(name).copied(),
        }
    }

    /// The property with that id.
    pub fn by_id(&self, id: PropertyId) -> Option<&'a Property> {
        match self {
            Self::Search(properties) => properties.iter().find(|property| property.id == id),
            Self::Map(_, by_id) => by_id.get(&id).copied(),
        }
    }
}
