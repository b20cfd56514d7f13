//! `cargo xtask golden FILE..`: replays recorded conversations against the built server and prints every difference.

use crate::{Failure, cargo, process, setup};
use std::path::Path;
use std::process::Command;

/// Builds the server and hands the files to the runner of the test package.
pub(crate) fn run(root: &Path, files: &[&str]) -> Result<(), Failure> {
    let environments = setup::everything(root)?;
    cargo::build_server(root)?;
    let runner = root.join("tests/golden/run.py");
    process::run(Command::new(environments.python_v4).arg(runner).arg("-v").args(files))
}
