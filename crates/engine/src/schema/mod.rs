//! The schema: collections and their settings as engine types.
//!
//! The server owns the wire's names, defaults and validation texts and validates a [`Collection`] before it
//! reaches the engine. The types are persisted as MessagePack with field names, so that fields can be added
//! with a default, and are part of commands, so that all replicas decide alike.

mod alias;
mod collection;
mod inverted;
mod kept;
mod lookup;
mod property;
mod record;
mod routing;
mod shards;
mod size;
mod vector;

pub use alias::Alias;
pub use collection::{Collection, MultiTenancy, ObjectTtl, Replication, Sharding};
pub use inverted::{Bm25, InvertedConfig, Stopwords};
pub(crate) use kept::check_kept;
pub use lookup::PropertyLookup;
pub use property::{DataType, Primitive, Property, TextAnalyzer, Tokenization};
pub(crate) use record::{decode_schema, embedded, encode_schema, encode_to_apply};
pub use routing::shard_of;
pub(crate) use shards::{GivenIds, check_names};
pub use shards::{ListedShard, Shard, ShardTable, TenantStatus};
pub use size::{check_schema, property_count, schema_depth};
pub use vector::{VectorConfig, VectorIndexKind, VectorSpace};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ShardId;

    #[test]
    fn a_schema_survives_its_encoding() {
        let collection = Collection { name: "Book".into(), ..Collection::default() };
        assert_eq!(decode_schema(&encode_schema(&collection).unwrap()).unwrap(), collection);
    }

    #[test]
    fn a_schema_with_shards_inside_is_one_of_version_1() {
        let shard = ListedShard { id: ShardId(3), status: TenantStatus::Cold, read_only: true };
        let listed = Some([("s".to_owned(), shard)].into());
        let collection = Collection { listed, listed_next: Some(4), ..Collection::default() };
        let bytes = encode_schema(&collection).unwrap();
        assert_eq!((bytes[0], decode_schema(&bytes).unwrap()), (1, collection));
        assert_eq!(encode_schema(&Collection::default()).unwrap()[0], 2);
    }

    #[test]
    fn a_schema_of_a_later_version_is_refused() {
        let mut bytes = encode_schema(&Collection::default()).unwrap();
        bytes[0] += 1;
        assert!(decode_schema(&bytes).unwrap_err().to_string().contains("unknown version 3"));
        assert!(decode_schema(&[]).is_err());
    }
}
