//! The columns of a run of slots.

use std::sync::Arc;

use super::{Layout, Memory};

/// What a slot's state byte says; bits of one `AtomicU8`.
pub(in crate::vector) struct State;

impl State {
    /// Nothing in the slot, or nothing that a new reader can reach.
    pub(in crate::vector) const FREE: u8 = 0;
    /// Holds a vector that a search can return.
    pub(in crate::vector) const LIVE: u8 = 1;
    /// Its document was deleted; the graph may still lead through it.
    pub(in crate::vector) const DEAD: u8 = 2;
    /// All its own links are written (set beside one of the two above).
    pub(in crate::vector) const LINKED: u8 = 4;
}

/// Memory for `capacity` slots. Columns are shared, so that a chunk with one column replaced keeps the others.
#[derive(Clone)]
pub(in crate::vector) struct Chunk {
    /// Slots that fit. Only the first chunk of a small index has fewer than the layout says.
    pub capacity: usize,
    /// `AtomicU64` document id a slot.
    pub docs: Arc<Memory>,
    /// `AtomicU8` [`State`] a slot.
    pub states: Arc<Memory>,
    /// `[f32; dim]` a slot, normalised under cosine.
    pub originals: Arc<Memory>,
    /// Code and trailer a slot; absent while the index is small or walks on f32.
    pub codes: Option<Arc<Memory>>,
    /// Links; absent without a graph.
    pub graph: Option<GraphColumns>,
}

/// Columns that exist only with a graph.
#[derive(Clone)]
pub(in crate::vector) struct GraphColumns {
    /// `[AtomicU32; 1 + 2m]` a slot: count, then neighbours on level 0.
    pub links: Arc<Memory>,
    /// `AtomicU32` a slot: block of the upper levels and the highest level, see `Tables::upper_of`.
    pub uppers: Arc<Memory>,
}

impl Chunk {
    /// Zeroed columns.
    pub(in crate::vector) fn new(layout: &Layout, capacity: usize) -> Self {
        Self {
            capacity,
            docs: Arc::new(Memory::zeroed(capacity * 8)),
            states: Arc::new(Memory::zeroed(capacity)),
            originals: Arc::new(Memory::zeroed(capacity * layout.original_stride())),
            codes: layout.codes.then(|| Arc::new(Memory::zeroed(capacity * layout.code_stride()))),
            graph: layout.graph.then(|| GraphColumns::new(layout, capacity)),
        }
    }

    /// A chunk with the first slots of this one, in more room or with more columns; the new columns are zero.
    /// For chunks without links, under the writer's lock: then nothing in the copied columns changes meanwhile, except
    /// that nothing does.
    pub(in crate::vector) fn enlarged(&self, layout: &Layout, capacity: usize) -> Self {
        assert!(capacity >= self.capacity && self.graph.is_none(), "only a chunk without links can move");
        let new = Self::new(layout, capacity);
        let columns = [
            (&self.docs, &new.docs, 8),
            (&self.states, &new.states, 1),
            (&self.originals, &new.originals, layout.original_stride()),
        ];
        for (from, to, stride) in columns {
            // SAFETY: both columns hold `self.capacity` slots of this stride; `new` is not shared yet, and the writer's
            // lock, held by the caller, keeps everybody else from writing `self`.
            unsafe { std::ptr::copy_nonoverlapping(from.start(), to.start(), self.capacity * stride) };
        }
        new
    }
}

impl GraphColumns {
    pub(in crate::vector) fn new(layout: &Layout, capacity: usize) -> Self {
        Self {
            links: Arc::new(Memory::zeroed(capacity * layout.link_stride())),
            uppers: Arc::new(Memory::zeroed(capacity * 4)),
        }
    }
}
