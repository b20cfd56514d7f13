//! Settings of a vector index: distance, kind, codes, by the names that Weaviate gives them.
//!
//! Everything here is plain data that serde writes into the schema. Ranges are checked by [`IndexConfig::validate`];
//! which settings may change on a live collection is said at each field.

use serde::{Deserialize, Serialize};

/// How far two vectors are from each other, by Weaviate's formulas. Immutable after creation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Distance {
    /// `1 - dot` of the normalised vectors, never below 0. A zero vector is at exactly 1 from everything.
    Cosine,
    /// `-dot`.
    Dot,
    /// Sum of squared differences.
    L2Squared,
    /// Sum of absolute differences.
    Manhattan,
    /// Number of components that are not equal.
    Hamming,
}

impl Distance {
    /// Whether an orthogonal rotation keeps this distance, which the codes rely on.
    #[must_use]
    pub fn survives_rotation(self) -> bool {
        match self {
            Self::Cosine | Self::Dot | Self::L2Squared => true,
            Self::Manhattan | Self::Hamming => false,
        }
    }
}

/// How a filtered graph search treats nodes that the filter excludes. Mutable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FilterStrategy {
    /// Excluded nodes are not scored; the graph search looks through them at their neighbours (ACORN, arXiv
    /// 2403.04871).
    #[default]
    Acorn,
    /// Every node is scored and traversed; excluded ones are left out of the answer.
    Sweeping,
}

/// The codes that graph searches and scans compare instead of the f32 originals. Mutable: a live index changes over in
/// the background while the old codes serve.
///
/// `rescore` is how many candidates are fetched by their codes before the best of them are chosen by the originals, at
/// least; 0 leaves the choice to the codes; `None` leaves the number to the index. Distances in answers are always those of
/// the originals. Where a distance cannot be told from such codes at all, the index compares f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Codes {
    /// int8 after a random rotation. Falls back to f32 by itself where the data do not suit it (distances that are not kept
    /// by a rotation, spreads that eight bits cannot resolve).
    #[default]
    Default,
    /// Plain f32.
    None,
    /// `rq`: steps of each vector's own size after a random rotation.
    Rotational {
        /// Bits a component: 8, 4 or 1.
        bits: u8,
        /// See above.
        rescore: Option<usize>,
    },
    /// `sq`: 255 steps between the least and the greatest component of the training vectors.
    #[serde(rename_all = "camelCase")]
    Scalar {
        /// Vectors to train with. Until so many are there, or everything that came is indexed, the default codes serve.
        training_limit: usize,
        /// See above.
        rescore: Option<usize>,
    },
    /// `bq`: the sign of each component.
    Binary {
        /// See above.
        rescore: Option<usize>,
    },
    /// `pq`: the nearest centroid of each segment of the components. All candidates are rescored.
    #[serde(rename_all = "camelCase")]
    Product {
        /// Segments, at most the dimension; 0 chooses by the dimension.
        segments: usize,
        /// Centroids of a segment, 2 to 256.
        centroids: usize,
        /// Vectors to train with, as for `Scalar`; no more than 65,536 are looked at.
        training_limit: usize,
    },
}

impl Codes {
    /// Candidates to fetch before rescoring, if the settings say so.
    #[must_use]
    pub fn rescore(self) -> Option<usize> {
        match self {
            Self::Default | Self::None | Self::Product { .. } => None,
            Self::Rotational { rescore, .. } | Self::Scalar { rescore, .. } | Self::Binary { rescore } => rescore,
        }
    }
}

/// Settings of the graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct HnswConfig {
    /// `maxConnections`: links a node keeps on the upper levels; level 0 keeps twice as many. 4..=2047. Immutable.
    #[serde(rename = "maxConnections")]
    pub m: usize,
    /// Candidates looked at while building, >= 4. Immutable.
    pub ef_construction: usize,
    /// Candidates kept while searching; -1 derives it from `k`.
    pub ef: i64,
    /// Least derived `ef`.
    pub dynamic_ef_min: usize,
    /// Greatest derived `ef`.
    pub dynamic_ef_max: usize,
    /// Derived `ef` is `k` times this, kept within the two bounds.
    pub dynamic_ef_factor: usize,
    /// Above this many allowed documents a filtered search is never planned as an exact scan.
    pub flat_search_cutoff: usize,
    /// How a filtered graph search treats excluded nodes.
    pub filter_strategy: FilterStrategy,
}

impl Default for HnswConfig {
    fn default() -> Self {
        Self {
            m: 32,
            ef_construction: 128,
            ef: -1,
            dynamic_ef_min: 100,
            dynamic_ef_max: 500,
            dynamic_ef_factor: 8,
            flat_search_cutoff: 40_000,
            filter_strategy: FilterStrategy::Acorn,
        }
    }
}

impl HnswConfig {
    /// The `ef` of a search for `k` results: `asked` if given, else the setting, else derived; never below `k`.
    #[must_use]
    pub fn ef_for(&self, k: usize, asked: Option<usize>) -> usize {
        let derived = || {
            let max = self.dynamic_ef_max.max(self.dynamic_ef_min);
            k.saturating_mul(self.dynamic_ef_factor).clamp(self.dynamic_ef_min, max)
        };
        let ef = asked.unwrap_or_else(|| usize::try_from(self.ef).ok().filter(|&ef| ef > 0).unwrap_or_else(derived));
        ef.max(k).max(1)
    }
}

/// Which structure answers searches. Immutable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum IndexKind {
    /// Exact scan, whatever the size.
    Flat,
    /// Graph as soon as the collection is large enough for one to pay.
    Hnsw(HnswConfig),
    /// Exact scan up to `threshold` vectors, a graph beyond.
    Dynamic {
        /// Vectors up to which the scan is kept.
        threshold: usize,
        /// The graph beyond it.
        hnsw: HnswConfig,
        /// What the scan compares; the graph has the codes of [`IndexConfig`].
        #[serde(default)]
        flat_codes: Codes,
    },
}

/// Settings of one vector index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IndexConfig {
    /// How far two vectors are from each other.
    pub distance: Distance,
    /// Which structure answers searches.
    pub kind: IndexKind,
    /// What graph searches and scans compare.
    #[serde(default)]
    pub codes: Codes,
    /// Vectors are accepted and not indexed; a search is an error.
    #[serde(default)]
    pub skip: bool,
}

impl Default for IndexConfig {
    fn default() -> Self {
        Self {
            distance: Distance::Cosine,
            kind: IndexKind::Hnsw(HnswConfig::default()),
            codes: Codes::Default,
            skip: false,
        }
    }
}

impl IndexConfig {
    /// The graph's settings, if this kind ever has a graph.
    #[must_use]
    pub fn hnsw(&self) -> Option<&HnswConfig> {
        match &self.kind {
            IndexKind::Flat => None,
            IndexKind::Hnsw(hnsw) | IndexKind::Dynamic { hnsw, .. } => Some(hnsw),
        }
    }

    /// These settings with the mutable ones of `new`.
    #[must_use]
    pub fn updated(&self, new: &Self) -> Self {
        let hnsw =
            |old: &HnswConfig, new: &HnswConfig| HnswConfig { m: old.m, ef_construction: old.ef_construction, ..*new };
        let kind = match (&self.kind, &new.kind) {
            (IndexKind::Hnsw(old), IndexKind::Hnsw(new)) => IndexKind::Hnsw(hnsw(old, new)),
            (IndexKind::Dynamic { hnsw: old, .. }, IndexKind::Dynamic { threshold, hnsw: new, flat_codes }) => {
                IndexKind::Dynamic { threshold: *threshold, hnsw: hnsw(old, new), flat_codes: *flat_codes }
            }
            (old, _) => *old,
        };
        Self { kind, skip: new.skip, codes: new.codes, ..*self }
    }

    /// The codes of an index with or without a graph.
    #[must_use]
    pub fn codes_with(&self, graph: bool) -> Codes {
        match self.kind {
            IndexKind::Dynamic { flat_codes, .. } if !graph => flat_codes,
            IndexKind::Flat | IndexKind::Hnsw(_) | IndexKind::Dynamic { .. } => self.codes,
        }
    }

    /// Checks the ranges.
    ///
    /// # Errors
    /// Names the setting and its range.
    pub fn validate(&self) -> Result<(), String> {
        for codes in [self.codes, self.codes_with(false)] {
            if let Codes::Rotational { bits, .. } = codes
                && !matches!(bits, 1 | 4 | 8)
            {
                return Err(format!("rq bits must be 8, 4 or 1, got {bits}"));
            }
        }
        let Some(hnsw) = self.hnsw() else { return Ok(()) };
        if !(M_MIN..=M_MAX).contains(&hnsw.m) {
            return Err(format!("maxConnections must be between {M_MIN} and {M_MAX}, got {}", hnsw.m));
        }
        if hnsw.ef_construction < EF_CONSTRUCTION_MIN {
            return Err(format!("efConstruction must be at least {EF_CONSTRUCTION_MIN}, got {}", hnsw.ef_construction));
        }
        Ok(())
    }
}

/// Least `maxConnections`.
pub const M_MIN: usize = 4;
/// Greatest `maxConnections`.
pub const M_MAX: usize = 2047;
/// Least `efConstruction`.
pub const EF_CONSTRUCTION_MIN: usize = 4;

/// Settings of the process rather than of the collection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexOptions {
    /// Up to this many vectors no graph, no codes and no file are made: a scan is as fast and costs nothing.
    pub graph_cutoff: usize,
    /// Seed of levels and rotation: the same vectors in the same order give the same graph when built by one thread.
    pub seed: u64,
}

impl Default for IndexOptions {
    fn default() -> Self {
        Self { graph_cutoff: 2_000, seed: 0x5eed_a21a }
    }
}
