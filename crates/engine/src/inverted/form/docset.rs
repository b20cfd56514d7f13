//! Sets of doc ids as they lie on disk.
//!
//! A stored set lies within one chunk of 65,536 doc ids. Its key ends with its first doc id, which names the chunk; the
//! value is one [`Form`] byte and the low 16 bits of the members. Of the three forms the smallest is written.

use std::ops::Range;

use roaring::{RoaringBitmap, RoaringTreemap};

use crate::ids::DocId;
use crate::{Error, Result};

/// Doc ids per chunk.
pub(crate) const CHUNK: u64 = 1 << 16;
const BITSET_BYTES: usize = 8_192;
/// Bytes before the bitset in the portable form of a bitmap: cookie, count, and of the only container key, length and offset.
const PORTABLE_HEAD_BYTES: usize = 16;

/// First byte of a stored set. Never renumber; a new form is a new number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Form {
    /// The members, u16 little-endian, ascending.
    Array = 1,
    /// 8,192 bytes, bit `n % 8` of byte `n / 8` for member `n`.
    Bitset = 2,
    /// Pairs of first member and length - 1, u16 little-endian, ascending and apart.
    Runs = 3,
}

/// Doc ids of the chunk that `doc_id` lies in.
pub(crate) fn chunk_of(doc_id: u64) -> Range<u64> {
    let start = doc_id & !(CHUNK - 1);
    start..start + CHUNK
}

/// Encodes members, ascending, of one chunk.
pub(crate) fn encode(members: &[u64]) -> Vec<u8> {
    debug_assert!(members.windows(2).all(|pair| pair[0] < pair[1]), "members ascend");
    debug_assert!(members.first().map(|&m| chunk_of(m)) == members.last().map(|&m| chunk_of(m)), "one chunk");
    let runs = 1 + members.windows(2).filter(|pair| pair[0] + 1 != pair[1]).count();
    let (array_bytes, run_bytes) = (members.len() * 2, runs * 4);
    if run_bytes < array_bytes.min(BITSET_BYTES) {
        return encode_runs(members);
    }
    if array_bytes < BITSET_BYTES {
        let mut out = Vec::with_capacity(1 + array_bytes);
        out.push(Form::Array as u8);
        members.iter().for_each(|&member| out.extend_from_slice(&low(member).to_le_bytes()));
        return out;
    }
    let mut out = vec![0; 1 + BITSET_BYTES];
    out[0] = Form::Bitset as u8;
    for &member in members {
        out[1 + usize::from(low(member) / 8)] |= 1 << (member % 8);
    }
    out
}

/// Encodes the members of a bitmap, which has at least one and lies within one chunk.
pub(crate) fn encode_bitmap(members: &RoaringBitmap) -> Vec<u8> {
    let len = usize::try_from(members.len()).unwrap_or(usize::MAX);
    let other_bytes = (len * 2).min(BITSET_BYTES);
    let mut runs = vec![Form::Runs as u8];
    let mut ranges = members.iter();
    while let Some(range) = ranges.next_range() {
        runs.extend_from_slice(&low(u64::from(*range.start())).to_le_bytes());
        runs.extend_from_slice(&low(u64::from(range.end() - range.start())).to_le_bytes());
        if runs.len() > other_bytes {
            break;
        }
    }
    if runs.len() <= other_bytes {
        return runs;
    }
    if len * 2 < BITSET_BYTES {
        let mut out = Vec::with_capacity(1 + len * 2);
        out.push(Form::Array as u8);
        members.iter().for_each(|member| out.extend_from_slice(&low(member.into()).to_le_bytes()));
        return out;
    }
    let mut out = Vec::with_capacity(PORTABLE_HEAD_BYTES + BITSET_BYTES);
    if members.serialize_into(&mut out).is_ok() && out.len() == PORTABLE_HEAD_BYTES + BITSET_BYTES {
        // The portable form of a bitmap of one chunk ends with the same bitset.
        out.drain(..PORTABLE_HEAD_BYTES - 1);
        out[0] = Form::Bitset as u8;
        return out;
    }
    out = vec![0; 1 + BITSET_BYTES];
    out[0] = Form::Bitset as u8;
    for member in members {
        out[1 + usize::from(low(member.into()) / 8)] |= 1 << (member % 8);
    }
    out
}

fn encode_runs(members: &[u64]) -> Vec<u8> {
    let mut out = vec![Form::Runs as u8];
    for run in members.chunk_by(|a, b| a + 1 == *b) {
        out.extend_from_slice(&low(run[0]).to_le_bytes());
        out.extend_from_slice(&low(run.len() as u64 - 1).to_le_bytes());
    }
    out
}

fn low(doc_id: u64) -> u16 {
    u16::from_le_bytes([doc_id.to_le_bytes()[0], doc_id.to_le_bytes()[1]])
}

/// Adds the members of a stored set to `into`. `first` is the doc id from its key.
pub(crate) fn decode_into(into: &mut RoaringTreemap, first: DocId, bytes: &[u8]) -> Result<()> {
    let base = chunk_of(first.0).start;
    let Some((&form, body)) = bytes.split_first() else { return Err(damaged("empty")) };
    let words = || body.chunks_exact(2).map(|word| u64::from(u16::from_le_bytes([word[0], word[1]])));
    if form == Form::Array as u8 {
        if body.is_empty() || body.len() % 2 != 0 {
            return Err(damaged("array length"));
        }
        let mut last = None;
        for member in words() {
            if last.is_some_and(|last| last >= member) {
                return Err(damaged("array order"));
            }
            last = Some(member);
            into.insert(base + member);
        }
        return Ok(());
    }
    if form == Form::Bitset as u8 {
        if body.len() != BITSET_BYTES {
            return Err(damaged("bitset length"));
        }
        let (high, start) = ((base >> 32) as u32, base as u32);
        let bitmap = RoaringBitmap::from_lsb0_bytes(start, body);
        *into |= RoaringTreemap::from_bitmaps([(high, bitmap)]);
        return Ok(());
    }
    if form != Form::Runs as u8 {
        return Err(damaged("unknown form"));
    }
    if body.is_empty() || body.len() % 4 != 0 {
        return Err(damaged("run length"));
    }
    let mut next = 0;
    for pair in body.chunks_exact(4) {
        let start = u64::from(u16::from_le_bytes([pair[0], pair[1]]));
        let end = start + u64::from(u16::from_le_bytes([pair[2], pair[3]])) + 1;
        if start < next || end > CHUNK {
            return Err(damaged("run order"));
        }
        into.insert_range(base + start..base + end);
        next = end;
    }
    Ok(())
}

fn damaged(what: &str) -> Error {
    Error::DamagedIndex(format!("set of doc ids: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(members: &[u64], form: Form) {
        let bytes = encode(members);
        assert_eq!(bytes[0], form as u8, "form of {} members", members.len());
        let mut set = RoaringTreemap::new();
        decode_into(&mut set, DocId(members[0]), &bytes).unwrap();
        assert_eq!(set.iter().collect::<Vec<_>>(), members);
    }

    #[test]
    fn every_form_reads_back() {
        for base in [0, CHUNK, 7 * CHUNK, 1 << 40] {
            check(&[base + 5], Form::Array);
            check(&[base, base + 2, base + 65_535], Form::Array);
            check(&(base..base + 65_536).collect::<Vec<_>>(), Form::Runs);
            check(&(base + 100..base + 200).collect::<Vec<_>>(), Form::Runs);
            check(&(base..base + 65_536).step_by(2).collect::<Vec<_>>(), Form::Bitset);
        }
    }

    #[test]
    fn damage_is_an_error() {
        let check = |bytes: &[u8]| {
            let found = decode_into(&mut RoaringTreemap::new(), DocId(9), bytes);
            assert!(matches!(found, Err(Error::DamagedIndex(_))), "{bytes:?}");
        };
        check(&[]);
        check(&[0]);
        check(&[9, 1, 2]);
        check(&[Form::Array as u8]);
        check(&[Form::Array as u8, 1]);
        check(&[Form::Array as u8, 2, 0, 1, 0]);
        check(&[Form::Bitset as u8, 1]);
        check(&[Form::Runs as u8, 1, 0]);
        check(&[Form::Runs as u8, 255, 255, 1, 0]);
        check(&[Form::Runs as u8, 5, 0, 2, 0, 6, 0, 0, 0]);
    }
}
