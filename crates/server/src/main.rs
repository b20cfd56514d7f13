//! `azimuth`: a vector database server in one process.
//!
//! Read in this order: [`settings`], [`serve`] (listeners and life cycle), [`weaviate`] (its three
//! wires), [`app`] (the calls that all wires make), [`auth`], [`cli`] (subcommands that are clients).
// The futures of handlers are nested more than 128 deep.
#![recursion_limit = "256"]

mod app;
mod auth;
mod cli;
mod malloc;
mod metrics;
mod modules;
mod request_memory;
mod serve;
mod settings;
mod watched;
mod weaviate;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Code generated from the proto files of the wire.
#[allow(clippy::all, clippy::pedantic, unreachable_pub, unused_qualifications)]
pub(crate) mod pb {
    /// Package `weaviate.v1`.
    pub(crate) mod weaviate {
        tonic::include_proto!("weaviate.v1");
    }
    /// Package `azimuth.v1`.
    pub(crate) mod azimuth {
        tonic::include_proto!("azimuth.v1");
    }
    /// Package `grpc.health.v1`.
    pub(crate) mod health {
        tonic::include_proto!("grpc.health.v1");
    }
}

/// A self-contained vector database that speaks Weaviate's wire.
#[derive(Debug, Parser)]
#[command(name = "azimuth", version, about)]
struct Azimuth {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server.
    Serve(settings::Flags),
    /// Show what a running server holds.
    Status(cli::status::Args),
    /// Load JSON lines and vectors into a collection of a running server.
    Import(Box<cli::import::Args>),
}

fn main() -> ExitCode {
    match Azimuth::parse().command {
        Command::Serve(flags) => serve::run(&flags),
        Command::Status(args) => cli::status::run(&args),
        Command::Import(args) => cli::import::run(&args),
    }
}
