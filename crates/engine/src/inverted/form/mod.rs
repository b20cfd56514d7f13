//! The content of the inverted index and its forms on disk.
//!
//! Read in this order: `terms` (the values of an object that are indexed), `nested` (those inside of objects), `docset` (sets of doc ids), `postings` (blocks
//! of postings), `column` (values by doc id), `segment` (the entries of one large batch).

pub(crate) mod column;
pub(crate) mod docset;
pub(crate) mod nested;
pub(crate) mod postings;
pub(crate) mod segment;
pub(crate) mod terms;
