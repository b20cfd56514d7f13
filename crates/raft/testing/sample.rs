//! A collection with a vector, for tests and measurements of this crate.

use std::collections::BTreeMap;

use azimuth_engine::ids::{CollectionId, ShardId, VectorId};
use azimuth_engine::schema::{
    Collection, DataType, ListedShard, Primitive, Property, TenantStatus, Tokenization, VectorConfig, VectorIndexKind,
    VectorSpace,
};

/// A collection that lists one shard, as schemas of version 1 do, with an unnamed vector and a text property `text`.
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
    let shard = ListedShard { id: ShardId::FIRST, status: TenantStatus::Hot, read_only: false };
    let mut collection = Collection {
        id: CollectionId(id),
        version: 1,
        name: name.into(),
        properties: Some(vec![text]),
        vectors: VectorSpace { unnamed: Some(vector), named: BTreeMap::new() },
        listed: Some(BTreeMap::from([("s0".to_owned(), shard)])),
        listed_next: Some(1),
        ..Collection::default()
    };
    collection.assign_ids().expect("ids are left");
    collection
}
