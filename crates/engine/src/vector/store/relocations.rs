//! Vectors on their way to other slots, as the writer of a store knows them; `relocation` moves them.

use hashbrown::HashMap;

/// Vectors on their way to other slots.
#[derive(Default)]
pub(in crate::vector) struct Relocations {
    /// From source slot to target slot, as long as the document map names the source.
    pub slots: HashMap<u32, u32>,
    /// Where the slots in use are to end: no slot from here on is given out.
    pub(super) end: Option<u32>,
    /// Free slots from there on.
    pub(super) withheld: Vec<u32>,
}

impl Relocations {
    /// Takes one of the `free` slots, from below the end if there is one.
    pub(super) fn take_free(&mut self, free: &mut Vec<u32>) -> Option<u32> {
        self.take_below_end(free).or_else(|| self.withheld.pop())
    }

    /// Takes one of the `free` slots from below the end.
    pub(super) fn take_below_end(&mut self, free: &mut Vec<u32>) -> Option<u32> {
        loop {
            let slot = free.pop()?;
            match self.end {
                Some(end) if slot >= end => self.withheld.push(slot),
                _ => return Some(slot),
            }
        }
    }
}
