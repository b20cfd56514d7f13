//! Input objects of a class: their fields are the same for every class, their names hold the class'.

use azimuth_engine::schema::Collection;

use super::super::schema::Schema;
use super::{Accepts, Input};
use crate::modules::vectorizer::Vectorizer;

/// An input object of a class (`of`), below `GetObjects` or `AggregateObjects` (`root`).
#[derive(Debug, Clone)]
pub(in crate::weaviate::graphql) struct Object {
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
static MOVED_OBJECT: ObjectKind =
    ObjectKind { suffix: "NearTextMoveObjectInpObj", fields: &[("id", Field::Text), ("beacon", Field::Text)] };
static MOVE: ObjectKind = ObjectKind {
    suffix: "NearTextMoveInpObj",
    fields: &[("concepts", Field::Texts), ("objects", Field::Objects(&MOVED_OBJECT)), ("force", Field::RequiredFloat)],
};
static NEAR_TEXT: ObjectKind = ObjectKind {
    suffix: "NearTextInpObj",
    fields: &[
        ("concepts", Field::RequiredTexts),
        ("moveTo", Field::Object(&MOVE)),
        ("moveAwayFrom", Field::Object(&MOVE)),
        ("certainty", Field::Float),
        ("distance", Field::Float),
        ("targetVectors", Field::Texts),
        ("targets", Field::Object(&TARGETS)),
    ],
};
static KEYWORD_OPERATOR: ObjectKind = ObjectKind {
    suffix: "SearchOperatorInpObj",
    fields: &[
        ("operator", Field::Enum("SearchesOperator", &["And", "Or", "AndCross"])),
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

static KINDS: [&ObjectKind; 18] = [
    &WHERE,
    &OPERAND,
    &GEO_RANGE,
    &GEO_COORDINATES,
    &GEO_DISTANCE,
    &SORT,
    &TARGETS,
    &NEAR_VECTOR,
    &NEAR_OBJECT,
    &NEAR_TEXT,
    &MOVE,
    &MOVED_OBJECT,
    &KEYWORD_OPERATOR,
    &BM25,
    &SUB_SEARCH,
    &HYBRID,
    &GROUP,
    &GROUP_BY,
];

/// Longest name of a class.
const CLASS_BYTES_MAX: usize = 255;
/// Prefixes of the types below `Get` and `Aggregate`.
const GET: &str = "GetObjects";
const AGGREGATE: &str = "AggregateObjects";
const EXPLORE: &str = "Explore";

/// The arguments of a class below `Get`.
pub(in crate::weaviate::graphql) fn of_class(collection: &Collection) -> Vec<(&'static str, Input)> {
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
    if Vectorizer::is_needed(collection) {
        arguments.push(("nearText", object(&NEAR_TEXT)));
    }
    if collection.multi_tenancy.enabled {
        arguments.push(("tenant", Input::Text));
    }
    if collection.replication.factor > 1 {
        arguments.push(("consistencyLevel", Input::Enum("ConsistencyLevelEnum".to_owned(), &["ONE", "QUORUM", "ALL"])));
    }
    arguments
}

/// The arguments of a class below `Aggregate`.
pub(in crate::weaviate::graphql) fn of_aggregate(collection: &Collection) -> Vec<(&'static str, Input)> {
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
    if Vectorizer::is_needed(collection) {
        arguments.push(("nearText", object(&NEAR_TEXT)));
    }
    if collection.multi_tenancy.enabled {
        arguments.push(("tenant", Input::Text));
    }
    arguments
}

/// The arguments of `Explore`.
pub(in crate::weaviate::graphql) fn of_explore() -> Vec<(&'static str, Input)> {
    let object = |kind| Input::Object(Object { root: EXPLORE, class: String::new(), kind });
    vec![
        ("offset", Input::Int),
        ("limit", Input::Int),
        ("nearVector", object(&NEAR_VECTOR)),
        ("nearObject", object(&NEAR_OBJECT)),
    ]
}

impl Object {
    /// Its name on the wire.
    pub(super) fn name(&self) -> String {
        format!("{}{}{}", self.root, self.class, self.kind.suffix)
    }

    /// The fields and their types.
    pub(in crate::weaviate::graphql) fn fields(&self) -> impl Iterator<Item = (&'static str, Input)> + '_ {
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

/// A type that has a class in its name.
pub(super) fn named(catalog: &Schema, name: &str) -> Option<Input> {
    let (root, rest) = [GET, AGGREGATE].into_iter().find_map(|root| Some((root, name.split_once(root)?.1)))?;
    // The longest class that the rest begins with, so that `Book` does not hide `BookNote`.
    let class = (1..=rest.len().min(CLASS_BYTES_MAX))
        .rev()
        .filter_map(|end| rest.get(..end))
        .find_map(|class| catalog.find(class))?;
    let object = |kind| Object { root, class: class.name.clone(), kind };
    let mut known = KINDS.into_iter().map(|kind| Input::Object(object(kind))).collect::<Vec<_>>();
    for kind in KINDS {
        known.extend(object(kind).fields().map(|(_, input)| input.inner().clone()));
    }
    known.into_iter().find(|input| input.name() == name)
}
