//! The vectors of a collection and the settings of their indexes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ids::VectorId;
use crate::vector::{IndexConfig, Muvera};

/// The vectors that objects of a collection can have: one unnamed vector and any number of named ones.
///
/// A collection without `vectorConfig` has the unnamed vector. Callers address the unnamed vector by the name
/// `default` too, so a collection has either the unnamed vector or a named vector `default`, never both.
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
    /// Assigned by the meta group; 0 for the unnamed vector, and for a named one before that.
    pub id: VectorId,
    /// Name of the vectorizer; `none` if clients send the vectors.
    pub vectorizer: String,
    /// Settings of the vectorizer as the JSON text of the request.
    pub vectorizer_config: Option<String>,
    /// Wire name of the index kind.
    pub kind: VectorIndexKind,
    /// Settings of the index as the engine uses them.
    pub index: IndexConfig,
    /// Settings of the index as the wire renders them: JSON text with all defaults.
    pub wire_config: String,
    /// Whether each object has several vectors (late interaction).
    pub multi: bool,
    /// If set, the index holds one encoding per object instead of each of its vectors.
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
    /// Kept for compatibility; the graph serves it.
    Hfresh,
    /// The index was dropped.
    None,
}

impl VectorSpace {
    /// The configuration with this name; `""` is the unnamed vector.
    pub fn get(&self, name: &str) -> Option<&VectorConfig> {
        if name.is_empty() { self.unnamed.as_ref() } else { self.named.get(name) }
    }

    /// All vectors; the unnamed one first, with the name `""`.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &VectorConfig)> {
        let unnamed = self.unnamed.iter().map(|v| ("", v));
        unnamed.chain(self.named.iter().map(|(name, v)| (name.as_str(), v)))
    }

    /// The named vectors, mutable.
    pub fn named_mut(&mut self) -> impl Iterator<Item = &mut VectorConfig> {
        self.named.values_mut()
    }
}
