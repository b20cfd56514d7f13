//! Diversity: hits chosen one after another so that each is near to the query and far from those chosen before (maximal
//! marginal relevance, Carbonell and Goldstein 1998).

use azimuth_engine::ids::VectorId;
use azimuth_engine::object::Vector;
use azimuth_engine::query::Hit;
use azimuth_engine::vector::{Distance, Pairs};
use azimuth_engine::{Result, interrupt};

use super::boost::to_unit;

/// A choice among the hits of a page.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Diversity {
    /// Hits that are chosen.
    pub(crate) limit: usize,
    /// What nearness to the query counts, 0 to 1; the rest is what distance from the chosen hits counts.
    pub(crate) balance: f32,
    /// The vector that is compared: one of single vectors.
    pub(crate) vector: VectorId,
    /// How it is compared.
    pub(crate) distance: Distance,
}

impl Diversity {
    /// The chosen hits, in the order in which they were chosen, nearest to the query first. A hit without the vector keeps
    /// its position. The chosen hits come without the vector. Hits of a vector search are as near as their distance says
    /// (`by_distance`), others as their score, brought to 0..=1.
    ///
    /// # Errors
    /// The read was interrupted.
    pub(super) fn choose(&self, mut hits: Vec<Hit>, by_distance: bool) -> Result<Vec<Hit>> {
        let pairs = Pairs::new(self.distance);
        let mut candidates = Vec::with_capacity(hits.len());
        for (position, hit) in hits.iter_mut().enumerate() {
            // Removed, so that the prepared vector takes no memory beside it.
            if let Some(Vector::Single(vector)) = hit.object.vectors.remove(&self.vector) {
                let score = hit.score.as_ref().map_or(0.0, |score| score.value);
                let distance = if by_distance { hit.distance.unwrap_or_default() } else { score };
                candidates.push(Candidate { position, distance, vector: pairs.prepare(&vector) });
            }
        }
        if !by_distance {
            let scores = to_unit(&candidates.iter().map(|candidate| candidate.distance).collect::<Vec<_>>());
            candidates.iter_mut().zip(scores).for_each(|(candidate, score)| candidate.distance = 1.0 - score);
        }
        let has_vector: Vec<bool> = {
            let mut flags = vec![false; hits.len()];
            candidates.iter().for_each(|candidate| flags[candidate.position] = true);
            flags
        };
        let mut chosen = chosen(candidates, self.limit, self.balance, |a, b| pairs.between(a, b))?.into_iter();
        let order = has_vector.iter().enumerate().filter_map(|(position, has_vector)| match has_vector {
            true => chosen.next(),
            false => Some(position),
        });
        let order: Vec<usize> = order.take(self.limit).collect();
        let mut hits: Vec<Option<Hit>> = hits.into_iter().map(Some).collect();
        Ok(order.into_iter().filter_map(|position| hits[position].take()).collect())
    }
}

/// A hit that can be chosen.
struct Candidate {
    /// Position among the hits.
    position: usize,
    /// Distance to the query.
    distance: f32,
    /// Prepared.
    vector: Vec<f32>,
}

/// Positions of the chosen candidates. Of equal candidates the first is chosen.
fn chosen(
    mut left: Vec<Candidate>,
    limit: usize,
    balance: f32,
    between: impl Fn(&[f32], &[f32]) -> f32,
) -> Result<Vec<usize>> {
    // The first of the least distances, as the first choice has no other to be far from.
    let mut next = (0..left.len()).reduce(|best, at| if left[at].distance < left[best].distance { at } else { best });
    let mut nearest_chosen = vec![f32::INFINITY; left.len()];
    let mut chosen = Vec::with_capacity(limit.min(left.len()));
    while let Some(at) = next.filter(|_| chosen.len() < limit) {
        interrupt::check()?;
        // Removed in order: of equal candidates the first one stays the first.
        let last = left.remove(at);
        nearest_chosen.remove(at);
        chosen.push(last.position);
        let mut best = f32::NEG_INFINITY;
        next = None;
        for (at, (candidate, nearest)) in left.iter().zip(&mut nearest_chosen).enumerate() {
            *nearest = nearest.min(between(&last.vector, &candidate.vector));
            let score = (1.0 - balance) * *nearest - balance * candidate.distance;
            if score > best || next.is_none() {
                (best, next) = (score, Some(at));
            }
        }
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests;
