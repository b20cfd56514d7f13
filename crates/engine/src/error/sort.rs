//! Why hits cannot be sorted.

use serde::{Deserialize, Serialize};

/// Why a sort clause is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("sort clause {position}: {reason}")]
pub struct SortError {
    /// Position of the clause.
    pub position: usize,
    /// The reason.
    pub reason: SortRefusal,
}

/// The reason why a sort clause cannot be followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum SortRefusal {
    /// It names no property.
    #[error("it names no property")]
    NoProperty,
    /// The collection has no such property.
    #[error("collection {collection} has no property {property}")]
    NoSuchProperty {
        /// The property, as the clause names it.
        property: String,
        /// The collection.
        collection: String,
    },
    /// UUIDs have no order.
    #[error("property {0} holds UUIDs")]
    Uuid(String),
    /// References have no order.
    #[error("property {property} holds references")]
    Reference {
        /// The property, as the clause names it.
        property: String,
        /// The first collection that it leads to.
        target: String,
    },
}
