//! Lookups of many properties of a schema by name or id, faster than a linear search each.

use std::collections::HashMap;

use super::{Collection, Property};
use crate::ids::PropertyId;

/// Number of comparisons up to which a linear search is used; above it, building a map is faster.
const COMPARISONS_MAX: usize = 4_096;

/// The top-level properties of a schema.
pub enum PropertyLookup<'a> {
    /// Linear search, for few lookups or few properties.
    Search(&'a [Property]),
    /// Properties by name and by id.
    Map(HashMap<&'a str, &'a Property>, HashMap<PropertyId, &'a Property>),
}

impl<'a> PropertyLookup<'a> {
    /// Prepares for about this many lookups.
    pub fn new(schema: &'a Collection, lookups: usize) -> Self {
        let properties = schema.properties();
        if lookups.saturating_mul(properties.len()) <= COMPARISONS_MAX {
            return Self::Search(properties);
        }
        // The first of several properties with the same name wins, as in a linear search.
        let by_name = properties.iter().rev().map(|property| (property.name.as_str(), property)).collect();
        Self::Map(by_name, properties.iter().rev().map(|property| (property.id, property)).collect())
    }

    /// The property with exactly this name.
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
