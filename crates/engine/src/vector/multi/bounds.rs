//! Which documents are worth comparing, told from the nearest rows of each query row.
//!
//! A document that is not among the nearest rows of a query row is at least as far from it as the farthest of them. So
//! the rows found bound every document's distance from below, those found nowhere included. Comparing in the order of the
//! bounds, the search may stop as soon as the bound of the next document is beyond the worst of the best so far
//! (Fagin's threshold algorithm).

use hashbrown::HashMap;

use crate::vector::Neighbor;
use crate::vector::slots::row_ids::doc_of;

/// What the rows found say about the documents.
#[derive(Debug, Default)]
pub(super) struct Bounds {
    /// Lower bound of every document that was not found at all.
    floor: f64,
    /// For each document found: what its bound is below the floor, and the query row that found it last.
    found: HashMap<u64, (f64, usize)>,
    /// Whether some query row has more rows than were asked for.
    more: bool,
}

impl Bounds {
    /// Takes the rows nearest to query row `at`, ascending; `wanted` were asked for. Query rows come in ascending order.
    pub(super) fn add(&mut self, at: usize, nearest: &[Neighbor], wanted: usize) {
        let Some(farthest) = nearest.last() else { return };
        self.more |= nearest.len() >= wanted;
        self.floor += f64::from(farthest.distance);
        for hit in nearest {
            let gain = f64::from(farthest.distance) - f64::from(hit.distance);
            let (below, last) = self.found.entry(doc_of(hit.doc_id)).or_insert((0.0, usize::MAX));
            // The first of a document's rows is its nearest.
            if *last != at {
                (*below, *last) = (*below + gain, at);
            }
        }
    }

    /// Documents found.
    pub(super) fn len(&self) -> usize {
        self.found.len()
    }

    /// Lower bound of what was not found; `None` if everything was.
    pub(super) fn floor(&self) -> Option<f64> {
        self.more.then_some(self.floor)
    }

    /// The documents found with their lower bounds, ascending.
    pub(super) fn ordered(&self) -> Vec<(f64, u64)> {
        let mut ordered: Vec<(f64, u64)> =
            self.found.iter().map(|(&doc, &(below, _))| (self.floor - below, doc)).collect();
        ordered.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        ordered
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vector::slots::row_ids::row_id;

    #[test]
    fn bounds_are_below_the_distances() {
        let hit = |doc, row, distance| Neighbor { doc_id: row_id(doc, row), distance };
        let mut bounds = Bounds::default();
        bounds.add(0, &[hit(1, 3, -0.9), hit(1, 0, -0.8), hit(2, 0, -0.5)], 3);
        bounds.add(1, &[hit(2, 7, -0.6), hit(3, 0, -0.25)], 3);
        // Document 1 is at -0.9 and at least -0.25, document 2 at -0.5 and -0.6, document 3 at least -0.5 and at -0.25.
        let near = |a: f64, b: f64| (a - b).abs() < 1e-6;
        let ordered = bounds.ordered();
        assert_eq!(ordered.iter().map(|(_, doc)| *doc).collect::<Vec<_>>(), [1, 2, 3]);
        assert!(near(ordered[0].0, -1.15) && near(ordered[1].0, -1.1) && near(ordered[2].0, -0.75));
        assert!(bounds.floor().is_some_and(|floor| near(floor, -0.75)));
        let mut all = Bounds::default();
        all.add(0, &[hit(1, 0, 0.5)], 3);
        assert_eq!(all.floor(), None);
    }
}
