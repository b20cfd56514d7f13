//! The saved state of an index: derived, checksummed, replaceable.
//!
//! ```text
//! MANIFEST               what belongs to the state; written last, by rename
//! c<chunk>-<save>.vec    a chunk's vectors: originals, documents; unchanged ones are kept from save to save
//! k<chunk>-<save>.code   a chunk's codes, likewise
//! q-<save>.codec         what the codes were trained to
//! g-<save>.graph         links, levels and states of all slots
//! ```
//! A file is never changed once a manifest names it, so a running index may keep it mapped; what no manifest names is
//! removed by the next save. A crash at any moment leaves the previous or the new manifest, each with all its files.
//!
//! [`Manifest`] is the format: magic, version, length, postcard, CRC-32C. Numbers in the other files are little endian,
//! sections begin at multiples of [`PAGE`], in the order that [`ChunkSections`] and [`GraphSections`] give; their lengths
//! follow from the manifest, and the manifest holds length and CRC-32C of each file. Loading checks all of them, and
//! that every number which will be used as an index is in range. What fails is dropped, never repaired: damaged codes
//! alone are made anew from the originals, anything else takes the whole state with it.
//!
//! Version 1 had only int8 codes, between originals and documents of each chunk's file; it is still read.
//!
//! Only an index that has outgrown the cutoff is saved: the others are rebuilt by inserting as fast as by reading.

mod codes;
mod files;
mod load;
mod save;

use serde::{Deserialize, Serialize};

use super::Distance;
use super::arena::Layout;
use super::quantize::{CodeKind, SavedCodec};

pub(super) use load::load;
pub(super) use save::{Saved, save};

/// Begins a manifest.
const MAGIC: [u8; 8] = *b"AZIMVEC\0";

/// Of everything in the folder. A version that is neither this one nor [`VERSION_1`] is dropped and rebuilt.
const VERSION: u32 = 2;

/// Codes lay in the chunks' files.
const VERSION_1: u32 = 1;

const MANIFEST: &str = "MANIFEST";

/// Alignment of sections. A machine with larger pages reads them into memory instead of mapping them.
const PAGE: u64 = 4_096;

/// What a saved state consists of. New fields need a new [`VERSION`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Manifest {
    /// Counts saves; part of the names of the files that this save wrote.
    save: u64,
    distance: Distance,
    dim: u32,
    /// Links a node keeps above level 0.
    m: u32,
    /// Seed of levels and rotation.
    seed: u64,
    /// A full chunk holds `1 << shift` slots.
    shift: u32,
    /// The default codes were tried and do not suit the vectors.
    codes_refused: bool,
    graph: bool,
    /// Slots in the state.
    slots: u32,
    /// Blocks of upper levels in the graph file.
    upper_blocks: u32,
    /// Entry point: slot and level.
    entry: Option<(u32, u8)>,
    chunks: Vec<FileRef>,
    graph_file: FileRef,
    codes: Option<CodesRef>,
}

/// The files with the codes of all chunks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct CodesRef {
    /// A [`SavedCodec`] in postcard.
    codec: FileRef,
    chunks: Vec<FileRef>,
}

/// What version 1 had for a manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Manifest1 {
    save: u64,
    distance: Distance,
    dim: u32,
    m: u32,
    seed: u64,
    shift: u32,
    codes: bool,
    codes_refused: bool,
    graph: bool,
    slots: u32,
    upper_blocks: u32,
    entry: Option<(u32, u8)>,
    chunks: Vec<FileRef>,
    graph_file: FileRef,
}

/// A manifest as it was found.
struct Found {
    manifest: Manifest,
    /// Version 1: what the codes in the chunks' files are.
    within: Option<SavedCodec>,
}

impl Found {
    /// Where things lie in the file of a chunk.
    fn chunk_sections(&self, chunk: usize) -> ChunkSections {
        let stride = self.within.as_ref().map_or(0, |codec| codec.kind.stride(self.manifest.dim as usize));
        ChunkSections::with_codes(&self.manifest.layout(), self.manifest.slots_of(chunk), stride)
    }
}

impl From<Manifest1> for Found {
    fn from(old: Manifest1) -> Self {
        let codec = SavedCodec {
            kind: CodeKind::Rotational { bits: 8 },
            seed: old.seed,
            centre: Vec::new(),
            steps: Vec::new(),
            centroids: Vec::new(),
        };
        let manifest = Manifest {
            save: old.save,
            distance: old.distance,
            dim: old.dim,
            m: old.m,
            seed: old.seed,
            shift: old.shift,
            codes_refused: old.codes_refused,
            graph: old.graph,
            slots: old.slots,
            upper_blocks: old.upper_blocks,
            entry: old.entry,
            chunks: old.chunks,
            graph_file: old.graph_file,
            codes: None,
        };
        Self { manifest, within: old.codes.then_some(codec) }
    }
}

/// A file that belongs to the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct FileRef {
    /// The save that wrote it.
    save: u64,
    bytes: u64,
    crc32c: u32,
}

impl FileRef {
    /// For the name of a file that this save is about to write.
    fn named(save: u64) -> Self {
        Self { save, bytes: 0, crc32c: 0 }
    }
}

impl Manifest {
    fn layout(&self) -> Layout {
        Layout {
            codes_refused: self.codes_refused,
            graph: self.graph,
            ..Layout::new(self.dim as usize, self.m as usize)
        }
    }

    /// Slots of a chunk that are in the state.
    fn slots_of(&self, chunk: usize) -> usize {
        let before = chunk << self.shift;
        (self.slots as usize).saturating_sub(before).min(1 << self.shift)
    }
}

fn chunk_name(chunk: usize, file: FileRef) -> String {
    format!("c{chunk}-{}.vec", file.save)
}

fn codes_name(chunk: usize, file: FileRef) -> String {
    format!("k{chunk}-{}.code", file.save)
}

fn codec_name(file: FileRef) -> String {
    format!("q-{}.codec", file.save)
}

fn graph_name(file: FileRef) -> String {
    format!("g-{}.graph", file.save)
}

/// Offset and length of a section.
type Section = (u64, usize);

/// Where things lie in a chunk's file.
#[derive(Debug, Clone, Copy)]
struct ChunkSections {
    /// `[slots, dim]` f32.
    originals: Section,
    /// `[slots, code stride]` bytes in version 1; else empty, and in a file of their own.
    codes: Section,
    /// `[slots]` u64.
    docs: Section,
    bytes: u64,
}

impl ChunkSections {
    fn new(layout: &Layout, slots: usize) -> Self {
        Self::with_codes(layout, slots, 0)
    }

    /// With codes of this many bytes a slot.
    fn with_codes(layout: &Layout, slots: usize, code_stride: usize) -> Self {
        let mut next = 0;
        let originals = section(&mut next, slots * layout.original_stride());
        let codes = section(&mut next, slots * code_stride);
        let docs = section(&mut next, slots * 8);
        Self { originals, codes, docs, bytes: docs.0 + docs.1 as u64 }
    }
}

/// Where things lie in the graph's file.
#[derive(Debug, Clone)]
struct GraphSections {
    /// For each chunk `[slots, 1 + 2m]` u32; empty without a graph.
    links: Vec<Section>,
    /// `[slots of all chunks]` u32: block << 5 | level; empty without a graph.
    uppers: Section,
    /// `[slots of all chunks]` u8.
    states: Section,
    /// `[upper blocks, 1 + m]` u32.
    blocks: Section,
    bytes: u64,
}

impl GraphSections {
    fn new(layout: &Layout, slots: usize, upper_blocks: usize) -> Self {
        let mut next = 0;
        let full = layout.chunk_slots();
        let chunks = slots.div_ceil(full);
        let linked = |slots: usize| if layout.graph { slots } else { 0 };
        let links = (0..chunks)
            .map(|chunk| section(&mut next, linked((slots - chunk * full).min(full)) * layout.link_stride()))
            .collect();
        let uppers = section(&mut next, linked(slots) * 4);
        let states = section(&mut next, slots);
        let blocks = section(&mut next, upper_blocks * layout.upper_stride());
        Self { links, uppers, states, blocks, bytes: blocks.0 + blocks.1 as u64 }
    }
}

fn section(next: &mut u64, bytes: usize) -> Section {
    let start = *next;
    *next = (start + bytes as u64).next_multiple_of(PAGE);
    (start, bytes)
}
