//! What a PUT may change of a collection. Settings that it leaves out return to their defaults.

use std::collections::BTreeMap;

use azimuth_engine::meta::Catalog;
use azimuth_engine::schema::{Collection, DataType, InvertedConfig, Property, VectorConfig, VectorIndexKind};
use serde_json::Value;

use super::property::{self, Surroundings};
use super::{decode, invalid, inverted, modules, ttl, vector_index, vectors};
use crate::app::schema::names;
use crate::app::{AppError, AppResult};
use crate::settings::Settings;

/// Prefix of refusals that the real server makes while it applies the change.
const APPLYING: &str = "updating schema: TYPE_UPDATE_CLASS: bad request :parse class update: ";

const ONLY_DESCRIPTIONS: &str = "property fields other than description cannot be updated through updating the class. \
                                 Use the add property feature (e.g. \"POST /v1/schema/{className}/properties\") to add \
                                 additional properties";

fn applying(text: &str) -> AppError {
    invalid(format!("{APPLYING}{text}"))
}

fn immutable<T: std::fmt::Display>(what: &str, old: T, new: T) -> AppError {
    applying(&format!("{what} is immutable: attempted change from \"{old}\" to \"{new}\""))
}

/// The collection that a PUT of `class` makes of `old`.
///
/// # Errors
/// [`AppError::Invalid`] when it changes what cannot change.
pub(crate) fn update_class(
    settings: &Settings,
    catalog: &Catalog,
    old: &Collection,
    class: &Value,
) -> AppResult<Collection> {
    let name = class.get("class").and_then(Value::as_str).unwrap_or_default();
    if name != old.name {
        return Err(invalid(format!("class name is immutable: attempted change from \"{}\" to \"{name}\"", old.name)));
    }
    vectors::check_vectorizer(settings, text(class, "vectorizer"))?;
    let tenancy = decode::multi_tenancy(class.get("multiTenancyConfig"));
    let mut new = old.clone();
    new.multi_tenancy = tenancy?;
    new.multi_tenancy.left_out = class.get("multiTenancyConfig").is_none();
    match (old.multi_tenancy.enabled, new.multi_tenancy.enabled) {
        (true, false) => return Err(invalid("disabling multi-tenancy for an existing class is not supported")),
        (false, true) => return Err(invalid("enabling multi-tenancy for an existing class is not supported")),
        _ => {}
    }
    let index = unnamed_index(settings, old, class)?;
    new.inverted = updated_inverted(old, class)?;
    new.object_ttl = ttl::decode(settings, class.get("objectTtlConfig"), old.properties())?;
    ttl::check_timestamps(new.object_ttl.as_ref(), new.inverted.index_timestamps)?;
    new.replication = decode::replication(class.get("replicationConfig"), false);
    if new.replication.factor > old.replication.factor {
        return Err(invalid(format!(
            "not enough replicas in shard \"{}\" to increase replication factor to {} for class \"{}\"",
            catalog.shards(old.id).first().map_or("", |shard| shard.name.as_str()),
            new.replication.factor,
            old.name
        )));
    }
    new.description = decode::description(class);
    new.module_config = class.get("moduleConfig").filter(|config| !config.is_null()).map(Value::to_string);
    update_unnamed(settings, &mut new, class, index)?;
    update_named(settings, &mut new, class)?;
    check_sharding(old, class)?;
    new.properties = updated_properties(catalog, old, class, &new.inverted)?;
    modules::complete(&mut new);
    Ok(new)
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// The settings of the unnamed vector that a PUT gives; `None` when the class has no unnamed vector.
fn unnamed_index(settings: &Settings, old: &Collection, class: &Value) -> AppResult<Option<vector_index::VectorIndex>> {
    if old.vectors.unnamed.is_none() {
        return Ok(None);
    }
    let name = text(class, "vectorIndexType");
    let refuse = |text: String| invalid(format!("parse vector index config: parse vector index config: {text}"));
    let kind = vector_index::kind(settings, name)
        .ok_or_else(|| refuse(format!("unsupported vector index type: \"{name}\"")))?;
    vector_index::parse(settings, kind, class.get("vectorIndexConfig")).map(Some).map_err(refuse)
}

fn update_unnamed(
    settings: &Settings,
    new: &mut Collection,
    class: &Value,
    index: Option<vector_index::VectorIndex>,
) -> AppResult<()> {
    let given = text(class, "vectorizer");
    let Some(vector) = &mut new.vectors.unnamed else {
        return if given.is_empty() { Ok(()) } else { Err(immutable("vectorizer", "", given)) };
    };
    // A class that names vectors has no default vectorizer.
    let vectorizer = match given {
        "" if vectors::named_block(class).is_none() => vectors::of_class(settings, class),
        given => given,
    };
    if vectorizer != vector.vectorizer {
        return Err(immutable("vectorizer", vector.vectorizer.as_str(), vectorizer));
    }
    let Some(index) = index else { return Ok(()) };
    if index.kind != vector.kind {
        let (old, new) = (vector_index::kind_name(vector.kind), vector_index::kind_name(index.kind));
        return Err(immutable("vector index type", old, new));
    }
    update_index(vector, &index).map_err(|text| applying(&format!("validate vector index config: {text}")))
}

fn update_named(settings: &Settings, new: &mut Collection, class: &Value) -> AppResult<()> {
    let given = vectors::named(settings, class, false)?;
    let legacy = new.vectors.unnamed.is_some();
    if let Some(missing) = new.vectors.named.keys().find(|name| !given.contains_key(*name)) {
        return Err(applying(&format!("missing config for vector \"{missing}\"")));
    }
    let mut named = BTreeMap::new();
    for (name, given) in given {
        let Some(old) = new.vectors.named.get(&name) else {
            if legacy && name == "default" {
                return Err(applying(
                    "vector named default cannot be created when collection level vector index is configured",
                ));
            }
            named.insert(name, given);
            continue;
        };
        let mut vector = old.clone();
        let refuse = |text: String| applying(&format!("invalid update for vector \"{name}\": {text}"));
        if old.vectorizer != given.vectorizer {
            return Err(refuse(changed("vectorizer", &old.vectorizer, &given.vectorizer)));
        }
        if old.kind != given.kind {
            let (old, new) = (vector_index::kind_name(old.kind), vector_index::kind_name(given.kind));
            return Err(refuse(changed("vector index type", old, new)));
        }
        let wire = serde_json::from_str(&given.wire_config).unwrap_or_default();
        let index = vector_index::VectorIndex { kind: given.kind, wire, engine: given.index, multi: given.multi };
        update_index(&mut vector, &index).map_err(refuse)?;
        vector.vectorizer_config = given.vectorizer_config;
        named.insert(name, vector);
    }
    new.vectors.named = named;
    Ok(())
}

fn changed(what: &str, old: &str, new: &str) -> String {
    format!("{what} is immutable: attempted change from \"{old}\" to \"{new}\"")
}

/// Takes over the settings of an index of the same kind.
fn update_index(vector: &mut VectorConfig, index: &vector_index::VectorIndex) -> Result<(), String> {
    let old: Value = serde_json::from_str(&vector.wire_config).unwrap_or_default();
    let new = &index.wire;
    match vector.kind {
        VectorIndexKind::Hnsw => {
            check_graph(&old, new)?;
            check_same(&old, new, "/distance", "distance")?;
        }
        VectorIndexKind::Flat => check_scan(&old, new)?,
        VectorIndexKind::Dynamic => {
            check_same(&old, new, "/distance", "distance")?;
            check_scan(&old["flat"], &new["flat"])?;
            check_graph(&old["hnsw"], &new["hnsw"])?;
        }
        VectorIndexKind::Hfresh => {
            check_same(&old, new, "/distance", "distance")?;
            check_same(&old, new, "/replicas", "replicas")?;
        }
        VectorIndexKind::None => {}
    }
    vector.index = vector.index.updated(&index.engine);
    vector.wire_config = index.wire.to_string();
    Ok(())
}

/// Checks the settings of a graph that cannot be changed.
fn check_graph(old: &Value, new: &Value) -> Result<(), String> {
    for (path, name) in [
        ("/efConstruction", "efConstruction"),
        ("/maxConnections", "maxConnections"),
        ("/cleanupIntervalSeconds", "cleanupIntervalSeconds"),
        ("/multivector/enabled", "multivector enabled"),
        ("/multivector/muvera/enabled", "muvera enabled"),
    ] {
        check_same(old, new, path, name)?;
    }
    check_bits(old, new, "rq bits")
}

/// Checks the settings of a scan that cannot be changed.
fn check_scan(old: &Value, new: &Value) -> Result<(), String> {
    for (path, name) in [("/distance", "distance"), ("/bq/enabled", "bq"), ("/rq/enabled", "rq")] {
        check_same(old, new, path, name)?;
    }
    check_bits(old, new, "rq.bits")
}

/// Existing quantised vectors keep their bits.
fn check_bits(old: &Value, new: &Value, name: &str) -> Result<(), String> {
    let enabled = |wire: &Value| wire.pointer("/rq/enabled") == Some(&Value::Bool(true));
    if enabled(old) { check_same(old, new, "/rq/bits", name) } else { Ok(()) }
}

fn check_same(old: &Value, new: &Value, path: &str, name: &str) -> Result<(), String> {
    let shown = |value: &Value| match value.pointer(path) {
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
        None => String::new(),
    };
    let (old, new) = (shown(old), shown(new));
    if old == new { Ok(()) } else { Err(changed(name, &old, &new)) }
}

fn updated_inverted(old: &Collection, class: &Value) -> AppResult<InvertedConfig> {
    let new = inverted::decode(class.get("invertedIndexConfig"))
        .map_err(|error| applying(&format!("inverted index config: {error}")))?;
    for (name, old, new) in [
        ("indexTimestamp", old.inverted.index_timestamps, new.index_timestamps),
        ("indexNullState", old.inverted.index_null_state, new.index_null_state),
        ("indexPropertyLength", old.inverted.index_property_length, new.index_property_length),
    ] {
        if old != new {
            return Err(invalid(format!("\"{name}\" setting is immutable. Value changed from \"{old}\" to \"{new}\"")));
        }
    }
    let kept = |preset: &str| new.stopword_presets.as_ref().is_some_and(|presets| presets.contains_key(preset));
    for property in old.properties() {
        let preset = property.text_analyzer.as_ref().and_then(|analyzer| analyzer.stopword_preset.as_deref());
        if let Some(preset) = preset.filter(|preset| !matches!(*preset, "en" | "none") && !kept(preset)) {
            return Err(applying(&format!(
                "inverted index config: invertedIndexConfig.stopwordPresets: cannot remove preset \"{preset}\" because \
                 it is still used by property \"{}\"",
                property.name
            )));
        }
    }
    Ok(new)
}

fn check_sharding(old: &Collection, class: &Value) -> AppResult<()> {
    let given = class.get("shardingConfig").filter(|given| !given.is_null());
    if given.is_none() || old.multi_tenancy.enabled {
        return Ok(());
    }
    let new = decode::sharding(given)?;
    let old = &old.sharding;
    if new.desired_count != old.desired_count {
        let what = "validate sharding config: re-sharding not supported yet: shard count";
        return Err(immutable(what, old.desired_count, new.desired_count));
    }
    if new.virtual_per_physical != old.virtual_per_physical {
        let what = "validate sharding config: virtual shards per physical";
        return Err(immutable(what, old.virtual_per_physical, new.virtual_per_physical));
    }
    Ok(())
}

/// The old properties with the descriptions given, by name.
fn updated_properties(
    catalog: &Catalog,
    old: &Collection,
    class: &Value,
    inverted: &InvertedConfig,
) -> AppResult<Option<Vec<Property>>> {
    let given = class.get("properties").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    if given.len() != old.properties().len() {
        return Err(applying(ONLY_DESCRIPTIONS));
    }
    // A target may have been deleted since: properties that refer to it stay unchanged, and the rest can be changed.
    let exists = |target: &str| catalog.find(target).is_some() || refers_to(old, target);
    let around = Surroundings { class_exists: &exists, presets: inverted.stopword_presets.as_ref() };
    let mut properties = old.properties().to_vec();
    properties.sort_by(|a, b| a.name.cmp(&b.name));
    for property in &mut properties {
        let refuse = || applying(&format!("property \"{}\": {ONLY_DESCRIPTIONS}", property.name));
        let value = given.iter().find(|value| names::lower_first(text(value, "name")) == property.name);
        let new = property::decode(value.ok_or_else(refuse)?, &around)?;
        if !same_but_description(property, &new) {
            return Err(refuse());
        }
        take_descriptions(property, &new);
    }
    Ok(old.properties.as_ref().map(|_| properties))
}

fn refers_to(collection: &Collection, target: &str) -> bool {
    collection.properties().iter().any(|property| match &property.data_type {
        DataType::Reference(targets) => targets.iter().any(|name| name == target),
        _ => false,
    })
}

fn same_but_description(old: &Property, new: &Property) -> bool {
    let nested = |property: &Property| {
        let mut nested = property.nested.clone();
        nested.sort_by(|a, b| a.name.cmp(&b.name));
        nested
    };
    let (below, below_new) = (nested(old), nested(new));
    old.name == new.name
        && old.data_type == new.data_type
        && old.tokenization == new.tokenization
        && old.filterable == new.filterable
        && old.searchable == new.searchable
        && old.range_filterable == new.range_filterable
        && old.text_analyzer == new.text_analyzer
        && below.len() == below_new.len()
        && below.iter().zip(&below_new).all(|(old, new)| same_but_description(old, new))
}

fn take_descriptions(old: &mut Property, new: &Property) {
    old.description.clone_from(&new.description);
    for nested in &mut old.nested {
        if let Some(new) = new.nested.iter().find(|new| new.name == nested.name) {
            take_descriptions(nested, new);
        }
    }
}
