//! Plans: how a query will be answered, decided from its shape and a few counts before any row is read.

use std::fmt;

use super::{Combination, Near, Query, Rank};
use crate::ids::VectorId;

/// How a query is answered. `Display` is one line, stable enough for tests.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Where the hits come from, and in which order.
    pub path: AccessPath,
    /// Objects that match the filter; `None` without one.
    pub matches: Option<u64>,
    /// Sort keys applied to the hits.
    pub sort: Vec<String>,
    /// Hits left out at the start.
    pub offset: usize,
    /// Hits returned at most.
    pub limit: usize,
}

/// Where hits come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessPath {
    /// Nothing can match.
    Nothing,
    /// The ids in byte order, from the cursor on.
    Ids,
    /// The matches in the order of their doc ids.
    DocIds,
    /// All candidates are read and sorted.
    Sorted,
    /// The vector index looks for this many nearest; it chooses between scan and graph search by the size of the allow list.
    Nearest {
        /// Which vector.
        vector: VectorId,
        /// How many.
        k: usize,
    },
    /// The vector index compares every candidate and keeps those within the distance.
    WithinDistance {
        /// Which vector.
        vector: VectorId,
    },
    /// Each of several targets names its candidates, whose distances are then combined.
    Combined {
        /// How many targets.
        targets: usize,
        /// Candidates of each target, at most; `None` for all within the distance.
        k: Option<usize>,
    },
    /// The postings of the query's terms.
    Keywords {
        /// Hits of the page and before it.
        k: usize,
    },
}

/// The counts by which the planner decides.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cardinalities {
    /// Objects that can be returned.
    pub live: u64,
    /// Objects that match the filter.
    pub matches: Option<u64>,
    /// Objects that have the target vector; of several targets the greatest number.
    pub with_vector: u64,
}

/// Beyond this many nearest neighbours a scan of everything is cheaper than a graph search.
const NEAREST_MAX: usize = 10_000;

impl Plan {
    /// Decides how `query` is answered.
    pub(crate) fn of(query: &Query, counts: &Cardinalities) -> Self {
        let candidates = counts.matches.unwrap_or(counts.live);
        let path = match &query.rank {
            _ if candidates == 0 || query.limit == 0 => AccessPath::Nothing,
            Rank::Listing { .. } if !query.sort.is_empty() => AccessPath::Sorted,
            Rank::Listing { after: None } if query.filter.is_some() => AccessPath::DocIds,
            Rank::Listing { .. } => AccessPath::Ids,
            Rank::Near(_) if counts.with_vector == 0 => AccessPath::Nothing,
            Rank::Near(near) => nearest(query, near, counts.with_vector, candidates),
            Rank::Keyword(_) => {
                let most = usize::try_from(candidates).unwrap_or(usize::MAX);
                AccessPath::Keywords { k: query.offset.saturating_add(query.limit).min(most) }
            }
        };
        let sort = query.sort.iter().map(|key| {
            let order = if key.descending { "desc" } else { "asc" };
            format!("{} {order}", key.property)
        });
        let (offset, limit) = (query.offset, query.limit);
        Self { path, matches: counts.matches, sort: sort.collect(), offset, limit }
    }
}

fn nearest(query: &Query, near: &Near, with_vector: u64, candidates: u64) -> AccessPath {
    let k = query.offset.saturating_add(query.limit);
    let most = usize::try_from(with_vector).unwrap_or(usize::MAX);
    match (near.targets.as_slice(), near.max_distance) {
        ([only], Some(_)) if k > NEAREST_MAX || u64::try_from(k).is_ok_and(|k| k >= with_vector.min(candidates)) => {
            AccessPath::WithinDistance { vector: only.vector }
        }
        ([only], _) => AccessPath::Nearest { vector: only.vector, k: k.min(most) },
        // An object with one of the `k` least minimum distances is among the `k` nearest of the target by which its
        // distance is least.
        (targets, max_distance) if near.combination == Combination::Minimum => {
            let within = max_distance.is_some() && k > NEAREST_MAX;
            AccessPath::Combined { targets: targets.len(), k: (!within).then_some(k.min(most)) }
        }
        // An object that is distant by one target may be near by all together. Candidates that depend on the page would
        // differ from page to page, so that pages would repeat objects and leave others out.
        (targets, _) => AccessPath::Combined { targets: targets.len(), k: Some(k.max(NEAREST_MAX).min(most)) },
    }
}

impl Plan {
    /// Whether the hits are sorted by something else than a distance or a score.
    pub(crate) fn is_listing(&self) -> bool {
        matches!(self.path, AccessPath::Ids | AccessPath::DocIds | AccessPath::Sorted)
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path {
            AccessPath::Nothing => f.write_str("nothing")?,
            AccessPath::Ids => f.write_str("ids in order")?,
            AccessPath::DocIds => f.write_str("doc ids in order")?,
            AccessPath::Sorted => f.write_str("all candidates")?,
            AccessPath::Nearest { vector, k } => write!(f, "nearest {k} by vector {vector}")?,
            AccessPath::WithinDistance { vector } => write!(f, "within distance by vector {vector}")?,
            AccessPath::Keywords { k } => write!(f, "best {k} by keywords")?,
            AccessPath::Combined { targets, k: Some(k) } => {
                write!(f, "nearest {k} by each of {targets} targets, combined")?;
            }
            AccessPath::Combined { targets, k: None } => {
                write!(f, "within distance by each of {targets} targets, combined")?;
            }
        }
        if let Some(matches) = self.matches {
            write!(f, ", filter matches {matches}")?;
        }
        if !self.sort.is_empty() {
            write!(f, ", sort {}", self.sort.join(", "))?;
        }
        write!(f, ", offset {}, limit {}", self.offset, self.limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::{Filter, FilterValue, Include, Operator, Path, Sort, Subject};
    use uuid::Uuid;

    fn filter() -> Option<Filter> {
        let path = Path { through: Vec::new(), subject: Subject::Id };
        Some(Filter::Compare { path, operator: Operator::Equal, value: FilterValue::Uuid(Uuid::nil()) })
    }

    #[test]
    fn sources_follow_shape_and_counts() {
        let check = |rank: Rank, filter: Option<Filter>, sort: bool, limit, matches, want: &str| {
            let sort = if sort { vec![Sort { property: "p".into(), descending: true }] } else { Vec::new() };
            let query = Query { rank, filter, offset: 0, limit, sort, include: Include::default() };
            let facts = Cardinalities { live: 1_000, matches, with_vector: 900 };
            assert_eq!(Plan::of(&query, &facts).to_string(), want);
        };
        let near = |max_distance| Rank::Near(Near::to(VectorId(2), vec![1.0], max_distance));
        let several = |max_distance| {
            let mut near = Near::to(VectorId(2), vec![1.0], max_distance);
            near.targets.push(near.targets[0].clone());
            Rank::Near(near)
        };
        let listing = |after| Rank::Listing { after };
        check(listing(None), None, false, 10, None, "ids in order, offset 0, limit 10");
        check(listing(None), filter(), false, 10, Some(3), "doc ids in order, filter matches 3, offset 0, limit 10");
        check(
            listing(Some(Uuid::nil())),
            filter(),
            false,
            9,
            Some(3),
            "ids in order, filter matches 3, offset 0, limit 9",
        );
        check(listing(None), None, true, 10, None, "all candidates, sort p desc, offset 0, limit 10");
        check(listing(None), filter(), true, 10, Some(0), "nothing, filter matches 0, sort p desc, offset 0, limit 10");
        check(near(None), None, false, 10, None, "nearest 10 by vector 2, offset 0, limit 10");
        check(near(None), None, false, 5_000, None, "nearest 900 by vector 2, offset 0, limit 5000");
        check(near(Some(0.5)), None, false, 10, None, "nearest 10 by vector 2, offset 0, limit 10");
        check(near(Some(0.5)), None, false, 5_000, None, "within distance by vector 2, offset 0, limit 5000");
        check(near(None), None, false, 0, None, "nothing, offset 0, limit 0");
        let combined = "by each of 2 targets, combined, offset 0, limit";
        check(several(Some(0.5)), None, false, 10, None, &format!("nearest 10 {combined} 10"));
        check(several(None), None, false, 20_000, None, &format!("nearest 900 {combined} 20000"));
        check(several(Some(0.5)), None, false, 20_000, None, &format!("within distance {combined} 20000"));
    }
}
