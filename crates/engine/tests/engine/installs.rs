//! A checkpoint of another replica takes the place of a group's state.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use azimuth_engine::Error;
use azimuth_engine::command::Command;
use azimuth_engine::data::DataGroup;
use azimuth_engine::ids::GroupId;
use azimuth_engine::meta::MetaGroup;
use azimuth_engine::replica::{LogPosition, StateMachine};
use azimuth_engine::storage::Generations;
use tempfile::{TempDir, tempdir};

use crate::fixtures::{fill, read_everything};
use crate::support::{apply, at, collection, copy_dir, id, object, one, open, options, put, text, work};

/// A group with the fixtures' content, and a replica of it that has fallen behind.
fn replicas() -> ([TempDir; 2], Arc<DataGroup>, Arc<DataGroup>) {
    let dirs = [tempdir().unwrap(), tempdir().unwrap()];
    let group = open(dirs[0].path());
    fill(&group);
    group.flush().unwrap();
    copy_dir(dirs[0].path(), dirs[1].path()).unwrap();
    let behind = open(dirs[1].path());
    work(&behind);
    behind.save_indexes().unwrap();
    (dirs, group, behind)
}

/// Changes that the replica does not see: objects come, change and go, and so do collections.
fn go_on(group: &DataGroup) {
    let new = collection(9, "New", vec![one("title", azimuth_engine::schema::Primitive::Text)]);
    let objects = |range: std::ops::Range<u64>| range.map(|n| put(at(9), object(n, &[("title", text("new"))], None)));
    apply(group, [Command::PutCollection(Box::new(new))].into_iter().chain(objects(0..30)).collect());
    apply(group, (0..10).map(|n| Command::Delete { at: at(1), id: id(n) }).collect());
    work(group);
}

fn checkpoint(group: &DataGroup) -> (TempDir, std::path::PathBuf, LogPosition) {
    let dir = tempdir().unwrap();
    let path = dir.path().join("state");
    let position = group.checkpoint(&path).unwrap().position.unwrap();
    (dir, path, position)
}

fn generations(dir: &Path) -> Vec<u64> {
    Generations::new(dir).all().unwrap()
}

#[test]
fn the_new_state_is_the_other_replicas_and_readers_finish_on_the_old_one() {
    let (dirs, group, behind) = replicas();
    let dir = dirs[1].path();
    let old = (read_everything(&behind).unwrap(), behind.state_hash().unwrap());
    go_on(&group);
    let (_copy, path, position) = checkpoint(&group);
    assert_eq!(behind.inspect(&path).unwrap(), group.applied().unwrap());
    let files = |dir: &Path| fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>();
    let before = files(&path);

    let installed = behind.install(&path, position).unwrap();
    assert_eq!(files(&path), before, "the checkpoint stays what it is");
    assert_eq!(installed.applied().unwrap(), group.applied().unwrap());
    assert_eq!(installed.durable(), Some(position));
    let new = (read_everything(&group).unwrap(), group.state_hash().unwrap());
    assert_ne!(old, new);
    assert_eq!((read_everything(&installed).unwrap(), installed.state_hash().unwrap()), new);
    assert_eq!(installed.audit_inverted(at(1)).unwrap(), Vec::<String>::new());

    // The old state answers as before, and touches nothing that is the new one's.
    assert_eq!((read_everything(&behind).unwrap(), behind.state_hash().unwrap()), old);
    work(&behind);
    behind.save_indexes().unwrap();
    assert_eq!(generations(dir), [1, 2]);
    drop(behind);
    assert_eq!(generations(dir), [2]);

    // Both go on alike, and the new one comes back.
    for replica in [&group, &installed] {
        apply(replica, (50..60).map(|n| put(at(9), object(n, &[("title", text("later"))], None))).collect());
    }
    work(&installed);
    installed.save_indexes().unwrap();
    installed.flush().unwrap();
    let hash = group.state_hash().unwrap();
    assert_eq!(installed.state_hash().unwrap(), hash);
    drop(installed);
    let again = open(dir);
    assert_eq!((again.applied().unwrap(), again.state_hash().unwrap()), (group.applied().unwrap(), hash));
    assert_eq!(read_everything(&again).unwrap(), read_everything(&group).unwrap());

    // Once more: generations go on counting.
    go_on(&group);
    let (_copy, path, position) = checkpoint(&group);
    let next = again.install(&path, position).unwrap();
    drop(again);
    assert_eq!((generations(dir), next.state_hash().unwrap()), (vec![3], group.state_hash().unwrap()));
}

/// The other replica dropped a collection and has forgotten that it did: its index files here go with the old state.
#[test]
fn files_of_indexes_that_nobody_knows_any_more_are_removed() {
    let (dirs, group, behind) = replicas();
    let files = dirs[1].path().join("hnsw");
    let names = || fs::read_dir(&files).unwrap().count();
    assert!(names() > 0, "there are indexes with files");
    apply(&group, vec![Command::DropCollection(azimuth_engine::ids::CollectionId(1))]);
    work(&group);
    let (_copy, path, position) = checkpoint(&group);
    let installed = behind.install(&path, position).unwrap();
    work(&installed);
    assert_eq!((names(), installed.collections().len()), (0, 0));
}

#[test]
fn a_crash_on_the_way_leaves_the_old_or_the_new_state() {
    let (dirs, group, behind) = replicas();
    let (old, old_hash) = (behind.applied().unwrap(), behind.state_hash().unwrap());
    go_on(&group);
    let (_copy, path, position) = checkpoint(&group);

    // Before the pointer is replaced the files are there in part, or all of them.
    let crashed = tempdir().unwrap();
    for whole in [false, true] {
        copy_dir(dirs[1].path(), crashed.path()).unwrap();
        let beside = crashed.path().join("gen-2");
        copy_dir(&path, &beside).unwrap();
        if !whole {
            fs::remove_file(beside.join("CURRENT")).unwrap();
        }
        fs::write(crashed.path().join("CURRENT.new"), "azimuth-group 1 2 ").unwrap();
        let reopened = open(crashed.path());
        assert_eq!((reopened.applied().unwrap(), reopened.state_hash().unwrap()), (old.clone(), old_hash));
        assert_eq!(generations(crashed.path()), [1], "what a crash leaves is removed");
    }

    // After it the new state is there, even if the old generation was not removed.
    let installed = behind.install(&path, position).unwrap();
    let crashed = tempdir().unwrap();
    copy_dir(dirs[1].path(), crashed.path()).unwrap();
    assert_eq!(generations(crashed.path()), [1, 2]);
    let reopened = open(crashed.path());
    assert_eq!(reopened.applied().unwrap(), group.applied().unwrap());
    assert_eq!(reopened.state_hash().unwrap(), installed.state_hash().unwrap());
    assert_eq!(generations(crashed.path()), [2]);
}

#[test]
fn a_checkpoint_of_another_position_group_or_without_its_files_changes_nothing() {
    let (dirs, group, behind) = replicas();
    let hash = behind.state_hash().unwrap();
    go_on(&group);
    let (_copy, path, position) = checkpoint(&group);
    let other = LogPosition { index: position.index + 1, ..position };
    assert!(matches!(behind.install(&path, other), Err(Error::Damaged(_))));

    let meta_dir = tempdir().unwrap();
    let meta = MetaGroup::open(meta_dir.path(), GroupId::META, &options().storage).unwrap().0;
    assert!(matches!(meta.inspect(&path), Err(Error::Damaged(_))));
    assert!(matches!(meta.install(&path, position), Err(Error::Damaged(_))));

    for entry in fs::read_dir(&path).unwrap() {
        let name = entry.unwrap().file_name();
        let partial = tempdir().unwrap();
        copy_dir(&path, partial.path()).unwrap();
        fs::remove_file(partial.path().join(&name)).unwrap();
        let needed = name == "CURRENT"
            || name.to_string_lossy().starts_with("MANIFEST")
            || name.to_string_lossy().ends_with(".sst");
        assert_eq!(behind.inspect(partial.path()).is_err(), needed, "without {name:?}");
    }
    assert_eq!(behind.state_hash().unwrap(), hash);
    drop(behind);
    assert_eq!(open(dirs[1].path()).state_hash().unwrap(), hash);
}

#[test]
fn the_meta_group_takes_a_checkpoint_too() {
    let (one, two) = (tempdir().unwrap(), tempdir().unwrap());
    let open = |dir: &Path| MetaGroup::open(dir, GroupId::META, &options().storage).unwrap().0;
    let (group, behind) = (open(one.path()), open(two.path()));
    let create = |group: &MetaGroup, index: u64, name: &str| {
        let command = Command::CreateCollection(Box::new(collection(0, name, Vec::new())));
        group.apply(vec![crate::support::entry(index, vec![command])]).unwrap();
    };
    create(&group, 1, "First");
    create(&behind, 1, "First");
    create(&group, 2, "Second");
    let copy = tempdir().unwrap();
    let path = copy.path().join("state");
    let position = group.checkpoint(&path).unwrap().position.unwrap();
    let old = behind.catalog();
    let installed = behind.install(&path, position).unwrap();
    assert_eq!((old.len(), installed.catalog().len()), (1, 2));
    drop(behind);
    create(&group, 3, "Third");
    create(&installed, 3, "Third");
    installed.flush().unwrap();
    drop(installed);
    assert_eq!(open(two.path()).state_hash().unwrap(), group.state_hash().unwrap());
    assert_eq!(generations(two.path()), [2]);
}
