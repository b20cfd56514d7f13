//! How a search is answered, decided from counts alone.
//!
//! A filter may correlate with the query: the nodes around the query are then allowed more or less often than the nodes
//! of the whole graph. The correlation is estimated by a probe before a filtered graph search ([`estimate_by_probe`]),
//! or by the nodes that it finds ([`Filtered::estimate_by_search`]); both decide how the search goes on.

use crate::vector::config::{FilterStrategy, HnswConfig};

/// The way to the answer. Vectors that wait for the graph are scanned beside every graph search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::vector) enum SearchPlan {
    /// Nothing can match.
    Empty,
    /// Compare every vector.
    ScanAll,
    /// Compare every allowed vector.
    ScanAllowed,
    /// Compare every allowed vector, but by its code alone unless it is among the best by that, as a graph search does.
    ScanByCode {
        /// Candidates kept.
        ef: usize,
    },
    /// Search the graph.
    Graph {
        /// Candidates kept.
        ef: usize,
    },
    /// Search the graph and return allowed vectors only; compare all allowed ones if the graph search exceeds
    /// `seen_max` nodes.
    GraphFiltered(Filtered),
}

/// A filtered graph search as planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::vector) struct Filtered {
    /// Candidates kept.
    pub ef: usize,
    /// Hits wanted.
    pub k: usize,
    /// How excluded nodes are treated where they are many.
    pub strategy: FilterStrategy,
    /// Nodes that the graph search may look at.
    pub seen_max: usize,
    /// Allowed nodes in 1000 of the graph.
    pub share_per_mille: usize,
    /// Nodes that may not be returned.
    pub excluded: usize,
}

/// How a graph search that looks through excluded nodes goes on, by the filter correlation that a probe showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::vector) enum ProbeEstimate {
    /// Search with these settings.
    Search {
        /// Candidates kept.
        ef: usize,
        /// How excluded nodes are treated.
        strategy: FilterStrategy,
    },
    /// The filter excludes the neighbourhood of the query: the nearest allowed nodes lie all around it, where no graph
    /// search finds them surely.
    Scan,
}

/// Nodes nearest to the query that a probe looks up in the filter.
pub(in crate::vector) const PROBE: usize = 48;

/// From this share of allowed nodes around the query on, in 1/1000, excluded nodes are traversed like the others.
const SWEEP_PER_MILLE_MIN: usize = 300;

/// The filter is against the query if the share around it is below this part, in 1/100, of the share in the graph.
const AGAINST_PERCENT_MAX: usize = 35;

/// Estimates the filter correlation: `allowed` of the `probed` nodes nearest to the query are allowed.
pub(in crate::vector) fn estimate_by_probe(search: Filtered, probed: usize, allowed: usize) -> ProbeEstimate {
    let here_per_mille = allowed * 1000 / probed.max(1);
    if here_per_mille >= SWEEP_PER_MILLE_MIN {
        return ProbeEstimate::Search { ef: search.ef, strategy: FilterStrategy::Sweeping };
    }
    if here_per_mille * 100 >= search.share_per_mille * AGAINST_PERCENT_MAX {
        return ProbeEstimate::Search { ef: search.ef + search.ef / 2, strategy: search.strategy };
    }
    ProbeEstimate::Scan
}

/// How a graph search that traverses excluded nodes goes on, by the filter correlation that its nodes showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::vector) enum SearchEstimate {
    /// About as many as expected are allowed.
    Enough,
    /// The filter is against the query, but excludes so few that a wider graph search passes them by.
    Wider {
        /// Candidates kept.
        ef: usize,
    },
    /// The filter is against the query: everything allowed must be compared.
    Scan,
}

/// The filter is against the query if the share around it is below one in so many of the share in the graph.
const AGAINST_PARTS: usize = 3;

/// Candidates more for each hit that lies farther out because nearer vectors are excluded. The `k` nearest of one in `r`
/// are among the `k * r` nearest of all, and a graph search finds those with fewer candidates for each than the first
/// `k`.
const WIDER_PER_HIT: usize = 2;

/// See [`Filtered::wide_ef`], where `allowed` of `nodes` may be returned.
fn wide_ef(ef: usize, k: usize, nodes: usize, allowed: usize) -> usize {
    ef + WIDER_PER_HIT * k.saturating_mul(nodes.saturating_sub(allowed)) / allowed.max(1)
}

/// Candidates that a graph search over everything keeps at most.
const WIDE_MAX: usize = 2_048;

impl Filtered {
    /// Candidates of a graph search over everything that finds as much as one for `ef` does without a filter, if the
    /// filter has nothing to do with the query; `None` if they are too many.
    pub(in crate::vector) fn wide_ef(&self) -> Option<usize> {
        let wide = wide_ef(self.ef, self.k, 1000, self.share_per_mille.max(1));
        (wide <= WIDE_MAX).then_some(wide)
    }

    /// Estimates the filter correlation: `allowed` of the `probed` nearest nodes are allowed.
    pub(in crate::vector) fn estimate_by_search(&self, probed: usize, allowed: usize) -> SearchEstimate {
        if allowed * 1000 * AGAINST_PARTS >= probed * self.share_per_mille {
            return SearchEstimate::Enough;
        }
        match 2 * self.excluded + 4 * self.ef {
            ef if ef <= WIDE_MAX => SearchEstimate::Wider { ef },
            _ => SearchEstimate::Scan,
        }
    }
}

/// The inputs of the plan.
#[derive(Debug, Clone, Copy)]
pub(in crate::vector) struct Situation {
    /// Vectors that can be returned.
    pub live: usize,
    /// Dead nodes that graph searches still meet.
    pub tombstones: usize,
    /// Nodes in the graph, if there is one.
    pub linked: usize,
    /// Documents allowed, present or not.
    pub allowed: Option<usize>,
    /// Hits wanted.
    pub k: usize,
    /// Candidates that the caller asked for.
    pub ef: Option<usize>,
}

/// More nodes than estimated by this factor mean that the filter is against the query.
const SURPRISE: usize = 3;

/// Allow lists up to this length are compared exactly wherever they are scanned.
const EXACT_MAX: usize = 1_024;

/// Cost of one step in nanoseconds, at 384 dimensions on the machine of the benches. Only their ratios matter.
mod cost {
    /// A document looked up and its code compared, in order of the documents.
    pub(in crate::vector) const SCANNED: usize = 22;
    /// A node of a graph search met, its code compared.
    pub(in crate::vector) const VISITED: usize = 62;
    /// A node of a graph search looked up in the filter.
    pub(in crate::vector) const FILTERED: usize = 12;
    /// An entry of a list read to look through an excluded node.
    pub(in crate::vector) const LOOKED_THROUGH: usize = 4;
}

/// Chooses the cheapest plan that finds the requested hits.
pub(in crate::vector) fn plan(hnsw: Option<&HnswConfig>, now: Situation) -> SearchPlan {
    if now.k == 0 || now.live == 0 || now.allowed == Some(0) {
        return SearchPlan::Empty;
    }
    let Some(hnsw) = hnsw.filter(|_| now.linked > 0) else {
        return if now.allowed.is_some() { SearchPlan::ScanAllowed } else { SearchPlan::ScanAll };
    };
    let nodes = now.linked.max(1);
    let ef = hnsw.ef_for(now.k, now.ef).min(nodes.max(now.k));
    let Some(allowed) = now.allowed else {
        let scan = now.live * cost::SCANNED;
        let search = visited_nodes(hnsw, nodes, ef) * cost::VISITED;
        return if ef >= now.live || scan <= search {
            SearchPlan::ScanAll
        } else if now.tombstones == 0 {
            SearchPlan::Graph { ef }
        } else {
            SearchPlan::GraphFiltered(Filtered {
                ef,
                k: now.k,
                strategy: FilterStrategy::Sweeping,
                seen_max: SURPRISE * visited_nodes(hnsw, nodes, ef),
                share_per_mille: now.live * 1000 / nodes.max(now.live),
                excluded: now.tombstones,
            })
        };
    };
    let share_per_mille = (allowed.saturating_mul(1000) / nodes).min(1000);
    let rarity = nodes.div_ceil(allowed.min(nodes));
    let scan = allowed * cost::SCANNED;
    let swept = visited_nodes(hnsw, nodes, wide_ef(ef, now.k, nodes, allowed.min(nodes)));
    let sweep = swept * cost::VISITED;
    let (strategy, search, seen_max) = match hnsw.filter_strategy {
        FilterStrategy::Acorn if looking_through(hnsw, nodes, ef, rarity) < sweep => {
            // A graph search that costs as much as the scan would have is on the wrong track.
            (FilterStrategy::Acorn, looking_through(hnsw, nodes, ef, rarity), scan / cost::LOOKED_THROUGH)
        }
        FilterStrategy::Acorn | FilterStrategy::Sweeping => (FilterStrategy::Sweeping, sweep, SURPRISE * swept),
    };
    // A graph search for this many candidates would meet all of them anyway.
    if allowed <= 2 * ef || (allowed <= hnsw.flat_search_cutoff.min(EXACT_MAX) && scan <= search) {
        return SearchPlan::ScanAllowed;
    }
    if allowed <= hnsw.flat_search_cutoff && scan <= search {
        return SearchPlan::ScanByCode { ef };
    }
    let excluded = (now.live + now.tombstones).saturating_sub(allowed);
    SearchPlan::GraphFiltered(Filtered { ef, k: now.k, strategy, seen_max, share_per_mille, excluded })
}

/// Vectors that a search by this plan compares at most; vectors that are not linked into the graph yet are compared
/// beside a graph search. A graph search that does not find enough compares all vectors after all: this is rare enough
/// to be left out.
pub(in crate::vector) fn compared(plan: SearchPlan, hnsw: Option<&HnswConfig>, now: Situation) -> usize {
    let waiting = (now.live + now.tombstones).saturating_sub(now.linked);
    match plan {
        SearchPlan::Empty => 0,
        SearchPlan::ScanAll | SearchPlan::ScanAllowed | SearchPlan::ScanByCode { .. } => now.live,
        SearchPlan::Graph { ef } => waiting + hnsw.map_or(0, |hnsw| visited_nodes(hnsw, now.linked.max(1), ef)),
        SearchPlan::GraphFiltered(filtered) => waiting + filtered.seen_max,
    }
}

/// Cost of a graph search that looks through excluded nodes.
fn looking_through(hnsw: &HnswConfig, nodes: usize, ef: usize, rarity: usize) -> usize {
    let ef = ef + ef / 2;
    let degree = 2 * hnsw.m;
    let scored = visited_nodes(hnsw, nodes, ef) + visited_nodes(hnsw, nodes, PROBE);
    scored * cost::VISITED
        + (scored * rarity.min(degree)).min(nodes) * cost::FILTERED
        + ef * degree * degree * cost::LOOKED_THROUGH
}

/// Nodes that a graph search meets, for an estimate: about a third of the neighbours of each candidate are new.
fn visited_nodes(hnsw: &HnswConfig, nodes: usize, ef: usize) -> usize {
    (ef.saturating_mul(2 * hnsw.m) / 3 + 200).min(nodes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(situation: Situation, expected: &str) {
        let hnsw = HnswConfig { m: 16, ef: 64, ..HnswConfig::default() };
        let got = format!("{:?}", plan(Some(&hnsw), situation));
        assert!(got.starts_with(expected), "{situation:?}: {got}, expected {expected}");
    }

    #[test]
    fn plans() {
        let all = Situation { live: 100_000, tombstones: 0, linked: 100_000, allowed: None, k: 10, ef: None };
        check(all, "Graph { ef: 64 }");
        check(Situation { ef: Some(200), ..all }, "Graph { ef: 200 }");
        check(Situation { ef: Some(3), ..all }, "Graph { ef: 10 }");
        check(Situation { k: 0, ..all }, "Empty");
        check(Situation { live: 0, ..all }, "Empty");
        check(Situation { linked: 0, ..all }, "ScanAll");
        check(Situation { live: 50, linked: 50, ..all }, "ScanAll");
        check(Situation { tombstones: 5, ..all }, "GraphFiltered(Filtered { ef: 64, k: 10, strategy: Sweeping");
        check(Situation { allowed: Some(0), ..all }, "Empty");
        check(Situation { allowed: Some(5), ..all }, "ScanAllowed");
        check(Situation { allowed: Some(1_000), ..all }, "ScanAllowed");
        check(Situation { linked: 0, allowed: Some(90_000), ..all }, "ScanAllowed");
        check(Situation { allowed: Some(4_000), ..all }, "ScanByCode { ef: 64 }");
        check(Situation { allowed: Some(25_000), ..all }, "GraphFiltered(Filtered { ef: 64, k: 10, strategy: Sweeping");
        let many = Situation { live: 10_000_000, linked: 10_000_000, ..all };
        check(Situation { allowed: Some(50_000), ..many }, "GraphFiltered(Filtered { ef: 64, k: 10, strategy: Acorn");
        check(Situation { allowed: Some(90_000), ..all }, "GraphFiltered(Filtered { ef: 64, k: 10, strategy: Sweeping");
    }

    #[test]
    fn steering() {
        let strategy = FilterStrategy::Acorn;
        let search = Filtered { ef: 100, k: 10, strategy, seen_max: 1_000, share_per_mille: 200, excluded: 80_000 };
        let sweep = |ef| ProbeEstimate::Search { ef, strategy: FilterStrategy::Sweeping };
        assert_eq!(estimate_by_probe(search, 48, 40), sweep(100), "the filter is with the query");
        assert_eq!(estimate_by_probe(search, 48, 9), ProbeEstimate::Search { ef: 150, strategy }, "as expected");
        assert_eq!(estimate_by_probe(search, 48, 1), ProbeEstimate::Scan, "the filter is against the query");
        assert_eq!(search.wide_ef(), Some(180));
        assert_eq!(search.estimate_by_search(48, 4), SearchEstimate::Enough);
        assert_eq!(search.estimate_by_search(48, 3), SearchEstimate::Scan, "too many to pass by");
        let few = Filtered { excluded: 500, share_per_mille: 990, ..search };
        assert_eq!(few.estimate_by_search(48, 10), SearchEstimate::Wider { ef: 1400 }, "few to pass by");
        assert_eq!(Filtered { share_per_mille: 10, ..search }.wide_ef(), None, "too many");
    }

    #[test]
    fn cutoff_zero_never_scans_many() {
        let hnsw = HnswConfig { flat_search_cutoff: 0, ..HnswConfig::default() };
        let now = Situation { live: 100_000, tombstones: 0, linked: 100_000, allowed: Some(500), k: 10, ef: None };
        assert!(matches!(plan(Some(&hnsw), now), SearchPlan::GraphFiltered(_)));
    }

    #[test]
    fn no_graph_means_a_scan() {
        let now = Situation { live: 100_000, tombstones: 0, linked: 0, allowed: None, k: 10, ef: None };
        assert_eq!(plan(None, now), SearchPlan::ScanAll);
    }
}
