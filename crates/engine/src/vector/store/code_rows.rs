//! The codes of one vector, under the present codec and under the one that takes its place.

use std::sync::Arc;

use crate::vector::arena::{Codecs, Tables};
use crate::vector::quantize::Codec;

/// The codes of one vector.
pub(in crate::vector) struct CodeRows {
    pub codecs: Codecs,
    pub present: Vec<u8>,
    pub next: Vec<u8>,
}

impl CodeRows {
    /// Under these codecs.
    pub(in crate::vector) fn of(codecs: &Codecs, vector: &[f32]) -> Self {
        let (mut scratch, mut present, mut next) = (Vec::new(), Vec::new(), Vec::new());
        for (codec, row) in [(&codecs.present, &mut present), (&codecs.next, &mut next)] {
            if let Some(codec) = codec {
                codec.encode(vector, &mut scratch, row);
            }
        }
        Self { codecs: codecs.clone(), present, next }
    }

    /// Of a slot: its present code, and the next one made anew.
    ///
    /// # Safety
    /// The slot's data are written (see `arena::tables`).
    pub(in crate::vector) unsafe fn of_slot(tables: &Tables, slot: u32) -> Self {
        let (mut scratch, mut next) = (Vec::new(), Vec::new());
        // SAFETY: handed on to the caller.
        let present = tables.codecs.present.as_ref().map_or_else(Vec::new, |_| unsafe { tables.code(slot) }.to_vec());
        if let Some(codec) = &tables.codecs.next {
            // SAFETY: as above.
            codec.encode(unsafe { tables.original(slot) }, &mut scratch, &mut next);
        }
        Self { codecs: tables.codecs.clone(), present, next }
    }

    /// Whether the codecs are still those.
    pub(in crate::vector) fn are_of(&self, codecs: &Codecs) -> bool {
        let same = |a: &Option<Arc<Codec>>, b: &Option<Arc<Codec>>| match (a, b) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (a, b) => a.is_none() && b.is_none(),
        };
        same(&self.codecs.present, &codecs.present) && same(&self.codecs.next, &codecs.next)
    }
}
