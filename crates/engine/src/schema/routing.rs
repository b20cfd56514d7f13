//! The assignment of objects to the shards of a collection without tenants.
//!
//! The hash of the id selects a virtual shard, and each virtual shard belongs to a shard. A collection has many more virtual
//! shards than shards, so that a later change of the number of shards moves whole virtual shards.

use uuid::Uuid;

/// Position, in the order of the shard ids, of the shard that holds the object `id`; `None` without shards.
///
/// The hash is the first half of MurmurHash3 x64 128 of the 16 bytes of the id with seed 0, as in Weaviate. Virtual shard `v`
/// belongs to the shard at position `v % shards`. Stored objects depend on this function: it never changes.
pub fn shard_of(id: Uuid, shards: usize, virtual_shards: u64) -> Option<usize> {
    if shards < 2 {
        return shards.checked_sub(1);
    }
    // Reading from memory cannot fail.
    let hash = murmur3::murmur3_x64_128(&mut &id.as_bytes()[..], 0).unwrap_or_default();
    #[expect(clippy::cast_possible_truncation, reason = "the first half of the hash is wanted")]
    let token = hash as u64;
    let of = token % virtual_shards.max(shards as u64);
    usize::try_from(of % shards as u64).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The hashes were computed with another implementation, Python's mmh3.
    #[test]
    fn objects_stay_where_they_are() {
        let ids = ["00000000-0000-0000-0000-000000000001", "f47ac10b-58cc-4372-a567-0e02b2c3d479"];
        let ids = ids.map(|id| Uuid::parse_str(id).unwrap());
        let positions = |shards, virtual_shards| ids.map(|id| shard_of(id, shards, virtual_shards));
        assert_eq!(positions(8, 1024), [Some(4), Some(5)]);
        assert_eq!(positions(3, 384), [Some(2), Some(1)]);
        assert_eq!(positions(1, 128), [Some(0); 2]);
        assert_eq!(positions(0, 0), [None; 2]);
    }

    #[test]
    fn shards_hold_about_as_many_objects() {
        let mut counts = [0_u32; 8];
        for n in 0..8_000_u128 {
            counts[shard_of(Uuid::from_u128(n), 8, 1_024).unwrap()] += 1;
        }
        assert!(counts.iter().all(|count| (900..1_100).contains(count)), "{counts:?}");
    }
}
