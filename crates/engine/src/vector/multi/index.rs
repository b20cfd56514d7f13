//! The calls of an index of multi-vectors.

use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use hashbrown::HashSet;
use roaring::RoaringTreemap;

use super::bounds::Bounds;
use super::muvera::{Encoder, Muvera};
use super::score::{RowQuery, of_rows, score};
use crate::ids::DocId;
use crate::interrupt;
use crate::vector::core::Core;
use crate::vector::distance::Kernels;
use crate::vector::scan::query::check;
use crate::vector::scan::top::Top;
use crate::vector::slots::row_ids::{QUERY_ROWS_MAX, ROWS_MAX, first_row_of, row_id, whole};
use crate::vector::{
    Distance, IndexConfig, IndexOptions, LoadReport, Neighbor, SearchRequest, VectorError, VectorIndex,
};

/// The multi-vectors of one (collection shard, vector name). Like [`VectorIndex`] derived state with the same rule of
/// recovery; all calls take `&self` and may run at the same time.
pub struct MultiIndex {
    distance: Distance,
    form: Form,
    /// Rows, or encodings of documents.
    vectors: VectorIndex,
    /// Documents present.
    documents: AtomicUsize,
}

/// The content of the index of vectors.
enum Form {
    /// Every row.
    Rows,
    /// One encoding of each document. The encoder waits for the dimension to be known.
    Encoded { settings: Muvera, seed: u64, encoder: OnceLock<Encoder> },
}

/// A search for the `k` nearest documents.
#[derive(Debug, Clone, Copy)]
pub struct MultiRequest<'a> {
    /// Length of a row.
    pub dim: usize,
    /// The rows asked for, `[rows, dim]`, finite, 1 to [`QUERY_ROWS_MAX`] rows.
    pub rows: &'a [f32],
    /// Most hits to return.
    pub k: usize,
    /// Hits farther than this are left out (inclusive; the caller adds its slack).
    pub max_distance: Option<f32>,
    /// Only these documents may be returned.
    pub allow: Option<&'a RoaringTreemap>,
}

/// Reads the rows `[rows, dim]` of these documents, in any order; those that are not there are left out. An index of
/// encodings asks for them, because it does not hold the rows itself.
pub type Fetch<'f> = dyn FnMut(&RoaringTreemap, &mut dyn FnMut(DocId, &[f32])) + 'f;

/// Documents compared exactly for a hit wanted, and at least.
const COMPARED_PER_HIT: usize = 8;
const COMPARED_MIN: usize = 256;

/// Rows of a graph search's price beside the documents that it has to compare afterwards.
const WALK_ROWS: usize = 2_048;

/// How often the search asks for more rows of each query row, and how many times as many.
const ROUNDS_MAX: usize = 2;
const DEEPER: usize = 4;

/// Documents compared between two looks at the bound.
const STRIDE: usize = 32;

impl MultiIndex {
    /// As [`VectorIndex::open`]; `dim` is the length of a row. With `muvera` encodings are kept, else rows.
    #[must_use]
    pub fn open(
        dir: &Path,
        dim: Option<usize>,
        config: IndexConfig,
        muvera: Option<Muvera>,
        options: IndexOptions,
    ) -> (Self, LoadReport) {
        let inner = |distance| IndexConfig { distance, ..config };
        let (form, (vectors, mut report)) = match muvera {
            None => (Form::Rows, VectorIndex::open(dir, dim, inner(of_rows(config.distance)), options)),
            Some(settings) => {
                let encoder = dim.map(|dim| Encoder::new(settings, dim, options.seed));
                let length = encoder.as_ref().map(Encoder::encoded_dim);
                let encoder = encoder.map_or_else(OnceLock::new, OnceLock::from);
                let form = Form::Encoded { settings, seed: options.seed, encoder };
                (form, VectorIndex::open(dir, length, inner(Distance::Dot), options))
            }
        };
        let this = Self { distance: config.distance, form, vectors, documents: AtomicUsize::new(0) };
        if matches!(this.form, Form::Rows) {
            let (_, torn) = whole(&this.vectors.live_ids());
            for row in torn {
                this.vectors.delete(row);
            }
        }
        let documents = this.live_ids().len();
        report.loaded = usize::try_from(documents).unwrap_or(usize::MAX);
        this.documents.store(report.loaded, Ordering::Relaxed);
        (this, report)
    }

    /// Documents present.
    #[must_use]
    pub fn live_ids(&self) -> RoaringTreemap {
        let ids = self.vectors.live_ids();
        match self.form {
            Form::Rows => whole(&ids).0,
            Form::Encoded { .. } => ids,
        }
    }

    /// Number of documents present, about.
    #[must_use]
    pub fn len(&self) -> usize {
        self.documents.load(Ordering::Relaxed)
    }

    /// Whether there is nothing to return.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The index of what is kept, for background work, saving and figures. Its vectors are rows or encodings.
    #[must_use]
    pub fn vectors(&self) -> &VectorIndex {
        &self.vectors
    }

    /// Adds a document of `rows`, `[rows, dim]`; the next search sees it. Repeating a document changes nothing.
    ///
    /// # Errors
    /// The rows do not fit; nothing was changed.
    pub fn insert(&self, doc_id: DocId, dim: usize, rows: &[f32]) -> Result<(), VectorError> {
        self.check(dim, rows, ROWS_MAX)?;
        let new = self.holds(doc_id).is_none_or(|held| !held);
        match &self.form {
            Form::Encoded { settings, seed, encoder } => {
                let encoder = encoder.get_or_init(|| Encoder::new(*settings, dim, *seed));
                self.vectors.insert(doc_id, &encoder.document(rows))?;
            }
            Form::Rows => {
                for (at, row) in rows.chunks_exact(dim).enumerate().rev() {
                    if let Err(error) = self.vectors.insert(row_id(doc_id.0, at), row) {
                        for there in at..rows.len() / dim {
                            self.vectors.delete(row_id(doc_id.0, there));
                        }
                        return Err(error);
                    }
                }
            }
        }
        if new && self.holds(doc_id) == Some(true) {
            self.documents.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Removes a document; the next search no longer sees it. `false` if it was not there.
    pub fn delete(&self, doc_id: DocId) -> bool {
        let gone = match self.form {
            Form::Encoded { .. } => self.vectors.delete(doc_id),
            Form::Rows => {
                let gone = self.vectors.delete(row_id(doc_id.0, 0));
                let mut row = 1;
                while gone && row < ROWS_MAX && self.vectors.delete(row_id(doc_id.0, row)) {
                    row += 1;
                }
                gone
            }
        };
        if gone {
            self.documents.fetch_sub(1, Ordering::Relaxed);
        }
        gone
    }

    /// The nearest, ascending by (distance, document); `k` of them whenever that many match.
    ///
    /// # Errors
    /// The query does not fit.
    pub fn search(&self, request: &MultiRequest<'_>, fetch: &mut Fetch<'_>) -> Result<Vec<Neighbor>, VectorError> {
        let Some(core) = self.checked(request)? else { return Ok(Vec::new()) };
        let query = RowQuery::new(self.distance, request.dim, request.rows);
        let documents = self.documents.load(Ordering::Relaxed);
        let allowed = request.allow.map_or(u64::MAX, RoaringTreemap::len);
        let allowed = usize::try_from(allowed).unwrap_or(usize::MAX).min(documents);
        let k = request.k.min(documents);
        let compared_max = k.saturating_mul(COMPARED_PER_HIT).max(COMPARED_MIN);
        let top = Top::new(k, request.max_distance.unwrap_or(f32::INFINITY), false);
        if k == 0 || allowed == 0 {
            return Ok(Vec::new());
        }
        match &self.form {
            Form::Rows => {
                let per_document = self.vectors.len().div_ceil(documents.max(1)).max(1);
                let scanned = allowed.saturating_mul(per_document);
                let no_graph = core.store.view().graph.is_none();
                if no_graph || scanned <= compared_max.saturating_mul(per_document) + WALK_ROWS {
                    return Ok(self.scan(core, &query, request, top));
                }
                let mut search = RowSearch { index: self, core, query: &query, request, per_document, top };
                search.run(compared_max)?;
                let hits = search.top.into_hits();
                // What a graph search is sure to have found is everything near; if that is too little, the rest is far.
                if hits.len() < k.min(allowed) && request.max_distance.is_none() {
                    let top = Top::new(k, f32::INFINITY, false);
                    return Ok(self.scan(core, &query, request, top));
                }
                Ok(hits)
            }
            Form::Encoded { encoder, .. } => {
                let Some(encoder) = encoder.get() else { return Ok(Vec::new()) };
                let encoded = encoder.query(query.values());
                let near = self.vectors.search(&SearchRequest {
                    query: &encoded,
                    k: compared_max,
                    ef: None,
                    max_distance: None,
                    allow: request.allow,
                })?;
                let near = near.into_iter().map(|hit| hit.doc_id.0).collect();
                Ok(self.fetched(&query, &near, top, fetch))
            }
        }
    }

    /// Everything within `max_distance` (inclusive), the nearest `k` of it, ascending by (distance, document). Exact.
    ///
    /// # Errors
    /// The query does not fit.
    pub fn search_by_distance(
        &self,
        request: &MultiRequest<'_>,
        fetch: &mut Fetch<'_>,
    ) -> Result<Vec<Neighbor>, VectorError> {
        let Some(core) = self.checked(request)? else { return Ok(Vec::new()) };
        let query = RowQuery::new(self.distance, request.dim, request.rows);
        let top = Top::new(request.k, request.max_distance.unwrap_or(f32::INFINITY), false);
        match self.form {
            Form::Rows => Ok(self.scan(core, &query, request, top)),
            Form::Encoded { .. } => {
                let live = self.vectors.live_ids();
                let docs = request.allow.map_or_else(|| live.clone(), |allow| &live & allow);
                Ok(self.fetched(&query, &docs, top, fetch))
            }
        }
    }

    /// Distance of one document to the rows of a query; `None` if it is not there or the query does not fit.
    #[must_use]
    pub fn distance_to(&self, doc_id: DocId, dim: usize, rows: &[f32], fetch: &mut Fetch<'_>) -> Option<f32> {
        let only = [doc_id.0].into_iter().collect();
        let request = MultiRequest { dim, rows, k: 1, max_distance: None, allow: Some(&only) };
        let hits = self.search_by_distance(&request, fetch).ok()?;
        hits.first().map(|hit| hit.distance)
    }

    /// Compares every document that may be returned.
    fn scan(&self, core: &Core, query: &RowQuery, request: &MultiRequest<'_>, mut top: Top) -> Vec<Neighbor> {
        // The view comes first: it keeps the slots in use from the moment the map names them.
        let view = core.store.view();
        let offer = |doc, distance| top.offer(distance, doc);
        match request.allow {
            Some(allow) => score(core, &view, query, allow.iter(), offer),
            None => {
                let docs: Vec<u64> = core.store.docs.read().docs().filter_map(first_row_of).collect();
                score(core, &view, query, docs.into_iter(), offer);
            }
        }
        top.into_hits()
    }

    /// Compares documents whose rows lie elsewhere.
    fn fetched(&self, query: &RowQuery, docs: &RoaringTreemap, mut top: Top, fetch: &mut Fetch<'_>) -> Vec<Neighbor> {
        let kernels = Kernels::of(of_rows(self.distance));
        fetch(docs, &mut |doc_id, rows| {
            if !rows.is_empty() {
                top.offer(query.distance_to(&kernels, rows), doc_id.0);
            }
        });
        top.into_hits()
    }

    /// Whether a document is there; `None` while the index is empty.
    fn holds(&self, doc_id: DocId) -> Option<bool> {
        let id = match self.form {
            Form::Rows => row_id(doc_id.0, 0),
            Form::Encoded { .. } => doc_id,
        };
        self.vectors.core().map(|core| core.store.docs.read().get(id.0).is_some())
    }

    /// The index, if there is something in it and the query fits.
    fn checked(&self, request: &MultiRequest<'_>) -> Result<Option<&Core>, VectorError> {
        if self.vectors.is_skipped() {
            return Err(VectorError::Skipped);
        }
        self.check(request.dim, request.rows, QUERY_ROWS_MAX)?;
        Ok(self.vectors.core())
    }

    /// Checks what is promised of every multi-vector.
    fn check(&self, dim: usize, rows: &[f32], rows_max: usize) -> Result<(), VectorError> {
        let expected = match &self.form {
            Form::Rows => self.vectors.core().map(|core| core.dim),
            Form::Encoded { encoder, .. } => encoder.get().map(Encoder::dim),
        };
        if let Some(expected) = expected.filter(|&expected| expected != dim) {
            return Err(VectorError::Dimension { expected, actual: dim });
        }
        if dim == 0 || rows.is_empty() || !rows.len().is_multiple_of(dim) {
            return Err(VectorError::DimensionRange(rows.len().min(dim)));
        }
        if rows.len() / dim > rows_max {
            return Err(VectorError::Rows { max: rows_max, actual: rows.len() / dim });
        }
        rows.chunks_exact(dim).try_for_each(|row| check(row, expected))
    }
}

/// A search by the nearest rows of each query row.
struct RowSearch<'a> {
    index: &'a MultiIndex,
    core: &'a Core,
    query: &'a RowQuery,
    request: &'a MultiRequest<'a>,
    /// Rows of a document, about.
    per_document: usize,
    top: Top,
}

impl RowSearch<'_> {
    /// Looks for rows, compares their documents, and does so again with more rows if they were of few documents and one
    /// that no row was found of could be among the best. Compares `compared_max` documents at most.
    fn run(&mut self, compared_max: usize) -> Result<(), VectorError> {
        let hnsw = self.index.vectors.hnsw();
        let mut depth = hnsw.ef_for(self.request.k, None);
        let mut compared = HashSet::new();
        for _ in 0..ROUNDS_MAX {
            let bounds = self.nearest_rows(depth)?;
            self.compare(&bounds, &mut compared, compared_max);
            let sure = bounds.floor().is_none_or(|floor| floor >= f64::from(self.top.bound()));
            if sure || bounds.len() >= compared_max {
                break;
            }
            depth = depth.saturating_mul(DEEPER);
        }
        Ok(())
    }

    fn nearest_rows(&self, depth: usize) -> Result<Bounds, VectorError> {
        let mut bounds = Bounds::default();
        for (at, row) in self.query.rows().enumerate().take_while(|_| !interrupt::is_raised()) {
            let request =
                SearchRequest { query: row, k: depth, ef: None, max_distance: None, allow: self.request.allow };
            bounds.add(at, &self.index.vectors.search_rows(&request, self.per_document)?, depth);
        }
        Ok(bounds)
    }

    /// Compares documents in the order of their bounds until the next cannot be among the best.
    fn compare(&mut self, bounds: &Bounds, compared: &mut HashSet<u64>, compared_max: usize) {
        let Self { core, query, top, .. } = self;
        let ordered = bounds.ordered();
        let view = core.store.view();
        for stride in ordered.chunks(STRIDE) {
            if stride.first().is_some_and(|&(lower, _)| lower > f64::from(top.bound()))
                || compared.len() >= compared_max
            {
                return;
            }
            let docs = stride.iter().map(|&(_, doc)| doc).filter(|&doc| compared.insert(doc));
            score(core, &view, query, docs, |doc, distance| top.offer(distance, doc));
        }
    }
}
