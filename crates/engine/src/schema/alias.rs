//! Aliases of collections.

use serde::{Deserialize, Serialize};

/// A further name of a collection. It leads to the collection by name: it stays when the collection is dropped, and then
/// leads to the next collection of that name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alias {
    /// Unique among the aliases, and without regard to case no collection's name.
    pub name: String,
    /// Name of the collection.
    pub collection: String,
}
