//! Background work on an index, in bounded steps: `work` (the graph), `requantize` (codes).

pub(in crate::vector) mod requantize;
pub(in crate::vector) mod work;
