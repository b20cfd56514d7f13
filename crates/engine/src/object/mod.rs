//! Objects: an id, properties, vectors, times.
//!
//! [`Object`] is the type that callers write and read; `codec` defines its encoding on disk.

pub(crate) mod codec;
mod date;
pub(crate) mod nested;
mod projection;
mod value;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use date::Date;
pub use projection::Projection;
pub use value::{Beacon, Geo, Phone, Properties, Value, value_depth};

use crate::ids::{DocId, VectorId};

/// An object, as callers write and read it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Object {
    /// Unique within its shard.
    pub id: Uuid,
    /// Unix time in milliseconds of the first write.
    pub created_ms: i64,
    /// Unix time in milliseconds of the last write.
    pub updated_ms: i64,
    /// Values by property name. A property without a value has no entry.
    pub properties: Properties,
    /// Vectors by id; a read returns only the requested ones.
    pub vectors: Vectors,
}

/// Vectors of an object by vector id.
pub type Vectors = BTreeMap<VectorId, Vector>;

/// One vector of an object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Vector {
    /// A single vector, `[dim]`.
    Single(#[serde(with = "f32_bytes")] Vec<f32>),
    /// Several vectors of one dimension, `[rows, dim]`, row after row.
    Multi {
        /// Length of a row.
        dim: u32,
        /// `rows * dim` values.
        #[serde(with = "f32_bytes")]
        rows: Vec<f32>,
    },
}

/// A stored object with the doc id of its present version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoredObject {
    /// The present version.
    pub doc_id: DocId,
    /// The object.
    pub object: Object,
}

/// A version of an object that a search found, without the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundVersion {
    /// The object.
    pub id: Uuid,
    /// The version.
    pub doc_id: DocId,
    /// When it was written, in Unix milliseconds.
    pub updated_ms: i64,
    /// Bytes of the object's row, vectors aside: roughly the cost of reading the object or of writing it again.
    pub row_bytes: usize,
}

/// Serialises vectors as little-endian bytes instead of a sequence of numbers.
mod f32_bytes {
    use serde::{Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(values: &[f32], serializer: S) -> Result<S::Ok, S::Error> {
        serde_bytes::serialize(bytemuck::cast_slice::<f32, u8>(values), serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<f32>, D::Error> {
        let bytes: serde_bytes::ByteBuf = serde_bytes::deserialize(deserializer)?;
        if !bytes.len().is_multiple_of(4) {
            return Err(D::Error::custom("a vector's bytes are not a multiple of four"));
        }
        Ok(bytes.chunks_exact(4).map(|c| f32::from_le_bytes([c[0], c[1], c[2], c[3]])).collect())
    }
}

#[cfg(target_endian = "big")]
compile_error!("vectors are cast to little-endian bytes: big-endian machines need a conversion here");
