//! Nested cargo calls. All use the one release profile, so that nothing is compiled twice.

use crate::{Failure, cache, process};
use std::path::Path;
use std::process::Command;

/// `cargo VERB --release` in the workspace, free of what this process inherited from an older `.cargo/local.toml`.
pub(crate) fn command(root: &Path, verb: &str) -> Command {
    let mut command = plain(verb);
    command.current_dir(root).arg("--release");
    command
}

/// `cargo VERB` without the profile, in the current folder.
pub(crate) fn plain(verb: &str) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.arg(verb);
    for name in ["CARGO_MANIFEST_DIR", "CARGO_PKG_NAME", "CARGO_PKG_VERSION"] {
        command.env_remove(name);
    }
    if prebuilt_rocksdb_is_ours() {
        command.env_remove("ROCKSDB_LIB_DIR").env_remove("ROCKSDB_STATIC");
    }
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("AZIMUTH_PYTHON_") || name == "AZIMUTH_NODE_MODULES" {
            command.env_remove(name);
        }
    }
    command
}

/// Whether `ROCKSDB_LIB_DIR` is unset or came from our own configuration file; otherwise the user chose a library.
pub(crate) fn prebuilt_rocksdb_is_ours() -> bool {
    match (std::env::var_os("ROCKSDB_LIB_DIR"), cache::dir()) {
        (Some(dir), Ok(cache)) => Path::new(&dir).starts_with(cache),
        _ => true,
    }
}

/// Builds the server binary.
pub(crate) fn build_server(root: &Path) -> Result<(), Failure> {
    process::run(command(root, "build").args(["--package", "azimuth-server", "--bins"]))
}
