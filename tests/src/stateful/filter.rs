//! Filters: random ones, their form on each wire, and their meaning.
//!
//! The meaning is that of Weaviate's documentation and recordings, written down without regard to any index: a text
//! matches by its tokens, `NotEqual` and `Not` are complements, a path through references matches where one target does.

use azimuth_client::proto::weaviate::v1 as pb;
use pb::filter_target::Target;
use pb::filters::{Operator as PbOperator, TestValue};
use rand::seq::IndexedRandom;
use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::model::{Object, World};
use super::schema::{Property, Schema};
use super::value::{Kind, text, word};

/// A condition.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Filter {
    /// All conditions.
    And(Vec<Filter>),
    /// One of the conditions.
    Or(Vec<Filter>),
    /// All other objects.
    Not(Box<Filter>),
    /// A comparison.
    Leaf(Leaf),
}

/// A comparison.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Leaf {
    /// Reference properties, each with the collection that it leads to.
    pub through: Vec<(String, String)>,
    /// The operand at the end of the path.
    pub subject: Subject,
    /// The operator.
    pub operator: String,
    /// The right operand: a scalar, or a list for `Contains*`.
    pub value: Value,
    /// The kind of the value: decides the field of the wire.
    pub kind: Kind,
}

/// The left operand of a comparison.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Subject {
    /// A property's value.
    Property(String),
    /// A property's length.
    Length(String),
    /// How many references there are.
    Count(String),
    /// The object's id.
    Id,
}

/// The server must refuse the filter, because an index or a collection is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused;

const ORDERED: [&str; 6] = ["Equal", "NotEqual", "GreaterThan", "GreaterThanEqual", "LessThan", "LessThanEqual"];
const CONTAINS: [&str; 3] = ["ContainsAny", "ContainsAll", "ContainsNone"];

impl Filter {
    /// A random filter on that collection.
    pub fn random(world: &World, schema: &Schema, random: &mut impl Rng, depth: usize) -> Self {
        let several = |random: &mut _| {
            let count = RngExt::random_range(random, 1..4);
            (0..count).map(|_| Self::random(world, schema, random, depth - 1)).collect()
        };
        match random.random_range(0..10) {
            0 | 1 if depth > 0 => Self::And(several(random)),
            2 | 3 if depth > 0 => Self::Or(several(random)),
            4 if depth > 0 => Self::Not(Box::new(Self::random(world, schema, random, depth - 1))),
            _ => Self::Leaf(Leaf::random(world, schema, random)),
        }
    }

    /// Whether the object matches.
    ///
    /// # Errors
    /// [`Refused`]
    pub fn matches(&self, world: &World, schema: &Schema, id: Uuid, object: &Object) -> Result<bool, Refused> {
        // Every part is looked at: a refusal anywhere counts.
        let all = |filters: &[Self]| -> Result<Vec<bool>, Refused> {
            filters.iter().map(|filter| filter.matches(world, schema, id, object)).collect()
        };
        Ok(match self {
            Self::And(filters) => all(filters)?.into_iter().all(|matches| matches),
            Self::Or(filters) => all(filters)?.into_iter().any(|matches| matches),
            Self::Not(filter) => !filter.matches(world, schema, id, object)?,
            Self::Leaf(leaf) => leaf.matches(world, schema, id, object)?,
        })
    }

    /// Whether properties and kinds are those of the schema; they may differ when steps are left out.
    pub fn fits(&self, world: &World, schema: &Schema) -> bool {
        match self {
            Self::And(filters) | Self::Or(filters) => filters.iter().all(|filter| filter.fits(world, schema)),
            Self::Not(filter) => filter.fits(world, schema),
            Self::Leaf(leaf) => leaf.fits(world, schema),
        }
    }

    /// As REST writes it; as GraphQL does where `array` is false.
    pub fn json(&self, array: bool) -> Value {
        let several = |operator: &str, filters: &[Self]| {
            let operands: Vec<Value> = filters.iter().map(|filter| filter.json(array)).collect();
            json!({ "operator": operator, "operands": operands })
        };
        match self {
            Self::And(filters) => several("And", filters),
            Self::Or(filters) => several("Or", filters),
            Self::Not(filter) => several("Not", std::slice::from_ref(filter)),
            Self::Leaf(leaf) => leaf.json(array),
        }
    }

    /// As gRPC writes it.
    pub fn proto(&self) -> pb::Filters {
        let several = |operator: PbOperator, filters: &[Self]| pb::Filters {
            operator: operator.into(),
            filters: filters.iter().map(Self::proto).collect(),
            ..Default::default()
        };
        match self {
            Self::And(filters) => several(PbOperator::And, filters),
            Self::Or(filters) => several(PbOperator::Or, filters),
            Self::Not(filter) => several(PbOperator::Not, std::slice::from_ref(filter)),
            Self::Leaf(leaf) => leaf.proto(),
        }
    }
}

impl Leaf {
    fn random(world: &World, schema: &Schema, random: &mut impl Rng) -> Self {
        if random.random_bool(0.25)
            && let Some((name, targets)) = schema.any_reference(random)
        {
            let target = targets.choose(random).cloned().unwrap_or_default();
            if let Some(class) = world.classes.get(&target)
                && random.random_bool(0.7)
            {
                let mut leaf = Self::random(world, &class.schema, random);
                leaf.through.insert(0, (name.clone(), target));
                if leaf.through.len() < 3 {
                    return leaf;
                }
            }
            let operator = ORDERED.choose(random).copied().unwrap_or("Equal").to_owned();
            let value = random.random_range(0..4).into();
            return Self {
                through: Vec::new(),
                subject: Subject::Count(name.clone()),
                operator,
                value,
                kind: Kind::Int,
            };
        }
        if random.random_bool(0.1) {
            return Self::of_id(schema, world, random);
        }
        match schema.any_plain(random) {
            Some((name, property)) if !matches!(property.kind.member(), Kind::Blob | Kind::Object) => {
                Self::of_property(schema, name, property, random)
            }
            _ => Self::of_id(schema, world, random),
        }
    }

    fn of_id(schema: &Schema, world: &World, random: &mut impl Rng) -> Self {
        let ids: Vec<Uuid> =
            world.classes.get(&schema.name).map(|class| class.objects.keys().copied().collect()).unwrap_or_default();
        let mut pick = || ids.choose(random).copied().unwrap_or_default().to_string();
        let (one, two) = (pick(), pick());
        let (operator, value) = match random.random_range(0..4) {
            0 => ("NotEqual", one.into()),
            1 => ("ContainsAny", json!([one, two])),
            _ => ("Equal", one.into()),
        };
        let operator = operator.to_owned();
        Self { through: Vec::new(), subject: Subject::Id, operator, value, kind: Kind::Uuid }
    }

    fn of_property(schema: &Schema, name: &str, property: &Property, random: &mut impl Rng) -> Self {
        let kind = property.kind.member().clone();
        let plain = |operator: &str, value: Value, kind: Kind| Self {
            through: Vec::new(),
            subject: Subject::Property(name.to_owned()),
            operator: operator.to_owned(),
            value,
            kind,
        };
        if kind == Kind::Geo {
            let mut value = kind.value(random);
            value["distance"] = [1.0, 100_000.0, 5_000_000.0].choose(random).copied().unwrap_or(1.0).into();
            return plain("WithinGeoRange", value, kind);
        }
        if schema.property_length && property.is_measurable() && random.random_bool(0.2) {
            let operator = ORDERED.choose(random).copied().unwrap_or("Equal");
            let mut leaf = plain(operator, random.random_range(0..12).into(), Kind::Int);
            leaf.subject = Subject::Length(name.to_owned());
            return leaf;
        }
        if schema.null_state && random.random_bool(0.2) {
            return plain("IsNull", random.random_bool(0.5).into(), Kind::Bool);
        }
        let value = |random: &mut _| match &kind {
            Kind::Text(_) => text(random, 1).into(),
            kind => kind.value(random),
        };
        if random.random_bool(0.3) {
            let operator = CONTAINS.choose(random).copied().unwrap_or("ContainsAny");
            let values: Vec<Value> = (0..random.random_range(1..4)).map(|_| value(random)).collect();
            return plain(operator, values.into(), kind);
        }
        if matches!(kind, Kind::Text(_)) && random.random_bool(0.4) {
            return plain("Like", pattern(random).into(), kind);
        }
        let operators = if matches!(kind, Kind::Bool | Kind::Uuid) { &ORDERED[..2] } else { &ORDERED[..] };
        let operator = operators.choose(random).copied().unwrap_or("Equal");
        let value = value(random);
        plain(operator, value, kind)
    }

    fn fits<'a>(&self, world: &'a World, mut schema: &'a Schema) -> bool {
        for (name, target) in &self.through {
            let leads = |property: &Property| matches!(&property.kind, Kind::Reference(to) if to.contains(target));
            match world.classes.get(target) {
                Some(class) if schema.properties.get(name).is_some_and(leads) => schema = &class.schema,
                _ => return false,
            }
        }
        match &self.subject {
            Subject::Id => true,
            Subject::Count(name) => {
                schema.properties.get(name).is_some_and(|property| matches!(property.kind, Kind::Reference(_)))
            }
            Subject::Length(name) => {
                schema.property_length && schema.properties.get(name).is_some_and(Property::is_measurable)
            }
            Subject::Property(name) if self.operator == "IsNull" => {
                schema.null_state && schema.properties.contains_key(name)
            }
            Subject::Property(name) => {
                schema.properties.get(name).is_some_and(|property| *property.kind.member() == self.kind)
            }
        }
    }

    /// `valueText` and the like.
    fn field(&self) -> &'static str {
        match self.kind {
            Kind::Int => "valueInt",
            Kind::Number => "valueNumber",
            Kind::Bool => "valueBoolean",
            Kind::Date => "valueDate",
            Kind::Geo => "valueGeoRange",
            _ => "valueText",
        }
    }

    fn json(&self, array: bool) -> Value {
        let mut path: Vec<String> =
            self.through.iter().flat_map(|(name, target)| [name.clone(), target.clone()]).collect();
        path.push(match &self.subject {
            Subject::Property(name) | Subject::Count(name) => name.clone(),
            Subject::Length(name) => format!("len({name})"),
            Subject::Id => "id".to_owned(),
        });
        let value = match (&self.kind, &self.value) {
            (Kind::Geo, geo) => json!({
                "geoCoordinates": { "latitude": geo["latitude"], "longitude": geo["longitude"] },
                "distance": { "max": geo["distance"] },
            }),
            (_, value) => value.clone(),
        };
        let suffix = if array && self.value.is_array() { "Array" } else { "" };
        json!({ "path": path, "operator": self.operator, format!("{}{suffix}", self.field()): value })
    }

    fn proto(&self) -> pb::Filters {
        let operator = match self.operator.as_str() {
            "Equal" => PbOperator::Equal,
            "NotEqual" => PbOperator::NotEqual,
            "GreaterThan" => PbOperator::GreaterThan,
            "GreaterThanEqual" => PbOperator::GreaterThanEqual,
            "LessThan" => PbOperator::LessThan,
            "LessThanEqual" => PbOperator::LessThanEqual,
            "Like" => PbOperator::Like,
            "IsNull" => PbOperator::IsNull,
            "ContainsAny" => PbOperator::ContainsAny,
            "ContainsAll" => PbOperator::ContainsAll,
            "ContainsNone" => PbOperator::ContainsNone,
            _ => PbOperator::WithinGeoRange,
        };
        let mut target = match &self.subject {
            Subject::Property(name) => Target::Property(name.clone()),
            Subject::Length(name) => Target::Property(format!("len({name})")),
            Subject::Count(name) => Target::Count(pb::FilterReferenceCount { on: name.clone() }),
            Subject::Id => Target::Property("_id".to_owned()),
        };
        for (name, collection) in self.through.iter().rev() {
            let inner = Some(Box::new(pb::FilterTarget { target: Some(target) }));
            target = Target::MultiTarget(Box::new(pb::FilterReferenceMultiTarget {
                on: name.clone(),
                target: inner,
                target_collection: collection.clone(),
            }));
        }
        pb::Filters {
            operator: operator.into(),
            target: Some(pb::FilterTarget { target: Some(target) }),
            test_value: Some(self.test_value()),
            ..Default::default()
        }
    }

    fn test_value(&self) -> TestValue {
        let texts = |values: &[Value]| values.iter().filter_map(Value::as_str).map(str::to_owned).collect();
        let number = |value: &Value| value.as_f64().unwrap_or(0.0);
        match (&self.kind, &self.value) {
            (Kind::Int, Value::Array(values)) => {
                TestValue::ValueIntArray(pb::IntArray { values: values.iter().filter_map(Value::as_i64).collect() })
            }
            (Kind::Number, Value::Array(values)) => {
                TestValue::ValueNumberArray(pb::NumberArray { values: values.iter().map(number).collect() })
            }
            (Kind::Bool, Value::Array(values)) => TestValue::ValueBooleanArray(pb::BooleanArray {
                values: values.iter().filter_map(Value::as_bool).collect(),
            }),
            (_, Value::Array(values)) => TestValue::ValueTextArray(pb::TextArray { values: texts(values) }),
            (Kind::Int, value) => TestValue::ValueInt(value.as_i64().unwrap_or(0)),
            (Kind::Number, value) => TestValue::ValueNumber(number(value)),
            (Kind::Bool, value) => TestValue::ValueBoolean(value.as_bool().unwrap_or(false)),
            (Kind::Geo, value) => TestValue::ValueGeo(pb::GeoCoordinatesFilter {
                latitude: number(&value["latitude"]) as f32,
                longitude: number(&value["longitude"]) as f32,
                distance: number(&value["distance"]) as f32,
            }),
            (_, value) => TestValue::ValueText(value.as_str().unwrap_or_default().to_owned()),
        }
    }
}

/// A word with one part of it replaced by wildcards.
fn pattern(random: &mut impl Rng) -> String {
    let chars: Vec<char> = word(random).chars().collect();
    let at = random.random_range(0..chars.len());
    let (before, after) = (&chars[..at], &chars[at + 1..]);
    let text = |part: &[char]| part.iter().collect::<String>();
    match random.random_range(0..4) {
        0 => format!("{}?{}", text(before), text(after)),
        1 => format!("{}*", text(before)),
        2 => format!("*{}", text(after)),
        _ => format!("{}*{}", text(before), text(after)),
    }
}
