//! Steps: requests with all of their values, so that they can be kept, repeated and left out; and random ones.

use rand::seq::IndexedRandom;
use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use uuid::Uuid;

use super::filter::Filter;
use super::model::{Class, Object, World, Write, beacon};
use super::schema::{COLLECTIONS, Property, Schema, UNNAMED, collection};
use super::value::{Kind, member_id, word};

/// Which interface a request goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Wire {
    /// REST.
    Rest,
    /// GraphQL.
    Graphql,
    /// gRPC.
    Grpc,
}

/// An object of a batch: collection, id, content.
pub type Item = (String, Uuid, Object);

/// The next step of a sequence.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Step {
    /// `POST /schema`
    Create(Schema),
    /// `DELETE /schema/C`
    Drop(String),
    /// `POST /schema/C/properties`
    AddProperty(String, String, Property),
    /// `DELETE /schema/C/properties/p/index/i`
    DropIndex(String, String, String),
    /// `PUT /schema/C` with another `ef` and quantizer for each of its graphs.
    Tune(String, i64, String),
    /// One object.
    Write(Write, Item),
    /// `DELETE /objects/C/id`
    Delete(String, Uuid),
    /// Many objects.
    Batch(Wire, Vec<Item>),
    /// `POST`, `PUT` or `DELETE /objects/C/id/references/p`
    Refer(String, String, Uuid, String, Vec<Value>),
    /// `POST /batch/references`, all from one object.
    BatchRefer(String, Uuid, String, Vec<Value>),
    /// Deletes the matches of a filter, or only counts them.
    DeleteBy(Wire, String, Filter, bool),
    /// Reads one object.
    Get(String, Uuid),
    /// `GET /objects`: limit, offset.
    List(String, usize, usize),
    /// Reads page after page by cursor: length of a page.
    Walk(Wire, String, usize),
    /// All that a filter finds.
    Find(Wire, String, Option<Filter>),
    /// Counts the matches of a filter.
    Count(Wire, String, Option<Filter>),
    /// The nearest objects.
    Near(Wire, String, Near),
    /// The nearest objects by several of their vectors.
    NearMany(Wire, String, NearMany),
    /// Sorted by properties (name, whether descending): limit, offset.
    Sorted(Wire, String, Option<Filter>, Vec<(String, bool)>, usize, usize),
    /// All objects by distance, grouped by a property: groups, objects of a group.
    Grouped(String, String, usize, usize),
    /// Ends the process, by SIGKILL or SIGTERM, starts it again and compares everything.
    Restart(bool),
    /// Compares everything.
    CheckAll,
}

/// A search for vectors.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Near {
    /// Which of an object's vectors.
    pub target: String,
    /// The origin of the search: a vector, or the object with that id.
    pub origin: Origin,
    /// Hits at most; with none, all within the distance.
    pub limit: Option<usize>,
    /// Hits to leave out at the beginning.
    pub offset: usize,
    /// The farthest hit.
    pub distance: Option<f64>,
    /// Which objects.
    pub filter: Option<Filter>,
}

/// A search for several vectors at once.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NearMany {
    /// One for each target.
    pub vectors: BTreeMap<String, Vec<f32>>,
    /// How distances are combined: `minimum`, `sum` or `average`.
    pub method: String,
    /// Hits at most.
    pub limit: usize,
    /// Hits to leave out at the beginning.
    pub offset: usize,
    /// Which objects.
    pub filter: Option<Filter>,
}

/// The origin of a search.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Origin {
    /// A vector.
    Vector(Vec<f32>),
    /// A stored object.
    Object(Uuid),
}

/// Ids of objects: few, so that they meet again.
pub fn object_id(random: &mut impl Rng) -> Uuid {
    Uuid::from_u128(0x1111_0000_0000_4000_8000_0000_0000_0000 | random.random_range(0..40_u128) << 100)
}

impl Step {
    /// A random step that makes sense in that world, as a rule.
    pub fn random(world: &World, random: &mut impl Rng) -> Self {
        let name = world.classes.keys().collect::<Vec<_>>().choose(random).map(|name| (*name).clone());
        let Some(class) = name.as_ref().and_then(|name| world.classes.get(name)) else {
            return Self::Create(Schema::random(collection(random), random));
        };
        match random.random_range(0..1000) {
            0..25 => Self::Create(Schema::random(collection(random), random)),
            25..30 => Self::Drop(collection(random).to_owned()),
            30..45 => Self::schema_change(class, random),
            45..55 => Self::Tune(
                class.schema.name.clone(),
                random.random_range(4..200),
                ["none", "rq", "bq", "sq"].choose(random).copied().unwrap_or("none").to_owned(),
            ),
            55..60 => Self::Restart(random.random_bool(0.6)),
            60..65 => Self::CheckAll,
            65..250 => Self::single(world, class, random),
            250..300 => Self::Delete(class.schema.name.clone(), object_id(random)),
            300..420 => Self::batch(world, random),
            420..490 => Self::reference(world, class, random),
            490..520 => {
                let wire = *[Wire::Rest, Wire::Grpc].choose(random).unwrap_or(&Wire::Rest);
                let filter = Filter::random(world, &class.schema, random, 2);
                Self::DeleteBy(wire, class.schema.name.clone(), filter, random.random_bool(0.5))
            }
            _ => Self::read(world, class, random),
        }
    }

    fn schema_change(class: &Class, random: &mut impl Rng) -> Self {
        let collection = class.schema.name.clone();
        if random.random_bool(0.6) {
            let name = format!("p{}", random.random_range(0..12));
            return Self::AddProperty(collection, name, Property::random(random));
        }
        match class.schema.any_plain(random) {
            Some((name, property)) => {
                let mut indexes = vec!["filterable"];
                indexes.extend(property.searchable.then_some("searchable"));
                indexes.extend(property.range.then_some("rangeFilters"));
                let index = indexes.choose(random).copied().unwrap_or("filterable");
                Self::DropIndex(collection, name.clone(), index.to_owned())
            }
            None => Self::CheckAll,
        }
    }

    fn single(world: &World, class: &Class, random: &mut impl Rng) -> Self {
        let how = [Write::Post, Write::Post, Write::Put, Write::Patch].choose(random).copied().unwrap_or(Write::Post);
        let id = match how {
            Write::Put | Write::Patch if random.random_bool(0.9) => existing(class, random),
            _ => object_id(random),
        };
        if how == Write::Post && random.random_bool(0.03) {
            // The collection may not exist.
            let name = COLLECTIONS.choose(random).copied().unwrap_or(COLLECTIONS[0]);
            let mut object = new_object(random);
            if world.classes.contains_key(name) {
                // The vectors may have another length.
                object.vectors.clear();
            }
            return Self::Write(how, (name.to_owned(), id, object));
        }
        let mut object = random_object(world, class, random);
        if how == Write::Patch {
            let names: Vec<String> = object.properties.keys().cloned().collect();
            for name in names {
                match random.random_range(0..10) {
                    0..4 => drop(object.properties.remove(&name)),
                    // The kind of a property that has only null values is not promised.
                    4 if !name.starts_with('q') => drop(object.properties.insert(name, Value::Null)),
                    _ => {}
                }
            }
            if random.random_bool(0.6) {
                object.vectors.clear();
            }
        }
        Self::Write(how, (class.schema.name.clone(), id, object))
    }

    fn batch(world: &World, random: &mut impl Rng) -> Self {
        let wire = *[Wire::Rest, Wire::Grpc].choose(random).unwrap_or(&Wire::Rest);
        let classes: Vec<&Class> = world.classes.values().collect();
        let count = random.random_range(1..16);
        let items = (0..count).filter_map(|_| {
            let class = classes.choose(random)?;
            Some((class.schema.name.clone(), object_id(random), random_object(world, class, random)))
        });
        Self::Batch(wire, items.collect())
    }

    fn reference(world: &World, class: &Class, random: &mut impl Rng) -> Self {
        let Some((name, targets)) = class.schema.any_reference(random) else {
            return Self::read(world, class, random);
        };
        let (collection, id) = (class.schema.name.clone(), existing(class, random));
        let count = random.random_range(0..5);
        let mut beacons = some_beacons(world, targets, count, random);
        if random.random_bool(0.1) {
            beacons.push(beacon(&targets[0], object_id(random)));
        }
        match random.random_range(0..4) {
            0 => Self::BatchRefer(collection, id, name.clone(), beacons),
            1 => Self::Refer("PUT".to_owned(), collection, id, name.clone(), beacons),
            way => {
                beacons.truncate(1);
                if beacons.is_empty() {
                    return Self::Get(collection, id);
                }
                let method = if way == 2 { "POST" } else { "DELETE" };
                Self::Refer(method.to_owned(), collection, id, name.clone(), beacons)
            }
        }
    }

    fn read(world: &World, class: &Class, random: &mut impl Rng) -> Self {
        let collection = class.schema.name.clone();
        let wire = *[Wire::Graphql, Wire::Grpc].choose(random).unwrap_or(&Wire::Grpc);
        let filter = Filter::random(world, &class.schema, random, 2);
        let maybe = |random: &mut _, filter: Filter| RngExt::random_bool(random, 0.5).then_some(filter);
        match random.random_range(0..14) {
            0 => Self::Get(collection, object_id(random)),
            1 => Self::List(collection, random.random_range(0..60), random.random_range(0..20)),
            2 => {
                let wire = *[Wire::Rest, Wire::Graphql, Wire::Grpc].choose(random).unwrap_or(&Wire::Rest);
                Self::Walk(wire, collection, random.random_range(1..20))
            }
            3..7 => Self::Find(wire, collection, Some(filter)),
            7 => Self::Count(wire, collection, maybe(random, filter)),
            8 if class.schema.vectors.len() > 1 => {
                let vectors = class.schema.vectors.iter().map(|(name, space)| (name.clone(), space.vector(random)));
                let vectors = vectors.collect();
                let method = ["minimum", "sum", "average"].choose(random).copied().unwrap_or("minimum").to_owned();
                let (limit, offset) = (random.random_range(1..25), random.random_range(0..12));
                let filter = maybe(random, filter);
                Self::NearMany(wire, collection, NearMany { vectors, method, limit, offset, filter })
            }
            8..11 => Self::Near(wire, collection, Near::random(class, maybe(random, filter), random)),
            11..13 => {
                let wire = *[Wire::Rest, Wire::Graphql, Wire::Grpc].choose(random).unwrap_or(&Wire::Rest);
                let filter = if wire == Wire::Rest { None } else { maybe(random, filter) };
                let by = sortable(class, random);
                if by.is_empty() {
                    return Self::Find(Wire::Grpc, collection, None);
                }
                Self::Sorted(wire, collection, filter, by, random.random_range(1..30), random.random_range(0..5))
            }
            _ => match class.schema.any_plain(random) {
                Some((name, property)) if !matches!(property.kind.member(), Kind::Object | Kind::Geo | Kind::Blob) => {
                    Self::Grouped(collection, name.clone(), random.random_range(1..8), random.random_range(1..5))
                }
                _ => Self::Find(Wire::Grpc, collection, None),
            },
        }
    }
}

impl Near {
    fn random(class: &Class, filter: Option<Filter>, random: &mut impl Rng) -> Self {
        let names: Vec<&String> = class.schema.vectors.keys().collect();
        let target = names.choose(random).map(|name| (*name).clone()).unwrap_or_default();
        let space = &class.schema.vectors[&target];
        let has_vector = |id: &Uuid| class.objects.get(id).is_some_and(|object| object.vectors.contains_key(&target));
        let id = existing(class, random);
        let origin = if random.random_bool(0.3) && has_vector(&id) {
            Origin::Object(id)
        } else {
            Origin::Vector(space.vector(random))
        };
        let distance = random.random_bool(0.3).then(|| match space.metric.as_str() {
            "cosine" => f64::from(random.random_range(0..20_u8)) / 10.0 + 0.05,
            "dot" => f64::from(random.random_range(-20..20_i8)) + 0.5,
            _ => f64::from(random.random_range(0..40_u8)) + 0.5,
        });
        let limit = Some(random.random_range(1..25)).filter(|_| distance.is_none() || random.random_bool(0.7));
        let offset = if random.random_bool(0.3) { random.random_range(0..10) } else { 0 };
        Self { target, origin, limit, offset, distance, filter }
    }
}

/// Properties to sort by, of kinds whose order the model knows.
fn sortable(class: &Class, random: &mut impl Rng) -> Vec<(String, bool)> {
    let properties = class.schema.properties.iter().filter(|(_, property)| property.kind.is_sortable());
    let names: Vec<&String> = properties.map(|(name, _)| name).collect();
    let picked = names.sample(random, 2).map(|name| ((*name).clone(), false));
    let mut picked: Vec<(String, bool)> = picked.collect();
    picked.truncate(random.random_range(1..3));
    picked.iter_mut().for_each(|(_, descending)| *descending = random.random_bool(0.5));
    picked
}

fn existing(class: &Class, random: &mut impl Rng) -> Uuid {
    let ids: Vec<Uuid> = class.objects.keys().copied().collect();
    ids.choose(random).copied().unwrap_or_else(|| object_id(random))
}

fn some_beacons(world: &World, targets: &[String], count: usize, random: &mut impl Rng) -> Vec<Value> {
    let mut beacons = Vec::new();
    for _ in 0..count {
        let target = targets.choose(random).cloned().unwrap_or_default();
        if let Some(class) = world.classes.get(&target)
            && !class.objects.is_empty()
        {
            beacons.push(beacon(&target, existing(class, random)));
        }
    }
    beacons
}

/// An object for that collection; now and then one that does not fit, or that has properties of its own.
fn random_object(world: &World, class: &Class, random: &mut impl Rng) -> Object {
    let mut object = Object::default();
    for (name, property) in &class.schema.properties {
        if random.random_bool(0.3) {
            continue;
        }
        let value = match &property.kind {
            Kind::Reference(targets) => {
                let count = random.random_range(0..3);
                some_beacons(world, targets, count, random).into()
            }
            Kind::Bool if random.random_bool(0.01) => "no".into(),
            kind if *kind != Kind::Bool && random.random_bool(0.01) => true.into(),
            kind => kind.value(random),
        };
        object.properties.insert(name.clone(), value);
    }
    if random.random_bool(0.04) {
        object.properties.extend(new_object(random).properties);
    }
    for (name, space) in &class.schema.vectors {
        if random.random_bool(0.85) {
            object.vectors.insert(name.clone(), space.vector(random));
        }
    }
    object
}

/// An object of properties that no schema names at first. A name always goes with the same kind.
fn new_object(random: &mut impl Rng) -> Object {
    let all: [(&str, Value); 6] = [
        ("q0", format!("{} {}", word(random), word(random)).into()),
        ("q1", (f64::from(random.random_range(0..9_u8)) + 0.5).into()),
        ("q2", random.random_bool(0.5).into()),
        ("q3", json!([word(random), word(random)])),
        ("q4", member_id(random).to_string().into()),
        ("q5", "2024-02-03T04:05:06Z".into()),
    ];
    let picked: BTreeMap<String, Value> =
        all.into_iter().filter(|_| random.random_bool(0.3)).map(|(name, value)| (name.to_owned(), value)).collect();
    let vectors = BTreeMap::from([(UNNAMED.to_owned(), vec![1.0, f32::from(random.random_range(-3..4_i8)), 2.0])]);
    Object { properties: picked, vectors }
}
