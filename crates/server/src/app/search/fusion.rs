//! Hybrid search whose weight is all on the vector: scores made of distances.
//!
//! Keyword search is not there yet, so the vectors are the only result set. Its scores are those that the fusion of both
//! would give with `alpha: 1`.

use azimuth_engine::query::{Hit, Score};

/// Hits that a result set has at least, whatever page is wanted: scores are relative to all of them.
const CANDIDATES_MIN: usize = 100;
/// Added to each rank, so that the scores of the first ranks do not differ too much.
const RANK_OFFSET: f32 = 60.0;

/// The weight of the vector search where a request does not give one.
pub(crate) const ALPHA_DEFAULT: f64 = 0.75;

/// How distances become scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fusion {
    /// By rank; by relative score otherwise.
    pub(crate) ranked: bool,
    /// Name of the result set in explanations.
    pub(crate) result_set: &'static str,
}

/// Why a request cannot be answered as a search by vector alone. Front ends put their path before it.
pub(crate) const NEEDS_KEYWORDS: &str =
    "hybrid search with an alpha other than 1 is not supported yet, as it needs keyword search";

/// The refusal of a query for which there is no vector.
pub(crate) fn no_vector(class: &str, query: &str) -> String {
    format!("VectorFromInput was called without vectorizer on class {class} for input {query}")
}

impl Fusion {
    /// Hits that the search must find, so that a page can be cut out of them.
    pub(crate) fn candidates(offset: usize, limit: usize) -> usize {
        offset.saturating_add(limit).max(CANDIDATES_MIN)
    }

    /// The page of the hits (all [`candidates`](Self::candidates), nearest first) with their scores, best first.
    pub(crate) fn fuse(self, mut hits: Vec<Hit>, offset: usize, limit: usize) -> Vec<Hit> {
        let original = |hit: &Hit| 1.0 - hit.distance.unwrap_or_default();
        let (most, least) = (hits.first().map_or(0.0, original), hits.last().map_or(0.0, original));
        for (rank, hit) in hits.iter_mut().enumerate() {
            let (id, original, set) = (hit.object.id, original(hit), self.result_set);
            let (value, explanation) = if self.ranked {
                let value = 1.0 / (rank as f32 + RANK_OFFSET);
                let text = format!("\nHybrid (Result Set vector,{set}) Document {id} contributed {value} to the score");
                (value, text)
            } else {
                // Halves are subtracted, as the difference of two finite scores may be infinite.
                let spread = most / 2.0 - least / 2.0;
                let value = if spread > 0.0 { (original / 2.0 - least / 2.0) / spread } else { 1.0 };
                let text = format!(
                    "\nHybrid (Result Set vector,{set}) Document {id}: original score {original}, normalized score: {value}"
                );
                (value, text)
            };
            hit.score = Some(Box::new(Score { value, explanation }));
        }
        let value = |hit: &Hit| hit.score.as_ref().map_or(0.0, |score| score.value);
        hits.sort_by(|a, b| value(b).total_cmp(&value(a)).then(a.object.id.cmp(&b.object.id)));
        hits.into_iter().skip(offset).take(limit).collect()
    }
}

#[cfg(test)]
mod tests {
    use azimuth_engine::ids::DocId;
    use azimuth_engine::object::{Object, Properties, Vectors};
    use uuid::Uuid;

    use super::*;

    fn check(ranked: bool, distances: &[f32], want: &[(u128, f32)]) {
        let hit = |(n, distance): (usize, &f32)| {
            let id = Uuid::from_u128(n as u128);
            let object =
                Object { id, created_ms: 0, updated_ms: 0, properties: Properties::new(), vectors: Vectors::default() };
            Hit { doc_id: DocId(n as u64), distance: Some(*distance), score: None, object }
        };
        let hits = distances.iter().enumerate().map(hit).collect();
        let fused = Fusion { ranked, result_set: "hybridVector" }.fuse(hits, 1, 2);
        let found: Vec<_> =
            fused.iter().map(|hit| (hit.object.id.as_u128(), hit.score.as_ref().map_or(0.0, |s| s.value))).collect();
        assert_eq!(found, want, "{distances:?}");
    }

    #[test]
    fn distances_become_scores_before_the_page_is_cut() {
        check(false, &[0.0, 0.25, 1.0], &[(1, 0.75), (2, 0.0)]);
        check(false, &[0.5, 0.5, 0.5], &[(1, 1.0), (2, 1.0)]);
        check(false, &[f32::MIN, 0.0, f32::MAX], &[(1, 0.5), (2, 0.0)]);
        check(true, &[0.1, 0.2, 0.3], &[(1, 1.0 / 61.0), (2, 1.0 / 62.0)]);
        check(false, &[], &[]);
    }
}
