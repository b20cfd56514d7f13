//! Exact search: every vector is compared, by code first where there are codes.
//!
//! Read in this order: `query` (a query made ready), `exact` (the scan), `coarse` (by code, then by originals), `allow`
//! (allow lists), `top` (the best so far).

pub(in crate::vector) mod allow;
mod coarse;
pub(in crate::vector) mod exact;
pub(in crate::vector) mod query;
pub(in crate::vector) mod top;
