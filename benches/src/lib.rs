//! What the benches stand on: data with exact answers, the peers, a server process that is watched, the timing of many
//! clients.
//!
//! `benches/vector` measures the vector index in process, `benches/load` a whole server over the wire.

pub mod ann;
pub mod peers;
pub mod rounds;

pub mod corpus;
pub mod filters;
pub mod in_process;
pub mod meter;
pub mod server;

pub mod clock;
pub mod plot;
pub mod table;
