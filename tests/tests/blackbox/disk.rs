//! Disks that are full, read-only, or no folder: writes are refused in words, reads go on, nothing acknowledged is lost.
//!
//! A small file system in memory stands for the disk. Where none can be mounted the tests say so and pass.

use azimuth_client::{Client, CollectionConfig, DataType, Object, Property, Query, VectorIndex};
use azimuth_tests::server::{Server, ServerBuilder};
use azimuth_tests::{notice, raw_http};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use uuid::Uuid;

const DIMENSIONS: usize = 256;
const BATCH: u128 = 100;

/// A mounted file system; unmounted when dropped.
struct Disk {
    folder: tempfile::TempDir,
}

impl Disk {
    fn mount(options: &str) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let disk = Self { folder };
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(disk.path());
        let output = command.output().expect("mount starts");
        if output.status.success() {
            return Some(disk);
        }
        notice(&format!("disk: skipped, {}", String::from_utf8_lossy(&output.stderr).trim()));
        std::mem::forget(disk);
        None
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn ballast(&self) -> PathBuf {
        self.path().join("ballast")
    }

    /// Percent in use, as `df` counts.
    fn used_percent(&self) -> u64 {
        let output = Command::new("stat").args(["-f", "-c", "%b %a"]).arg(self.path()).output().expect("stat starts");
        let text = String::from_utf8(output.stdout).expect("numbers");
        let numbers: Vec<u64> = text.split_whitespace().map(|number| number.parse().expect("a number")).collect();
        (numbers[0] - numbers[1]) * 100 / numbers[0]
    }

    /// Fills the disk up to so many percent; 100 leaves not a byte.
    fn fill(&self, percent: u64) {
        let mut file = File::options().create(true).append(true).open(self.ballast()).expect("a file");
        let part = vec![1_u8; 64 << 10];
        while self.used_percent() < percent || percent == 100 {
            if let Err(error) = file.write_all(&part) {
                assert_eq!(error.kind(), std::io::ErrorKind::StorageFull, "{error}");
                return;
            }
        }
    }

    fn empty(&self) {
        fs::remove_file(self.ballast()).expect("the ballast goes");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: a server that is still ending may have files open.
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

fn builder(disk: &Disk) -> ServerBuilder {
    let data = disk.path().join("data");
    Server::builder().variable("AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED", "true").data(data)
}

fn object(number: u128) -> Object {
    let mut random = ChaCha8Rng::seed_from_u64(u64::try_from(number).expect("a small number"));
    let vector: Vec<f32> = (0..DIMENSIONS).map(|_| random.random_range(-1.0..1.0)).collect();
    Object::with_id(Uuid::from_u128(number + 1)).property("number", number as u64).vector(vector)
}

async fn create(client: &Client) {
    let config = CollectionConfig::new("Thing")
        .property(Property::new("number", DataType::Int))
        .unnamed_vector(VectorIndex::hnsw());
    client.create_collection(&config).await.expect("a collection");
}

/// Writes one batch; what the refusal says otherwise.
async fn write(client: &Client, first: u128) -> Result<(), String> {
    let objects: Vec<Object> = (first..first + BATCH).map(object).collect();
    let things = client.collection("Thing").expect("a good name");
    let report = things.insert_many(&objects, Default::default()).await.map_err(|error| error.to_string())?;
    match report.failures.first() {
        None => Ok(()),
        Some(failure) => Err(failure.message.clone()),
    }
}

/// Writes batches from `first` on until one is refused: how many objects there are, and what was said.
async fn write_until_refused(client: &Client, mut first: u128) -> (u128, String) {
    loop {
        match write(client, first).await {
            Ok(()) => first += BATCH,
            Err(said) => return (first, said),
        }
        assert!(first < 1_000_000, "the disk has no end");
    }
}

/// Everything acknowledged is counted and found; of the batch that was refused, all or some may be there.
async fn check(client: &Client, acknowledged: u128) {
    let things = client.collection("Thing").expect("a good name");
    let count = u128::from(things.count(None).await.expect("a count"));
    assert!((acknowledged..=acknowledged + BATCH).contains(&count), "{count} objects of {acknowledged}");
    for number in (0..acknowledged).step_by(usize::try_from(acknowledged / 7 + 1).expect("a small number")) {
        let vector = object(number).vectors.single().expect("a vector").to_vec();
        let hits = things.search(Query::near_vector(vector).limit(1)).await.expect("a search");
        assert_eq!(hits[0].object.id, Uuid::from_u128(number + 1), "object {number} of {acknowledged}");
    }
}

#[test]
fn a_full_disk_refuses_writes_until_there_is_room() {
    let Some(disk) = Disk::mount("size=256m") else { return };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let _entered = runtime.enter();
    let mut server = builder(&disk).start();
    let count = runtime.block_on(async {
        let client = server.client();
        create(&client).await;
        for first in (0..1_000).step_by(BATCH as usize) {
            write(&client, first).await.expect("there is room");
        }
        disk.fill(92);
        let (mut count, said) = write_until_refused(&client, 1_000).await;
        assert!(said.contains("disk is") && said.contains("full") && said.contains("90 %"), "{said}");
        let rest = raw_http::post(&server.http_address(), "/v1/objects", r#"{"class": "Thing", "vector": [1]}"#);
        let rest = rest.expect("an answer");
        assert!(rest.status >= 500 && rest.body.contains("full"), "REST says it as well: {rest:?}");
        let schema = client.create_collection(&CollectionConfig::new("Other")).await.expect_err("a write as well");
        assert!(schema.to_string().contains("full"), "{schema}");
        check(&client, count).await;
        assert_eq!(server.get("/v1/.well-known/ready").expect("an answer").status, 200, "reads go on");
        let metrics = server.get("/metrics").expect("an answer").body;
        assert!(metrics.contains("\nazimuth_writes_refused 1"), "{metrics}");
        // Nothing is left, not a byte: reads go on all the same, for longer than every look at the disk.
        disk.fill(100);
        for _ in 0..20 {
            check(&client, count).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        disk.empty();
        let since = Instant::now();
        while let Err(said) = write(&client, count).await {
            assert!(since.elapsed() < Duration::from_secs(120), "writes are still refused: {said}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        count += BATCH;
        check(&client, count).await;
        count
    });
    server.kill();
    server.start_again();
    runtime.block_on(check(&server.client(), count));
    assert!(server.terminate().success(), "{}", server.log());
}

#[test]
fn a_disk_that_ends_in_the_middle_of_a_write_loses_nothing_acknowledged() {
    let Some(disk) = Disk::mount("size=640m") else { return };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let _entered = runtime.enter();
    // Without the limit that would refuse writes in time, the log itself finds the end of the disk.
    let mut server = builder(&disk).variable("DISK_USE_READONLY_PERCENTAGE", "100").start();
    let acknowledged = runtime.block_on(async {
        let client = server.client();
        create(&client).await;
        write(&client, 0).await.expect("there is room");
        disk.fill(72);
        write_until_refused(&client, BATCH).await.0
    });
    let status = server.wait_for_end();
    assert!(!status.success(), "a node that cannot write its log ended with {status}");
    let log = server.log();
    assert!(log.contains("No space left on device") && log.contains("azimuth ends"), "{log}");
    // On the full disk the server reads, with the space of the reserve.
    disk.fill(100);
    server.start_again();
    runtime.block_on(check(&server.client(), acknowledged));
    server.kill();
    disk.empty();
    server.start_again();
    runtime.block_on(async {
        check(&server.client(), acknowledged).await;
        let again = write(&server.client(), acknowledged).await;
        again.expect("there is room again");
        check(&server.client(), acknowledged + BATCH).await;
    });
}

#[test]
fn a_folder_that_cannot_be_written_refuses_the_start_in_words() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("a-file");
    fs::write(&file, "not a folder").expect("a file");
    for data in [file.clone(), file.join("below")] {
        let log = Server::builder().data(&data).start_refused();
        assert!(log.contains("a-file") && log.contains("open the data"), "{log}");
        assert!(!log.contains("panicked"), "{log}");
    }
    assert_eq!(fs::read_to_string(&file).expect("the file"), "not a folder");
    let Some(disk) = Disk::mount("size=16m,ro") else { return };
    let log = Server::builder().data(disk.path()).start_refused();
    assert!(log.contains("Read-only file system") && log.contains(&disk.path().display().to_string()), "{log}");
}

#[test]
fn a_disk_that_becomes_read_only_stops_writes_and_keeps_what_was_there() {
    let Some(disk) = Disk::mount("size=128m") else { return };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let _entered = runtime.enter();
    let mut server = builder(&disk).start();
    runtime.block_on(async {
        create(&server.client()).await;
        write(&server.client(), 0).await.expect("a batch");
    });
    server.kill();
    let remount = |mode: &str| {
        let mut command = Command::new("mount");
        let status = command.args(["-o", &format!("remount,{mode}")]).arg(disk.path()).status().expect("mount starts");
        assert!(status.success(), "the disk is mounted again");
    };
    remount("ro");
    let reason = server.try_start_again().expect_err("a start without writing");
    assert!(reason.contains("Read-only file system"), "{reason}");
    remount("rw");
    server.start_again();
    runtime.block_on(check(&server.client(), BATCH));
}
