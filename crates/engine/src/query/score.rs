//! Scores of hits, and how they came about.

use serde::{Deserialize, Serialize};

/// The rank of a hit by a keyword search, or by several searches together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Greater is better.
    pub value: f32,
    /// How it came about; empty if the request did not ask.
    pub explanation: Vec<Explained>,
}

/// A part of a score.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Explained {
    /// A term of a keyword search, in the first of the searched properties that has it.
    Term {
        /// The term.
        term: String,
        /// How often the property has it.
        frequency: u32,
        /// Tokens of the property.
        length: u32,
    },
    /// A search that was fused with others by the ranks of its hits.
    Rank {
        /// Which search.
        search: FusedSearch,
        /// The part of the score that comes from it.
        added: f32,
    },
    /// A search that was fused with others by the scores of its hits.
    Relative {
        /// Which search.
        search: FusedSearch,
        /// The score of the hit in that search.
        original: f32,
        /// The part of the score that comes from it.
        added: f32,
    },
}

/// A search that is fused with others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FusedSearch {
    /// By keywords.
    Keyword,
    /// By the vector of the request.
    Vector,
    /// By a vector search within the request.
    VectorSearch,
}
