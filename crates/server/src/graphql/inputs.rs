//! Types of arguments, as the wire names them, and whether values have them.
//!
//! The types of a class' arguments are made from its name when they are asked for.

use azimuth_engine::meta::Catalog;
use azimuth_engine::schema::Collection;
use serde_json::Value as Json;

use super::syntax::{Given, TypeName, Value};

/// A type of arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Input {
    Int,
    Float,
    Text,
    Bool,
    /// Values that GraphQL itself has no type for.
    Scalar(String, Accepts),
    /// Its name and its words.
    Enum(String, &'static [&'static str]),
    Object(Object),
    List(Box<Self>),
    NonNull(Box<Self>),
}

/// What a scalar accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Accepts {
    /// One of these or a list of them.
    Texts,
    Ints,
    Floats,
    Bools,
    /// A list of numbers, or a list of such lists.
    Vector,
    /// A map of anything.
    Map,
}

/// An input object of a class (`of`), below `GetObjects` or `AggregateObjects` (`root`).
#[derive(Debug, Clone)]
pub(super) struct Object {
    root: &'static str,
    class: String,
    kind: &'static ObjectKind,
}

/// Which object it is. Kinds can hold themselves.
struct ObjectKind {
    /// What follows the class in its name.
    suffix: &'static str,
    fields: &'static [(&'static str, Field)],
}

/// What a field of an object holds.
#[derive(Clone, Copy)]
enum Field {
    Int,
    Float,
    Text,
    Texts,
    RequiredInt,
    RequiredFloat,
    RequiredTexts,
    /// Before the class, and what follows it.
    Scalar(&'static str, &'static str, Accepts),
    Enum(&'static str, &'static [&'static str]),
    /// An enum whose name holds no class.
    SharedEnum(&'static str, &'static [&'static str]),
    Object(&'static ObjectKind),
    Objects(&'static ObjectKind),
    RequiredObject(&'static ObjectKind),
}

impl PartialEq for Object {
    fn eq(&self, other: &Self) -> bool {
        (self.root, &self.class, self.kind.suffix) == (other.root, &other.class, other.kind.suffix)
    }
}

impl Eq for Object {}

impl std::fmt::Debug for ObjectKind {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(self.suffix)
    }
}

const OPERATORS: &[&str] = &[
    "And",
    "Like",
    "Or",
    "Not",
    "Equal",
    "NotEqual",
    "GreaterThan",
    "GreaterThanEqual",
    "LessThan",
    "LessThanEqual",
    "WithinGeoRange",
    "IsNull",
    "ContainsAny",
    "ContainsAll",
    "ContainsNone",
];

static WHERE: ObjectKind = ObjectKind { suffix: "WhereInpObj", fields: &CLAUSE };
static OPERAND: ObjectKind = ObjectKind { suffix: "WhereOperandsInpObj", fields: &CLAUSE };
static CLAUSE: [(&str, Field); 10] = [
    ("operator", Field::Enum("WhereOperatorEnum", OPERATORS)),
    ("operands", Field::Objects(&OPERAND)),
    ("path", Field::Texts),
    ("valueText", Field::Scalar("Text", "", Accepts::Texts)),
    ("valueString", Field::Scalar("TextString", "", Accepts::Texts)),
    ("valueDate", Field::Scalar("TextDate", "", Accepts::Texts)),
    ("valueInt", Field::Scalar("Int", "", Accepts::Ints)),
    ("valueNumber", Field::Scalar("Float", "", Accepts::Floats)),
    ("valueBoolean", Field::Scalar("Boolean", "", Accepts::Bools)),
    ("valueGeoRange", Field::Object(&GEO_RANGE)),
];
static GEO_RANGE: ObjectKind = ObjectKind {
    suffix: "WhereGeoRangeInpObj",
    fields: &[
        ("geoCoordinates", Field::RequiredObject(&GEO_COORDINATES)),
        ("distance", Field::RequiredObject(&GEO_DISTANCE)),
    ],
};
static GEO_COORDINATES: ObjectKind = ObjectKind {
    suffix: "WhereGeoRangeGeoCoordinatesInpObj",
    fields: &[("latitude", Field::RequiredFloat), ("longitude", Field::RequiredFloat)],
};
static GEO_DISTANCE: ObjectKind =
    ObjectKind { suffix: "WhereGeoRangeDistanceInpObj", fields: &[("max", Field::RequiredFloat)] };
static SORT: ObjectKind = ObjectKind {
    suffix: "SortInpObj",
    fields: &[("path", Field::Texts), ("order", Field::Enum("SortInpObjTypeEnum", &["asc", "desc"]))],
};
static TARGETS: ObjectKind = ObjectKind {
    suffix: "TargetsInpObj",
    fields: &[
        ("targetVectors", Field::Texts),
        (
            "combinationMethod",
            Field::Enum("TargetCombinationEnum", &["minimum", "average", "sum", "manualWeights", "relativeScore"]),
        ),
        ("weights", Field::Scalar("", "TargetWeightsScalar", Accepts::Map)),
    ],
};
static NEAR_VECTOR: ObjectKind = ObjectKind {
    suffix: "NearVectorInpObj",
    fields: &[
        ("vector", Field::Scalar("", "NearVectorVectorScalar", Accepts::Vector)),
        ("vectorPerTarget", Field::Scalar("", "NearVectorVectorPerTargetScalar", Accepts::Map)),
        ("certainty", Field::Float),
        ("distance", Field::Float),
        ("targetVectors", Field::Texts),
        ("targets", Field::Object(&TARGETS)),
    ],
};
static NEAR_OBJECT: ObjectKind = ObjectKind {
    suffix: "NearObjectInpObj",
    fields: &[
        ("id", Field::Text),
        ("beacon", Field::Text),
        ("certainty", Field::Float),
        ("distance", Field::Float),
        ("targetVectors", Field::Texts),
        ("targets", Field::Object(&TARGETS)),
    ],
};
static KEYWORD_OPERATOR: ObjectKind = ObjectKind {
    suffix: "SearchOperatorInpObj",
    fields: &[
        ("operator", Field::Enum("SearchOperatorEnum", &["And", "Or", "AndCross"])),
        ("minimumOrTokensMatch", Field::Int),
    ],
};
static BM25: ObjectKind = ObjectKind {
    suffix: "HybridGetBm25InpObj",
    fields: &[
        ("query", Field::Text),
        ("properties", Field::Texts),
        ("searchOperator", Field::Object(&KEYWORD_OPERATOR)),
    ],
};
static SUB_SEARCH: ObjectKind = ObjectKind {
    suffix: "HybridSearchesInpObj",
    fields: &[
        ("nearText", Field::Scalar("", "HybridNearTextScalar", Accepts::Map)),
        ("nearVector", Field::Object(&NEAR_VECTOR)),
    ],
};
static HYBRID: ObjectKind = ObjectKind {
    suffix: "HybridInpObj",
    fields: &[
        ("query", Field::Text),
        ("alpha", Field::Float),
        ("maxVectorDistance", Field::Float),
        ("vector", Field::Scalar("", "HybridVectorScalar", Accepts::Vector)),
        ("properties", Field::Texts),
        ("fusionType", Field::SharedEnum("FusionEnum", &["rankedFusion", "relativeScoreFusion"])),
        ("targetVectors", Field::Texts),
        ("targets", Field::Object(&TARGETS)),
        ("searches", Field::Objects(&SUB_SEARCH)),
        ("bm25SearchOperator", Field::Object(&KEYWORD_OPERATOR)),
    ],
};
static GROUP: ObjectKind = ObjectKind {
    suffix: "GroupInpObj",
    fields: &[("type", Field::Enum("GroupInpObjTypeEnum", &["closest", "merge"])), ("force", Field::Float)],
};
static GROUP_BY: ObjectKind = ObjectKind {
    suffix: "GroupByInpObj",
    fields: &[("path", Field::RequiredTexts), ("groups", Field::RequiredInt), ("objectsPerGroup", Field::RequiredInt)],
};

static KINDS: [&ObjectKind; 15] = [
    &WHERE,
    &OPERAND,
    &GEO_RANGE,
    &GEO_COORDINATES,
    &GEO_DISTANCE,
    &SORT,
    &TARGETS,
    &NEAR_VECTOR,
    &NEAR_OBJECT,
    &KEYWORD_OPERATOR,
    &BM25,
    &SUB_SEARCH,
    &HYBRID,
    &GROUP,
    &GROUP_BY,
];

/// Prefixes of the types below `Get` and `Aggregate`.
const GET: &str = "GetObjects";
const AGGREGATE: &str = "AggregateObjects";

/// The arguments of a class below `Get`.
pub(super) fn of_class(collection: &Collection) -> Vec<(&'static str, Input)> {
    let object = |kind| Input::Object(Object { root: GET, class: collection.name.clone(), kind });
    let mut arguments = vec![
        ("limit", Input::Int),
        ("offset", Input::Int),
        ("after", Input::Text),
        ("autocut", Input::Int),
        ("sort", Input::List(Box::new(object(&SORT)))),
        ("where", object(&WHERE)),
        ("nearVector", object(&NEAR_VECTOR)),
        ("nearObject", object(&NEAR_OBJECT)),
        ("bm25", object(&BM25)),
        ("hybrid", object(&HYBRID)),
        ("group", object(&GROUP)),
        ("groupBy", object(&GROUP_BY)),
    ];
    if collection.multi_tenancy.enabled {
        arguments.push(("tenant", Input::Text));
    }
    if collection.replication.factor > 1 {
        arguments.push(("consistencyLevel", Input::Enum("ConsistencyLevelEnum".to_owned(), &["ONE", "QUORUM", "ALL"])));
    }
    arguments
}

/// The arguments of a class below `Aggregate`.
pub(super) fn of_aggregate(collection: &Collection) -> Vec<(&'static str, Input)> {
    let object = |kind| Input::Object(Object { root: AGGREGATE, class: collection.name.clone(), kind });
    let mut arguments = vec![
        ("limit", Input::Int),
        ("objectLimit", Input::Int),
        ("where", object(&WHERE)),
        ("groupBy", Input::List(Box::new(Input::Text))),
        ("nearVector", object(&NEAR_VECTOR)),
        ("nearObject", object(&NEAR_OBJECT)),
        ("hybrid", object(&HYBRID)),
    ];
    if collection.multi_tenancy.enabled {
        arguments.push(("tenant", Input::Text));
    }
    arguments
}

impl Object {
    /// The fields and their types.
    pub(super) fn fields(&self) -> impl Iterator<Item = (&'static str, Input)> + '_ {
        self.kind.fields.iter().map(|(name, field)| (*name, self.field(*field)))
    }

    fn field(&self, field: Field) -> Input {
        let Self { root, class, .. } = self;
        let object = |kind| Input::Object(Self { root, class: class.clone(), kind });
        let required = |input| Input::NonNull(Box::new(input));
        let texts = || Input::List(Box::new(Input::Text));
        match field {
            Field::Int => Input::Int,
            Field::Float => Input::Float,
            Field::Text => Input::Text,
            Field::Texts => texts(),
            Field::RequiredInt => required(Input::Int),
            Field::RequiredFloat => required(Input::Float),
            Field::RequiredTexts => required(texts()),
            Field::Scalar(before, after, accepts) => Input::Scalar(format!("{before}{root}{class}{after}"), accepts),
            Field::Enum(after, words) => Input::Enum(format!("{root}{class}{after}"), words),
            Field::SharedEnum(name, words) => Input::Enum(name.to_owned(), words),
            Field::Object(kind) => object(kind),
            Field::Objects(kind) => Input::List(Box::new(object(kind))),
            Field::RequiredObject(kind) => required(object(kind)),
        }
    }
}

impl Input {
    /// The type that a variable declares; `None` when there is none of that name.
    pub(super) fn declared(catalog: &Catalog, name: &TypeName) -> Option<Self> {
        Some(match name {
            TypeName::List(of) => Self::List(Box::new(Self::declared(catalog, of)?)),
            TypeName::NonNull(of) => Self::NonNull(Box::new(Self::declared(catalog, of)?)),
            TypeName::Named(name) => match name.text.as_str() {
                "Int" => Self::Int,
                "Float" => Self::Float,
                "String" | "ID" => Self::Text,
                "Boolean" => Self::Bool,
                name => Self::named(catalog, name)?,
            },
        })
    }

    /// A type that has a class in its name.
    fn named(catalog: &Catalog, name: &str) -> Option<Self> {
        let (root, rest) = [GET, AGGREGATE].into_iter().find_map(|root| Some((root, name.split_once(root)?.1)))?;
        // The longest class that the rest begins with, so that `Book` does not hide `BookNote`.
        let class = (1..=rest.len()).rev().filter_map(|end| rest.get(..end)).find_map(|class| catalog.find(class))?;
        let object = |kind| Object { root, class: class.name.clone(), kind };
        let mut known = KINDS.into_iter().map(|kind| Self::Object(object(kind))).collect::<Vec<_>>();
        for kind in KINDS {
            known.extend(object(kind).fields().map(|(_, input)| input.inner().clone()));
        }
        known.into_iter().find(|input| input.name() == name)
    }

    /// The type without lists and requirements around it.
    fn inner(&self) -> &Self {
        match self {
            Self::List(of) | Self::NonNull(of) => of.inner(),
            plain => plain,
        }
    }

    /// How the type is written; that of a required list leaves the brackets out, as on the wire.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Int => "Int".to_owned(),
            Self::Float => "Float".to_owned(),
            Self::Text => "String".to_owned(),
            Self::Bool => "Boolean".to_owned(),
            Self::Scalar(name, _) | Self::Enum(name, _) => name.clone(),
            Self::Object(Object { root, class, kind }) => format!("{root}{class}{}", kind.suffix),
            Self::List(of) => format!("[{}]", of.name()),
            Self::NonNull(of) => match of.as_ref() {
                Self::List(element) => format!("{}!", element.name()),
                plain => format!("{}!", plain.name()),
            },
        }
    }

    /// Whether a variable of the type `declared` can stand where this type is wanted.
    pub(super) fn takes(&self, declared: &Self) -> bool {
        match (self, declared) {
            (Self::NonNull(wanted), Self::NonNull(declared)) => wanted.takes(declared),
            (Self::NonNull(_), _) => false,
            (wanted, Self::NonNull(declared)) => wanted.takes(declared),
            (Self::List(wanted), Self::List(declared)) => wanted.takes(declared),
            (wanted, declared) => wanted == declared,
        }
    }

    /// What is wrong with a value of a document, `None` being no value. Variables are looked at elsewhere.
    pub(super) fn check(&self, value: Option<&Value>, wrong: &mut Vec<String>, place: &str) {
        let mut refuse = |why: String| wrong.push(format!("{place}{why}"));
        let given = match (self, value) {
            (Self::NonNull(of), Some(value)) => return of.check(Some(value), wrong, place),
            (Self::NonNull(_), None) => return refuse(format!("Expected {:?}, found null.", self.name())),
            (_, None) => return,
            (_, Some(value)) => value,
        };
        match (self, &given.given) {
            (_, Given::Variable(_)) => {}
            (Self::List(of), Given::List(values)) => {
                for (at, value) in values.iter().enumerate() {
                    of.check(Some(value), wrong, &format!("{place}In element #{}: ", at + 1));
                }
            }
            (Self::List(of), _) => of.check(value, wrong, place),
            (Self::Object(object), Given::Object(fields)) => {
                for (name, _) in fields {
                    if !object.fields().any(|(known, _)| known == name.text) {
                        wrong.push(format!("{place}In field {:?}: Unknown field.", name.text));
                    }
                }
                for (name, input) in object.fields() {
                    let value = fields.iter().find(|(given, _)| given.text == name).map(|(_, value)| value);
                    input.check(value, wrong, &format!("{place}In field {name:?}: "));
                }
            }
            (Self::Object(_), _) => refuse(format!("Expected {:?}, found not an object.", self.name())),
            (_, found) if self.is_literal(found) => {}
            _ => refuse(format!("Expected type {:?}, found {given}.", self.name())),
        }
    }

    fn is_literal(&self, given: &Given) -> bool {
        match (self, given) {
            (Self::Int, Given::Int(digits)) => digits.parse::<i64>().is_ok(),
            (Self::Float, Given::Int(_) | Given::Float(_))
            | (Self::Text, Given::Text(_))
            | (Self::Bool, Given::Bool(_)) => true,
            (Self::Enum(_, words), Given::Enum(word)) => words.contains(&word.as_str()),
            (Self::Scalar(_, accepts), given) => accepts.literal(given),
            _ => false,
        }
    }

    /// What is wrong with the value of a variable.
    pub(super) fn check_json(&self, value: &Json, wrong: &mut Vec<String>, place: &str) {
        match (self, value) {
            (Self::NonNull(of), value) if !value.is_null() => of.check_json(value, wrong, place),
            (Self::NonNull(_), _) => wrong.push(format!("{place}Expected {:?}, found null.", self.name())),
            (_, Json::Null) => {}
            (Self::List(of), Json::Array(values)) => {
                for (at, value) in values.iter().enumerate() {
                    of.check_json(value, wrong, &format!("{place}In element #{}: ", at + 1));
                }
            }
            (Self::List(of), value) => of.check_json(value, wrong, place),
            (Self::Object(object), Json::Object(fields)) => {
                for name in fields.keys() {
                    if !object.fields().any(|(known, _)| known == name) {
                        wrong.push(format!("{place}In field {name:?}: Unknown field."));
                    }
                }
                for (name, input) in object.fields() {
                    let value = fields.get(name).unwrap_or(&Json::Null);
                    input.check_json(value, wrong, &format!("{place}In field {name:?}: "));
                }
            }
            (Self::Object(_), _) => wrong.push(format!("{place}Expected {:?}, found not an object.", self.name())),
            (_, value) if self.is_json(value) => {}
            (_, value) => {
                let found = crate::app::objects::plain(value);
                wrong.push(format!("{place}Expected type {:?}, found \"{found}\".", self.name()));
            }
        }
    }

    fn is_json(&self, value: &Json) -> bool {
        match (self, value) {
            (Self::Int, Json::Number(number)) => number.as_str().parse::<i32>().is_ok(),
            (Self::Float, Json::Number(_)) | (Self::Text, Json::String(_)) | (Self::Bool, Json::Bool(_)) => true,
            (Self::Enum(_, words), Json::String(word)) => words.contains(&word.as_str()),
            (Self::Scalar(_, accepts), value) => accepts.json(value),
            _ => false,
        }
    }
}

impl Accepts {
    fn literal(self, given: &Given) -> bool {
        let one = |given: &Given| match self {
            Self::Texts => matches!(given, Given::Text(_)),
            Self::Ints => matches!(given, Given::Int(_)),
            Self::Floats | Self::Vector => matches!(given, Given::Int(_) | Given::Float(_)),
            Self::Bools => matches!(given, Given::Bool(_)),
            Self::Map => matches!(given, Given::Object(_)),
        };
        let variable = |given: &Given| matches!(given, Given::Variable(_));
        match given {
            Given::List(values) if self == Self::Vector => values.iter().all(|value| match &value.given {
                Given::List(row) => row.iter().all(|value| one(&value.given) || variable(&value.given)),
                value => one(value) || variable(value),
            }),
            Given::List(values) if self != Self::Map => values.iter().all(|v| one(&v.given) || variable(&v.given)),
            given => self != Self::Vector && one(given),
        }
    }

    fn json(self, value: &Json) -> bool {
        let one = |value: &Json| match self {
            Self::Texts => value.is_string(),
            Self::Ints => value.is_i64() || value.is_u64(),
            Self::Floats | Self::Vector => value.is_number(),
            Self::Bools => value.is_boolean(),
            Self::Map => value.is_object(),
        };
        match value {
            Json::Array(values) if self == Self::Vector => values.iter().all(|value| match value {
                Json::Array(row) => row.iter().all(one),
                value => one(value),
            }),
            Json::Array(values) if self != Self::Map => values.iter().all(one),
            value => self != Self::Vector && one(value),
        }
    }
}
