//! What a collection and a property are when nothing is said about them.

use std::collections::BTreeMap;

use azimuth_engine::ids::{CollectionId, PropertyId, VectorId};
use azimuth_engine::schema::{
    Bm25, Collection, DataType, InvertedConfig, MultiTenancy, Property, Replication, Sharding, Stopwords, Tokenization,
    VectorConfig, VectorIndexKind, VectorSpace,
};
use azimuth_engine::vector::{IndexConfig, Muvera};
use serde_json::Value;

use super::vector_index::{self, VectorIndex};
use crate::settings::Settings;

/// Virtual shards of each shard.
pub(super) const VIRTUAL_PER_PHYSICAL: i64 = 128;

/// A collection with the unnamed vector and without properties.
pub(crate) fn new_collection(settings: &Settings, name: &str) -> Collection {
    let kind = vector_index::kind(settings, "").unwrap_or(VectorIndexKind::Hnsw);
    let index = vector_index::parse(settings, kind, None);
    let index = index.unwrap_or_else(|_| VectorIndex {
        kind: VectorIndexKind::Hnsw,
        wire: Value::Object(serde_json::Map::new()),
        engine: IndexConfig::default(),
        multi: false,
    });
    Collection {
        id: CollectionId(0),
        version: 0,
        name: name.to_owned(),
        description: None,
        properties: None,
        vectors: VectorSpace { unnamed: Some(new_vector(&index.quantized(settings))), named: BTreeMap::new() },
        inverted: new_inverted(),
        sharding: new_sharding(1),
        replication: Replication {
            factor: 1,
            deletion_strategy: Some("TimeBasedResolution".to_owned()),
            async_config: None,
        },
        multi_tenancy: MultiTenancy::default(),
        object_ttl: None,
        module_config: None,
        next_property_id: 1,
        next_vector_id: 1,
        listed: None,
        listed_next: None,
    }
}

/// A vector that the client brings.
pub(crate) fn new_vector(index: &VectorIndex) -> VectorConfig {
    VectorConfig {
        id: VectorId::UNNAMED,
        vectorizer: "none".to_owned(),
        vectorizer_config: None,
        kind: index.kind,
        index: index.engine,
        wire_config: index.wire.to_string(),
        multi: index.multi,
        muvera: muvera(index),
    }
}

/// How several vectors are encoded as one, if they are.
fn muvera(index: &VectorIndex) -> Option<Muvera> {
    let settings = index.wire.pointer("/multivector/muvera").filter(|settings| settings["enabled"] == true)?;
    let setting = |name: &str| settings[name].as_u64().and_then(|value| u32::try_from(value).ok()).unwrap_or_default();
    index.multi.then(|| Muvera {
        ksim: setting("ksim"),
        dprojections: setting("dprojections"),
        repetitions: setting("repetitions"),
    })
}

/// A property with all indexes that its type has by default.
pub(crate) fn new_property(_settings: &Settings, name: &str, data_type: DataType) -> Property {
    let text = data_type.is_text();
    Property {
        id: PropertyId(0),
        name: name.to_owned(),
        description: None,
        tokenization: text.then_some(Tokenization::Word),
        filterable: true,
        searchable: text,
        range_filterable: false,
        nested: Vec::new(),
        text_analyzer: None,
        module_config: None,
        data_type,
    }
}

/// The inverted index when nothing is said about it.
pub(super) fn new_inverted() -> InvertedConfig {
    InvertedConfig {
        cleanup_interval_s: 60,
        bm25: Bm25 { k1: Some(f64::from(1.2_f32)), b: Some(0.75) },
        stopwords: Stopwords { preset: "en".to_owned(), additions: None, removals: None },
        stopword_presets: None,
        index_timestamps: false,
        index_null_state: false,
        index_property_length: false,
        tokenizer_user_dict: None,
    }
}

/// Hash sharding over that many shards.
pub(super) fn new_sharding(count: i64) -> Sharding {
    Sharding {
        virtual_per_physical: VIRTUAL_PER_PHYSICAL,
        desired_count: count,
        actual_count: count,
        desired_virtual_count: VIRTUAL_PER_PHYSICAL * count,
        actual_virtual_count: VIRTUAL_PER_PHYSICAL * count,
        key: "_id".to_owned(),
        strategy: "hash".to_owned(),
        function: "murmur3".to_owned(),
    }
}
