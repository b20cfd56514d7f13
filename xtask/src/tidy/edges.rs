//! Who may see whom in the sources: modules inside engine, and the crates that one member alone may name.

use super::{Violation, source::Source};

const ENGINE: &str = "crates/engine/src/";

/// Modules of engine that may use only the modules named; the others are free.
const ENGINE_MODULES: [(&str, &[&str]); 12] = [
    ("error", &[]),
    ("limits", &[]),
    ("interrupt", &["error"]),
    ("ids", &["error"]),
    ("schema", &["error", "ids", "limits", "vector"]),
    ("object", &["error", "ids", "limits", "schema"]),
    ("command", &["error", "ids", "object", "query", "schema"]),
    ("query", &["error", "ids", "object", "schema"]),
    ("vector", &["error", "ids", "interrupt"]),
    ("tokenizer", &["schema"]),
    ("key", &["command", "error", "ids"]),
    // Everything but the other derived index and the schema's group.
    ("inverted", &["command", "error", "group", "ids", "interrupt", "key", "object", "query", "schema", "tokenizer"]),
];

/// Crates that only sources below the folders named may use.
const CRATES: [(&str, &[&str]); 3] = [
    ("rocksdb", &["crates/engine/", "crates/raft/"]),
    ("openraft", &["crates/raft/"]),
    ("hnsw_rs", &["crates/engine/src/vector/", "crates/engine/tests/", "benches/"]),
];

/// Paths that engine never names: the runtime, the wire, the clock and the system's randomness.
const NOT_IN_ENGINE: [&str; 8] =
    ["tokio", "axum", "tonic", "std::net", "SystemTime::now", "Instant::now", "thread_rng", "rand::rng"];

pub(super) fn check(source: &Source) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (line, code) in source.code_lines() {
        let mut broken = |message: String| violations.push(Violation::new(&source.path, line, message));
        for (name, homes) in CRATES {
            if !homes.iter().any(|home| source.path.starts_with(home)) && names_crate(code, name) {
                broken(format!("{name} may be seen only in {}", homes.join(", ")));
            }
        }
        if source.path.starts_with(ENGINE) && !source.is_test_file() && !source.is_test_line(line) {
            for path in NOT_IN_ENGINE.iter().filter(|path| names_path(code, path)) {
                broken(format!("engine does not use {path}"));
            }
        }
    }
    violations.extend(module_edges(source));
    violations
}

/// Uses of `crate::module` that the module's row does not allow.
fn module_edges(source: &Source) -> Vec<Violation> {
    let Some(relative) = source.path.strip_prefix(ENGINE) else { return Vec::new() };
    let module = relative.split('/').next().unwrap_or_default().trim_end_matches(".rs");
    let Some((_, allowed)) = ENGINE_MODULES.iter().find(|(name, _)| *name == module) else { return Vec::new() };
    if source.is_test_file() {
        return Vec::new();
    }
    let used = used_modules(&source.code).into_iter().map(|(at, name)| (line_of(&source.code, at), name));
    // A name in capitals is an item that the crate's root re-exports: an error, an id.
    let modules = used.filter(|(_, name)| name.chars().next().is_some_and(char::is_lowercase));
    modules
        .filter(|(line, name)| *name != module && !allowed.contains(name) && !source.is_test_line(*line))
        .map(|(line, name)| Violation::new(&source.path, line, format!("module {module} may not use {name}")))
        .collect()
}

/// First path segments after `crate::`, single or in a group, with their offsets.
fn used_modules(code: &str) -> Vec<(usize, &str)> {
    let mut used = Vec::new();
    for (at, root) in code.match_indices("crate::") {
        let rest = &code[at + root.len()..];
        match rest.strip_prefix('{') {
            None => used.push((at, word(rest))),
            Some(group) => used.extend(group_heads(group).into_iter().map(|name| (at, name))),
        }
    }
    used.retain(|(_, name)| !name.is_empty());
    used
}

/// The first segments of the members of `a::b, c::{d, e}}`.
fn group_heads(group: &str) -> Vec<&str> {
    let (mut depth, mut start, mut heads) = (0, 0, Vec::new());
    for (at, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            ',' if depth == 0 => {
                heads.push(word(group[start..].trim_start()));
                start = at + 1;
            }
            '}' if depth == 0 => {
                heads.push(word(group[start..at].trim_start()));
                break;
            }
            '}' => depth -= 1,
            _ => {}
        }
    }
    heads
}

fn word(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    &text[..end]
}

fn line_of(code: &str, offset: usize) -> usize {
    code[..offset].matches('\n').count() + 1
}

/// Whether a line names an external crate: `use name`, `name::`, but not `module::name::`.
fn names_crate(code: &str, name: &str) -> bool {
    code.match_indices(name).any(|(at, _)| {
        let before = code[..at].trim_end();
        let after = &code[at + name.len()..];
        let whole = !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
        whole
            && (after.starts_with("::") || before.ends_with("use") && after.starts_with([';', ' ']))
            && !before.ends_with("::")
    })
}

/// Whether a line names a crate, or a path with all its last word.
fn names_path(code: &str, path: &str) -> bool {
    let mut ends = code.match_indices(path).map(|(at, _)| &code[at + path.len()..]);
    let whole = ends.any(|after| !after.starts_with(|c: char| c.is_alphanumeric() || c == '_'));
    if path.contains("::") { whole } else { names_crate(code, path) }
}

#[cfg(test)]
mod tests {
    use super::{Source, check, used_modules};

    fn messages(path: &str, text: &str) -> Vec<String> {
        check(&Source::new(path, text)).into_iter().map(|violation| violation.message).collect()
    }

    #[test]
    fn vector_sees_ids_and_errors_only() {
        let path = "crates/engine/src/vector/hnsw.rs";
        assert!(messages(path, "use crate::{error::Error, ids::DocId};\nuse crate::vector::config;\n").is_empty());
        assert_eq!(messages(path, "use crate::schema::Property;\n"), ["module vector may not use schema"]);
        assert_eq!(
            messages(path, "use crate::{\n    ids::DocId,\n    inverted::{Postings, Term},\n};\n"),
            ["module vector may not use inverted"]
        );
        assert!(messages(path, "#[cfg(test)]\nmod tests {\n    use crate::schema::Property;\n}\n").is_empty());
    }

    #[test]
    fn crates_stay_where_they_belong() {
        assert!(messages("crates/raft/src/log.rs", "use rocksdb::DB;\nuse openraft::Raft;\n").is_empty());
        assert_eq!(messages("crates/server/src/main.rs", "use rocksdb::DB;\n").len(), 1);
        assert_eq!(messages("crates/engine/src/group.rs", "let x = openraft::Config::default();\n").len(), 1);
        assert!(messages("crates/server/src/metrics.rs", "let rocksdb_bytes = crate::rocksdb::size();\n").is_empty());
    }

    #[test]
    fn engine_has_no_runtime_clock_or_network() {
        for line in
            ["use tokio::fs;", "let t = std::time::SystemTime::now();", "use std::net::IpAddr;", "let r = rand::rng();"]
        {
            assert_eq!(messages("crates/engine/src/group.rs", line).len(), 1, "{line}");
        }
        assert!(messages("crates/engine/src/group.rs", "use rand::rngs::SmallRng;\n").is_empty());
        assert!(messages("crates/engine/src/group.rs", "// tokio::spawn would not be allowed\n").is_empty());
        assert!(messages("crates/server/src/main.rs", "use tokio::fs;\n").is_empty());
    }

    #[test]
    fn reads_groups_over_several_lines() {
        let code = "use crate::{a::b, c::{d, e}, f};\nlet x = crate::g::h();";
        let names: Vec<&str> = used_modules(code).into_iter().map(|(_, name)| name).collect();
        assert_eq!(names, ["a", "c", "f", "g"]);
    }
}
