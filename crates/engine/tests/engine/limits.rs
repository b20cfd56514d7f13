//! At and beyond every limit: no decodable command makes an apply panic or fail, accepted objects and schemas read back
//! equal after a flush and a restart too, and replicas agree.
//!
//! Seeds are printed; `AZIMUTH_TEST_SEED=<n>` runs that one alone.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use azimuth_engine::command::{Command, Outcome, Patch};
use azimuth_engine::data::DataGroup;
use azimuth_engine::ids::{CollectionId, GroupId, ShardId, VectorId};
use azimuth_engine::level::FeatureLevel;
use azimuth_engine::limits::{DEPTH_MAX, STORED_DEPTH_MAX};
use azimuth_engine::meta::MetaGroup;
use azimuth_engine::object::{Beacon, Date, Geo, Object, Phone, Properties, Value, Vector, value_depth};
use azimuth_engine::query::{Include, Projection};
use azimuth_engine::replica::{Entry, StateMachine};
use azimuth_engine::schema::{Collection, DataType, Primitive, Property, VectorConfig};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tempfile::tempdir;

use crate::support::{
    VECTOR, apply, at, collection, copy_as_killed, entry, id, object, one, open, options, property, put, text,
    vector_config, work,
};

fn seeded() -> (u64, ChaCha8Rng) {
    let seed = std::env::var("AZIMUTH_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or_else(|| rand::rng().next_u64());
    println!("AZIMUTH_TEST_SEED={seed}");
    (seed, ChaCha8Rng::seed_from_u64(seed))
}

fn open_meta(dir: &Path) -> Arc<MetaGroup> {
    MetaGroup::open(dir, GroupId::META, &options().storage).expect("open the meta group").0
}

fn objects_of(count: usize) -> Property {
    let nested = (0..count).map(|n| one(&format!("n{n}"), Primitive::Int)).collect();
    Property { nested, ..property("o", DataType::Object { list: false }) }
}

fn unnumbered(name: &str, properties: Vec<Property>, named: usize) -> Collection {
    let mut made = collection(0, name, Vec::new());
    made.properties = Some(properties);
    made.vectors.named = (0..named).map(|n| (format!("v{n}"), vector_config())).collect();
    made
}

/// `levels` containers around a text, by turns of a list and an object, or of objects alone.
fn nested(levels: usize, lists: bool) -> Value {
    (0..levels).fold(text("x"), |value, level| match lists && level % 2 == 0 {
        true => Value::List(vec![value]),
        false => Value::Object([("a".to_owned(), value)].into()),
    })
}

#[test]
fn schemas_beyond_the_ids_are_refused_wherever_the_log_says_so() {
    let create = |collection| Command::CreateCollection(Box::new(collection));
    let entries = vec![
        entry(1, vec![create(unnumbered("Fine", vec![objects_of(10)], 2))]),
        entry(2, vec![create(unnumbered("Many", vec![objects_of(66_000)], 0)), create(unnumbered("Next", vec![], 0))]),
        entry(3, vec![create(unnumbered("Vectors", vec![], 66_000))]),
        entry(4, vec![create(unnumbered("Last", vec![objects_of(65_533)], 0))]),
    ];
    let dir = tempdir().unwrap();
    let group = open_meta(dir.path());
    let outcomes: Vec<_> =
        entries.iter().flat_map(|entry| group.apply(vec![entry.clone()]).unwrap().remove(0)).collect();
    let ids: Vec<_> = outcomes
        .iter()
        .map(|outcome| match outcome {
            Outcome::Collection(collection) => collection.id.0,
            Outcome::Refused(text) => {
                assert!(text.contains("65534"), "{text}");
                0
            }
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(ids, [1, 0, 2, 0, 3]);
    let hash = group.state_hash().unwrap();
    // A start repeats the log from the last flush on, in other batches: here first from its beginning, then from
    // nothing.
    let killed = copy_as_killed(dir.path());
    drop(group);
    let group = open_meta(killed.path());
    assert_eq!(group.applied().unwrap().position, None);
    assert_eq!(group.apply(entries).unwrap().concat(), outcomes);
    group.flush().unwrap();
    drop(group);
    let group = open_meta(killed.path());
    assert_eq!((group.state_hash().unwrap(), group.catalog().len()), (hash, 3));
    // A collection without an unused id can change in other ways, but cannot grow.
    let last = group.catalog().find("Last").unwrap().as_ref().clone();
    let mut changed = last.clone();
    changed.description = Some("changed".into());
    let update =
        |expected_version, collection| Command::UpdateCollection { expected_version, collection: Box::new(collection) };
    let mut grown = Collection { version: 2, ..changed.clone() };
    grown.properties.as_mut().unwrap().push(one("more", Primitive::Int));
    let outcomes = group.apply(vec![entry(9, vec![update(1, changed), update(2, grown)])]).unwrap().remove(0);
    assert!(matches!(outcomes[..], [Outcome::Collection(_), Outcome::Refused(_)]), "{outcomes:?}");
}

#[test]
fn schemas_that_would_not_read_back_are_refused() {
    let dir = tempdir().unwrap();
    let group = open(dir.path());
    let deep = |levels: usize| {
        let leaf = one("a", Primitive::Int);
        (0..levels)
            .fold(leaf, |inner, _| Property { nested: vec![inner], ..property("a", DataType::Object { list: true }) })
    };
    for (number, levels) in [15, 120, 250, 400, 600].into_iter().enumerate() {
        let number = u32::try_from(number).unwrap() + 1;
        let outcome =
            apply(&group, vec![Command::PutCollection(Box::new(collection(number, "Deep", vec![deep(levels)])))]);
        assert!(matches!(outcome[0], Outcome::Done | Outcome::Refused(_)), "{outcome:?}");
        // Requests could bring 250 levels before there was a limit.
        assert!(levels > 250 || outcome[0] == Outcome::Done, "{levels}: {outcome:?}");
    }
    let mut twice = collection(50, "Twice", vec![one("a", Primitive::Int), one("b", Primitive::Int)]);
    let first = twice.properties()[0].id;
    twice.properties.as_mut().unwrap()[1].id = first;
    assert!(matches!(apply(&group, vec![Command::PutCollection(Box::new(twice))])[0], Outcome::Refused(_)));
    let known = group.collections().len();
    group.flush().unwrap();
    drop(group);
    assert_eq!(open(dir.path()).collections().len(), known);
}

/// Version 1 wrote 32 lists of objects around a list (65 containers), and could not read them.
#[test]
fn the_deepest_objects_of_earlier_versions_read_back_and_can_be_changed() {
    let dir = tempdir().unwrap();
    let group = open(dir.path());
    apply(&group, vec![Command::PutCollection(Box::new(collection(1, "Deep", vec![one("t", Primitive::Text)])))]);
    let include = Include { properties: Projection::All, vectors: vec![VECTOR], ..Include::default() };
    let mut expected = BTreeMap::new();
    for (n, levels) in [0, DEPTH_MAX, 64, 65, 66, STORED_DEPTH_MAX].into_iter().enumerate() {
        let made = object(n as u64, &[("p", nested(levels, n % 2 == 0)), ("t", text("hello"))], Some(&[1.0, 2.0]));
        assert!(matches!(apply(&group, vec![put(at(1), made.clone())])[0], Outcome::Written { .. }), "{levels}");
        expected.insert(made.id, made);
    }
    for levels in [STORED_DEPTH_MAX + 1, STORED_DEPTH_MAX + 50] {
        let made = object(99, &[("p", nested(levels, true))], None);
        let merge = Patch { set: made.properties.clone(), ..Patch::default() };
        let merge = Command::Merge { at: at(1), id: id(1), patch: Box::new(merge), updated_ms: 7 };
        let outcomes = apply(&group, vec![put(at(1), made), merge]);
        assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Refused(_))), "{outcomes:?}");
    }
    let check = |group: &DataGroup, expected: &BTreeMap<_, Object>| {
        for (id, object) in expected {
            assert_eq!(group.get(at(1), *id, &include).unwrap().unwrap().object, *object);
        }
    };
    check(&group, &expected);
    group.flush().unwrap();
    drop(group);
    let group = open(dir.path());
    check(&group, &expected);
    let patch = Patch { set: [("t".to_owned(), text("new"))].into(), ..Patch::default() };
    for (id, object) in &mut expected {
        let merge = Command::Merge { at: at(1), id: *id, patch: Box::new(patch.clone()), updated_ms: 8 };
        assert!(matches!(apply(&group, vec![merge])[0], Outcome::Written { .. }));
        object.properties.insert("t".into(), text("new"));
        object.updated_ms = 8;
    }
    check(&group, &expected);
    group.flush().unwrap();
    drop(group);
    check(&open(dir.path()), &expected);
}

/// A value of any kind, at most `levels` deep.
fn any_value(rng: &mut ChaCha8Rng, levels: usize) -> Value {
    let kinds = if levels == 0 { 11 } else { 14 };
    match rng.random_range(0..kinds) {
        0 => Value::Null,
        1 => Value::Bool(rng.random()),
        2 => Value::Int(rng.random()),
        3 => Value::Number([0.0, -0.0, f64::MAX, f64::MIN_POSITIVE, 0.1][rng.random_range(0..5)]),
        4 => any_text(rng),
        5 => Value::Date(Date { unix_s: rng.random(), nanos: rng.random(), offset_s: rng.random() }),
        6 => Value::Uuid(id(rng.random())),
        7 => Value::Geo(Geo { latitude: rng.random_range(-1e9..1e9), longitude: -0.5 }),
        8 => Value::Blob("aGVsbG8=".into()),
        9 => Value::References((0..rng.random_range(0..4)).map(|_| any_beacon(rng)).collect()),
        10 => Value::Phone(Box::new(Phone {
            input: "1".into(),
            default_country: String::new(),
            international_formatted: "\u{0}".into(),
            national_formatted: String::new(),
            national: rng.random(),
            country_code: rng.random(),
            valid: rng.random(),
        })),
        11 => Value::List((0..rng.random_range(0..4)).map(|_| any_value(rng, levels - 1)).collect()),
        12 => {
            Value::Object((0..rng.random_range(0..4)).map(|n| (format!("o{n}"), any_value(rng, levels - 1))).collect())
        }
        _ => {
            let around = rng.random_range(0..levels);
            let inner = any_value(rng, levels - 1 - around);
            (0..=around).fold(inner, |value, _| match rng.random::<bool>() {
                true => Value::List(vec![value]),
                false => Value::Object([(String::new(), value)].into()),
            })
        }
    }
}

fn any_text(rng: &mut ChaCha8Rng) -> Value {
    let words = ["", "\u{0}", "red", "İ", "\u{1F600}", "ß\u{301}", " ", "x-y"];
    let count = rng.random_range(0..6);
    let text: Vec<&str> = (0..count).map(|_| words[rng.random_range(0..words.len())]).collect();
    let long = if rng.random_range(0..20) == 0 { "y".repeat(3_000) } else { String::new() };
    Value::Text(text.join(" ") + &long)
}

fn any_beacon(rng: &mut ChaCha8Rng) -> Beacon {
    Beacon { collection: rng.random::<bool>().then(|| "Thing".to_owned()), id: id(rng.random_range(0..9)) }
}

fn any_schema(rng: &mut ChaCha8Rng, number: u32) -> Collection {
    let types = [
        Primitive::Text,
        Primitive::Int,
        Primitive::Number,
        Primitive::Boolean,
        Primitive::Date,
        Primitive::Uuid,
        Primitive::GeoCoordinates,
        Primitive::PhoneNumber,
        Primitive::Blob,
    ];
    let mut properties = Vec::new();
    for n in 0..rng.random_range(0..8) {
        let of = types[rng.random_range(0..types.len())];
        let data_type = match rng.random_range(0..4) {
            0 => DataType::Object { list: rng.random() },
            1 => DataType::Reference(vec!["Thing".into()]),
            _ => DataType::Primitive { of, list: rng.random() },
        };
        let mut made = property(&format!("p{n}"), data_type);
        made.searchable = rng.random();
        made.filterable = rng.random();
        properties.push(made);
    }
    let mut made = collection(number, &format!("Thing{number}"), properties);
    for n in 0..rng.random_range(0..3_u16) {
        let config = VectorConfig { id: VectorId(n + 1), multi: rng.random(), ..vector_config() };
        made.vectors.named.insert(format!("v{n}"), config);
    }
    made.version = rng.random_range(1..5);
    made
}

fn any_vector(rng: &mut ChaCha8Rng) -> Vector {
    let dim = [0, 1, 2, 2, 2, 2, 2, 3][rng.random_range(0..8)];
    let rows = rng.random_range(0..3);
    let float =
        |rng: &mut ChaCha8Rng| if rng.random_range(0..50) == 0 { f32::NAN } else { rng.random_range(-1.0..1.0) };
    match rng.random_range(0..4) {
        0 => Vector::Multi { dim: dim as u32, rows: (0..dim * rows).map(|_| float(rng)).collect() },
        _ => Vector::Single((0..dim).map(|_| float(rng)).collect()),
    }
}

fn any_properties(rng: &mut ChaCha8Rng, depth: usize) -> Properties {
    (0..rng.random_range(0..6)).map(|_| (format!("p{}", rng.random_range(0..9)), any_value(rng, depth))).collect()
}

fn any_command(rng: &mut ChaCha8Rng, number: u32) -> Command {
    let at = at(number);
    // Now and then a bit deeper than can be stored.
    let depth = [0, 1, 3, DEPTH_MAX, STORED_DEPTH_MAX, STORED_DEPTH_MAX + 9][rng.random_range(0..6)];
    let n = rng.random_range(0..12);
    match rng.random_range(0..20) {
        0 => {
            let other = rng.random_range(0..2) * 500;
            Command::PutCollection(Box::new(any_schema(rng, number + other)))
        }
        1..=10 => {
            let mut made = object(n, &[], None);
            made.properties = any_properties(rng, depth);
            for _ in 0..rng.random_range(0..3) {
                made.vectors.insert(VectorId(rng.random_range(0..4)), any_vector(rng));
            }
            put(at, made)
        }
        11..=15 => {
            let mut patch = Patch { set: any_properties(rng, depth), ..Patch::default() };
            patch.remove.push(format!("p{}", rng.random_range(0..9)));
            patch.replace_references.insert("p7".into(), vec![any_beacon(rng)]);
            patch.remove_references.insert("p6".into(), vec![any_beacon(rng)]);
            let vector = rng.random::<bool>().then(|| any_vector(rng));
            patch.vectors.insert(VectorId(rng.random_range(0..4)), vector);
            Command::Merge { at, id: id(n), patch: Box::new(patch), updated_ms: rng.random() }
        }
        16 | 17 => Command::Delete { at, id: id(n) },
        18 => Command::CreateCollection(Box::new(any_schema(rng, 0))),
        _ if rng.random_range(0..40) == 0 => Command::DropShard(CollectionId(number), ShardId::FIRST),
        _ => Command::DropCollection(CollectionId(number.saturating_sub(2))),
    }
}

/// The command, or one decoded from its bytes after some of them were changed.
fn perhaps_mutated(rng: &mut ChaCha8Rng, command: Command) -> Command {
    if rng.random_range(0..3) > 0 {
        return command;
    }
    let mut bytes = postcard::to_stdvec(&command).expect("plain data");
    for _ in 0..20 {
        let place = rng.random_range(0..bytes.len());
        let old = bytes[place];
        bytes[place] = rng.random();
        match postcard::from_bytes::<Command>(&bytes) {
            Ok(found) if rng.random_range(0..3) == 0 => return of_known_level(found, command),
            Ok(_) => {}
            Err(_) => bytes[place] = old,
        }
    }
    let found = postcard::from_bytes(&bytes).unwrap_or_else(|_| command.clone());
    of_known_level(found, command)
}

/// `found`, or `other` in place of a command that raises the group above the levels of this program: such an entry comes from
/// a newer program, and ends this one.
fn of_known_level(found: Command, other: Command) -> Command {
    match found {
        Command::RaiseLevel(level) if level > FeatureLevel::SUPPORTED => other,
        found => found,
    }
}

fn contained(group: &impl StateMachine, entries: &[Entry]) -> Vec<Vec<Outcome>> {
    let again = |number: usize| Ok(entries[number].clone());
    group.apply_contained(entries.to_vec(), &again).expect("no command makes an apply fail")
}

#[test]
fn a_schema_keeps_the_properties_that_it_has() {
    let (left, right) = (tempdir().unwrap(), tempdir().unwrap());
    let (data, meta) = (open(left.path()), open_meta(right.path()));
    let old = collection(1, "Thing", vec![one("t", Primitive::Text), objects_of(2)]);
    let data_has = |schema: &Collection| apply(&data, vec![Command::PutCollection(Box::new(schema.clone()))]).remove(0);
    assert_eq!(data_has(&old), Outcome::Done);
    let mut index = 0;
    let mut meta_has = |command: Command| {
        index += 1;
        meta.apply(vec![entry(index, vec![command])]).unwrap().remove(0).remove(0)
    };
    let Outcome::Collection(known) = meta_has(Command::CreateCollection(Box::new(old.clone()))) else {
        panic!("a new collection")
    };
    let changes: [fn(&mut Vec<Property>); 5] = [
        |properties| drop(properties.remove(0)),
        |properties| properties[0].name = "other".into(),
        |properties| properties[0].data_type = DataType::one(Primitive::Int),
        |properties| drop(properties[1].nested.pop()),
        |properties| properties[0].id.0 += 100,
    ];
    for change in changes {
        let mut new = Collection { version: 2, ..old.clone() };
        change(new.properties.as_mut().unwrap());
        assert!(matches!(data_has(&new), Outcome::Refused(why) if why.contains("of collection Thing")));
        let mut new = (*known).clone();
        change(new.properties.as_mut().unwrap());
        let update = Command::UpdateCollection { expected_version: known.version, collection: Box::new(new) };
        assert!(matches!(meta_has(update), Outcome::Refused(why) if why.contains("of collection Thing")));
    }
    let mut new = Collection { version: 2, ..old.clone() };
    new.properties.as_mut().unwrap().push(one("more", Primitive::Int));
    new.assign_ids().unwrap();
    assert_eq!(data_has(&new), Outcome::Done);
}

#[test]
fn no_command_that_can_be_decoded_fails_an_apply() {
    let (seed, mut rng) = seeded();
    let (left, right) = (tempdir().unwrap(), tempdir().unwrap());
    let (one_by_one, mut together) = (open(left.path()), open(right.path()));
    let mut index = 0;
    for round in 0..150_u32 {
        let number = 1 + round / 12;
        let mut entries = Vec::new();
        for _ in 0..rng.random_range(1..5) {
            index += 1;
            let mut commands = Vec::new();
            if round % 12 == 0 && entries.is_empty() {
                commands.push(Command::PutCollection(Box::new(any_schema(&mut rng, number))));
            }
            for _ in 0..rng.random_range(0..8) {
                let command = any_command(&mut rng, number);
                commands.push(perhaps_mutated(&mut rng, command));
            }
            entries.push(entry(index, commands));
        }
        let first = contained(&*together, &entries);
        let second: Vec<_> =
            entries.iter().flat_map(|entry| contained(&*one_by_one, std::slice::from_ref(entry))).collect();
        assert_eq!(format!("{first:?}"), format!("{second:?}"), "seed {seed}");
        if round % 20 == 7 {
            work(&together);
            together.flush().unwrap();
            drop(together);
            together = open(right.path());
        }
        if round % 10 == 9 {
            assert_eq!(one_by_one.state_hash().unwrap(), together.state_hash().unwrap(), "seed {seed}, round {round}");
        }
    }
    let refused = one_by_one.metrics().commands_contained + together.metrics().commands_contained;
    assert_eq!(refused, 0, "seed {seed}: a command panicked");
}

#[test]
fn no_command_that_can_be_decoded_fails_an_apply_of_the_meta_group() {
    let (seed, mut rng) = seeded();
    let (left, right) = (tempdir().unwrap(), tempdir().unwrap());
    let (one_by_one, together) = (open_meta(left.path()), open_meta(right.path()));
    let mut entries = Vec::new();
    for index in 1..120 {
        let mut commands = Vec::new();
        for _ in 0..rng.random_range(1..4) {
            let levels = rng.random_range(0..5);
            let mut made = any_schema(&mut rng, levels);
            if rng.random_range(0..10) == 0 {
                made.next_property_id = u16::MAX - rng.random_range(0..3);
                made.next_vector_id = u16::MAX - rng.random_range(0..3);
                made.properties.iter_mut().flatten().for_each(|property| property.id.0 = 0);
                made.vectors.named.values_mut().for_each(|vector| vector.id.0 = 0);
            }
            let command = match rng.random_range(0..4) {
                0 => Command::DeleteCollection(made.id),
                1 => Command::UpdateCollection { expected_version: made.version, collection: Box::new(made) },
                2 => any_command(&mut rng, 3),
                _ => Command::CreateCollection(Box::new(made)),
            };
            commands.push(perhaps_mutated(&mut rng, command));
        }
        entries.push(entry(index, commands));
    }
    let first = contained(&*together, &entries);
    let second: Vec<_> =
        entries.iter().flat_map(|entry| contained(&*one_by_one, std::slice::from_ref(entry))).collect();
    assert_eq!(format!("{first:?}"), format!("{second:?}"), "seed {seed}");
    let refused = |outcome: &Outcome| matches!(outcome, Outcome::Refused(why) if why.contains("cannot be carried out"));
    assert!(!first.iter().flatten().any(refused), "seed {seed}: a command panicked");
    assert_eq!(one_by_one.state_hash().unwrap(), together.state_hash().unwrap(), "seed {seed}");
    one_by_one.flush().unwrap();
    drop(one_by_one);
    assert_eq!(open_meta(left.path()).state_hash().unwrap(), together.state_hash().unwrap(), "seed {seed}");
}

#[test]
fn what_was_accepted_reads_back_equal() {
    let (seed, mut rng) = seeded();
    let dir = tempdir().unwrap();
    let mut group = open(dir.path());
    let mut expected: BTreeMap<_, Object> = BTreeMap::new();
    apply(&group, vec![Command::PutCollection(Box::new(any_schema(&mut rng, 1)))]);
    let include =
        Include { properties: Projection::All, vectors: (0..4).map(VectorId).collect(), ..Include::default() };
    for round in 0..60 {
        let depth = [2, DEPTH_MAX, STORED_DEPTH_MAX, STORED_DEPTH_MAX + 3][round % 4];
        let mut made = object(rng.random_range(0..25), &[], Some(&[0.5, 1.5]));
        made.properties = any_properties(&mut rng, depth);
        let storable = made.properties.values().all(|value| value_depth(value) <= STORED_DEPTH_MAX);
        match &apply(&group, vec![put(at(1), made.clone())])[0] {
            Outcome::Written { created_ms, .. } => {
                assert!(storable, "seed {seed}");
                made.created_ms = *created_ms;
                expected.insert(made.id, made);
            }
            Outcome::Refused(why) => assert!(!storable, "seed {seed}: {why}"),
            other => panic!("seed {seed}: {other:?}"),
        }
        if round % 20 == 19 {
            for (id, object) in &expected {
                assert_eq!(group.get(at(1), *id, &include).unwrap().unwrap().object, *object, "seed {seed}");
            }
            work(&group);
            group.flush().unwrap();
            drop(group);
            group = open(dir.path());
        }
    }
    for (id, object) in &expected {
        assert_eq!(group.get(at(1), *id, &include).unwrap().unwrap().object, *object, "seed {seed}");
    }
}
