//! Merging the hits of several shards.

use std::cmp::Ordering;

use azimuth_engine::ids::{DocId, ShardKey};
use azimuth_engine::query::{DISTANCE_SLACK, Hit, Measured, Near, Query, Rank, ShardHits, SortKeys, combine};
use uuid::Uuid;

/// The query whose hits in each shard suffice for the hits of `query` over all of them.
pub(super) fn query_of_shard(query: &Query) -> Query {
    let mut of_shard = Query { offset: 0, limit: query.offset.saturating_add(query.limit), ..query.clone() };
    if sorts_after(query) {
        of_shard.sort = Vec::new();
        of_shard.include = query.include.with_sorted(&query.sort);
    }
    of_shard
}

/// Whether the page is sorted after it was cut.
pub(super) fn sorts_after(query: &Query) -> bool {
    matches!(query.rank, Rank::Near(_) | Rank::Keyword(_)) && !query.sort.is_empty()
}

/// A hit with its sort keys.
struct Keyed {
    keys: Option<SortKeys>,
    hit: Hit,
}

impl Keyed {
    /// Orders hits of equal rank: by the time of their last write, as the doc ids of one shard do, and then by id.
    fn arrival(&self) -> (i64, Uuid) {
        (self.hit.object.updated_ms, self.hit.object.id)
    }

    fn distance(&self) -> f32 {
        self.hit.distance.unwrap_or_default()
    }
}

/// The hits of `query` before it [sorts them](sorts_after), made of the hits of [`query_of_shard`] in each shard.
pub(super) fn hits(query: &Query, lists: Vec<ShardHits>) -> Vec<Hit> {
    let keyed = |list: ShardHits| {
        let mut keys = list.keys.into_iter();
        list.hits.into_iter().map(|hit| Keyed { keys: keys.next(), hit }).collect::<Vec<_>>()
    };
    let lists: Vec<Vec<Keyed>> = lists.into_iter().map(keyed).collect();
    let keep = query.offset.saturating_add(query.limit);
    let by_id = |a: &Keyed, b: &Keyed| a.hit.object.id.cmp(&b.hit.object.id);
    let by_arrival = |a: &Keyed, b: &Keyed| a.arrival().cmp(&b.arrival());
    let by_distance = |a: &Keyed, b: &Keyed| a.distance().total_cmp(&b.distance()).then(by_arrival(a, b));
    let merged = match &query.rank {
        Rank::Near(_) => merge(lists, keep, by_distance),
        Rank::Keyword(_) => merge(lists, keep, |a, b| a.hit.by_score(&b.hit)),
        Rank::Listing { .. } if !query.sort.is_empty() => match query.filter {
            None => merge(lists, keep, |a, b| a.keys.cmp(&b.keys).then(by_id(a, b))),
            Some(_) => merge(lists, keep, |a, b| a.keys.cmp(&b.keys).then(by_arrival(a, b))),
        },
        Rank::Listing { after: None } if query.filter.is_some() => merge(lists, keep, by_arrival),
        Rank::Listing { .. } => merge(lists, keep, by_id),
    };
    merged.into_iter().skip(query.offset).map(|keyed| keyed.hit).collect()
}

/// The first `keep` elements of lists that are merged by `order`. An element follows those before it in its list even where
/// `order` says otherwise, so that longer results begin with the shorter ones.
pub(super) fn merge<T>(lists: Vec<Vec<T>>, keep: usize, order: impl Fn(&T, &T) -> Ordering) -> Vec<T> {
    let mut lists: Vec<_> = lists.into_iter().map(|list| list.into_iter().peekable()).collect();
    let mut merged = Vec::new();
    while merged.len() < keep {
        let mut first: Option<usize> = None;
        for position in 0..lists.len() {
            first = match first {
                _ if lists[position].peek().is_none() => first,
                None => Some(position),
                Some(other) => {
                    let (left, right) = lists.split_at_mut(position);
                    match (left[other].peek(), right[0].peek()) {
                        (Some(a), Some(b)) if order(b, a).is_lt() => Some(position),
                        _ => Some(other),
                    }
                }
            };
        }
        match first.and_then(|first| lists[first].next()) {
            Some(element) => merged.push(element),
            None => break,
        }
    }
    merged
}

/// A hit before its object is read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ranked {
    pub(super) at: ShardKey,
    pub(super) doc_id: DocId,
    pub(super) distance: f32,
}

/// The page of a search whose distances are combined over the candidates of all shards.
pub(super) fn relative_page(
    near: &Near,
    candidates: Vec<(ShardKey, Vec<Measured>)>,
    offset: usize,
    limit: usize,
) -> Vec<Ranked> {
    // Numbers of the candidates stand for their doc ids, which are those of a shard.
    let (mut all, mut measured) = (Vec::new(), Vec::new());
    for (at, of_shard) in candidates {
        for Measured { doc_id, distances } in of_shard {
            measured.push(Measured { doc_id: DocId(all.len() as u64), distances });
            all.push((at, doc_id));
        }
    }
    let weights: Vec<f32> = near.targets.iter().map(|target| target.weight).collect();
    let max_distance = near.max_distance.map(|max| max + DISTANCE_SLACK);
    let near_enough = |(distance, _): &(f32, DocId)| max_distance.is_none_or(|max| *distance <= max);
    let combined = combine(near.combination, &weights, &measured).into_iter().filter(near_enough);
    let ranked = combined.skip(offset).take(limit).filter_map(|(distance, number)| {
        let (at, doc_id) = *all.get(usize::try_from(number.0).ok()?)?;
        Some(Ranked { at, doc_id, distance })
    });
    ranked.collect()
}

#[cfg(test)]
mod tests {
    use super::merge;

    #[test]
    fn lists_are_merged_up_to_a_limit_and_keep_their_order() {
        let check = |lists: &[&[i32]], keep, want: &[i32]| {
            let lists = lists.iter().map(|list| list.to_vec()).collect();
            assert_eq!(merge(lists, keep, Ord::cmp), want);
        };
        check(&[&[1, 4, 6], &[], &[2, 3, 9]], 5, &[1, 2, 3, 4, 6]);
        check(&[&[1, 4, 6], &[2, 3, 9]], 9, &[1, 2, 3, 4, 6, 9]);
        check(&[&[5, 1], &[2, 3]], 9, &[2, 3, 5, 1]);
        check(&[], 3, &[]);
        check(&[&[1]], 0, &[]);
    }
}
