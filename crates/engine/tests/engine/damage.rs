//! Damaged and torn files: noticed, or without effect; never another answer, never a panic.
//!
//! The seed is printed; `AZIMUTH_TEST_SEED=<n>` runs that one alone.

use std::fs;
use std::path::{Path, PathBuf};

use azimuth_engine::Result;
use azimuth_engine::data::DataGroup;
use azimuth_engine::replica::{LogPosition, StateMachine};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tempfile::tempdir;

use crate::fixtures::{fill, read_everything};
use crate::support::{copy_dir, open, options};

/// Places of each file that are damaged, one at a time.
const PLACES: usize = 10;

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            found.extend(files(&entry.path()));
        } else {
            found.push(entry.path());
        }
    }
    found.sort();
    found
}

/// Everything that a group answers; `None` if it is behind `position`: an earlier state, which the log brings forward.
fn answers(dir: &Path, position: Option<LogPosition>) -> Result<Option<([u8; 16], String)>> {
    let (group, _) = DataGroup::open(dir, options())?;
    if group.applied()?.position < position {
        return Ok(None);
    }
    Ok(Some((group.state_hash()?, read_everything(&group)?)))
}

#[test]
fn a_flipped_bit_or_a_cut_is_noticed_or_changes_nothing() {
    let seed = std::env::var("AZIMUTH_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or_else(|| rand::rng().next_u64());
    println!("AZIMUTH_TEST_SEED={seed}");
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let source = tempdir().unwrap();
    let position = {
        let group = open(source.path());
        fill(&group);
        group.flush().unwrap()
    };
    let untouched = tempdir().unwrap();
    copy_dir(source.path(), untouched.path()).unwrap();
    let right = answers(untouched.path(), position).unwrap();
    assert!(right.is_some());
    let (mut noticed, mut tried) = (0, 0);
    for file in files(source.path()) {
        let name = file.strip_prefix(source.path()).unwrap();
        let bytes = fs::read(&file).unwrap();
        if bytes.is_empty() || name.to_string_lossy().contains("LOG") {
            continue;
        }
        for place in 0..PLACES {
            let mut damaged = bytes.clone();
            let at = rng.random_range(0..bytes.len());
            if place % 5 == 4 {
                damaged.truncate(at);
            } else {
                damaged[at] ^= 1 << rng.random_range(0..8);
            }
            let dir = tempdir().unwrap();
            copy_dir(source.path(), dir.path()).unwrap();
            fs::write(dir.path().join(name), &damaged).unwrap();
            tried += 1;
            match answers(dir.path(), position) {
                // What a cut manifest leaves is what an earlier flush had made durable.
                Ok(None) => {
                    assert!(name.to_string_lossy().contains("MANIFEST"), "seed {seed}: {}", name.display());
                    noticed += 1;
                }
                Ok(found) => assert_eq!(found, right, "seed {seed}: {} damaged at {at}", name.display()),
                Err(error) => {
                    assert!(error.is_fatal(), "seed {seed}: {} damaged at {at}: {error}", name.display());
                    noticed += 1;
                }
            }
        }
    }
    println!("{noticed} of {tried} noticed");
    assert!(noticed * 2 > tried, "only {noticed} of {tried} noticed");
}

/// RocksDB's reader loops for ever on a record of a recycled file behind other records.
#[test]
fn every_flipped_type_of_a_record_in_the_manifest_is_noticed() {
    let dir = tempdir().unwrap();
    drop(open(dir.path()));
    let manifest = files(dir.path()).into_iter().find(|path| path.to_string_lossy().contains("MANIFEST")).unwrap();
    let good = fs::read(&manifest).unwrap();
    let (mut at, mut records) = (0, 0);
    while let Some(header) = good.get(at..at + 7) {
        for bit in 0..8 {
            let mut flipped = good.clone();
            flipped[at + 6] ^= 1 << bit;
            fs::write(&manifest, &flipped).unwrap();
            let error = DataGroup::open(dir.path(), options()).err();
            assert!(error.is_some_and(|error| error.is_fatal()), "record at {at}, bit {bit}");
        }
        at += 7 + usize::from(u16::from_le_bytes([header[4], header[5]]));
        records += 1;
    }
    assert!(records > 3, "{records} records");
    fs::write(&manifest, good).unwrap();
    DataGroup::open(dir.path(), options()).unwrap();
}

#[test]
fn a_missing_generation_is_not_taken_for_an_empty_group() {
    let dir = tempdir().unwrap();
    fill(&open(dir.path()));
    fs::remove_dir_all(dir.path().join("gen-1")).unwrap();
    let error = DataGroup::open(dir.path(), options()).err().expect("the generation is gone");
    assert!(error.is_fatal(), "{error}");
}

#[test]
fn a_group_does_not_open_another_groups_data() {
    let dir = tempdir().unwrap();
    drop(open(dir.path()));
    let other = azimuth_engine::ids::GroupId(2);
    let error = DataGroup::open(dir.path(), azimuth_engine::data::GroupOptions { group: other, ..options() });
    assert!(error.err().expect("it holds group 1").is_fatal());
}
