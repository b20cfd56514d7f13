//! Changing the codes of a store while it is read and written.
//!
//! New codes are made in columns of their own: every inserted vector is quantised both ways, older vectors are quantised by
//! [`requantize`](crate::vector::maintain::requantize) in the background, then the new columns take the place of the old
//! ones in one step. Readers of older views go on with the old codes.

use std::sync::Arc;

use super::Store;
use super::view::View;
use crate::vector::arena::{Chunk, Codecs, Layout, Memory, Tables, code_column};
use crate::vector::quantize::Codec;

/// From now on every inserted vector gets a code of `codec` as well, beside the present one. The caller quantises older
/// vectors; no reader uses the new codes before [`finish_codes`].
pub(in crate::vector) fn begin_codes(store: &Store, codec: &Arc<Codec>) {
    let mut guard = store.writer.lock();
    let writer = &mut *guard;
    let chunks = store.full_chunks(writer).into_iter();
    let chunks = chunks.map(|chunk| {
        let next_codes = Some(code_column(codec, chunk.capacity));
        Arc::new(Chunk { next_codes, ..Chunk::clone(&chunk) })
    });
    let view = store.view();
    let tables = &view.tables;
    let codecs = Codecs { present: tables.codecs.present.clone(), next: Some(codec.clone()) };
    let tables = Tables::new(tables.layout, codecs, chunks.collect(), tables.uppers.clone());
    store.publish(writer, View { tables: Arc::new(tables), ..View::clone(&view) });
}

/// Puts the codes of `codec` in force, all of which are written; `false` if it is not the next codec any more.
pub(in crate::vector) fn finish_codes(store: &Store, codec: &Arc<Codec>) -> bool {
    let mut writer = store.writer.lock();
    let view = store.view();
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
    store.publish(&mut writer, View { tables: Arc::new(tables), ..View::clone(&view) });
    true
}

/// Takes codes out of force: the present ones if `present`, and those being made. `refused`: the default ones do not
/// suit the vectors.
pub(in crate::vector) fn drop_codes(store: &Store, present: bool, refused: bool) {
    let mut writer = store.writer.lock();
    let view = store.view();
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
    store.publish(&mut writer, View { tables: Arc::new(tables), ..View::clone(&view) });
}
