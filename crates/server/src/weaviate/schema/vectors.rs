//! The vectors of a class as the wire gives them: one without a name, or named ones.

use std::collections::BTreeMap;

use azimuth_engine::schema::{VectorConfig, VectorSpace};
use serde_json::Value;

use super::vector_index::{self, VectorIndex};
use super::{defaults, invalid, refused_name};
use crate::app::AppResult;
use crate::app::schema::names;
use crate::modules::registry::Kind;
use crate::settings::Settings;

/// Reads the vectors of a new class.
pub(super) fn decode(settings: &Settings, class: &Value) -> AppResult<VectorSpace> {
    if named_block(class).is_none() {
        return Ok(VectorSpace { unnamed: Some(unnamed(settings, class)?), named: BTreeMap::new() });
    }
    let given = |field: &str| class.get(field).is_some_and(|value| value.as_str() != Some(""));
    if given("vectorizer") || given("vectorIndexType") || given("vectorIndexConfig") {
        return Err(invalid("creating a class with both a class level vector index and named vectors is forbidden"));
    }
    Ok(VectorSpace { unnamed: None, named: named(settings, class, true)? })
}

/// The named vectors given, if there is one.
pub(super) fn named_block(class: &Value) -> Option<&serde_json::Map<String, Value>> {
    class.get("vectorConfig").and_then(Value::as_object).filter(|named| !named.is_empty())
}

/// Refuses vectorizers that are not enabled.
pub(super) fn check_vectorizer(settings: &Settings, name: &str) -> AppResult<()> {
    match name {
        "" | "none" => Ok(()),
        _ if settings.modules.is_enabled(name, Kind::Vectorizer) => Ok(()),
        _ => Err(invalid(format!("vectorizer: no module with name \"{name}\" present"))),
    }
}

/// The vectorizer of a class without named vectors.
pub(super) fn of_class<'a>(settings: &'a Settings, class: &'a Value) -> &'a str {
    let given = text(class, "vectorizer");
    if given.is_empty() { &settings.modules.default_vectorizer } else { given }
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn unnamed(settings: &Settings, class: &Value) -> AppResult<VectorConfig> {
    let type_name = text(class, "vectorIndexType");
    let given = class.get("vectorIndexConfig");
    if given.is_some_and(|given| !given.is_object() && !given.is_null()) {
        return Err(invalid("parse vector index config: parse vector index config: input must be a non-nil map"));
    }
    let vectorizer = of_class(settings, class);
    check_vectorizer(settings, vectorizer)?;
    let index =
        index(settings, type_name, given, "class.VectorIndexConfig can not parse: parse vector index config: ")?;
    if index.multi {
        return Err(invalid(
            "class.VectorIndexConfig multi vector type index type is only configurable using named vectors",
        ));
    }
    Ok(VectorConfig { vectorizer: vectorizer.to_owned(), ..defaults::new_vector(&index.quantized(settings)) })
}

fn index(settings: &Settings, type_name: &str, given: Option<&Value>, prefix: &str) -> AppResult<VectorIndex> {
    let Some(kind) = vector_index::kind(settings, type_name) else {
        return Err(invalid(format!("unrecognized or unsupported vectorIndexType \"{type_name}\"")));
    };
    if type_name == "dynamic" && !settings.async_indexing {
        return Err(invalid("the dynamic index can only be created when async indexing is enabled"));
    }
    vector_index::parse(settings, kind, given).map_err(|text| invalid(format!("{prefix}{text}")))
}

/// Reads named vectors; those of a new class get the quantizer that new classes get.
pub(super) fn named(settings: &Settings, class: &Value, new: bool) -> AppResult<BTreeMap<String, VectorConfig>> {
    let mut vectors = BTreeMap::new();
    for (name, given) in named_block(class).into_iter().flatten() {
        names::check_vector(name).map_err(refused_name)?;
        let (vectorizer, config) = vectorizer(given.get("vectorizer"))?;
        let target = |text: String| invalid(format!("target vector \"{name}\": {text}"));
        check_vectorizer(settings, &vectorizer).map_err(|error| target(error.to_string()))?;
        let type_name = text(given, "vectorIndexType");
        if type_name == "none" {
            return Err(invalid(format!(
                "vector \"{name}\": cannot create a new class with vectorIndexType \"none\"; this is an internal \
                 sentinel for dropped indexes"
            )));
        }
        let prefix = "parse vector index config: parse vector index config: ";
        let index = index(settings, type_name, given.get("vectorIndexConfig"), prefix);
        let index = index.map_err(|error| target(error.to_string()))?;
        let index = if new { index.quantized(settings) } else { index };
        vectors.insert(
            name.clone(),
            VectorConfig { vectorizer, vectorizer_config: config, ..defaults::new_vector(&index) },
        );
    }
    Ok(vectors)
}

/// Name and settings of the one vectorizer of a named vector.
fn vectorizer(given: Option<&Value>) -> AppResult<(String, Option<String>)> {
    let refuse = |found: &str| Err(invalid(format!("class.VectorConfig.Vectorizer must be an object, got {found}")));
    let given = match given {
        Some(Value::Object(given)) => given,
        None | Some(Value::Null) => return refuse("<nil>"),
        Some(Value::String(_)) => return refuse("string"),
        Some(Value::Bool(_)) => return refuse("bool"),
        Some(Value::Number(_)) => return refuse("json.Number"),
        Some(Value::Array(_)) => return refuse("[]interface {}"),
    };
    let mut entries = given.iter();
    match (entries.next(), entries.next()) {
        (Some((name, config)), None) => Ok((name.clone(), Some(config.to_string()))),
        _ => Err(invalid(format!(
            "class.VectorConfig.Vectorizer must consist only 1 configuration, got: {}",
            given.len()
        ))),
    }
}
