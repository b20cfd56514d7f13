//! Data groups: objects and their indexes, how commands change them, and the calls of a group.
//!
//! [`DataGroup`] joins three parts: [`State`] (the store, schemas and shards; only an apply changes it),
//! [`Maintenance`](crate::maintain::Maintenance) (background work) and the applied log. An apply changes the state and
//! returns its [`Effects`] on the rest of the group.
//!
//! Read in this order: `state`, `apply` (commands; `shards` those on shards), `transaction` and `draft` (the changes of one apply), `effects`, `group`
//! (the three parts together), `reads` (the calls that read).

mod apply;
mod draft;
mod effects;
mod group;
mod hash;
mod metrics;
mod options;
mod reads;
mod shards;
mod state;
mod transaction;

#[cfg(test)]
mod contained_tests;

pub use group::DataGroup;
pub use metrics::{GroupMetrics, ShardStatus, VectorStatus};
pub use options::GroupOptions;

pub(crate) use effects::{ChangedShard, Effects};
pub(crate) use state::State;
