//! A collection as a class of the wire.

use azimuth_engine::schema::{Collection, InvertedConfig, Property, VectorConfig};
use serde_json::{Map, Value, json};

use super::property::{tokenization_name, type_names};
use super::vector_index::kind_name;

/// The class that a collection is.
pub(crate) fn render_class(collection: &Collection) -> Value {
    let mut class = Map::new();
    let mut put = |name: &str, value: Value| class.insert(name.to_owned(), value);
    put("class", json!(collection.name));
    if let Some(description) = &collection.description {
        put("description", json!(description));
    }
    put("invertedIndexConfig", render_inverted(&collection.inverted));
    if let Some(config) = &collection.module_config {
        put("moduleConfig", parsed(config));
    }
    let tenancy = &collection.multi_tenancy;
    if !tenancy.left_out {
        put(
            "multiTenancyConfig",
            json!({
                "enabled": tenancy.enabled,
                "autoTenantCreation": tenancy.auto_creation,
                "autoTenantActivation": tenancy.auto_activation,
            }),
        );
    }
    if let Some(ttl) = &collection.object_ttl {
        put(
            "objectTtlConfig",
            json!({
                "enabled": ttl.enabled,
                "defaultTtl": ttl.default_ttl_s,
                "deleteOn": ttl.delete_on,
                "filterExpiredObjects": ttl.filter_expired,
            }),
        );
    }
    let properties = collection.properties.as_ref();
    put("properties", properties.map_or(Value::Null, |list| list.iter().map(render_property).collect()));
    put("replicationConfig", render_replication(collection));
    put("shardingConfig", render_sharding(collection));
    if let Some(vector) = &collection.vectors.unnamed {
        put("vectorIndexConfig", parsed(&vector.wire_config));
        put("vectorIndexType", json!(kind_name(vector.kind)));
        put("vectorizer", json!(vector.vectorizer));
    }
    if !collection.vectors.named.is_empty() {
        let named = &collection.vectors.named;
        put("vectorConfig", named.iter().map(|(name, vector)| (name.clone(), render_vector(vector))).collect());
    }
    Value::Object(class)
}

/// A property of the wire.
pub(crate) fn render_property(property: &Property) -> Value {
    let mut out = Map::new();
    let mut put = |name: &str, value: Value| out.insert(name.to_owned(), value);
    put("name", json!(property.name));
    put("dataType", json!(type_names(&property.data_type)));
    if let Some(description) = property.description.as_ref().filter(|text| !text.is_empty()) {
        put("description", json!(description));
    }
    put("indexFilterable", json!(property.filterable));
    put("indexSearchable", json!(property.searchable));
    put("indexRangeFilters", json!(property.range_filterable));
    if let Some(tokenization) = property.tokenization {
        put("tokenization", json!(tokenization_name(tokenization)));
    }
    if !property.nested.is_empty() {
        put("nestedProperties", property.nested.iter().map(render_property).collect());
    }
    if let Some(analyzer) = &property.text_analyzer {
        let mut shown = Map::new();
        if analyzer.ascii_fold == Some(true) {
            shown.insert("asciiFold".to_owned(), json!(true));
        }
        if !analyzer.ascii_fold_ignore.is_empty() {
            shown.insert("asciiFoldIgnore".to_owned(), json!(analyzer.ascii_fold_ignore));
        }
        if let Some(preset) = &analyzer.stopword_preset {
            shown.insert("stopwordPreset".to_owned(), json!(preset));
        }
        put("textAnalyzer", Value::Object(shown));
    }
    if let Some(config) = &property.module_config {
        put("moduleConfig", parsed(config));
    }
    Value::Object(out)
}

/// JSON that was stored as text.
fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_default()
}

fn render_vector(vector: &VectorConfig) -> Value {
    let config = vector.vectorizer_config.as_deref().map_or_else(|| json!({}), parsed);
    json!({
        "vectorizer": {&vector.vectorizer: config},
        "vectorIndexType": kind_name(vector.kind),
        "vectorIndexConfig": parsed(&vector.wire_config),
    })
}

fn render_inverted(config: &InvertedConfig) -> Value {
    let mut bm25 = Map::new();
    for (name, value) in [("k1", config.bm25.k1), ("b", config.bm25.b)] {
        // The wire carries these as floats of 32 bits.
        #[expect(clippy::cast_possible_truncation, reason = "rounding to the nearest is meant")]
        if let Some(value) = value.map(|value| value as f32).filter(|value| *value != 0.0) {
            bm25.insert(name.to_owned(), json!(value));
        }
    }
    let stopwords = &config.stopwords;
    let mut out = json!({
        "bm25": bm25,
        "cleanupIntervalSeconds": config.cleanup_interval_s,
        "stopwords": {
            "preset": stopwords.preset,
            "additions": stopwords.additions,
            "removals": stopwords.removals,
        },
        "usingBlockMaxWAND": true,
    });
    if let Some(presets) = config.stopword_presets.as_ref().filter(|presets| !presets.is_empty()) {
        out["stopwordPresets"] = json!(presets);
    }
    if let Some(dictionary) = &config.tokenizer_user_dict {
        out["tokenizerUserDict"] = parsed(dictionary);
    }
    for (name, on) in [
        ("indexTimestamps", config.index_timestamps),
        ("indexNullState", config.index_null_state),
        ("indexPropertyLength", config.index_property_length),
    ] {
        if on {
            out[name] = json!(true);
        }
    }
    out
}

fn render_replication(collection: &Collection) -> Value {
    let replication = &collection.replication;
    let mut out = json!({"factor": replication.factor, "asyncEnabled": replication.factor > 1});
    if let Some(strategy) = &replication.deletion_strategy {
        out["deletionStrategy"] = json!(strategy);
    }
    if let Some(config) = &replication.async_config {
        out["asyncConfig"] = parsed(config);
    }
    out
}

fn render_sharding(collection: &Collection) -> Value {
    let sharding = &collection.sharding;
    json!({
        "virtualPerPhysical": sharding.virtual_per_physical,
        "desiredCount": sharding.desired_count,
        "actualCount": sharding.actual_count,
        "desiredVirtualCount": sharding.desired_virtual_count,
        "actualVirtualCount": sharding.actual_virtual_count,
        "key": sharding.key,
        "strategy": sharding.strategy,
        "function": sharding.function,
    })
}
