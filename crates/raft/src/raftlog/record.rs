//! What the log stores, byte by byte.
//!
//! An entry is a header of 40 bytes and a payload. Integers are little-endian.
//!
//! | offset | bytes | what |
//! | --- | --- | --- |
//! | 0 | 1 | version of the format, 1 |
//! | 1 | 1 | [`Kind`] |
//! | 2 | 2 | zero |
//! | 4 | 4 | length of the payload |
//! | 8 | 4 | crc32c over the group (4 bytes), the header with zero in this place, and the payload |
//! | 12 | 4 | zero |
//! | 16 | 8 | term |
//! | 24 | 8 | node that led the term |
//! | 32 | 8 | index |
//!
//! Group and index take part in the checksum, so an entry in a wrong place is damage too. Everything else (votes,
//! positions) is a [sealed](crate::seal) value.

use azimuth_engine::ids::GroupId;
use azimuth_engine::replica::LogPosition;
use bytes::Bytes;

use super::{LogError, Result};
use crate::seal::{self, seal};

/// Bytes before the payload of an entry.
pub(crate) const HEADER_BYTES: usize = 40;

const VERSION: u8 = 1;
const CHECKSUM: std::ops::Range<usize> = 8..12;

/// What the payload of an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// Nothing.
    Blank = 0,
    /// The members of the group.
    Membership = 1,
    /// Commands: `azimuth_engine::replica::Batch` in postcard. A change of its types is a new kind; 2 was one in which a
    /// schema could not gain a field, and was never released.
    Batch = 3,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::Blank),
            1 => Some(Self::Membership),
            3 => Some(Self::Batch),
            _ => None,
        }
    }
}

/// An entry as the log stores it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    /// Place in the log.
    pub(crate) position: LogPosition,
    /// What the payload is.
    pub(crate) kind: Kind,
    /// What it says; the log does not look inside.
    pub(crate) payload: Bytes,
}

impl Record {
    /// Bytes that [`Record::encode`] gives.
    pub(crate) fn encoded_bytes(&self) -> usize {
        HEADER_BYTES + self.payload.len()
    }

    /// The stored form.
    ///
    /// # Errors
    /// [`LogError::Misuse`] for a payload of 4 GiB and more.
    pub(crate) fn encode(&self, group: GroupId) -> Result<Vec<u8>> {
        let payload_bytes = u32::try_from(self.payload.len())
            .map_err(|_| LogError::Misuse(format!("entry of {} bytes", self.payload.len())))?;
        let mut bytes = Vec::with_capacity(self.encoded_bytes());
        bytes.extend_from_slice(&[VERSION, self.kind as u8, 0, 0]);
        bytes.extend_from_slice(&payload_bytes.to_le_bytes());
        bytes.extend_from_slice(&[0; 8]);
        bytes.extend_from_slice(&self.position.term.to_le_bytes());
        bytes.extend_from_slice(&self.position.node.to_le_bytes());
        bytes.extend_from_slice(&self.position.index.to_le_bytes());
        bytes.extend_from_slice(&self.payload);
        let checksum = checksum(group, &bytes);
        bytes[CHECKSUM].copy_from_slice(&checksum.to_le_bytes());
        Ok(bytes)
    }

    /// Reads the stored form of the entry at `index`.
    ///
    /// # Errors
    /// [`LogError::Damaged`] for anything that [`Record::encode`] cannot have written for this group and index.
    pub(crate) fn decode(group: GroupId, index: u64, bytes: &[u8]) -> Result<Self> {
        let damaged = |what: &str| LogError::Damaged(format!("entry {index} of group {group}: {what}"));
        let header = bytes.first_chunk::<HEADER_BYTES>().ok_or_else(|| damaged("too short"))?;
        if header[0] != VERSION {
            return Err(damaged(&format!("format version {}", header[0])));
        }
        let stored = u32::from_le_bytes([header[8], header[9], header[10], header[11]]);
        if stored != checksum(group, bytes) {
            return Err(damaged("wrong checksum"));
        }
        let word = |at: usize| u64::from_le_bytes(std::array::from_fn(|byte| header[at + byte]));
        let payload_bytes = u32::from_le_bytes([header[4], header[5], header[6], header[7]]);
        if payload_bytes as usize != bytes.len() - HEADER_BYTES {
            return Err(damaged("wrong length"));
        }
        let position = LogPosition { term: word(16), node: word(24), index: word(32) };
        if position.index != index {
            return Err(damaged(&format!("says it is entry {}", position.index)));
        }
        let kind = Kind::from_byte(header[1])
            .ok_or_else(|| damaged(&format!("kind {}, which this version does not read", header[1])))?;
        Ok(Self { position, kind, payload: Bytes::copy_from_slice(&bytes[HEADER_BYTES..]) })
    }
}

/// The checksum of an encoded entry; what stands in its own place does not count.
fn checksum(group: GroupId, bytes: &[u8]) -> u32 {
    let sum = crc32c::crc32c(&group.0.to_le_bytes());
    let sum = crc32c::crc32c_append(sum, &bytes[..CHECKSUM.start]);
    let sum = crc32c::crc32c_append(sum, &[0; 4]);
    crc32c::crc32c_append(sum, &bytes[CHECKSUM.end..])
}

/// The promise of a node to follow one leader in a term.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vote {
    /// The term.
    pub term: u64,
    /// Whom it follows.
    pub node: u64,
    /// Whether a quorum made the same promise.
    pub committed: bool,
}

impl Vote {
    /// The stored form.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = [0; 17];
        bytes[..8].copy_from_slice(&self.term.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.node.to_le_bytes());
        bytes[16] = u8::from(self.committed);
        seal(&bytes)
    }

    /// Reads the stored form.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        match unseal(bytes, "vote")? {
            [rest @ .., committed @ (0 | 1)] if rest.len() == 16 => {
                let (term, node) = rest.split_at(8);
                Ok(Self { term: word(term), node: word(node), committed: *committed == 1 })
            }
            _ => Err(LogError::Damaged("vote".into())),
        }
    }
}

/// The stored form of a position.
pub(crate) fn encode_position(position: LogPosition) -> Vec<u8> {
    let mut bytes = [0; 24];
    bytes[..8].copy_from_slice(&position.term.to_le_bytes());
    bytes[8..16].copy_from_slice(&position.node.to_le_bytes());
    bytes[16..].copy_from_slice(&position.index.to_le_bytes());
    seal(&bytes)
}

/// Reads the stored form of a position; `what` names it in an error.
pub(crate) fn decode_position(bytes: &[u8], what: &str) -> Result<LogPosition> {
    let bytes = unseal(bytes, what)?;
    if bytes.len() != 24 {
        return Err(LogError::Damaged(what.into()));
    }
    Ok(LogPosition { term: word(&bytes[..8]), node: word(&bytes[8..16]), index: word(&bytes[16..]) })
}

/// Takes the seal off a value of the log.
pub(crate) fn unseal<'a>(bytes: &'a [u8], what: &str) -> Result<&'a [u8]> {
    seal::unseal(bytes).ok_or_else(|| LogError::Damaged(what.into()))
}

fn word(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
}
