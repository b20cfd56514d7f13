//! `cargo xtask COMMAND`: the developer commands of this repository.
//!
//! Std only: it builds on a machine that has nothing but Rust, and installs or names whatever else is missing.
//! Start with `setup.rs` (what a machine needs); `demo.rs` and `test.rs` are the two commands of the README.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool talks to its user")]

mod demo;
mod setup;
mod test;

mod bench;
mod fuzz;
mod golden;
mod lint;
mod sanitize;
mod tidy;

mod cache;
mod cargo;
mod local_config;
mod node;
mod prebuilt;
mod process;
mod python;

mod system;
mod toolchain;
mod tools;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Why a command ended early: one sentence, with what to do next where there is something to do.
pub(crate) type Failure = Box<dyn std::error::Error>;

const HELP: &str = "\
Developer commands of Azimuth.

  cargo xtask demo [FOLDER]    set up, build, start the server, load real documents with embeddings, ask questions;
                               leaves the server running. FOLDER: text or Markdown to load instead of the default
  cargo xtask demo ask TEXT    ask it one more question
  cargo xtask demo stop        stop that server
  cargo xtask test [FILTER]    set up, build, run every test (or those whose name holds FILTER)

  cargo xtask setup            install what the machine lacks: libclang, prebuilt RocksDB, Python and npm environments,
                               cargo-deny and cargo-machete
  cargo xtask lint             formatting, clippy, tidy, cargo deny and cargo machete
  cargo xtask tidy [--update]  the structural rules: headers, lengths, module edges, links; --update shrinks its list
  cargo xtask sanitize [TOOL [FILTER]]
                               the vector index' tests under `address` (the default), `thread` or `miri`; minutes
  cargo xtask fuzz [TARGET] [--seconds N] [--seed S]
                               decoders under libFuzzer, and random requests against a model, N seconds each (60)
  cargo xtask golden FILE..    replay recorded conversations against the built server and print every difference
  cargo xtask bench [ARGS..]   cargo bench with everything set up; ARGS go to the benches

What is downloaded or built once is kept in the user's cache folder under azimuth/ (AZIMUTH_CACHE_DIR moves it).";

const DEMO_USAGE: &str = "usage: cargo xtask demo [FOLDER], where FOLDER is an existing folder of text or Markdown, \
                          cargo xtask demo ask TEXT, or cargo xtask demo stop. Ports are chosen: the first free ones from \
                          8080 and 50051 on";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let root = workspace_root();
    match run(&root, &arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(root: &Path, arguments: &[String]) -> Result<(), Failure> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if words.is_empty() || words.iter().any(|word| matches!(*word, "--help" | "-h" | "help")) {
        println!("{HELP}");
        return Ok(());
    }
    local_config::repair(root)?;
    match words.as_slice() {
        ["demo", "stop"] => demo::stop(),
        ["demo"] => demo::run(root, None),
        ["demo", "ask", question @ ..] if !question.is_empty() => demo::ask(root, &question.join(" ")),
        ["demo", folder] if is_folder(folder) => demo::run(root, Some(Path::new(folder))),
        ["test"] => test::run(root, None),
        ["test", filter] => test::run(root, Some(filter)),
        ["setup"] => setup::everything(root).map(|_| println!("everything is there")),
        ["lint"] => lint::run(root),
        ["tidy"] => tidy::run(root, false),
        ["tidy", "--update"] => tidy::run(root, true),
        ["sanitize"] => sanitize::run(root, "address", None),
        ["sanitize", tool] => sanitize::run(root, tool, None),
        ["sanitize", tool, filter] => sanitize::run(root, tool, Some(filter)),
        ["fuzz", rest @ ..] => fuzz::run(root, rest),
        ["golden", files @ ..] if !files.is_empty() => golden::run(root, files),
        ["bench", rest @ ..] => bench::run(root, rest),
        ["demo", ..] => Err(DEMO_USAGE.into()),
        _ => Err(format!("unknown command `{}`; see `cargo xtask --help`", words.join(" ")).into()),
    }
}

/// Whether an argument can be the folder of `demo`: neither a flag nor a word of its other forms.
fn is_folder(argument: &str) -> bool {
    !argument.starts_with('-') && !["ask", "stop"].contains(&argument) && Path::new(argument).is_dir()
}

/// The folder of the workspace's `Cargo.toml`. Compiled in, because the binary is always built inside its workspace.
fn workspace_root() -> PathBuf {
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let xtask = manifest.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")));
    xtask.parent().map_or_else(|| xtask.clone(), Path::to_path_buf)
}
