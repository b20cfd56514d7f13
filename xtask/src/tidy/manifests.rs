//! The dependency direction `engine <- raft <- server`, and who may depend on what, read off the members' `Cargo.toml`.

use super::{RepoFile, Violation};

/// Members that may not depend on the packages named. A name that ends with `*` stands for all that start so.
const FORBIDDEN: [(&str, &[&str]); 8] = [
    (
        "crates/engine",
        &[
            "azimuth-client",
            "azimuth-raft",
            "azimuth-server",
            "axum",
            "http*",
            "hyper*",
            "openraft",
            "prost*",
            "reqwest",
            "serde_json",
            "tokio*",
            "tonic*",
        ],
    ),
    ("crates/raft", &["azimuth-server", "azimuth-client", "axum", "hyper*", "tonic*"]),
    ("crates/server", &["openraft", "rocksdb"]),
    ("crates/client", &["azimuth-*", "openraft", "rocksdb"]),
    ("crates/fuzz", &["azimuth-*"]),
    ("tests", &["azimuth-engine", "azimuth-raft", "azimuth-server", "openraft", "rocksdb"]),
    ("benches", &["azimuth-raft", "azimuth-server", "openraft", "rocksdb"]),
    ("xtask", &["*"]),
];

pub(super) fn check(file: &RepoFile) -> Vec<Violation> {
    let Some(member) = file.path.strip_suffix("/Cargo.toml") else { return Vec::new() };
    let Some((_, forbidden)) = FORBIDDEN.iter().find(|(name, _)| *name == member) else { return Vec::new() };
    let mut violations = Vec::new();
    for (line, name, value) in dependencies(&file.text) {
        if forbidden.iter().any(|pattern| matches(pattern, name)) {
            violations.push(Violation::new(&file.path, line, format!("{member} may not depend on {name}")));
        }
        if !value.contains("workspace = true") && !name.ends_with(".workspace") {
            violations.push(Violation::new(
                &file.path,
                line,
                format!("{name} is not taken from the workspace's dependencies"),
            ));
        }
    }
    violations
}

/// Line, name and value of every entry under a `[..dependencies]` table.
fn dependencies(manifest: &str) -> Vec<(usize, &str, &str)> {
    let mut inside = false;
    let mut found = Vec::new();
    for (index, line) in manifest.lines().enumerate() {
        let line = line.trim();
        if line.starts_with('[') {
            inside = line.trim_end_matches(']').ends_with("dependencies");
        } else if let (true, false, Some((key, value))) = (inside, line.starts_with('#'), line.split_once('=')) {
            let key = key.trim();
            let (name, value) = match key.strip_suffix(".workspace") {
                Some(name) => (name, "workspace = true"),
                None => (key, value.trim()),
            };
            found.push((index + 1, name, value));
        }
    }
    found
}

fn matches(pattern: &str, name: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == name, |start| name.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::{RepoFile, check};

    fn messages(path: &str, text: &str) -> Vec<String> {
        let file = RepoFile { path: path.to_owned(), text: text.to_owned() };
        check(&file).into_iter().map(|violation| violation.message).collect()
    }

    #[test]
    fn engine_has_no_runtime_and_server_no_storage() {
        let tokio = "[dependencies]\ntokio.workspace = true\n";
        assert_eq!(messages("crates/engine/Cargo.toml", tokio), ["crates/engine may not depend on tokio"]);
        assert!(messages("crates/server/Cargo.toml", tokio).is_empty());
        let store = "[dev-dependencies]\nrocksdb = { workspace = true }\n";
        assert_eq!(messages("crates/server/Cargo.toml", store), ["crates/server may not depend on rocksdb"]);
        assert!(messages("crates/raft/Cargo.toml", store).is_empty());
    }

    #[test]
    fn versions_stand_in_the_workspace_only() {
        let text = "[package]\nname = \"x\"\n\n[dependencies]\nserde = \"1\"\n";
        assert_eq!(messages("crates/raft/Cargo.toml", text), ["serde is not taken from the workspace's dependencies"]);
    }
}
