//! `cargo xtask bench`: `cargo bench` on a machine that is set up, with the server built.

use crate::{Failure, cargo, process, setup};
use std::path::Path;

/// Builds the server and runs the benches; `arguments` go to `cargo bench` as they are.
pub(crate) fn run(root: &Path, arguments: &[&str]) -> Result<(), Failure> {
    setup::build(root)?;
    cargo::build_server(root)?;
    process::run(cargo::plain("bench").current_dir(root).args(["--package", "azimuth-benches"]).args(arguments))
}
