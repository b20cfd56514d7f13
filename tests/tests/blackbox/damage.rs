//! Files in the data folder, torn or damaged: derived files are rebuilt, a torn log is cut, and damage to what cannot
//! be rebuilt is refused with a word about it. In no case does a client read something else than was written.

use azimuth_client::{CollectionConfig, DataType, Object, Property, Query, VectorIndex};
use azimuth_tests::server::Server;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use uuid::Uuid;

const OBJECTS: u64 = 3_000;
const DIMENSIONS: usize = 64;

fn vector(number: u64) -> Vec<f32> {
    let mut random = ChaCha8Rng::seed_from_u64(number);
    (0..DIMENSIONS).map(|_| random.random_range(-1.0..1.0)).collect()
}

fn text(number: u64) -> String {
    format!("object {number} of {OBJECTS}")
}

/// A stopped server with data; `orderly` ends it by SIGTERM, else by SIGKILL.
fn filled(orderly: bool) -> Server {
    let mut server = Server::start();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let client = server.client();
        let config = CollectionConfig::new("Thing")
            .property(Property::new("text", DataType::Text))
            .unnamed_vector(VectorIndex::hnsw());
        client.create_collection(&config).await.expect("a new collection");
        let objects: Vec<Object> = (0..OBJECTS)
            .map(|n| Object::with_id(Uuid::from_u128(u128::from(n) + 1)).property("text", text(n)).vector(vector(n)))
            .collect();
        let things = client.collection("Thing").expect("a good name");
        let report = things.insert_many(&objects, Default::default()).await.expect("batches");
        assert!(report.failures.is_empty());
        while orderly && things.vector_queue_size().await.expect("the state of the shards") > 0 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    });
    if orderly {
        assert!(server.terminate().success());
    } else {
        server.kill();
    }
    server
}

/// Everything is there and right.
fn check_everything(server: &Server, after: &str) {
    let wrong = differences(server);
    assert!(wrong.is_empty(), "{after}: {wrong:?}\n{}", server.log());
}

/// What is missing, refused or wrong, as the client sees it. A wrong value is told apart: it is never acceptable.
fn differences(server: &Server) -> Vec<String> {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let things = server.client().collection("Thing").expect("a good name");
        let mut found = Vec::new();
        match things.count(None).await {
            Ok(OBJECTS) => {}
            other => found.push(format!("count: {other:?}")),
        }
        for number in (0..OBJECTS).step_by(61) {
            match things.get(Uuid::from_u128(u128::from(number) + 1)).await {
                Ok(Some(object)) => {
                    let stored = object.properties.get("text").and_then(serde_json::Value::as_str);
                    assert_eq!(stored, Some(text(number).as_str()), "a wrong value was served");
                    assert_eq!(object.vectors.single(), Some(vector(number).as_slice()), "a wrong vector was served");
                }
                other => found.push(format!("get {number}: {other:?}")),
            }
            match things.search(Query::near_vector(vector(number)).limit(1)).await {
                Ok(hits) if hits.first().is_some_and(|hit| hit.object.id.as_u128() == u128::from(number) + 1) => {}
                other => found.push(format!("search {number}: {:?}", other.map(|hits| hits.len()))),
            }
        }
        found
    })
}

/// Files below `folder` whose path holds `part`, largest first.
fn files(folder: &Path, part: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a readable folder").flatten() {
            if entry.path().is_dir() {
                folders.push(entry.path());
            } else if entry.path().to_string_lossy().contains(part) {
                found.push(entry.path());
            }
        }
    }
    found.sort_by_key(|path| std::cmp::Reverse(fs::metadata(path).map_or(0, |data| data.len())));
    found
}

fn log_files(server: &Server) -> Vec<PathBuf> {
    let mut logs = files(&server.data().join("raftlog"), ".log");
    logs.retain(|path| fs::metadata(path).is_ok_and(|data| data.len() > 0));
    logs
}

fn graph_files(server: &Server) -> Vec<PathBuf> {
    files(&server.data(), "/hnsw/")
}

fn flip(path: &Path, at: impl FnOnce(usize) -> usize) {
    let mut bytes = fs::read(path).expect("a readable file");
    let at = at(bytes.len());
    bytes[at] ^= 0x55;
    fs::write(path, bytes).expect("a writable file");
}

#[test]
fn a_torn_end_of_the_log_is_cut() {
    for (name, tail) in
        [("zeros", vec![0; 5_000]), ("garbage", vec![0xa7; 777]), ("half a record", vec![1, 2, 3, 4, 5, 6, 0])]
    {
        let mut server = filled(false);
        let mut logs = log_files(&server);
        logs.sort();
        let log = logs.pop().expect("a log that was not closed");
        fs::OpenOptions::new().append(true).open(&log).and_then(|mut file| file.write_all(&tail)).expect("a torn end");
        server.start_again();
        check_everything(&server, name);
    }
}

#[test]
fn damage_in_the_middle_of_the_log_is_refused_or_harmless_but_never_served() {
    let mut server = filled(false);
    let log = log_files(&server).into_iter().next().expect("a log");
    flip(&log, |length| length / 3);
    match server.try_start_again() {
        Err(reason) => {
            let told = reason.to_lowercase();
            assert!(told.contains("corrupt") || told.contains("checksum"), "the log says what is wrong: {reason}");
            assert!(!told.contains("panicked"), "damage is an error, not a panic: {reason}");
        }
        Ok(()) => check_everything(&server, "damage in the middle of the log"),
    }
}

#[test]
fn damaged_graphs_are_rebuilt() {
    let mut server = filled(true);
    let graphs = graph_files(&server);
    assert!(!graphs.is_empty(), "an orderly end saves the graphs: {:?}", files(&server.data(), ""));
    for (name, harm) in [
        ("a flipped byte", (|path: &Path| flip(path, |length| length / 2)) as fn(&Path)),
        ("a cut file", |path| {
            let length = fs::metadata(path).expect("a file").len();
            fs::OpenOptions::new().write(true).open(path).and_then(|file| file.set_len(length * 2 / 3)).expect("a cut");
        }),
        ("an empty file", |path| fs::write(path, b"").expect("an empty file")),
        ("a missing file", |path| fs::remove_file(path).expect("a file that is gone")),
        ("a flipped first byte", |path| flip(path, |_| 0)),
    ] {
        for path in graph_files(&server).iter().filter(|path| fs::metadata(path).is_ok_and(|data| data.len() > 0)) {
            harm(path);
        }
        server.start_again();
        check_everything(&server, name);
        assert!(server.terminate().success(), "{name}");
    }
    let folders: Vec<PathBuf> =
        graph_files(&server).iter().filter_map(|path| path.parent().map(Path::to_path_buf)).collect();
    for folder in folders {
        // Several files share one folder, which is gone after the first.
        let _ = fs::remove_dir_all(folder);
    }
    server.start_again();
    check_everything(&server, "no graph folder");
}

#[test]
fn a_damaged_table_is_noticed_and_never_served() {
    let seed = 7;
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    for extension in [".sst", ".blob"] {
        let mut server = filled(true);
        let tables: Vec<PathBuf> = files(&server.data(), extension)
            .into_iter()
            .filter(|path| !path.to_string_lossy().contains("raftlog"))
            .collect();
        let Some(table) = tables.first() else {
            assert_eq!(extension, ".blob", "an orderly end writes tables");
            continue;
        };
        for _ in 0..8 {
            flip(table, |length| random.random_range(0..length * 9 / 10));
        }
        match server.try_start_again() {
            Err(reason) => assert!(!reason.contains("panicked"), "seed {seed}: damage is not a panic: {reason}"),
            Ok(()) => {
                // A wrong value would have failed inside; an error, or data that the damage did not reach, is fine.
                let _ = differences(&server);
            }
        }
    }
}

#[test]
fn a_damaged_identity_is_refused() {
    for harm in [(|path: &Path| flip(path, |length| length / 2)) as fn(&Path), |path| {
        fs::write(path, b"").expect("an empty file");
    }] {
        let mut server = filled(true);
        let node = server.data().join("NODE");
        assert!(node.is_file(), "the identity lies in {}", node.display());
        let intact = fs::read(&node).expect("a readable file");
        harm(&node);
        let reason = server.try_start_again().expect_err("a server without its identity does not start");
        assert!(reason.contains("NODE") && !reason.contains("panicked"), "the log names the file: {reason}");
        fs::write(&node, intact).expect("a writable file");
        server.start_again();
        check_everything(&server, "the identity is back");
    }
}

#[test]
fn foreign_files_are_left_alone() {
    let mut server = filled(true);
    let foreign = [server.data().join("lost+found"), server.data().join(".snapshot")];
    for folder in &foreign {
        fs::create_dir(folder).expect("a folder");
    }
    fs::write(server.data().join("notes.txt"), "do not delete").expect("a file");
    server.start_again();
    check_everything(&server, "foreign files");
    assert!(foreign.iter().all(|folder| folder.is_dir()) && server.data().join("notes.txt").is_file());
}
