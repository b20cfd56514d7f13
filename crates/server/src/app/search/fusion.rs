//! Fusion: the hits of several searches, each in an order of its own, brought into one.

use std::cmp::Ordering;
use std::collections::HashMap;

use azimuth_engine::ids::DocId;
use azimuth_engine::query::{Explained, FusedSearch, Score};
use uuid::Uuid;

/// Added to each rank, so that the scores of the first ranks do not differ too much.
const RANK_OFFSET: f32 = 60.0;
/// Scores that differ by less are equal.
const TIE: f32 = 1e-7;

/// How the hits of several searches get one score.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum FusionKind {
    /// The sum of `weight * (score - least) / (greatest - least)`; without a spread `weight`.
    #[default]
    RelativeScore,
    /// The sum of `weight / (rank + 60)`.
    Ranked,
}

/// The hits of one search.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ResultSet {
    /// Which search.
    pub(crate) search: FusedSearch,
    /// The share of its scores.
    pub(crate) weight: f32,
    /// Its hits with their scores, the best first.
    pub(crate) hits: Vec<(Uuid, DocId, f32)>,
}

/// A hit of the fusion.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Fused {
    /// The object.
    pub(crate) id: Uuid,
    /// The version that the last search found.
    pub(crate) doc_id: DocId,
    /// Its score.
    pub(crate) score: f32,
    /// The parts of the score, in the order of the searches.
    parts: Vec<Part>,
}

/// What a search has added to a score.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Part {
    search: FusedSearch,
    /// The score in that search.
    original: f32,
    added: f32,
}

/// The hits of all searches, the best first. Equal scores are in the order of their scores in the last search that found
/// them, and then of their ids.
pub(crate) fn fuse(kind: FusionKind, sets: Vec<ResultSet>) -> Vec<Fused> {
    let mut all: Vec<Fused> = Vec::new();
    let mut known: HashMap<Uuid, usize> = HashMap::new();
    for ResultSet { search, weight, hits } in sets {
        let scores = || hits.iter().map(|(.., score)| *score);
        let (least, most) = (scores().fold(f32::MAX, f32::min), scores().fold(f32::MIN, f32::max));
        // Halves are subtracted, as the difference of two finite scores may be infinite.
        let spread = most / 2.0 - least / 2.0;
        for (rank, (id, doc_id, original)) in hits.into_iter().enumerate() {
            let added = match kind {
                FusionKind::Ranked => weight / (rank as f32 + RANK_OFFSET),
                FusionKind::RelativeScore if spread > 0.0 => weight * ((original / 2.0 - least / 2.0) / spread),
                FusionKind::RelativeScore => weight,
            };
            let part = Part { search, original, added };
            match known.get(&id) {
                Some(&at) => {
                    let fused = &mut all[at];
                    fused.score += added;
                    fused.doc_id = doc_id;
                    fused.parts.push(part);
                }
                None => {
                    known.insert(id, all.len());
                    all.push(Fused { id, doc_id, score: added, parts: vec![part] });
                }
            }
        }
    }
    sort(&mut all);
    all
}

/// Puts hits in order. Scores that differ by less than [`TIE`] from the first of their run are equal.
fn sort(all: &mut [Fused]) {
    all.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.tie(b)));
    let mut start = 0;
    while start < all.len() {
        let first = all[start].score;
        let equal = all[start..].iter().take_while(|fused| first - fused.score < TIE).count().max(1);
        all[start..start + equal].sort_by(Fused::tie);
        start += equal;
    }
}

impl Fused {
    /// The order of hits with equal scores.
    fn tie(&self, other: &Self) -> Ordering {
        let last = |fused: &Self| fused.parts.last().map_or(f32::MIN, |part| part.original);
        last(other).total_cmp(&last(self)).then_with(|| self.id.cmp(&other.id))
    }

    /// The score, explained if so asked, in the order of the searches.
    pub(crate) fn into_score(self, kind: FusionKind, explain: bool) -> Score {
        let explained = |Part { search, original, added }: &Part| match kind {
            FusionKind::Ranked => Explained::Rank { search: *search, added: *added },
            FusionKind::RelativeScore => Explained::Relative { search: *search, original: *original, added: *added },
        };
        let explanation = if explain { self.parts.iter().map(explained).collect() } else { Vec::new() };
        Score { value: self.score, explanation }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(weight: f32, hits: &[(u128, f32)]) -> ResultSet {
        let hits = hits.iter().map(|(id, score)| (Uuid::from_u128(*id), DocId(0), *score)).collect();
        ResultSet { search: FusedSearch::Vector, weight, hits }
    }

    fn check(kind: FusionKind, sets: Vec<ResultSet>, want: &[(u128, f32)]) {
        let fused = fuse(kind, sets);
        let found: Vec<_> = fused.iter().map(|fused| (fused.id.as_u128(), fused.score)).collect();
        assert_eq!(found, want);
    }

    #[test]
    fn relative_scores_are_added_over_the_searches() {
        let kind = FusionKind::RelativeScore;
        let near = || set(0.5, &[(1, 1.0), (2, 0.75), (3, 0.0)]);
        check(kind, vec![near()], &[(1, 0.5), (2, 0.375), (3, 0.0)]);
        let keyword = set(0.5, &[(3, 9.0), (4, 5.0), (2, 1.0)]);
        check(kind, vec![near(), keyword], &[(3, 0.5), (1, 0.5), (2, 0.375), (4, 0.25)]);
        check(kind, vec![set(0.25, &[(2, 3.0), (1, 3.0)])], &[(1, 0.25), (2, 0.25)]);
        let wide = set(1.0, &[(1, f32::MAX), (2, 0.0), (3, f32::MIN)]);
        check(kind, vec![wide], &[(1, 1.0), (2, 0.5), (3, 0.0)]);
        check(kind, vec![set(1.0, &[]), set(1.0, &[])], &[]);
    }

    #[test]
    fn ranks_are_added_over_the_searches() {
        let sets = vec![set(0.5, &[(1, 0.9), (2, 0.8)]), set(0.5, &[(2, 7.0), (3, 1.0)])];
        let want = [(2, 0.5 / 61.0 + 0.5 / 60.0), (1, 0.5 / 60.0), (3, 0.5 / 61.0)];
        check(FusionKind::Ranked, sets, &want);
    }

    #[test]
    fn equal_scores_are_in_the_order_of_the_last_search_and_then_of_ids() {
        let sets = || vec![set(0.5, &[(1, 0.1), (9, 0.1)]), set(0.5, &[(7, 3.0), (2, 3.0)])];
        check(FusionKind::RelativeScore, sets(), &[(2, 0.5), (7, 0.5), (1, 0.5), (9, 0.5)]);
    }

    #[test]
    fn explanations_name_the_parts() {
        let keyword = ResultSet { search: FusedSearch::Keyword, ..set(0.5, &[(1, 2.0)]) };
        let explained = |kind, explain| {
            fuse(kind, vec![set(0.5, &[(1, 0.25)]), keyword.clone()]).remove(0).into_score(kind, explain).explanation
        };
        let [vector, keyword] = [FusedSearch::Vector, FusedSearch::Keyword];
        let relative = |search, original| Explained::Relative { search, original, added: 0.5 };
        assert_eq!(explained(FusionKind::RelativeScore, true), [relative(vector, 0.25), relative(keyword, 2.0)]);
        let ranked = |search| Explained::Rank { search, added: 0.5 / 60.0 };
        assert_eq!(explained(FusionKind::Ranked, true), [ranked(vector), ranked(keyword)]);
        assert_eq!(explained(FusionKind::Ranked, false), []);
    }
}
