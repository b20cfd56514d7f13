//! Postings of one term as ranking reads them: all entries of the term as bytes, behind one table of their blocks.
//!
//! The bytes are copied out of the store once and stay encoded; a block is decoded when a cursor needs it. Blocks that a
//! cursor passes over cost a comparison in the table.

use super::lookup::Lookup;
use crate::Result;
use crate::ids::PropertyId;
use crate::inverted::DocSet;
use crate::inverted::form::postings::{self, Block, Posting};
use crate::inverted::form::terms;
use crate::inverted::writer::compaction;
use crate::storage::key::{self, DOC_BYTES, InvKind, PREFIX_BYTES};
use crate::storage::{Cursor, Family};
use crate::{Error, interrupt};

/// Behind the last posting of every term.
pub(crate) const END: u64 = u64::MAX;

/// The postings of a term in one property of a shard, of dead doc ids too. Each doc id has one posting.
#[derive(Default)]
pub(crate) struct TermPostings {
    bytes: Vec<u8>,
    /// Ascending.
    blocks: Vec<Block>,
    entries: Vec<Entry>,
}

/// One entry of the index.
#[derive(Clone, Copy)]
struct Entry {
    first: u64,
    last: u64,
    postings: usize,
    /// Its blocks in the table.
    blocks: (usize, usize),
    /// Whether it has a key of its own; otherwise it lies in a segment, which compaction does not clean.
    has_key: bool,
}

/// Reads the postings of several terms, with one cursor.
pub(crate) struct PostingReader<'l, 'a> {
    lookup: &'l Lookup<'a>,
    cursor: Cursor<'a>,
    scratch: Vec<Posting>,
}

impl<'a> Lookup<'a> {
    /// A reader of postings.
    pub(crate) fn posting_reader(&self) -> PostingReader<'_, 'a> {
        let cursor = self.view.store.cursor(Family::Inverted, self.view.prefix.bytes(), None);
        PostingReader { lookup: self, cursor, scratch: Vec::new() }
    }
}

impl PostingReader<'_, '_> {
    /// The postings of a term.
    ///
    /// # Errors
    /// [`Error::DamagedIndex`] when an entry fails its checks, and a rebuild is asked for.
    pub(crate) fn read(&mut self, property: PropertyId, term: &str) -> Result<TermPostings> {
        let read = self.read_entries(property, term);
        if let Err(Error::DamagedIndex(what)) = &read {
            self.lookup.context.damaged(what);
        }
        read
    }

    fn read_entries(&mut self, property: PropertyId, term: &str) -> Result<TermPostings> {
        let (view, cursor, scratch) = (&self.lookup.view, &mut self.cursor, &mut self.scratch);
        let mut read = TermPostings::default();
        let start = view.prefix.value(property, InvKind::Posting, &terms::term_key(term));
        cursor.seek(&start);
        while let Some((key, bytes)) = cursor.item()?.filter(|(key, _)| key.starts_with(&start)) {
            read.take(key, bytes, true, scratch)?;
            cursor.next();
        }
        let relative = &start[PREFIX_BYTES..];
        for segment in view.parsed_segments()? {
            let (_, segment) = segment?;
            for n in segment.lower_bound(relative)?..segment.len() {
                let (key, bytes) = segment.entry(n)?;
                if key.get(..key.len().saturating_sub(DOC_BYTES)) != Some(relative) {
                    break;
                }
                read.take(key, bytes, false, scratch)?;
            }
        }
        read.in_order()
    }
}

impl TermPostings {
    fn take(&mut self, key: &[u8], bytes: &[u8], has_key: bool, scratch: &mut Vec<Posting>) -> Result<()> {
        interrupt::check()?;
        let first = key::parse_doc_id(key)?;
        let (start, block) = (self.bytes.len(), self.blocks.len());
        self.bytes.extend_from_slice(bytes);
        let postings = postings::tabulate(first, &self.bytes, start, &mut self.blocks, scratch)?;
        let last = self.blocks.last().map_or(first.0, |block| block.last);
        self.entries.push(Entry { first: first.0, last, postings, blocks: (block, self.blocks.len()), has_key });
        Ok(())
    }

    /// Brings entries of segments and of their own keys into one order. Entries overlap only while a rebuild writes them
    /// anew: then all are decoded, and each doc id is kept once.
    fn in_order(mut self) -> Result<Self> {
        let ascend = |entries: &[Entry]| entries.windows(2).all(|pair| pair[0].last < pair[1].first);
        if ascend(&self.entries) {
            return Ok(self);
        }
        self.entries.sort_by_key(|entry| entry.first);
        if ascend(&self.entries) {
            let mut blocks = Vec::with_capacity(self.blocks.len());
            for entry in &mut self.entries {
                let start = blocks.len();
                blocks.extend_from_slice(&self.blocks[entry.blocks.0..entry.blocks.1]);
                entry.blocks = (start, blocks.len());
            }
            self.blocks = blocks;
            return Ok(self);
        }
        let (mut all, mut decoded) = (Vec::new(), Vec::new());
        for block in &self.blocks {
            block.decode(&self.bytes, &mut decoded)?;
            all.extend_from_slice(&decoded);
        }
        compaction::in_order(&mut all);
        let mut joined = Self::default();
        for list in all.chunks(postings::LIST_POSTINGS_MAX) {
            let key = list[0].doc_id.0.to_be_bytes();
            joined.take(&key, &postings::encode(list), false, &mut decoded)?;
        }
        Ok(joined)
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Number of postings, of dead doc ids too.
    pub(crate) fn len(&self) -> usize {
        self.entries.iter().map(|entry| entry.postings).sum()
    }

    /// Bytes in memory.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.len() + self.blocks.len() * size_of::<Block>() + self.entries.len() * size_of::<Entry>()
    }

    /// Number of postings of live doc ids. Entries below `clean_below` that have keys of their own hold no dead ones.
    ///
    /// # Errors
    /// [`Error::DamagedIndex`] when a block fails its checks.
    pub(crate) fn live_count(&self, live: &DocSet, clean_below: u64) -> Result<u64> {
        let mut decoded = Vec::new();
        let mut count = 0;
        for entry in &self.entries {
            let is_clean = entry.has_key && entry.last < clean_below;
            if is_clean || all_live(live, entry.first, entry.last) {
                count += entry.postings as u64;
                continue;
            }
            let blocks = &self.blocks[entry.blocks.0..entry.blocks.1];
            for (n, block) in blocks.iter().enumerate() {
                interrupt::check()?;
                if n + 1 < blocks.len() && all_live(live, block.least(), block.last) {
                    count += postings::BLOCK_POSTINGS_MAX as u64;
                    continue;
                }
                block.decode(&self.bytes, &mut decoded)?;
                count += decoded.iter().filter(|posting| live.contains(posting.doc_id.0)).count() as u64;
            }
        }
        Ok(count)
    }
}

/// Whether every doc id of a range is live.
fn all_live(live: &DocSet, first: u64, last: u64) -> bool {
    let before = first.checked_sub(1).map_or(0, |before| live.rank(before));
    live.rank(last) - before == last - first + 1
}

/// A position in the postings of a term. It moves forward only.
pub(crate) struct PostingCursor<'p> {
    list: &'p TermPostings,
    /// The block that `target` can lie in.
    block: usize,
    /// Whether `decoded` has the postings of that block.
    is_decoded: bool,
    decoded: Vec<Posting>,
    /// Position in `decoded`.
    at: usize,
    /// Postings below this doc id are passed.
    target: u64,
}

impl<'p> PostingCursor<'p> {
    /// Before the first posting.
    pub(crate) fn new(list: &'p TermPostings) -> Self {
        Self { list, block: 0, is_decoded: false, decoded: Vec::new(), at: 0, target: 0 }
    }

    /// Passes all postings below `target`, without decoding any.
    #[inline]
    pub(crate) fn pass(&mut self, target: u64) {
        self.target = self.target.max(target);
    }

    /// The next doc id, or a lower one if its block is not decoded; [`END`] behind the last one. Decodes nothing.
    pub(crate) fn floor(&mut self) -> u64 {
        self.pass_blocks();
        match self.list.blocks.get(self.block) {
            None => END,
            Some(_) if self.is_decoded => self.position(),
            Some(block) => block.least().max(self.target),
        }
    }

    /// The next doc id from `target` on; [`END`] behind the last one.
    ///
    /// # Errors
    /// [`Error::DamagedIndex`] when the block fails its checks.
    pub(crate) fn seek(&mut self, target: u64) -> Result<u64> {
        self.pass(target);
        self.pass_blocks();
        if self.block == self.list.blocks.len() {
            return Ok(END);
        }
        self.decode()?;
        Ok(self.position())
    }

    /// The posting that [`PostingCursor::seek`] has found.
    pub(crate) fn posting(&self) -> Option<Posting> {
        self.decoded.get(self.at).copied().filter(|_| self.is_decoded)
    }

    /// Greatest `bound` of a block that can have a doc id from the present one on and below `end`; 0 if there is none.
    /// `bound` gets the greatest frequency and the least length of a block.
    pub(crate) fn bound(&mut self, end: u64, bound: impl Fn(u32, u32) -> i64) -> i64 {
        self.pass_blocks();
        let blocks = self.list.blocks[self.block..].iter().take_while(|block| block.least() < end);
        blocks.map(|block| bound(block.frequency_max, block.length_min)).max().unwrap_or(0)
    }

    /// The `bound` of the block that `target` can lie in, and its last doc id; 0 and [`END`] behind the last block.
    /// The cursor passes the blocks before it.
    pub(crate) fn block_bound(&mut self, target: u64, bound: impl Fn(u32, u32) -> i64) -> (i64, u64) {
        self.pass(target);
        self.pass_blocks();
        match self.list.blocks.get(self.block) {
            None => (0, END),
            // Nothing is in the gap before the block.
            Some(block) if block.least() > target => (0, block.least() - 1),
            Some(block) => (bound(block.frequency_max, block.length_min), block.last),
        }
    }

    /// Hands over the postings from the present one on whose doc ids are below `end`, and passes them.
    ///
    /// # Errors
    /// [`Error::DamagedIndex`] when a block fails its checks.
    pub(crate) fn drain(&mut self, end: u64, mut take: impl FnMut(&Posting)) -> Result<()> {
        loop {
            self.pass_blocks();
            let Some(block) = self.list.blocks.get(self.block) else { return Ok(()) };
            if block.least() >= end {
                return Ok(());
            }
            self.decode()?;
            self.position();
            let mut count = 0;
            for posting in &self.decoded[self.at..] {
                if posting.doc_id.0 >= end {
                    break;
                }
                take(posting);
                count += 1;
            }
            self.at += count;
            if self.at < self.decoded.len() {
                self.pass(end);
                return Ok(());
            }
            self.target = block.last.saturating_add(1);
        }
    }

    /// Moves to the first block that can have `target`.
    #[inline]
    fn pass_blocks(&mut self) {
        let blocks = &self.list.blocks;
        if blocks.get(self.block).is_none_or(|block| block.last >= self.target) {
            return;
        }
        // Steps that double, as most targets are near.
        let (mut low, mut step) = (self.block + 1, 1);
        while blocks.get(low + step).is_some_and(|block| block.last < self.target) {
            low += step;
            step *= 2;
        }
        let high = (low + step).min(blocks.len());
        let within = blocks.get(low..high).unwrap_or_default();
        self.block = (low + within.partition_point(|block| block.last < self.target)).min(blocks.len());
        self.is_decoded = false;
    }

    fn decode(&mut self) -> Result<()> {
        if !self.is_decoded {
            let block = &self.list.blocks[self.block];
            block.decode(&self.list.bytes, &mut self.decoded)?;
            self.at = 0;
            self.is_decoded = true;
        }
        Ok(())
    }

    /// The first doc id of the decoded block from the target on. The block's last one is not below the target.
    #[inline]
    fn position(&mut self) -> u64 {
        let rest = &self.decoded[self.at..];
        self.at += match rest.first() {
            Some(first) if first.doc_id.0 >= self.target => 0,
            _ => rest.partition_point(|posting| posting.doc_id.0 < self.target),
        };
        self.decoded.get(self.at).map_or(END, |posting| posting.doc_id.0)
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::ids::DocId;

    fn list(rng: &mut ChaCha8Rng, overlap: bool) -> (TermPostings, Vec<Posting>) {
        let (mut read, mut all, mut scratch) = (TermPostings::default(), Vec::new(), Vec::new());
        let (mut next, mut entries) = (0, Vec::new());
        for _ in 0..rng.random_range(1..8) {
            let mut postings = Vec::new();
            for _ in 0..rng.random_range(1..400) {
                next += rng.random_range(1..40);
                let frequency = rng.random_range(1..200);
                postings.push(Posting { doc_id: DocId(next), frequency, length: frequency + rng.random_range(0..300) });
            }
            all.extend_from_slice(&postings);
            if overlap {
                entries.push(postings[..postings.len().div_ceil(2)].to_vec());
            }
            entries.push(postings);
        }
        while !entries.is_empty() {
            let entry = entries.swap_remove(rng.random_range(0..entries.len()));
            let key = entry[0].doc_id.0.to_be_bytes();
            read.take(&key, &postings::encode(&entry), true, &mut scratch).unwrap();
        }
        (read.in_order().unwrap(), all)
    }

    #[test]
    fn cursors_find_what_a_list_has() {
        for seed in 0..200 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let (list, all) = list(&mut rng, seed % 3 == 0);
            assert_eq!(list.len(), all.len(), "seed {seed}");
            let from = |target: u64| all.iter().find(|posting| posting.doc_id.0 >= target).copied();
            let bound = |frequency: u32, length: u32| i64::from(frequency) * 1_000 - i64::from(length);
            let (mut cursor, mut target) = (PostingCursor::new(&list), 0);
            while cursor.floor() != END {
                let next = from(target).map_or(END, |posting| posting.doc_id.0);
                assert!(cursor.floor() <= next, "seed {seed}");
                match rng.random_range(0..4) {
                    0 => {
                        assert_eq!(cursor.seek(target).unwrap(), next, "seed {seed}");
                        assert_eq!(cursor.posting(), from(target).filter(|_| next != END), "seed {seed}");
                    }
                    1 => {
                        let end = target + rng.random_range(1..5_000);
                        let wanted: Vec<Posting> =
                            all.iter().filter(|of| (target..end).contains(&of.doc_id.0)).copied().collect();
                        let most = cursor.bound(end, bound);
                        assert!(wanted.iter().all(|of| bound(of.frequency, of.length) <= most), "seed {seed}");
                        let mut found = Vec::new();
                        cursor.drain(end, |posting| found.push(*posting)).unwrap();
                        assert_eq!(found, wanted, "seed {seed}");
                        target = end;
                    }
                    2 => {
                        let (most, last) = cursor.block_bound(target, bound);
                        let within = all.iter().filter(|of| (target..=last).contains(&of.doc_id.0));
                        assert!(within.into_iter().all(|of| bound(of.frequency, of.length) <= most), "seed {seed}");
                    }
                    _ => {
                        target += rng.random_range(0..3_000);
                        cursor.pass(target);
                    }
                }
            }
            assert_eq!(cursor.seek(target).unwrap(), END);
        }
    }

    #[test]
    fn only_live_postings_are_counted() {
        for seed in 0..60 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let (list, all) = list(&mut rng, seed % 3 == 0);
            let share = [0.0, 0.3, 0.9995, 1.0][rng.random_range(0..4)];
            let live: DocSet = (0..20_000).filter(|_| rng.random_bool(share)).collect();
            let wanted = all.iter().filter(|posting| live.contains(posting.doc_id.0)).count() as u64;
            assert_eq!(list.live_count(&live, 0).unwrap(), wanted, "seed {seed}");
        }
    }
}
