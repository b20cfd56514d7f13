//! Blocks of postings as they lie on disk: searchable text.
//!
//! A block holds up to [`BLOCK_POSTINGS_MAX`] postings of one term, ascending by doc id; its key ends with the first one's.
//! The value is a version byte, the number of postings, the greatest term frequency and the least length in the block (the
//! two bound the score of each posting from above whatever the average length is: block-max WAND skips by them), then per
//! posting the distance from the doc id before it (0 for the first), its term frequency and the length of its property in
//! tokens. All numbers are LEB128 varints.

use crate::ids::DocId;
use crate::object::codec::{Reader, put_varint};
use crate::{Error, Result};

/// Version of a block, its first byte.
pub(crate) const BLOCK_VERSION: u8 = 1;
/// Most postings of a block that background work merges.
pub(crate) const BLOCK_POSTINGS_MAX: usize = 128;

/// One object's occurrence of a term.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Posting {
    pub doc_id: DocId,
    /// How often the term occurs in the property.
    pub frequency: u32,
    /// Tokens of the property.
    pub length: u32,
}

/// Encodes a block; `postings` is not empty and ascends.
pub(crate) fn encode(postings: &[Posting]) -> Vec<u8> {
    let mut out = Vec::with_capacity(4 + postings.len() * 4);
    encode_into(postings, &mut out);
    out
}

/// Appends the bytes that [`encode`] returns.
pub(crate) fn encode_into(postings: &[Posting], out: &mut Vec<u8>) {
    debug_assert!(postings.windows(2).all(|pair| pair[0].doc_id < pair[1].doc_id), "postings ascend");
    out.push(BLOCK_VERSION);
    put_varint(out, postings.len() as u64);
    put_varint(out, postings.iter().map(|posting| posting.frequency).max().unwrap_or(0).into());
    put_varint(out, postings.iter().map(|posting| posting.length).min().unwrap_or(0).into());
    let mut last = postings.first().map_or(0, |posting| posting.doc_id.0);
    for posting in postings {
        put_varint(out, posting.doc_id.0 - last);
        put_varint(out, posting.frequency.into());
        put_varint(out, posting.length.into());
        last = posting.doc_id.0;
    }
}

/// Decodes a block. `first` is the doc id from its key.
///
/// # Errors
/// [`Error::DamagedIndex`]
pub(crate) fn decode(first: DocId, bytes: &[u8]) -> Result<Vec<Posting>> {
    decode_checked(first, bytes).map_err(|error| match error {
        // The error of the varint reader for bytes that end too early.
        Error::Damaged(what) => damaged(&what),
        other => other,
    })
}

fn decode_checked(first: DocId, bytes: &[u8]) -> Result<Vec<Posting>> {
    let mut reader = Reader { rest: bytes };
    if reader.byte()? != BLOCK_VERSION {
        return Err(damaged("unknown version"));
    }
    let count = reader.count()?;
    let (frequency_max, length_min) = (reader.varint_u32()?, reader.varint_u32()?);
    let mut postings = Vec::with_capacity(count);
    let mut doc_id = first.0;
    for n in 0..count {
        let step = reader.varint()?;
        if (n == 0) != (step == 0) {
            return Err(damaged("order"));
        }
        doc_id = doc_id.checked_add(step).ok_or_else(|| damaged("doc id"))?;
        let posting = Posting { doc_id: DocId(doc_id), frequency: reader.varint_u32()?, length: reader.varint_u32()? };
        if posting.frequency > frequency_max || posting.length < length_min {
            return Err(damaged("bounds"));
        }
        postings.push(posting);
    }
    reader.end()?;
    if postings.is_empty() { Err(damaged("empty")) } else { Ok(postings) }
}

fn damaged(what: &str) -> Error {
    Error::DamagedIndex(format!("block of postings: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block() -> Vec<Posting> {
        let posting = |doc_id, frequency, length| Posting { doc_id: DocId(doc_id), frequency, length };
        vec![posting(70_000, 1, 12), posting(70_001, 300, 4_000_000), posting(1 << 40, 2, 1)]
    }

    #[test]
    fn reads_back() {
        assert_eq!(decode(DocId(70_000), &encode(&block())).unwrap(), block());
    }

    #[test]
    fn every_cut_is_an_error() {
        let bytes = encode(&block());
        for end in 0..bytes.len() {
            assert!(matches!(decode(DocId(70_000), &bytes[..end]), Err(Error::DamagedIndex(_))), "cut at {end}");
        }
        let longer = [bytes.as_slice(), &[0]].concat();
        assert!(matches!(decode(DocId(70_000), &longer), Err(Error::DamagedIndex(_))));
    }
}
