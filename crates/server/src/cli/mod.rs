//! The subcommands that talk to a running server: `azimuth status` and `azimuth import`.
//!
//! They are clients like any other: everything goes through [`azimuth_client`], nothing reaches into the server's data.
//! Each has an `Args` for clap and a `run` that does the work, writes for people to standard output, troubles to standard
//! error, and returns the exit code that its documentation promises.

pub(crate) mod import;
pub(crate) mod status;

mod connect;
mod terminal;
