//! The best `ef` nodes of a graph search in one sorted array.

/// Nodes in ascending order of (distance, slot), each marked once its neighbours were looked at. One word an entry:
/// distance in an order-preserving form, slot, mark. The nearest unmarked node is at or behind a cursor, so that taking
/// it and inserting before it are cheap; for the usual `ef` this beats two heaps.
#[derive(Default)]
pub(in crate::vector) struct CandidateList {
    entries: Vec<u64>,
    ef: usize,
    cursor: usize,
}

const EXPANDED: u64 = 1;

impl CandidateList {
    /// Empties the candidate list for a graph search with this `ef`.
    pub(in crate::vector) fn reset(&mut self, ef: usize) {
        self.entries.clear();
        self.ef = ef.max(1);
        self.cursor = 0;
    }

    /// Adds a node unless it is farther than all of a full candidate list.
    #[inline(always)]
    pub(in crate::vector) fn push(&mut self, distance: f32, slot: u32) -> bool {
        let entry = u64::from(ordered(distance)) << 32 | u64::from(slot) << 1;
        if self.entries.len() >= self.ef {
            if self.entries.last().is_some_and(|&last| entry >= last) {
                return false;
            }
            self.entries.pop();
        }
        let place = self.entries.partition_point(|&other| other < entry);
        self.entries.insert(place, entry);
        self.cursor = self.cursor.min(place);
        true
    }

    /// The nearest node not taken before.
    #[inline(always)]
    pub(in crate::vector) fn take_nearest(&mut self) -> Option<u32> {
        while let Some(entry) = self.entries.get_mut(self.cursor) {
            self.cursor += 1;
            if *entry & EXPANDED == 0 {
                *entry |= EXPANDED;
                return Some(slot_of(*entry));
            }
        }
        None
    }

    /// Distance beyond which nothing gets in.
    #[inline(always)]
    pub(in crate::vector) fn bound(&self) -> f32 {
        if self.entries.len() < self.ef {
            f32::INFINITY
        } else {
            self.entries.last().map_or(f32::INFINITY, |&e| distance_of(e))
        }
    }

    /// Distances and slots, nearest first.
    pub(in crate::vector) fn iter(&self) -> impl Iterator<Item = (f32, u32)> {
        self.entries.iter().map(|&entry| (distance_of(entry), slot_of(entry)))
    }
}

fn slot_of(entry: u64) -> u32 {
    ((entry & 0xffff_ffff) >> 1) as u32
}

fn distance_of(entry: u64) -> f32 {
    unordered((entry >> 32) as u32)
}

/// An unsigned number in the order of the float.
#[inline(always)]
pub(in crate::vector) fn ordered(value: f32) -> u32 {
    let bits = value.to_bits();
    if bits >> 31 == 0 { bits | 1 << 31 } else { !bits }
}

/// Undoes [`ordered`].
#[inline(always)]
pub(in crate::vector) fn unordered(bits: u32) -> f32 {
    f32::from_bits(if bits >> 31 == 1 { bits & !(1 << 31) } else { !bits })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vector::quantize::splitmix;

    #[test]
    fn order_is_kept_both_ways() {
        let values = [f32::NEG_INFINITY, -1e30, -1.5, -0.0, 0.0, 1e-20, 3.0, f32::MAX];
        for pair in values.windows(2) {
            assert!(ordered(pair[0]) < ordered(pair[1]));
            assert_eq!(unordered(ordered(pair[0])), pair[0]);
        }
    }

    #[test]
    fn keeps_the_nearest_and_takes_each_once() {
        for seed in 0..200u64 {
            let ef = 1 + (splitmix(seed) % 40) as usize;
            let (mut candidates, mut model, mut taken) = (CandidateList::default(), Vec::new(), Vec::new());
            candidates.reset(ef);
            for slot in 0..200u32 {
                let distance = (splitmix(seed << 20 | u64::from(slot)) % 50) as f32 - 25.0;
                candidates.push(distance, slot);
                model.push((distance, slot));
                model.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
                model.truncate(ef);
                assert_eq!(candidates.iter().collect::<Vec<_>>(), model, "seed {seed}");
                if slot % 3 == 0 {
                    let expected = model.iter().map(|entry| entry.1).find(|slot| !taken.contains(slot));
                    let got = candidates.take_nearest();
                    assert_eq!(got, expected, "seed {seed}");
                    taken.extend(got);
                }
            }
        }
    }
}
