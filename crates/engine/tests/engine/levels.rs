//! Feature levels in the state of a group: raised by the log, stored, copied by checkpoints, refused if too high.

use std::path::Path;

use azimuth_engine::Error;
use azimuth_engine::command::{Command, Outcome};
use azimuth_engine::ids::GroupId;
use azimuth_engine::level::FeatureLevel;
use azimuth_engine::meta::MetaGroup;
use azimuth_engine::replica::{LogPosition, StateMachine};
use tempfile::tempdir;

use crate::fixtures::{fixtures, write_fixture};
use crate::support::{apply, copy_dir, entry, open, options};

const LATER: FeatureLevel = FeatureLevel::new(FeatureLevel::SUPPORTED.number() + 1);

fn newer() -> Error {
    Error::NewerLevel { level: LATER.number(), supported: FeatureLevel::SUPPORTED.number() }
}

/// Writes the record of the level into a group that is closed, or into a checkpoint.
fn set_level(rocksdb: &Path, group: GroupId, level: FeatureLevel) {
    let families = ["obj", "ids", "vec", "inv", "meta"];
    let db = rocksdb::DB::open_cf(&rocksdb::Options::default(), rocksdb, families).unwrap();
    let meta = &db.cf_handle("meta").unwrap();
    let key = [&group.0.to_be_bytes()[..], &[14]].concat();
    let record = [vec![1], postcard::to_stdvec(&level.number()).unwrap()].concat();
    db.put_cf(meta, key, record).unwrap();
    db.flush_cf(meta).unwrap();
}

#[test]
fn directories_without_a_level_have_the_initial_one_and_are_raised() {
    for name in ["data-v1", "data-v2"] {
        let dir = tempdir().unwrap();
        copy_dir(&fixtures().join(name), dir.path()).unwrap();
        let group = open(dir.path());
        assert_eq!(group.level(), FeatureLevel::INITIAL);
        let before = group.state_hash().unwrap();
        let raise = || Command::RaiseLevel(FeatureLevel::SUPPORTED);
        assert_eq!(apply(&group, vec![raise(), raise()]), [Outcome::Done, Outcome::Done]);
        assert_eq!(group.level(), FeatureLevel::SUPPORTED);
        let raised = group.state_hash().unwrap();
        assert_ne!(raised, before, "replicas of different levels are not equal");
        // A lower level changes nothing.
        assert_eq!(apply(&group, vec![Command::RaiseLevel(FeatureLevel::INITIAL)]), [Outcome::Done]);
        group.flush().unwrap();
        drop(group);
        let group = open(dir.path());
        assert_eq!((group.level(), group.state_hash().unwrap()), (FeatureLevel::SUPPORTED, raised));
    }
}

/// A meta group at level 1, as the first version with levels wrote it.
#[test]
fn a_stored_level_is_read() {
    if std::env::var("AZIMUTH_WRITE_FIXTURES").is_ok() {
        let dir = tempdir().unwrap();
        let group = MetaGroup::open(dir.path(), GroupId::META, &options().storage).unwrap().0;
        group.apply(vec![entry(1, vec![Command::RaiseLevel(FeatureLevel::new(1))])]).unwrap();
        group.flush().unwrap();
        drop(group);
        write_fixture("level-1", dir.path());
    }
    let dir = tempdir().unwrap();
    copy_dir(&fixtures().join("level-1"), dir.path()).unwrap();
    let group = MetaGroup::open(dir.path(), GroupId::META, &options().storage).unwrap().0;
    assert_eq!((group.level(), group.catalog().len()), (FeatureLevel::new(1), 0));
}

#[test]
fn a_level_that_is_too_high_is_refused_at_open_and_in_checkpoints() {
    let dir = tempdir().unwrap();
    let group = open(dir.path());
    apply(&group, vec![Command::RaiseLevel(FeatureLevel::SUPPORTED)]);
    let copies = tempdir().unwrap();
    let copy = copies.path().join("state");
    let position = group.checkpoint(&copy).unwrap().position.unwrap();
    assert_eq!(group.inspect(&copy).unwrap().position, Some(position));
    set_level(&copy, GroupId::FIRST_DATA, LATER);
    assert_eq!(group.inspect(&copy).unwrap_err(), newer());
    assert_eq!(group.install(&copy, position).err(), Some(newer()));
    assert_eq!(group.level(), FeatureLevel::SUPPORTED, "the state stays");
    group.flush().unwrap();
    drop(group);
    set_level(&dir.path().join("gen-1"), GroupId::FIRST_DATA, LATER);
    let error = azimuth_engine::data::DataGroup::open(dir.path(), options()).err().unwrap();
    assert_eq!(error, newer());
    assert!(error.is_fatal() && error.to_string().contains(&format!("has feature level {LATER}")), "{error}");
    set_level(&dir.path().join("gen-1"), GroupId::FIRST_DATA, FeatureLevel::SUPPORTED);
    assert_eq!(open(dir.path()).level(), FeatureLevel::SUPPORTED);

    let dir = tempdir().unwrap();
    drop(MetaGroup::open(dir.path(), GroupId::META, &options().storage).unwrap());
    set_level(&dir.path().join("gen-1"), GroupId::META, LATER);
    assert_eq!(MetaGroup::open(dir.path(), GroupId::META, &options().storage).err(), Some(newer()));
}

/// Refusing the command would be an outcome that the members which support the level do not have.
#[test]
fn an_entry_that_raises_too_high_is_fatal_and_not_contained() {
    let dir = tempdir().unwrap();
    let group = open(dir.path());
    apply(&group, vec![Command::RaiseLevel(FeatureLevel::SUPPORTED)]);
    let position = |group: &azimuth_engine::data::DataGroup| group.applied().unwrap().position;
    let before: Option<LogPosition> = position(&group);
    let raise = entry(2, vec![Command::RaiseLevel(LATER)]);
    let failed = group.apply_contained(vec![raise.clone()], &|_| Ok(raise.clone()));
    assert_eq!(failed.unwrap_err(), newer());
    assert_eq!((position(&group), group.level()), (before, FeatureLevel::SUPPORTED));
}
