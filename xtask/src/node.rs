//! The npm packages of `tests/js`, installed from its lock file into the cache folder.

use crate::{Failure, cache, process};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const FILES: [&str; 2] = ["package.json", "package-lock.json"];

/// The `node_modules` folder; installs it first when it is missing.
pub(crate) fn modules(root: &Path) -> Result<PathBuf, Failure> {
    let source = root.join("tests/js");
    let dir = cache::entry("node", &key(root)?, |dir| {
        println!("installing the npm packages of tests/js ..");
        for file in FILES {
            fs::copy(source.join(file), dir.join(file))?;
        }
        let mut npm = Command::new("npm");
        npm.args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"]).current_dir(dir);
        process::run_logged(&mut npm, &dir.join("install.log"), || "npm packages".to_owned())
    })?;
    Ok(dir.join("node_modules"))
}

/// The `node_modules` folder if it is installed.
pub(crate) fn installed(root: &Path) -> Option<PathBuf> {
    let dir = cache::dir().ok()?.join("node").join(key(root).ok()?).join("node_modules");
    dir.is_dir().then_some(dir)
}

fn key(root: &Path) -> Result<String, Failure> {
    let texts = FILES.map(|file| fs::read_to_string(root.join("tests/js").join(file)));
    let texts = texts.into_iter().collect::<Result<Vec<_>, _>>()?;
    let parts: Vec<&str> = texts.iter().map(String::as_str).collect();
    Ok(cache::key(&parts))
}
