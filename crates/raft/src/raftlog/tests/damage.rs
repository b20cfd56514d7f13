//! Torn ends, flipped bits, missing files. The law: what was acknowledged is there, or the log refuses to open. What
//! nobody was told may be cut.

use std::fs;
use std::path::PathBuf;

use azimuth_engine::storage::check_database_files;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use tempfile::TempDir;

use super::*;

/// Flips per kind of log, each an open of a copy.
const FLIPS: usize = 150;

fn copy(from: &Path) -> TempDir {
    let to = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, to.path().join(path.file_name().unwrap())).unwrap();
    }
    to
}

fn files(dir: &Path, keep: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let paths = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> = paths.filter(|path| keep(path.file_name().unwrap().to_str().unwrap())).collect();
    paths.sort();
    paths
}

fn wal(dir: &Path) -> PathBuf {
    files(dir, |name| name.ends_with(".log")).pop().unwrap()
}

/// What a copy of the directory, as kill -9 would leave it, holds when it is opened.
fn reopen(dir: &Path) -> super::super::Result<Contents> {
    contents(&open(dir)?)
}

/// A log that was never closed. `tables` puts half of it into table files.
fn killed_log(tables: bool, bytes: usize) -> (TempDir, Contents) {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path()).unwrap();
    let (a, b) = (log.group(A).unwrap(), log.group(B).unwrap());
    for round in 0..20 {
        block_on(a.save_vote(Vote { term: 1 + round / 10, node: 1, committed: false })).unwrap();
        fill(&a, 1 + round / 10, round * 3..round * 3 + 3, bytes);
        fill(&b, 1, round..round + 1, bytes / 2);
        if tables && round == 9 {
            log.database.flush_memory().unwrap();
        }
        if tables && round == 12 {
            block_on(a.purge(at(1, 5))).unwrap();
        }
    }
    let expected = contents(&log).unwrap();
    (copy(dir.path()), expected)
}

#[test]
fn a_torn_end_is_cut_and_only_what_nobody_was_told_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path()).unwrap();
    let a = log.group(A).unwrap();
    fill(&a, 1, 0..10, 700);
    let before = copy(dir.path());
    let told = fs::metadata(wal(before.path())).unwrap().len();
    fill(&a, 1, 10..11, 700);
    let after = copy(dir.path());
    let written = fs::metadata(wal(after.path())).unwrap().len();
    assert!(written > told);

    let mut lost = 0;
    for cut in (told..=written).step_by(37).chain([written - 1, written]) {
        let torn = copy(after.path());
        fs::copy(before.path().join("TAIL"), torn.path().join("TAIL")).unwrap();
        fs::File::options().write(true).open(wal(torn.path())).unwrap().set_len(cut).unwrap();
        let records = &reopen(torn.path()).unwrap()[&A].1;
        assert!(records.len() >= 10, "cut at {cut} of {written}: {} of 10 acknowledged entries", records.len());
        lost += 11 - records.len();
    }
    assert!(lost > 10, "the test cut nothing");
}

#[test]
fn a_log_that_lost_what_was_acknowledged_is_refused() {
    let (killed, _) = killed_log(false, 500);
    let written = fs::metadata(wal(killed.path())).unwrap().len();
    for cut in (0..written).step_by(997) {
        let torn = copy(killed.path());
        fs::File::options().write(true).open(wal(torn.path())).unwrap().set_len(cut).unwrap();
        assert!(reopen(torn.path()).is_err(), "cut at {cut} of {written}");
    }
}

#[test]
fn a_missing_file_is_refused_or_not_needed() {
    for tables in [false, true] {
        let (killed, expected) = killed_log(tables, 500);
        let mut refused = 0;
        for file in files(killed.path(), |_| true) {
            let holed = copy(killed.path());
            fs::remove_file(holed.path().join(file.file_name().unwrap())).unwrap();
            match reopen(holed.path()) {
                Ok(found) => assert!(found == expected, "{} is missing and so are entries", file.display()),
                Err(_) => refused += 1,
            }
        }
        assert!(refused >= 2, "tables: {tables}, {refused} refused");
    }
}

/// RocksDB's reader loops for ever on some flips of its MANIFEST, and takes others for its end.
#[test]
fn every_flipped_bit_of_the_manifest_is_refused_or_does_not_matter() {
    let (killed, expected) = killed_log(true, 300);
    let manifest = files(killed.path(), |name| name.starts_with("MANIFEST")).pop().unwrap();
    let good = fs::read(&manifest).unwrap();
    let damaged = copy(killed.path());
    let path = damaged.path().join(manifest.file_name().unwrap());
    let mut passed = 0;
    for bit in 0..good.len() * 8 {
        let mut flipped = good.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        fs::write(&path, flipped).unwrap();
        if check_database_files(damaged.path()).is_ok() {
            passed += 1;
            let opened = copy(damaged.path());
            if let Ok(found) = reopen(opened.path()) {
                assert!(found == expected, "byte {} bit {}: opened with other contents", bit / 8, bit % 8);
            }
        }
    }
    println!("{passed} of {} flips look like a torn end", good.len() * 8);
    assert!((1..200).contains(&passed), "{passed} passed");
}

#[test]
fn a_flipped_bit_is_refused_or_does_not_matter() {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    for (tables, bytes) in [(false, 300), (false, 3_000), (true, 300)] {
        let (killed, expected) = killed_log(tables, bytes);
        assert!(reopen(copy(killed.path()).path()).unwrap() == expected, "kill -9 loses nothing");
        let names = files(killed.path(), |name| name != "LOG" && name != "LOCK" && !name.starts_with("LOG.old"));
        let mut refused = 0;
        for flip in 0..FLIPS {
            let damaged = copy(killed.path());
            // Every third flip goes into the last block of the write-ahead log, where damage looks like a torn end.
            let (path, from) = match flip % 3 {
                0 => (wal(killed.path()), true),
                _ => (names[random.random_range(0..names.len())].clone(), false),
            };
            let path = damaged.path().join(path.file_name().unwrap());
            let mut content = fs::read(&path).unwrap();
            if content.is_empty() {
                continue;
            }
            let start = if from { content.len().saturating_sub(32 << 10) } else { 0 };
            let (at, bit) = (random.random_range(start..content.len()), random.random_range(0..8));
            content[at] ^= 1 << bit;
            fs::write(&path, content).unwrap();
            match reopen(damaged.path()) {
                Ok(found) => {
                    let place = format!("seed {seed}, {} byte {at} bit {bit}", path.display());
                    assert!(found == expected, "{place}: opened with other contents");
                }
                Err(_) => refused += 1,
            }
        }
        println!("tables {tables}, {bytes} bytes: {refused} of {FLIPS} refused");
        assert!(refused > FLIPS / 4, "{refused} refused");
    }
}
