//! Lists of links: read without a lock beside one writer at a time.
//!
//! A list is a count and as many slots. A reader that finds a slot's number in a list sees everything that was written
//! before the number was: the writer stores numbers and count with release order, the reader ends with an acquire
//! fence.

use super::atomics::{AtomicU32, Ordering, fence};

/// Appends the neighbours in `list` to `out`. Beside a writer they are any mixture of those before and after.
#[inline(always)]
pub(in crate::vector) fn read_links(list: &[AtomicU32], out: &mut Vec<u32>) {
    let Some((count, entries)) = list.split_first() else { return };
    let count = count.load(Ordering::Acquire) as usize;
    out.extend(entries.iter().take(count).map(|entry| entry.load(Ordering::Relaxed)));
    fence(Ordering::Acquire);
}

/// Replaces the neighbours; the caller holds the node's lock.
pub(in crate::vector) fn write_links(list: &[AtomicU32], neighbours: &[u32]) {
    let Some((count, entries)) = list.split_first() else { return };
    assert!(neighbours.len() <= entries.len(), "a list has a fixed size");
    for (entry, &neighbour) in entries.iter().zip(neighbours) {
        entry.store(neighbour, Ordering::Release);
    }
    count.store(u32::try_from(neighbours.len()).expect("lists are short"), Ordering::Release);
}

/// Adds a neighbour behind the `len` that are there; the caller holds the node's lock and knows that there is room.
pub(in crate::vector) fn append_link(list: &[AtomicU32], len: usize, neighbour: u32) {
    // Readers see it once the count is up.
    list[1 + len].store(neighbour, Ordering::Release);
    list[0].store(u32::try_from(len + 1).expect("lists are short"), Ordering::Release);
}
