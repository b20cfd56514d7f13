//! Filters behind references, beside a naive model: collections of one and of eight shards refer to each other, and each
//! filter has the answer that the model computes from the objects.

use std::collections::{BTreeMap, BTreeSet};

use azimuth_tests::notice;
use azimuth_tests::raw_http;
use azimuth_tests::server::Server;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use uuid::Uuid;

/// Collections and their numbers of shards. Each refers to all of them, itself included.
const COLLECTIONS: [(&str, u32); 3] = [("Book", 8), ("Author", 1), ("Place", 8)];
const OBJECTS: u128 = 60;
const FILTERS: usize = 150;
const TAGS: [&str; 4] = ["red", "blue", "old", "new"];

/// An object of the model.
struct Stored {
    number: i64,
    tags: Vec<&'static str>,
    /// Position of the collection among [`COLLECTIONS`], and the id.
    to: Vec<(usize, Uuid)>,
}

/// The objects by the position of their collection and by id.
type Model = BTreeMap<(usize, Uuid), Stored>;

/// A condition: JSON for the wire and a predicate for the model.
enum Condition {
    Number(&'static str, i64),
    Tags(&'static str, Vec<&'static str>),
    Id(Uuid),
    Count(i64),
}

/// A filter on the objects of a collection.
enum Filter {
    And(Vec<Filter>),
    Or(Vec<Filter>),
    Not(Box<Filter>),
    /// Collections that references lead through, then the condition.
    Leaf(Vec<usize>, Condition),
}

impl Condition {
    fn random(rng: &mut ChaCha8Rng) -> Self {
        match rng.random_range(0..8) {
            0..3 => {
                let operators = ["Equal", "NotEqual", "LessThan", "LessThanEqual", "GreaterThan", "GreaterThanEqual"];
                Self::Number(operators[rng.random_range(0..operators.len())], rng.random_range(0..10))
            }
            3..6 => {
                let operator = ["ContainsAny", "ContainsAll", "ContainsNone", "Equal"][rng.random_range(0..4)];
                let count = if operator == "Equal" { 1 } else { rng.random_range(1..3) };
                Self::Tags(operator, (0..count).map(|_| TAGS[rng.random_range(0..TAGS.len())]).collect())
            }
            6 => Self::Id(id(rng.random_range(0..3), u128::from(rng.random_range(0..60_u32)))),
            _ => Self::Count(rng.random_range(0..4)),
        }
    }

    /// What the condition compares, and with what.
    fn json(&self) -> (&'static str, &'static str, &'static str, Value) {
        match self {
            Self::Number(operator, number) => ("number", operator, "valueInt", json!(number)),
            Self::Tags("Equal", tags) => ("tags", "Equal", "valueText", json!(tags[0])),
            Self::Tags(operator, tags) => ("tags", operator, "valueText", json!(tags)),
            Self::Id(id) => ("id", "Equal", "valueText", json!(id)),
            Self::Count(count) => ("to", "Equal", "valueInt", json!(count)),
        }
    }

    /// `Contains*` of several members, which the whole path is compared with member by member.
    fn members(&self) -> Option<(&'static str, Vec<Condition>)> {
        let Self::Tags(operator, tags) = self else { return None };
        let equal = |tag: &&'static str| Self::Tags("Equal", vec![*tag]);
        (*operator != "Equal").then(|| (*operator, tags.iter().map(equal).collect()))
    }

    fn matches(&self, id: Uuid, object: &Stored) -> bool {
        match self {
            Self::Number(operator, number) => match *operator {
                "Equal" => object.number == *number,
                "NotEqual" => object.number != *number,
                "LessThan" => object.number < *number,
                "LessThanEqual" => object.number <= *number,
                "GreaterThan" => object.number > *number,
                _ => object.number >= *number,
            },
            Self::Tags(operator, tags) => {
                let mut has = tags.iter().map(|tag| object.tags.contains(tag));
                match *operator {
                    "ContainsAll" => has.all(|has| has),
                    "ContainsNone" => !has.any(|has| has),
                    _ => has.any(|has| has),
                }
            }
            Self::Id(wanted) => id == *wanted,
            Self::Count(count) => object.to.len() as i64 == *count,
        }
    }
}

impl Filter {
    fn random(rng: &mut ChaCha8Rng, depth: usize) -> Self {
        match rng.random_range(0..if depth == 0 { 4 } else { 7 }) {
            0..4 => {
                let through = (0..rng.random_range(0..4)).map(|_| rng.random_range(0..COLLECTIONS.len())).collect();
                Self::Leaf(through, Condition::random(rng))
            }
            4 => Self::Not(Box::new(Self::random(rng, depth - 1))),
            n => {
                let operands = (0..rng.random_range(2..4)).map(|_| Self::random(rng, depth - 1)).collect();
                if n == 5 { Self::And(operands) } else { Self::Or(operands) }
            }
        }
    }

    fn json(&self) -> Value {
        let all = |operands: &[Self]| operands.iter().map(Self::json).collect::<Vec<_>>();
        match self {
            Self::And(operands) => json!({"operator": "And", "operands": all(operands)}),
            Self::Or(operands) => json!({"operator": "Or", "operands": all(operands)}),
            Self::Not(operand) => json!({"operator": "Not", "operands": [operand.json()]}),
            Self::Leaf(through, condition) => {
                let (name, operator, kind, value) = condition.json();
                let mut path: Vec<&str> = through.iter().flat_map(|at| ["to", COLLECTIONS[*at].0]).collect();
                path.push(name);
                json!({"path": path, "operator": operator, kind: value})
            }
        }
    }

    fn matches(&self, model: &Model, at: (usize, Uuid)) -> bool {
        match self {
            Self::And(operands) => operands.iter().all(|operand| operand.matches(model, at)),
            Self::Or(operands) => operands.iter().any(|operand| operand.matches(model, at)),
            Self::Not(operand) => !operand.matches(model, at),
            Self::Leaf(through, condition) => match condition.members().filter(|_| !through.is_empty()) {
                None => behind(model, at, through, condition),
                Some((operator, members)) => {
                    let mut met = members.iter().map(|member| behind(model, at, through, member));
                    match operator {
                        "ContainsAll" => met.all(|met| met),
                        "ContainsNone" => !met.any(|met| met),
                        _ => met.any(|met| met),
                    }
                }
            },
        }
    }
}

/// Whether an object at the end of the references matches.
fn behind(model: &Model, at: (usize, Uuid), through: &[usize], condition: &Condition) -> bool {
    let object = &model[&at];
    match through.split_first() {
        None => condition.matches(at.1, object),
        Some((next, rest)) => {
            let mut targets = object.to.iter().filter(|(collection, _)| collection == next);
            targets.any(|target| model.contains_key(target) && behind(model, *target, rest, condition))
        }
    }
}

fn id(collection: usize, number: u128) -> Uuid {
    // Spread over the shards; every third id is that of objects of all collections.
    let of = if number.is_multiple_of(3) { 0 } else { collection as u128 + 1 };
    Uuid::from_u128((number * 4 + of + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835))
}

struct Wire {
    address: String,
}

impl Wire {
    fn send(&self, method: &str, path: &str, body: &Value) -> Value {
        let headers = [("Content-Type", "application/json")];
        let answer = raw_http::request(&self.address, method, path, &headers, body.to_string().as_bytes());
        let answer = answer.expect("an answer");
        assert_eq!(answer.status, 200, "{path} {body}: {}", answer.body);
        serde_json::from_str(&answer.body).unwrap_or(Value::Null)
    }

    fn graphql(&self, query: &str) -> Value {
        let answer = self.send("POST", "/v1/graphql", &json!({"query": query}));
        assert!(answer.get("errors").is_none(), "{query}: {answer}");
        answer["data"].clone()
    }
}

/// A filter as REST takes it: lists have fields of their own.
fn rest(filter: &Value) -> Value {
    let member = |(key, value): (&String, &Value)| match (key.as_str(), value) {
        ("valueText", Value::Array(_)) => ("valueTextArray".to_owned(), value.clone()),
        ("operands", Value::Array(operands)) => (key.clone(), operands.iter().map(rest).collect()),
        _ => (key.clone(), value.clone()),
    };
    Value::Object(filter.as_object().into_iter().flatten().map(member).collect())
}

/// JSON as an argument of GraphQL: keys and operators without quotes.
fn argument(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let member = |(key, value): (&String, &Value)| match value.as_str().filter(|_| key == "operator") {
                Some(operator) => format!("{key}: {operator}"),
                None => format!("{key}: {}", argument(value)),
            };
            format!("{{{}}}", map.iter().map(member).collect::<Vec<_>>().join(", "))
        }
        Value::Array(list) => format!("[{}]", list.iter().map(argument).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}

fn create(wire: &Wire) {
    let properties = json!([
        {"name": "number", "dataType": ["int"]},
        {"name": "tags", "dataType": ["text[]"], "tokenization": "field"},
    ]);
    for (name, shards) in COLLECTIONS {
        let class = json!({
            "class": name, "shardingConfig": {"desiredCount": shards}, "vectorizer": "none", "properties": properties,
        });
        wire.send("POST", "/v1/schema", &class);
    }
    for (name, _) in COLLECTIONS {
        let to = json!({"name": "to", "dataType": COLLECTIONS.map(|(name, _)| name)});
        wire.send("POST", &format!("/v1/schema/{name}/properties"), &to);
    }
}

fn fill(wire: &Wire, rng: &mut ChaCha8Rng) -> Model {
    let (mut model, mut objects, mut references) = (Model::new(), Vec::new(), Vec::new());
    for (collection, (name, _)) in COLLECTIONS.iter().enumerate() {
        for number in 0..OBJECTS {
            let target = |rng: &mut ChaCha8Rng| {
                let of = rng.random_range(0..COLLECTIONS.len());
                // Some lead to no object.
                (of, id(of, u128::from(rng.random_range(0..66_u32))))
            };
            let to: BTreeSet<_> = (0..rng.random_range(0..4)).map(|_| target(rng)).collect();
            let tags = TAGS.into_iter().filter(|_| rng.random_bool(0.3)).collect();
            let stored = Stored { number: rng.random_range(0..10), tags, to: to.into_iter().collect() };
            let object = id(collection, number);
            objects.push(json!({
                "class": name, "id": object, "properties": {"number": stored.number, "tags": stored.tags},
            }));
            let beacon = |of: usize, id: Uuid| format!("weaviate://localhost/{}/{id}", COLLECTIONS[of].0);
            for (of, target) in &stored.to {
                let from = format!("{}/to", beacon(collection, object));
                references.push(json!({"from": from, "to": beacon(*of, *target)}));
            }
            model.insert((collection, object), stored);
        }
    }
    let written = wire.send("POST", "/v1/batch/objects", &json!({"objects": objects}));
    // These may lead to no object.
    let added = wire.send("POST", "/v1/batch/references", &json!(references));
    for one in [written, added].iter().filter_map(Value::as_array).flatten() {
        assert_eq!(one["result"]["status"], "SUCCESS", "{one}");
    }
    model
}

fn check(wire: &Wire, model: &Model, rng: &mut ChaCha8Rng) {
    let (mut found_all, mut behind_references) = (0, 0);
    for _ in 0..FILTERS {
        let collection = rng.random_range(0..COLLECTIONS.len());
        let name = COLLECTIONS[collection].0;
        let filter = Filter::random(rng, 2);
        let (json, wanted): (Value, BTreeSet<Uuid>) = {
            let of = model.keys().filter(|(of, _)| *of == collection);
            (filter.json(), of.filter(|at| filter.matches(model, **at)).map(|(_, id)| *id).collect())
        };
        let condition = argument(&json);
        let query = format!(
            "{{ Get {{ {name}(where: {condition}, limit: 500) {{ _additional {{ id }} }} }} \
             Aggregate {{ {name}(where: {condition}) {{ meta {{ count }} }} }} }}"
        );
        let data = wire.graphql(&query);
        let id_of = |object: &Value| object["_additional"]["id"].as_str().and_then(|id| id.parse::<Uuid>().ok());
        let hits = data["Get"][name].as_array().expect("a list");
        let found: BTreeSet<Uuid> = hits.iter().filter_map(id_of).collect();
        assert_eq!(found, wanted, "{json} of {name}");
        assert_eq!(hits.len(), wanted.len(), "{json} of {name}");
        assert_eq!(data["Aggregate"][name][0]["meta"]["count"], wanted.len(), "{json} of {name}");
        let deletion = json!({"match": {"class": name, "where": rest(&json)}, "dryRun": true});
        let deleted = wire.send("DELETE", "/v1/batch/objects", &deletion);
        assert_eq!(deleted["results"]["matches"], wanted.len(), "{json} of {name}");
        found_all += found.len();
        behind_references += usize::from(condition.contains("\"to\", "));
    }
    assert!(found_all > FILTERS && behind_references > FILTERS / 2, "{found_all} found, {behind_references} filters");
}

/// Deletes what a filter behind references finds, by REST.
fn delete_some(wire: &Wire, model: &mut Model) {
    let filter = Filter::Leaf(vec![1], Condition::Number("LessThan", 3));
    let gone: Vec<_> = model.keys().copied().filter(|at| at.0 == 0 && filter.matches(model, *at)).collect();
    assert!(!gone.is_empty());
    let deletion = json!({"match": {"class": COLLECTIONS[0].0, "where": rest(&filter.json())}});
    let deleted = wire.send("DELETE", "/v1/batch/objects", &deletion);
    assert_eq!(deleted["results"]["successful"], gone.len());
    gone.iter().for_each(|at| drop(model.remove(at)));
}

fn filters_follow_references(encoded: &str) {
    let seed = rand::random();
    notice(&format!("seed {seed}"));
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let server = Server::builder()
        .variable("AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED", "true")
        .variable("AZIMUTH_ENCODE_READS", encoded)
        .start();
    let wire = Wire { address: server.http_address() };
    create(&wire);
    let mut model = fill(&wire, &mut rng);
    check(&wire, &model, &mut rng);
    delete_some(&wire, &mut model);
    check(&wire, &model, &mut rng);
}

#[test]
fn filters_follow_references_to_every_shard() {
    filters_follow_references("false");
}

#[test]
fn filters_follow_references_in_encoded_form() {
    filters_follow_references("true");
}

#[test]
fn paths_of_filters_have_an_end() {
    let server = Server::builder().variable("AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED", "true").start();
    let wire = Wire { address: server.http_address() };
    create(&wire);
    wire.send("POST", "/v1/objects", &json!({"class": "Book", "properties": {"number": 1}}));
    for (steps, accepted) in [(64, true), (65, false), (10_000, false)] {
        let path: Vec<&str> = std::iter::repeat_n(["to", "Book"], steps).flatten().chain(["number"]).collect();
        let query = format!(
            "{{ Aggregate {{ Book(where: {{path: {}, operator: Equal, valueInt: 1}}) {{ meta {{ count }} }} }} }}",
            json!(path)
        );
        let answer = wire.send("POST", "/v1/graphql", &json!({"query": query}));
        if accepted {
            assert_eq!(answer["data"]["Aggregate"]["Book"][0]["meta"]["count"], 0, "{steps}: {answer}");
        } else {
            assert!(answer["errors"].to_string().contains("can follow 64 references"), "{steps}: {answer}");
        }
    }
}
