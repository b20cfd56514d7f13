//! The calls of a vector index.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use parking_lot::RwLock;
use roaring::RoaringTreemap;

use super::{
    Distance, DocId, Hit, IndexConfig, IndexOptions, IndexStats, OpenReport, Progress, SaveReport, SearchRequest,
    VectorError, WorkBudget,
};

/// The vectors of one (collection shard, vector name). All calls take `&self` and may run at the same time.
pub struct VectorIndex {
    config: RwLock<IndexConfig>,
    vectors: RwLock<BTreeMap<DocId, Box<[f32]>>>,
}

impl VectorIndex {
    /// Opens what `dir` holds. Never fails: what is damaged, torn or of another version or setting is dropped and
    /// reported, and the caller inserts what [`live_ids`](Self::live_ids) lacks.
    #[must_use]
    pub fn open(_dir: &Path, _dim: Option<usize>, config: IndexConfig, _options: IndexOptions) -> (Self, OpenReport) {
        (Self { config: RwLock::new(config), vectors: RwLock::default() }, OpenReport::default())
    }

    /// Documents of the loaded state.
    #[must_use]
    pub fn live_ids(&self) -> RoaringTreemap {
        self.vectors.read().keys().map(|doc_id| doc_id.0).collect()
    }

    /// Adds a vector; the next search sees it. Repeating a document changes nothing (vectors are immutable per document).
    ///
    /// # Errors
    /// The vector does not fit; nothing was changed.
    pub fn insert(&self, doc_id: DocId, vector: &[f32]) -> Result<(), VectorError> {
        self.vectors.write().entry(doc_id).or_insert_with(|| vector.into());
        Ok(())
    }

    /// Removes a vector; the next search no longer sees it. `false` if it was not there.
    pub fn delete(&self, doc_id: DocId) -> bool {
        self.vectors.write().remove(&doc_id).is_some()
    }

    /// The nearest, ascending by (distance, document).
    ///
    /// # Errors
    /// The query does not fit.
    pub fn search(&self, request: &SearchRequest<'_>) -> Result<Vec<Hit>, VectorError> {
        let max_distance = request.max_distance.unwrap_or(f32::INFINITY);
        self.search_by_distance(request.query, max_distance, request.allow, request.k)
    }

    /// Everything within `max_distance` (inclusive), the nearest `limit_max` of it, ascending by (distance, document).
    ///
    /// # Errors
    /// The query does not fit.
    pub fn search_by_distance(
        &self,
        query: &[f32],
        max_distance: f32,
        allow: Option<&RoaringTreemap>,
        limit_max: usize,
    ) -> Result<Vec<Hit>, VectorError> {
        let distance = self.config.read().distance;
        let mut hits: Vec<Hit> = (self.vectors.read().iter())
            .filter(|(doc_id, _)| allow.is_none_or(|allow| allow.contains(doc_id.0)))
            .map(|(&doc_id, vector)| Hit { doc_id, distance: naive(distance, query, vector) })
            .filter(|hit| hit.distance <= max_distance)
            .collect();
        hits.sort_by(Hit::order);
        hits.truncate(limit_max);
        Ok(hits)
    }

    /// Distance of one document to `query`; `None` if the document is not there or the query does not fit.
    #[must_use]
    pub fn distance_to(&self, doc_id: DocId, query: &[f32]) -> Option<f32> {
        let distance = self.config.read().distance;
        self.vectors.read().get(&doc_id).map(|vector| naive(distance, query, vector))
    }

    /// One bounded step of background work; the caller loops while `more`. Several threads may call it at once.
    pub fn work(&self, _budget: WorkBudget) -> Progress {
        Progress::default()
    }

    /// Vectors waiting to be linked into the graph.
    #[must_use]
    pub fn pending_len(&self) -> usize {
        0
    }

    /// Vectors that a search can return.
    #[must_use]
    pub fn len(&self) -> usize {
        self.vectors.read().len()
    }

    /// Whether there is nothing to return.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Size and state.
    #[must_use]
    pub fn stats(&self) -> IndexStats {
        IndexStats { len: self.len(), ..IndexStats::default() }
    }

    /// Takes over the settings that may change while the index lives: `ef`, its dynamic bounds, `flat_search_cutoff`,
    /// `filter_strategy`, `skip`. The others keep their values.
    pub fn update_config(&self, config: IndexConfig) {
        *self.config.write() = config;
    }

    /// Writes the state to the folder, atomically, while searches and inserts go on. After a crash at any moment the
    /// folder holds the previous or the new state.
    ///
    /// # Errors
    /// Those of the file system; the previous state stays.
    pub fn save(&self) -> io::Result<SaveReport> {
        Ok(SaveReport::default())
    }

    /// Saves for the last time.
    ///
    /// # Errors
    /// Those of [`save`](Self::save).
    pub fn flush_and_close(self) -> io::Result<SaveReport> {
        self.save()
    }
}

fn naive(distance: Distance, a: &[f32], b: &[f32]) -> f32 {
    let pairs = || a.iter().zip(b).map(|(&x, &y)| (f64::from(x), f64::from(y)));
    let dot = |f: &dyn Fn(f64, f64) -> f64| pairs().map(|(x, y)| f(x, y)).sum::<f64>();
    let value = match distance {
        Distance::Cosine => {
            let norms = (dot(&|x, _| x * x) * dot(&|_, y| y * y)).sqrt();
            if norms > 0.0 { (1.0 - dot(&|x, y| x * y) / norms).max(0.0) } else { 1.0 }
        }
        Distance::Dot => -dot(&|x, y| x * y),
        Distance::L2Squared => dot(&|x, y| (x - y) * (x - y)),
        Distance::Manhattan => dot(&|x, y| (x - y).abs()),
        Distance::Hamming => dot(&|x, y| if x == y { 0.0 } else { 1.0 }),
    };
    #[expect(clippy::cast_possible_truncation, reason = "the answer is f32")]
    let value = value as f32;
    value
}
