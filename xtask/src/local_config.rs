//! `.cargo/local.toml`: what this machine has, for every cargo call (`.cargo/config.toml` includes it).
//!
//! It names the prebuilt RocksDB and the test environments, so that plain `cargo test`, `cargo bench`, `cargo clippy`
//! and rust-analyzer share them. Without the file everything still builds, RocksDB from source.

use crate::{Failure, cargo, prebuilt};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

/// Variables for cargo's `[env]` table.
#[derive(Default)]
pub(crate) struct LocalConfig {
    variables: Vec<(&'static str, String)>,
}

impl LocalConfig {
    pub(crate) fn set(&mut self, name: &'static str, value: impl Into<String>) {
        self.variables.push((name, value.into()));
    }

    /// Writes the file if its content differs; a rewrite of the same content would make cargo look at everything again.
    pub(crate) fn write(&self, root: &Path) -> Result<(), Failure> {
        let mut text = String::from(
            "# Written by `cargo xtask setup` for this machine; git-ignored. Without it RocksDB is built from source.\n[env]\n",
        );
        for (name, value) in &self.variables {
            writeln!(text, "{name} = \"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))?;
        }
        let path = file(root);
        if fs::read_to_string(&path).ok().as_deref() != Some(text.as_str()) {
            let partial = path.with_extension("toml.partial");
            fs::write(&partial, text)?;
            fs::rename(partial, path)?;
        }
        Ok(())
    }
}

/// Removes the file when the library it names is gone, so that no cargo call trips over it.
pub(crate) fn repair(root: &Path) -> Result<(), Failure> {
    let path = file(root);
    let Ok(text) = fs::read_to_string(&path) else { return Ok(()) };
    let named = value(&text, "ROCKSDB_LIB_DIR").map(PathBuf::from);
    if named.is_some_and(|dir| !dir.join(prebuilt::LIBRARY).is_file()) && cargo::prebuilt_rocksdb_is_ours() {
        println!("{} names a library that is gone: removed", path.display());
        fs::remove_file(path)?;
    }
    Ok(())
}

fn file(root: &Path) -> PathBuf {
    root.join(".cargo/local.toml")
}

fn value<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let line = text.lines().find(|line| line.split_once('=').is_some_and(|(key, _)| key.trim() == name))?;
    Some(line.split_once('=')?.1.trim().trim_matches('"'))
}

#[cfg(test)]
mod tests {
    use super::value;

    #[test]
    fn finds_a_variable_by_its_whole_name() {
        let text = "[env]\nROCKSDB_LIB_DIR_OLD = \"/x\"\nROCKSDB_LIB_DIR = \"/y\"\n";
        assert_eq!(value(text, "ROCKSDB_LIB_DIR"), Some("/y"));
        assert_eq!(value(text, "ROCKSDB"), None);
    }
}
