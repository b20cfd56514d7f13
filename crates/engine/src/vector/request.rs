//! What goes into a search and what comes out of every call of [`VectorIndex`](super::VectorIndex).

use roaring::RoaringTreemap;
use serde::{Deserialize, Serialize};

use super::DocId;

/// A search for the `k` nearest.
#[derive(Debug, Clone, Copy)]
pub struct SearchRequest<'a> {
    /// The vector asked for, `[dim]`, finite; normalised by the index where the distance wants it.
    pub query: &'a [f32],
    /// Most hits to return.
    pub k: usize,
    /// Candidates kept by the graph graph search; `None` takes it from the settings.
    pub ef: Option<usize>,
    /// Hits farther than this are left out (inclusive; the caller adds its slack).
    pub max_distance: Option<f32>,
    /// Only these documents may be returned.
    pub allow: Option<&'a RoaringTreemap>,
}

/// One answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Neighbor {
    /// The document.
    pub doc_id: DocId,
    /// Distance on the original f32 vector.
    pub distance: f32,
}

impl Neighbor {
    /// Order of every answer: ascending distance, then ascending document.
    #[must_use]
    pub fn order(&self, other: &Self) -> std::cmp::Ordering {
        self.distance.total_cmp(&other.distance).then(self.doc_id.cmp(&other.doc_id))
    }
}

/// Why a call was refused. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VectorError {
    /// The vector's length is not that of the index.
    #[error("vector has {actual} dimensions, the index has {expected}")]
    Dimension {
        /// Length of the vectors in the index.
        expected: usize,
        /// Length given.
        actual: usize,
    },
    /// The vector has no components or more than [`DIM_MAX`].
    #[error("vector has {0} dimensions, 1 to {DIM_MAX} are possible")]
    DimensionRange(usize),
    /// The vector holds NaN or an infinity.
    #[error("vector component {0} is not a finite number")]
    NotFinite(usize),
    /// The collection was configured with `skip`.
    #[error("vectors of this collection are not indexed")]
    Skipped,
    /// A multi-vector has too many rows.
    #[error("a multi-vector of {actual} rows, {max} are possible")]
    Rows {
        /// Most rows.
        max: usize,
        /// Rows given.
        actual: usize,
    },
    /// The index holds as many vectors as it can address.
    #[error("the vector index of this shard is full")]
    Full,
}

/// Most components of a vector.
pub const DIM_MAX: usize = 65_535;

/// How much one step of background work may do. Counts, not time: the engine reads no clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepBudget {
    /// Vectors linked into the graph, at most.
    pub link_max: usize,
    /// Nodes looked at by repair, at most.
    pub repair_max: usize,
}

impl Default for StepBudget {
    fn default() -> Self {
        Self { link_max: 64, repair_max: 8_192 }
    }
}

/// What one step of background work did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StepReport {
    /// Vectors linked into the graph.
    pub linked: usize,
    /// Vectors coded for a change of codes.
    pub coded: usize,
    /// Nodes whose links were repaired.
    pub repaired: usize,
    /// Slots of deleted vectors given back.
    pub freed: usize,
    /// Vectors moved into slots of deleted ones.
    pub moved: usize,
    /// Slots given back at the end of the index: it takes less room in memory, and will in its files.
    pub given_back: usize,
    /// Whether another step would find something to do. `false` while other threads do the last of it.
    pub more: bool,
}

/// Size and state of an index.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IndexStats {
    /// Components of a vector, 0 while nothing was inserted.
    pub dim: usize,
    /// Vectors that a search can return.
    pub len: usize,
    /// Of these, waiting to be linked into the graph.
    pub pending: usize,
    /// Slots that graph searches pass through and nothing is returned from: those of deleted vectors until they are
    /// given back, and the second ones of vectors that move.
    pub tombstones: usize,
    /// Nodes of the graph by highest level.
    pub levels: Vec<usize>,
    /// Bytes by part.
    pub memory: IndexMemory,
    /// Whether the graph search compares codes (else f32).
    pub searches_codes: bool,
    /// What graph searches and scans compare: `f32`, `int8`, `rq4`, `rq1`, `sq`, `bq`, `pq`.
    pub codes: &'static str,
    /// The distance kernels that this machine runs.
    pub kernels: &'static str,
}

/// Bytes of an index by part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct IndexMemory {
    /// f32 originals in anonymous memory.
    pub originals_bytes: u64,
    /// f32 originals behind the page cache.
    pub originals_mapped_bytes: u64,
    /// Codes the graph search compares.
    pub codes_bytes: u64,
    /// Links of all levels.
    pub links_bytes: u64,
    /// Document ids, their map and states.
    pub directory_bytes: u64,
}

impl IndexMemory {
    /// Bytes that only this process can give back: everything but what lies behind the page cache.
    #[must_use]
    pub fn resident_bytes(&self) -> u64 {
        self.originals_bytes + self.codes_bytes + self.links_bytes + self.directory_bytes
    }

    /// The parts by name, as metrics show them. `originals_mapped` lies behind the page cache.
    #[must_use]
    pub fn parts(&self) -> [(&'static str, u64); 5] {
        [
            ("codes", self.codes_bytes),
            ("links", self.links_bytes),
            ("originals", self.originals_bytes),
            ("originals_mapped", self.originals_mapped_bytes),
            ("directory", self.directory_bytes),
        ]
    }
}

impl std::ops::AddAssign for IndexMemory {
    fn add_assign(&mut self, other: Self) {
        self.originals_bytes += other.originals_bytes;
        self.originals_mapped_bytes += other.originals_mapped_bytes;
        self.codes_bytes += other.codes_bytes;
        self.links_bytes += other.links_bytes;
        self.directory_bytes += other.directory_bytes;
    }
}

/// What [`open`](super::VectorIndex::open) found in the folder.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LoadReport {
    /// Vectors that came back.
    pub loaded: usize,
    /// Why files were dropped: one sentence each. Empty when all was well or nothing was there.
    pub dropped: Vec<String>,
}

/// What [`save`](super::VectorIndex::save) wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SaveReport {
    /// Vectors in the saved state.
    pub saved: usize,
    /// Bytes written by this save; unchanged parts are not written again.
    pub written_bytes: u64,
    /// Files the saved state consists of; 0 for an index small enough to be rebuilt by inserting.
    pub files: usize,
}
