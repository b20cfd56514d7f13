//! Loading a saved state: everything is checked before anything is used.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use super::codes::{LoadedCodes, load_codes};
use super::files::{open_checked, read_manifest};
use super::save::settled;
use super::{FileRef, Found, GraphSections, Manifest, Saved, Section, chunk_name, graph_name};
use crate::vector::arena::{
    Chunk, GraphColumns, LEVEL_MAX, Layout, Memory, State, Tables, UPPER_BLOCKS_SHIFT, UpperHandle,
};
use crate::vector::config::{HnswConfig, IndexConfig, IndexOptions, M_MAX, M_MIN};
use crate::vector::core::Core;
use crate::vector::slots::docs::DocMap;
use crate::vector::slots::pending::PendingSegment;
use crate::vector::store::graph::Graph;
use crate::vector::store::view::View;
use crate::vector::store::{Store, Writer};

/// A loaded state.
pub(in crate::vector) struct Loaded {
    pub core: Core,
    /// The files that the state was read from.
    pub saved: Saved,
    /// Why the codes were dropped, which are made anew from the originals.
    pub codes_dropped: Option<String>,
}

/// The state in `dir`; `None` if there is none.
///
/// # Errors
/// One sentence that says why the saved state cannot be used.
pub(in crate::vector) fn load(
    dir: &Path,
    dim: Option<usize>,
    config: &IndexConfig,
    options: IndexOptions,
) -> Result<Option<Loaded>, String> {
    let Some(found) = read_manifest(dir)? else { return Ok(None) };
    let manifest = &found.manifest;
    check_settings(manifest, dim, config, options)?;
    let layout = manifest.layout();
    let graph_sections = GraphSections::new(&layout, manifest.slots as usize, manifest.upper_blocks as usize);
    let files = open_all(dir, &found, &graph_sections)?;
    let codes = load_codes(dir, &found, &files.chunks);
    let states = read_section(&files.graph, graph_sections.states)?;
    let handles: Vec<u32> = words(&read_section(&files.graph, graph_sections.uppers)?);
    let mut docs = DocMap::default();
    let mut chunks = Vec::new();
    for (number, file) in files.chunks.iter().enumerate() {
        let part = Part { found: &found, layout: &layout, number, states: &states, handles: &handles };
        let column = codes.as_ref().ok().and_then(|codes| codes.columns.get(number)).cloned();
        chunks.push(Arc::new(part.load(file, &files.graph, &graph_sections, column, &mut docs)?));
    }
    let uppers = load_uppers(&files.graph, &graph_sections, &layout, manifest)?;
    let (loaded, codes_dropped) = match codes {
        Ok(codes) => (codes, None),
        Err(reason) => (LoadedCodes::default(), Some(reason)),
    };
    let tables = Tables::new(layout, loaded.codecs, chunks, uppers);
    check_links(&tables, &states, &handles, manifest)?;
    let settled = settled(&states, tables.layout.graph);
    let store = store(manifest, tables, docs, &states);
    let core = Core::with(manifest.dim as usize, config, options, store);
    let chunks = manifest.chunks.iter().map(|&file| (file, 0)).collect();
    let saved = Saved { save: manifest.save, chunks, codes: loaded.saved, live: core.store.len(), settled };
    Ok(Some(Loaded { core, saved, codes_dropped }))
}

fn check_settings(
    manifest: &Manifest,
    dim: Option<usize>,
    config: &IndexConfig,
    options: IndexOptions,
) -> Result<(), String> {
    if !(1..=crate::vector::DIM_MAX).contains(&(manifest.dim as usize)) {
        return Err("the saved state has an impossible dimension".to_owned());
    }
    let layout = manifest.layout();
    let m = |hnsw: &HnswConfig| hnsw.m.clamp(M_MIN, M_MAX) == manifest.m as usize;
    let checks = [
        ("distance", manifest.distance == config.distance),
        ("dimension", dim.is_none_or(|dim| dim == manifest.dim as usize)),
        ("kind of index", !manifest.graph || config.hnsw().is_some()),
        ("number of links", config.hnsw().is_none_or(m) && (M_MIN..=M_MAX).contains(&(manifest.m as usize))),
        ("seed", manifest.seed == options.seed),
        ("chunk size", manifest.shift == layout.shift),
        ("number of chunks", manifest.chunks.len() == (manifest.slots as usize).div_ceil(layout.chunk_slots())),
        ("number of slots", manifest.slots <= 1 << 31),
    ];
    match checks.iter().find(|(_, same)| !same) {
        Some((what, _)) => Err(format!("the saved state has another {what} than the collection")),
        None => Ok(()),
    }
}

struct Files {
    chunks: Vec<File>,
    graph: File,
}

/// Threads that compute checksums.
const THREADS_MAX: usize = 8;

/// Opens and checks all files, several at a time.
fn open_all(dir: &Path, found: &Found, graph: &GraphSections) -> Result<Files, String> {
    let manifest = &found.manifest;
    let mut wanted: Vec<(String, FileRef, u64)> =
        vec![(graph_name(manifest.graph_file), manifest.graph_file, graph.bytes)];
    for (number, &file) in manifest.chunks.iter().enumerate() {
        let sections = found.chunk_sections(number);
        wanted.push((chunk_name(number, file), file, sections.bytes));
    }
    if let Some((name, file, bytes)) = wanted.iter().find(|(_, file, bytes)| file.bytes != *bytes) {
        return Err(format!("{name} should have {bytes} bytes, the manifest says {}", file.bytes));
    }
    let mut files = open_list(dir, &wanted)?;
    let graph = files.remove(0);
    Ok(Files { chunks: files, graph })
}

/// Opens and checks files of these names, several at a time.
pub(super) fn open_list(dir: &Path, wanted: &[(String, FileRef, u64)]) -> Result<Vec<File>, String> {
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX).min(wanted.len());
    let share = wanted.len().div_ceil(threads);
    let opened: Vec<Result<Vec<File>, String>> = std::thread::scope(|scope| {
        let workers: Vec<_> = wanted
            .chunks(share)
            .map(|part| {
                scope.spawn(move || part.iter().map(|(name, file, _)| open_checked(&dir.join(name), *file)).collect())
            })
            .collect();
        let panicked = |_| Err("checking the files failed".to_owned());
        workers.into_iter().map(|worker| worker.join().unwrap_or_else(panicked)).collect()
    });
    let mut files = Vec::with_capacity(wanted.len());
    for part in opened {
        files.extend(part?);
    }
    Ok(files)
}

fn read_section(file: &File, (offset, bytes): Section) -> Result<Vec<u8>, String> {
    let mut buffer = vec![0; bytes];
    file.read_exact_at(&mut buffer, offset).map_err(|error| format!("the graph file cannot be read: {error}"))?;
    Ok(buffer)
}

fn words(bytes: &[u8]) -> Vec<u32> {
    bytes.as_chunks().0.iter().map(|&word| u32::from_le_bytes(word)).collect()
}

/// One chunk being loaded.
struct Part<'a> {
    found: &'a Found,
    layout: &'a Layout,
    number: usize,
    states: &'a [u8],
    handles: &'a [u32],
}

impl Part<'_> {
    fn load(
        &self,
        file: &File,
        graph: &File,
        sections: &GraphSections,
        codes: Option<Arc<Memory>>,
        docs: &mut DocMap,
    ) -> Result<Chunk, String> {
        let (layout, slots) = (self.layout, self.found.manifest.slots_of(self.number));
        let capacity = layout.chunk_slots();
        let first = self.number << layout.shift;
        let here = self.found.chunk_sections(self.number);
        let column = |section: Section, file: &File, stride: usize| column(file, section, capacity * stride);
        let chunk = Chunk {
            capacity,
            docs: Arc::new(column(here.docs, file, 8)?),
            states: Arc::new(filled(&self.states[first..first + slots], capacity)),
            originals: Arc::new(column(here.originals, file, layout.original_stride())?),
            codes,
            next_codes: None,
            graph: if layout.graph {
                let handles = bytemuck::cast_slice(&self.handles[first..first + slots]);
                Some(GraphColumns {
                    links: Arc::new(column(sections.links[self.number], graph, layout.link_stride())?),
                    uppers: Arc::new(filled(handles, capacity * 4)),
                })
            } else {
                None
            },
        };
        self.take_docs(&chunk, first, slots, docs)?;
        Ok(chunk)
    }

    fn take_docs(&self, chunk: &Chunk, first: usize, slots: usize, docs: &mut DocMap) -> Result<(), String> {
        // SAFETY: the column holds `capacity >= slots` aligned u64, and nobody else knows it yet.
        let ids = unsafe { std::slice::from_raw_parts(chunk.docs.start().cast::<u64>(), slots) };
        for (i, &doc) in ids.iter().enumerate() {
            if self.states[first + i] & State::LIVE == 0 {
                continue;
            }
            if docs.get(doc).is_some() {
                return Err(format!("document {doc} is there twice"));
            }
            docs.insert(doc, u32::try_from(first + i).map_err(|_| "too many slots".to_owned())?);
        }
        Ok(())
    }
}

/// A column: mapped if the file holds all of it, else read into memory of its own.
pub(super) fn column(file: &File, (offset, bytes): Section, full: usize) -> Result<Memory, String> {
    if bytes == full
        && let Ok(mapped) = Memory::mapped(file, offset, bytes)
    {
        return Ok(mapped);
    }
    let memory = Memory::zeroed(full);
    // SAFETY: `bytes <= full`, and nobody else knows the memory yet.
    let target = unsafe { std::slice::from_raw_parts_mut(memory.start(), bytes) };
    file.read_exact_at(target, offset).map_err(|error| format!("a file of the saved state cannot be read: {error}"))?;
    Ok(memory)
}

/// Memory of `full` bytes that begins with `bytes`.
fn filled(bytes: &[u8], full: usize) -> Memory {
    let memory = Memory::zeroed(full);
    // SAFETY: `bytes.len() <= full`, and nobody else knows the memory yet.
    unsafe { memory.start().copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
    memory
}

fn load_uppers(
    file: &File,
    sections: &GraphSections,
    layout: &Layout,
    manifest: &Manifest,
) -> Result<Vec<Arc<Memory>>, String> {
    let allocation = layout.upper_stride() << UPPER_BLOCKS_SHIFT;
    let (offset, bytes) = sections.blocks;
    let count = (manifest.upper_blocks as usize).div_ceil(1 << UPPER_BLOCKS_SHIFT);
    (0..count)
        .map(|i| {
            let here = (offset + (i * allocation) as u64, (bytes - i * allocation).min(allocation));
            let memory = Memory::zeroed(allocation);
            // SAFETY: the part is at most one allocation, and nobody else knows the memory yet.
            let target = unsafe { std::slice::from_raw_parts_mut(memory.start(), here.1) };
            file.read_exact_at(target, here.0).map_err(|error| format!("the graph file cannot be read: {error}"))?;
            Ok(Arc::new(memory))
        })
        .collect()
}

/// Checks every number that graph searches will follow.
fn check_links(tables: &Tables, states: &[u8], handles: &[u32], manifest: &Manifest) -> Result<(), String> {
    let is_linked = |slot: u32| states.get(slot as usize).is_some_and(|&state| state & State::LINKED != 0);
    let known = [State::FREE, State::LIVE, State::DEAD, State::LIVE | State::LINKED, State::DEAD | State::LINKED];
    if states.iter().any(|state| !known.contains(state)) {
        return Err("a slot has an unknown state".to_owned());
    }
    if !manifest.graph {
        return Ok(());
    }
    let mut links = Vec::new();
    for (slot, &handle) in (0u32..).zip(handles) {
        let handle = UpperHandle(handle);
        let level = handle.level();
        let first = handle.block() as usize % (1 << UPPER_BLOCKS_SHIFT);
        let fits = level == 0
            || (level <= LEVEL_MAX
                && handle.block() as usize + level <= manifest.upper_blocks as usize
                && first + level <= 1 << UPPER_BLOCKS_SHIFT);
        if !fits {
            return Err(format!("slot {slot} has an impossible level"));
        }
        for level in 0..=level {
            let Some(list) = tables.links(slot, level) else { return Err(format!("slot {slot} lacks level {level}")) };
            let count = list[0].load(std::sync::atomic::Ordering::Relaxed) as usize;
            links.clear();
            crate::vector::arena::read_links(list, &mut links);
            if count >= list.len() || links.iter().any(|&other| !is_linked(other)) {
                return Err(format!("slot {slot} has an impossible link"));
            }
        }
    }
    let entry_fits = match manifest.entry {
        Some((slot, level)) => is_linked(slot) && usize::from(level) <= tables.level(slot),
        None => !states.iter().any(|state| state & State::LINKED != 0),
    };
    if entry_fits { Ok(()) } else { Err("the entry point is impossible".to_owned()) }
}

/// The loaded parts as a store: dead nodes wait for repair, unlinked vectors for the graph.
fn store(manifest: &Manifest, tables: Tables, docs: DocMap, states: &[u8]) -> Store {
    let layout = tables.layout;
    let mut writer = Writer::default();
    writer.upper_next = manifest.upper_blocks;
    let mut pending: Vec<Arc<PendingSegment>> = Vec::new();
    for (slot, &state) in (0u32..).zip(states) {
        if state == State::FREE || (state & State::DEAD != 0 && !manifest.graph) {
            tables.state(slot).store(State::FREE, std::sync::atomic::Ordering::Relaxed);
            writer.free.push(slot);
        } else if state & State::DEAD != 0 {
            writer.dead.push(slot);
        } else if manifest.graph
            && state & State::LINKED == 0
            && !pending.last().is_some_and(|segment| segment.append(slot))
        {
            let segment = PendingSegment::new();
            segment.append(slot);
            pending.push(Arc::new(segment));
        }
    }
    let entry = manifest.entry.map(|(slot, level)| (slot, usize::from(level)));
    let graph = manifest.graph.then(|| Arc::new(Graph::new(layout.m, manifest.seed, entry)));
    let tombstones = writer.dead.len();
    let view = View { tables: Arc::new(tables), pending, graph, hidden: 0 };
    Store::with(view, docs, writer, manifest.slots, tombstones)
}
