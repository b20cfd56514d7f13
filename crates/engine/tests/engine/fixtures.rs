//! Files written by earlier versions, which every later one must open and read alike.
//!
//! `AZIMUTH_WRITE_FIXTURES=1` writes the present version's (to `tests/fixtures/`); only ever to add a new version, never to
//! make an old one pass.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use azimuth_engine::Result;
use azimuth_engine::command::{Command, NewShard, Patch, ShardChange};
use azimuth_engine::data::DataGroup;
use azimuth_engine::ids::{CollectionId, GroupId, ShardId, VectorId};
use azimuth_engine::meta::MetaGroup;
use azimuth_engine::object::{Beacon, Date, Geo, Object, Phone, Value, Vector};
use azimuth_engine::query::{
    Charge, Filter, FilterValue, IdSet, Include, Operator, Path as FilterPath, Projection, Query, Rank, ShardAnswer,
    ShardRead, Sort, Subject,
};
use azimuth_engine::replica::{Entry, EntryBody, LogPosition, StateMachine};
use azimuth_engine::schema::{Collection, DataType, Primitive, Shard, TenantStatus, VectorConfig};
use tempfile::tempdir;

use crate::support::{
    VECTOR, apply, at, collection, copy_dir, id, object, one, open, options, property, put, text, vector_config, work,
};

fn schema() -> Collection {
    let mut untokenized = property("tags", DataType::list(Primitive::Text));
    untokenized.searchable = false;
    let properties = vec![
        one("title", Primitive::Text),
        untokenized,
        one("pages", Primitive::Int),
        one("price", Primitive::Number),
        one("sold", Primitive::Boolean),
        one("printed", Primitive::Date),
        one("serial", Primitive::Uuid),
        one("place", Primitive::GeoCoordinates),
        one("phone", Primitive::PhoneNumber),
        one("cover", Primitive::Blob),
        property("sizes", DataType::list(Primitive::Int)),
        property("maker", DataType::Object { list: false }),
        property("next", DataType::Reference(vec!["Book".into()])),
    ];
    let mut made = collection(1, "Book", properties);
    let named = VectorConfig { id: VectorId(1), multi: true, ..vector_config() };
    let large = VectorConfig { id: VectorId(2), ..vector_config() };
    made.vectors.named = BTreeMap::from([("late".to_owned(), named), ("large".to_owned(), large)]);
    made
}

fn everything(n: u64) -> Object {
    let small = i64::try_from(n).unwrap();
    let phone = Phone {
        input: "0171 1234567".into(),
        default_country: "DE".into(),
        international_formatted: "+49 171 1234567".into(),
        national_formatted: "0171 1234567".into(),
        national: 1_711_234_567,
        country_code: 49,
        valid: true,
    };
    let maker = BTreeMap::from([
        ("name".to_owned(), text("Acme")),
        ("gone".to_owned(), Value::Null),
        ("parts".to_owned(), Value::List(vec![Value::Object(BTreeMap::from([("n".to_owned(), Value::Number(0.5))]))])),
    ]);
    let beacons =
        vec![Beacon { collection: Some("Book".into()), id: id(n + 1) }, Beacon { collection: None, id: id(n + 2) }];
    let printed = Date { unix_s: 951_827_696 + small, nanos: 100_000_000, offset_s: 5_400 };
    let place = Geo { latitude: 53.55, longitude: 9.99 + f32::from(u8::try_from(n).unwrap()) };
    let mut made = object(
        n,
        &[
            ("title", text(&format!("The old man and the sea {n} ÄÖ"))),
            ("tags", Value::List(vec![text("red lamp"), text(&format!("tag {}", n % 3))])),
            ("pages", Value::Int(small - 3)),
            ("price", Value::Number(-0.25 * f64::from(u32::try_from(n).unwrap()))),
            ("sold", Value::Bool(n.is_multiple_of(2))),
            ("printed", Value::Date(printed)),
            ("serial", Value::Uuid(id(n + 1_000))),
            ("place", Value::Geo(place)),
            ("phone", Value::Phone(Box::new(phone))),
            ("cover", Value::Blob("aGVsbG8=".into())),
            ("sizes", Value::List(vec![Value::Int(1), Value::Int(small)])),
            ("maker", Value::Object(maker)),
            ("next", Value::References(beacons)),
        ],
        Some(&[1.0, n as f32, -0.5]),
    );
    let rows = vec![0.5, 1.0, -1.0, n as f32];
    made.vectors.insert(VectorId(1), Vector::Multi { dim: 2, rows });
    if n.is_multiple_of(10) {
        // Large enough to lie in a blob file.
        made.vectors.insert(VectorId(2), Vector::Single(vec![0.5 + n as f32; 300]));
    }
    made
}

/// Fills a group with one of everything that has a form on disk.
pub(crate) fn fill(group: &DataGroup) {
    let book = collection(2, "Gone", vec![one("title", Primitive::Text)]);
    apply(group, vec![Command::PutCollection(Box::new(schema())), Command::PutCollection(Box::new(book))]);
    apply(group, (0..20).map(|n| put(at(1), everything(n))).collect());
    apply(group, vec![put(at(2), object(1, &[("title", text("gone"))], None))]);
    for n in 20..24 {
        apply(group, vec![put(at(1), everything(n))]);
    }
    let patch = Patch { remove: vec!["price".into()], ..Patch::default() };
    apply(
        group,
        vec![
            Command::Delete { at: at(1), id: id(3) },
            Command::Merge { at: at(1), id: id(4), patch: Box::new(patch), updated_ms: 9_000 },
            Command::DropCollection(CollectionId(2)),
        ],
    );
    let position = LogPosition { term: 2, node: 9, index: 100 };
    let members = Entry { position, body: EntryBody::Membership(b"members".to_vec()) };
    group.apply(vec![members]).unwrap();
    work(group);
    apply(group, (30..40).map(|n| put(at(1), everything(n))).collect());
    apply(group, (40..43).map(|n| put(at(1), everything(n))).collect());
}

/// All that can be read, as text.
pub(crate) fn read_everything(group: &DataGroup) -> Result<String> {
    let mut out = String::new();
    let leaf = |name: &str, operator, value| Filter::Compare {
        path: FilterPath { through: Vec::new(), subject: Subject::Property(name.into()) },
        operator,
        value,
    };
    let filters = [
        None,
        Some(leaf("title", Operator::Equal, FilterValue::Text("sea".into()))),
        Some(leaf("title", Operator::Like, FilterValue::Text("1*".into()))),
        Some(leaf("tags", Operator::Equal, FilterValue::Text("tag 1".into()))),
        Some(leaf("pages", Operator::LessThan, FilterValue::Int(5))),
        Some(leaf("price", Operator::GreaterThanEqual, FilterValue::Number(-2.0))),
        Some(leaf("sold", Operator::NotEqual, FilterValue::Bool(true))),
        Some(leaf("serial", Operator::Equal, FilterValue::Uuid(id(1_007)))),
        Some(leaf("sizes", Operator::Equal, FilterValue::Int(1))),
        Some(leaf("price", Operator::IsNull, FilterValue::Bool(true))),
        Some(leaf(
            "place",
            Operator::WithinGeoRange,
            FilterValue::GeoRange { center: Geo { latitude: 53.55, longitude: 12.0 }, max_distance_m: 300_000.0 },
        )),
    ];
    let include =
        Include { properties: Projection::All, vectors: vec![VECTOR, VectorId(1), VectorId(2)], ..Include::default() };
    for filter in filters {
        let rank = Rank::Listing { after: None };
        let sort = vec![Sort { property: "pages".into(), descending: true }];
        let query = Query { rank, filter, offset: 0, limit: 1_000, sort, include: include.clone() };
        let hits = group.search(at(1), &query)?;
        let ids: Vec<u64> = hits.iter().map(|hit| hit.object.id.as_u64_pair().1).collect();
        writeln!(out, "{ids:?}").expect("writing to memory");
        for hit in hits.iter().filter(|_| query.filter.is_none()) {
            let mut expected = everything(hit.object.id.as_u64_pair().1);
            if hit.object.id == id(4) {
                expected.properties.remove("price");
                expected.updated_ms = 9_000;
            }
            assert_eq!(hit.object, expected);
        }
    }
    writeln!(out, "{:?}", group.applied()?).expect("writing to memory");
    Ok(out)
}

/// Directories of a data group, as each version that changed a format wrote them.
const DATA: [&str; 2] = ["data-v1", "data-v2"];

pub(crate) fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn without_shards(collection: Collection) -> Box<Collection> {
    Box::new(Collection { listed: None, listed_next: None, ..collection })
}

fn fill_meta(group: &MetaGroup) {
    let new = |name: &str, status| NewShard { name: name.into(), group: GroupId::FIRST_DATA, status };
    let shards = vec![new("s0", TenantStatus::Hot)];
    let (first, second) = (without_shards(schema()), without_shards(collection(0, "Gone", Vec::new())));
    let third = without_shards(collection(0, "Third", Vec::new()));
    let tenants = vec![new("a", TenantStatus::Hot), new("b", TenantStatus::Cold), new("c", TenantStatus::Frozen)];
    let change = ShardChange { name: "c".into(), expected: None, status: None, read_only: Some(true) };
    let commands = vec![
        Command::CreateSharded { collection: first, shards: shards.clone() },
        Command::CreateSharded { collection: second, shards },
        Command::DeleteCollection(CollectionId(2)),
        Command::CreateSharded { collection: third, shards: Vec::new() },
        Command::CreateShards { collection: CollectionId(3), shards: tenants },
        Command::UpdateShards { collection: CollectionId(3), changes: vec![change] },
        Command::DropShards { collection: CollectionId(3), names: vec!["a".into()] },
    ];
    group.apply(vec![crate::support::entry(1, commands)]).unwrap();
}

fn meta_summary(group: &MetaGroup) -> String {
    let names: Vec<_> = group.catalog().collections().iter().map(|c| (c.id, c.version, c.name.clone())).collect();
    format!("{names:?}\n{:?}\n", group.applied().unwrap())
}

/// Shards with their names and statuses, by collection.
fn meta_shards(group: &MetaGroup) -> Vec<(u32, Vec<Shard>)> {
    let catalog = group.catalog();
    let shards = |id| catalog.shards(id).iter_by_id().map(|shard| Shard::clone(shard)).collect();
    catalog.collections().iter().map(|collection| (collection.id.0, shards(collection.id))).collect()
}

fn shard(id: u32, name: &str, status: TenantStatus, version: u64) -> Shard {
    Shard { id: ShardId(id), name: name.into(), group: GroupId::FIRST_DATA, status, read_only: false, version }
}

/// Shards of [`fill_shards`] and the first one of collection 1.
fn data_shards() -> Vec<Shard> {
    let first = shard(0, "s0", TenantStatus::Hot, 1);
    vec![first, shard(1, "cold", TenantStatus::Cold, 3), shard(4, "late", TenantStatus::Frozen, 1)]
}

/// Adds shards to what [`fill`] wrote: one that changed, one that was dropped, and one before which an id is missing.
fn fill_shards(group: &DataGroup) {
    let shards = data_shards().into_iter().chain([shard(2, "gone", TenantStatus::Hot, 1)]).collect();
    let next = group.applied().unwrap().position.unwrap().index + 1;
    let commands = vec![
        Command::PutShards { collection: CollectionId(1), shards },
        Command::DropShard(CollectionId(1), ShardId(2)),
    ];
    group.apply(vec![crate::support::entry(next, commands)]).unwrap();
}

/// Copies the directory of a group that was closed, without files that RocksDB does not need.
pub(crate) fn write_fixture(name: &str, from: &Path) {
    let to = fixtures().join(name);
    fs::remove_dir_all(&to).ok();
    copy_dir(from, &to).unwrap();
    for entry in fs::read_dir(to.join("gen-1")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if ["LOG", "LOCK", "OPTIONS", "IDENTITY", ".log"].iter().any(|part| name.contains(part)) {
            fs::remove_file(path).unwrap();
        }
    }
}

fn write_fixtures() {
    let (data, meta) = (tempdir().unwrap(), tempdir().unwrap());
    let group = open(data.path());
    fill(&group);
    fill_shards(&group);
    group.flush().unwrap();
    let data_summary = read_everything(&group).unwrap();
    drop(group);
    let group = MetaGroup::open(meta.path(), GroupId::META, &options().storage).unwrap().0;
    fill_meta(&group);
    group.flush().unwrap();
    let written = [(DATA[DATA.len() - 1], data.path(), data_summary), ("meta-v2", meta.path(), meta_summary(&group))];
    drop(group);
    for (name, from, summary) in written {
        write_fixture(name, from);
        fs::write(fixtures().join(format!("{name}.txt")), summary).unwrap();
    }
}

#[test]
fn what_earlier_versions_wrote_is_read_alike() {
    if std::env::var("AZIMUTH_WRITE_FIXTURES").is_ok() {
        write_fixtures();
    }
    DATA.iter().for_each(|name| data_is_read_alike(name));
    let dir = tempdir().unwrap();
    copy_dir(&fixtures().join("meta-v1"), dir.path()).unwrap();
    let expected = fs::read_to_string(fixtures().join("meta-v1.txt")).unwrap();
    let group = MetaGroup::open(dir.path(), GroupId::META, &options().storage).unwrap().0;
    assert_eq!(meta_summary(&group), expected);
    let first = vec![shard(0, "s0", TenantStatus::Hot, 1)];
    assert_eq!(meta_shards(&group), [(1, first.clone()), (3, first)]);
    meta_records_are_read_alike();
}

/// A meta group with records of shards.
fn meta_records_are_read_alike() {
    let dir = tempdir().unwrap();
    copy_dir(&fixtures().join("meta-v2"), dir.path()).unwrap();
    let group = MetaGroup::open(dir.path(), GroupId::META, &options().storage).unwrap().0;
    assert_eq!(meta_summary(&group), fs::read_to_string(fixtures().join("meta-v2.txt")).unwrap());
    let third =
        vec![shard(1, "b", TenantStatus::Cold, 1), Shard { read_only: true, ..shard(2, "c", TenantStatus::Frozen, 2) }];
    assert_eq!(meta_shards(&group), [(1, vec![shard(0, "s0", TenantStatus::Hot, 1)]), (3, third)]);
}

fn data_is_read_alike(name: &str) {
    let dir = tempdir().unwrap();
    copy_dir(&fixtures().join(name), dir.path()).unwrap();
    let expected = fs::read_to_string(fixtures().join(format!("{name}.txt"))).unwrap();
    let group = open(dir.path());
    assert_eq!(read_everything(&group).unwrap(), expected);
    // The schema of the first version lists the shard.
    let shards = group.shards(CollectionId(1));
    let count = if name == DATA[1] { 3 } else { 1 };
    assert!(shards.iter_by_id().map(Arc::as_ref).eq(&data_shards()[..count]));
    assert_eq!(shards.missing().count(), usize::from(name == DATA[1]));
    // References of version 1 are indexed by the target's id alone: still found, and written anew by background work.
    let path = FilterPath { through: Vec::new(), subject: Subject::Property("pages".into()) };
    let of_pages = Filter::Compare { path, operator: Operator::Equal, value: FilterValue::Int(7) };
    let (filters, limit, charge) = (vec![of_pages], 10, Charge::default());
    let ids = match group.execute(ShardRead::Ids { at: at(1), filters, limit, charge }).unwrap() {
        ShardAnswer::Ids(mut of_filters) => IdSet::new(of_filters.remove(0).unwrap()),
        other => panic!("{other:?}"),
    };
    let refers = Filter::ReferenceIn { property: "next".into(), collection: "Book".into(), ids };
    assert_eq!(group.count(at(1), Some(&refers)).unwrap(), 2, "one names the collection, one does not");
    // It can be written on: background work and a further batch.
    work(&group);
    assert_eq!(read_everything(&group).unwrap(), expected);
    assert_eq!(group.count(at(1), Some(&refers)).unwrap(), 2);
    assert_eq!(group.audit_inverted(at(1)).unwrap(), Vec::<String>::new());
    let next = group.applied().unwrap().position.unwrap().index + 1;
    group.apply(vec![crate::support::entry(next, vec![Command::Delete { at: at(1), id: id(5) }])]).unwrap();
    assert!(!group.exists(at(1), id(5)).unwrap());
}

#[test]
fn a_checkpoint_is_the_group_at_its_position() {
    let dir = tempdir().unwrap();
    let group = open(dir.path());
    fill(&group);
    let (expected, hash) = (read_everything(&group).unwrap(), group.state_hash().unwrap());
    let target = tempdir().unwrap();
    let generation = target.path().join("gen-1");
    let applied = group.checkpoint(&generation).unwrap();
    assert_eq!(applied, group.applied().unwrap());
    assert_eq!(group.durable(), applied.position);
    apply(&group, vec![Command::Delete { at: at(1), id: id(5) }]);

    azimuth_engine::storage::Generations::new(target.path()).switch(1).unwrap();
    let copy = open(target.path());
    assert_eq!((read_everything(&copy).unwrap(), copy.state_hash().unwrap()), (expected, hash));
}
