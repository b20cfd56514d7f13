//! Sets of object ids that are part of a filter.

use std::sync::Arc;

use serde::de::{Deserializer, Error};
use serde::{Deserialize, Serialize, Serializer};
use serde_bytes::ByteBuf;
use uuid::Uuid;

/// Bytes of an id.
const ID_BYTES: usize = 16;

/// Ids of objects, each once, ascending. Clones share the memory, so that a filter with many ids can be sent to many shards.
///
/// Encoded as one text of bytes, 16 for each id.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IdSet(Arc<[Uuid]>);

impl IdSet {
    /// The set of these ids.
    #[must_use]
    pub fn new(mut ids: Vec<Uuid>) -> Self {
        ids.sort_unstable();
        ids.dedup();
        Self(ids.into())
    }

    /// The ids, ascending.
    #[must_use]
    pub fn as_slice(&self) -> &[Uuid] {
        &self.0
    }

    /// Whether the set has the id.
    #[must_use]
    pub fn contains(&self, id: Uuid) -> bool {
        self.0.binary_search(&id).is_ok()
    }
}

impl Serialize for IdSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut bytes = Vec::with_capacity(self.0.len() * ID_BYTES);
        self.0.iter().for_each(|id| bytes.extend_from_slice(id.as_bytes()));
        serializer.serialize_bytes(&bytes)
    }
}

impl<'de> Deserialize<'de> for IdSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = ByteBuf::deserialize(deserializer)?;
        let (ids, rest) = bytes.as_chunks::<ID_BYTES>();
        if !rest.is_empty() {
            return Err(D::Error::custom(format!("{} bytes are no ids of {ID_BYTES} bytes each", bytes.len())));
        }
        // The other side may not have sorted them.
        Ok(Self::new(ids.iter().map(|id| Uuid::from_bytes(*id)).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_sorted_also_when_they_are_decoded() {
        let [a, b, c] = [1, 2, 3].map(Uuid::from_u128);
        let set = IdSet::new(vec![c, a, c, b]);
        assert_eq!(set.as_slice(), [a, b, c]);
        assert!(set.contains(b) && !set.contains(Uuid::nil()));
        let bytes = postcard::to_allocvec(&set).unwrap();
        assert_eq!(bytes.len(), 1 + 3 * ID_BYTES);
        assert_eq!(postcard::from_bytes::<IdSet>(&bytes).unwrap(), set);
        let unsorted = postcard::to_allocvec(&ByteBuf::from([c, a].map(Uuid::into_bytes).concat())).unwrap();
        assert_eq!(postcard::from_bytes::<IdSet>(&unsorted).unwrap(), IdSet::new(vec![a, c]));
        let cut = postcard::to_allocvec(&ByteBuf::from(vec![0; 20])).unwrap();
        assert!(postcard::from_bytes::<IdSet>(&cut).is_err());
    }
}
