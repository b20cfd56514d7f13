//! Data groups: objects and their indexes, and how commands change them.
//!
//! Read in this order: `group` (the data group), `apply` (commands), `transaction` and `draft` (the effects of one apply).

mod apply;
mod draft;
mod group;
mod hash;
mod metrics;
mod options;
mod transaction;

#[cfg(test)]
mod contained_tests;

pub use group::DataGroup;
pub use metrics::{GroupMetrics, ShardStatus, VectorStatus};
pub use options::{GroupOptions, OpenReport};

pub(crate) use hash::Hasher;
