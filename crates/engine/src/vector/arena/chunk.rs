//! The columns of a run of slots.

use std::sync::Arc;

use super::{Codecs, Layout, Memory};
use crate::vector::quantize::Codec;

/// Memory for `capacity` slots. Columns are shared, so that a chunk with one column replaced keeps the others.
#[derive(Clone)]
pub(in crate::vector) struct Chunk {
    /// Slots that fit. Only the first chunk of a small index has fewer than the layout says.
    pub capacity: usize,
    /// `AtomicU64` document id a slot.
    pub docs: Arc<Memory>,
    /// `AtomicU8` a slot, see [`State`](super::State).
    pub states: Arc<Memory>,
    /// `[f32; dim]` a slot, normalised under cosine.
    pub originals: Arc<Memory>,
    /// A code a slot; absent while the index is small or compares f32.
    pub codes: Option<Arc<Memory>>,
    /// Codes that are being made and that nobody reads yet.
    pub next_codes: Option<Arc<Memory>>,
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
    pub(in crate::vector) fn new(layout: &Layout, codecs: &Codecs, capacity: usize) -> Self {
        let codes = |codec: &Option<Arc<Codec>>| codec.as_ref().map(|codec| code_column(codec, capacity));
        Self {
            capacity,
            docs: Arc::new(Memory::zeroed(capacity * 8)),
            states: Arc::new(Memory::zeroed(capacity)),
            originals: Arc::new(Memory::zeroed(capacity * layout.original_stride())),
            codes: codes(&codecs.present),
            next_codes: codes(&codecs.next),
            graph: layout.graph.then(|| GraphColumns::new(layout, capacity)),
        }
    }

    /// A chunk with the first slots of this one and more room. For chunks with neither links nor codes, under the writer's
    /// lock: then nothing in the copied columns changes meanwhile.
    pub(in crate::vector) fn enlarged(&self, layout: &Layout, capacity: usize) -> Self {
        assert!(
            capacity >= self.capacity && self.graph.is_none() && self.codes.is_none() && self.next_codes.is_none(),
            "only a chunk without links and codes can move"
        );
        let new = Self::new(layout, &Codecs::default(), capacity);
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

impl Chunk {
    /// Gives back what the slots from `used` on took, as far as that is much. They are free, and begin as new ones.
    ///
    /// # Safety
    /// No view reaches these slots, and nobody fills them meanwhile.
    pub(in crate::vector) unsafe fn give_back(&self, layout: &Layout, codecs: &Codecs, used: usize) {
        let stride = |codec: &Option<Arc<Codec>>| codec.as_ref().map_or(0, |codec| codec.stride());
        let columns = [
            (Some(&self.originals), layout.original_stride()),
            (self.codes.as_ref(), stride(&codecs.present)),
            (self.next_codes.as_ref(), stride(&codecs.next)),
            (self.graph.as_ref().map(|graph| &graph.links), layout.link_stride()),
        ];
        for (column, stride) in columns {
            if let Some(column) = column {
                // SAFETY: handed on to the caller: these rows belong to slots from `used` on.
                unsafe { column.give_back(used * stride) };
            }
        }
    }
}

/// A column for the codes of `capacity` slots.
pub(in crate::vector) fn code_column(codec: &Codec, capacity: usize) -> Arc<Memory> {
    Arc::new(Memory::zeroed(capacity * codec.stride()))
}

impl GraphColumns {
    pub(in crate::vector) fn new(layout: &Layout, capacity: usize) -> Self {
        Self {
            links: Arc::new(Memory::zeroed(capacity * layout.link_stride())),
            uppers: Arc::new(Memory::zeroed(capacity * 4)),
        }
    }
}
