//! `cargo xtask lint`: formatting, clippy with warnings as errors, the structural rules, and cargo deny where it is installed.
//! Advisories are left to `cargo deny check advisories`, which fetches its data base from the network at every run.

use crate::{Failure, cargo, process, setup, tidy};
use std::path::Path;

/// Runs every lint and reports all that fail, not only the first.
pub(crate) fn run(root: &Path) -> Result<(), Failure> {
    setup::build(root)?;
    let mut failed = Vec::new();
    let mut check = |name: &'static str, outcome: Result<(), Failure>| match outcome {
        Ok(()) => println!("lint {name}: ok"),
        Err(failure) => {
            println!("lint {name}: {failure}");
            failed.push(name);
        }
    };
    check("fmt", process::run(cargo::plain("fmt").current_dir(root).args(["--all", "--check"])));
    check("tidy", tidy::run(root, false));
    let clippy = ["--workspace", "--all-targets", "--quiet", "--", "--deny", "warnings"];
    check("clippy", process::run(cargo::command(root, "clippy").args(clippy)));
    if process::output("cargo-deny", &["--version"]).is_some() {
        let deny = ["--all-features", "check", "--hide-inclusion-graph", "licenses", "bans", "sources"];
        check("deny", process::run(cargo::plain("deny").current_dir(root).args(deny)));
    } else {
        println!("lint deny: skipped, cargo-deny is not installed (tidy checks the dependency direction all the same)");
    }
    if failed.is_empty() { Ok(()) } else { Err(format!("lints failed: {}", failed.join(", ")).into()) }
}
