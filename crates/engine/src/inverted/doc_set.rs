//! Sets of doc ids in memory, in chunks that versions of a set share: live objects, and objects that have a vector.
//!
//! Each apply makes a new version while readers hold older ones. A version copies the list of chunks and the chunks that
//! differ, never the whole set. A chunk holds the doc ids of one stored set ([`docset`](super::form::docset)).

use std::sync::{Arc, OnceLock};

use roaring::{RoaringBitmap, RoaringTreemap};

use super::form::docset;
use crate::Result;
use crate::ids::DocId;

/// Bits of a doc id below the number of its chunk.
const CHUNK_BITS: u32 = 16;

/// A set of doc ids.
#[derive(Debug, Clone, Default)]
pub(crate) struct DocSet {
    /// Ascending; none is empty.
    chunks: Vec<Chunk>,
    len: u64,
    /// The set as one bitmap, made by the first reader that needs one.
    whole: OnceLock<Arc<RoaringTreemap>>,
}

/// The doc ids with one beginning.
#[derive(Debug, Clone, PartialEq)]
struct Chunk {
    number: u64,
    /// The low 32 bits of each, as the bitmaps of a [`RoaringTreemap`] hold them.
    members: Arc<RoaringBitmap>,
}

impl Chunk {
    /// The high 32 bits of its doc ids.
    fn part(&self) -> u32 {
        high(self.number << CHUNK_BITS)
    }

    fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        let part = u64::from(self.part()) << 32;
        self.members.iter().map(move |low| part | u64::from(low))
    }
}

impl DocSet {
    /// Number of members.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Whether there is no member.
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether the doc id is a member.
    #[inline]
    pub(crate) fn contains(&self, doc_id: u64) -> bool {
        self.position(doc_id >> CHUNK_BITS).is_ok_and(|at| self.chunks[at].members.contains(low(doc_id)))
    }

    /// The least member.
    pub(crate) fn min(&self) -> Option<u64> {
        self.iter().next()
    }

    /// The greatest member.
    pub(crate) fn max(&self) -> Option<u64> {
        let chunk = self.chunks.last()?;
        Some(u64::from(chunk.part()) << 32 | u64::from(chunk.members.max()?))
    }

    /// Number of members up to and with a doc id.
    pub(crate) fn rank(&self, doc_id: u64) -> u64 {
        let number = doc_id >> CHUNK_BITS;
        let before = self.chunks.iter().take_while(|chunk| chunk.number < number);
        let at = self.position(number).map_or(0, |at| self.chunks[at].members.rank(low(doc_id)));
        before.map(|chunk| chunk.members.len()).sum::<u64>() + at
    }

    /// The member before which there are `n`.
    pub(crate) fn select(&self, mut n: u64) -> Option<u64> {
        for chunk in &self.chunks {
            if n < chunk.members.len() {
                let low = chunk.members.select(u32::try_from(n).ok()?)?;
                return Some(u64::from(chunk.part()) << 32 | u64::from(low));
            }
            n -= chunk.members.len();
        }
        None
    }

    /// The members, ascending.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        self.chunks.iter().flat_map(Chunk::iter)
    }

    /// The members from a doc id on, ascending.
    pub(crate) fn iter_from(&self, doc_id: u64) -> impl Iterator<Item = u64> + '_ {
        let number = doc_id >> CHUNK_BITS;
        let from = self.position(number).unwrap_or_else(|at| at);
        self.chunks[from..].iter().flat_map(Chunk::iter).skip_while(move |member| *member < doc_id)
    }

    /// Whether all members are members of `other`.
    pub(crate) fn is_subset(&self, other: &Self) -> bool {
        self.chunks.iter().all(|chunk| {
            other.position(chunk.number).is_ok_and(|at| {
                let of_other = &other.chunks[at].members;
                Arc::ptr_eq(&chunk.members, of_other) || chunk.members.is_subset(of_other)
            })
        })
    }

    /// The members that are in `other` too.
    pub(crate) fn and(&self, other: &RoaringTreemap) -> RoaringTreemap {
        if other.len() <= self.chunks.len() as u64 {
            return other.iter().filter(|doc_id| self.contains(*doc_id)).collect();
        }
        self.parts(other, |members, other| other.map(|other| members & other).unwrap_or_default())
    }

    /// The members that are not in `other`.
    pub(crate) fn without(&self, other: &RoaringTreemap) -> RoaringTreemap {
        self.parts(other, |members, other| other.map_or_else(|| members.clone(), |other| members - other))
    }

    /// The set as one bitmap, kept with this version of the set.
    pub(crate) fn whole(&self) -> &RoaringTreemap {
        self.whole.get_or_init(|| Arc::new(self.to_treemap()))
    }

    /// The set as one bitmap.
    pub(crate) fn to_treemap(&self) -> RoaringTreemap {
        self.without(&RoaringTreemap::new())
    }

    /// Each chunk as `of` changes it, joined; `of` gets the part of `other` that the chunk lies in.
    fn parts(
        &self,
        other: &RoaringTreemap,
        of: impl Fn(&RoaringBitmap, Option<&RoaringBitmap>) -> RoaringBitmap,
    ) -> RoaringTreemap {
        let mut others = other.bitmaps().peekable();
        let parts = self.chunks.chunk_by(|a, b| a.part() == b.part()).map(|chunks| {
            let part = chunks[0].part();
            while others.next_if(|(other, _)| *other < part).is_some() {}
            let other = others.peek().filter(|(other, _)| *other == part).map(|(_, bitmap)| *bitmap);
            let mut joined = RoaringBitmap::new();
            chunks.iter().for_each(|chunk| joined |= of(&chunk.members, other));
            (part, joined)
        });
        RoaringTreemap::from_bitmaps(parts.filter(|(_, joined)| !joined.is_empty()))
    }

    /// Adds a doc id.
    pub(crate) fn insert(&mut self, doc_id: u64) {
        let number = doc_id >> CHUNK_BITS;
        let at = self.position(number).unwrap_or_else(|at| {
            self.chunks.insert(at, Chunk { number, members: Arc::default() });
            at
        });
        self.len += u64::from(Arc::make_mut(&mut self.chunks[at].members).insert(low(doc_id)));
        self.whole = OnceLock::new();
    }

    /// Removes a doc id.
    pub(crate) fn remove(&mut self, doc_id: u64) {
        let Ok(at) = self.position(doc_id >> CHUNK_BITS) else { return };
        let members = Arc::make_mut(&mut self.chunks[at].members);
        self.len -= u64::from(members.remove(low(doc_id)));
        if members.is_empty() {
            self.chunks.remove(at);
        }
        self.whole = OnceLock::new();
    }

    /// Adds the members of a stored set.
    ///
    /// # Errors
    /// As [`docset::decode_into`].
    pub(crate) fn decode_chunk(&mut self, first: DocId, bytes: &[u8]) -> Result<()> {
        let mut decoded = RoaringTreemap::new();
        docset::decode_into(&mut decoded, first, bytes)?;
        for (part, bitmap) in decoded.bitmaps() {
            // A stored set lies within one chunk.
            let Some(min) = bitmap.min() else { continue };
            let number = (u64::from(part) << 32 | u64::from(min)) >> CHUNK_BITS;
            match self.position(number) {
                Ok(at) => *Arc::make_mut(&mut self.chunks[at].members) |= bitmap,
                Err(at) => self.chunks.insert(at, Chunk { number, members: Arc::new(bitmap.clone()) }),
            }
        }
        self.len = self.chunks.iter().map(|chunk| chunk.members.len()).sum();
        self.whole = OnceLock::new();
        Ok(())
    }

    /// The stored form of the chunk that a doc id lies in; `None` if it has no members.
    pub(crate) fn encode_chunk(&self, doc_id: u64) -> Option<Vec<u8>> {
        let at = self.position(doc_id >> CHUNK_BITS).ok()?;
        Some(docset::encode_bitmap(&self.chunks[at].members))
    }

    /// Where the chunk with that number is, or would be. Chunks are dense as a rule, so that it is at its number.
    fn position(&self, number: u64) -> std::result::Result<usize, usize> {
        match usize::try_from(number).ok().and_then(|at| Some((at, self.chunks.get(at)?))) {
            Some((at, chunk)) if chunk.number == number => Ok(at),
            _ => self.chunks.binary_search_by_key(&number, |chunk| chunk.number),
        }
    }
}

impl PartialEq for DocSet {
    fn eq(&self, other: &Self) -> bool {
        self.chunks == other.chunks
    }
}

impl FromIterator<u64> for DocSet {
    fn from_iter<I: IntoIterator<Item = u64>>(members: I) -> Self {
        let mut set = Self::default();
        members.into_iter().for_each(|doc_id| set.insert(doc_id));
        set
    }
}

fn high(doc_id: u64) -> u32 {
    (doc_id >> 32) as u32
}

#[expect(clippy::cast_possible_truncation, reason = "the lower half")]
fn low(doc_id: u64) -> u32 {
    doc_id as u32
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn check(set: &DocSet, model: &BTreeSet<u64>, seed: u64) {
        assert_eq!(set.iter().collect::<Vec<_>>(), model.iter().copied().collect::<Vec<_>>(), "seed {seed}");
        assert_eq!((set.len(), set.is_empty()), (model.len() as u64, model.is_empty()), "seed {seed}");
        assert_eq!(set.min(), model.first().copied(), "seed {seed}");
        assert_eq!(set.max(), model.last().copied(), "seed {seed}");
        assert_eq!(*set.whole(), model.iter().collect::<RoaringTreemap>(), "seed {seed}");
    }

    #[test]
    fn versions_stay_as_they_were() {
        for seed in 0..60 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let spread = [200, 200_000, 1 << 34][rng.random_range(0..3)];
            let (mut set, mut model) = (DocSet::default(), BTreeSet::new());
            let mut versions = Vec::new();
            for _ in 0..rng.random_range(1..400) {
                let doc_id = rng.random_range(0..spread);
                if rng.random_range(0..3) == 0 {
                    set.remove(doc_id);
                    model.remove(&doc_id);
                } else {
                    set.insert(doc_id);
                    model.insert(doc_id);
                }
                if rng.random_range(0..50) == 0 {
                    set.whole();
                    versions.push((set.clone(), model.clone()));
                }
            }
            versions.push((set.clone(), model.clone()));
            versions.iter().for_each(|(set, model)| check(set, model, seed));
            let other: BTreeSet<u64> = (0..rng.random_range(0..400)).map(|_| rng.random_range(0..spread)).collect();
            let bitmap: RoaringTreemap = other.iter().collect();
            assert_eq!(set.and(&bitmap), model.intersection(&other).collect(), "seed {seed}");
            assert_eq!(set.without(&bitmap), model.difference(&other).collect(), "seed {seed}");
            for doc_id in other.iter().chain(&model).copied() {
                assert_eq!(set.contains(doc_id), model.contains(&doc_id), "seed {seed}");
                assert_eq!(set.rank(doc_id), model.range(..=doc_id).count() as u64, "seed {seed}");
                let from: Vec<u64> = set.iter_from(doc_id).take(3).collect();
                assert_eq!(from, model.range(doc_id..).take(3).copied().collect::<Vec<_>>(), "seed {seed}");
            }
            for (n, member) in (0..).zip(&model) {
                assert_eq!(set.select(n), Some(*member), "seed {seed}");
            }
            assert_eq!(set.select(set.len()), None);
            let some: DocSet = model.iter().copied().filter(|_| rng.random()).collect();
            assert!(some.is_subset(&set) && (some == set || !set.is_subset(&some)), "seed {seed}");
        }
    }

    #[test]
    fn a_version_shares_the_chunks_that_did_not_change() {
        let before: DocSet = (0..5).map(|chunk| chunk << CHUNK_BITS).collect();
        let mut after = before.clone();
        after.insert((3 << CHUNK_BITS) + 7);
        after.remove(4 << CHUNK_BITS);
        let shared = before.chunks.iter().zip(&after.chunks).map(|(a, b)| Arc::ptr_eq(&a.members, &b.members));
        assert_eq!(shared.collect::<Vec<_>>(), [true, true, true, false]);
    }

    #[test]
    fn chunks_are_stored_as_sets() {
        for (seed, kept) in (0..).zip([1, 40, 500, 999, 1_000]) {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let members: Vec<u64> = (0..200_000).filter(|_| rng.random_range(0..1_000) < kept).collect();
            let set: DocSet = members.iter().copied().collect();
            let mut read = DocSet::default();
            for chunk in members.chunk_by(|a, b| docset::chunk_of(*a) == docset::chunk_of(*b)) {
                let bytes = set.encode_chunk(chunk[0]).unwrap();
                assert_eq!(bytes, docset::encode(chunk), "{kept}");
                read.decode_chunk(DocId(chunk[0]), &bytes).unwrap();
            }
            assert_eq!((&read, read.len()), (&set, set.len()));
            assert_eq!(set.encode_chunk(1 << 30), None);
        }
    }
}
