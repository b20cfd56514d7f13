//! The schema: what a collection is, in the engine's own terms.
//!
//! Names, defaults and validation texts of the wire are the server's business; a [`Collection`] that
//! reaches the engine is valid. The types are persisted (MessagePack with field names, so that fields
//! can be added with a default) and travel in commands, so that every replica decides alike.

mod collection;
mod inverted;
mod property;
mod vector;

pub use collection::{Collection, MultiTenancy, ObjectTtl, Replication, Shard, Sharding, TenantStatus};
pub use inverted::{Bm25, InvertedConfig, Stopwords};
pub use property::{DataType, Primitive, Property, TextAnalyzer, Tokenization};
pub use vector::{VectorConfig, VectorIndexKind, VectorSpace};

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::ids::CollectionId;

    /// A collection without properties.
    pub(crate) fn collection() -> Collection {
        let stopwords = Stopwords { preset: "en".into(), ..Stopwords::default() };
        Collection {
            id: CollectionId(1),
            version: 1,
            name: "Book".into(),
            description: None,
            properties: None,
            vectors: VectorSpace::default(),
            inverted: InvertedConfig {
                cleanup_interval_s: 60,
                bm25: Bm25::default(),
                stopwords,
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
            shards: BTreeMap::new(),
            next_property_id: 1,
            next_vector_id: 1,
            next_shard_id: 1,
        }
    }

    #[test]
    fn a_schema_survives_its_encoding() {
        let bytes = rmp_serde::to_vec_named(&collection()).unwrap();
        assert_eq!(rmp_serde::from_slice::<Collection>(&bytes).unwrap(), collection());
    }
}
