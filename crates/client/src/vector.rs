//! Vectors as the wire carries them: little-endian f32, one after the other; several rows behind a u16 dimension.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::error::{Error, Result};
use crate::proto::weaviate::v1 as pb;

/// The name under which every server knows the unnamed vector of a collection.
pub const DEFAULT_VECTOR: &str = "default";

/// The f32 values of `vector` in little-endian order, four bytes each.
pub fn encode_vector(vector: &[f32]) -> Bytes {
    if cfg!(target_endian = "little") {
        return Bytes::copy_from_slice(bytemuck::cast_slice(vector));
    }
    vector.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// The inverse of [`encode_vector`]; an error if the length is not a multiple of four.
pub fn decode_vector(bytes: &[u8]) -> Result<Vec<f32>> {
    let (values, rest) = bytes.as_chunks::<4>();
    if !rest.is_empty() {
        return Err(Error::Protocol(format!("a vector of {} bytes, not a multiple of 4", bytes.len())));
    }
    Ok(values.iter().map(|value| f32::from_le_bytes(*value)).collect())
}

/// The vectors of one object: none, an unnamed one, or several by name.
///
/// An unnamed vector travels as `vectors` with the name [`DEFAULT_VECTOR`] (or `vector` over REST), which servers accept
/// for collections with an unnamed vector and for those whose only vector is called `default`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Vectors {
    by_name: BTreeMap<String, Vec<f32>>,
}

impl Vectors {
    /// No vector.
    pub fn none() -> Vectors {
        Vectors::default()
    }

    /// The vector of a collection that has one vector without a name.
    pub fn unnamed(vector: impl Into<Vec<f32>>) -> Vectors {
        Vectors::none().with(DEFAULT_VECTOR, vector)
    }

    /// These vectors and one more, called `name`; a vector of that name is replaced.
    pub fn with(mut self, name: impl Into<String>, vector: impl Into<Vec<f32>>) -> Vectors {
        self.by_name.insert(name.into(), vector.into());
        self
    }

    /// Whether there is no vector at all.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// The unnamed vector, or the one called `default`, or else the only one.
    pub fn single(&self) -> Option<&[f32]> {
        let only = || if self.by_name.len() == 1 { self.by_name.values().next() } else { None };
        self.by_name.get(DEFAULT_VECTOR).or_else(only).map(Vec::as_slice)
    }

    /// The vector called `name`.
    pub fn get(&self, name: &str) -> Option<&[f32]> {
        self.by_name.get(name).map(Vec::as_slice)
    }

    /// All vectors in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[f32])> {
        self.by_name.iter().map(|(name, vector)| (name.as_str(), vector.as_slice()))
    }

    pub(crate) fn to_proto(&self) -> Vec<pb::Vectors> {
        self.iter().map(|(name, vector)| single_fp32(name, vector)).collect()
    }

    /// The vectors of a search answer; `unnamed` is the field `vector_bytes`.
    pub(crate) fn from_proto(named: &[pb::Vectors], unnamed: &[u8]) -> Result<Vectors> {
        let mut vectors = Vectors::none();
        if !unnamed.is_empty() {
            vectors = vectors.with(DEFAULT_VECTOR, decode_vector(unnamed)?);
        }
        for vector in named {
            // Vectors of several rows are not offered by this type; their name would suggest one row.
            if vector.r#type() != pb::vectors::VectorType::MultiFp32 {
                vectors = vectors.with(vector.name.clone(), decode_vector(&vector.vector_bytes)?);
            }
        }
        Ok(vectors)
    }
}

/// One vector of one row under `name`; an empty name means the collection's only vector.
pub(crate) fn single_fp32(name: &str, vector: &[f32]) -> pb::Vectors {
    pb::Vectors {
        name: name.to_owned(),
        vector_bytes: encode_vector(vector),
        r#type: pb::vectors::VectorType::SingleFp32.into(),
        ..pb::Vectors::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_are_little_endian_f32() {
        let bytes = encode_vector(&[1.0, -2.5]);
        assert_eq!(&bytes[..], [0, 0, 0x80, 0x3f, 0, 0, 0x20, 0xc0]);
        assert_eq!(decode_vector(&bytes), Ok(vec![1.0, -2.5]));
        assert!(matches!(decode_vector(&bytes[..7]), Err(Error::Protocol(_))));
    }

    #[test]
    fn unnamed_and_default_are_the_same_vector() {
        let vectors = Vectors::unnamed([0.5, 1.0]);
        assert_eq!(vectors.get("default"), Some(&[0.5, 1.0][..]));
        let wire = vectors.to_proto();
        assert_eq!(wire.len(), 1);
        assert_eq!(wire[0].name, "default");
        assert_eq!(Vectors::from_proto(&wire, &[]), Ok(vectors.clone()));
        assert_eq!(Vectors::from_proto(&[], &wire[0].vector_bytes), Ok(vectors));
    }

    #[test]
    fn the_only_vector_is_the_single_one_whatever_its_name() {
        assert_eq!(Vectors::none().with("title", [1.0]).single(), Some(&[1.0][..]));
        assert_eq!(Vectors::none().with("title", [1.0]).with("body", [2.0]).single(), None);
        assert_eq!(Vectors::none().with("a", [1.0]).with("default", [2.0]).single(), Some(&[2.0][..]));
    }
}
