//! Background maintenance of a data group: graphs, the inverted index, dropped data, indexes in memory.

mod index_cache;
pub(crate) mod queue;
pub(crate) mod rebuilds;
pub(crate) mod work;

pub use work::{WorkBudget, WorkReport};
