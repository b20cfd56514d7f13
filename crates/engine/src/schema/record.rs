//! The stored form of a schema, in the `meta` family and within commands.
//!
//! A version byte and MessagePack with field names, so that a field can be added with a default and records of earlier
//! versions still read. Version 1 lists the shards of the collection; version 2 does not.

use std::collections::BTreeSet;

use super::{Collection, Property, schema_depth};
use crate::ids::PropertyId;
use crate::limits::DEPTH_MAX;
use crate::{Error, Result};

const VERSION_WITH_SHARDS: u8 = 1;
const VERSION: u8 = 2;

/// Encodes a schema.
pub(crate) fn encode_schema(collection: &Collection) -> Result<Vec<u8>> {
    let mut bytes = vec![if collection.listed.is_some() { VERSION_WITH_SHARDS } else { VERSION }];
    rmp_serde::encode::write_named(&mut bytes, collection)
        .map_err(|error| Error::Storage(format!("encode a schema: {error}")))?;
    Ok(bytes)
}

/// Encodes the schema of a command after the checks that apply requires: its parts have distinct ids, and its record
/// decodes.
///
/// # Errors
/// [`Error::Invalid`]: the command is refused. The same schema is refused by every replica and at every replay.
pub(crate) fn encode_to_apply(collection: &Collection) -> Result<Vec<u8>> {
    let refused = |why: String| Err(Error::Invalid(format!("the schema of collection {}: {why}", collection.name)));
    let mut ids = BTreeSet::new();
    if let Some(id) = repeated(collection.properties(), &mut ids) {
        return refused(format!("two properties have the id {id}"));
    }
    let mut ids = BTreeSet::new();
    if let Some((_, vector)) = collection.vectors.iter().find(|(_, vector)| !ids.insert(vector.id)) {
        return refused(format!("two vectors have the id {}", vector.id));
    }
    let bytes = match encode_schema(collection) {
        Ok(bytes) => bytes,
        Err(error) => return refused(error.to_string()),
    };
    // MessagePack has a depth limit for encoding and decoding. Only a schema deeper than the limit for requests can reach
    // it, so only such a schema is decoded on trial.
    if schema_depth(collection.properties()) > DEPTH_MAX
        && let Err(error) = decode_schema(&bytes)
    {
        return refused(error.to_string());
    }
    Ok(bytes)
}

/// The first id that occurs twice.
fn repeated(properties: &[Property], ids: &mut BTreeSet<PropertyId>) -> Option<PropertyId> {
    properties.iter().find_map(|property| match ids.insert(property.id) {
        true => repeated(&property.nested, ids),
        false => Some(property.id),
    })
}

/// Decodes a schema.
///
/// # Errors
/// [`Error::Damaged`] for an unknown version, and for bytes that are no schema.
pub(crate) fn decode_schema(bytes: &[u8]) -> Result<Collection> {
    match bytes.split_first() {
        Some((&(VERSION | VERSION_WITH_SHARDS), body)) => {
            rmp_serde::from_slice(body).map_err(|error| Error::Damaged(format!("schema: {error}")))
        }
        Some((found, _)) => Err(Error::Damaged(format!("schema: unknown version {found}"))),
        None => Err(Error::Damaged("schema: empty".into())),
    }
}

/// Serialises a schema as the bytes of its record inside any format; for `#[serde(with)]`.
pub(crate) mod embedded {
    use serde::de::Error as _;
    use serde::ser::Error as _;
    use serde::{Deserializer, Serializer};

    use super::{Collection, decode_schema, encode_schema};

    pub(crate) fn serialize<S: Serializer>(collection: &Collection, serializer: S) -> Result<S::Ok, S::Error> {
        let bytes = encode_schema(collection).map_err(S::Error::custom)?;
        serde_bytes::serialize(&bytes, serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Box<Collection>, D::Error> {
        let bytes: Vec<u8> = serde_bytes::deserialize(deserializer)?;
        decode_schema(&bytes).map(Box::new).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::ids::VectorId;

    /// `"vector_lengths": {0: 3, 300: 1536}` in MessagePack.
    const LENGTHS: &[u8] = b"\xaevector_lengths\x82\x00\x03\xcd\x01\x2c\xcd\x06\x00";

    #[test]
    fn lengths_of_vectors_are_a_field_that_records_may_lack() {
        let vector_lengths = BTreeMap::from([(VectorId(0), 3), (VectorId(300), 1_536)]);
        let collection = Collection { name: "Book".into(), vector_lengths, ..Collection::default() };
        let bytes = encode_schema(&collection).expect("a record");
        assert!(bytes.windows(LENGTHS.len()).any(|part| part == LENGTHS), "{bytes:02x?}");
        assert_eq!(decode_schema(&bytes).expect("a schema"), collection);
        let without = Collection { vector_lengths: BTreeMap::new(), ..collection };
        let bytes = encode_schema(&without).expect("a record");
        assert!(!bytes.windows(15).any(|part| part == &LENGTHS[..15]), "records without lengths are as before");
        assert_eq!(decode_schema(&bytes).expect("a schema"), without);
    }
}
