//! The vectors of an index and their slots: everything but the links of the graph.
//!
//! Writers take one lock; searches take a [`View`] and no lock. The life of a slot: free -> written and live -> dead
//! (its document was deleted) -> no link leads to it (graph only) -> retired -> free again when every view that existed
//! when it was retired is dropped. A vector may get another slot meanwhile, see [`relocation`].

pub(in crate::vector) mod code_columns;
mod code_rows;
pub(in crate::vector) mod graph;
pub(in crate::vector) mod relocation;
mod relocations;
pub(in crate::vector) mod view;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use parking_lot::{Mutex, RwLock};

use super::arena::{
    Chunk, Codecs, GraphColumns, LEVEL_MAX, Layout, Memory, State, Tables, UPPER_BLOCKS_SHIFT, UpperHandle,
};
use super::slots::docs::DocMap;
use super::slots::limbo::Limbo;
use super::slots::pending::PendingSegment;
use super::slots::state::kill;
use super::{DocId, VectorError};
use code_rows::CodeRows;
use graph::Graph;
use relocations::Relocations;
use view::View;

/// The vectors of an index.
pub(in crate::vector) struct Store {
    view: ArcSwap<View>,
    pub(in crate::vector) docs: RwLock<DocMap>,
    pub(in crate::vector) writer: Mutex<Writer>,
    /// Slots below it have been used at least once since they came, or came back.
    pub(in crate::vector) high: AtomicU32,
    /// Documents present.
    live: AtomicUsize,
    /// Slots that the graph leads through and a search does not return: dead ones, and the target slots of relocations.
    pub(in crate::vector) tombstones: AtomicUsize,
}

/// State under the writer's lock.
#[derive(Default)]
pub(in crate::vector) struct Writer {
    /// Slots that no view reaches.
    pub free: Vec<u32>,
    /// Slots that only present or older views reach; they go with the next view that is replaced.
    pub retired: Vec<u32>,
    /// Views that were replaced, with the slots that wait for them.
    pub(in crate::vector) limbo: Limbo<View>,
    /// Dead slots in the graph, not yet taken up by repair.
    pub dead: Vec<u32>,
    /// Vectors on their way to other slots.
    pub(in crate::vector) relocations: Relocations,
    /// How often each chunk was written to, so that a save knows which files still hold.
    pub chunk_writes: Vec<u64>,
    /// How often all codes were replaced, for the same purpose.
    pub codes_made: u64,
    /// First upper block never used, and freed runs by level.
    pub(in crate::vector) upper_next: u32,
    upper_free: Vec<Vec<u32>>,
}

/// Slots an index can hold: graph searches keep one bit of the number for themselves.
const SLOTS_MAX: u32 = 1 << 31;

/// Retired slots that make it worth replacing the view for their sake.
const RETIRED_MIN: usize = 256;

/// Slots of the first chunk of a new index.
const FIRST_CAPACITY: usize = 8;

impl Store {
    pub(in crate::vector) fn new(layout: Layout) -> Self {
        let tables = Arc::new(Tables::new(layout, Codecs::default(), Vec::new(), Vec::new()));
        let view = View { tables, pending: Vec::new(), graph: None, hidden: 0 };
        Self::with(view, DocMap::default(), Writer::default(), 0, 0)
    }

    /// A store from loaded parts.
    pub(in crate::vector) fn with(view: View, docs: DocMap, writer: Writer, high: u32, tombstones: usize) -> Self {
        Self {
            view: ArcSwap::from_pointee(view),
            live: AtomicUsize::new(docs.len()),
            docs: RwLock::new(docs),
            writer: Mutex::new(writer),
            high: AtomicU32::new(high),
            tombstones: AtomicUsize::new(tombstones),
        }
    }

    /// The present view; the caller drops it when its call ends.
    pub(in crate::vector) fn view(&self) -> Arc<View> {
        self.view.load_full()
    }

    /// Slots that can hold something, for scans: read after the view.
    pub(in crate::vector) fn high(&self, view: &View) -> u32 {
        self.high.load(Ordering::Acquire).min(view.tables.capacity())
    }

    /// The slots that a scan of everything looks at: each document that is there once.
    pub(in crate::vector) fn shown<'v>(&self, view: &'v View) -> impl Iterator<Item = u32> + 'v {
        // A scan checks again whether a slot is live.
        (0..self.high(view)).filter(|&slot| view.hidden == 0 || view.shows(slot))
    }

    pub(in crate::vector) fn len(&self) -> usize {
        self.live.load(Ordering::Acquire)
    }

    pub(in crate::vector) fn tombstones(&self) -> usize {
        self.tombstones.load(Ordering::Acquire)
    }

    /// Adds a vector that fits (normalised where the distance wants it); `false` if the document is there already.
    pub(in crate::vector) fn insert(&self, doc_id: DocId, vector: &[f32]) -> Result<bool, VectorError> {
        let mut rows = CodeRows::of(&self.view().tables.codecs, vector);
        let mut writer = self.writer.lock();
        if self.docs.read().get(doc_id.0).is_some() {
            return Ok(false);
        }
        let slot = self.allocate(&mut writer)?;
        let view = self.view();
        let tables = &view.tables;
        if !rows.are_of(&tables.codecs) {
            rows = CodeRows::of(&tables.codecs, vector);
        }
        // SAFETY: the slot is free: no view reaches it.
        unsafe { writer.fill(tables, slot, doc_id.0, vector, &rows) };
        tables.state(slot).store(State::LIVE, Ordering::Release);
        self.high.fetch_max(slot + 1, Ordering::AcqRel);
        if view.graph.is_some() {
            self.append_pending(&mut writer, &view, slot);
        }
        self.docs.write().insert(doc_id.0, slot);
        self.live.fetch_add(1, Ordering::AcqRel);
        Ok(true)
    }

    /// Removes a document.
    pub(in crate::vector) fn delete(&self, doc_id: DocId) -> bool {
        let mut writer = self.writer.lock();
        let Some(slot) = self.docs.write().remove(doc_id.0) else { return false };
        let view = self.view();
        self.live.fetch_sub(1, Ordering::AcqRel);
        if view.graph.is_none() {
            // Nothing leads through it.
            view.tables.state(slot).store(State::FREE, Ordering::Release);
            writer.retired.push(slot);
            return true;
        }
        kill(view.tables.state(slot));
        self.tombstones.fetch_add(1, Ordering::AcqRel);
        // A builder may be linking it right now: only repair, which waits for builders, may retire it.
        match writer.relocations.slots.get(&slot) {
            None => writer.dead.push(slot),
            Some(&new) if view.tables.state(new).load(Ordering::Acquire) != State::FREE => {
                kill(view.tables.state(new));
                writer.dead.push(new);
            }
            // The relocation finds it dead.
            Some(_) => {}
        }
        true
    }

    /// Puts a new view in force. What is retired becomes free when the old view and all before it are dropped.
    pub(in crate::vector) fn publish(&self, writer: &mut Writer, view: View) {
        let old = self.view.swap(Arc::new(view));
        let retired = std::mem::take(&mut writer.retired);
        writer.limbo.push(old, retired);
        writer.collect();
    }

    /// Replaces the view by an equal one, so that readers of the old one can be waited for. Returns what
    /// [`Writer::is_dropped`] takes.
    pub(in crate::vector) fn renew(&self, writer: &mut Writer) -> u64 {
        let hidden = self.view().hidden;
        self.hide(writer, hidden)
    }

    /// As [`renew`](Self::renew), by a view that hides these bits.
    pub(in crate::vector) fn hide(&self, writer: &mut Writer, hidden: u8) -> u64 {
        let renewed = View { hidden, ..View::clone(&self.view()) };
        self.publish(writer, renewed);
        writer.limbo.replaced()
    }

    /// A slot that no view reaches.
    fn allocate(&self, writer: &mut Writer) -> Result<u32, VectorError> {
        writer.collect();
        if writer.retired.len() >= RETIRED_MIN {
            self.renew(writer);
        }
        if let Some(slot) = writer.relocations.take_free(&mut writer.free) {
            return Ok(slot);
        }
        let next = self.high.load(Ordering::Acquire);
        if next >= SLOTS_MAX {
            return Err(VectorError::Full);
        }
        if next >= self.view().tables.capacity() {
            self.grow(writer);
        }
        Ok(next)
    }

    /// Makes room for so many more at once, as far as they fit into the first chunk of a small index.
    pub(in crate::vector) fn reserve(&self, more: usize) {
        if more == 0 {
            return;
        }
        let mut guard = self.writer.lock();
        let writer = &mut *guard;
        let view = self.view();
        let (layout, codecs) = (view.tables.layout, &view.tables.codecs);
        let wanted = (self.high.load(Ordering::Acquire) as usize).saturating_add(more).min(layout.chunk_slots());
        let chunk = match view.tables.chunks.as_slice() {
            [] if may_start_small(&view.tables) => Chunk::new(&layout, codecs, wanted.max(FIRST_CAPACITY)),
            [only] if only.capacity < wanted => only.enlarged(&layout, wanted),
            _ => return,
        };
        // Free slots of a moved chunk are still read through the old one.
        writer.retired.append(&mut writer.free);
        let tables = Arc::new(view.tables.with_chunks(vec![Arc::new(chunk)]));
        self.publish(writer, View { tables, ..View::clone(&view) });
    }

    /// More room: the first chunk of a small index is replaced by a larger one, after that whole chunks are added.
    fn grow(&self, writer: &mut Writer) {
        let view = self.view();
        let (layout, codecs) = (view.tables.layout, &view.tables.codecs);
        let mut chunks = view.tables.chunks.clone();
        match chunks.as_mut_slice() {
            [only] if only.capacity < layout.chunk_slots() => {
                let capacity = (only.capacity * 2).min(layout.chunk_slots());
                *only = Arc::new(only.enlarged(&layout, capacity));
                // Free slots of the moved chunk are still read through the old one.
                writer.retired.append(&mut writer.free);
            }
            [] if may_start_small(&view.tables) => chunks.push(Arc::new(Chunk::new(&layout, codecs, FIRST_CAPACITY))),
            _ => chunks.push(Arc::new(Chunk::new(&layout, codecs, layout.chunk_slots()))),
        }
        let tables = Arc::new(Tables::new(layout, codecs.clone(), chunks, view.tables.uppers.clone()));
        self.publish(writer, View { tables, ..View::clone(&view) });
    }

    fn append_pending(&self, writer: &mut Writer, view: &Arc<View>, slot: u32) {
        if view.pending.last().is_some_and(|segment| segment.append(slot)) {
            return;
        }
        let segment = PendingSegment::new();
        segment.append(slot);
        let mut pending = view.pending.clone();
        pending.push(Arc::new(segment));
        self.publish(writer, View { pending, ..View::clone(view) });
    }

    /// Takes segments out of the view whose slots are all linked. Nothing can be appended to them then.
    pub(in crate::vector) fn drop_finished_segments(&self) {
        let mut writer = self.writer.lock();
        let view = self.view();
        if !view.pending.iter().any(|segment| segment.is_done()) {
            return;
        }
        let pending = view.pending.iter().filter(|segment| !segment.is_done()).cloned().collect();
        self.publish(&mut writer, View { pending, ..View::clone(&view) });
    }

    /// All chunks at their full size, for an index that is about to outgrow its first form. Under the writer's lock.
    pub(in crate::vector) fn full_chunks(&self, writer: &mut Writer) -> Vec<Arc<Chunk>> {
        let view = self.view();
        let layout = view.tables.layout;
        let mut chunks = view.tables.chunks.clone();
        if let [only] = chunks.as_mut_slice()
            && only.capacity < layout.chunk_slots()
        {
            *only = Arc::new(only.enlarged(&layout, layout.chunk_slots()));
            // Free slots of the moved chunk are still read through the old one.
            writer.retired.append(&mut writer.free);
        }
        chunks
    }

    /// Gives the index links. All vectors wait for the graph afterwards.
    pub(in crate::vector) fn add_graph(&self, graph: Graph) {
        let mut guard = self.writer.lock();
        let writer = &mut *guard;
        let view = self.view();
        if view.graph.is_some() {
            return;
        }
        let layout = Layout { graph: true, ..view.tables.layout };
        let with_links = |chunk: Arc<Chunk>| {
            let graph = Some(GraphColumns::new(&layout, chunk.capacity));
            Arc::new(Chunk { graph, ..Chunk::clone(&chunk) })
        };
        let chunks = self.full_chunks(writer).into_iter().map(with_links).collect();
        let tables = Arc::new(Tables::new(layout, view.tables.codecs.clone(), chunks, Vec::new()));
        let mut pending: Vec<Arc<PendingSegment>> = Vec::new();
        for slot in 0..self.high(&view) {
            if tables.state(slot).load(Ordering::Acquire) == State::LIVE
                && !pending.last().is_some_and(|segment| segment.append(slot))
            {
                let segment = PendingSegment::new();
                segment.append(slot);
                pending.push(Arc::new(segment));
            }
        }
        self.publish(writer, View { tables, pending, graph: Some(Arc::new(graph)), hidden: 0 });
    }

    /// A run of upper blocks for a node of this level (at least 1), in the view present afterwards; `None` if `graph` is
    /// not the present one any more.
    pub(in crate::vector) fn allocate_upper(&self, level: usize, graph: &Arc<Graph>) -> Option<UpperHandle> {
        let mut writer = self.writer.lock();
        let view = self.view();
        if !view.graph.as_ref().is_some_and(|present| Arc::ptr_eq(present, graph)) {
            return None;
        }
        if let Some(block) = writer.upper_free.get_mut(level).and_then(Vec::pop) {
            return Some(UpperHandle::new(block, level));
        }
        let blocks = 1u32 << UPPER_BLOCKS_SHIFT;
        let count = u32::try_from(level).expect("levels stay below LEVEL_MAX");
        if writer.upper_next % blocks + count > blocks {
            writer.upper_next = writer.upper_next.next_multiple_of(blocks);
        }
        let block = writer.upper_next;
        writer.upper_next += count;
        if (block >> UPPER_BLOCKS_SHIFT) as usize >= view.tables.uppers.len() {
            let mut uppers = view.tables.uppers.clone();
            uppers.push(Arc::new(Memory::zeroed(view.tables.layout.upper_stride() << UPPER_BLOCKS_SHIFT)));
            let tables = &view.tables;
            let tables = Tables::new(tables.layout, tables.codecs.clone(), tables.chunks.clone(), uppers);
            let tables = Arc::new(tables);
            self.publish(&mut writer, View { tables, ..View::clone(&view) });
        }
        Some(UpperHandle::new(block, level))
    }

    /// Reads the originals of whole chunks from their files from now on: `mapped` holds a chunk's number, the writes to it
    /// that its file reflects, and the file's mapping. A chunk that was written to since keeps its memory.
    pub(in crate::vector) fn map_originals(&self, mapped: Vec<(usize, u64, Memory)>) {
        let mut guard = self.writer.lock();
        let writer = &mut *guard;
        if !writer.relocations.slots.is_empty() {
            // A slot that waits to be filled would be, beside readers of the old mapping.
            return;
        }
        let view = self.view();
        let shift = view.tables.layout.shift;
        let mut chunks = view.tables.chunks.clone();
        for (number, writes, originals) in mapped {
            if writer.writes_to(number) == writes
                && let Some(chunk) = chunks.get_mut(number)
            {
                *chunk = Arc::new(Chunk { originals: Arc::new(originals), ..Chunk::clone(chunk) });
                // Its free slots, once used again, must not be met by readers of the old mapping: they wait for those too.
                for slots in writer.limbo.slots_mut().chain([&mut writer.free]) {
                    writer.retired.extend(slots.extract_if(.., |slot| (*slot >> shift) as usize == number));
                }
            }
        }
        let tables = Arc::new(view.tables.with_chunks(chunks));
        self.publish(writer, View { tables, ..View::clone(&view) });
    }

    /// Gives all memory back if nothing is left but dead slots. Readers and builders of older views go on with theirs.
    pub(in crate::vector) fn reset_if_empty(&self) -> bool {
        let mut guard = self.writer.lock();
        let writer = &mut *guard;
        if self.docs.read().len() > 0 || self.high.load(Ordering::Acquire) == 0 {
            return false;
        }
        let view = self.view();
        let layout = Layout { codes_refused: false, graph: false, ..view.tables.layout };
        let tables = Arc::new(Tables::new(layout, Codecs::default(), Vec::new(), Vec::new()));
        self.publish(writer, View { tables, pending: Vec::new(), graph: None, hidden: 0 });
        self.high.store(0, Ordering::Release);
        self.tombstones.store(0, Ordering::Release);
        // Slot numbers start anew: nothing that was freed or is on its way to be means anything now.
        writer.free.clear();
        writer.dead.clear();
        writer.relocations = Relocations::default();
        writer.limbo.slots_mut().for_each(Vec::clear);
        (writer.upper_next, writer.upper_free) = (0, Vec::new());
        writer.chunk_writes.iter_mut().for_each(|writes| *writes += 1);
        writer.note_codes();
        true
    }

    /// Retires slots that no link leads to any more. Their upper blocks are given back with them, by the caller of
    /// [`Writer::free_upper`], once [`Writer::is_dropped`] says so of what is returned.
    pub(in crate::vector) fn retire(&self, writer: &mut Writer, slots: &[u32]) -> u64 {
        let view = self.view();
        for &slot in slots {
            view.tables.state(slot).store(State::FREE, Ordering::Release);
        }
        writer.retired.extend_from_slice(slots);
        self.tombstones.fetch_sub(slots.len(), Ordering::AcqRel);
        drop(view);
        self.hide(writer, 0)
    }
}

/// Whether the first chunk may be smaller than the others: it moves when it grows, which one with links or codes cannot.
/// Codes can be asked for of an index that loses its last vector at the same moment.
fn may_start_small(tables: &Tables) -> bool {
    !tables.layout.graph && tables.codecs.present.is_none() && tables.codecs.next.is_none()
}

impl Writer {
    /// Frees what no view reaches any more.
    pub(in crate::vector) fn collect(&mut self) {
        self.limbo.collect(&mut self.free);
    }

    /// The codes are others than before: no file holds them.
    pub(in crate::vector) fn note_codes(&mut self) {
        self.codes_made += 1;
    }

    /// Writes what belongs to a vector, but for state and links.
    ///
    /// # Safety
    /// The tables are those in force, the slot is free and no view reaches it.
    pub(in crate::vector) unsafe fn fill(
        &mut self,
        tables: &Tables,
        slot: u32,
        doc: u64,
        vector: &[f32],
        rows: &CodeRows,
    ) {
        assert_eq!(vector.len(), tables.layout.dim, "vectors of one index have one length");
        // SAFETY: handed on to the caller; the writer's lock, behind which this is, keeps other writers away.
        unsafe {
            tables.original_place(slot).copy_from_nonoverlapping(vector.as_ptr(), vector.len());
            if rows.codecs.present.is_some() {
                tables.write_code(slot, &rows.present);
            }
            if rows.codecs.next.is_some() {
                tables.write_next_code(slot, &rows.next);
            }
        }
        self.note_write((slot >> tables.layout.shift) as usize);
        tables.doc(slot).store(doc, Ordering::Relaxed);
    }

    pub(in crate::vector) fn note_write(&mut self, chunk: usize) {
        if self.chunk_writes.len() <= chunk {
            self.chunk_writes.resize(chunk + 1, 0);
        }
        self.chunk_writes[chunk] += 1;
    }

    /// Writes to a chunk so far.
    pub(in crate::vector) fn writes_to(&self, chunk: usize) -> u64 {
        self.chunk_writes.get(chunk).copied().unwrap_or(0)
    }

    /// Whether all views replaced up to `renewal` are dropped.
    pub(in crate::vector) fn is_dropped(&mut self, renewal: u64) -> bool {
        self.collect();
        self.limbo.dropped() >= renewal
    }

    /// Gives a run of upper blocks back. No view may reach it.
    pub(in crate::vector) fn free_upper(&mut self, handle: UpperHandle) {
        let level = handle.level();
        if level == 0 {
            return;
        }
        self.upper_free.resize_with(LEVEL_MAX + 1, Vec::new);
        self.upper_free[level].push(handle.block());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vector::Distance;
    use crate::vector::quantize::{CodeKind, Codec};

    const DIM: usize = 8;

    fn fill(store: &Store, docs: std::ops::Range<u64>) {
        for doc in docs {
            assert_eq!(store.insert(DocId(doc), &[doc as f32; DIM]), Ok(true));
        }
    }

    fn check(store: &Store, docs: std::ops::Range<u64>) {
        let view = store.view();
        for doc in docs {
            let slot = store.docs.read().get(doc).expect("it is there");
            // SAFETY: the map names only slots whose data are written.
            assert_eq!(unsafe { view.tables.original(slot) }, [doc as f32; DIM]);
        }
    }

    #[test]
    fn codes_may_begin_in_an_index_that_has_just_been_emptied() {
        let store = Store::new(Layout::new(DIM, 16));
        let codec = Codec::untrained(Distance::L2Squared, DIM, CodeKind::Signs, 1).expect("needs no training");
        code_columns::begin_codes(&store, &Arc::new(codec));
        fill(&store, 0..100);
        check(&store, 0..100);
    }

    #[test]
    fn reserved_room_is_exact_and_can_be_outgrown() {
        let store = Store::new(Layout::new(DIM, 16));
        store.reserve(100);
        assert_eq!(store.view().tables.capacity(), 100);
        fill(&store, 0..100);
        assert_eq!(store.view().tables.capacity(), 100, "nothing moved");
        store.reserve(50);
        fill(&store, 100..151);
        assert_eq!(store.view().tables.capacity(), 300, "twice the reserved room");
        check(&store, 0..151);
        store.reserve(usize::MAX);
        assert_eq!(store.view().tables.capacity() as usize, Layout::new(DIM, 16).chunk_slots());
        check(&store, 0..151);
    }
}
