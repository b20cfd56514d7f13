//! The vector index beside its peers, in process.

fn main() {}
