//! The best objects of a pass over the postings, and the objects that may be among them.

use std::cmp::Ordering;

use roaring::{RoaringTreemap, treemap};
use uuid::Uuid;

use crate::Result;
use crate::inverted::DocSet;
use crate::inverted::reader::ranked::END;

/// Found objects from which on those that do not stay are dropped, for small pages.
const ROOM_MIN: usize = 64;
/// Objects with the score of the last one kept from which on ids decide between them.
const TIES_MAX: usize = 8_192;
/// Half the distance between two f32, and more, relative to the number: a lower sum has a lower score.
const SCORE_ROUNDING: f64 = 1.0 / (1 << 22) as f64;

/// Reads the ids of documents, which ascend.
pub(super) type Ids<'a> = &'a dyn Fn(&[u64]) -> Result<Vec<Uuid>>;

/// The objects that a search may find.
pub(super) struct Candidates<'a> {
    live: &'a DocSet,
    matches: Option<&'a RoaringTreemap>,
    /// Objects that cannot be read.
    hidden: Option<RoaringTreemap>,
    /// Goes over the matches.
    iter: Option<treemap::Iter<'a>>,
    /// The last match that it gave.
    next: u64,
}

impl<'a> Candidates<'a> {
    /// Live objects; those that match if there is a filter.
    pub(super) fn new(live: &'a DocSet, matches: Option<&'a RoaringTreemap>, hidden: Option<RoaringTreemap>) -> Self {
        let mut iter = matches.map(RoaringTreemap::iter);
        let next = iter.as_mut().map_or(0, |iter| iter.next().unwrap_or(END));
        Self { live, matches, hidden, iter, next }
    }

    /// Whether a document is one of them.
    #[inline]
    pub(super) fn contain(&self, doc_id: u64) -> bool {
        let is_candidate = match self.matches {
            Some(matches) => matches.contains(doc_id),
            None => self.live.contains(doc_id),
        };
        is_candidate && !self.hidden.as_ref().is_some_and(|hidden| hidden.contains(doc_id))
    }

    /// A document from `doc_id` on before which there is no other one that matches the filter; [`END`] if there is none.
    /// `doc_id` does not descend from call to call.
    pub(super) fn next_from(&mut self, doc_id: u64) -> u64 {
        let Some(iter) = &mut self.iter else { return doc_id };
        if self.next < doc_id {
            iter.advance_to(doc_id);
            self.next = iter.next().unwrap_or(END);
        }
        self.next
    }
}

/// The objects with the greatest scores so far.
pub(super) struct Top<'a> {
    keep: usize,
    scale: f64,
    ids: Ids<'a>,
    found: Vec<(f32, u64)>,
    /// Found objects at which those that do not stay are dropped.
    room: usize,
    /// The least score that can stay; `None` until as many are found as are kept.
    least: Option<f32>,
    /// Sums below this one have a lower score than `least`.
    least_sum: i64,
}

impl<'a> Top<'a> {
    /// Keeps so many; sums of scores are divided by `scale`.
    pub(super) fn new(keep: usize, scale: f64, ids: Ids<'a>) -> Self {
        let room = keep.saturating_mul(2).max(ROOM_MIN);
        Self { keep, scale, ids, found: Vec::new(), room, least: None, least_sum: i64::MIN }
    }

    /// Whether a document with at most that sum can stay.
    #[inline]
    pub(super) fn admits(&self, sum_max: i64) -> bool {
        sum_max >= self.least_sum
    }

    /// Takes in a document.
    ///
    /// # Errors
    /// Those of reading ids.
    #[expect(clippy::cast_possible_truncation, reason = "scores are f32 on every wire")]
    pub(super) fn offer(&mut self, doc_id: u64, sum: i64) -> Result<()> {
        let score = (sum as f64 / self.scale) as f32;
        if self.keep == 0 || self.least.is_some_and(|least| score < least) {
            return Ok(());
        }
        self.found.push((score, doc_id));
        if self.found.len() >= self.room { self.drop_rest(false) } else { Ok(()) }
    }

    /// The kept ones from `offset` on, the greatest score first; equal scores by doc id.
    ///
    /// # Errors
    /// Those of reading ids.
    pub(super) fn page(mut self, offset: usize) -> Result<Vec<(f32, u64)>> {
        self.drop_rest(true)?;
        self.found.sort_unstable_by(by_score);
        if offset >= self.found.len() {
            return Ok(Vec::new());
        }
        // Which of several equal ones are left out depends on their ids.
        let cut = self.found[offset].0;
        let start = self.found.partition_point(|(score, _)| *score > cut);
        let end = self.found.partition_point(|(score, _)| *score >= cut);
        if start < offset && end > offset {
            let tied: Vec<u64> = self.found[start..end].iter().map(|(_, doc_id)| *doc_id).collect();
            let left: Vec<u64> = self.by_id(tied)?.into_iter().skip(offset - start).collect();
            self.found.splice(start..end, left.into_iter().map(|doc_id| (cut, doc_id)));
            return Ok(self.found.split_off(start));
        }
        Ok(self.found.split_off(offset))
    }

    /// Drops what cannot stay. Of objects that tie with the last one kept, those with greater ids go when there are many
    /// of them, and at the end.
    fn drop_rest(&mut self, is_end: bool) -> Result<()> {
        if self.found.len() < self.keep.max(1) {
            return Ok(());
        }
        let (_, last, _) = self.found.select_nth_unstable_by(self.keep - 1, by_score);
        let least = last.0;
        self.found.retain(|(score, _)| *score >= least);
        self.least = Some(least);
        let sum = f64::from(least) * self.scale;
        #[expect(clippy::cast_possible_truncation, reason = "saturates")]
        let least_sum = (sum - sum.abs() * SCORE_ROUNDING).floor() as i64;
        self.least_sum = least_sum.saturating_sub(1);
        if self.found.len() > self.keep && (is_end || self.found.len() >= TIES_MAX.max(2 * self.keep)) {
            let (mut above, tied): (Vec<_>, Vec<_>) = self.found.drain(..).partition(|(score, _)| *score > least);
            let mut tied: Vec<u64> = tied.into_iter().map(|(_, doc_id)| doc_id).collect();
            tied.sort_unstable();
            let kept = self.by_id(tied)?;
            above.extend(kept.into_iter().take(self.keep - above.len()).map(|doc_id| (least, doc_id)));
            self.found = above;
        }
        self.room = self.found.len().saturating_mul(2).max(ROOM_MIN).min(TIES_MAX.max(4 * self.keep));
        self.room = self.room.max(self.found.len() + ROOM_MIN);
        Ok(())
    }

    /// Documents, which ascend, in the order of their ids.
    fn by_id(&self, docs: Vec<u64>) -> Result<Vec<u64>> {
        let mut with_ids: Vec<(Uuid, u64)> = (self.ids)(&docs)?.into_iter().zip(docs).collect();
        with_ids.sort_unstable();
        Ok(with_ids.into_iter().map(|(_, doc_id)| doc_id).collect())
    }
}

fn by_score(a: &(f32, u64), b: &(f32, u64)) -> Ordering {
    b.0.total_cmp(&a.0).then(a.1.cmp(&b.1))
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    /// Ids run against the order of the documents, more or less.
    fn id(doc_id: u64) -> Uuid {
        Uuid::from_u64_pair((1_000_000 - doc_id) / 3, doc_id)
    }

    #[test]
    fn the_best_are_kept_and_ids_decide_between_equal_ones() {
        for seed in 0..300 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let ids = |docs: &[u64]| {
                assert!(docs.is_sorted());
                Ok(docs.iter().map(|doc_id| id(*doc_id)).collect())
            };
            let (keep, offset) = (rng.random_range(1..200), rng.random_range(0..100));
            let scores = [2, 20, 100_000][rng.random_range(0..3)];
            let count = [10, 300, 30_000][rng.random_range(0..3)];
            let mut all: Vec<(i64, u64)> = (0..count).map(|doc_id| (rng.random_range(0..scores), doc_id)).collect();
            let mut top = Top::new(keep, 8.0, &ids);
            for (sum, doc_id) in &all {
                if top.admits(*sum) {
                    top.offer(*doc_id, *sum).unwrap();
                }
            }
            all.sort_by_key(|(sum, doc_id)| (std::cmp::Reverse(*sum), id(*doc_id)));
            let wanted: Vec<(i64, u64)> = all.into_iter().take(keep).skip(offset).collect();
            let mut page = top.page(offset).unwrap();
            page.sort_by(|a, b| b.0.total_cmp(&a.0).then(id(a.1).cmp(&id(b.1))));
            let page: Vec<(i64, u64)> =
                page.into_iter().map(|(score, doc_id)| ((score * 8.0) as i64, doc_id)).collect();
            assert_eq!(page, wanted, "seed {seed}");
        }
    }
}
