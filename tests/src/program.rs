//! Suites in other languages: run as programs, their output shown when they are through.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::{notice, workspace_root};

/// A Python environment with an official client, made by `cargo xtask setup`.
#[derive(Debug, Clone, Copy)]
pub enum Python {
    /// Client 4.x.
    V4,
    /// Client 3.26.7.
    V3,
    /// Client 4.x and the embedding model of the demo.
    Demo,
}

/// `python ARGUMENTS..` in the environment.
///
/// # Panics
/// When the environment is not there: that is a missing set-up, not a reason to skip.
pub fn python(environment: Python) -> Command {
    let variable = match environment {
        Python::V4 => "AZIMUTH_PYTHON_V4",
        Python::V3 => "AZIMUTH_PYTHON_V3",
        Python::Demo => "AZIMUTH_PYTHON_DEMO",
    };
    let mut command = Command::new(installed(variable));
    command.current_dir(workspace_root()).env("PYTHONDONTWRITEBYTECODE", "1");
    command.env("PYTHONWARNINGS", "ignore::DeprecationWarning");
    command
}

/// The folder of the npm packages, made by `cargo xtask setup`.
///
/// # Panics
/// When it is not there.
pub fn node_modules() -> PathBuf {
    installed("AZIMUTH_NODE_MODULES")
}

/// Runs a suite, shows and gives its output, and fails with it when the suite fails.
///
/// # Panics
/// When the program cannot be started or ends with a failure.
pub fn run(name: &str, command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{name}: cannot start: {error}"));
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    assert!(output.status.success(), "{name} ended with {}:\n{text}", output.status);
    notice(&format!("--- {name}\n{}", text.trim_end()));
    text.into_owned()
}

fn installed(variable: &str) -> PathBuf {
    let path = std::env::var_os(variable).map(PathBuf::from);
    let path = path.filter(|path| Path::new(path).exists());
    path.unwrap_or_else(|| panic!("{variable} names nothing: run `cargo xtask setup`"))
}
