//! Reading the inverted index: filters, and the audit that compares the index with the objects.
//!
//! Read in this order: `lookup` (a filter against one shard), `condition` (one comparison), `text`, `like` and `geo`
//! (comparisons of their types), `nested` (values inside of objects), `columns` (values by doc id), `ranked` (postings of a term with frequencies), `audit`.

pub(crate) mod audit;
pub(crate) mod columns;
mod condition;
mod geo;
mod like;
pub(crate) mod lookup;
pub(crate) mod nested;
pub(crate) mod ranked;
mod text;
