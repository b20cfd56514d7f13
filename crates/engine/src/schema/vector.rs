//! The vectors of a collection and their indexes' settings.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ids::VectorId;
use crate::vector::{IndexConfig, Muvera};

/// The vectors that objects of a collection can have: one without a name, and any number with.
///
/// A collection made the old way has the unnamed one; a named vector called `default` and the unnamed
/// vector are one to callers, but a collection has only one of the two.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct VectorSpace {
    /// The vector without a name.
    pub unnamed: Option<VectorConfig>,
    /// The named vectors.
    pub named: BTreeMap<String, VectorConfig>,
}

/// One vector of a collection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VectorConfig {
    /// Given by the meta group; 0 for the unnamed vector, and for named ones before.
    pub id: VectorId,
    /// Who makes the vectors: `none` when the client brings them.
    pub vectorizer: String,
    /// The vectorizer's settings as the JSON text that was given.
    pub vectorizer_config: Option<String>,
    /// Wire name of the index kind.
    pub kind: VectorIndexKind,
    /// What the index does.
    pub index: IndexConfig,
    /// Settings of the index as the wire shows them (JSON text, all defaults filled in).
    pub wire_config: String,
    /// Objects carry several vectors each (late interaction).
    pub multi: bool,
    /// Several vectors are indexed as one encoding per object; without it every one of them is.
    #[serde(default)]
    pub muvera: Option<Muvera>,
}

/// Kinds of vector index, as the wire names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum VectorIndexKind {
    /// A navigable graph.
    Hnsw,
    /// An exact scan.
    Flat,
    /// Flat until a threshold, then a graph.
    Dynamic,
    /// Accepted for compatibility; served by the graph.
    Hfresh,
    /// The index was dropped.
    None,
}

impl VectorSpace {
    /// The configuration by name; `""` is the unnamed vector.
    pub fn get(&self, name: &str) -> Option<&VectorConfig> {
        if name.is_empty() { self.unnamed.as_ref() } else { self.named.get(name) }
    }

    /// All vectors; the unnamed one first, with the name `""`.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &VectorConfig)> {
        let unnamed = self.unnamed.iter().map(|v| ("", v));
        unnamed.chain(self.named.iter().map(|(name, v)| (name.as_str(), v)))
    }

    /// The named vectors, to be changed.
    pub fn named_mut(&mut self) -> impl Iterator<Item = &mut VectorConfig> {
        self.named.values_mut()
    }
}
