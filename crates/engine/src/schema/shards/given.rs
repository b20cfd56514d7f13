//! The ids of shards that were assigned, as far as a group knows.

use serde::{Deserialize, Serialize};

use crate::ids::ShardId;

/// Maximum number of ranges of missing ids, which belong to creations whose second step is still running.
const MISSING_MAX: usize = 1_024;

/// The ids of a collection's shards that a group has seen: all below `next` that are not missing. The meta group assigns
/// the ids, so it never misses one. An id that was seen never becomes valid again after its shard was dropped.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct GivenIds {
    next: u32,
    /// Ranges of missing ids, ascending: the first id, and the one after the last.
    missing: Vec<(u32, u32)>,
}

impl GivenIds {
    /// An upper bound: all assigned ids are below it.
    pub(crate) fn next(&self) -> ShardId {
        ShardId(self.next)
    }

    /// Whether the group has seen the id.
    pub(crate) fn has(&self, id: ShardId) -> bool {
        id.0 < self.next && self.range_of(id.0).is_none()
    }

    /// Ids below the next one that the group has not seen.
    pub(crate) fn missing(&self) -> impl Iterator<Item = ShardId> + '_ {
        self.missing.iter().flat_map(|&(first, end)| first..end).map(ShardId)
    }

    /// Assigns the next id; `None` if the ids are used up.
    pub(crate) fn give(&mut self) -> Option<ShardId> {
        let id = self.next;
        self.next = id.checked_add(1)?;
        Some(ShardId(id))
    }

    /// Marks an id as seen. Returns whether it was new.
    ///
    /// # Errors
    /// If the id cannot have been assigned, or too many ids are missing.
    pub(crate) fn hear(&mut self, id: ShardId) -> Result<bool, String> {
        let id = id.0;
        let Some(after) = id.checked_add(1) else { return Err(format!("shard id {id} is never given")) };
        if id >= self.next {
            if id > self.next {
                self.check_room()?;
                self.missing.push((self.next, id));
            }
            self.next = after;
            return Ok(true);
        }
        let Some(at) = self.range_of(id) else { return Ok(false) };
        let (first, end) = self.missing[at];
        match (first == id, after == end) {
            (true, true) => drop(self.missing.remove(at)),
            (true, false) => self.missing[at].0 = after,
            (false, true) => self.missing[at].1 = id,
            (false, false) => {
                self.check_room()?;
                self.missing[at].1 = id;
                self.missing.insert(at + 1, (after, end));
            }
        }
        Ok(true)
    }

    /// The state in which all ids below `next` were seen.
    pub(crate) fn close(&mut self, next: u32) {
        self.next = self.next.max(next);
        self.missing.clear();
    }

    fn check_room(&self) -> Result<(), String> {
        if self.missing.len() < MISSING_MAX {
            return Ok(());
        }
        Err(format!("{MISSING_MAX} ranges of shard ids are missing: the shards before have to be made known first"))
    }

    /// The position of the range that has a missing id.
    fn range_of(&self, id: u32) -> Option<usize> {
        let at = self.missing.partition_point(|(_, end)| *end <= id);
        self.missing.get(at).filter(|(first, _)| *first <= id).map(|_| at)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn ids_are_heard_of_in_any_order() {
        for seed in 0..20 {
            println!("seed {seed}");
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let (mut given, mut heard) = (GivenIds::default(), BTreeSet::new());
            for _ in 0..400 {
                let id = rng.random_range(0..300);
                assert_eq!(given.hear(ShardId(id)), Ok(heard.insert(id)));
                assert!((0..300).all(|id| given.has(ShardId(id)) == heard.contains(&id)));
                let next = heard.last().map_or(0, |last| last + 1);
                assert_eq!(given.next(), ShardId(next));
                assert!(given.missing().map(|id| id.0).eq((0..next).filter(|id| !heard.contains(id))));
            }
            given.close(310);
            assert_eq!((given.next(), given.missing().count()), (ShardId(310), 0));
        }
    }

    #[test]
    fn ids_and_missing_ids_end_with_an_error() {
        let mut given = GivenIds { next: u32::MAX - 1, missing: Vec::new() };
        assert_eq!((given.give(), given.give()), (Some(ShardId(u32::MAX - 1)), None));
        assert!(given.hear(ShardId(u32::MAX)).unwrap_err().contains("never given"));

        let mut given = GivenIds::default();
        let odd = |n: usize| ShardId(u32::try_from(2 * n + 1).unwrap());
        assert!((0..MISSING_MAX).all(|n| given.hear(odd(n)) == Ok(true)));
        let before = given.clone();
        assert!(given.hear(odd(MISSING_MAX)).unwrap_err().contains("1024 ranges"));
        assert_eq!(given, before);
        assert_eq!((given.hear(ShardId(0)), given.hear(odd(MISSING_MAX))), (Ok(true), Ok(true)));
    }
}
