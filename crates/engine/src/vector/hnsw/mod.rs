//! The graph (Malkov and Yashunin, arXiv 1603.09320) over the slots of the store.
//!
//! `store::graph`: entry point, node locks, levels. `builder`: linking a vector. `searcher`: graph searches.
//! `filtered`: graph searches under a filter. `heuristic`: which neighbours to keep. `candidates` and `visited`: what a
//! graph search remembers. `repair`: after deletes, with `relocated`.

mod builder;
mod candidates;
mod filtered;
mod heuristic;
mod relocated;
mod repair;
mod scorer;
mod scratch;
mod searcher;
mod visited;

pub(super) use builder::Builder;
pub(super) use candidates::{CandidateList, ordered, unordered};
pub(super) use filtered::{FilteredSearch, filtered_search};
pub(super) use repair::{Repair, Surroundings};
pub(super) use scorer::{CodeScorer, RowScorer, Scorer};
pub(super) use scratch::{Scratch, ScratchPool};
pub(super) use searcher::{descend, search_level, search_level_while};
