//! What the benches stand on: data with exact answers, a server process that is watched, the timing of many clients.
//!
//! `benches/vector.rs` measures the vector index in process, `benches/load.rs` a whole server over the wire.

pub mod ann;
pub mod corpus;
pub mod meter;
pub mod server;
pub mod table;
