//! Relocation: vectors get another slot while the index is read and written. This module changes the store.
//!
//! After many deletes live vectors lie among free slots. Those at the top move into free slots at the bottom, so that
//! the slots in use end lower and the chunks beyond can be given back. `hnsw::repair` goes through the stages, see
//! there and `docs/adr/2026-11-21-compaction.md`; [`slots::state`](crate::vector::slots::state) defines what readers
//! see between them.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::code_rows::CodeRows;
use super::view::View;
use super::{Store, Writer};
use crate::vector::arena::{State, read_links, write_links};
use crate::vector::slots::state::{mark_source, mark_target, settle};

/// Source slot and target slot of a vector.
pub(in crate::vector) type Relocation = (u32, u32);

/// Vectors are moved when this part of all slots is free.
const FREE_PART: usize = 8;

/// And this number of slots.
const FREE_MIN: usize = 256;

/// Free slots left for new vectors, as a part of the live ones.
const SLACK_PART: usize = 64;

/// Vectors moved at once, as a part of the live ones: a builder does not link to them until they have arrived.
const RELOCATIONS_PART: usize = 4;
const RELOCATIONS_MIN: usize = 64;

/// Relocations under one hold of the writer's lock.
pub(in crate::vector) const RELOCATIONS_PER_LOCK: usize = 64;

/// Whether free slots are worth a compaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::vector) enum FreeSlots {
    /// Too few.
    Few,
    /// Enough, but views that readers hold still reach too many of them.
    Soon,
    /// This many, which are worth a compaction.
    Enough(usize),
}

/// Whether the free slots are worth a compaction where `high` slots are in use or free.
pub(in crate::vector) fn free_slots(writer: &mut Writer, high: u32) -> FreeSlots {
    writer.collect();
    let enough = (high as usize / FREE_PART).max(FREE_MIN);
    let soon: usize = writer.limbo.slots_mut().map(|slots| slots.len()).sum();
    match writer.free.len() {
        free if free >= enough => FreeSlots::Enough(free),
        free if free + soon >= enough => FreeSlots::Soon,
        _ => FreeSlots::Few,
    }
}

/// Where the slots in use could end, with `free` of them free: vectors linked from there on have room below. `None` if
/// nothing is gained.
pub(in crate::vector) fn compact_end(store: &Store, view: &View, free: usize) -> Option<u32> {
    let high = store.high(view);
    let moves_max = (store.len() / RELOCATIONS_PART).max(RELOCATIONS_MIN);
    let room = free.saturating_sub(store.len() / SLACK_PART);
    let (mut moved, mut free_above, mut end) = (0, 0, high);
    for slot in (0..high).rev() {
        let state = view.tables.state(slot).load(Ordering::Acquire);
        if state & State::LIVE != 0 {
            moved += 1;
        } else if state == State::FREE {
            free_above += 1;
        }
        let waits = state & (State::LIVE | State::LINKED) == State::LIVE;
        if waits || moved > moves_max || moved + free_above > room {
            break;
        }
        end = slot;
    }
    (end < high).then_some(end)
}

/// Chooses what moves below `end`. From the next view on no builder links to it.
pub(in crate::vector) fn begin(store: &Store, view: &View, end: u32) -> Vec<Relocation> {
    store.writer.lock().relocations.end = Some(end);
    let mut moves = Vec::new();
    let linked = State::LIVE | State::LINKED;
    let mut slots = (end..store.high(view)).rev();
    loop {
        let writer = &mut *store.writer.lock();
        if !store.view().pending.is_empty() {
            // Scans of what waits look at slots that were linked since, too.
            return moves;
        }
        let before = moves.len();
        for old in slots
            .by_ref()
            .filter(|&slot| view.tables.state(slot).load(Ordering::Acquire) == linked)
            .take(RELOCATIONS_PER_LOCK)
        {
            let Some(new) = writer.relocations.take_below_end(&mut writer.free) else { return moves };
            mark_source(view.tables.state(old));
            writer.relocations.slots.insert(old, new);
            moves.push((old, new));
        }
        if moves.len() == before {
            return moves;
        }
    }
}

/// Copies all that belongs to some vectors, of which the `dropped` turn out to be deleted. Views that hide
/// [`State::TARGET`] are in force, and all before are dropped.
pub(in crate::vector) fn copy(store: &Store, moves: &[Relocation], dropped: &mut Vec<u32>) {
    // Rows are read before the lock is taken, so that no reads from disk happen under it. The view keeps the rows as
    // they are.
    let before = store.view();
    let copied = moves.iter().map(|&(old, _)| {
        // SAFETY: the old slot was live when it was chosen, and is retired after this stage only.
        unsafe { (before.tables.original(old).to_vec(), CodeRows::of_slot(&before.tables, old)) }
    });
    let copied: Vec<_> = copied.collect();
    let mut links = Vec::new();
    let writer = &mut *store.writer.lock();
    let view = store.view();
    let tables = &view.tables;
    for (&(old, new), (vector, mut rows)) in moves.iter().zip(copied) {
        if tables.state(old).load(Ordering::Acquire) & State::LIVE == 0 {
            writer.relocations.slots.remove(&old);
            writer.free.push(new);
            dropped.push(old);
            continue;
        }
        if !rows.are_of(&tables.codecs) {
            // SAFETY: as above.
            rows = unsafe { CodeRows::of_slot(tables, old) };
        }
        // SAFETY: the new slot is free and was taken from the free ones.
        unsafe { writer.fill(tables, new, tables.doc(old).load(Ordering::Relaxed), &vector, &rows) };
        // Both have the same upper lists, which are changed under the new slot's lock only: nobody links to the old one.
        tables.upper_handle(new).store(tables.upper_handle(old).load(Ordering::Acquire), Ordering::Release);
        links.clear();
        if let (Some(from), Some(to)) = (tables.links(old, 0), tables.links(new, 0)) {
            read_links(from, &mut links);
            write_links(to, &links);
        }
        store.tombstones.fetch_add(1, Ordering::AcqRel);
        mark_target(tables.state(new));
    }
}

/// The document map names the new slots from now on. Views that hide [`State::SOURCE`] are in force, and all before
/// are dropped.
pub(in crate::vector) fn switch(store: &Store, moves: &[Relocation]) {
    let writer = &mut *store.writer.lock();
    let view = store.view();
    let mut docs = store.docs.write();
    for &(old, new) in moves {
        let doc = view.tables.doc(new).load(Ordering::Relaxed);
        // Else it was deleted on the way, and may have been inserted anew.
        if docs.get(doc) == Some(old) {
            docs.insert(doc, new);
        }
        settle(view.tables.state(new));
        writer.relocations.slots.remove(&old);
    }
}

/// Ends the slots in use behind the last one that is not free, and gives chunks beyond back. No view reaches the slots
/// that vectors left. Returns how many slots that makes, and what [`Writer::is_dropped`] takes if there are such chunks.
pub(in crate::vector) fn shrink(store: &Store) -> (usize, Option<u64>) {
    let mut guard = store.writer.lock();
    let writer = &mut *guard;
    let Some(end) = writer.relocations.end.take() else { return (0, None) };
    writer.collect();
    let withheld = std::mem::take(&mut writer.relocations.withheld);
    writer.free.extend(withheld);
    let high = store.high.load(Ordering::Acquire);
    let mut is_free = vec![false; high.saturating_sub(end) as usize];
    for slot in writer.free.iter().filter_map(|slot| slot.checked_sub(end)) {
        is_free[slot as usize] = true;
    }
    let unused = is_free.iter().rev().take_while(|&&free| free).count();
    let high = high - u32::try_from(unused).expect("slots are 32 bits");
    writer.free.retain(|&slot| slot < high);
    store.high.store(high, Ordering::Release);
    let view = store.view();
    let tables = &view.tables;
    let kept = (high as usize).div_ceil(tables.layout.chunk_slots()).max(1);
    if unused > 0
        && let Some(last) = tables.chunks.get(kept - 1)
    {
        let used = high as usize - ((kept - 1) << tables.layout.shift);
        // SAFETY: the slots from `high` on are free, and free slots are filled under the writer's lock only.
        unsafe { last.give_back(&tables.layout, &tables.codecs, used) };
    }
    if kept >= tables.chunks.len() {
        return (unused, None);
    }
    for chunk in kept..tables.chunks.len() {
        // No file holds what will be there when it comes again.
        writer.note_write(chunk);
    }
    let tables = Arc::new(tables.with_chunks(tables.chunks[..kept].to_vec()));
    store.publish(writer, View { tables, ..View::clone(&view) });
    drop(view);
    writer.collect();
    (unused, Some(writer.limbo.replaced()))
}
