//! The log: what it keeps, what it refuses, what it survives.

mod damage;
mod model;

use std::collections::BTreeMap;
use std::path::Path;

use azimuth_engine::ids::GroupId;
use azimuth_engine::replica::LogPosition;
use bytes::Bytes;
use uuid::Uuid;

use super::{GroupLog, Kind, LogError, RaftLog, Record, Vote};

const STORE: Uuid = Uuid::from_u128(7);
const A: GroupId = GroupId(0);
const B: GroupId = GroupId(1);

fn at(term: u64, index: u64) -> LogPosition {
    LogPosition { term, node: 1, index }
}

/// An entry whose payload follows from its position.
fn record(term: u64, index: u64, bytes: usize) -> Record {
    let payload: Vec<u8> = (0..bytes).map(|byte| (byte as u64 * 31 + index * 7 + term) as u8).collect();
    Record { position: at(term, index), kind: Kind::Batch, payload: Bytes::from(payload) }
}

/// Opens a log on a thread of its own, as callers must.
fn open(dir: &Path) -> super::Result<RaftLog> {
    RaftLog::open(dir, STORE)
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// Appends one entry at a time, so that each is acknowledged by itself.
fn fill(log: &GroupLog, term: u64, indexes: std::ops::Range<u64>, bytes: usize) {
    for index in indexes {
        block_on(log.append(&[record(term, index, bytes)])).unwrap();
    }
}

#[test]
fn keeps_votes_entries_and_purges_over_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let vote = Vote { term: 3, node: 9, committed: true };
    {
        let log = open(dir.path()).unwrap();
        let (a, b) = (log.group(A).unwrap(), log.group(B).unwrap());
        assert_eq!((a.vote().unwrap(), a.bounds().last), (None, None));
        block_on(a.save_vote(vote)).unwrap();
        fill(&a, 3, 0..20, 100);
        fill(&b, 2, 0..5, 100);
        a.note_committed(at(3, 18));
        block_on(a.purge(at(3, 7))).unwrap();
        block_on(a.truncate(15)).unwrap();
        assert!(block_on(a.append(&[record(3, 16, 1)])).is_err(), "no holes");
        assert!(block_on(a.append(&[record(2, 15, 1)])).is_err(), "terms do not go back");
        fill(&a, 4, 15..17, 50);
        a.note_committed(at(3, 14));
    }
    for _ in 0..2 {
        let log = open(dir.path()).unwrap();
        let (a, b) = (log.group(A).unwrap(), log.group(B).unwrap());
        assert_eq!(a.vote().unwrap(), Some(vote));
        assert_eq!(b.vote().unwrap(), None);
        assert_eq!((a.bounds().purged, a.bounds().last), (Some(at(3, 7)), Some(at(4, 16))));
        assert_eq!(a.committed().unwrap(), Some(at(3, 14)), "written at the latest when the log is closed");
        let mut expected: Vec<_> = (8..15).map(|index| record(3, index, 100)).collect();
        expected.extend((15..17).map(|index| record(4, index, 50)));
        assert_eq!(a.read(0..100).unwrap(), expected);
        assert_eq!(a.read(9..11).unwrap(), expected[1..3]);
        assert_eq!(a.read_limited(8..100, 300).unwrap(), expected[..2]);
        assert_eq!(a.read_limited(8..100, 1).unwrap(), expected[..1]);
        assert_eq!(b.read(0..100).unwrap().len(), 5);
    }
}

#[test]
fn groups_share_an_fsync() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path()).unwrap();
    let (a, b) = (log.group(A).unwrap(), log.group(B).unwrap());
    let syncs = || a.flush_metrics().sync_us.count();
    let hold = log.flusher.hold();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(3).build().unwrap();
    let before = syncs();
    let held = hold.lock();
    let busy = runtime.spawn({
        let a = a.clone();
        async move { a.save_vote(Vote { term: 1, node: 1, committed: false }).await }
    });
    wait_until(|| log.flusher.waiting() == 0 && log.flusher.writes() == 1 + before);
    let appends: Vec<_> = [&a, &b]
        .into_iter()
        .map(|group| {
            let group = group.clone();
            runtime.spawn(async move { group.append(&[record(1, 0, 10), record(1, 1, 10)]).await })
        })
        .collect();
    wait_until(|| log.flusher.waiting() == 2);
    drop(held);
    runtime.block_on(async {
        busy.await.unwrap().unwrap();
        for append in appends {
            append.await.unwrap().unwrap();
        }
    });
    assert_eq!(syncs() - before, 2, "one for the vote, one for the appends of both groups");
}

fn wait_until(condition: impl Fn() -> bool) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while !condition() {
        assert!(std::time::Instant::now() < deadline, "waited for a minute");
        std::thread::yield_now();
    }
}

#[test]
fn a_failed_fsync_is_the_last_word() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path()).unwrap();
    let a = log.group(A).unwrap();
    fill(&a, 1, 0..3, 10);
    let failure = log.failure();
    assert_eq!(*failure.borrow(), None);
    log.fail_next_sync();
    assert!(matches!(block_on(a.append(&[record(1, 3, 10)])), Err(LogError::Storage(_))));
    assert!(failure.borrow().is_some());
    assert!(block_on(a.append(&[record(1, 3, 10)])).is_err(), "no second try");
    assert!(block_on(a.save_vote(Vote { term: 2, node: 1, committed: false })).is_err());
    assert_eq!(a.bounds().last, Some(at(1, 2)), "what was not acknowledged is not counted");
    assert!(log.close(true).is_err());
}

#[test]
fn belongs_to_one_store() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()).unwrap());
    let error = RaftLog::open(dir.path(), Uuid::from_u128(8)).err().unwrap();
    assert!(error.to_string().contains("belongs to store"), "{error}");
    drop(open(dir.path()).unwrap());
}

#[test]
fn an_entry_in_a_wrong_place_is_damage() {
    let record = record(5, 77, 300);
    let encoded = record.encode(A).unwrap();
    assert_eq!(Record::decode(A, 77, &encoded).unwrap(), record);
    assert!(Record::decode(B, 77, &encoded).is_err());
    assert!(Record::decode(A, 78, &encoded).is_err());
    for bit in 0..encoded.len() * 8 {
        let mut flipped = encoded.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(Record::decode(A, 77, &flipped).is_err(), "bit {bit}");
    }
    for cut in 0..encoded.len() {
        assert!(Record::decode(A, 77, &encoded[..cut]).is_err(), "cut at {cut}");
    }
}

/// The format of version 1, as it stands on disks.
#[test]
fn frozen_format() {
    let record =
        Record { position: LogPosition { term: 2, node: 3, index: 4 }, kind: Kind::Batch, payload: "az".into() };
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert_eq!(
        hex(&record.encode(GroupId(1)).unwrap()),
        "010300000200000005ca277600000000020000000000000003000000000000000400000000000000617a"
    );
    assert_eq!(
        hex(&Vote { term: 1, node: 2, committed: true }.encode()),
        "01d426f39a0100000000000000020000000000000001"
    );
}

/// Entries of kind 2, with commands whose schemas could not gain a field.
#[test]
fn commands_of_an_unreleased_version_are_refused_by_name() {
    let bytes = [
        &[1, 2, 0, 0, 2, 0, 0, 0, 0xf5, 0x2f, 0xce, 0xcf, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0][..],
        &[4, 0, 0, 0, 0, 0, 0, 0, b'a', b'z'],
    ];
    let refused = Record::decode(GroupId(1), 4, &bytes.concat()).unwrap_err().to_string();
    assert!(refused.contains("kind 2"), "{refused}");
}

type Contents = BTreeMap<GroupId, (Option<Vote>, Vec<Record>)>;

/// Everything a log holds of the two groups.
fn contents(log: &RaftLog) -> super::Result<Contents> {
    [A, B]
        .into_iter()
        .map(|group| {
            let log = log.group(group)?;
            Ok((group, (log.vote()?, log.read(0..u64::MAX)?)))
        })
        .collect()
}
