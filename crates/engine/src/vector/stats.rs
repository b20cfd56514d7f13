//! Size and state of an index.
//!
//! [`memory`] reads a few words per chunk and may be asked at any time; [`stats`] reads the states of all slots.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::arena::{Memory, State};
use super::core::Core;
use super::{IndexConfig, IndexMemory, IndexStats};

/// Counts by one pass over all slots.
pub(super) fn stats(core: &Core, config: &IndexConfig) -> IndexStats {
    let view = core.store.view();
    let tables = &view.tables;
    let high = core.store.high(&view);
    let mut stats = IndexStats {
        dim: core.dim,
        len: core.store.len(),
        pending: core.waiting(config),
        tombstones: core.store.tombstones(),
        searches_codes: tables.codec().is_some(),
        codes: tables.codec().map_or("f32", |codec| codec.kind().name()),
        kernels: core.kernels.tier,
        ..IndexStats::default()
    };
    if view.graph.is_some() {
        for slot in (0..high).filter(|&slot| tables.state(slot).load(Ordering::Acquire) & State::LINKED != 0) {
            let level = tables.level(slot);
            if stats.levels.len() <= level {
                stats.levels.resize(level + 1, 0);
            }
            stats.levels[level] += 1;
        }
    }
    stats.memory = memory(core);
    stats
}

/// Bytes by part.
pub(super) fn memory(core: &Core) -> IndexMemory {
    let view = core.store.view();
    let tables = &view.tables;
    let mut memory = IndexMemory::default();
    let layout = tables.layout;
    // Anonymous memory beyond the slots in use was never touched, or was given back.
    let mut left = core.store.high(&view) as usize;
    for chunk in &tables.chunks {
        let used = left.min(chunk.capacity);
        left -= used;
        let originals = (used * layout.original_stride()) as u64;
        if chunk.originals.is_mapped() {
            memory.originals_mapped_bytes += originals;
        } else {
            memory.originals_bytes += originals;
        }
        memory.directory_bytes += (used * 9) as u64;
        if chunk.codes.is_some() {
            memory.codes_bytes += (used * tables.code_stride()) as u64;
        }
        if chunk.next_codes.is_some() {
            let stride = tables.codecs.next.as_ref().map_or(0, |codec| codec.stride());
            memory.codes_bytes += (used * stride) as u64;
        }
        if chunk.graph.is_some() {
            memory.links_bytes += (used * (layout.link_stride() + 4)) as u64;
        }
    }
    let upper_used = u64::from(core.store.writer.lock().upper_next) * layout.upper_stride() as u64;
    let upper_there: usize = tables.uppers.iter().map(|memory: &Arc<Memory>| memory.len()).sum();
    memory.links_bytes += upper_used.min(upper_there as u64);
    memory.directory_bytes += core.store.docs.read().bytes() as u64;
    memory
}
