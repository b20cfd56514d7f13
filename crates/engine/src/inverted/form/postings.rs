//! Postings as they lie on disk: searchable text.
//!
//! An entry holds postings of one term, ascending by doc id; its key ends with the first one's. The postings are cut into
//! blocks of [`BLOCK_POSTINGS_MAX`], of which only the last one of an entry may have fewer. Of each block the greatest term
//! frequency and the least length are known without decoding it: the two bound the score of each posting from above
//! whatever the average length is, and ranking skips blocks by them. All numbers are LEB128 varints unless said otherwise.
//!
//! A *block* (version 1, the only form of earlier versions) is a version byte, the number of postings, the greatest term
//! frequency and the least length, then per posting the distance from the doc id before it (0 for the first), its term
//! frequency and the length of its property in tokens.
//!
//! A *list* (version 2) holds several blocks behind a table by which a reader skips: a version byte, the number of blocks
//! u16, per block the last doc id u64, the end of its postings from the end of the table u32, the greatest term frequency
//! u32 and the least length u32, all little-endian; then the postings, each block's first one with the distance from the
//! last doc id of the block before.

use roaring::RoaringTreemap;

use crate::ids::DocId;
use crate::object::codec::{Reader, put_varint};
use crate::{Error, Result};

/// Version of a block, its first byte.
pub(crate) const BLOCK_VERSION: u8 = 1;
/// Version of a list, its first byte.
pub(crate) const LIST_VERSION: u8 = 2;
/// Most postings of a block.
pub(crate) const BLOCK_POSTINGS_MAX: usize = 128;
/// Most postings of a list that background work merges.
pub(crate) const LIST_POSTINGS_MAX: usize = 64 * BLOCK_POSTINGS_MAX;
/// Bytes of a block in the table of a list.
const TABLE_BYTES: usize = 20;

/// One object's occurrence of a term.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Posting {
    pub doc_id: DocId,
    /// How often the term occurs in the property.
    pub frequency: u32,
    /// Tokens of the property.
    pub length: u32,
}

/// Encodes an entry; `postings` is not empty and ascends.
pub(crate) fn encode(postings: &[Posting]) -> Vec<u8> {
    let mut out = Vec::with_capacity(4 + postings.len() * 4);
    encode_into(postings, &mut out);
    out
}

/// Appends the bytes that [`encode`] returns.
pub(crate) fn encode_into(postings: &[Posting], out: &mut Vec<u8>) {
    debug_assert!(postings.windows(2).all(|pair| pair[0].doc_id < pair[1].doc_id), "postings ascend");
    let mut last = postings.first().map_or(0, |posting| posting.doc_id.0);
    if postings.len() <= BLOCK_POSTINGS_MAX {
        let (frequency_max, length_min) = bounds(postings);
        out.push(BLOCK_VERSION);
        put_varint(out, postings.len() as u64);
        put_varint(out, frequency_max.into());
        put_varint(out, length_min.into());
        put_postings(postings, &mut last, out);
        return;
    }
    let blocks = postings.chunks(BLOCK_POSTINGS_MAX);
    let count = u16::try_from(blocks.len()).expect("lists are cut far below 65,536 blocks");
    out.push(LIST_VERSION);
    out.extend_from_slice(&count.to_le_bytes());
    let table = out.len();
    out.resize(table + blocks.len() * TABLE_BYTES, 0);
    let body = out.len();
    for (n, block) in blocks.enumerate() {
        put_postings(block, &mut last, out);
        let end = u32::try_from(out.len() - body).expect("lists are cut far below 4 GiB");
        let (frequency_max, length_min) = bounds(block);
        let entry = &mut out[table + n * TABLE_BYTES..][..TABLE_BYTES];
        entry[..8].copy_from_slice(&last.to_le_bytes());
        entry[8..12].copy_from_slice(&end.to_le_bytes());
        entry[12..16].copy_from_slice(&frequency_max.to_le_bytes());
        entry[16..].copy_from_slice(&length_min.to_le_bytes());
    }
}

/// The greatest term frequency and the least length.
fn bounds(postings: &[Posting]) -> (u32, u32) {
    let frequency_max = postings.iter().map(|posting| posting.frequency).max().unwrap_or(0);
    (frequency_max, postings.iter().map(|posting| posting.length).min().unwrap_or(0))
}

/// Appends postings; `last` is the doc id before them, and the last one of them afterwards.
fn put_postings(postings: &[Posting], last: &mut u64, out: &mut Vec<u8>) {
    for posting in postings {
        put_varint(out, posting.doc_id.0 - *last);
        put_varint(out, posting.frequency.into());
        put_varint(out, posting.length.into());
        *last = posting.doc_id.0;
    }
}

/// Decodes all postings of an entry. `first` is the doc id from its key.
///
/// # Errors
/// [`Error::DamagedIndex`]
pub(crate) fn decode(first: DocId, bytes: &[u8]) -> Result<Vec<Posting>> {
    let blocks = Blocks::parse(first, bytes)?;
    let mut postings = Vec::new();
    (0..blocks.len()).try_for_each(|n| blocks.decode(n, &mut postings))?;
    Ok(postings)
}

/// The blocks of an entry, of which only those that are asked for are decoded.
pub(crate) struct Blocks<'b> {
    first: DocId,
    /// The table of a list; empty for a block of version 1.
    table: &'b [u8],
    /// The postings.
    body: &'b [u8],
    /// Of a block of version 1: number of postings, and their bounds.
    single: Option<(usize, u32, u32)>,
}

/// A block in the table of a list.
struct TableEntry {
    last: u64,
    end: usize,
    frequency_max: u32,
    length_min: u32,
}

impl<'b> Blocks<'b> {
    /// Takes an entry apart. `first` is the doc id from its key.
    ///
    /// # Errors
    /// [`Error::DamagedIndex`]
    pub(crate) fn parse(first: DocId, bytes: &'b [u8]) -> Result<Self> {
        Self::parse_checked(first, bytes).map_err(of_index)
    }

    fn parse_checked(first: DocId, bytes: &'b [u8]) -> Result<Self> {
        let mut reader = Reader { rest: bytes };
        match reader.byte()? {
            BLOCK_VERSION => {
                let count = reader.count()?;
                let single = Some((count, reader.varint_u32()?, reader.varint_u32()?));
                if count == 0 {
                    return Err(damaged("empty"));
                }
                Ok(Self { first, table: &[], body: reader.rest, single })
            }
            LIST_VERSION => {
                let count = usize::from(u16::from_le_bytes(reader.array()?));
                let table = reader.take(count * TABLE_BYTES)?;
                if count == 0 {
                    return Err(damaged("empty"));
                }
                Ok(Self { first, table, body: reader.rest, single: None })
            }
            _ => Err(damaged("unknown version")),
        }
    }

    /// Number of blocks.
    pub(crate) fn len(&self) -> usize {
        if self.single.is_some() { 1 } else { self.table.len() / TABLE_BYTES }
    }

    /// Hands over the doc ids of `among` that have a posting here. Blocks that can hold none of them are not decoded.
    ///
    /// # Errors
    /// [`Error::DamagedIndex`]
    pub(crate) fn each_among(&self, among: &RoaringTreemap, mut take: impl FnMut(u64)) -> Result<()> {
        let mut wanted = among.iter();
        wanted.advance_to(self.first.0);
        let (mut next, mut block) = (wanted.next(), Vec::new());
        while let Some(doc_id) = next {
            let n = self.block_of(doc_id)?;
            if n == self.len() {
                return Ok(());
            }
            block.clear();
            self.decode(n, &mut block)?;
            let mut postings = block.iter().map(|posting| posting.doc_id.0).peekable();
            while let Some(doc_id) = next {
                while postings.next_if(|posting| *posting < doc_id).is_some() {}
                match postings.peek() {
                    Some(posting) if *posting == doc_id => take(doc_id),
                    Some(_) => {}
                    None => break,
                }
                next = wanted.next();
            }
            if n + 1 == self.len() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// The first block whose last doc id is not below `doc_id`: the only one that can have it.
    fn block_of(&self, doc_id: u64) -> Result<usize> {
        if self.single.is_some() {
            return Ok(0);
        }
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            if self.entry(middle)?.last < doc_id {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    fn entry(&self, n: usize) -> Result<TableEntry> {
        let mut reader = Reader { rest: self.table.get(n * TABLE_BYTES..).unwrap_or_default() };
        let mut entry = || -> Result<TableEntry> {
            Ok(TableEntry {
                last: u64::from_le_bytes(reader.array()?),
                end: u32::from_le_bytes(reader.array()?) as usize,
                frequency_max: u32::from_le_bytes(reader.array()?),
                length_min: u32::from_le_bytes(reader.array()?),
            })
        };
        entry().map_err(of_index)
    }

    /// Appends the postings of the `n`th block.
    ///
    /// # Errors
    /// [`Error::DamagedIndex`]
    pub(crate) fn decode(&self, n: usize, postings: &mut Vec<Posting>) -> Result<()> {
        if let Some((count, frequency_max, length_min)) = self.single {
            let mut reader = Reader { rest: self.body };
            let before = postings.len();
            postings.reserve(count);
            read_postings(&mut reader, (self.first.0, true), Some(count), postings).map_err(of_index)?;
            return check_bounds(&postings[before..], frequency_max, length_min);
        }
        let entry = self.entry(n)?;
        let (start, last) = match n.checked_sub(1) {
            Some(before) => self.entry(before).map(|entry| (entry.end, entry.last))?,
            None => (0, self.first.0),
        };
        let is_end = n + 1 < self.len() || entry.end == self.body.len();
        let mut reader =
            Reader { rest: self.body.get(start..entry.end).filter(|_| is_end).ok_or_else(|| damaged("table"))? };
        let before = postings.len();
        read_postings(&mut reader, (last, n == 0), None, postings).map_err(of_index)?;
        if postings.last().filter(|_| postings.len() > before).is_none_or(|last| last.doc_id.0 != entry.last) {
            return Err(damaged("table"));
        }
        check_bounds(&postings[before..], entry.frequency_max, entry.length_min)
    }
}

/// A block in the table that a reader of many entries keeps in memory: enough to skip the block or to decode it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Block {
    /// The doc id before its postings, or the first one's.
    before: u64,
    /// Whether `before` is the first one's.
    is_first: bool,
    /// Last doc id.
    pub last: u64,
    /// Where its postings lie in the reader's bytes.
    start: u32,
    end: u32,
    /// Greatest term frequency.
    pub frequency_max: u32,
    /// Least length.
    pub length_min: u32,
}

impl Block {
    /// The least doc id that it can have.
    #[inline]
    pub(crate) fn least(&self) -> u64 {
        if self.is_first { self.before } else { self.before.saturating_add(1) }
    }

    /// Replaces `into` with its postings; `bytes` are those that it was [tabled](tabulate) with.
    ///
    /// # Errors
    /// [`Error::DamagedIndex`]
    pub(crate) fn decode(&self, bytes: &[u8], into: &mut Vec<Posting>) -> Result<()> {
        into.clear();
        into.reserve(BLOCK_POSTINGS_MAX);
        let bytes = bytes.get(self.start as usize..self.end as usize).ok_or_else(|| damaged("table"))?;
        let (mut at, mut doc_id) = (0, self.before);
        let (mut frequency_max, mut length_min) = (0, u32::MAX);
        let mut is_first = self.is_first;
        while at < bytes.len() {
            let step = varint(bytes, &mut at)?;
            let frequency = u32::try_from(varint(bytes, &mut at)?).map_err(|_| damaged("number too large"))?;
            let length = u32::try_from(varint(bytes, &mut at)?).map_err(|_| damaged("number too large"))?;
            if is_first != (step == 0) {
                return Err(damaged("order"));
            }
            is_first = false;
            doc_id = doc_id.checked_add(step).ok_or_else(|| damaged("doc id"))?;
            frequency_max = frequency_max.max(frequency);
            length_min = length_min.min(length);
            into.push(Posting { doc_id: DocId(doc_id), frequency, length });
        }
        if into.is_empty() || doc_id != self.last {
            return Err(damaged("table"));
        }
        if frequency_max > self.frequency_max || length_min < self.length_min {
            return Err(damaged("bounds"));
        }
        Ok(())
    }
}

/// Appends the blocks of an entry to `table`, for bytes that end with the entry, and returns the number of its postings.
/// `first` is the doc id from its key. The last block is decoded into `postings` to count it.
///
/// # Errors
/// [`Error::DamagedIndex`]; [`Error::Limit`] for bytes of more than 4 GiB.
pub(crate) fn tabulate(
    first: DocId,
    bytes: &[u8],
    entry: usize,
    table: &mut Vec<Block>,
    postings: &mut Vec<Posting>,
) -> Result<usize> {
    let blocks = Blocks::parse(first, bytes.get(entry..).unwrap_or_default())?;
    let offset = |at: usize| u32::try_from(at).map_err(|_| Error::Limit("a term has too many postings".into()));
    let body = bytes.len() - blocks.body.len();
    if let Some((count, frequency_max, length_min)) = blocks.single {
        postings.clear();
        blocks.decode(0, postings)?;
        let last = postings.last().map_or(first.0, |last| last.doc_id.0);
        let (start, end) = (offset(body)?, offset(bytes.len())?);
        table.push(Block { before: first.0, is_first: true, last, start, end, frequency_max, length_min });
        return Ok(count);
    }
    let (mut before, mut start) = (first.0, body);
    for n in 0..blocks.len() {
        let TableEntry { last, end, frequency_max, length_min } = blocks.entry(n)?;
        let end = body + end;
        if last < before || end <= start || end > bytes.len() {
            return Err(damaged("table"));
        }
        let is_first = n == 0;
        let (from, to) = (offset(start)?, offset(end)?);
        table.push(Block { before, is_first, last, start: from, end: to, frequency_max, length_min });
        (before, start) = (last, end);
    }
    match table.last() {
        Some(last) if start == bytes.len() => last.decode(bytes, postings)?,
        _ => return Err(damaged("table")),
    }
    Ok((blocks.len() - 1) * BLOCK_POSTINGS_MAX + postings.len())
}

/// Reads a varint; one of a single byte, as most are, at the cost of a comparison.
#[inline]
fn varint(bytes: &[u8], at: &mut usize) -> Result<u64> {
    match bytes.get(*at) {
        Some(&byte) if byte < 0x80 => {
            *at += 1;
            Ok(byte.into())
        }
        _ => long_varint(bytes, at),
    }
}

#[cold]
fn long_varint(bytes: &[u8], at: &mut usize) -> Result<u64> {
    let mut reader = Reader { rest: bytes.get(*at..).unwrap_or_default() };
    let value = reader.varint().map_err(of_index)?;
    *at = bytes.len() - reader.rest.len();
    Ok(value)
}

/// Reads postings up to the end. `last` is the doc id before them, or the first one's, and whether it is.
fn read_postings(
    reader: &mut Reader<'_>,
    (mut doc_id, is_first): (u64, bool),
    count: Option<usize>,
    postings: &mut Vec<Posting>,
) -> Result<()> {
    let mut n = 0;
    while count.map_or(!reader.rest.is_empty(), |count| n < count) {
        let step = reader.varint()?;
        if (n == 0 && is_first) != (step == 0) {
            return Err(damaged("order"));
        }
        doc_id = doc_id.checked_add(step).ok_or_else(|| damaged("doc id"))?;
        postings.push(Posting { doc_id: DocId(doc_id), frequency: reader.varint_u32()?, length: reader.varint_u32()? });
        n += 1;
    }
    reader.end()
}

fn check_bounds(postings: &[Posting], frequency_max: u32, length_min: u32) -> Result<()> {
    let within = |posting: &Posting| posting.frequency <= frequency_max && posting.length >= length_min;
    if postings.iter().all(within) { Ok(()) } else { Err(damaged("bounds")) }
}

/// An error of the reader of rows, for bytes that end too early, as one of the index.
fn of_index(error: Error) -> Error {
    match error {
        Error::Damaged(what) => damaged(&what),
        other => other,
    }
}

fn damaged(what: &str) -> Error {
    Error::DamagedIndex(format!("postings: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FROZEN_BLOCK: &str = "0103ac020100010c01ac028092f4018fddfbffff1f0201";
    const FROZEN_TABLE: &str = "020300333f000000000000c2010000070000000300000033fe0000000000004204000007000000830000006b5d0100000000001e0500000700000003010000";
    const FROZEN_LIST: (usize, u32) = (1_373, 0x90f8_110d);

    fn block() -> Vec<Posting> {
        let posting = |doc_id, frequency, length| Posting { doc_id: DocId(doc_id), frequency, length };
        vec![posting(70_000, 1, 12), posting(70_001, 300, 4_000_000), posting(1 << 40, 2, 1)]
    }

    /// A list of three blocks.
    fn list() -> Vec<Posting> {
        let posting = |n: u32| Posting { doc_id: DocId(50 + u64::from(n * n)), frequency: 1 + n % 7, length: 3 + n };
        (0..300).map(posting).collect()
    }

    #[test]
    fn reads_back() {
        assert_eq!(decode(DocId(70_000), &encode(&block())).unwrap(), block());
        for count in [128, 129, 256, 257, 300] {
            assert_eq!(decode(DocId(50), &encode(&list()[..count])).unwrap(), list()[..count], "{count}");
        }
    }

    /// Frozen: what this version writes has to be read for ever.
    #[test]
    fn both_forms_are_as_they_were() {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        assert_eq!(hex(&encode(&block())), FROZEN_BLOCK);
        let bytes = encode(&list());
        assert_eq!(hex(&bytes[..3 + 3 * TABLE_BYTES]), FROZEN_TABLE);
        assert_eq!((bytes.len(), crc32c::crc32c(&bytes)), FROZEN_LIST);
    }

    #[test]
    fn blocks_are_skipped() {
        let bytes = encode(&list());
        let blocks = Blocks::parse(DocId(50), &bytes).unwrap();
        assert_eq!(blocks.len(), 3);
        let has: RoaringTreemap = list().iter().map(|posting| posting.doc_id.0).collect();
        for (wanted, spoilt) in [
            (vec![0, 49, 50, 51, 52, 53, 54], vec![1, 2]),
            (vec![50 + 200 * 200, 51 + 200 * 200], vec![0, 2]),
            (vec![50 + 299 * 299, 1 << 40], vec![0, 1]),
            (vec![1 << 40], vec![0, 1, 2]),
            ((0..100_000).collect(), vec![]),
        ] {
            let mut bytes = bytes.clone();
            for n in spoilt {
                let start = usize::checked_sub(n, 1).map_or(0, |before| blocks.entry(before).unwrap().end);
                bytes[3 + 3 * TABLE_BYTES + start] ^= 0x01;
            }
            let (wanted, mut found) = (wanted.into_iter().collect::<RoaringTreemap>(), Vec::new());
            Blocks::parse(DocId(50), &bytes).unwrap().each_among(&wanted, |doc_id| found.push(doc_id)).unwrap();
            assert_eq!(found, (&wanted & &has).iter().collect::<Vec<_>>());
        }
        let bytes = encode(&block());
        let (wanted, mut found) = ([70_001, 70_002, 1 << 40].into_iter().collect(), Vec::new());
        Blocks::parse(DocId(70_000), &bytes).unwrap().each_among(&wanted, |doc_id| found.push(doc_id)).unwrap();
        assert_eq!(found, [70_001, 1 << 40]);
    }

    #[test]
    fn tables_of_several_entries_decode_what_was_encoded() {
        let (mut bytes, mut table, mut postings, mut decoded) = (vec![7, 7], Vec::new(), Vec::new(), Vec::new());
        let all: Vec<Vec<Posting>> = [1, 127, 128, 129, 300].iter().map(|count| list()[..*count].to_vec()).collect();
        for entry in all.iter().chain([&block()]) {
            let start = bytes.len();
            encode_into(entry, &mut bytes);
            let blocks = table.len();
            assert_eq!(tabulate(entry[0].doc_id, &bytes, start, &mut table, &mut postings).unwrap(), entry.len());
            let mut read = Vec::new();
            for block in &table[blocks..] {
                block.decode(&bytes, &mut decoded).unwrap();
                assert!(block.least() <= decoded[0].doc_id.0);
                read.extend_from_slice(&decoded);
            }
            assert_eq!(read, *entry);
        }
    }

    #[test]
    fn every_cut_is_an_error() {
        for (first, postings) in [(DocId(70_000), block()), (DocId(50), list())] {
            let bytes = encode(&postings);
            for end in 0..bytes.len() {
                assert!(matches!(decode(first, &bytes[..end]), Err(Error::DamagedIndex(_))), "cut at {end}");
                let mut flipped = bytes.clone();
                flipped[end] ^= 0xff;
                drop(decode(first, &flipped));
                let all = (0..100_000).collect();
                drop(Blocks::parse(first, &flipped).and_then(|blocks| blocks.each_among(&all, drop)));
                let (mut table, mut postings) = (Vec::new(), Vec::new());
                assert!(tabulate(first, &bytes[..end], 0, &mut table, &mut postings).is_err(), "cut at {end}");
                table.clear();
                if tabulate(first, &flipped, 0, &mut table, &mut postings).is_ok() {
                    table.iter().for_each(|block| drop(block.decode(&flipped, &mut postings)));
                }
            }
            let longer = [bytes.as_slice(), &[0]].concat();
            assert!(matches!(decode(first, &longer), Err(Error::DamagedIndex(_))));
        }
    }
}
