//! Changing the codes of a store while it is read and written.
//!
//! New codes are made in columns of their own: every vector that comes is coded both ways, what was there before is coded
//! by [`requantize`](crate::vector::maintain::requantize) in the background, then the new columns take the place of the old ones in one step.
//! Readers of older views go on with the old codes.

use std::sync::Arc;

use super::Store;
use super::view::View;
use crate::vector::arena::{Chunk, Codecs, Layout, Memory, Tables, code_column};
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

impl Store {
    /// From now on every vector that comes gets a code of `codec` too, beside the present one. What is there already is
    /// for the caller to code; nobody reads the new codes before [`finish_codes`](Self::finish_codes).
    pub(in crate::vector) fn begin_codes(&self, codec: &Arc<Codec>) {
        let mut guard = self.writer.lock();
        let writer = &mut *guard;
        let chunks = self.full_chunks(writer).into_iter();
        let chunks = chunks.map(|chunk| {
            let next_codes = Some(code_column(codec, chunk.capacity));
            Arc::new(Chunk { next_codes, ..Chunk::clone(&chunk) })
        });
        let view = self.view();
        let tables = &view.tables;
        let codecs = Codecs { present: tables.codecs.present.clone(), next: Some(codec.clone()) };
        let tables = Tables::new(tables.layout, codecs, chunks.collect(), tables.uppers.clone());
        self.publish(writer, View { tables: Arc::new(tables), ..View::clone(&view) });
    }

    /// Puts the codes of `codec` in force, all of which are written now; `false` if it is not the next one any more.
    pub(in crate::vector) fn finish_codes(&self, codec: &Arc<Codec>) -> bool {
        let mut writer = self.writer.lock();
        let view = self.view();
        let tables = &view.tables;
        if !tables.is_next(codec) {
            return false;
        }
        let chunks = tables
            .chunks
            .iter()
            .map(|chunk| Arc::new(Chunk { codes: chunk.next_codes.clone(), next_codes: None, ..Chunk::clone(chunk) }));
        let codecs = Codecs { present: Some(codec.clone()), next: None };
        let layout = Layout { codes_refused: false, ..tables.layout };
        let tables = Tables::new(layout, codecs, chunks.collect(), tables.uppers.clone());
        writer.note_codes();
        self.publish(&mut writer, View { tables: Arc::new(tables), ..View::clone(&view) });
        true
    }

    /// Takes codes out of force: the present ones if `present`, and those being made. `refused`: the default ones do not
    /// suit the vectors.
    pub(in crate::vector) fn drop_codes(&self, present: bool, refused: bool) {
        let mut writer = self.writer.lock();
        let view = self.view();
        let tables = &view.tables;
        let keep = |codes: &Option<Arc<Memory>>| codes.clone().filter(|_| !present);
        let chunks = tables
            .chunks
            .iter()
            .map(|chunk| Arc::new(Chunk { codes: keep(&chunk.codes), next_codes: None, ..Chunk::clone(chunk) }));
        let codecs = Codecs { present: tables.codecs.present.clone().filter(|_| !present), next: None };
        let layout = Layout { codes_refused: refused, ..tables.layout };
        let tables = Tables::new(layout, codecs, chunks.collect(), tables.uppers.clone());
        writer.note_codes();
        self.publish(&mut writer, View { tables: Arc::new(tables), ..View::clone(&view) });
    }
}
