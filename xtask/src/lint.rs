//! `cargo xtask lint`: formatting, clippy with warnings as errors, the structural rules, cargo deny and cargo machete.
//! Advisories are left to `cargo deny check advisories`, which fetches its data base from the network at every run.

use crate::{Failure, cargo, process, setup, tidy, tools};
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
    let deny = ["--all-features", "check", "--hide-inclusion-graph", "licenses", "bans", "sources"];
    check("deny", tools::deny(root).and_then(|tool| process::run(tools::call(&tool, root).args(deny))));
    check("machete", tools::machete().and_then(|tool| process::run(&mut tools::call(&tool, root))));
    if failed.is_empty() { Ok(()) } else { Err(format!("lints failed: {}", failed.join(", ")).into()) }
}
