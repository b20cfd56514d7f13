//! The calls of a vector index.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use roaring::RoaringTreemap;

use super::config::HnswConfig;
use super::core::Core;
use super::maintain::work;
use super::persist::{self, Saved};
use super::scan::allow::Allow;
use super::scan::exact::is_live;
use super::scan::query::{Query, check, distance_at};
use super::search::{self, batched};
use super::{
    DocId, IndexConfig, IndexMemory, IndexOptions, IndexStats, LoadReport, Neighbor, SaveReport, SearchRequest,
    StepBudget, StepReport, VectorError, stats,
};

/// The vectors of one (collection shard, vector name). All calls take `&self` and may run at the same time.
///
/// Searches take no lock that inserting, deleting or background work holds for longer than a few words are copied.
pub struct VectorIndex {
    dir: PathBuf,
    options: IndexOptions,
    config: ArcSwap<IndexConfig>,
    /// Absent until the dimension is known, so that an empty index is next to nothing.
    core: OnceLock<Box<Core>>,
    /// Content of the folder; locked while a save goes on.
    saved: Mutex<Saved>,
}

impl VectorIndex {
    /// Opens what `dir` holds, which need not exist. Never fails: what is damaged, torn or of another version or setting
    /// is dropped and reported, and the caller inserts what [`live_ids`](Self::live_ids) lacks.
    ///
    /// `dim` is the length of the vectors if it is known already; else the first vector decides.
    #[must_use]
    pub fn open(dir: &Path, dim: Option<usize>, config: IndexConfig, options: IndexOptions) -> (Self, LoadReport) {
        let core = OnceLock::new();
        let mut saved = Saved::default();
        let mut report = LoadReport::default();
        match persist::load(dir, dim, &config, options) {
            Ok(Some(loaded)) => {
                report.loaded = loaded.core.store.len();
                report.dropped.extend(loaded.codes_dropped);
                saved = loaded.saved;
                core.get_or_init(|| Box::new(loaded.core));
            }
            Ok(None) => {}
            Err(reason) => report.dropped.push(reason),
        }
        if let Some(dim) = dim.filter(|dim| (1..=super::DIM_MAX).contains(dim)) {
            core.get_or_init(|| Box::new(Core::new(dim, &config, options)));
        }
        (
            Self {
                dir: dir.to_owned(),
                options,
                config: ArcSwap::from_pointee(config),
                core,
                saved: Mutex::new(saved),
            },
            report,
        )
    }

    /// Documents present.
    #[must_use]
    pub fn live_ids(&self) -> RoaringTreemap {
        let Some(core) = self.core.get() else { return RoaringTreemap::new() };
        let mut docs: Vec<u64> = core.store.docs.read().docs().collect();
        docs.sort_unstable();
        docs.into_iter().collect()
    }

    /// Adds a vector; the next search sees it. Repeating a document changes nothing (vectors are immutable per document).
    /// Cheap: the vector waits for [`work`](Self::work) and is compared exactly until then.
    ///
    /// # Errors
    /// The vector does not fit; nothing was changed.
    pub fn insert(&self, doc_id: DocId, vector: &[f32]) -> Result<(), VectorError> {
        let config = self.config.load();
        check(vector, self.core.get().map(|core| core.dim))?;
        if config.skip {
            return Ok(());
        }
        let core = self.core.get_or_init(|| Box::new(Core::new(vector.len(), &config, self.options)));
        check(vector, Some(core.dim))?;
        core.store.insert(doc_id, &super::scan::query::prepare(core.distance, vector))?;
        Ok(())
    }

    /// Makes room for `more` vectors at once: to be called before inserting many into a small index, which otherwise moves
    /// each time it has doubled. Without effect before the dimension is known.
    pub fn reserve(&self, more: usize) {
        if let Some(core) = self.core.get().filter(|_| !self.is_skipped()) {
            core.store.reserve(more);
        }
    }

    /// Removes a vector; the next search no longer sees it. `false` if it was not there.
    pub fn delete(&self, doc_id: DocId) -> bool {
        self.core.get().is_some_and(|core| core.store.delete(doc_id))
    }

    /// The nearest, ascending by (distance, document). Returns `k` whenever that many match.
    ///
    /// # Errors
    /// The query does not fit.
    pub fn search(&self, request: &SearchRequest<'_>) -> Result<Vec<Neighbor>, VectorError> {
        let config = self.config.load();
        let Some(core) = self.checked(&config, request.query)? else { return Ok(Vec::new()) };
        Ok(search::search(core, &config, request))
    }

    /// Components of vectors that a search for the `k` nearest without an allow list compares, at most as a rule.
    #[must_use]
    pub fn search_cost(&self, k: usize) -> u64 {
        let cost = self.core().map_or(0, |core| search::cost(core, &self.config.load(), k));
        u64::try_from(cost).unwrap_or(u64::MAX)
    }

    /// As many searches, answered in their order: each as [`search`](Self::search) would, from one moment of the index.
    /// Those that must compare the same vectors read them once. Requests with the same allow list hand in the same
    /// reference.
    pub fn search_many(&self, requests: &[SearchRequest<'_>]) -> Vec<Result<Vec<Neighbor>, VectorError>> {
        let config = self.config.load();
        let checked: Vec<_> = requests.iter().map(|request| self.checked(&config, request.query)).collect();
        let good = requests.iter().zip(&checked).filter(|(_, checked)| matches!(checked, Ok(Some(_))));
        let good: Vec<SearchRequest<'_>> = good.map(|(request, _)| *request).collect();
        let mut found = match self.core() {
            Some(core) if !good.is_empty() => batched::search_many(core, &config, &good),
            _ => Vec::new(),
        }
        .into_iter();
        let answer = |checked: Result<Option<&Core>, VectorError>| match checked? {
            Some(_) => Ok(found.next().unwrap_or_default()),
            None => Ok(Vec::new()),
        };
        checked.into_iter().map(answer).collect()
    }

    /// As [`search`](Self::search) where vectors are rows of documents and the allow list names documents, which have
    /// about `per_document` rows each.
    pub(super) fn search_rows(
        &self,
        request: &SearchRequest<'_>,
        per_document: usize,
    ) -> Result<Vec<Neighbor>, VectorError> {
        let config = self.config.load();
        let Some(core) = self.checked(&config, request.query)? else { return Ok(Vec::new()) };
        let allow = request.allow.map(|allow| Allow::of_rows(allow, per_document));
        Ok(search::search_allowed(core, &config, request, allow))
    }

    /// The parts, once there are any.
    pub(super) fn core(&self) -> Option<&Core> {
        self.core.get().map(|core| &**core)
    }

    /// The settings in force.
    pub(super) fn config(&self) -> IndexConfig {
        **self.config.load()
    }

    /// Whether vectors are accepted and not indexed.
    pub(super) fn is_skipped(&self) -> bool {
        self.config.load().skip
    }

    /// The settings of graph searches.
    pub(super) fn hnsw(&self) -> HnswConfig {
        self.config.load().hnsw().copied().unwrap_or_default()
    }

    /// Everything within `max_distance` (inclusive), the nearest `limit_max` of it, ascending by (distance, document).
    /// Exact: compares every vector (every allowed one).
    ///
    /// # Errors
    /// The query does not fit.
    pub fn search_by_distance(
        &self,
        query: &[f32],
        max_distance: f32,
        allow: Option<&RoaringTreemap>,
        limit_max: usize,
    ) -> Result<Vec<Neighbor>, VectorError> {
        let Some(core) = self.checked(&self.config.load(), query)? else { return Ok(Vec::new()) };
        let request = SearchRequest { query, k: limit_max, ef: None, max_distance: Some(max_distance), allow };
        Ok(search::search_by_distance(core, &request))
    }

    /// Distance of one document to `query`; `None` if the document is not there or the query does not fit.
    #[must_use]
    pub fn distance_to(&self, doc_id: DocId, query: &[f32]) -> Option<f32> {
        let core = self.checked(&self.config.load(), query).ok()??;
        // The view comes first: it keeps the slot in use from the moment the map names it.
        let view = core.store.view();
        let slot = core.store.docs.read().get(doc_id.0)?;
        if !is_live(&view.tables, slot) {
            // It came after the view, or went before the map was asked: the next look is newer.
            drop(view);
            return self.distance_to(doc_id, query);
        }
        let query = Query::new(core.distance, query, &view);
        // SAFETY: the map names only slots whose data are written.
        Some(unsafe { distance_at(&core.kernels, &query, &view, slot) })
    }

    /// One bounded step of background work; the caller loops while [`Progress::more`]. Several threads may call it at once.
    pub fn work(&self, budget: StepBudget) -> StepReport {
        let Some(core) = self.core.get() else { return StepReport::default() };
        work::work(core, &self.config.load(), budget)
    }

    /// Vectors waiting to be linked into the graph.
    #[must_use]
    pub fn pending_len(&self) -> usize {
        self.core.get().map_or(0, |core| core.waiting(&self.config.load()))
    }

    /// Vectors that a search can return.
    #[must_use]
    pub fn len(&self) -> usize {
        self.core.get().map_or(0, |core| core.store.len())
    }

    /// Whether there is nothing to return.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Size and state.
    #[must_use]
    pub fn stats(&self) -> IndexStats {
        self.core.get().map_or_else(IndexStats::default, |core| stats::stats(core, &self.config.load()))
    }

    /// Bytes by part; cheap enough to ask at any time.
    #[must_use]
    pub fn memory(&self) -> IndexMemory {
        self.core.get().map_or_else(IndexMemory::default, |core| stats::memory(core))
    }

    /// Takes over the settings that may change while the index lives: `ef`, its dynamic bounds, `flat_search_cutoff`,
    /// `filter_strategy`, `skip`, and the codes, which [`work`](Self::work) makes while the old ones serve. The others keep
    /// their values.
    pub fn update_config(&self, config: IndexConfig) {
        self.config.rcu(|present| Arc::new(present.updated(&config)));
    }

    /// The index, if there is something in it and the query fits.
    fn checked(&self, config: &IndexConfig, query: &[f32]) -> Result<Option<&Core>, VectorError> {
        if config.skip {
            return Err(VectorError::Skipped);
        }
        let core = self.core.get();
        check(query, core.map(|core| core.dim))?;
        Ok(core.map(|core| &**core))
    }

    /// Writes the state to the folder, atomically, while searches and inserts go on. After a crash at any moment the
    /// folder holds the previous or the new state.
    ///
    /// # Errors
    /// Those of the file system; the previous state stays.
    pub fn save(&self) -> io::Result<SaveReport> {
        self.core
            .get()
            .map_or_else(|| Ok(SaveReport::default()), |core| persist::save(core, &mut self.saved.lock(), &self.dir))
    }

    /// Whether at least `min` vectors, and a quarter of what was saved, came in or into the graph since the last save.
    /// `false` while one goes on.
    #[must_use]
    pub fn has_grown(&self, min: usize) -> bool {
        if self.core.get().is_none() {
            return false;
        }
        let live = self.len();
        let settled = live.saturating_sub(self.pending_len());
        let much = |now: usize, saved: usize| now.saturating_sub(saved) >= min.max(saved / 4);
        self.saved.try_lock().is_some_and(|saved| much(live, saved.live) || much(settled, saved.settled))
    }

    /// Saves for the last time.
    ///
    /// # Errors
    /// Those of [`save`](Self::save).
    pub fn flush_and_close(self) -> io::Result<SaveReport> {
        self.save()
    }
}
