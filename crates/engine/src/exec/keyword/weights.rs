//! Scores of postings: the formula of [`Keyword`](crate::query::Keyword).

use super::analysis::Analysis;
use crate::query::KeywordStatistics;
use crate::schema::Collection;
use crate::{Error, Result};

/// `k1` where the collection has none.
const K1: f64 = 1.2;
/// `b` where the collection has none.
const B: f64 = 0.75;
/// Sums of scores stay below this power of two.
const SUM_BITS: i32 = 60;
/// Added to the bound of a block: more than the rounding of one score.
const ROUNDING: i64 = 1 << 10;
/// Postings from which on a table of scores is made.
const TABLE_POSTINGS_MIN: usize = 4_096;
/// Frequencies and lengths of that table.
const TABLE_FREQUENCIES: usize = 4;
const TABLE_LENGTHS: usize = 128;

/// The weight of each term in each clause, and the norm of lengths.
pub(super) struct Weights {
    /// A score of 1 as an integer.
    pub scale: f64,
    clauses: Vec<ClauseWeights>,
}

struct ClauseWeights {
    /// Per term of the clause's group, scaled.
    terms: Vec<f64>,
    norm: Norm,
}

/// `k1 * (1 - b + b * length / mean length)`.
#[derive(Clone, Copy)]
struct Norm {
    base: f64,
    per_token: f64,
}

impl Norm {
    #[inline]
    fn of(self, length: u32) -> f64 {
        self.base + self.per_token * f64::from(length)
    }
}

impl Weights {
    /// The weights by these counts, of one shard or of all.
    ///
    /// # Errors
    /// [`Error::Limit`] when the counts are those of other terms: they were made by another version of the schema.
    pub(super) fn new(schema: &Collection, analysis: &Analysis<'_>, statistics: &KeywordStatistics) -> Result<Self> {
        let fits = analysis.clauses.len() == statistics.properties.len()
            && analysis
                .clauses
                .iter()
                .zip(&statistics.properties)
                .all(|(clause, counts)| analysis.groups[clause.group].terms.len() == counts.frequencies.len());
        if !fits {
            return Err(Error::Limit("the collection was changed while it was searched: search again".into()));
        }
        let bm25 = &schema.inverted.bm25;
        let (k1, b) = (bm25.k1.unwrap_or(K1), bm25.b.unwrap_or(B));
        let mut clauses: Vec<ClauseWeights> = Vec::with_capacity(analysis.clauses.len());
        for (clause, counts) in analysis.clauses.iter().zip(&statistics.properties) {
            let mean = if counts.objects == 0 { 1.0 } else { counts.tokens as f64 / counts.objects as f64 };
            let weight = |(at, term): (usize, &super::analysis::QueryTerm)| {
                let idf = idf(statistics.objects, mean_frequency(analysis, statistics, clause.group, at));
                idf * f64::from(term.repetitions) * clause.boost
            };
            let terms = analysis.groups[clause.group].terms.iter().enumerate().map(weight).collect();
            clauses.push(ClauseWeights { terms, norm: Norm { base: k1 * (1.0 - b), per_token: k1 * b / mean } });
        }
        let total: f64 = clauses.iter().flat_map(|clause| &clause.terms).map(|weight| weight.abs()).sum();
        #[expect(clippy::cast_possible_truncation, reason = "logarithms of f64 are small")]
        let scale = if total > 0.0 { 2.0_f64.powi(SUM_BITS - total.log2().ceil() as i32) } else { 1.0 };
        clauses.iter_mut().flat_map(|clause| &mut clause.terms).for_each(|weight| *weight *= scale);
        Ok(Self { scale, clauses })
    }

    /// Scores of the postings of a term, of which there are so many.
    pub(super) fn scorer(&self, clause: usize, term: usize, postings: usize) -> Scorer {
        let of_clause = &self.clauses[clause];
        let mut scorer = Scorer { weight: of_clause.terms[term], norm: of_clause.norm, table: Vec::new() };
        if postings >= TABLE_POSTINGS_MIN {
            let lengths = |frequency: usize| (0..TABLE_LENGTHS).map(move |length| (frequency, length));
            let entries = (1..=TABLE_FREQUENCIES).flat_map(lengths);
            #[expect(clippy::cast_possible_truncation, reason = "small numbers")]
            let score = |(frequency, length)| scorer.computed(frequency as u32, length as u32);
            scorer.table = entries.map(score).collect();
        }
        scorer
    }
}

/// The mean number of objects that have a term, over the properties of a group that have it, rounded down.
fn mean_frequency(analysis: &Analysis<'_>, statistics: &KeywordStatistics, group: usize, term: usize) -> u64 {
    let of_group = analysis.clauses.iter().zip(&statistics.properties).filter(|(clause, _)| clause.group == group);
    let having = of_group.map(|(_, counts)| counts.frequencies[term]).filter(|count| *count > 0);
    let (sum, count) = having.fold((0_u64, 0), |(sum, count), of| (sum.saturating_add(of), count + 1));
    sum.checked_div(count).unwrap_or(0)
}

fn idf(objects: u64, having: u64) -> f64 {
    let (rest, having) = (objects.saturating_sub(having) as f64, having as f64);
    (1.0 + (rest + 0.5) / (having + 0.5)).ln()
}

/// Scores of the postings of one term in one property, as integers.
pub(super) struct Scorer {
    weight: f64,
    norm: Norm,
    /// By frequency from 1 on and by length; empty for a short list.
    table: Vec<i64>,
}

impl Scorer {
    /// The score of a posting.
    #[inline]
    pub(super) fn score(&self, frequency: u32, length: u32) -> i64 {
        let (frequency_at, length_at) = ((frequency as usize).wrapping_sub(1), length as usize);
        if frequency_at < TABLE_FREQUENCIES
            && length_at < TABLE_LENGTHS
            && let Some(&score) = self.table.get(frequency_at * TABLE_LENGTHS + length_at)
        {
            return score;
        }
        self.computed(frequency, length)
    }

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "below 2^60, and the fraction is cut off")]
    fn computed(&self, frequency: u32, length: u32) -> i64 {
        let frequency = f64::from(frequency);
        (self.weight * (frequency / (frequency + self.norm.of(length)))) as i64
    }

    /// A score that no posting with at most that frequency and at least that length exceeds; not below 0, the score of a
    /// document without a posting.
    #[inline]
    pub(super) fn bound(&self, frequency_max: u32, length_min: u32) -> i64 {
        if self.weight > 0.0 { self.score(frequency_max, length_min) + ROUNDING } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_and_bounds_agree_with_the_formula() {
        for (k1, b, mean) in [(1.2, 0.75, 7.5), (0.0, 0.75, 3.0), (1.2, 0.0, 1.0), (2.5, 1.0, 900.0)] {
            let norm = Norm { base: k1 * (1.0 - b), per_token: k1 * b / mean };
            let clauses = vec![ClauseWeights { terms: vec![2.0_f64.powi(58), -2.0_f64.powi(57)], norm }];
            let weights = Weights { scale: 1.0, clauses };
            for (term, weight) in [(0, 2.0_f64.powi(58)), (1, -2.0_f64.powi(57))] {
                let (long, short) = (weights.scorer(0, term, 100_000), weights.scorer(0, term, 3));
                for frequency in 1..9 {
                    for length in frequency..200 {
                        let f = f64::from(frequency);
                        let wanted = weight * f / (f + k1 * (1.0 - b + b * f64::from(length) / mean));
                        let score = long.score(frequency, length);
                        assert_eq!(score, short.score(frequency, length));
                        assert!((score as f64 - wanted).abs() <= wanted.abs() * 1e-12 + 1.0, "{score} {wanted}");
                        assert!(long.bound(frequency, length) >= score.max(0));
                        assert!(
                            long.bound(frequency + 1, length) >= score && long.bound(frequency, length - 1) >= score
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn idf_is_that_of_the_formula() {
        assert!((idf(10, 3) - (1.0_f64 + 7.5 / 3.5).ln()).abs() < 1e-12);
        assert!(idf(3, 10) > 0.0 && idf(0, 0) > 0.0);
    }
}
