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
    // Variables that `cargo run` sets for xtask itself. Build scripts watch them, so they must be as in a call from a
    // shell: unset.
    for (name, _) in std::env::vars_os() {
        if is_of_a_package(&name.to_string_lossy()) {
            command.env_remove(name);
        }
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

/// Whether cargo sets a variable of this name for the package that it runs or compiles.
fn is_of_a_package(name: &str) -> bool {
    name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nested_call_knows_nothing_of_our_own_package() {
        // Cargo runs tests with these variables, too, so the list is not empty.
        assert!(
            std::env::var_os("CARGO_PKG_VERSION_MAJOR").is_some() && std::env::var_os("CARGO_MANIFEST_DIR").is_some()
        );
        let command = command(Path::new("."), "build");
        let removed: Vec<_> = command.get_envs().filter(|(_, value)| value.is_none()).map(|(name, _)| name).collect();
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy().into_owned();
            let ours = text.starts_with("AZIMUTH_PYTHON_") || text == "AZIMUTH_NODE_MODULES";
            let of_rocksdb = text.starts_with("ROCKSDB_") && prebuilt_rocksdb_is_ours();
            let expected = is_of_a_package(&text) || ours || of_rocksdb;
            assert_eq!(removed.contains(&name.as_os_str()), expected, "{text}");
        }
    }
}
