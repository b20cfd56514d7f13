//! A collection: its properties, vectors and settings. Its shards have records of their own.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::shards::ListedShard;
use super::{DataType, InvertedConfig, Property, VectorConfig, VectorSpace};
use crate::ids::{CollectionId, PropertyId, VectorId};
use crate::{Error, Result};

/// The schema of one collection.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Collection {
    /// Assigned by the meta group when the collection is created; 0 before.
    pub id: CollectionId,
    /// Incremented by every change. Data groups keep the schema with the highest version.
    pub version: u64,
    /// `^[A-Z][_0-9A-Za-z]{0,254}$`; unique without regard to case.
    pub name: String,
    /// Free text; `None` if no request has set it.
    pub description: Option<String>,
    /// In the order of creation; `None` if no request has set the list, which the wire renders differently from an empty
    /// list.
    pub properties: Option<Vec<Property>>,
    /// The unnamed and the named vectors.
    pub vectors: VectorSpace,
    /// Inverted index and keyword search.
    pub inverted: InvertedConfig,
    /// Hash sharding; zero-valued on a multi-tenant collection.
    pub sharding: Sharding,
    /// Copies of each shard.
    pub replication: Replication,
    /// Multi-tenancy settings.
    pub multi_tenancy: MultiTenancy,
    /// Expiry of objects; `None` if no request has configured it.
    pub object_ttl: Option<ObjectTtl>,
    /// Module settings as the JSON text of the request; the engine does not parse it.
    pub module_config: Option<String>,
    /// Next property id to assign.
    pub next_property_id: u16,
    /// Next vector id to assign; ids of named vectors start at 1.
    pub next_vector_id: u16,
    /// Lengths of the vectors of a collection whose objects are spread over several shards by their ids: each is fixed
    /// before the first object with the vector is written, so that all shards store vectors of one length.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub vector_lengths: BTreeMap<VectorId, u32>,
    /// Shards by name in schemas of version 1, which occur in old directories and logs; `None` in later versions.
    /// Shards by name in schemas of version 1, which occur in old directories and logs; `None` in later versions.
    #[serde(default, rename = "shards", skip_serializing_if = "Option::is_none")]
    pub listed: Option<BTreeMap<String, ListedShard>>,
    /// Next shard id to assign, in schemas of version 1.
    #[serde(default, rename = "next_shard_id", skip_serializing_if = "Option::is_none")]
    pub listed_next: Option<u32>,
}

/// Hash sharding, as the wire renders it; all zero in a multi-tenant collection.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Sharding {
    pub virtual_per_physical: i64,
    pub desired_count: i64,
    pub actual_count: i64,
    pub desired_virtual_count: i64,
    pub actual_virtual_count: i64,
    pub key: String,
    pub strategy: String,
    pub function: String,
}

/// Copies of each shard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replication {
    /// Number of copies, at least 1.
    pub factor: i64,
    /// Wire name of the deletion strategy; `None` when an update left it out.
    pub deletion_strategy: Option<String>,
    /// Settings of asynchronous replication as the JSON text of the request. They have no effect: replication uses Raft.
    pub async_config: Option<String>,
}

impl Default for Replication {
    /// One copy.
    fn default() -> Self {
        Self { factor: 1, deletion_strategy: None, async_config: None }
    }
}

/// Multi-tenancy.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MultiTenancy {
    /// Whether each object belongs to a tenant. Immutable.
    pub enabled: bool,
    /// Whether the first write to a tenant creates it.
    pub auto_creation: bool,
    /// Whether the first access to a cold tenant activates it.
    pub auto_activation: bool,
    /// Whether the last update omitted these settings; the wire renders that.
    #[serde(default)]
    pub left_out: bool,
}

/// Expiry of objects.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectTtl {
    /// Whether objects expire.
    pub enabled: bool,
    /// Seconds after `delete_on`.
    pub default_ttl_s: i64,
    /// `_creationTimeUnix`, `_lastUpdateTimeUnix` or a date property.
    pub delete_on: String,
    /// Whether reads leave out expired objects that are not deleted yet.
    pub filter_expired: bool,
}

impl Collection {
    /// The properties; empty if no request has set the list.
    pub fn properties(&self) -> &[Property] {
        self.properties.as_deref().unwrap_or_default()
    }

    /// The top-level property with exactly this name.
    pub fn property(&self, name: &str) -> Option<&Property> {
        self.properties().iter().find(|p| p.name == name)
    }

    /// The configuration of a vector by name; `""` is the unnamed one.
    pub fn vector(&self, name: &str) -> Option<&VectorConfig> {
        self.vectors.get(name)
    }

    /// Name (empty for the unnamed one) and configuration of the vector with that id.
    pub fn vector_by_id(&self, id: VectorId) -> Option<(&str, &VectorConfig)> {
        self.vectors.iter().find(|(_, v)| v.id == id)
    }

    /// Assigns ids to the properties (nested ones included) and vectors that have none. The meta group calls it at apply.
    ///
    /// # Errors
    /// [`Error::Limit`] when the ids are used up; some ids may be assigned by then, so the collection must not be used.
    pub fn assign_ids(&mut self) -> Result<()> {
        let mut next = self.next_property_id.max(1);
        for property in self.properties.iter_mut().flatten() {
            assign(property, &mut next).ok_or_else(|| used_up("properties, nested ones included"))?;
        }
        self.next_property_id = next;
        let mut next = self.next_vector_id.max(1);
        for vector in self.vectors.named_mut().filter(|vector| vector.id == VectorId::UNNAMED) {
            vector.id = VectorId(next);
            next = next.checked_add(1).ok_or_else(|| used_up("named vectors"))?;
        }
        self.next_vector_id = next;
        Ok(())
    }
}

/// `None` when there is no further id.
fn assign(property: &mut Property, next: &mut u16) -> Option<()> {
    if property.id == PropertyId(0) {
        property.id = PropertyId(*next);
        *next = next.checked_add(1)?;
    }
    match property.data_type {
        DataType::Primitive { .. } | DataType::Reference(_) => Some(()),
        DataType::Object { .. } => property.nested.iter_mut().try_for_each(|nested| assign(nested, next)),
    }
}

fn used_up(what: &str) -> Error {
    Error::Limit(format!("a collection can have {} {what}, each with an id that is never given again", u16::MAX - 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::VectorIndexKind;
    use crate::vector::IndexConfig;

    fn property(nested: usize) -> Property {
        let one = Property {
            id: PropertyId(0),
            name: "p".into(),
            description: None,
            data_type: DataType::Object { list: false },
            tokenization: None,
            filterable: false,
            searchable: false,
            range_filterable: false,
            nested: Vec::new(),
            text_analyzer: None,
            module_config: None,
        };
        Property { nested: vec![one.clone(); nested], ..one }
    }

    #[test]
    fn ids_end_with_an_error_and_not_with_a_panic() {
        let last = usize::from(u16::MAX) - 1;
        let of = |nested: usize| Collection { properties: Some(vec![property(nested)]), ..Collection::default() };
        let mut at = of(last - 1);
        at.assign_ids().unwrap();
        assert_eq!(at.next_property_id, u16::MAX);
        assert!(matches!(of(last).assign_ids(), Err(Error::Limit(_))));
        at.properties.iter_mut().flatten().for_each(|top| top.nested.push(property(0)));
        assert!(matches!(at.assign_ids(), Err(Error::Limit(_))));

        let vector = VectorConfig {
            id: VectorId(0),
            vectorizer: "none".into(),
            vectorizer_config: None,
            kind: VectorIndexKind::Hnsw,
            index: IndexConfig::default(),
            wire_config: String::new(),
            multi: false,
            muvera: None,
        };
        for (count, fits) in [(last, true), (last + 1, false)] {
            let named = (0..count).map(|n| (n.to_string(), vector.clone())).collect();
            let mut of = Collection { vectors: VectorSpace { unnamed: None, named }, ..Collection::default() };
            assert_eq!(of.assign_ids().is_ok(), fits, "{count}");
        }
    }
}
