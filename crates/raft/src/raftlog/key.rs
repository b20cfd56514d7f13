//! Keys of the log's RocksDB. All start with the group, so that groups never meet; numbers are big-endian, so that
//! byte order is log order.

use azimuth_engine::ids::GroupId;

/// Bytes of a key in family `log`: group (4), index (8).
pub(crate) const ENTRY_BYTES: usize = 12;

/// Group number that stands before what belongs to no group.
const NO_GROUP: u32 = u32::MAX;

/// What family `meta` holds of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Meta {
    /// The last vote.
    Vote = 1,
    /// The last entry known to be committed; may be behind.
    Committed = 2,
    /// The last entry that was purged.
    Purged = 3,
    /// The last entry of a snapshot whose install has begun; gone once the log is purged up to it.
    Installing = 4,
}

/// Key of an entry.
pub(crate) fn entry(group: GroupId, index: u64) -> [u8; ENTRY_BYTES] {
    let mut key = [0; ENTRY_BYTES];
    key[..4].copy_from_slice(&group.0.to_be_bytes());
    key[4..].copy_from_slice(&index.to_be_bytes());
    key
}

/// First key behind all entries of a group.
pub(crate) fn entries_end(group: GroupId) -> [u8; ENTRY_BYTES] {
    entry(GroupId(group.0.saturating_add(1)), 0)
}

/// Index in the key of an entry of that group; `None` for any other key.
pub(crate) fn index(group: GroupId, key: &[u8]) -> Option<u64> {
    let rest = key.strip_prefix(group.0.to_be_bytes().as_slice())?;
    Some(u64::from_be_bytes(rest.try_into().ok()?))
}

/// Key of something that family `meta` holds of a group.
pub(crate) fn meta(group: GroupId, what: Meta) -> Vec<u8> {
    let mut key = group.0.to_be_bytes().to_vec();
    key.push(what as u8);
    key
}

/// Key of the store's id in family `meta`.
pub(crate) fn store() -> Vec<u8> {
    let mut key = NO_GROUP.to_be_bytes().to_vec();
    key.push(1);
    key
}
