//! The demo's own script, on a small folder: the model embeds right, documents are loaded, questions are answered.

use azimuth_tests::program::{self, Python};
use azimuth_tests::server::Server;
use std::fs;

const DOCUMENT: &str = "\
# Tides

The sea rises and falls twice a day because the moon pulls at its water. When sun and moon stand in one line the rise is
highest, which sailors call a spring tide, and a week later it is lowest, which they call a neap tide.

# Bread

Flour, water, salt and yeast are kneaded to a dough that rests until it has doubled. It is baked in a hot oven until its
crust is brown and it sounds hollow when it is knocked on from below.
";

#[test]
fn embeddings_agree_with_the_published_example() {
    program::run("embedding model", program::python(Python::Demo).arg("xtask/demo/minilm.py"));
}

#[test]
fn questions_about_a_folder_are_answered_from_it() {
    let server = Server::start();
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::create_dir(folder.path().join("documents")).expect("a folder");
    fs::write(folder.path().join("documents/notes.md"), DOCUMENT).expect("a document");
    let demo = |arguments: &[&str]| {
        let mut command = program::python(Python::Demo);
        command.arg("xtask/demo/demo.py").args(arguments).env("AZIMUTH_DEMO_CACHE", folder.path());
        command.env("AZIMUTH_HTTP_PORT", server.http_port().to_string());
        command.env("AZIMUTH_GRPC_PORT", server.grpc_port().to_string());
        program::run("demo", &mut command)
    };
    let documents = folder.path().join("documents");
    let load = ["load", ".", documents.to_str().expect("a path of letters")];
    let first = demo(&load);
    assert!(first.contains("2 passages") && first.contains("loaded: 2 objects"), "{first}");
    let second = demo(&load);
    assert!(second.contains("0 computed") && second.contains("loaded: 2 objects"), "{second}");
    let answer = demo(&["ask", "Why does the ocean go up and down?"]);
    let (tides, bread) = (answer.find("notes.md, Tides"), answer.find("notes.md, Bread"));
    assert!(tides.is_some() && tides < bread, "{answer}");
}
