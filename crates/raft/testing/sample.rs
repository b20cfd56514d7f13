//! A collection with a vector, for tests and measurements of this crate.

use std::collections::BTreeMap;

use azimuth_engine::ids::{CollectionId, ShardId, VectorId};
use azimuth_engine::schema::{
    Bm25, Collection, DataType, InvertedConfig, MultiTenancy, Primitive, Property, Replication, Shard, Sharding,
    Stopwords, TenantStatus, Tokenization, VectorConfig, VectorIndexKind, VectorSpace,
};

/// A collection with one shard, an unnamed vector and a text property `text`.
pub(crate) fn collection(id: u32, name: &str) -> Collection {
    let text = Property {
        id: azimuth_engine::ids::PropertyId(0),
        name: "text".into(),
        description: None,
        data_type: DataType::one(Primitive::Text),
        tokenization: Some(Tokenization::Word),
        filterable: true,
        searchable: true,
        range_filterable: false,
        nested: Vec::new(),
        text_analyzer: None,
        module_config: None,
    };
    let vector = VectorConfig {
        id: VectorId::UNNAMED,
        vectorizer: "none".into(),
        vectorizer_config: None,
        kind: VectorIndexKind::Hnsw,
        index: azimuth_engine::vector::IndexConfig::default(),
        wire_config: "{}".into(),
        multi: false,
        muvera: None,
    };
    let shard = Shard { id: ShardId::FIRST, status: TenantStatus::Hot, read_only: false };
    let mut collection = Collection {
        id: CollectionId(id),
        version: 1,
        name: name.into(),
        description: None,
        properties: Some(vec![text]),
        vectors: VectorSpace { unnamed: Some(vector), named: BTreeMap::new() },
        inverted: InvertedConfig {
            cleanup_interval_s: 60,
            bm25: Bm25::default(),
            stopwords: Stopwords { preset: "en".into(), additions: None, removals: None },
            stopword_presets: None,
            index_timestamps: false,
            index_null_state: false,
            index_property_length: false,
            tokenizer_user_dict: None,
        },
        sharding: Sharding {
            virtual_per_physical: 128,
            desired_count: 1,
            actual_count: 1,
            desired_virtual_count: 128,
            actual_virtual_count: 128,
            key: "_id".into(),
            strategy: "hash".into(),
            function: "murmur3".into(),
        },
        replication: Replication { factor: 1, deletion_strategy: None, async_config: None },
        multi_tenancy: MultiTenancy::default(),
        object_ttl: None,
        module_config: None,
        shards: BTreeMap::from([("s0".to_owned(), shard)]),
        next_property_id: 0,
        next_vector_id: 0,
        next_shard_id: 1,
    };
    collection.assign_ids();
    collection
}
