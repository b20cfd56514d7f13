//! The inverted index: which objects have which value.
//!
//! The index is derived from the objects and lies in the `inv` family, keyed (property, kind, value, first doc id). Apply
//! only adds entries under new keys, one per value and batch, without reading; a large batch is written as one segment
//! ([`writer::staged`]). Background work merges segments into entries ([`writer::merge`]), joins entries into sets of whole
//! chunks and full blocks, and removes dead doc ids ([`writer::compaction`]). Until then a dead doc id may still stand in a
//! set: every reader intersects with the shard's live set. Entries that fail their checks are written anew from the rows
//! ([`writer::rebuild`]); [`reader::audit`] compares index and rows.
//!
//! Searchable text has postings and is filtered through them; text that is only filterable has plain sets.
//!
//! Read in this order: [`form`] (the indexed parts of an object, and the forms on disk), [`writer`], [`reader`].

mod doc_set;
pub(crate) mod form;
pub(crate) mod reader;
mod view;
pub(crate) mod writer;

pub(crate) use doc_set::DocSet;
pub(crate) use view::IndexView;
