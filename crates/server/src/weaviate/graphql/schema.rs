//! The schema of documents: the classes of the catalog, and the fields that depend on the modules.

use std::ops::Deref;
use std::sync::Arc;

use azimuth_engine::meta::Catalog;

use crate::modules::ModuleSettings;
use crate::modules::registry::Kind;

/// The classes and the fields that documents may name.
#[derive(Debug, Clone)]
pub(super) struct Schema {
    catalog: Arc<Catalog>,
    /// `Explore` is there: only without any module, as in Weaviate.
    pub(super) has_explore: bool,
    /// `_additional.generate` is there.
    pub(super) has_generate: bool,
    /// `_additional.rerank` is there.
    pub(super) has_rerank: bool,
}

impl Schema {
    pub(super) fn new(catalog: Arc<Catalog>, modules: &ModuleSettings) -> Self {
        let has = |kind| modules.of_kind(kind).next().is_some();
        Self {
            catalog,
            has_explore: !modules.are_there(),
            has_generate: has(Kind::Generator),
            has_rerank: has(Kind::Reranker),
        }
    }
}

impl Deref for Schema {
    type Target = Catalog;

    fn deref(&self) -> &Catalog {
        &self.catalog
    }
}

/// An empty catalog with the modules that are enabled unless the settings say otherwise.
#[cfg(test)]
impl Default for Schema {
    fn default() -> Self {
        Self::from(Catalog::default())
    }
}

#[cfg(test)]
impl From<Catalog> for Schema {
    fn from(catalog: Catalog) -> Self {
        Self { catalog: Arc::new(catalog), has_explore: false, has_generate: true, has_rerank: false }
    }
}
