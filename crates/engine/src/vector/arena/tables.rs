//! One immutable list of chunks, and the rules under which its memory is read and written.
//!
//! To stay sound without a lock on the read side:
//! - A slot's document, original and code are written under the writer's lock while the slot is `FREE`; the state is set
//!   to `LIVE` afterwards with release order. They are not written again until the slot is free once more.
//! - A reader touches a slot's data only after it has seen the state `LIVE` or `DEAD` with acquire order, or has read the
//!   slot's number from a list of links. Numbers are stored with release order after the slot became `LIVE`, and
//!   [`read_links`](super::read_links) ends with an acquire fence: the data happen before.
//! - A slot becomes free only when every [`View`](crate::vector::store::view::View) that existed before the last way to it was
//!   removed has been dropped. Readers hold a view for as long as they hold slot numbers.
//! - Links, states and upper handles are atomics; a list being rewritten is seen as any mixture of old and new entries,
//!   all of which are slots in use.
//! - A list may name a slot in a chunk newer than the reader's tables: [`Tables::has`] is asked before any access.

use std::slice;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};

use super::{Chunk, Memory, Rows};
use crate::vector::quantize::Codec;

/// Blocks of the upper levels in one allocation, as a power of two.
pub(in crate::vector) const UPPER_BLOCKS_SHIFT: u32 = 12;

/// Highest level a node can have.
pub(in crate::vector) const LEVEL_MAX: usize = 15;

/// Sizes that every chunk of an index shares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::vector) struct Layout {
    /// Components of a vector.
    pub dim: usize,
    /// Links a node keeps above level 0; level 0 keeps twice as many.
    pub m: usize,
    /// A full chunk holds `1 << shift` slots.
    pub shift: u32,
    /// The default codes were tried and do not suit the vectors.
    pub codes_refused: bool,
    /// Chunks have links.
    pub graph: bool,
}

/// Originals in one chunk, at most.
const CHUNK_BYTES_MAX: usize = 16 << 20;

impl Layout {
    /// The layout of an empty index: no codes, no graph.
    pub(in crate::vector) fn new(dim: usize, m: usize) -> Self {
        let slots = (CHUNK_BYTES_MAX / (dim * 4)).clamp(256, 32_768);
        Self { dim, m, shift: slots.ilog2(), codes_refused: false, graph: false }
    }

    pub(in crate::vector) fn chunk_slots(&self) -> usize {
        1 << self.shift
    }

    pub(in crate::vector) fn original_stride(&self) -> usize {
        self.dim * 4
    }

    /// Links kept on `level`.
    pub(in crate::vector) fn links_max(&self, level: usize) -> usize {
        if level == 0 { 2 * self.m } else { self.m }
    }

    pub(in crate::vector) fn link_stride(&self) -> usize {
        4 * (1 + 2 * self.m)
    }

    /// Bytes of one level of one node above level 0.
    pub(in crate::vector) fn upper_stride(&self) -> usize {
        4 * (1 + self.m)
    }
}

/// The codecs of the code columns.
#[derive(Debug, Clone, Default)]
pub(in crate::vector) struct Codecs {
    /// Codec of the codes that graph searches and scans compare; absent while the index is small or compares f32.
    pub present: Option<Arc<Codec>>,
    /// Codec of the codes that are being made and that no search reads yet.
    pub next: Option<Arc<Codec>>,
}

impl Codecs {
    /// Bytes of a present code.
    pub(in crate::vector) fn stride(&self) -> usize {
        self.present.as_ref().map_or(0, |codec| codec.stride())
    }
}

/// All chunks, with the columns' addresses side by side for the graph search.
pub(in crate::vector) struct Tables {
    pub layout: Layout,
    pub codecs: Codecs,
    code_stride: usize,
    pub chunks: Vec<Arc<Chunk>>,
    pub uppers: Vec<Arc<Memory>>,
    capacity: u32,
    docs: Vec<*const u8>,
    states: Vec<*const u8>,
    originals: Vec<*const u8>,
    codes: Vec<*const u8>,
    next_codes: Vec<*const u8>,
    links: Vec<*const u8>,
    upper_handles: Vec<*const u8>,
    upper_blocks: Vec<*const u8>,
}

// SAFETY: the addresses belong to the chunks, which are kept beside them and are Send and Sync.
unsafe impl Send for Tables {}
// SAFETY: as above.
unsafe impl Sync for Tables {}

impl Tables {
    /// The chunks have the columns that layout and codecs ask for.
    pub(in crate::vector) fn new(
        layout: Layout,
        codecs: Codecs,
        chunks: Vec<Arc<Chunk>>,
        uppers: Vec<Arc<Memory>>,
    ) -> Self {
        let capacity = match chunks.as_slice() {
            [] => 0,
            [only] => only.capacity,
            many => many.len() << layout.shift,
        };
        let column = |of: &dyn Fn(&Chunk) -> Option<*const u8>| chunks.iter().filter_map(|chunk| of(chunk)).collect();
        let column_of = |memory: &Option<Arc<Memory>>| memory.as_ref().map(|memory| memory.start().cast_const());
        let tables = Self {
            capacity: u32::try_from(capacity).unwrap_or(u32::MAX),
            docs: column(&|chunk| Some(chunk.docs.start())),
            states: column(&|chunk| Some(chunk.states.start())),
            originals: column(&|chunk| Some(chunk.originals.start())),
            codes: column(&|chunk| column_of(&chunk.codes)),
            next_codes: column(&|chunk| column_of(&chunk.next_codes)),
            links: column(&|chunk| chunk.graph.as_ref().map(|graph| graph.links.start().cast_const())),
            upper_handles: column(&|chunk| chunk.graph.as_ref().map(|graph| graph.uppers.start().cast_const())),
            upper_blocks: uppers.iter().map(|memory| memory.start().cast_const()).collect(),
            code_stride: codecs.stride(),
            layout,
            codecs,
            chunks,
            uppers,
        };
        for (codec, column) in [(&tables.codecs.present, &tables.codes), (&tables.codecs.next, &tables.next_codes)] {
            assert!(codec.is_none() || column.len() == tables.chunks.len(), "every chunk has the codes' column");
        }
        tables
    }

    /// The same with other chunks.
    pub(in crate::vector) fn with_chunks(&self, chunks: Vec<Arc<Chunk>>) -> Self {
        Self::new(self.layout, self.codecs.clone(), chunks, self.uppers.clone())
    }

    /// Whether codes of this codec are being made.
    pub(in crate::vector) fn is_next(&self, codec: &Arc<Codec>) -> bool {
        self.codecs.next.as_ref().is_some_and(|next| Arc::ptr_eq(next, codec))
    }

    /// Slots that exist.
    pub(in crate::vector) fn capacity(&self) -> u32 {
        self.capacity
    }

    /// Whether the slot exists here.
    #[inline(always)]
    pub(in crate::vector) fn has(&self, slot: u32) -> bool {
        slot < self.capacity
    }

    /// What graph searches and scans compare instead of originals.
    pub(in crate::vector) fn codec(&self) -> Option<&Arc<Codec>> {
        self.codecs.present.as_ref()
    }

    /// The codec whose codes are good enough to choose neighbours by; without one the graph is linked on the originals.
    pub(in crate::vector) fn linking_codec(&self) -> Option<&Codec> {
        self.codecs.present.as_deref().filter(|codec| codec.kind().is_fine())
    }

    /// Bytes of a code.
    pub(in crate::vector) fn code_stride(&self) -> usize {
        self.code_stride
    }

    #[inline(always)]
    fn at<T>(&self, column: &[*const u8], slot: u32) -> *const T {
        assert!(self.has(slot), "slot beyond the tables");
        // SAFETY: the slot exists, every column has one entry of `T` a slot, and all chunks but an only one are full.
        unsafe { Rows::new(column, self.layout.shift, size_of::<T>()).row(slot).cast() }
    }

    /// [`State`](super::State) of the slot.
    #[inline(always)]
    pub(in crate::vector) fn state(&self, slot: u32) -> &AtomicU8 {
        // SAFETY: one aligned byte a slot, touched only as an atomic, alive as long as the tables.
        unsafe { &*self.at(&self.states, slot) }
    }

    /// Document of the slot.
    #[inline(always)]
    pub(in crate::vector) fn doc(&self, slot: u32) -> &AtomicU64 {
        // SAFETY: eight aligned bytes a slot, touched only as an atomic, alive as long as the tables.
        unsafe { &*self.at(&self.docs, slot) }
    }

    /// The f32 columns.
    pub(in crate::vector) fn originals(&self) -> Rows<'_> {
        Rows::new(&self.originals, self.layout.shift, self.layout.original_stride())
    }

    /// The codes.
    pub(in crate::vector) fn codes(&self) -> Rows<'_> {
        Rows::new(&self.codes, self.layout.shift, self.code_stride)
    }

    /// The f32 vector of a slot.
    ///
    /// # Safety
    /// The slot's data are written (see the rules at the top).
    #[inline(always)]
    pub(in crate::vector) unsafe fn original(&self, slot: u32) -> &[f32] {
        assert!(self.has(slot), "slot beyond the tables");
        // SAFETY: the slot exists and holds `dim` f32 at a multiple of four bytes, which nobody writes now.
        unsafe { slice::from_raw_parts(self.originals().row(slot).cast(), self.layout.dim) }
    }

    /// Code and trailer of a slot.
    ///
    /// # Safety
    /// There are codes, and the slot's data are written (see the rules at the top).
    #[inline(always)]
    pub(in crate::vector) unsafe fn code(&self, slot: u32) -> &[u8] {
        assert!(self.has(slot) && self.codecs.present.is_some(), "slot beyond the tables");
        // SAFETY: the slot exists and nobody writes it now.
        unsafe { slice::from_raw_parts(self.codes().row(slot), self.code_stride) }
    }

    /// Place for a slot's original.
    pub(in crate::vector) fn original_place(&self, slot: u32) -> *mut f32 {
        assert!(self.has(slot), "slot beyond the tables");
        // SAFETY: the slot exists.
        unsafe { self.originals().row(slot).cast_mut().cast() }
    }

    /// Writes a slot's code.
    ///
    /// # Safety
    /// The caller holds the writer's lock, and the slot is free.
    pub(in crate::vector) unsafe fn write_code(&self, slot: u32, row: &[u8]) {
        assert!(self.has(slot) && self.codecs.present.is_some(), "slot beyond the tables");
        assert_eq!(row.len(), self.code_stride, "a code is a row");
        // SAFETY: the slot exists, and nobody else touches its row.
        unsafe { self.codes().row(slot).cast_mut().copy_from_nonoverlapping(row.as_ptr(), row.len()) };
    }

    /// Writes a slot's code among those that nobody reads yet.
    ///
    /// # Safety
    /// The caller holds the writer's lock.
    pub(in crate::vector) unsafe fn write_next_code(&self, slot: u32, row: &[u8]) {
        let stride = self.codecs.next.as_ref().map_or(0, |codec| codec.stride());
        assert!(self.has(slot) && stride > 0, "slot beyond the tables");
        assert_eq!(row.len(), stride, "a code is a row");
        // SAFETY: the slot exists, and only holders of the lock touch the column.
        unsafe {
            let place = Rows::new(&self.next_codes, self.layout.shift, stride).row(slot).cast_mut();
            place.copy_from_nonoverlapping(row.as_ptr(), row.len());
        }
    }

    /// Level and first block of the upper levels.
    #[inline(always)]
    pub(in crate::vector) fn upper_handle(&self, slot: u32) -> &AtomicU32 {
        assert!(self.layout.graph, "there is no graph");
        // SAFETY: four aligned bytes a slot, touched only as an atomic, alive as long as the tables.
        unsafe { &*self.at(&self.upper_handles, slot) }
    }

    /// Highest level of a slot.
    #[inline(always)]
    pub(in crate::vector) fn level(&self, slot: u32) -> usize {
        UpperHandle(self.upper_handle(slot).load(Ordering::Acquire)).level()
    }

    /// The list of a slot on a level: count, then neighbours. `None` if the slot is not on that level, or if its place is
    /// newer than these tables.
    #[inline(always)]
    pub(in crate::vector) fn links(&self, slot: u32, level: usize) -> Option<&[AtomicU32]> {
        if !self.has(slot) || !self.layout.graph {
            return None;
        }
        if level == 0 {
            // SAFETY: the slot exists, its list is `1 + 2m` aligned u32, touched only as atomics.
            return Some(unsafe {
                let row = Rows::new(&self.links, self.layout.shift, self.layout.link_stride()).row(slot);
                slice::from_raw_parts(row.cast(), 1 + 2 * self.layout.m)
            });
        }
        let handle = UpperHandle(self.upper_handle(slot).load(Ordering::Acquire));
        if level > handle.level() {
            return None;
        }
        self.upper_block(handle.block() + u32::try_from(level).ok()? - 1)
    }

    fn upper_block(&self, block: u32) -> Option<&[AtomicU32]> {
        let base = self.upper_blocks.get((block >> UPPER_BLOCKS_SHIFT) as usize)?;
        let offset = (block & ((1 << UPPER_BLOCKS_SHIFT) - 1)) as usize * self.layout.upper_stride();
        // SAFETY: every allocation holds `1 << UPPER_BLOCKS_SHIFT` blocks of `1 + m` aligned u32, touched only as atomics.
        Some(unsafe { slice::from_raw_parts(base.add(offset).cast(), 1 + self.layout.m) })
    }

    /// Asks for the start of a level-0 list.
    #[inline(always)]
    pub(in crate::vector) fn prefetch_links(&self, slot: u32) {
        Rows::new(&self.links, self.layout.shift, self.layout.link_stride()).prefetch(slot, 4 + 8 * self.layout.m);
    }
}

/// Level and place of a node's upper lists in one word: five bits of level, 27 bits of block number.
#[derive(Debug, Clone, Copy)]
pub(in crate::vector) struct UpperHandle(pub u32);

impl UpperHandle {
    pub(in crate::vector) fn new(block: u32, level: usize) -> Self {
        Self(block << 5 | u32::try_from(level).expect("levels stay below LEVEL_MAX"))
    }

    pub(in crate::vector) fn level(self) -> usize {
        (self.0 & 31) as usize
    }

    pub(in crate::vector) fn block(self) -> u32 {
        self.0 >> 5
    }
}
