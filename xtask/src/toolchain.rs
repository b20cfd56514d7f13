//! The Rust version that the project is built and checked with.
//!
//! `rust-toolchain.toml` names the channel `stable`: a machine without a network may have the pinned version under that
//! name only, and rustup would try to download an exact version (docs/adr/2026-11-30-feature-levels.md). So the version is
//! compared here.

use crate::{Failure, process};
use std::fs;
use std::path::Path;

/// The line of the workspace's manifest that pins the version, without the patch version.
const PIN: &str = "rust = \"";

/// Fails when `rustc` has another version than the pinned one: other Unicode tables would cut texts into other terms, and
/// other lints would fail or miss.
pub(crate) fn check(root: &Path) -> Result<(), Failure> {
    let manifest = fs::read_to_string(root.join("Cargo.toml"))?;
    let pinned = pinned(&manifest).ok_or("Cargo.toml pins no version of Rust")?;
    let installed = process::output("rustc", &["--version"]).ok_or("rustc does not run: install Rust by rustup")?;
    if is(&installed, pinned) {
        return Ok(());
    }
    Err(format!(
        "the project needs Rust {pinned} and this machine has {installed}: run `rustup toolchain install {pinned}` and set \
         RUSTUP_TOOLCHAIN={pinned}, or change the version in [workspace.metadata] of Cargo.toml and run all tests"
    )
    .into())
}

fn pinned(manifest: &str) -> Option<&str> {
    manifest.lines().find_map(|line| line.strip_prefix(PIN)?.strip_suffix('"'))
}

/// Whether `rustc --version` printed this major and minor version.
fn is(printed: &str, pinned: &str) -> bool {
    let version = printed.split_whitespace().nth(1).unwrap_or_default();
    version.strip_prefix(pinned).is_some_and(|patch| patch.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::{is, pinned};

    #[test]
    fn major_and_minor_version_count() {
        assert_eq!(pinned("[workspace.metadata]\nrust = \"1.95\"\n"), Some("1.95"));
        assert!(is("rustc 1.95.0 (59807616e 2026-04-14)", "1.95") && is("rustc 1.95.3", "1.95"));
        assert!(!is("rustc 1.96.0 (0 2026-05-28)", "1.95") && !is("rustc 1.9.5", "1.95") && !is("", "1.95"));
    }
}
