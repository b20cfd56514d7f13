//! The graph (Malkov and Yashunin, arXiv 1603.09320) over the slots of the store.
//!
//! `store::graph`: entry point, node locks, levels. `builder`: linking a vector. `searcher`: walks. `filtered`: walks under a
//! filter. `heuristic`: which neighbours to keep. `pool` and `visited`: what a walk remembers. `repair`: after deletes, with `moves`.

mod builder;
mod filtered;
mod heuristic;
mod moves;
mod pool;
mod repair;
mod scorer;
mod scratch;
mod searcher;
mod visited;

pub(super) use builder::Builder;
pub(super) use filtered::{FilteredWalk, filtered_walk};
pub(super) use pool::{Pool, ordered, unordered};
pub(super) use repair::{Repair, Surroundings};
pub(super) use scorer::{CodeScorer, RowScorer, Scorer};
pub(super) use scratch::{Scratch, ScratchPool};
pub(super) use searcher::{descend, walk, walk_while};
