//! Calls of the application that take no decision, and a started application for tests of front ends.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use azimuth_raft::{Node, NodeOptions};
use tempfile::TempDir;

use super::App;
use crate::auth::Auth;
use crate::settings::Settings;
use crate::weaviate;

/// Calls that need no decision: they read and change no data, or are the decisions.
const FREE: [&str; 13] = [
    "new",
    "attach",
    "follow",
    "progress",
    "is_ready",
    // The life of the process, and the room that its indexes have.
    "stop",
    "stopping",
    "takes_vectors",
    // Sums over all data, for the operator.
    "metrics",
    "authenticate",
    "compute",
    "long_work",
    // Decides and makes the proof.
    "permit",
];

/// Types that only a decision makes.
const PROOFS: [&str; 5] = ["&Caller", "&Permit", "Permitted<", "Prepared", "Find"];

/// An application with a node and the users of [`Auth::of_tests`].
pub(crate) struct Started {
    pub(crate) app: Arc<App>,
    node: Arc<Node>,
    _folder: TempDir,
}

impl Started {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let app = App::new(Settings::of_tests(), Auth::of_tests(), weaviate::schema::CONVENTIONS);
        let mut options = NodeOptions::new(folder.path());
        // The tests write little, also where the disk is almost full.
        options.disk_used_percent_max = 100;
        let node = Node::start(options).await.expect("a node");
        app.attach(node.clone()).await.expect("ready");
        Self { app, node, _folder: folder }
    }

    pub(crate) async fn stop(self) {
        self.node.shutdown().await.expect("an orderly end");
    }
}

/// Signatures of the functions in a source that are visible outside of the application and take it, with their names.
fn calls(source: &str) -> Vec<(String, String)> {
    let source = source.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    let (mut calls, mut of_app) = (Vec::new(), false);
    let lines: Vec<&str> = source.lines().collect();
    for (number, line) in lines.iter().enumerate() {
        if line.starts_with("impl") {
            of_app = line.starts_with("impl App ");
        }
        let visible = line.trim_start().strip_prefix("pub(crate) ");
        let Some(function) =
            visible.map(|rest| rest.trim_start_matches("async ")).and_then(|rest| rest.strip_prefix("fn "))
        else {
            continue;
        };
        let name: String = function.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        let signature: Vec<&str> = lines[number..]
            .iter()
            .scan(false, |ended, line| {
                let go_on = !*ended;
                *ended = line.trim_end().ends_with('{');
                go_on.then(|| line.trim())
            })
            .collect();
        let signature = signature.join(" ");
        let method = of_app && (signature.contains("&self") || signature.contains("self: &Arc<Self>"));
        if method
            || signature.contains("app: &App")
            || signature.contains("app: &Arc<App>")
            || (of_app && name == "new")
        {
            calls.push((name, signature));
        }
    }
    calls
}

fn sources(folder: &Path) -> Vec<String> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
        if entry.is_dir() {
            all.extend(sources(&entry));
        } else if entry.to_str().is_some_and(|path| path.ends_with(".rs") && !path.ends_with("tests.rs")) {
            all.push(fs::read_to_string(entry).expect("a source"));
        }
    }
    all
}

#[test]
fn every_call_takes_the_proof_of_a_decision() {
    let all: Vec<_> = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/app"))
        .iter()
        .flat_map(|source| calls(source))
        .collect();
    let undecided: Vec<_> = all
        .iter()
        .filter(|(name, signature)| {
            !FREE.contains(&name.as_str()) && !PROOFS.iter().any(|proof| signature.contains(proof))
        })
        .collect();
    assert!(undecided.is_empty(), "calls without a caller or a permit: {undecided:#?}");
    for name in ["names", "object", "aggregate", "find", "change_collection", "prepare", "write", "matching"] {
        assert!(all.iter().any(|(call, _)| call == name), "{name} is not found: the test reads sources wrongly");
    }
    for name in FREE {
        assert!(all.iter().any(|(call, _)| call == name), "{name} does not exist");
    }
}

#[test]
fn calls_without_a_proof_are_found() {
    let source = "impl App {\n    pub(crate) async fn open(\n        &self,\n    ) -> u8 {\n    }\n\n    fn inner(&self) {}\n}\n\
                  pub(crate) fn free(app: &App) {\n}\nimpl Other {\n    pub(crate) fn other(&self) {}\n}\n";
    let names: Vec<String> = calls(source).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["open", "free"]);
}
