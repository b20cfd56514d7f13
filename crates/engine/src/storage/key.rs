//! Keys: how everything is addressed inside a group's RocksDB.
//!
//! All integers are big-endian, so that byte order is number order. Every key opens with the group; keys of shard data
//! go on with collection and shard ([`ShardPrefix`]), keys of the `meta` family with a [`MetaKey`] tag. Ids are never
//! reused, so a key can never be read as belonging to something created later. docs/formats.md lists all of them.

use crate::ids::{CollectionId, DocId, GroupId, PropertyId, ShardId, ShardKey, VectorId};
use crate::{Error, Result};
use uuid::Uuid;

/// Length of [`ShardPrefix`].
pub(crate) const PREFIX_BYTES: usize = 12;
/// Length of the doc id that ends a key of the inverted index.
pub(crate) const DOC_BYTES: usize = 8;

/// `group u32, collection u32, shard u32`: the start of every key of a shard's data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ShardPrefix([u8; PREFIX_BYTES]);

/// Tags of the `meta` family: `group u32, tag u8, ..`. Never renumber.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum MetaKey {
    /// `[]` -> format of the whole group.
    Format = 0,
    /// `[]` -> position of the last applied entry.
    Applied = 1,
    /// `[]` -> newest membership.
    Membership = 2,
    /// `proposer u64` -> sequence of its newest applied batch.
    Proposer = 3,
    /// `collection u32` -> the schema.
    Collection = 4,
    /// `collection u32, shard u32` -> state of a shard.
    Shard = 5,
    /// `collection u32` -> it was dropped; its number is never valid again. Earlier versions marked shards too: `collection
    /// u32, shard u32`.
    Dropped = 6,
    /// `collection u32[, shard u32]` -> its keys still have to be removed.
    Purge = 7,
    /// `collection u32, shard u32` -> how far the inverted index is compacted.
    Compaction = 8,
    /// Meta group, `[]` -> next collection id.
    NextCollection = 9,
    /// Data group, `[]` -> the maintenance queue, and the position that it belongs to.
    Queue = 10,
    /// `collection u32, shard u32` -> how far the inverted index is rebuilt.
    Rebuild = 11,
    /// `collection u32, shard u32` -> name, group and status of a shard.
    ShardRecord = 12,
    /// `collection u32` -> which ids of shards were given.
    GivenShards = 13,
    /// `[]` -> feature level; absent at the initial level.
    Level = 14,
    /// `collection u32, shard u32` -> from which doc id on the shard has column values.
    Columns = 16,
    /// Meta group, `name` -> an alias of a collection.
    Alias = 17,
    /// `collection u32, shard u32` -> from which doc id on values inside of objects are indexed.
    Nested = 18,
}

/// Kinds of entries of the `inv` family: `prefix, property u16, kind u8, value.., doc id u64`. Never renumber.
///
/// Property 0 stands for the object itself. The value's form is fixed by the kind, so that no value is another's
/// beginning; the doc id is the first one of the entry's set or block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum InvKind {
    /// Property 0, no value: live objects, one set per 65,536 doc ids.
    Live = 1,
    /// Property 0, value `vector u16`: objects that have the vector, one set per 65,536 doc ids.
    HasVector = 2,
    /// Property 0, value `i64`: creation time in ms.
    Created = 3,
    /// Property 0, value `i64`: time of the last update in ms.
    Updated = 4,
    /// No value: objects in which the property is not null.
    Present = 5,
    /// Value `u64`: length of the text in code points, of the list in elements.
    Length = 6,
    /// A term of text, as a set: filterable text that is not searchable.
    Term = 7,
    /// A term of text, as a block of postings: searchable text.
    Posting = 8,
    /// Value `i64`.
    Int = 9,
    /// Value `f64`.
    Number = 10,
    /// Value `u8`, 0 or 1.
    Bool = 11,
    /// Value `seconds i64, nanos u32`.
    Date = 12,
    /// Value: 16 bytes.
    Uuid = 13,
    /// Value `latitude f32, longitude f32`.
    Geo = 14,
    /// Value: 16 bytes, the target's id. Written by earlier versions; a rebuild replaces it by [`InvKind::ReferenceTo`].
    Reference = 15,
    /// Property 0, no value: a segment, the entries of one large batch that are not under keys of their own yet.
    Segment = 16,
    /// Value: 16 bytes, the target's id, and the name of its collection as a term, empty where the beacon names none.
    ReferenceTo = 17,
    /// Value `u8`, a [`ColumnOf`](crate::inverted::form::terms::ColumnOf): values of the objects of a chunk of 4,096 doc ids.
    Column = 18,
}

impl InvKind {
    /// All kinds, for reading a key's kind back.
    pub(crate) const ALL: [Self; 18] = [
        Self::Live,
        Self::HasVector,
        Self::Created,
        Self::Updated,
        Self::Present,
        Self::Length,
        Self::Term,
        Self::Posting,
        Self::Int,
        Self::Number,
        Self::Bool,
        Self::Date,
        Self::Uuid,
        Self::Geo,
        Self::Reference,
        Self::Segment,
        Self::ReferenceTo,
        Self::Column,
    ];

    /// The kind with that number.
    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == byte)
    }

    /// Whether compaction leaves entries of this kind as they are: apply keeps one set per 65,536 doc ids itself, and
    /// segments are merged.
    pub(crate) fn is_exact(self) -> bool {
        matches!(self, Self::Live | Self::HasVector | Self::Segment)
    }
}

impl ShardPrefix {
    /// The prefix of that shard in that group.
    pub(crate) fn new(group: GroupId, at: ShardKey) -> Self {
        let mut bytes = [0; PREFIX_BYTES];
        bytes[..4].copy_from_slice(&group.0.to_be_bytes());
        bytes[4..8].copy_from_slice(&at.collection.0.to_be_bytes());
        bytes[8..].copy_from_slice(&at.shard.0.to_be_bytes());
        Self(bytes)
    }

    /// The bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    fn with(&self, parts: &[&[u8]]) -> Vec<u8> {
        let mut key = Vec::with_capacity(PREFIX_BYTES + parts.iter().map(|part| part.len()).sum::<usize>());
        key.extend_from_slice(&self.0);
        parts.iter().for_each(|part| key.extend_from_slice(part));
        key
    }

    /// `obj`: `prefix, doc id u64`.
    pub(crate) fn object(&self, doc_id: DocId) -> Vec<u8> {
        self.with(&[&doc_id.0.to_be_bytes()])
    }

    /// `ids`: `prefix, uuid`.
    pub(crate) fn id(&self, id: Uuid) -> Vec<u8> {
        self.with(&[id.as_bytes()])
    }

    /// `vec`: `prefix, vector u16, doc id u64`.
    pub(crate) fn vector(&self, vector: VectorId, doc_id: DocId) -> Vec<u8> {
        self.with(&[&vector.0.to_be_bytes(), &doc_id.0.to_be_bytes()])
    }

    /// `inv`, without value and doc id: the start of all entries of a property's kind.
    pub(crate) fn inverted(&self, property: PropertyId, kind: InvKind) -> Vec<u8> {
        self.with(&[&property.0.to_be_bytes(), &[kind as u8]])
    }

    /// `inv`, without doc id: the start of all entries of a value.
    pub(crate) fn value(&self, property: PropertyId, kind: InvKind, value: &[u8]) -> Vec<u8> {
        self.with(&[&property.0.to_be_bytes(), &[kind as u8], value])
    }
}

/// A key of the `meta` family.
pub(crate) fn meta(group: GroupId, tag: MetaKey, rest: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(5 + rest.len());
    key.extend_from_slice(&group.0.to_be_bytes());
    key.push(tag as u8);
    key.extend_from_slice(rest);
    key
}

/// `collection u32, shard u32`, as it stands in keys of the `meta` family.
pub(crate) fn shard_bytes(at: ShardKey) -> [u8; 8] {
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&at.collection.0.to_be_bytes());
    bytes[4..].copy_from_slice(&at.shard.0.to_be_bytes());
    bytes
}

/// Reads what [`shard_bytes`] wrote.
pub(crate) fn parse_shard(bytes: &[u8]) -> Result<ShardKey> {
    let (collection, shard) = bytes.split_at_checked(4).ok_or_else(|| damaged(bytes))?;
    let word = |part: &[u8]| part.try_into().map(u32::from_be_bytes).map_err(|_| damaged(bytes));
    Ok(ShardKey { collection: CollectionId(word(collection)?), shard: ShardId(word(shard)?) })
}

/// The doc id that ends `key`.
pub(crate) fn parse_doc_id(key: &[u8]) -> Result<DocId> {
    let (_, last) = key.split_last_chunk::<DOC_BYTES>().ok_or_else(|| damaged(key))?;
    Ok(DocId(u64::from_be_bytes(*last)))
}

/// The uuid that ends a key of the `ids` family.
pub(crate) fn parse_id(key: &[u8]) -> Result<Uuid> {
    let (_, last) = key.split_last_chunk::<16>().ok_or_else(|| damaged(key))?;
    Ok(Uuid::from_bytes(*last))
}

/// Smallest key above all that start with `prefix`; `None` if there is none (only `0xff`).
pub(crate) fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|&byte| byte != 0xff)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(end)
}

/// `i64` in an order-preserving form.
pub(crate) fn ordered_i64(value: i64) -> [u8; 8] {
    (value.cast_unsigned() ^ (1 << 63)).to_be_bytes()
}

/// `f64` in an order-preserving form; both zeros are one.
pub(crate) fn ordered_f64(value: f64) -> [u8; 8] {
    let bits = (value + 0.0).to_bits();
    let flipped = if bits >> 63 == 1 { !bits } else { bits | (1 << 63) };
    flipped.to_be_bytes()
}

/// `f32` in an order-preserving form; both zeros are one.
pub(crate) fn ordered_f32(value: f32) -> [u8; 4] {
    let bits = (value + 0.0).to_bits();
    let flipped = if bits >> 31 == 1 { !bits } else { bits | (1 << 31) };
    flipped.to_be_bytes()
}

/// Reads what [`ordered_f32`] wrote.
pub(crate) fn parse_f32(bytes: [u8; 4]) -> f32 {
    let bits = u32::from_be_bytes(bytes);
    f32::from_bits(if bits >> 31 == 1 { bits ^ (1 << 31) } else { !bits })
}

fn damaged(key: &[u8]) -> Error {
    Error::Damaged(format!("key {key:02x?}"))
}

/// The key of an entry: its value's key and its first doc id.
pub(crate) fn with_doc_id(key: &[u8], doc_id: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(key.len() + DOC_BYTES);
    out.extend_from_slice(key);
    out.extend_from_slice(&doc_id.to_be_bytes());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_order_is_number_order() {
        let ints = [i64::MIN, -5, -1, 0, 1, 5, i64::MAX];
        assert!(ints.windows(2).all(|pair| ordered_i64(pair[0]) < ordered_i64(pair[1])));
        let numbers = [f64::MIN, -1.5, -f64::MIN_POSITIVE, 0.0, f64::MIN_POSITIVE, 1.5, f64::MAX];
        assert!(numbers.windows(2).all(|pair| ordered_f64(pair[0]) < ordered_f64(pair[1])));
        assert_eq!(ordered_f64(0.0), ordered_f64(-0.0));
        for value in [-180.0_f32, -0.5, 0.0, 0.25, 179.9] {
            assert_eq!(parse_f32(ordered_f32(value)), value);
        }
        assert!(ordered_f32(-2.0) < ordered_f32(-1.0) && ordered_f32(-1.0) < ordered_f32(1.0));
    }

    #[test]
    fn the_end_of_a_prefix() {
        assert_eq!(after_prefix(&[1, 2]), Some(vec![1, 3]));
        assert_eq!(after_prefix(&[1, 0xff]), Some(vec![2]));
        assert_eq!(after_prefix(&[0xff, 0xff]), None);
    }

    #[test]
    fn kinds_read_back() {
        for kind in InvKind::ALL {
            assert_eq!(InvKind::from_byte(kind as u8), Some(kind));
        }
        assert_eq!(InvKind::from_byte(0), None);
    }
}
