//! `cargo xtask tidy`: the rules of structure that a machine can hold.
//!
//! Each rule is one file: [`headers`], [`lengths`] (a ratchet), [`edges`] (who may see whom), [`manifests`]
//! (who may depend on what), [`links`] (of Markdown files) and [`leaks`] (what belongs to one machine).
//! Rules look at the files that git tracks or would track.

mod edges;
mod headers;
mod leaks;
mod lengths;
mod links;
mod manifests;

mod source;

use crate::Failure;
use source::Source;
use std::fmt;
use std::fs;
use std::path::Path;
use std::process::Command;

/// A text file of the repository.
struct RepoFile {
    /// Path from the workspace's root, with `/`.
    path: String,
    text: String,
}

/// One broken rule at one place.
#[derive(Debug, PartialEq, Eq)]
struct Violation {
    path: String,
    /// From 1; 0 where the whole file is meant.
    line: usize,
    message: String,
}

impl Violation {
    fn new(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, message: message.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.message),
            line => write!(f, "{}:{line}: {}", self.path, self.message),
        }
    }
}

/// Checks every rule; with `update`, first shortens the list of length exceptions to what is still needed.
pub(crate) fn run(root: &Path, update: bool) -> Result<(), Failure> {
    let files = repository_files(root)?;
    let sources: Vec<Source> = files
        .iter()
        .filter(|file| file.path.ends_with(".rs"))
        .map(|file| Source::new(&file.path, &file.text))
        .collect();
    let list = root.join(lengths::EXCEPTIONS);
    let mut exceptions = fs::read_to_string(&list).unwrap_or_default();
    if update {
        exceptions = lengths::shrink(&exceptions, &sources);
        fs::write(&list, &exceptions)?;
    }
    let mut violations = Vec::new();
    violations.extend(sources.iter().flat_map(headers::check));
    violations.extend(lengths::check(&sources, &exceptions));
    violations.extend(sources.iter().flat_map(edges::check));
    violations.extend(files.iter().flat_map(manifests::check));
    violations.extend(links::check(root, &files));
    violations.extend(files.iter().flat_map(leaks::check));
    for violation in &violations {
        println!("{violation}");
    }
    match violations.len() {
        0 => Ok(()),
        count => Err(format!("tidy: {count} broken rule(s)").into()),
    }
}

/// Tracked files and new files that are not ignored; binary files are left out.
fn repository_files(root: &Path) -> Result<Vec<RepoFile>, Failure> {
    let listing = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
    let output = Command::new("git").current_dir(root).args(listing).output()?;
    if !output.status.success() {
        return Err("git ls-files failed: tidy needs a git work tree".into());
    }
    let mut paths: Vec<String> = String::from_utf8(output.stdout)?.split_terminator('\0').map(str::to_owned).collect();
    paths.sort();
    paths.dedup();
    let read = |path: String| fs::read_to_string(root.join(&path)).ok().map(|text| RepoFile { path, text });
    Ok(paths.into_iter().filter_map(read).collect())
}
