//! A whole node on the engine's groups.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use azimuth_engine::command::{Command, Outcome};
use azimuth_engine::ids::{CollectionId, GroupId, PropertyId};
use azimuth_engine::level::FeatureLevel;
use azimuth_engine::replica::StateMachine;
use azimuth_engine::schema::DataType;

use crate::{FlushLimits, Node, NodeOptions, Phase, ProposeError, ReadError, StartError};

async fn start(dir: &Path) -> Arc<Node> {
    let node = Node::start(NodeOptions::new(dir)).await.unwrap();
    node.ready().await;
    node
}

/// Why a start fails.
async fn failure(dir: &Path) -> StartError {
    match Node::start(NodeOptions::new(dir)).await {
        Ok(_) => panic!("it started"),
        Err(error) => error,
    }
}

async fn create(node: &Node, name: &str) {
    let collection = crate::sample::collection(0, name);
    let outcome = node.meta().propose(vec![Command::CreateCollection(Box::new(collection))]).await.unwrap();
    assert!(matches!(outcome[..], [Outcome::Collection(_)]), "{outcome:?}");
}

fn copy_all(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_all(&path, &target);
        } else {
            fs::copy(&path, target).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn starts_alone_writes_and_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let options = NodeOptions::new(dir.path());
    let progress = options.progress.subscribe();
    assert_eq!(progress.borrow().phase, Phase::Identity);
    let node = Node::start(options).await.unwrap();
    node.ready().await;
    assert!(node.is_ready());
    progress.clone().wait_for(|progress| progress.phase == Phase::Ready).await.unwrap();
    let identity = node.identity();
    let outcome = node.data().propose(vec![Command::DropCollection(CollectionId(7))]).await.unwrap();
    assert_eq!(outcome, [Outcome::Done]);
    let outcome = node.meta().propose(vec![Command::DeleteCollection(CollectionId(7))]).await.unwrap();
    assert_eq!(outcome, [Outcome::NotFound]);
    create(&node, "First").await;
    node.data().read_barrier().await.unwrap();
    let metrics = node.meta().metrics();
    assert_eq!(metrics.applied_index, metrics.last_index);
    assert!(metrics.leader && metrics.apply_us.count() > 0);
    let log = node.log_metrics();
    assert!(log.bytes > 0 && log.flushes.sync_us.count() > 0 && log.flushes.entries > 0);
    node.shutdown().await.unwrap();
    assert_eq!(node.data().propose(vec![Command::DropCollection(CollectionId(7))]).await, Err(ProposeError::Stopped));
    drop(node);

    for _ in 0..2 {
        let node = start(dir.path()).await;
        assert_eq!(node.identity(), identity);
        assert_eq!(node.progress().borrow().replay_entries, 0, "a clean stop leaves nothing to replay");
        assert!(node.meta().state().catalog().find("First").is_some());
        let again = Node::start(NodeOptions::new(dir.path())).await.err().unwrap();
        assert!(matches!(again, StartError::InUse(_)), "{again}");
        node.shutdown().await.unwrap();
    }
}

/// The effect of each limit alone: bytes of the log, and time spent on applying it.
#[tokio::test(flavor = "multi_thread")]
async fn state_becomes_durable_and_the_log_is_purged_by_themselves() {
    let check_interval = Duration::from_millis(10);
    let never = Duration::from_secs(3_600);
    let by_bytes = FlushLimits { log_bytes_max: 1 << 10, apply_time_max: never, interval: never, ..Default::default() };
    let by_work = FlushLimits { log_bytes_max: u64::MAX, apply_time_max: Duration::from_micros(1), ..by_bytes };
    for limits in [by_bytes, by_work] {
        flushes_by_itself(FlushLimits { check_interval, ..limits }).await;
    }
}

async fn flushes_by_itself(flush: FlushLimits) {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(NodeOptions { flush, ..NodeOptions::new(dir.path()) }).await.unwrap();
    for number in 0..20 {
        create(&node, &format!("C{number}")).await;
    }
    let core = node.meta().core();
    let health = core.wait_for(|health| health.purged.is_some_and(|purged| purged.index > 10)).await;
    assert_eq!(health.died, None);
    let metrics = node.meta().metrics();
    assert!(metrics.purged_index <= metrics.durable_index, "{metrics:?}");
    node.shutdown().await.unwrap();
    drop(node);
    let node = start(dir.path()).await;
    assert_eq!(node.meta().state().catalog().len(), 20);
    let replays = node.progress().borrow().replays.clone();
    assert_eq!(replays.len(), 2, "{replays:?}");
    assert!(replays.iter().all(|replay| replay.applied_index >= replay.last_index), "{replays:?}");
    node.shutdown().await.unwrap();
}

/// Writes the record of the feature level of a group that is closed.
fn set_level(dir: &Path, group: GroupId, level: u8) {
    let families = ["obj", "ids", "vec", "inv", "meta"];
    let path = dir.join(format!("g{group}")).join("gen-1");
    let db = rocksdb::DB::open_cf(&rocksdb::Options::default(), path, families).unwrap();
    let meta = &db.cf_handle("meta").unwrap();
    let key = [&group.0.to_be_bytes()[..], &[14]].concat();
    match level {
        0 => db.delete_cf(meta, key).unwrap(),
        level => db.put_cf(meta, key, [1, level]).unwrap(),
    }
    db.flush_cf(meta).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_alone_raises_its_groups_and_refuses_those_of_a_later_level() {
    let dir = tempfile::tempdir().unwrap();
    let levels = |node: &Node| [node.meta().metrics().level, node.data().metrics().level];
    let entries = |node: &Node| node.data().metrics().last_index.unwrap();
    let node = start(dir.path()).await;
    assert_eq!(levels(&node), [FeatureLevel::SUPPORTED; 2]);
    let new = entries(&node);
    node.shutdown().await.unwrap();
    drop(node);
    // Directories of versions that knew no levels have no record of one.
    for group in [GroupId::META, GroupId::FIRST_DATA] {
        set_level(dir.path(), group, 0);
    }
    for _ in 0..2 {
        let node = start(dir.path()).await;
        assert_eq!(levels(&node), [FeatureLevel::SUPPORTED; 2]);
        node.shutdown().await.unwrap();
    }
    let node = start(dir.path()).await;
    assert_eq!((entries(&node) - new) % 3, 0, "each of the three starts writes the same number of entries");
    node.shutdown().await.unwrap();
    drop(node);

    set_level(dir.path(), GroupId::FIRST_DATA, 9);
    let error = failure(dir.path()).await;
    assert!(matches!(&error, StartError::Refused(text) if text.contains("has feature level 9")), "{error}");
    set_level(dir.path(), GroupId::FIRST_DATA, 1);
    start(dir.path()).await.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_disk_is_fatal_and_nothing_is_promised_any_more() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(dir.path()).await;
    create(&node, "Before").await;
    assert!(tokio::time::timeout(Duration::from_millis(20), node.fatal()).await.is_err());
    node.log().fail_next_sync();
    let collection = Command::CreateCollection(Box::new(crate::sample::collection(0, "Lost")));
    let error = node.meta().propose(vec![collection.clone()]).await.unwrap_err();
    assert!(matches!(error, ProposeError::Unknown(_)), "{error}");
    let fatal = node.fatal().await;
    assert!(!fatal.0.is_empty());
    assert!(!node.is_ready());
    let error = node.meta().propose(vec![collection]).await.unwrap_err();
    assert!(matches!(error, ProposeError::Stopped | ProposeError::Unknown(_)), "{error}");
    assert_eq!(node.meta().read_barrier().await, Err(ReadError::Stopped));
    assert!(node.shutdown().await.is_err(), "a stop cannot be clean any more");
    drop(node);
    let node = start(dir.path()).await;
    assert!(node.meta().state().catalog().find("Before").is_some());
    node.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_of_different_nodes_or_times_are_refused() {
    let (dir, old, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let node = start(dir.path()).await;
    create(&node, "One").await;
    node.shutdown().await.unwrap();
    drop(node);
    copy_all(dir.path(), old.path());
    let node = start(dir.path()).await;
    create(&node, "Two").await;
    let applied = node.meta().state().applied().unwrap().position;
    node.shutdown().await.unwrap();
    drop(node);
    drop(start(other.path()).await.shutdown().await);

    let cases: [(&str, &Path, &str); 4] = [
        ("raftlog", old.path(), "the state has applied"),
        ("g0", old.path(), "purged"),
        ("g0", other.path(), "another node"),
        ("raftlog", other.path(), "belongs to store"),
    ];
    for (part, from, expected) in cases {
        let mixed = tempfile::tempdir().unwrap();
        copy_all(dir.path(), mixed.path());
        fs::remove_dir_all(mixed.path().join(part)).unwrap();
        copy_all(&from.join(part), &mixed.path().join(part));
        let error = failure(mixed.path()).await.to_string();
        assert!(error.contains(expected), "{part}: {error}");
    }
    for part in ["raftlog", "g0", "g1", "NODE"] {
        let holed = tempfile::tempdir().unwrap();
        copy_all(dir.path(), holed.path());
        let path = holed.path().join(part);
        if path.is_dir() {
            fs::remove_dir_all(path).unwrap();
        } else {
            fs::remove_file(path).unwrap();
        }
        let error = failure(holed.path()).await;
        assert!(matches!(error, StartError::Damaged(_) | StartError::Refused(_)), "{part} is gone: {error}");
    }
    let node = start(dir.path()).await;
    assert!(node.meta().state().applied().unwrap().position > applied);
    node.shutdown().await.unwrap();
}

/// A schema that uses up the ids, committed in the log of the meta group. It ended every start of earlier versions.
#[tokio::test(flavor = "multi_thread")]
async fn commands_that_cannot_be_carried_out_do_not_keep_a_node_from_starting() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(dir.path()).await;
    create(&node, "Before").await;
    let mut many = crate::sample::collection(0, "Many");
    let nested = many.properties()[0].clone();
    let nested = azimuth_engine::schema::Property { id: PropertyId(0), ..nested };
    many.properties.iter_mut().flatten().for_each(|property| {
        property.data_type = DataType::Object { list: false };
        property.nested = vec![nested.clone(); 66_000];
    });
    let mut vectors = crate::sample::collection(0, "Vectors");
    let one = vectors.vectors.unnamed.clone().unwrap();
    vectors.vectors.named = (0..66_000).map(|n| (format!("v{n}"), one.clone())).collect();
    for collection in [many, vectors] {
        let outcome = node.meta().propose(vec![Command::CreateCollection(Box::new(collection))]).await.unwrap();
        assert!(matches!(outcome[..], [Outcome::Refused(_)]), "{outcome:?}");
    }
    create(&node, "After").await;
    let copy = tempfile::tempdir().unwrap();
    copy_all(dir.path(), copy.path());
    node.shutdown().await.unwrap();
    drop(node);
    // The log is applied again after a kill; after an orderly end the state has it.
    for dir in [copy.path(), dir.path()] {
        let node = start(dir).await;
        let names: Vec<_> = node.meta().state().catalog().collections().iter().map(|c| c.name.clone()).collect();
        assert_eq!(names, ["Before", "After"]);
        node.shutdown().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_that_a_read_met_ends_the_node_and_a_wrong_request_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(dir.path()).await;
    node.report(&azimuth_engine::Error::Invalid("no such property".into()));
    assert!(node.is_ready());
    node.report(&azimuth_engine::Error::Damaged("a block fails its checksum".into()));
    assert!(!node.is_ready(), "at once");
    assert!(node.fatal().await.to_string().contains("a block fails its checksum"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_is_removed_is_noticed_before_a_write_is_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let node = start(&data).await;
    fs::rename(&data, dir.path().join("away")).unwrap();
    copy_all(&dir.path().join("away"), &data);
    let written = node.data().propose(vec![Command::DropCollection(CollectionId(7))]).await;
    assert!(written.is_err(), "{written:?}");
    assert!(node.fatal().await.to_string().contains("replaced"));
    assert!(!node.is_ready());
}
