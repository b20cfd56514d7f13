//! Saving beside searches, inserts and background work.
//!
//! The saved state is that of one moment under the writer's lock: which slots hold which documents. The vectors of
//! those slots cannot change while the view of that moment is held. Links do change; they are read as they are, without
//! those to slots that were not in the graph at that moment. Of a vector that changes its slot, the one that the document map
//! names holds it; if that is the new one, the old one is saved like that of a deleted document: links still lead there.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::files::{SectionWriter, remove_others, sync_dir, write_manifest};
use super::{
    ChunkSections, CodesRef, FileRef, GraphSections, MANIFEST, Manifest, chunk_name, codec_name, codes_name, graph_name,
};
use crate::vector::SaveReport;
use crate::vector::arena::{Memory, State, UPPER_BLOCKS_SHIFT, UpperHandle, read_links};
use crate::vector::core::Core;
use crate::vector::store::view::View;

/// The content of the folder, as far as this process knows.
#[derive(Debug, Default)]
pub(in crate::vector) struct Saved {
    /// The last save, successful or not.
    pub(super) save: u64,
    /// For each chunk its file and the writes to the chunk that it reflects.
    pub(super) chunks: Vec<(FileRef, u64)>,
    pub(super) codes: Option<SavedCodes>,
    /// Vectors that are in it.
    pub(in crate::vector) live: usize,
    /// Of these, those that need no more work.
    pub(in crate::vector) settled: usize,
}

/// The codes in the folder.
#[derive(Debug)]
pub(in crate::vector) struct SavedCodes {
    pub(super) codec: FileRef,
    /// Which of the codes that were ever made these are.
    pub(super) made: u64,
    /// As [`Saved::chunks`].
    pub(super) chunks: Vec<(FileRef, u64)>,
}

/// The state at one moment.
struct Moment {
    view: Arc<View>,
    /// By slot, whether there is anything in it.
    is_used: Vec<bool>,
    /// By slot, as it is saved.
    states: Vec<u8>,
    docs: Vec<u64>,
    writes: Vec<u64>,
    codes_made: u64,
}

impl Moment {
    fn now(core: &Core) -> Self {
        let writer = core.store.writer.lock();
        let view = core.store.view();
        let slots = core.store.high(&view);
        let mut states: Vec<u8> = (0..slots).map(|slot| view.tables.state(slot).load(Ordering::Acquire)).collect();
        let is_used = states.iter().map(|&state| state != State::FREE).collect();
        let docs: Vec<u64> = (0..slots).map(|slot| view.tables.doc(slot).load(Ordering::Relaxed)).collect();
        let map = core.store.docs.read();
        for ((slot, state), &doc) in (0..slots).zip(&mut states).zip(&docs) {
            if *state & State::TARGET != 0 {
                *state = State::FREE;
            } else if *state & State::SOURCE != 0 {
                let holds = *state & State::LIVE != 0 && map.get(doc) == Some(slot);
                *state = State::LINKED | if holds { State::LIVE } else { State::DEAD };
            }
        }
        drop(map);
        let writes = (0..view.tables.chunks.len()).map(|chunk| writer.writes_to(chunk)).collect();
        Self { view, is_used, states, docs, writes, codes_made: writer.codes_made }
    }

    fn is_used(&self, slot: usize) -> bool {
        self.is_used.get(slot).is_some_and(|&used| used)
    }

    /// Vectors that need no more work.
    fn settled(&self) -> usize {
        settled(&self.states, self.view.tables.layout.graph)
    }

    fn is_linked(&self, slot: u32) -> bool {
        self.states.get(slot as usize).is_some_and(|&state| state & State::LINKED != 0)
    }
}

/// Vectors by the states of their slots that need no more work: linked where there is a `graph`, else all.
pub(super) fn settled(states: &[u8], graph: bool) -> usize {
    let wanted = if graph { State::LIVE | State::LINKED } else { State::LIVE };
    states.iter().filter(|&&state| state & wanted == wanted).count()
}

/// Saves into `dir`, whose content `saved` is.
pub(in crate::vector) fn save(core: &Core, saved: &mut Saved, dir: &Path) -> io::Result<SaveReport> {
    let moment = Moment::now(core);
    let layout = moment.view.tables.layout;
    if !layout.graph && moment.view.tables.codec().is_none() {
        saved.chunks.clear();
        saved.codes = None;
        return forget(dir);
    }
    fs::create_dir_all(dir)?;
    saved.save += 1;
    let mut report = SaveReport {
        saved: moment.states.iter().filter(|&&state| state & State::LIVE != 0).count(),
        ..SaveReport::default()
    };
    let mut chunks = Vec::new();
    for chunk in 0..moment.states.len().div_ceil(layout.chunk_slots()) {
        let slots = slots_of(&moment, chunk);
        let sections = ChunkSections::new(&layout, slots);
        let kept = saved.chunks.get(chunk).filter(|(file, writes)| {
            *writes == moment.writes[chunk]
                && file.bytes == sections.bytes
                && dir.join(chunk_name(chunk, *file)).exists()
        });
        let file = match kept {
            Some(&(file, _)) => file,
            None => write_chunk(&moment, dir, chunk, saved.save, sections)?,
        };
        if file.save == saved.save {
            report.written_bytes += file.bytes;
        }
        chunks.push(file);
    }
    let codes = save_codes(&moment, dir, saved, &mut report)?;
    let (graph_file, upper_blocks) = write_graph(&moment, dir, saved.save)?;
    report.written_bytes += graph_file.bytes;
    let files = Files { chunks: &chunks, codes: codes.as_ref(), graph: graph_file, upper_blocks };
    let manifest = manifest(core, &moment, saved.save, &files);
    report.written_bytes += write_manifest(dir, &manifest)?;
    (saved.live, saved.settled) = (report.saved, moment.settled());
    let with_writes = |files: &[FileRef]| files.iter().copied().zip(moment.writes.iter().copied()).collect();
    saved.chunks = with_writes(&chunks);
    saved.codes = codes.as_ref().map(|codes| SavedCodes {
        codec: codes.codec,
        made: moment.codes_made,
        chunks: with_writes(&codes.chunks),
    });
    let named = names(&manifest);
    report.files = named.len();
    remove_others(dir, &named)?;
    release_originals(core, &moment, dir, &chunks);
    // The originals in memory go with the views before: nothing else may come for long that would collect those.
    drop(moment);
    core.store.writer.lock().collect();
    Ok(report)
}

/// All files of a state.
fn names(manifest: &Manifest) -> Vec<String> {
    let chunks = manifest.chunks.iter().enumerate().map(|(chunk, &file)| chunk_name(chunk, file));
    let mut names: Vec<String> = chunks.collect();
    if let Some(codes) = &manifest.codes {
        names.extend(codes.chunks.iter().enumerate().map(|(chunk, &file)| codes_name(chunk, file)));
        names.push(codec_name(codes.codec));
    }
    names.extend([graph_name(manifest.graph_file), MANIFEST.to_owned()]);
    names
}

/// Writes the codes that are not in the folder yet.
fn save_codes(moment: &Moment, dir: &Path, saved: &Saved, report: &mut SaveReport) -> io::Result<Option<CodesRef>> {
    let tables = &moment.view.tables;
    let Some(codec) = tables.codec() else { return Ok(None) };
    let present = saved.codes.as_ref().filter(|codes| codes.made == moment.codes_made);
    let codec = match present.filter(|codes| dir.join(codec_name(codes.codec)).exists()) {
        Some(codes) => codes.codec,
        None => {
            let bytes = postcard::to_stdvec(&codec.saved()).map_err(io::Error::other)?;
            let mut file = SectionWriter::create(&dir.join(codec_name(FileRef::named(saved.save))))?;
            file.write(&bytes)?;
            file.finish(saved.save)?
        }
    };
    let mut chunks = Vec::new();
    for chunk in 0..moment.states.len().div_ceil(tables.layout.chunk_slots()) {
        let bytes = slots_of(moment, chunk) * tables.code_stride();
        let kept = present.and_then(|codes| codes.chunks.get(chunk)).filter(|(file, writes)| {
            *writes == moment.writes[chunk] && file.bytes == bytes as u64 && dir.join(codes_name(chunk, *file)).exists()
        });
        chunks.push(match kept {
            Some(&(file, _)) => file,
            None => write_codes(moment, dir, chunk, saved.save)?,
        });
    }
    let written = chunks.iter().chain([&codec]).filter(|file| file.save == saved.save);
    report.written_bytes += written.map(|file| file.bytes).sum::<u64>();
    Ok(Some(CodesRef { codec, chunks }))
}

fn write_codes(moment: &Moment, dir: &Path, chunk: usize, save: u64) -> io::Result<FileRef> {
    let tables = &moment.view.tables;
    let mut file = SectionWriter::create(&dir.join(codes_name(chunk, FileRef::named(save))))?;
    let first = chunk << tables.layout.shift;
    let unused = vec![0u8; tables.code_stride()];
    for slot in first..first + slots_of(moment, chunk) {
        if moment.is_used(slot) {
            let slot = u32::try_from(slot).expect("slots are 32 bits");
            // SAFETY: in use at the moment of this view, which is still held.
            file.write(unsafe { tables.code(slot) })?;
        } else {
            file.write(&unused)?;
        }
    }
    file.finish(save)
}

/// A small index needs no files.
fn forget(dir: &Path) -> io::Result<SaveReport> {
    if dir.join(MANIFEST).exists() {
        fs::remove_file(dir.join(MANIFEST))?;
        sync_dir(dir)?;
        remove_others(dir, &[])?;
    }
    Ok(SaveReport::default())
}

fn slots_of(moment: &Moment, chunk: usize) -> usize {
    let full = moment.view.tables.layout.chunk_slots();
    (moment.states.len() - chunk * full).min(full)
}

/// What a save has written or kept.
struct Files<'a> {
    chunks: &'a [FileRef],
    codes: Option<&'a CodesRef>,
    graph: FileRef,
    upper_blocks: u32,
}

fn manifest(core: &Core, moment: &Moment, save: u64, files: &Files<'_>) -> Manifest {
    let tables = &moment.view.tables;
    let layout = tables.layout;
    let level = |slot: u32| u8::try_from(tables.level(slot)).unwrap_or(u8::MAX);
    let entry = moment.view.graph.as_ref().and_then(|graph| {
        let present = graph.entry().filter(|&(slot, _)| moment.is_linked(slot)).map(|(slot, _)| slot);
        let highest = || {
            let linked = (0u32..).take(moment.states.len()).filter(|&slot| moment.is_linked(slot));
            linked.max_by_key(|&slot| tables.level(slot))
        };
        present.or_else(highest).map(|slot| (slot, level(slot)))
    });
    let narrow = |value: usize| u32::try_from(value).expect("an index has fewer than 2^32 slots and dimensions");
    Manifest {
        save,
        distance: core.distance,
        dim: narrow(layout.dim),
        m: narrow(layout.m),
        seed: core.options.seed,
        shift: layout.shift,
        codes_refused: layout.codes_refused,
        graph: layout.graph,
        slots: narrow(moment.states.len()),
        upper_blocks: files.upper_blocks,
        entry,
        chunks: files.chunks.to_vec(),
        graph_file: files.graph,
        codes: files.codes.cloned(),
    }
}

fn write_chunk(moment: &Moment, dir: &Path, chunk: usize, save: u64, sections: ChunkSections) -> io::Result<FileRef> {
    let tables = &moment.view.tables;
    let layout = tables.layout;
    let path = dir.join(chunk_name(chunk, FileRef::named(save)));
    let mut file = SectionWriter::create(&path)?;
    let first = chunk << layout.shift;
    let slots = first..first + slots_of(moment, chunk);
    let number = |slot: usize| u32::try_from(slot).expect("slots are 32 bits");
    let unused = vec![0u8; layout.original_stride()];
    file.begin(sections.originals)?;
    for slot in slots.clone() {
        if moment.is_used(slot) {
            // SAFETY: in use at the moment of this view, which is still held.
            file.write(bytemuck::cast_slice(unsafe { tables.original(number(slot)) }))?;
        } else {
            file.write(&unused)?;
        }
    }
    file.begin(sections.docs)?;
    file.write(bytemuck::cast_slice(&moment.docs[slots]))?;
    file.finish(save)
}

/// Upper lists are packed anew, so that blocks given back leave no holes.
fn write_graph(moment: &Moment, dir: &Path, save: u64) -> io::Result<(FileRef, u32)> {
    let tables = &moment.view.tables;
    let layout = tables.layout;
    let (handles, blocks) = pack_uppers(moment);
    let upper_blocks = blocks.len() / (layout.upper_stride() / 4);
    let sections = GraphSections::new(&layout, moment.states.len(), upper_blocks);
    let path = dir.join(graph_name(FileRef::named(save)));
    let mut file = SectionWriter::create(&path)?;
    let (mut list, mut row) = (Vec::new(), vec![0u32; layout.link_stride() / 4]);
    for (chunk, &section) in sections.links.iter().enumerate() {
        file.begin(section)?;
        let first = chunk << layout.shift;
        for slot in (first..first + slots_of(moment, chunk)).filter(|_| layout.graph) {
            copy_list(moment, u32::try_from(slot).expect("slots are 32 bits"), 0, &mut list, &mut row);
            file.write(bytemuck::cast_slice(&row))?;
        }
    }
    file.begin(sections.uppers)?;
    file.write(bytemuck::cast_slice(&handles))?;
    file.begin(sections.states)?;
    file.write(&moment.states)?;
    file.begin(sections.blocks)?;
    file.write(bytemuck::cast_slice(&blocks))?;
    Ok((file.finish(save)?, u32::try_from(upper_blocks).expect("fewer blocks than slots")))
}

/// The list of a slot as it is saved: count, neighbours, zeros.
fn copy_list(moment: &Moment, slot: u32, level: usize, list: &mut Vec<u32>, row: &mut [u32]) {
    list.clear();
    if moment.is_linked(slot)
        && let Some(links) = moment.view.tables.links(slot, level)
    {
        read_links(links, list);
    }
    list.retain(|&other| moment.is_linked(other));
    row.fill(0);
    row[0] = u32::try_from(list.len()).expect("lists are short");
    row[1..=list.len()].copy_from_slice(list);
}

/// Handles by slot, and the blocks they name.
fn pack_uppers(moment: &Moment) -> (Vec<u32>, Vec<u32>) {
    let tables = &moment.view.tables;
    let layout = tables.layout;
    if !layout.graph {
        return (Vec::new(), Vec::new());
    }
    let width = layout.upper_stride() / 4;
    let (mut handles, mut blocks) = (vec![0; moment.states.len()], Vec::new());
    let mut list = Vec::new();
    for slot in (0u32..).take(moment.states.len()).filter(|&slot| moment.is_linked(slot)) {
        let level = tables.level(slot);
        if level == 0 {
            continue;
        }
        // A run of blocks does not cross the border of an allocation.
        let per_allocation = 1 << UPPER_BLOCKS_SHIFT;
        let mut block = blocks.len() / width;
        if block % per_allocation + level > per_allocation {
            block = block.next_multiple_of(per_allocation);
        }
        handles[slot as usize] = UpperHandle::new(u32::try_from(block).expect("fewer blocks than slots"), level).0;
        blocks.resize((block + level) * width, 0);
        for level in 1..=level {
            let row = &mut blocks[(block + level - 1) * width..(block + level) * width];
            copy_list(moment, slot, level, &mut list, row);
        }
    }
    (handles, blocks)
}

/// Whole chunks that are now in files need no memory of their own for originals.
fn release_originals(core: &Core, moment: &Moment, dir: &Path, chunks: &[FileRef]) {
    let layout = moment.view.tables.layout;
    let mut mapped = Vec::new();
    for (number, (chunk, &file)) in moment.view.tables.chunks.iter().zip(chunks).enumerate() {
        if chunk.originals.is_mapped() || slots_of(moment, number) < layout.chunk_slots() {
            continue;
        }
        let sections = ChunkSections::new(&layout, layout.chunk_slots());
        let (offset, bytes) = sections.originals;
        let opened = fs::File::open(dir.join(chunk_name(number, file)));
        // Originals that cannot be mapped stay in memory: the state is saved all the same.
        if let Ok(memory) = opened.and_then(|file| Memory::mapped(&file, offset, bytes)) {
            mapped.push((number, moment.writes[number], memory));
        }
    }
    if !mapped.is_empty() {
        core.store.map_originals(mapped);
    }
}
