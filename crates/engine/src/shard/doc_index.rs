//! A vector index as a shard uses it: by document, whether its objects have one vector or several.

use std::path::Path;

use roaring::RoaringTreemap;

use crate::ids::DocId;
use crate::object::Vector;
use crate::schema::VectorConfig;
use crate::vector::{IndexConfig, IndexOptions, LoadReport, MultiIndex, VectorError, VectorIndex};

/// The index of one vector of a shard.
pub(crate) enum DocIndex {
    /// One vector each.
    Single(VectorIndex),
    /// Several vectors each.
    Multi(MultiIndex),
}

impl DocIndex {
    /// Opens what `dir` holds; `dim` is the length of a vector, or of each of several.
    pub(crate) fn open(
        dir: &Path,
        dim: Option<usize>,
        config: &VectorConfig,
        options: IndexOptions,
    ) -> (Self, LoadReport) {
        if config.multi {
            let (index, report) = MultiIndex::open(dir, dim, config.index, config.muvera, options);
            return (Self::Multi(index), report);
        }
        let (index, report) = VectorIndex::open(dir, dim, config.index, options);
        (Self::Single(index), report)
    }

    /// The index of single vectors within: for background work, saving and figures, which need not know documents.
    pub(crate) fn vectors(&self) -> &VectorIndex {
        match self {
            Self::Single(index) => index,
            Self::Multi(index) => index.vectors(),
        }
    }

    /// Documents present.
    pub(crate) fn live_ids(&self) -> RoaringTreemap {
        match self {
            Self::Single(index) => index.live_ids(),
            Self::Multi(index) => index.live_ids(),
        }
    }

    /// Number of documents present, about.
    pub(crate) fn documents(&self) -> usize {
        match self {
            Self::Single(index) => index.len(),
            Self::Multi(index) => index.len(),
        }
    }

    /// Makes room for so many more documents of one vector each.
    pub(crate) fn reserve(&self, more: u64) {
        if let Self::Single(index) = self {
            index.reserve(usize::try_from(more).unwrap_or(usize::MAX));
        }
    }

    /// Adds a document. A vector of the other kind, which no schema lets in, is left out.
    pub(crate) fn insert(&self, doc_id: DocId, vector: &Vector) -> Result<(), VectorError> {
        match (self, vector) {
            (Self::Single(index), Vector::Single(values)) => index.insert(doc_id, values),
            (Self::Multi(index), Vector::Multi { dim, rows }) => index.insert(doc_id, *dim as usize, rows),
            (Self::Single(_), Vector::Multi { .. }) | (Self::Multi(_), Vector::Single(_)) => Ok(()),
        }
    }

    /// Removes a document; `false` if it was not there.
    pub(crate) fn delete(&self, doc_id: DocId) -> bool {
        match self {
            Self::Single(index) => index.delete(doc_id),
            Self::Multi(index) => index.delete(doc_id),
        }
    }

    /// Takes over the settings that may change.
    pub(crate) fn update_config(&self, config: IndexConfig) {
        self.vectors().update_config(config);
    }
}
