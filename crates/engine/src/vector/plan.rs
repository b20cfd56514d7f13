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
    WalkFiltered(Filtered),
}

/// A filtered walk as planned. How it goes on is decided once the neighbourhood of the query is known: see [`steer`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Filtered {
    /// Candidates kept.
    pub ef: usize,
    /// How excluded nodes are treated where they are many.
    pub strategy: FilterStrategy,
    /// Nodes that the walk may look at.
    pub seen_max: usize,
    /// Allowed nodes in 1000 of the graph.
    pub share_per_mille: usize,
    /// Nodes that may not be returned.
    pub excluded: usize,
}

/// How a filtered walk goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Steer {
    /// Walk with these settings.
    Walk {
        /// Candidates kept.
        ef: usize,
        /// How excluded nodes are treated.
        strategy: FilterStrategy,
    },
    /// The filter excludes the query's neighbourhood: what is nearest lies all around it, where no walk finds it surely.
    Scan,
}

/// Nodes nearest to the query that are asked whether they are allowed before a filtered walk goes on.
pub(super) const PROBE: usize = 48;

/// From this share of allowed nodes around the query on, in 1/1000, excluded nodes are walked through like the others.
const SWEEP_PER_MILLE_MIN: usize = 300;

/// The filter is against the query if the share around it is below this part, in 1/100, of the share in the graph.
const AGAINST_PERCENT_MAX: usize = 35;

/// Up to this many excluded nodes can simply be walked through.
const WALKED_THROUGH_MAX: usize = 2_000;

/// Goes by how many of the `probed` nodes nearest to the query are allowed.
pub(super) fn steer(walk: Filtered, probed: usize, allowed: usize) -> Steer {
    let here_per_mille = allowed * 1000 / probed.max(1);
    if here_per_mille >= SWEEP_PER_MILLE_MIN {
        return Steer::Walk { ef: walk.ef, strategy: FilterStrategy::Sweeping };
    }
    if here_per_mille * 100 >= walk.share_per_mille * AGAINST_PERCENT_MAX {
        return Steer::Walk { ef: walk.ef + walk.ef / 2, strategy: walk.strategy };
    }
    if walk.excluded <= WALKED_THROUGH_MAX {
        return Steer::Walk { ef: walk.ef * 8, strategy: FilterStrategy::Sweeping };
    }
    Steer::Scan
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
            Plan::WalkFiltered(Filtered {
                ef,
                strategy: FilterStrategy::Sweeping,
                seen_max: now.live,
                share_per_mille: now.live * 1000 / nodes.max(now.live),
                excluded: now.tombstones,
            })
        };
    };
    let share_per_mille = (allowed.saturating_mul(1000) / nodes).min(1000);
    let strategy = if share_per_mille >= SWEEP_PER_MILLE_MIN { FilterStrategy::Sweeping } else { hnsw.filter_strategy };
    let rarity = nodes.div_ceil(allowed.min(nodes));
    let scan = allowed * cost::SCANNED;
    let (seen, walk) = match strategy {
        FilterStrategy::Sweeping => {
            let seen = walked(hnsw, nodes, ef * rarity);
            (seen, seen * (cost::WALKED + cost::FILTERED))
        }
        FilterStrategy::Acorn => {
            let scored = walked(hnsw, nodes, ef + ef / 2);
            let seen = scored * rarity.min(2 * hnsw.m);
            (seen, seen * cost::FILTERED + scored * cost::WALKED)
        }
    };
    let probe = walked(hnsw, nodes, PROBE) * cost::WALKED;
    // A walk for this many candidates would meet all of them anyway.
    if allowed <= 2 * ef || (allowed <= hnsw.flat_search_cutoff && scan <= walk + probe) {
        return Plan::ScanAllowed;
    }
    // A walk that costs as much as the scan would have is on the wrong track.
    let seen_max = (scan / cost::FILTERED).max(4 * seen);
    let excluded = (now.live + now.tombstones).saturating_sub(allowed);
    Plan::WalkFiltered(Filtered { ef, strategy, seen_max, share_per_mille, excluded })
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
        check(Situation { tombstones: 5, ..all }, "WalkFiltered(Filtered { ef: 64, strategy: Sweeping");
        check(Situation { allowed: Some(0), ..all }, "Empty");
        check(Situation { allowed: Some(5), ..all }, "ScanAllowed");
        check(Situation { allowed: Some(1_000), ..all }, "ScanAllowed");
        check(Situation { linked: 0, allowed: Some(90_000), ..all }, "ScanAllowed");
        check(Situation { allowed: Some(25_000), ..all }, "WalkFiltered(Filtered { ef: 64, strategy: Acorn");
        check(Situation { allowed: Some(90_000), ..all }, "WalkFiltered(Filtered { ef: 64, strategy: Sweeping");
    }

    #[test]
    fn steering() {
        let strategy = FilterStrategy::Acorn;
        let walk = Filtered { ef: 100, strategy, seen_max: 1_000, share_per_mille: 200, excluded: 80_000 };
        let sweep = |ef| Steer::Walk { ef, strategy: FilterStrategy::Sweeping };
        assert_eq!(steer(walk, 48, 40), sweep(100), "the filter is with the query");
        assert_eq!(steer(walk, 48, 9), Steer::Walk { ef: 150, strategy }, "as expected");
        assert_eq!(steer(walk, 48, 1), Steer::Scan, "the filter is against the query");
        assert_eq!(
            steer(Filtered { excluded: 500, share_per_mille: 990, ..walk }, 48, 0),
            sweep(800),
            "few to pass by"
        );
    }

    #[test]
    fn cutoff_zero_never_scans_many() {
        let hnsw = HnswConfig { flat_search_cutoff: 0, ..HnswConfig::default() };
        let now = Situation { live: 100_000, tombstones: 0, linked: 100_000, allowed: Some(500), k: 10, ef: None };
        assert!(matches!(plan(Some(&hnsw), now), Plan::WalkFiltered(_)));
    }

    #[test]
    fn no_graph_means_a_scan() {
        let now = Situation { live: 100_000, tombstones: 0, linked: 0, allowed: None, k: 10, ef: None };
        assert_eq!(plan(None, now), Plan::ScanAll);
    }
}
