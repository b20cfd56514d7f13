//! Storage that fails under a running server: damage that a read or the background meets, a folder that is removed or
//! replaced. The request that meets it gets an error, and the process ends by itself; nothing is acknowledged into nothing.

use azimuth_client::{CollectionConfig, Object, VectorIndex};
use azimuth_tests::raw_http;
use azimuth_tests::server::Server;
use azimuth_tests::wait_for;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::json;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use uuid::Uuid;

/// A collection whose objects are large and hardly compressible, and in no inverted index.
fn fill_with_texts(server: &Server) {
    let address = server.http_address();
    let property = json!({"name": "text", "dataType": ["text"], "indexFilterable": false, "indexSearchable": false});
    let class = json!({"class": "Thing", "properties": [property], "vectorIndexConfig": {"skip": true}});
    assert_eq!(raw_http::post(&address, "/v1/schema", &class.to_string()).expect("an answer").status, 200);
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let objects: Vec<_> = (1..=300_u128)
        .map(|number| {
            let text: String = (0..2_000).map(|_| char::from(random.random_range(b'a'..=b'z'))).collect();
            json!({"class": "Thing", "id": Uuid::from_u128(number), "properties": {"text": text}})
        })
        .collect();
    let batch = json!({"objects": objects}).to_string();
    let answer = raw_http::post(&address, "/v1/batch/objects", &batch).expect("an answer");
    assert!(answer.status == 200 && !answer.body.contains("FAILED"), "{answer:?}");
}

/// Writes nonsense over a third of the largest table of the data group.
fn damage_largest_table(server: &Server) {
    let tables =
        fs::read_dir(server.data().join("g1/gen-1")).expect("the data group").flatten().map(|file| file.path());
    let length = |path: &PathBuf| fs::metadata(path).map_or(0, |data| data.len());
    let tables =
        tables.filter(|path| path.extension().is_some_and(|extension| extension == "sst" || extension == "blob"));
    let table = tables.max_by_key(length).expect("an orderly end writes tables");
    let file = fs::File::options().write(true).open(&table).expect("a table that can be written");
    let third = length(&table) / 3;
    let nonsense = vec![0xa7; usize::try_from(third).expect("a small file")];
    file.write_all_at(&nonsense, third).expect("damage");
}

/// Checks that the process has ended by itself with an error code, and has logged the reason.
fn assert_ended(server: &mut Server, words: &[&str]) {
    let status = server.wait_for_end();
    let log = server.log();
    assert_eq!(status.code(), Some(1), "{log}");
    for word in words.iter().chain(&["the node must end", "azimuth ends"]) {
        assert!(log.contains(word), "{word} is not in {log}");
    }
    assert!(!log.contains("panicked"), "{log}");
}

#[test]
fn a_read_that_meets_damage_is_answered_and_ends_the_node() {
    let mut server = Server::start();
    fill_with_texts(&server);
    assert!(server.terminate().success());
    // Damaged before the start: afterwards the background may have every row in memory already. It may also meet the
    // damage first, and then no read is answered with 500.
    damage_largest_table(&server);
    server.spawn_only();
    wait_for("a read that meets the damage, or the end", || {
        (1..=300_u128).any(|number| {
            let answer = server.get(&format!("/v1/objects/Thing/{}", Uuid::from_u128(number)));
            answer.is_ok_and(|answer| answer.status == 500) || server.log().contains("the node must end")
        })
    });
    let ready = server.get("/v1/.well-known/ready");
    assert!(ready.as_ref().map_or(true, |answer| answer.status == 503), "not ready from then on: {ready:?}");
    assert_ended(&mut server, &[]);
}

#[test]
fn damage_that_the_background_meets_ends_the_node_without_a_request() {
    let mut server = Server::start();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let client = server.client();
        let config = CollectionConfig::new("Thing").unnamed_vector(VectorIndex::hnsw());
        client.create_collection(&config).await.expect("a collection");
        let things = client.collection("Thing").expect("a good name");
        let mut random = ChaCha8Rng::seed_from_u64(2);
        let mut vector = || (0..64).map(|_| random.random_range(-1.0..1.0_f32)).collect::<Vec<_>>();
        let objects: Vec<Object> =
            (1..=12_000).map(|number| Object::with_id(Uuid::from_u128(number)).vector(vector())).collect();
        let report = things.insert_many(&objects, Default::default()).await.expect("batches");
        assert!(report.failures.is_empty());
        while things.vector_queue_size().await.expect("the state of the shards") > 0 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    });
    assert!(server.terminate().success());
    // The index has to be built again, which reads the damaged rows.
    fs::remove_dir_all(server.data().join("g1/hnsw")).expect("the files of the index");
    damage_largest_table(&server);
    server.spawn_only();
    assert_ended(&mut server, &["background work"]);
}

fn put(server: &Server, number: u128) -> bool {
    let body = json!({"class": "Thing", "id": Uuid::from_u128(number), "properties": {"n": 1}}).to_string();
    raw_http::post(&server.http_address(), "/v1/objects", &body).is_ok_and(|answer| answer.status == 200)
}

/// Removes a folder in which files still come and go.
fn remove(folder: &Path) {
    while let Err(error) = fs::remove_dir_all(folder) {
        if error.kind() == std::io::ErrorKind::NotFound {
            return;
        }
    }
}

#[test]
fn nothing_is_acknowledged_into_a_folder_that_was_removed() {
    for part in ["", "raftlog"] {
        let mut server = Server::start();
        assert!(put(&server, 1));
        remove(&server.data().join(part));
        for number in 2..20 {
            assert!(!put(&server, number), "acknowledged into nothing: {}", server.log());
        }
        assert_ended(&mut server, &["removed"]);
    }
}

#[test]
fn a_removed_folder_ends_the_node_without_a_write() {
    for part in ["", "g1"] {
        let mut server = Server::start();
        remove(&server.data().join(part));
        // RocksDB may be the first to miss a file.
        assert_ended(&mut server, &[]);
        let log = server.log();
        assert!(log.contains("removed") || log.contains("No such file or directory"), "{log}");
    }
}

#[test]
fn a_folder_that_is_replaced_by_a_copy_ends_the_node_and_the_original_has_everything() {
    let mut server = Server::start();
    assert!(put(&server, 1));
    let (data, away) = (server.data(), server.data().with_file_name("away"));
    fs::rename(&data, &away).expect("the folder moves");
    let copied = Command::new("cp").arg("-a").arg(&away).arg(&data).status().expect("cp starts");
    assert!(copied.success());
    assert!(!put(&server, 2), "acknowledged into a folder that no path leads to");
    // RocksDB may be the first to miss a file.
    assert_ended(&mut server, &[]);
    fs::remove_dir_all(&data).expect("the copy goes");
    fs::rename(&away, &data).expect("the original comes back");
    server.start_again();
    let found = server.get(&format!("/v1/objects/Thing/{}", Uuid::from_u128(1))).expect("an answer");
    assert_eq!(found.status, 200, "{found:?}");
}
