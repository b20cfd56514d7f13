//! Objects whose rows cannot be decoded: each request has a defined answer, and the group goes on.

use std::path::Path;
use std::sync::Arc;

use azimuth_engine::Error;
use azimuth_engine::command::{Command, Outcome, Patch, PutMode};
use azimuth_engine::data::DataGroup;
use azimuth_engine::query::{Include, Near, Projection, Query, Rank, Sort};
use azimuth_engine::replica::StateMachine;
use azimuth_engine::schema::{Collection, Primitive};
use rocksdb::{BoundColumnFamily, DB, Options};
use tempfile::tempdir;

use crate::support::{VECTOR, apply, at, collection, id, object, one, open, put, text, work};

/// Ids of the hits of a query.
fn hits(group: &DataGroup, rank: Rank, sort: &[&str], limit: usize) -> Vec<u64> {
    let sort = sort.iter().map(|name| Sort { property: (*name).into(), descending: false }).collect();
    let include = Include { properties: Projection::All, vectors: Vec::new(), ..Include::default() };
    let query = Query { rank, filter: None, offset: 0, limit, sort, include };
    group.search(at(1), &query).unwrap().iter().map(|hit| hit.object.id.as_u64_pair().1).collect()
}

fn listing() -> Rank {
    Rank::Listing { after: None }
}

/// A group with ten objects. Those with an even number have a property that the schema does not have: their rows name
/// an unknown property id. No command makes such rows, so the schema's record is replaced in the closed store by the one of
/// another group.
fn open_with_unreadable(dir: &Path) -> Arc<DataGroup> {
    let whole = collection(1, "Thing", vec![one("t", Primitive::Text), one("gone", Primitive::Int)]);
    let mut less = Collection { version: 2, ..whole.clone() };
    less.properties.as_mut().unwrap().pop();
    let group = open(dir);
    apply(&group, vec![Command::PutCollection(Box::new(whole))]);
    let made = |n: u64| {
        let gone = n.is_multiple_of(2).then_some(("gone", azimuth_engine::object::Value::Int(1)));
        let properties: Vec<_> = [("t", text(&format!("word {n}")))].into_iter().chain(gone).collect();
        put(at(1), object(n, &properties, Some(&[n as f32, 1.0])))
    };
    apply(&group, (0..10).map(made).collect());
    group.flush().unwrap();
    drop(group);
    let donor = tempdir().unwrap();
    let group = open(donor.path());
    apply(&group, vec![Command::PutCollection(Box::new(less))]);
    group.flush().unwrap();
    drop(group);
    // Group, tag of a schema, collection: docs/formats.md.
    let key = [&1_u32.to_be_bytes()[..], &[4], &1_u32.to_be_bytes()].concat();
    let record = in_meta(donor.path(), |db, meta| db.get_cf(meta, &key).unwrap()).expect("the schema's record");
    in_meta(dir, |db, meta| db.put_cf(meta, &key, &record).unwrap());
    open(dir)
}

/// Runs `work` on the `meta` family of a group that is closed.
fn in_meta<T>(dir: &Path, work: impl FnOnce(&DB, &Arc<BoundColumnFamily<'_>>) -> T) -> T {
    let path = dir.join("gen-1");
    let names = DB::list_cf(&Options::default(), &path).unwrap();
    let db = DB::open_cf(&Options::default(), &path, names).unwrap();
    let meta = db.cf_handle("meta").unwrap();
    let result = work(&db, &meta);
    db.flush_cf(&meta).unwrap();
    result
}

#[test]
fn every_request_has_an_answer() {
    let dir = tempdir().unwrap();
    let group = open_with_unreadable(dir.path());
    let include = Include { properties: Projection::All, vectors: vec![VECTOR], ..Include::default() };
    let error = group.get(at(1), id(2), &include).unwrap_err();
    assert!(matches!(error, Error::Unreadable(_)) && !error.is_fatal(), "{error}");
    assert!(group.exists(at(1), id(2)).unwrap());
    assert_eq!(group.get(at(1), id(3), &include).unwrap().unwrap().object.properties["t"], text("word 3"));
    let mut listed = hits(&group, listing(), &[], 5);
    listed.sort_unstable();
    assert_eq!(listed, [1, 3, 5, 7, 9], "pages are full");
    assert_eq!(hits(&group, listing(), &["t"], 3), [1, 3, 5]);
    let near = Rank::Near(Near::to(VECTOR, vec![4.0, 1.0], None));
    assert!(hits(&group, near, &[], 10).iter().all(|n| n % 2 == 1));
    assert_eq!(group.count(at(1), None).unwrap(), 10);
    assert_eq!(group.metrics().objects_unreadable, 5);

    let patch = Patch { set: [("t".to_owned(), text("new"))].into(), ..Patch::default() };
    let merge = |n: u64| Command::Merge { at: at(1), id: id(n), patch: Box::new(patch.clone()), updated_ms: 5 };
    let outcomes = apply(&group, vec![merge(2), merge(3)]);
    assert!(matches!(&outcomes[..], [Outcome::Refused(_), Outcome::Written { .. }]), "{outcomes:?}");
    group.flush().unwrap();
    let hash = group.state_hash().unwrap();
    drop(group);
    let group = open(dir.path());
    assert_eq!(group.state_hash().unwrap(), hash);

    let object = object(2, &[("t", text("healed"))], Some(&[0.0, 1.0]));
    let replace = Command::Put { at: at(1), mode: PutMode::Replace, object: Box::new(object) };
    let outcomes = apply(&group, vec![replace, Command::Delete { at: at(1), id: id(4) }, merge(2)]);
    assert!(matches!(
        &outcomes[..],
        [Outcome::Written { created_ms: 1_002, .. }, Outcome::Done, Outcome::Written { .. }]
    ));
    assert_eq!(group.get(at(1), id(2), &include).unwrap().unwrap().object.properties["t"], text("new"));
    assert!(group.get(at(1), id(4), &include).unwrap().is_none());
    assert_eq!(hits(&group, listing(), &[], 100).len(), 6);
    assert_eq!((group.count(at(1), None).unwrap(), group.metrics().objects_unreadable), (9, 3));
    work(&group);
}

#[test]
fn replicas_agree_about_them() {
    let (left, right) = (tempdir().unwrap(), tempdir().unwrap());
    let (a, b) = (open_with_unreadable(left.path()), open_with_unreadable(right.path()));
    // One of the groups has flushed and met the objects before, the other has not.
    a.flush().unwrap();
    assert_eq!(hits(&a, listing(), &[], 100).len(), 5);
    let patch = Patch { remove: vec!["t".into()], ..Patch::default() };
    let commands: Vec<_> = (0..6)
        .map(|n| Command::Merge { at: at(1), id: id(n), patch: Box::new(patch.clone()), updated_ms: 6 })
        .chain([Command::Delete { at: at(1), id: id(8) }, put(at(1), object(0, &[("t", text("x"))], None))])
        .collect();
    assert_eq!(apply(&a, commands.clone()), apply(&b, commands));
    assert_eq!(a.state_hash().unwrap(), b.state_hash().unwrap());
}
