//! From document to slot.

use hashbrown::HashMap;

/// Documents share a page by their upper bits, so that the usual dense ids cost little more than four bytes each.
const PAGE_BITS: u32 = 6;

/// Which slot holds a document. Ids are dense in the usual case; a page of ids that are mostly missing costs 256 bytes.
#[derive(Debug, Default)]
pub(in crate::vector) struct DocMap {
    pages: HashMap<u64, Box<Page>>,
    len: usize,
}

#[derive(Debug)]
struct Page {
    slots: [u32; 1 << PAGE_BITS],
    used: u8,
}

/// Marks an absent document; slots stay below it.
const ABSENT: u32 = u32::MAX;

impl DocMap {
    /// Documents present.
    pub(in crate::vector) fn len(&self) -> usize {
        self.len
    }

    /// Approximate size in memory.
    pub(in crate::vector) fn bytes(&self) -> usize {
        self.pages.len() * size_of::<Page>() + self.pages.capacity() * (size_of::<(u64, Box<Page>)>() + 1)
    }

    pub(in crate::vector) fn get(&self, doc: u64) -> Option<u32> {
        let page = self.pages.get(&(doc >> PAGE_BITS))?;
        Some(page.slots[index(doc)]).filter(|&slot| slot != ABSENT)
    }

    /// Appends the slots of those `docs` that are present. Fast where neighbours in the sequence share a page.
    pub(in crate::vector) fn get_all(&self, docs: impl Iterator<Item = u64>, slots: &mut Vec<u32>) {
        static NOTHING: Page = Page { slots: [ABSENT; 1 << PAGE_BITS], used: 0 };
        let (mut number, mut page) = (u64::MAX, &NOTHING);
        docs.for_each(|doc| {
            if doc >> PAGE_BITS != number {
                number = doc >> PAGE_BITS;
                page = self.pages.get(&number).map_or(&NOTHING, |page| page);
            }
            let slot = page.slots[index(doc)];
            if slot != ABSENT {
                slots.push(slot);
            }
        });
    }

    /// Adds or replaces.
    pub(in crate::vector) fn insert(&mut self, doc: u64, slot: u32) {
        let empty = || Box::new(Page { slots: [ABSENT; 1 << PAGE_BITS], used: 0 });
        let page = self.pages.entry(doc >> PAGE_BITS).or_insert_with(empty);
        if page.slots[index(doc)] == ABSENT {
            page.used += 1;
            self.len += 1;
        }
        page.slots[index(doc)] = slot;
    }

    pub(in crate::vector) fn remove(&mut self, doc: u64) -> Option<u32> {
        let page = self.pages.get_mut(&(doc >> PAGE_BITS))?;
        let slot = std::mem::replace(&mut page.slots[index(doc)], ABSENT);
        if slot == ABSENT {
            return None;
        }
        page.used -= 1;
        self.len -= 1;
        if page.used == 0 {
            self.pages.remove(&(doc >> PAGE_BITS));
            if self.pages.len() * 4 < self.pages.capacity() {
                self.pages.shrink_to(self.pages.len() * 2);
            }
        }
        Some(slot)
    }

    /// All documents, in no order.
    pub(in crate::vector) fn docs(&self) -> impl Iterator<Item = u64> {
        self.pages.iter().flat_map(|(&number, page)| {
            let present = page.slots.iter().enumerate().filter(|&(_, &slot)| slot != ABSENT);
            present.map(move |(i, _)| number << PAGE_BITS | i as u64)
        })
    }
}

fn index(doc: u64) -> usize {
    (doc & ((1 << PAGE_BITS) - 1)) as usize
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::vector::quantize::splitmix;

    #[test]
    fn agrees_with_a_map() {
        let (mut map, mut model) = (DocMap::default(), BTreeMap::new());
        for step in 0..20_000u64 {
            let word = splitmix(step);
            let doc = (word >> 8) % 3_000 + ((word & 1) << 40);
            if word & 6 == 0 {
                assert_eq!(map.remove(doc), model.remove(&doc), "step {step}");
            } else {
                map.insert(doc, step as u32);
                model.insert(doc, step as u32);
            }
            assert_eq!(map.get(doc), model.get(&doc).copied(), "step {step}");
            assert_eq!(map.len(), model.len(), "step {step}");
        }
        let mut docs: Vec<u64> = map.docs().collect();
        docs.sort_unstable();
        let mut slots = Vec::new();
        map.get_all([7, 1 << 50].into_iter().chain(docs.iter().copied()), &mut slots);
        slots.drain(..usize::from(model.contains_key(&7)));
        assert_eq!(slots, model.values().copied().collect::<Vec<_>>());
        assert_eq!(docs, model.into_keys().collect::<Vec<_>>());
    }
}
