//! Writing the inverted index: entries of an apply, and the background work on written entries.
//!
//! Read in this order: `staged` (the entries of an apply), `merge` (segments become entries), `compaction` (small entries
//! are joined, dead doc ids removed), `rebuild` (all entries are written anew).

pub(crate) mod compaction;
pub(crate) mod merge;
pub(crate) mod rebuild;
pub(crate) mod staged;
