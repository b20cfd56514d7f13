//! Background work on an index, in bounded steps: `work` (the graph), `requantize` (codes), `calibration` (whether codes suit
//! the vectors).

mod calibration;
pub(in crate::vector) mod requantize;
pub(in crate::vector) mod work;
