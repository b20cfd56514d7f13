//! Filters on values inside of objects against a scan of all objects: random objects, conditions, deletions, background
//! work and restarts.
//!
//! The model walks the values element by element: it knows no positions and no index. The seed is printed;
//! `AZIMUTH_TEST_SEED=<n>` runs that one alone.

use std::collections::{BTreeMap, BTreeSet};

use azimuth_engine::command::Command;
use azimuth_engine::data::DataGroup;
use azimuth_engine::object::Value;
use azimuth_engine::query::{Filter, FilterValue, Operator, Path, Subject};
use azimuth_engine::replica::StateMachine;
use azimuth_engine::schema::{Collection, DataType, Primitive, Property};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tempfile::tempdir;

use crate::support::{apply, at, collection, copy_as_killed, id, object, one, open, property, put, text, work};

const OBJECTS: u64 = 60;
const ROUNDS: u32 = 6;
const FILTERS: u32 = 120;
const LABELS: [&str; 4] = ["blade", "screw", "iron nail", "Steel screw"];
const TERMS: [&str; 5] = ["blade", "screw", "iron", "nail", "steel"];

type Members = BTreeMap<String, Value>;

fn nested(name: &str, list: bool, nested: Vec<Property>) -> Property {
    Property { nested, ..property(name, DataType::Object { list }) }
}

/// `parts` is a list of objects with a label, a count and a list of `subs` (code, colour); `spec` is one object.
fn schema() -> Collection {
    let subs = nested("subs", true, vec![one("code", Primitive::Int), one("colour", Primitive::Text)]);
    let parts = nested("parts", true, vec![one("label", Primitive::Text), one("count", Primitive::Int), subs]);
    let spec = nested("spec", false, vec![one("maker", Primitive::Text), one("year", Primitive::Int)]);
    // A rebuild leaves blocks of postings that overlap until the next compaction, which an audit would report.
    let name = Property { searchable: false, ..one("name", Primitive::Text) };
    collection(1, "Tool", vec![name, parts, spec])
}

fn some(rng: &mut ChaCha8Rng, members: &mut Members, name: &str, value: impl FnOnce(&mut ChaCha8Rng) -> Value) {
    if rng.random_bool(0.75) {
        let value = if rng.random_bool(0.05) { Value::Null } else { value(rng) };
        members.insert(name.to_owned(), value);
    }
}

fn label(rng: &mut ChaCha8Rng) -> Value {
    text(LABELS[rng.random_range(0..LABELS.len())])
}

fn small(rng: &mut ChaCha8Rng) -> Value {
    Value::Int(rng.random_range(0..4))
}

fn random_part(rng: &mut ChaCha8Rng) -> Value {
    let mut part = Members::new();
    some(rng, &mut part, "label", label);
    some(rng, &mut part, "count", small);
    some(rng, &mut part, "subs", |rng| {
        let sub = |rng: &mut ChaCha8Rng| {
            let mut sub = Members::new();
            some(rng, &mut sub, "code", small);
            some(rng, &mut sub, "colour", label);
            Value::Object(sub)
        };
        Value::List((0..rng.random_range(0..3)).map(|_| sub(rng)).collect())
    });
    Value::Object(part)
}

fn random_members(rng: &mut ChaCha8Rng) -> Members {
    let mut members = Members::new();
    members.insert("name".to_owned(), label(rng));
    if rng.random_bool(0.85) {
        let parts = (0..rng.random_range(0..4)).map(|_| random_part(rng)).collect();
        members.insert("parts".to_owned(), Value::List(parts));
    }
    if rng.random_bool(0.7) {
        let mut spec = Members::new();
        some(rng, &mut spec, "maker", label);
        some(rng, &mut spec, "year", small);
        members.insert("spec".to_owned(), Value::Object(spec));
    }
    members
}

/// A comparison with a member of an object.
#[derive(Debug, Clone)]
struct Leaf {
    /// The path before the member: `parts`, `parts.subs` or `spec`.
    of: &'static str,
    member: &'static str,
    operator: Operator,
    value: FilterValue,
}

#[derive(Debug, Clone)]
enum Condition {
    /// An element of `parts` that satisfies this.
    Parts(Inner),
    /// The same, of the element with this number.
    PartAt(usize, Leaf),
    Spec(Leaf),
    Name(&'static str),
    And(Vec<Condition>),
    Or(Vec<Condition>),
    NotName(&'static str),
    /// Whether `parts`, or `spec`, is null.
    IsNull(&'static str, bool),
}

/// A condition on one element of `parts`.
#[derive(Debug, Clone)]
enum Inner {
    Part(Leaf),
    /// An element of `subs` that satisfies all.
    Sub(Vec<Leaf>),
    /// All of these: comparisons of the part and of one sub.
    All(Vec<Leaf>, Vec<Leaf>),
    /// The part satisfies the comparisons, and one of the conditions.
    AllAndOneOf(Vec<Leaf>, Vec<Leaf>),
    NotPart(Leaf),
    AndNot(Leaf, Leaf),
}

fn random_leaf(rng: &mut ChaCha8Rng, of: &'static str) -> Leaf {
    let (texts, number) = match of {
        "parts" => ("label", "count"),
        "spec" => ("maker", "year"),
        _ => ("colour", "code"),
    };
    if rng.random_bool(0.15) {
        let member = if rng.random_bool(0.5) { texts } else { number };
        return Leaf { of, member, operator: Operator::IsNull, value: FilterValue::Bool(rng.random_bool(0.5)) };
    }
    if rng.random_bool(0.5) {
        let operators = [Operator::Equal, Operator::NotEqual, Operator::LessThan, Operator::GreaterThanEqual];
        let operator = operators[rng.random_range(0..operators.len())];
        return Leaf { of, member: number, operator, value: FilterValue::Int(rng.random_range(0..4)) };
    }
    let word = |rng: &mut ChaCha8Rng| TERMS[rng.random_range(0..TERMS.len())];
    let several = |rng: &mut ChaCha8Rng| {
        FilterValue::List(vec![
            FilterValue::Text(word(rng).into()),
            FilterValue::Text(format!("{} {}", word(rng), word(rng))),
        ])
    };
    let (operator, value) = match rng.random_range(0..6) {
        0 => (Operator::NotEqual, FilterValue::Text(word(rng).into())),
        1 => (Operator::Like, FilterValue::Text(["s*", "*l*", "?ron"][rng.random_range(0..3)].into())),
        2 => (Operator::Equal, FilterValue::Text(format!("{} {}", word(rng), word(rng)))),
        3 => (Operator::ContainsAny, several(rng)),
        4 => (Operator::ContainsNone, several(rng)),
        _ => (Operator::Equal, FilterValue::Text(word(rng).into())),
    };
    Leaf { of, member: texts, operator, value }
}

/// Comparisons of different members of one object.
fn random_leaves(rng: &mut ChaCha8Rng, of: &'static str) -> Vec<Leaf> {
    let mut leaves = vec![random_leaf(rng, of)];
    let second = random_leaf(rng, of);
    if second.member != leaves[0].member {
        leaves.push(second);
    }
    leaves
}

fn random_condition(rng: &mut ChaCha8Rng, depth: u32) -> Condition {
    match rng.random_range(0..if depth == 0 { 10 } else { 12 }) {
        0..5 => Condition::Parts(match rng.random_range(0..6) {
            0 => Inner::Part(random_leaf(rng, "parts")),
            1 => Inner::Sub(random_leaves(rng, "parts.subs")),
            2 => Inner::All(random_leaves(rng, "parts"), random_leaves(rng, "parts.subs")),
            3 => Inner::AllAndOneOf(
                random_leaves(rng, "parts"),
                vec![random_leaf(rng, "parts"), random_leaf(rng, "parts")],
            ),
            4 => Inner::NotPart(positive(rng)),
            _ => Inner::AndNot(random_leaf(rng, "parts"), positive(rng)),
        }),
        5 => Condition::PartAt(rng.random_range(0..3), random_leaf(rng, "parts")),
        6 | 7 => Condition::Spec(random_leaf(rng, "spec")),
        8 => match rng.random_bool(0.5) {
            true => Condition::Name(TERMS[rng.random_range(0..TERMS.len())]),
            false => Condition::NotName(TERMS[rng.random_range(0..TERMS.len())]),
        },
        9 => Condition::IsNull(if rng.random_bool(0.5) { "parts" } else { "spec" }, rng.random_bool(0.5)),
        n => {
            // One condition on `parts` at most: several would have to hold for one element.
            let mut operands = vec![random_condition(rng, 0), Condition::Name(TERMS[rng.random_range(0..TERMS.len())])];
            operands.push(Condition::NotName(TERMS[rng.random_range(0..TERMS.len())]));
            if n == 10 { Condition::And(operands) } else { Condition::Or(operands) }
        }
    }
}

/// A comparison of one value: of several, `Not` asks for an element in which not all hold together.
fn positive(rng: &mut ChaCha8Rng) -> Leaf {
    loop {
        let leaf = random_leaf(rng, "parts");
        if matches!(leaf.operator, Operator::Equal | Operator::LessThan | Operator::GreaterThanEqual | Operator::Like) {
            return leaf;
        }
    }
}

fn compare(path: &str, leaf: &Leaf) -> Filter {
    let subject = Subject::Property(format!("{path}.{}", leaf.member));
    Filter::Compare { path: Path { through: Vec::new(), subject }, operator: leaf.operator, value: leaf.value.clone() }
}

fn name(operator: Operator, word: &str) -> Filter {
    let path = Path { through: Vec::new(), subject: Subject::Property("name".into()) };
    Filter::Compare { path, operator, value: FilterValue::Text(word.into()) }
}

impl Condition {
    fn filter(&self) -> Filter {
        let leaf = |leaf: &Leaf| compare(leaf.of, leaf);
        match self {
            Self::Parts(inner) => match inner {
                Inner::Part(part) => leaf(part),
                Inner::Sub(subs) => Filter::And(subs.iter().map(leaf).collect()),
                Inner::All(parts, subs) => Filter::And(parts.iter().chain(subs).map(leaf).collect()),
                Inner::AllAndOneOf(parts, any) => {
                    let any = Filter::Or(any.iter().map(leaf).collect());
                    Filter::And(parts.iter().map(leaf).chain([any]).collect())
                }
                Inner::NotPart(part) => Filter::Not(Box::new(leaf(part))),
                Inner::AndNot(part, not) => Filter::And(vec![leaf(part), Filter::Not(Box::new(leaf(not)))]),
            },
            Self::PartAt(at, part) => compare(&format!("parts[{at}]"), part),
            Self::Spec(spec) => leaf(spec),
            Self::Name(word) => name(Operator::Equal, word),
            Self::NotName(word) => Filter::Not(Box::new(name(Operator::Equal, word))),
            Self::IsNull(of, null) => Filter::Compare {
                path: Path { through: Vec::new(), subject: Subject::Property((*of).to_owned()) },
                operator: Operator::IsNull,
                value: FilterValue::Bool(*null),
            },
            Self::And(operands) => Filter::And(operands.iter().map(Self::filter).collect()),
            Self::Or(operands) => Filter::Or(operands.iter().map(Self::filter).collect()),
        }
    }

    fn holds(&self, members: &Members) -> bool {
        let parts = objects(members.get("parts"));
        match self {
            Self::Parts(inner) => parts.iter().any(|part| inner.holds(part)),
            Self::PartAt(at, leaf) => parts.get(*at).is_some_and(|part| leaf.holds(part)),
            Self::Spec(leaf) => objects(members.get("spec")).iter().any(|spec| leaf.holds(spec)),
            Self::Name(word) => terms(members.get("name")).iter().any(|term| term == word),
            Self::NotName(word) => !terms(members.get("name")).iter().any(|term| term == word),
            Self::IsNull(of, null) => objects(members.get(*of)).is_empty() == *null,
            Self::And(operands) => operands.iter().all(|operand| operand.holds(members)),
            Self::Or(operands) => operands.iter().any(|operand| operand.holds(members)),
        }
    }
}

impl Inner {
    fn holds(&self, part: &Members) -> bool {
        let all = |leaves: &[Leaf], of: &Members| leaves.iter().all(|leaf| leaf.holds(of));
        let sub = |leaves: &[Leaf]| objects(part.get("subs")).iter().any(|sub| all(leaves, sub));
        match self {
            Self::Part(leaf) => leaf.holds(part),
            Self::Sub(leaves) => sub(leaves),
            Self::All(parts, subs) => all(parts, part) && sub(subs),
            Self::AllAndOneOf(parts, any) => all(parts, part) && any.iter().any(|leaf| leaf.holds(part)),
            Self::NotPart(leaf) => !leaf.holds(part),
            Self::AndNot(leaf, not) => leaf.holds(part) && !not.holds(part),
        }
    }
}

impl Leaf {
    fn holds(&self, of: &Members) -> bool {
        let value = of.get(self.member).filter(|value| **value != Value::Null);
        let terms = terms(value);
        let all = |wanted: &FilterValue| match wanted {
            FilterValue::Text(words) => words.split(' ').all(|word| terms.iter().any(|term| term == word)),
            other => panic!("{other:?}"),
        };
        match (&self.operator, &self.value, value) {
            (Operator::IsNull, FilterValue::Bool(null), value) => value.is_none() == *null,
            (_, _, None) => false,
            (operator, FilterValue::Int(wanted), Some(Value::Int(value))) => match operator {
                Operator::Equal => value == wanted,
                Operator::NotEqual => value != wanted,
                Operator::LessThan => value < wanted,
                _ => value >= wanted,
            },
            (Operator::Equal, wanted, _) => all(wanted),
            (Operator::NotEqual, wanted, _) => !all(wanted),
            (Operator::Like, FilterValue::Text(pattern), _) => terms.iter().any(|term| match pattern.as_str() {
                "s*" => term.starts_with('s'),
                "*l*" => term.contains('l'),
                _ => term.len() == 4 && term.ends_with("ron"),
            }),
            (Operator::ContainsAny, FilterValue::List(members), _) => members.iter().any(all),
            (Operator::ContainsNone, FilterValue::List(members), _) => !members.iter().any(all),
            other => panic!("{other:?}"),
        }
    }
}

fn terms(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::Text(text)) => text.split(' ').map(str::to_lowercase).collect(),
        _ => Vec::new(),
    }
}

fn objects(value: Option<&Value>) -> Vec<&Members> {
    let all = match value {
        Some(Value::List(values)) => values.as_slice(),
        Some(single) => std::slice::from_ref(single),
        None => &[],
    };
    all.iter().filter_map(|value| if let Value::Object(members) = value { Some(members) } else { None }).collect()
}

fn check(group: &DataGroup, model: &BTreeMap<u64, Members>, rng: &mut ChaCha8Rng, seed: u64) {
    for _ in 0..FILTERS {
        let condition = random_condition(rng, 1);
        let filter = condition.filter();
        let wanted: BTreeSet<u64> = model.iter().filter(|(_, of)| condition.holds(of)).map(|(n, _)| *n).collect();
        let count = group.count(at(1), Some(&filter)).unwrap();
        assert_eq!(count, wanted.len() as u64, "seed {seed}: {filter:?}, wanted {wanted:?}");
    }
    assert_eq!(group.audit_inverted(at(1)).unwrap(), Vec::<String>::new(), "seed {seed}");
}

#[test]
fn filters_on_values_inside_of_objects_agree_with_a_scan() {
    let seed = std::env::var("AZIMUTH_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| rand::rng().random_range(0..1_000_000));
    println!("AZIMUTH_TEST_SEED={seed}");
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut dir = tempdir().unwrap();
    let mut group = open(dir.path());
    apply(&group, vec![Command::PutCollection(Box::new(schema()))]);
    let mut model = BTreeMap::new();
    for round in 0..ROUNDS {
        for _ in 0..rng.random_range(1..OBJECTS) {
            let n = rng.random_range(0..OBJECTS);
            if rng.random_bool(0.2) {
                model.remove(&n);
                apply(&group, vec![Command::Delete { at: at(1), id: id(n) }]);
                continue;
            }
            let members = random_members(&mut rng);
            let properties: Vec<(&str, Value)> =
                members.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
            apply(&group, vec![put(at(1), object(n, &properties, None))]);
            model.insert(n, members);
        }
        match round % 3 {
            0 => work(&group),
            1 => {
                group.flush().unwrap();
                drop(group);
                dir = copy_as_killed(dir.path());
                group = open(dir.path());
            }
            _ => {
                group.rebuild_inverted(at(1));
                work(&group);
            }
        }
        check(&group, &model, &mut rng, seed);
    }
}
