//! L0 segments: the entries of one large batch under a single key.
//!
//! A batch of a hundred texts has thousands of values, and a key for each costs more than everything else that apply does.
//! So large batches write one segment, and background work [merges](crate::inverted::writer::merge) several segments at
//! once into entries of their own, far fewer than all of theirs. Readers read the segments too.
//!
//! The key is (property 0, [`InvKind::Segment`](crate::storage::key::InvKind::Segment), first doc id). The value is a
//! version byte, the number of entries u32, the offset of each from the end of this table u32, all little-endian, then the entries in key
//! order: length of the key as a varint, the key without its shard prefix, the value up to the next entry.

use crate::object::codec::{Reader, put_varint};
use crate::{Error, Result};

/// Version of a segment, its first byte.
pub(crate) const SEGMENT_VERSION: u8 = 1;
const HEAD_BYTES: usize = 5;

/// An entry: key without its shard prefix, and value.
pub(crate) type SegmentEntry<'a> = (&'a [u8], &'a [u8]);

/// Puts a segment together.
pub(crate) struct Writer {
    offsets: Vec<u8>,
    data: Vec<u8>,
}

impl Writer {
    /// An empty segment with room for so many entries and bytes.
    pub(crate) fn new(entries: usize, bytes: usize) -> Self {
        Self { offsets: Vec::with_capacity(entries * 4), data: Vec::with_capacity(bytes) }
    }

    /// Adds an entry, which comes after the last one in key order. The key, given in parts, comes without its shard prefix.
    pub(crate) fn push(&mut self, key: &[&[u8]], value: &[u8]) -> Result<()> {
        let offset = u32::try_from(self.data.len());
        let offset = offset.map_err(|_| Error::Limit("a batch has too many index entries".into()))?;
        self.offsets.extend_from_slice(&offset.to_le_bytes());
        put_varint(&mut self.data, key.iter().map(|part| part.len() as u64).sum());
        key.iter().for_each(|part| self.data.extend_from_slice(part));
        self.data.extend_from_slice(value);
        Ok(())
    }

    /// The segment.
    pub(crate) fn finish(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEAD_BYTES + self.offsets.len() + self.data.len());
        out.push(SEGMENT_VERSION);
        // Offsets fit into u32, and every entry takes a byte at least.
        let count = u32::try_from(self.offsets.len() / 4).unwrap_or(u32::MAX);
        out.extend_from_slice(&count.to_le_bytes());
        out.extend_from_slice(&self.offsets);
        out.extend_from_slice(&self.data);
        out
    }
}

/// A segment as it lies on disk.
#[derive(Clone, Copy)]
pub(crate) struct Segment<'a> {
    offsets: &'a [u8],
    data: &'a [u8],
}

impl<'a> Segment<'a> {
    /// Takes a segment apart.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self> {
        let (head, rest) = bytes.split_at_checked(HEAD_BYTES).ok_or_else(|| damaged("cut short"))?;
        if head[0] != SEGMENT_VERSION {
            return Err(damaged("unknown version"));
        }
        let count = u32::from_le_bytes([head[1], head[2], head[3], head[4]]) as usize;
        let (offsets, data) = rest.split_at_checked(count * 4).ok_or_else(|| damaged("cut short"))?;
        Ok(Self { offsets, data })
    }

    /// Number of entries.
    pub(crate) fn len(&self) -> usize {
        self.offsets.len() / 4
    }

    /// The `n`th entry.
    pub(crate) fn entry(&self, n: usize) -> Result<SegmentEntry<'a>> {
        let start = self.offset(n).ok_or_else(|| damaged("entry"))?;
        let end = self.offset(n + 1).unwrap_or(self.data.len());
        let mut reader = Reader { rest: self.data.get(start..end).ok_or_else(|| damaged("offset"))? };
        let len = reader.count().map_err(|_| damaged("key length"))?;
        let key = reader.take(len).map_err(|_| damaged("key"))?;
        Ok((key, reader.rest))
    }

    /// Position of the first entry whose key is not below `key`.
    pub(crate) fn lower_bound(&self, key: &[u8]) -> Result<usize> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            if self.entry(middle)?.0 < key {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    fn offset(&self, n: usize) -> Option<usize> {
        let bytes = self.offsets.get(n * 4..n * 4 + 4)?;
        Some(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize)
    }
}

fn damaged(what: &str) -> Error {
    Error::DamagedIndex(format!("segment of the inverted index: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes() -> Vec<u8> {
        let entries: [SegmentEntry<'_>; 4] = [(b"a", b"1"), (b"ab", b""), (b"b", b"22"), (b"d", b"3")];
        let mut writer = Writer::new(entries.len(), 0);
        entries.iter().for_each(|(key, value)| writer.push(&[key], value).unwrap());
        writer.finish()
    }

    #[test]
    fn finds_entries() {
        let bytes = bytes();
        let segment = Segment::parse(&bytes).unwrap();
        assert_eq!(segment.len(), 4);
        assert_eq!(segment.entry(2).unwrap(), (b"b".as_slice(), b"22".as_slice()));
        for (key, at) in [("", 0), ("a", 0), ("aa", 1), ("ab", 1), ("c", 3), ("e", 4)] {
            assert_eq!(segment.lower_bound(key.as_bytes()).unwrap(), at, "{key:?}");
        }
    }

    #[test]
    fn damage_is_an_error_or_another_answer_but_never_a_panic() {
        let bytes = bytes();
        let read = |bytes: &[u8]| -> Result<()> {
            let segment = Segment::parse(bytes)?;
            (0..segment.len()).try_for_each(|n| segment.entry(n).map(drop))
        };
        for end in 0..HEAD_BYTES + 16 {
            assert!(matches!(read(&bytes[..end]), Err(Error::DamagedIndex(_))), "cut at {end}");
        }
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0xff;
            drop(read(&damaged));
        }
    }
}
