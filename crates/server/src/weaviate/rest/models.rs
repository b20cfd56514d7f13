//! The models of bodies: which fields each has, in Go's terms, because the error texts name Go's types.
//!
//! Free data ([`Kind::Any`]) is not looked into.

use serde_json::{Map, Value};

use super::json;

/// What a field holds.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// Free data.
    Any,
    Text,
    Bool,
    Int,
    /// A float of 32 bits.
    F32,
    /// A float of 64 bits.
    F64,
    List(&'static Self),
    Map(&'static Self),
    Model(&'static str),
    /// A list with a type name of its own.
    NamedList(&'static str, &'static Self),
    /// Free data that must be an object; the text is Go's type.
    AnyObject(&'static str),
}

use Kind::{Any, AnyObject, Bool, F32, F64, Int, List, Map as MapOf, Model, NamedList, Text};

const TEXTS: Kind = List(&Text);

/// The names and kinds of the fields of a model.
type Fields = &'static [(&'static str, Kind)];

/// The fields of a model; `None` when there is no model of that name.
fn fields(model: &str) -> Option<Fields> {
    schema_fields(model).or_else(|| data_fields(model))
}

/// The fields of models of schemas.
#[rustfmt::skip]
fn schema_fields(model: &str) -> Option<Fields> {
    Some(match model {
        "models.Class" => &[
            ("class", Text), ("description", Text), ("invertedIndexConfig", Model("models.InvertedIndexConfig")),
            ("moduleConfig", Any), ("multiTenancyConfig", Model("models.MultiTenancyConfig")),
            ("objectTtlConfig", Model("models.ObjectTTLConfig")), ("properties", List(&Model("models.Property"))),
            ("replicationConfig", Model("models.ReplicationConfig")), ("shardingConfig", Any),
            ("vectorConfig", MapOf(&Model("models.VectorConfig"))), ("vectorIndexConfig", Any),
            ("vectorIndexType", Text), ("vectorizer", Text),
        ],
        "models.InvertedIndexConfig" => &[
            ("bm25", Model("models.BM25Config")), ("cleanupIntervalSeconds", Int), ("indexNullState", Bool),
            ("indexPropertyLength", Bool), ("indexTimestamps", Bool), ("stopwordPresets", MapOf(&TEXTS)),
            ("stopwords", Model("models.StopwordConfig")),
            ("tokenizerUserDict", List(&Model("models.TokenizerUserDictConfig"))), ("usingBlockMaxWAND", Bool),
        ],
        "models.BM25Config" => &[("b", F32), ("k1", F32)],
        "models.StopwordConfig" => &[("additions", TEXTS), ("preset", Text), ("removals", TEXTS)],
        "models.TokenizerUserDictConfig" => &[
            ("replacements", List(&Model("models.TokenizerUserDictConfigReplacementsItems0"))), ("tokenizer", Text),
        ],
        "models.TokenizerUserDictConfigReplacementsItems0" => &[("source", Text), ("target", Text)],
        "models.MultiTenancyConfig" => &[("autoTenantActivation", Bool), ("autoTenantCreation", Bool), ("enabled", Bool)],
        "models.ObjectTTLConfig" => &[
            ("defaultTtl", Int), ("deleteOn", Text), ("enabled", Bool), ("filterExpiredObjects", Bool),
        ],
        "models.ReplicationConfig" => &[
            ("asyncConfig", AnyObject("models.ReplicationAsyncConfig")), ("asyncEnabled", Bool),
            ("deletionStrategy", Text), ("factor", Int),
        ],
        "models.VectorConfig" => &[("vectorIndexConfig", Any), ("vectorIndexType", Text), ("vectorizer", Any)],
        "models.Property" | "models.NestedProperty" => &[
            ("dataType", TEXTS), ("description", Text), ("indexFilterable", Bool), ("indexInverted", Bool),
            ("indexRangeFilters", Bool), ("indexSearchable", Bool), ("moduleConfig", Any), ("name", Text),
            ("nestedProperties", List(&Model("models.NestedProperty"))),
            ("textAnalyzer", Model("models.TextAnalyzerConfig")), ("tokenization", Text),
        ],
        "models.TextAnalyzerConfig" => &[("asciiFold", Bool), ("asciiFoldIgnore", TEXTS), ("stopwordPreset", Text)],
        "models.TokenizeRequest" => &[
            ("analyzerConfig", Model("models.TextAnalyzerConfig")), ("stopwordPresets", MapOf(&TEXTS)),
            ("stopwords", Model("models.StopwordConfig")), ("text", Text), ("tokenization", Text),
        ],
        "models.PropertyTokenizeRequest" => &[("text", Text)],
        "models.IndexUpsertRequest" => &[("algorithm", Text), ("tokenization", Text)],
        "models.ExportCreateRequest" => &[("file_format", Text), ("id", Text)],
        "models.ShardStatus" => &[("status", Text)],
        "models.Tenant" => &[("activityStatus", Text), ("name", Text)],
        "models.Alias" => &[("alias", Text), ("class", Text)],
        _ => return None,
    })
}

/// The fields of models of objects and queries.
#[rustfmt::skip]
fn data_fields(model: &str) -> Option<Fields> {
    Some(match model {
        "models.Object" => &[
            ("additional", AnyObject("models.AdditionalProperties")), ("class", Text), ("creationTimeUnix", Int),
            ("id", Text), ("lastUpdateTimeUnix", Int), ("properties", Any), ("tenant", Text),
            ("vector", NamedList("models.C11yVector", &F32)), ("vectorWeights", Any),
            ("vectors", AnyObject("map[string]json.RawMessage")),
        ],
        "models.SingleRef" => &[("beacon", Text), ("class", Text), ("href", Text), ("schema", Any), ("classification", Any)],
        "models.BatchReference" => &[("from", Text), ("tenant", Text), ("to", Text)],
        "batch.BatchObjectsCreateBody" => &[("fields", TEXTS), ("objects", List(&Model("models.Object")))],
        "models.BatchDelete" => &[
            ("deletionTimeUnixMilli", Int), ("dryRun", Bool), ("match", Model("models.BatchDeleteMatch")), ("output", Text),
        ],
        "models.BatchDeleteMatch" => &[("class", Text), ("where", Model("models.WhereFilter"))],
        "models.WhereFilter" => &[
            ("operands", List(&Model("models.WhereFilter"))), ("operator", Text), ("path", TEXTS),
            ("valueBoolean", Bool), ("valueBooleanArray", List(&Bool)), ("valueDate", Text), ("valueDateArray", TEXTS),
            ("valueGeoRange", Model("models.WhereFilterGeoRange")), ("valueInt", Int), ("valueIntArray", List(&Int)),
            ("valueNumber", F64), ("valueNumberArray", List(&F64)), ("valueString", Text), ("valueStringArray", TEXTS),
            ("valueText", Text), ("valueTextArray", TEXTS),
        ],
        "models.WhereFilterGeoRange" => &[
            ("distance", Model("models.WhereFilterGeoRangeDistance")), ("geoCoordinates", Model("models.GeoCoordinates")),
        ],
        "models.WhereFilterGeoRangeDistance" => &[("max", F64)],
        "models.GeoCoordinates" => &[("latitude", F32), ("longitude", F32)],
        "models.SearchCommon" => &[
            ("autoLimit", Int), ("consistencyLevel", Text), ("groupBy", Any), ("groupedTask", Any), ("limit", Int),
            ("numberOfGroups", Any), ("objectsPerGroup", Any), ("offset", Int), ("rerank", Any), ("returnMetadata", TEXTS),
            ("returnProperties", TEXTS), ("singlePrompt", Any), ("tenant", Text), ("where", Model("models.WhereFilter")),
        ],
        // The fields of a near-text search beside the common ones: Go has no name for their type.
        "models." => &[("certainty", F64), ("distance", F64), ("query", TEXTS), ("targetVector", Text)],
        "models.GraphQLQuery" => &[("operationName", Text), ("query", Text), ("variables", Any)],
        _ => return None,
    })
}

/// The kind that Go calls by that name.
fn kind(model: &str) -> Kind {
    match model {
        "[]*models.BatchReference" => List(&Model("models.BatchReference")),
        "[]*models.Tenant" => List(&Model("models.Tenant")),
        "[]string" => TEXTS,
        "models.MultipleRef" => NamedList("models.MultipleRef", &Model("models.SingleRef")),
        "models.GraphQLQueries" => NamedList("models.GraphQLQueries", &Model("models.GraphQLQuery")),
        "models.Class" => Model("models.Class"),
        "models.Property" => Model("models.Property"),
        "models.Object" => Model("models.Object"),
        "models.IndexUpsertRequest" => Model("models.IndexUpsertRequest"),
        "models.ExportCreateRequest" => Model("models.ExportCreateRequest"),
        "models.PropertyTokenizeRequest" => Model("models.PropertyTokenizeRequest"),
        "models.TokenizeRequest" => Model("models.TokenizeRequest"),
        "models.SingleRef" => Model("models.SingleRef"),
        "batch.BatchObjectsCreateBody" => Model("batch.BatchObjectsCreateBody"),
        "models.BatchDelete" => Model("models.BatchDelete"),
        "models.WhereFilter" => Model("models.WhereFilter"),
        "models.GraphQLQuery" => Model("models.GraphQLQuery"),
        "models.SearchCommon" => Model("models.SearchCommon"),
        "models." => Model("models."),
        "models.ShardStatus" => Model("models.ShardStatus"),
        "models.Alias" => Model("models.Alias"),
        _ => Any,
    }
}

/// What a field holds, or which fields a model has, for a description of the interface.
#[derive(Debug)]
pub(super) enum Described {
    Any,
    AnyObject,
    Text,
    Bool,
    Int,
    Float,
    List(Box<Self>),
    Map(Box<Self>),
    /// A model, by its name.
    Model(&'static str),
    Fields(Vec<(&'static str, Self)>),
}

/// The fields of a model, or what else a body of that name holds.
pub(super) fn described(model: &str) -> Described {
    match fields(model) {
        Some(fields) => Described::Fields(fields.iter().map(|(name, kind)| (*name, kind.described())).collect()),
        None => kind(model).described(),
    }
}

impl Kind {
    fn described(self) -> Described {
        match self {
            Any => Described::Any,
            AnyObject(_) => Described::AnyObject,
            Text => Described::Text,
            Bool => Described::Bool,
            Int => Described::Int,
            F32 | F64 => Described::Float,
            List(element) | NamedList(_, element) => Described::List(Box::new(element.described())),
            MapOf(element) => Described::Map(Box::new(element.described())),
            Model(name) => Described::Model(name),
        }
    }
}

/// The names of the fields of `model`, for a reader of its JSON.
pub(super) fn shape(model: &str) -> impl json::Shape + use<> {
    kind(model)
}

impl json::Shape for Kind {
    fn field(self, key: &str) -> (Option<&'static str>, Self) {
        match self {
            Model(name) => match fields(name).and_then(|fields| field(fields, key)) {
                Some((name, kind)) => (Some(name), kind),
                None => (None, Any),
            },
            MapOf(element) => (None, *element),
            _ => (None, Any),
        }
    }

    fn element(self) -> Self {
        match self {
            List(element) | NamedList(_, element) => *element,
            _ => Any,
        }
    }
}

/// The field that a key stands for: that of its name, else without regard to case.
fn field(fields: &[(&'static str, Kind)], key: &str) -> Option<(&'static str, Kind)> {
    let exact = fields.iter().find(|(name, _)| *name == key);
    exact.or_else(|| fields.iter().find(|(name, _)| name.eq_ignore_ascii_case(key))).copied()
}

/// `value` as `model`: keys in their right case, unknown keys and nulls of fields left out.
///
/// # Errors
/// The first value of a wrong type, in Go's words.
pub(super) fn check(model: &str, value: Value) -> Result<Value, String> {
    let kind = kind(model);
    match (kind, value) {
        (Model(_), Value::Null) => Ok(Value::Object(Map::new())),
        (List(_) | NamedList(..), Value::Null) => Ok(Value::Array(Vec::new())),
        (kind, value) => typed(kind, value, &mut Place::default()),
    }
}

/// Where in the body the check is.
#[derive(Default)]
struct Place {
    /// The innermost model, without its package.
    model: Option<&'static str>,
    /// Names of the fields on the way.
    path: Vec<&'static str>,
}

impl Place {
    fn mismatch(&self, found: &str, go_type: &str) -> String {
        match self.model {
            None => format!("json: cannot unmarshal {found} into Go value of type {go_type}"),
            Some(model) => format!(
                "json: cannot unmarshal {found} into Go struct field {model}.{} of type {go_type}",
                self.path.join(".")
            ),
        }
    }
}

fn typed(kind: Kind, value: Value, place: &mut Place) -> Result<Value, String> {
    match (kind, value) {
        (Any, value)
        | (Text, value @ Value::String(_))
        | (Bool, value @ Value::Bool(_))
        | (AnyObject(_), value @ Value::Object(_))
        | (_, value @ Value::Null) => Ok(value),
        (Int | F32 | F64, Value::Number(number)) if fits(kind, &number) => Ok(Value::Number(number)),
        (Int | F32 | F64, Value::Number(number)) => Err(place.mismatch(&format!("number {number}"), &go_type(kind))),
        (List(element) | NamedList(_, element), Value::Array(list)) => {
            let list: Result<Vec<_>, _> = list.into_iter().map(|value| typed(*element, value, place)).collect();
            list.map(Value::Array)
        }
        (MapOf(element), Value::Object(map)) => {
            let map: Result<Map<_, _>, _> =
                map.into_iter().map(|(key, value)| Ok::<_, String>((key, typed(*element, value, place)?))).collect();
            map.map(Value::Object)
        }
        (Model(name), Value::Object(map)) => object(name, map, place),
        (kind, value) => Err(place.mismatch(found(&value), &go_type(kind))),
    }
}

fn object(name: &'static str, map: Map<String, Value>, place: &mut Place) -> Result<Value, String> {
    let fields = fields(name).unwrap_or_default();
    let outer = place.model.replace(name.rsplit('.').next().unwrap_or(name));
    let mut known = Map::new();
    for (key, value) in map {
        let Some((field, kind)) = field(fields, &key) else { continue };
        place.path.push(field);
        let value = typed(kind, value, place)?;
        place.path.pop();
        if !value.is_null() {
            known.insert(field.to_owned(), value);
        }
    }
    place.model = outer;
    Ok(Value::Object(known))
}

fn fits(kind: Kind, number: &serde_json::Number) -> bool {
    match kind {
        Int => number.as_str().parse::<i64>().is_ok(),
        F32 => number.as_str().parse::<f32>().is_ok_and(f32::is_finite),
        _ => number.as_str().parse::<f64>().is_ok_and(f64::is_finite),
    }
}

fn found(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn go_type(kind: Kind) -> String {
    match kind {
        Any => "interface {}".to_owned(),
        Text => "string".to_owned(),
        Bool => "bool".to_owned(),
        Int => "int64".to_owned(),
        F32 => "float32".to_owned(),
        F64 => "float64".to_owned(),
        Model(name) | NamedList(name, _) | AnyObject(name) => name.to_owned(),
        List(Model(name)) => format!("[]*{name}"),
        List(element) => format!("[]{}", go_type(*element)),
        MapOf(element) => format!("map[string]{}", go_type(*element)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{check, shape};
    use crate::weaviate::rest::json::parse;

    #[test]
    fn of_keys_that_differ_in_case_the_last_counts() {
        let read = |model: &str, text: &str| {
            let value = parse(text.as_bytes(), shape(model)).expect("JSON");
            check(model, value).expect("a model")
        };
        let class = r#"{"objectTtlConfig": {"defaultTtl": 9, "DefaultTTL": 3}, "properties": [{"Name": "a", "name": "b"}],
            "vectorConfig": {"v": {"vectorizer": 1, "Vectorizer": {"a": 1, "A": 2}}, "V": {}}, "Class": "A", "class": "B"}"#;
        assert_eq!(
            read("models.Class", class),
            json!({
                "class": "B",
                "objectTtlConfig": {"defaultTtl": 3},
                "properties": [{"name": "b"}],
                "vectorConfig": {"v": {"vectorizer": {"a": 1, "A": 2}}, "V": {}},
            })
        );
        let object = r#"{"properties": {"a": 1, "A": 2}, "vectors": {"a": [1], "A": [2]}, "class": "B", "CLASS": "A"}"#;
        let kept = json!({"class": "A", "properties": {"a": 1, "A": 2}, "vectors": {"a": [1], "A": [2]}});
        assert_eq!(read("models.Object", object), kept);
    }

    fn error(model: &str, value: Value) -> String {
        check(model, value).expect_err("a wrong type")
    }

    #[test]
    fn keys_take_their_right_case() {
        let body = json!({"CLASS": "A", "vectorindexconfig": {"EF": 1}, "unknown": 1, "description": null});
        assert_eq!(check("models.Class", body), Ok(json!({"class": "A", "vectorIndexConfig": {"EF": 1}})));
    }

    #[test]
    fn errors_name_the_innermost_model_and_the_whole_path() {
        let go = "json: cannot unmarshal";
        assert_eq!(error("models.Class", json!([])), format!("{go} array into Go value of type models.Class"));
        assert_eq!(
            error("models.Class", json!({"class": 5})),
            format!("{go} number into Go struct field Class.class of type string")
        );
        assert_eq!(
            error("models.Class", json!({"invertedIndexConfig": {"bm25": {"k1": "1"}}})),
            format!("{go} string into Go struct field BM25Config.invertedIndexConfig.bm25.k1 of type float32")
        );
        assert_eq!(
            error("models.Class", json!({"properties": {}})),
            format!("{go} object into Go struct field Class.properties of type []*models.Property")
        );
        assert_eq!(
            error("models.BatchDelete", json!({"match": {"where": {"valueInt": 1.5}}})),
            format!("{go} number 1.5 into Go struct field WhereFilter.match.where.valueInt of type int64")
        );
    }
}
