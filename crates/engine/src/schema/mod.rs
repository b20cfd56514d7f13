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
