//! How a search is answered, decided from counts alone.

use super::config::{FilterStrategy, HnswConfig};

/// The way to the answer. What waits for the graph is scanned beside every walk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plan {
    /// Nothing can match.
    Empty,
    /// Compare every vector.
    ScanAll,
    /// Compare every allowed vector.
    ScanAllowed,
    /// Walk the graph.
    Walk {
        /// Candidates kept.
        ef: usize,
    },
    /// Walk the graph and return allowed vectors only; compare all allowed ones if the walk exceeds `seen_max` nodes.
    WalkFiltered {
        /// Candidates kept.
        ef: usize,
        /// How excluded nodes are treated.
        strategy: FilterStrategy,
        /// Nodes that the walk may look at.
        seen_max: usize,
    },
}

/// What the decision rests on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Situation {
    /// Vectors that can be returned.
    pub live: usize,
    /// Dead nodes that walks still meet.
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

/// Cost of one step in nanoseconds, at 384 dimensions on the machine of the benches. Only their ratios matter.
mod cost {
    /// A document looked up and its code compared, in order of the documents.
    pub(super) const SCANNED: usize = 24;
    /// A node of a walk met, its code compared.
    pub(super) const WALKED: usize = 45;
    /// A node of a walk looked up in the filter.
    pub(super) const FILTERED: usize = 12;
}

/// Above this share of allowed vectors, in 1/100, excluded nodes are walked through like the others.
const SWEEP_PERCENT_MIN: usize = 40;

/// Chooses the cheapest way that finds what is asked.
pub(super) fn plan(hnsw: Option<&HnswConfig>, now: Situation) -> Plan {
    if now.k == 0 || now.live == 0 || now.allowed == Some(0) {
        return Plan::Empty;
    }
    let Some(hnsw) = hnsw.filter(|_| now.linked > 0) else {
        return if now.allowed.is_some() { Plan::ScanAllowed } else { Plan::ScanAll };
    };
    let ef = hnsw.ef_for(now.k, now.ef);
    let nodes = now.linked.max(1);
    let Some(allowed) = now.allowed else {
        let scan = now.live * cost::SCANNED;
        let walk = walked(hnsw, nodes, ef) * cost::WALKED;
        return if ef >= now.live || scan <= walk {
            Plan::ScanAll
        } else if now.tombstones == 0 {
            Plan::Walk { ef }
        } else {
            Plan::WalkFiltered { ef, strategy: FilterStrategy::Sweeping, seen_max: now.live }
        };
    };
    let share_percent = (allowed.saturating_mul(100) / nodes).min(100);
    let strategy =
        if share_percent >= SWEEP_PERCENT_MIN { FilterStrategy::Sweeping } else { hnsw.filter_strategy };
    // The nearest allowed lie farther away than the nearest: a wider walk keeps the recall.
    let ef = if share_percent >= SWEEP_PERCENT_MIN { ef } else { ef + ef / 2 };
    let seen = match strategy {
        FilterStrategy::Sweeping => walked(hnsw, nodes, ef * nodes / allowed.min(nodes)),
        FilterStrategy::Acorn => walked(hnsw, nodes, ef) * (nodes / allowed.min(nodes)).min(2 * hnsw.m),
    };
    let scan = allowed * cost::SCANNED;
    let walk = match strategy {
        FilterStrategy::Sweeping => seen * (cost::WALKED + cost::FILTERED),
        FilterStrategy::Acorn => seen * cost::FILTERED + walked(hnsw, nodes, ef) * cost::WALKED,
    };
    if allowed <= now.k || (allowed <= hnsw.flat_search_cutoff && scan <= walk) {
        return Plan::ScanAllowed;
    }
    // A walk that costs as much as the scan would have is on the wrong track.
    Plan::WalkFiltered { ef, strategy, seen_max: (scan / cost::FILTERED).max(4 * seen) }
}

/// Nodes that a walk meets, for an estimate: about a third of the neighbours of each candidate are new.
fn walked(hnsw: &HnswConfig, nodes: usize, ef: usize) -> usize {
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
        check(all, "Walk { ef: 64 }");
        check(Situation { ef: Some(200), ..all }, "Walk { ef: 200 }");
        check(Situation { ef: Some(3), ..all }, "Walk { ef: 10 }");
        check(Situation { k: 0, ..all }, "Empty");
        check(Situation { live: 0, ..all }, "Empty");
        check(Situation { linked: 0, ..all }, "ScanAll");
        check(Situation { live: 50, linked: 50, ..all }, "ScanAll");
        check(Situation { tombstones: 5, ..all }, "WalkFiltered { ef: 64, strategy: Sweeping");
        check(Situation { allowed: Some(0), ..all }, "Empty");
        check(Situation { allowed: Some(5), ..all }, "ScanAllowed");
        check(Situation { allowed: Some(1_000), ..all }, "ScanAllowed");
        check(Situation { linked: 0, allowed: Some(90_000), ..all }, "ScanAllowed");
        check(Situation { allowed: Some(30_000), ..all }, "WalkFiltered { ef: 96, strategy: Acorn");
        check(Situation { allowed: Some(90_000), ..all }, "WalkFiltered { ef: 64, strategy: Sweeping");
    }

    #[test]
    fn cutoff_zero_never_scans_many() {
        let hnsw = HnswConfig { flat_search_cutoff: 0, ..HnswConfig::default() };
        let now = Situation { live: 100_000, tombstones: 0, linked: 100_000, allowed: Some(500), k: 10, ef: None };
        assert!(matches!(plan(Some(&hnsw), now), Plan::WalkFiltered { .. }));
    }

    #[test]
    fn no_graph_means_a_scan() {
        let now = Situation { live: 100_000, tombstones: 0, linked: 0, allowed: None, k: 10, ef: None };
        assert_eq!(plan(None, now), Plan::ScanAll);
    }
}
