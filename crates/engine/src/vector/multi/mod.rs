//! Multi-vectors: documents of several rows, compared by late interaction.
//!
//! The distance of a document is the sum, over the rows of the query, of the least distance to any row of the document
//! (maxSim, with distances in place of similarities). Under cosine the rows of the query are normalised and those of the
//! documents are taken as they are; each row then counts minus its dot product.
//!
//! A [`MultiIndex`] keeps one of two things in a [`VectorIndex`](super::VectorIndex): every row, under an id that says
//! which document it belongs to (`slots::row_ids`), or one encoding of each document (`muvera`). Either names candidates, which are
//! then compared exactly (`score`). What waits for the graph is compared exactly like any pending vector.

mod bounds;
mod index;
mod muvera;
mod score;
#[cfg(test)]
mod tests;

pub use super::slots::row_ids::{QUERY_ROWS_MAX, ROWS_MAX};
pub use index::{Fetch, MultiIndex, MultiRequest};
pub use muvera::Muvera;
