//! Who may see whom in the sources: modules inside engine, the application and its front ends, and the crates that one
//! member alone may name.

use super::{Violation, source::Source};

const ENGINE: &str = "crates/engine/src/";

/// Modules of engine and the modules that each may use; a module without a row is free. The row of a folder holds for
/// all of its files but those in [`ENGINE_ROOTS`]. A row `a/b` speaks of the modules within `a` only.
const ENGINE_MODULES: [(&str, &[&str]); 31] = [
    // Errors name the shard that they are about.
    ("error", &["ids"]),
    ("limits", &[]),
    ("level", &["error"]),
    ("interrupt", &["error"]),
    ("ids", &[]),
    ("schema", &["error", "ids", "level", "limits", "vector"]),
    ("object", &["error", "ids", "limits", "schema"]),
    ("command", &["error", "ids", "level", "object", "query", "schema"]),
    ("query", &["error", "ids", "limits", "object", "schema", "vector"]),
    ("tokenizer", &["schema"]),
    // Bytes in RocksDB: no schema, object or index.
    ("storage", &["error", "ids", "interrupt", "limits"]),
    ("collections", &["error", "ids", "schema", "storage"]),
    ("replica", &["command", "error", "ids", "level", "storage"]),
    ("inverted", &["error", "ids", "interrupt", "limits", "object", "query", "schema", "storage", "tokenizer"]),
    ("shard", &["error", "ids", "interrupt", "inverted", "object", "schema", "storage", "vector"]),
    // An apply changes the state and returns its effects: it knows neither reads nor background work.
    (
        "data",
        &[
            "collections",
            "command",
            "error",
            "ids",
            "inverted",
            "level",
            "limits",
            "object",
            "replica",
            "schema",
            "shard",
            "storage",
            "vector",
            "weight",
        ],
    ),
    ("maintain", &["data", "error", "ids", "inverted", "replica", "schema", "shard", "storage", "vector"]),
    (
        "exec",
        &[
            "data",
            "error",
            "ids",
            "interrupt",
            "inverted",
            "maintain",
            "object",
            "query",
            "schema",
            "shard",
            "storage",
            "tokenizer",
            "vector",
        ],
    ),
    ("meta", &["collections", "command", "error", "ids", "level", "limits", "replica", "schema", "storage"]),
    ("vector", &["error", "ids", "interrupt"]),
    ("inverted/form", &[]),
    ("inverted/writer", &["form"]),
    ("inverted/reader", &["form", "writer"]),
    ("vector/slots", &[]),
    ("vector/distance", &["arena", "quantize"]),
    ("vector/quantize", &["distance"]),
    ("vector/arena", &["quantize", "slots"]),
    ("vector/store", &["arena", "quantize", "slots"]),
    ("vector/hnsw", &["arena", "config", "distance", "quantize", "store"]),
    ("vector/scan", &["arena", "distance", "hnsw", "quantize", "slots", "store"]),
    ("vector/persist", &["arena", "config", "core", "quantize", "slots", "store"]),
];

/// Files of engine that join the parts of a data group and are free of their folder's row.
const ENGINE_ROOTS: [&str; 4] = ["data/group.rs", "data/metrics.rs", "data/options.rs", "data/reads.rs"];

/// Crates that only sources below the folders named may use.
const CRATES: [(&str, &[&str]); 3] = [
    ("rocksdb", &["crates/engine/src/storage/", "crates/engine/src/error/", "crates/engine/tests/", "crates/raft/"]),
    ("openraft", &["crates/raft/"]),
    ("hnsw_rs", &["crates/engine/src/vector/", "crates/engine/tests/", "benches/"]),
];

/// Paths that engine never names: the runtime, the wire, the clock and the system's randomness.
const NOT_IN_ENGINE: [&str; 8] =
    ["tokio", "axum", "tonic", "std::net", "SystemTime::now", "Instant::now", "thread_rng", "rand::rng"];

/// The application, which every front end calls.
const APP: &str = "crates/server/src/app/";

/// Modules of the server that the application never uses, and crates of wires.
const NOT_IN_APP: [&str; 7] = ["weaviate", "pb", "axum", "http", "prost", "serde_json", "tonic"];

/// Words of Weaviate's texts, which neither the engine nor the application writes.
const WIRE_WORDS: [&str; 8] = [
    "explorer:",
    "GraphQL",
    "indexFilterable",
    "invertedIndexConfig",
    "multi-tenancy",
    "valueText",
    "vectorIndexConfig",
    "Weaviate",
];

pub(super) fn check(source: &Source) -> Vec<Violation> {
    let mut violations = app_edges(source);
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

/// Uses of front ends by the application, and their words in its texts or in those of the engine.
fn app_edges(source: &Source) -> Vec<Violation> {
    let (in_app, in_engine) = (source.path.starts_with(APP), source.path.starts_with(ENGINE));
    if source.is_test_file() || !(in_app || in_engine) {
        return Vec::new();
    }
    let mut violations = Vec::new();
    if in_app {
        let relative = source.path.trim_start_matches("crates/server/src/").trim_end_matches(".rs");
        let own: Vec<&str> = relative.trim_end_matches("/mod").split('/').collect();
        let used = used_paths(&source.code, &own).into_iter().map(|(at, path)| (line_of(&source.code, at), path[0]));
        let crates = source.code_lines().flat_map(|(line, code)| {
            NOT_IN_APP.iter().filter(move |name| names_crate(code, name)).map(move |name| (line, *name))
        });
        let mut used: Vec<(usize, &str)> = used.chain(crates).filter(|(_, name)| NOT_IN_APP.contains(name)).collect();
        used.sort_unstable();
        used.dedup();
        let outside_tests = used.into_iter().filter(|(line, _)| !source.is_test_line(*line));
        violations
            .extend(outside_tests.map(|(line, name)| {
                Violation::new(&source.path, line, format!("the application does not use {name}"))
            }));
    }
    for (line, words) in source.literal_lines().filter(|(line, _)| !source.is_test_line(*line)) {
        for word in WIRE_WORDS.iter().filter(|word| words.contains(**word)) {
            let message = format!("{word:?} is a word of a wire: its texts belong to crates/server/src/weaviate");
            violations.push(Violation::new(&source.path, line, message));
        }
    }
    violations
}

/// Uses of modules that the row of the file's module, or of the folder within it, does not allow.
fn module_edges(source: &Source) -> Vec<Violation> {
    let Some(relative) = source.path.strip_prefix(ENGINE) else { return Vec::new() };
    if source.is_test_file() || ENGINE_ROOTS.contains(&relative) {
        return Vec::new();
    }
    let own: Vec<&str> = relative.trim_end_matches(".rs").trim_end_matches("/mod").split('/').collect();
    let used: Vec<(usize, Vec<&str>)> = used_paths(&source.code, &own)
        .into_iter()
        .map(|(at, path)| (line_of(&source.code, at), path))
        .filter(|(line, _)| !source.is_test_line(*line))
        .collect();
    let mut violations = Vec::new();
    for (row, allowed) in &ENGINE_MODULES {
        let row: Vec<&str> = row.split('/').collect();
        if !own.starts_with(&row) {
            continue;
        }
        let (name, parent) = row.split_last().expect("a row names a module");
        for (line, path) in &used {
            let Some(module) = path.strip_prefix(parent).and_then(|rest| rest.first()) else { continue };
            // A name in capitals is an item that the parent re-exports: an error, an id.
            if module.starts_with(char::is_lowercase) && module != name && !allowed.contains(module) {
                let message = format!("module {} may not use {module}", row.join("/"));
                violations.push(Violation::new(&source.path, *line, message));
            }
        }
    }
    violations
}

/// Paths that begin with `crate::` or `super::`, single or in a group, with their offsets: the first two segments below
/// the crate, as seen from the module `own`.
fn used_paths<'c>(code: &'c str, own: &[&'c str]) -> Vec<(usize, Vec<&'c str>)> {
    let mut used = Vec::new();
    for root in ["crate::", "super::"] {
        for (at, _) in code.match_indices(root) {
            let before = &code[..at];
            if before.ends_with("::") || before.ends_with(|c: char| c.is_alphanumeric() || c == '_') {
                continue;
            }
            let (mut base, mut rest) = (own.to_vec(), &code[at..]);
            match rest.strip_prefix("crate::") {
                Some(after) => (base, rest) = (Vec::new(), after),
                None => {
                    while let Some(after) = rest.strip_prefix("super::") {
                        base.pop();
                        rest = after;
                    }
                }
            }
            used.extend(members(rest).into_iter().map(|path| (at, [base.as_slice(), path.as_slice()].concat())));
        }
    }
    used.retain(|(_, path)| !path.is_empty());
    used
}

/// The first two segments of a path, or of each member of a group.
fn members(rest: &str) -> Vec<Vec<&str>> {
    let Some(group) = rest.strip_prefix('{') else {
        let head = word(rest);
        return match rest[head.len()..].strip_prefix("::") {
            _ if head.is_empty() => Vec::new(),
            Some(after) if after.starts_with('{') => {
                group_heads(&after[1..]).into_iter().map(|name| vec![head, name]).collect()
            }
            Some(after) if !word(after).is_empty() => vec![vec![head, word(after)]],
            _ => vec![vec![head]],
        };
    };
    group_heads(group).into_iter().filter(|name| !name.is_empty()).map(|name| vec![name]).collect()
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
    use super::{Source, check, used_paths};

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
        assert_eq!(messages("crates/engine/src/shard/mod.rs", "use rocksdb::DB;\n").len(), 1);
        assert!(messages("crates/engine/src/storage/store.rs", "use rocksdb::DB;\n").is_empty());
        assert_eq!(messages("crates/engine/src/group.rs", "let x = openraft::Config::default();\n").len(), 1);
        assert!(messages("crates/server/src/metrics.rs", "let rocksdb_bytes = crate::rocksdb::size();\n").is_empty());
    }

    #[test]
    fn the_application_knows_no_front_end() {
        let path = "crates/server/src/app/objects/convert.rs";
        for line in [
            "use serde_json::Map;",
            "use crate::weaviate::texts;",
            "use crate::{pb::weaviate::Filters, app};",
            "let x = tonic::Status::unknown(y);",
            "use super::super::super::weaviate::texts;",
        ] {
            assert_eq!(messages(path, line).len(), 1, "{line}");
        }
        assert!(messages(path, "use crate::app::schema::names;\nuse super::input::InputMap;\n").is_empty());
        assert!(messages(path, "#[cfg(test)]\nmod tests {\n    use serde_json::json;\n}\n").is_empty());
        assert!(messages("crates/server/src/weaviate/tree.rs", "use serde_json::Map;\n").is_empty());
    }

    #[test]
    fn words_of_a_wire_stay_in_its_front_end() {
        let text = "// As in Weaviate.\nlet x = \"explorer: list class\";\n";
        assert_eq!(messages("crates/engine/src/query/sort.rs", text).len(), 1);
        assert_eq!(messages("crates/server/src/app/search/mod.rs", text).len(), 1);
        assert!(messages("crates/server/src/weaviate/texts/query.rs", text).is_empty());
        assert!(messages("crates/engine/src/query/sort.rs", "/// As in Weaviate.\nfn f() {}\n").is_empty());
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
        let code = "use crate::{a::b, c::{d, e}, f};\nlet x = crate::g::h();\nuse super::i;";
        let paths: Vec<String> = used_paths(code, &["x", "y"]).into_iter().map(|(_, path)| path.join("/")).collect();
        assert_eq!(paths, ["a", "c", "f", "g/h", "x/i"]);
        let code = "use super::super::j;\nuse crate::k::{l, M};";
        let paths: Vec<String> =
            used_paths(code, &["x", "y", "z"]).into_iter().map(|(_, path)| path.join("/")).collect();
        assert_eq!(paths, ["k/l", "k/M", "x/j"]);
    }

    #[test]
    fn the_index_and_the_store_know_nothing_above_them() {
        let path = "crates/engine/src/inverted/reader/lookup.rs";
        for module in ["data", "exec", "maintain", "shard"] {
            let line = format!("use crate::{module}::State;\n");
            assert_eq!(messages(path, &line), [format!("module inverted may not use {module}")]);
        }
        assert!(messages(path, "use crate::storage::{Family, key};\nuse super::condition;\n").is_empty());
        let path = "crates/engine/src/storage/store.rs";
        for module in ["inverted", "object", "replica", "schema", "shard"] {
            assert_eq!(
                messages(path, &format!("use crate::{module}::x;\n")),
                [format!("module storage may not use {module}")]
            );
        }
        assert!(messages(path, "use super::key;\nuse crate::ids::GroupId;\n").is_empty());
    }

    #[test]
    fn an_apply_knows_no_background_work() {
        let text = "use crate::maintain::Maintenance;\n";
        assert_eq!(messages("crates/engine/src/data/transaction.rs", text), ["module data may not use maintain"]);
        assert!(messages("crates/engine/src/data/group.rs", text).is_empty());
        let text = "use crate::exec::ReadContext;\n";
        assert_eq!(messages("crates/engine/src/maintain/work.rs", text), ["module maintain may not use exec"]);
    }

    #[test]
    fn folders_within_a_module_have_rows_of_their_own() {
        let path = "crates/engine/src/vector/slots/limbo.rs";
        assert_eq!(messages(path, "use crate::vector::store::View;\n"), ["module vector/slots may not use store"]);
        assert_eq!(messages(path, "use super::super::arena::State;\n"), ["module vector/slots may not use arena"]);
        assert!(messages(path, "use super::atomics::Arc;\nuse crate::vector::DocId;\n").is_empty());
        let path = "crates/engine/src/vector/slots/mod.rs";
        assert_eq!(messages(path, "use super::store::View;\n"), ["module vector/slots may not use store"]);
    }
}
