//! The set of slots that a graph search has seen.

/// One byte a slot, stamped with the number of the graph search, so that starting a graph search costs nothing.
#[derive(Default)]
pub(in crate::vector) struct Visited {
    stamps: Vec<u8>,
    search: u8,
}

impl Visited {
    /// Forgets everything, for slots below `capacity`.
    pub(in crate::vector) fn start(&mut self, capacity: u32) {
        if self.stamps.len() < capacity as usize {
            self.stamps.resize(capacity as usize, 0);
        }
        if self.search == u8::MAX {
            self.stamps.fill(0);
            self.search = 0;
        }
        self.search += 1;
    }

    /// Marks a slot; `true` the first time. A slot beyond the capacity counts as seen.
    #[inline(always)]
    pub(in crate::vector) fn insert(&mut self, slot: u32) -> bool {
        match self.stamps.get_mut(slot as usize) {
            Some(stamp) => std::mem::replace(stamp, self.search) != self.search,
            None => false,
        }
    }

    /// Marks all of `slots`; `new` becomes those that were not marked, in their order.
    #[inline(always)]
    pub(in crate::vector) fn insert_all(&mut self, slots: &[u32], new: &mut Vec<u32>) {
        new.clear();
        new.resize(slots.len(), 0);
        let mut count = 0;
        for &slot in slots {
            // Written whether it is new or not: which of the two it is cannot be foretold.
            new[count] = slot;
            count += usize::from(self.insert(slot));
        }
        new.truncate(count);
    }

    /// Whether a slot is marked or beyond the capacity.
    #[inline(always)]
    pub(in crate::vector) fn contains(&self, slot: u32) -> bool {
        self.stamps.get(slot as usize).is_none_or(|&stamp| stamp == self.search)
    }

    /// Whether a slot is marked; one beyond the capacity is not.
    pub(in crate::vector) fn is_marked(&self, slot: u32) -> bool {
        self.stamps.get(slot as usize).is_some_and(|&stamp| stamp == self.search)
    }

    /// Bytes held.
    pub(in crate::vector) fn bytes(&self) -> usize {
        self.stamps.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_walk_starts_empty() {
        let mut visited = Visited::default();
        for search in 0..1000u32 {
            visited.start(100);
            for slot in [search % 100, (search + 7) % 100] {
                assert!(!visited.contains(slot) && visited.insert(slot) && visited.contains(slot));
                assert!(!visited.insert(slot));
            }
        }
    }

    #[test]
    fn of_many_the_new_ones_are_told_once() {
        let (mut visited, mut new) = (Visited::default(), Vec::new());
        visited.start(100);
        visited.insert(7);
        visited.insert_all(&[3, 7, 100, 99, 3, 4], &mut new);
        assert_eq!(new, [3, 99, 4]);
        visited.insert_all(&[3, 7, 99], &mut new);
        assert!(new.is_empty() && visited.contains(4));
    }
}
