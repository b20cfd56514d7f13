//! Shards as records: creation, changes and drops in the meta group, their records in a data group, and old directories.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use azimuth_engine::command::{Command, NewShard, Outcome, ShardChange};
use azimuth_engine::data::DataGroup;
use azimuth_engine::ids::{CollectionId, GroupId, ShardId, ShardKey};
use azimuth_engine::limits::{SHARD_NAME_BYTES_MAX, SHARDS_AT_ONCE_MAX};
use azimuth_engine::meta::MetaGroup;
use azimuth_engine::query::{Filter, FilterValue, Operator, Path as FilterPath, Subject};
use azimuth_engine::replica::StateMachine;
use azimuth_engine::schema::{Collection, ListedShard, MultiTenancy, Primitive, Shard, TenantStatus};
use tempfile::{TempDir, tempdir};

use crate::support::{apply, collection, copy_as_killed, entry, object, one, open, options, put, text, work};

const FIRST: CollectionId = CollectionId(1);

fn open_meta(dir: &Path) -> Arc<MetaGroup> {
    MetaGroup::open(dir, GroupId::META, &options().storage).unwrap().0
}

fn apply_meta(group: &MetaGroup, command: Command) -> Outcome {
    let last = group.applied().unwrap().position.map_or(0, |position| position.index);
    group.apply(vec![entry(last + 1, vec![command])]).unwrap().remove(0).remove(0)
}

/// A schema without shards.
fn schema(id: u32, name: &str) -> Collection {
    Collection { listed: None, listed_next: None, ..collection(id, name, vec![one("title", Primitive::Text)]) }
}

fn new(name: &str) -> NewShard {
    NewShard { name: name.into(), group: GroupId::FIRST_DATA, status: TenantStatus::Hot }
}

fn create(group: &MetaGroup, names: &[&str]) -> Outcome {
    let shards = names.iter().map(|name| new(name)).collect();
    apply_meta(group, Command::CreateShards { collection: FIRST, shards })
}

fn change(name: &str, expected: Option<TenantStatus>, status: TenantStatus) -> ShardChange {
    ShardChange { name: name.into(), expected, status: Some(status), read_only: None }
}

fn update(group: &MetaGroup, changes: Vec<ShardChange>) -> Outcome {
    apply_meta(group, Command::UpdateShards { collection: FIRST, changes })
}

/// Ids, names, statuses and versions.
fn shards(outcome: Outcome) -> Vec<(u32, String, TenantStatus, u64)> {
    let Outcome::Shards(shards) = outcome else { panic!("{outcome:?}") };
    shards.into_iter().map(|shard| (shard.id.0, shard.name, shard.status, shard.version)).collect()
}

fn ids(outcome: Outcome) -> Vec<u32> {
    shards(outcome).into_iter().map(|(id, ..)| id).collect()
}

fn with_collection() -> (TempDir, Arc<MetaGroup>) {
    let dir = tempdir().unwrap();
    let group = open_meta(dir.path());
    let created = Command::CreateSharded { collection: Box::new(schema(0, "Book")), shards: vec![new("b"), new("a")] };
    let Outcome::Created { collection, shards } = apply_meta(&group, created) else { panic!("not created") };
    assert_eq!((collection.id, collection.version), (FIRST, 1));
    assert_eq!(shards.iter().map(|shard| (shard.id.0, shard.name.as_str())).collect::<Vec<_>>(), [(0, "b"), (1, "a")]);
    (dir, group)
}

fn shard(id: u32, name: &str, version: u64) -> Shard {
    let (group, status) = (GroupId::FIRST_DATA, TenantStatus::Hot);
    Shard { id: ShardId(id), name: name.into(), group, status, read_only: false, version }
}

fn at(shard: u32) -> ShardKey {
    ShardKey { collection: FIRST, shard: ShardId(shard) }
}

/// Records of a group's `meta` family with that tag.
fn rows(dir: &Path, group: GroupId, tag: u8) -> usize {
    let db = rocksdb::DB::open_cf_for_read_only(
        &rocksdb::Options::default(),
        dir.join("gen-1"),
        ["obj", "ids", "vec", "inv", "meta"],
        false,
    );
    let db = db.unwrap();
    let prefix = [&group.0.to_be_bytes()[..], &[tag]].concat();
    let family = &db.cf_handle("meta").unwrap();
    let from = rocksdb::IteratorMode::From(&prefix, rocksdb::Direction::Forward);
    db.iterator_cf(family, from).take_while(|row| row.as_ref().unwrap().0.starts_with(&prefix)).count()
}

#[test]
fn a_shard_that_exists_is_no_conflict_and_changes_are_conditional() {
    use TenantStatus::{Cold, Frozen, Hot};
    let (dir, group) = with_collection();
    assert_eq!(ids(create(&group, &["c", "a", "d", "c"])), [2, 1, 3, 2]);
    assert_eq!(ids(create(&group, &["d", "c"])), [3, 2], "a repetition");
    let outcome = update(&group, vec![change("c", None, Cold), change("d", Some(Cold), Hot)]);
    assert_eq!(shards(outcome), [(2, "c".into(), Cold, 2), (3, "d".into(), Hot, 1)]);
    let outcome = update(&group, vec![change("c", Some(Frozen), Hot), change("a", None, Hot)]);
    assert_eq!(shards(outcome), [(2, "c".into(), Cold, 2), (1, "a".into(), Hot, 1)], "nothing has changed");
    let hash = group.state_hash().unwrap();
    assert_eq!(update(&group, vec![change("c", None, Hot), change("none", None, Hot)]), Outcome::NotFound);
    assert_eq!(group.state_hash().unwrap(), hash, "all or none");

    let gone =
        |names: &[&str]| Command::DropShards { collection: FIRST, names: names.iter().map(|n| (*n).into()).collect() };
    assert_eq!(ids(apply_meta(&group, gone(&["d", "none", "a"]))), [3, 1]);
    assert_eq!(ids(apply_meta(&group, gone(&["d", "a"]))), [0; 0], "a repetition");
    assert_eq!(ids(create(&group, &["d"])), [4], "ids are not given again");
    let names = |group: &MetaGroup| -> Vec<(u32, String)> {
        group.catalog().shards(FIRST).iter().map(|shard| (shard.id.0, shard.name.clone())).collect()
    };
    let wanted = [(0, "b".to_owned()), (2, "c".to_owned()), (4, "d".to_owned())];
    assert_eq!(names(&group), wanted);
    let hash = group.state_hash().unwrap();
    group.flush().unwrap();
    assert_eq!((rows(dir.path(), GroupId::META, 12), rows(dir.path(), GroupId::META, 13)), (3, 1));
    drop(group);
    let group = open_meta(dir.path());
    assert_eq!((names(&group).as_slice(), group.state_hash().unwrap()), (wanted.as_slice(), hash));

    assert_eq!(apply_meta(&group, Command::DeleteCollection(FIRST)), Outcome::Done);
    assert_eq!(create(&group, &["e"]), Outcome::NotFound);
    group.flush().unwrap();
    assert_eq!((rows(dir.path(), GroupId::META, 12), rows(dir.path(), GroupId::META, 13)), (0, 0));
}

#[test]
fn limits_are_refused_and_change_nothing() {
    let (_dir, group) = with_collection();
    let hash = group.state_hash().unwrap();
    let refused = |outcome: Outcome, part: &str| match outcome {
        Outcome::Refused(why) => assert!(why.contains(part), "{why}"),
        other => panic!("{other:?}"),
    };
    refused(create(&group, &["c", &"x".repeat(SHARD_NAME_BYTES_MAX + 1)]), "256 bytes, 1 to 255 are possible");
    refused(create(&group, &[""]), "0 bytes");
    let many = vec!["c"; SHARDS_AT_ONCE_MAX + 1];
    refused(create(&group, &many), "names 10001 shards, 10000 are possible");
    let shards = vec![new("")];
    let created = Command::CreateSharded { collection: Box::new(schema(0, "Other")), shards };
    refused(apply_meta(&group, created), "0 bytes");
    assert_eq!(group.state_hash().unwrap(), hash);

    // The last id, as a schema of version 1 brings it.
    let last = ListedShard { id: ShardId(u32::MAX - 1), status: TenantStatus::Hot, read_only: false };
    let listed = Some([("last".to_owned(), last)].into());
    let old = Collection { listed, listed_next: Some(u32::MAX), ..schema(0, "Full") };
    assert!(matches!(apply_meta(&group, Command::CreateCollection(Box::new(old))), Outcome::Collection(_)));
    let shards = vec![new("one more")];
    let more = Command::CreateShards { collection: CollectionId(2), shards };
    refused(apply_meta(&group, more), "the ids of the collection's shards are used up");
}

#[test]
fn a_dropped_shard_leaves_nothing_but_its_id() {
    let dir = tempdir().unwrap();
    let group = open(dir.path());
    let names = ["a", "b", "c"];
    let put_shards = |version| {
        let shards = (0..).zip(names).map(|(id, name)| shard(id, name, version)).collect();
        Command::PutShards { collection: FIRST, shards }
    };
    assert_eq!(apply(&group, vec![put_shards(1)]), [Outcome::NotFound]);
    apply(&group, vec![Command::PutCollection(Box::new(schema(1, "Book"))), put_shards(1)]);
    let write = |n: u64, shard: u32| put(at(shard), object(n, &[("title", text("x"))], Some(&[1.0, n as f32])));
    for n in 0..20 {
        apply(&group, vec![write(n, 0), write(n, 1), write(n, 2)]);
    }
    work(&group);
    group.save_indexes().unwrap();
    group.flush().unwrap();
    let held = group.shards(FIRST);
    assert_eq!(apply(&group, vec![Command::DropShard(FIRST, ShardId(1)), write(99, 1)])[1], Outcome::NotFound);
    assert!(!group.knows(at(1)) && group.count(at(1), None).is_err());
    assert!(held.by_id(ShardId(1)).is_some(), "an older copy stays as it was");
    assert_eq!(apply(&group, vec![put_shards(7), write(99, 1)]), [Outcome::Done, Outcome::NotFound]);

    // Killed before the purge, and after it.
    let before = copy_as_killed(dir.path());
    work(&group);
    group.flush().unwrap();
    let after = copy_as_killed(dir.path());
    for dir in [before.path(), after.path()] {
        let group = open(dir);
        let position = group.applied().unwrap().position.unwrap().index;
        // A state from before the drop applies the log again.
        if group.knows(at(1)) {
            let again = entry(position + 1_000, vec![Command::DropShard(FIRST, ShardId(1))]);
            group.apply(vec![again]).unwrap();
        }
        work(&group);
        assert_eq!((group.count(at(0), None).unwrap(), group.count(at(2), None).unwrap()), (20, 20));
        assert!(group.count(at(1), None).is_err());
        group.flush().unwrap();
        drop(group);
        // Records of two shards, one record of ids; marks of dropped and of purged data.
        assert_eq!([12, 13, 6, 7].map(|tag| rows(dir, GroupId::FIRST_DATA, tag)), [2, 1, 0, 0]);
        assert_eq!(rows(dir, GroupId::FIRST_DATA, 5), 2, "states of shards");
        let index = |name: fs::DirEntry| name.file_name().to_string_lossy().starts_with("c1-s1-");
        assert!(!fs::read_dir(dir.join("hnsw")).into_iter().flatten().flatten().any(index));
    }
}

/// The same log with schemas of version 1, applied to new groups, and a directory that an earlier version left.
#[test]
fn schemas_with_shards_inside_are_converted() {
    let listed = |id, status, read_only| ListedShard { id: ShardId(id), status, read_only };
    let old = |version, shards: Vec<(&str, ListedShard)>| {
        let listed_next = u32::try_from(shards.len()).ok();
        let listed = Some(shards.into_iter().map(|(name, shard)| (name.to_owned(), shard)).collect());
        // Of a collection without tenants only one shard would be kept.
        let multi_tenancy = MultiTenancy { enabled: true, ..MultiTenancy::default() };
        Box::new(Collection { version, listed, listed_next, multi_tenancy, ..schema(1, "Book") })
    };
    let one = || vec![("z", listed(0, TenantStatus::Hot, false))];
    let two = || vec![("z", listed(0, TenantStatus::Hot, true)), ("a", listed(1, TenantStatus::Cold, false))];
    let wanted = |version| {
        let first = Shard { read_only: true, ..shard(0, "z", version) };
        let second = Shard { status: TenantStatus::Cold, ..shard(1, "a", version) };
        [first, second]
    };

    let dir = tempdir().unwrap();
    let group = open_meta(dir.path());
    apply_meta(&group, Command::CreateCollection(old(0, one())));
    apply_meta(&group, Command::UpdateCollection { expected_version: 1, collection: old(1, two()) });
    let catalog = group.catalog();
    assert!(catalog.shards(FIRST).iter_by_id().map(Arc::as_ref).eq(wanted(2).iter()));
    assert!(catalog.get(FIRST).unwrap().listed.is_none());
    assert_eq!(ids(create(&group, &["m"])), [2]);

    let dir = tempdir().unwrap();
    let group = open(dir.path());
    let put = |version, shards| Command::PutCollection(old(version, shards));
    apply(&group, vec![put(1, one()), put(2, two()), Command::DropShard(FIRST, ShardId(0))]);
    apply(&group, vec![put(3, two()), put(2, one())]);
    assert!(group.shards(FIRST).iter_by_id().map(Arc::as_ref).eq(wanted(3).iter().skip(1)));
    let hash = group.state_hash().unwrap();
    group.flush().unwrap();
    drop(group);

    // The directory as an earlier version has it: the schema of version 1, a mark of the dropped shard, no other records.
    let group_id = GroupId::FIRST_DATA;
    let key = |tag: u8, rest: &[u32]| {
        let rest: Vec<u8> = rest.iter().flat_map(|word| word.to_be_bytes()).collect();
        [&group_id.0.to_be_bytes()[..], &[tag], &rest].concat()
    };
    {
        let families = ["obj", "ids", "vec", "inv", "meta"];
        let db = rocksdb::DB::open_cf(&rocksdb::Options::default(), dir.path().join("gen-1"), families).unwrap();
        let meta = &db.cf_handle("meta").unwrap();
        let encoded = postcard::to_stdvec(&Command::PutCollection(old(3, two()))).unwrap();
        // The variant, the length of the record, the record.
        let (_, schema): (u32, Vec<u8>) = postcard::from_bytes(&encoded).unwrap();
        assert_eq!(schema[0], 1);
        db.put_cf(meta, key(4, &[1]), schema).unwrap();
        db.put_cf(meta, key(6, &[1, 0]), [1]).unwrap();
        db.delete_cf(meta, key(12, &[1, 1])).unwrap();
        db.delete_cf(meta, key(13, &[1])).unwrap();
        db.flush_cf(meta).unwrap();
    }
    for _ in 0..2 {
        let group = open(dir.path());
        assert_eq!(group.state_hash().unwrap(), hash, "as if the log had been applied again");
        group.flush().unwrap();
        drop(group);
        assert_eq!([12, 13, 6].map(|tag| rows(dir.path(), group_id, tag)), [1, 1, 0]);
    }
}

fn with_x() -> Filter {
    let path = FilterPath { through: Vec::new(), subject: Subject::Property("title".into()) };
    Filter::Compare { path, operator: Operator::Equal, value: FilterValue::Text("x".into()) }
}

fn read_until_dropped(group: &DataGroup, at: ShardKey) {
    loop {
        match group.matching(at, &with_x(), 50) {
            Ok((found, total)) => assert_eq!((found.len(), total), (50, 50)),
            Err(azimuth_engine::Error::UnknownShard(_)) => return,
            Err(error) => panic!("{error}"),
        }
    }
}

/// Reads of a shard while it is dropped and its data is removed: each is whole or refused.
#[test]
fn reads_beside_a_drop_are_whole_or_refused() {
    let dir = tempdir().unwrap();
    let group = open(dir.path());
    apply(&group, vec![Command::PutCollection(Box::new(schema(1, "Book")))]);
    for round in 0..30 {
        let records = Command::PutShards { collection: FIRST, shards: vec![shard(round, &format!("s{round}"), 1)] };
        let write = |n: u64| put(at(round), object(n, &[("title", text("x"))], None));
        apply(&group, [records].into_iter().chain((0..50).map(write)).collect());
        group.flush().unwrap();
        std::thread::scope(|scope| {
            let readers: Vec<_> = (0..2).map(|_| scope.spawn(|| read_until_dropped(&group, at(round)))).collect();
            apply(&group, vec![Command::DropShard(FIRST, ShardId(round))]);
            work(&group);
            readers.into_iter().for_each(|reader| reader.join().unwrap());
        });
        work(&group);
    }
}
