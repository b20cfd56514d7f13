//! The inverted index: which objects have which value.
//!
//! It is derived from the objects and lies in the `inv` family, keyed (property, kind, value, first doc id). Apply only
//! ever adds entries under keys that are new, one per value and batch, without reading, and large batches as one segment;
//! the background takes segments apart ([`promote`]), joins entries into sets of whole chunks and full blocks, and takes
//! dead doc ids out ([`sweep`]). Until then a dead doc id may still stand in a set: every reader intersects with the
//! shard's live set. Entries that fail their checks are written anew from the rows ([`rebuild`]); [`audit`] compares the two.
//!
//! Searchable text has postings and is filtered through them; text that is only filterable has plain sets.
//!
//! Read next: `terms` (what of an object is indexed), `docset`, `postings` and `segment` (forms on disk), `staged` (writing),
//! `lookup` (reading).

pub(crate) mod audit;
mod condition;
pub(crate) mod docset;
mod geo;
mod like;
pub(crate) mod lookup;
pub(crate) mod postings;
pub(crate) mod promote;
pub(crate) mod rebuild;
pub(crate) mod segment;
pub(crate) mod staged;
pub(crate) mod sweep;
pub(crate) mod terms;
mod text;
