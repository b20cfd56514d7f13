//! The queries of the load test asked of the vector index itself, without server and wire between.

use std::time::Duration;

use azimuth_engine::ids::DocId;
use azimuth_engine::vector::{IndexConfig, IndexOptions, SearchRequest, VectorIndex};

use crate::corpus::{Corpus, K, recall};
use crate::meter::{Rate, measure, median};
use crate::peers::work_all;

/// Builds an index over the documents with the settings of a collection whose schema says nothing, saves it as a server
/// does, and has one thread ask it for the [`K`] nearest of each query in turn: the median of `runs` measurements of `span`
/// each, by rate; its mean is the recall against `exact`.
///
/// # Errors
/// When the index cannot be built or saved, or a query fails.
pub fn rate(corpus: &Corpus, exact: &[Vec<usize>], runs: usize, span: Duration) -> std::io::Result<Rate> {
    let failed = |error: azimuth_engine::vector::VectorError| std::io::Error::other(error.to_string());
    let dir = tempfile::tempdir()?;
    let dim = corpus.vectors.dimension;
    let (index, _) = VectorIndex::open(dir.path(), Some(dim), IndexConfig::default(), IndexOptions::default());
    for (doc, row) in (0..corpus.vectors.len()).map(|row| (row as u64, corpus.vectors.row(row))) {
        index.insert(DocId(doc), row).map_err(failed)?;
    }
    work_all(&index);
    index.save()?;
    let call = |number: usize| {
        let number = number % exact.len();
        let request =
            SearchRequest { query: corpus.queries.row(number), k: K, ef: None, max_distance: None, allow: None };
        let found = index.search(&request).map(|hits| {
            let rows: Vec<usize> = hits.iter().map(|hit| hit.doc_id.0 as usize).collect();
            recall(&rows, &exact[number])
        });
        std::future::ready(found.map_err(failed))
    };
    let runs = (0..runs.max(1)).map(|_| measure(1, span, || Ok(&call))).collect::<std::io::Result<_>>()?;
    Ok(median(runs))
}
