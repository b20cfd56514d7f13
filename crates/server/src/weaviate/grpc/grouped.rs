//! `group_by` of a search.

use azimuth_engine::Result;
use azimuth_engine::interrupt;
use azimuth_engine::schema::Collection;
use tonic::Status;

use super::reply::{Ranked, result};
use super::selection::Selection;
use crate::app::search::Search;
use crate::app::search::boost::Boost;
use crate::app::search::grouping::{self, Group, GroupBy};
use crate::app::search::reranking::rank;
use crate::app::shards::HitTree;
use crate::pb::weaviate::{GroupBy as Message, GroupByResult};
use crate::request_memory;
use crate::weaviate::objects::groups;
use crate::weaviate::texts::no_such_property;
use crate::weaviate::weight;

/// What a request groups by.
///
/// # Errors
/// A path of several members, or a property that is not there.
pub(super) fn group_by(
    collection: &Collection,
    given: Option<&Message>,
) -> std::result::Result<Option<GroupBy>, Status> {
    let Some(given) = given else { return Ok(None) };
    let [property] = given.path.as_slice() else {
        let path = given.path.join(" ");
        return Err(Status::unknown(format!("groupby path can only have one entry, received [{path}]")));
    };
    if collection.property(property).is_none() {
        return Err(Status::unknown(no_such_property(property, &collection.name)));
    }
    let count = |count: i32| usize::try_from(count).unwrap_or(0);
    let (groups, per_group) = (count(given.number_of_groups), count(given.objects_per_group));
    Ok(Some(GroupBy { property: property.clone(), groups, per_group }))
}

/// Orders groups anew by their first hits, of which there are more than the page has groups.
#[derive(Debug, Clone)]
pub(super) struct BoostOfGroups {
    boost: Boost,
    offset: usize,
    limit: usize,
}

impl BoostOfGroups {
    /// The search is given the candidates of the boost as its page, and reads what the conditions compare.
    pub(super) fn new(boost: Boost, search: &mut Search) -> Self {
        let (offset, limit) = (search.offset, search.limit);
        boost.add_properties(&mut search.include.properties);
        (search.offset, search.limit) = (0, boost.depth.max(offset.saturating_add(limit)));
        Self { boost, offset, limit }
    }

    fn page(&self, groups: Vec<Group>, hits: &[HitTree]) -> Vec<Group> {
        let first = |group: &Group| group.members.first().and_then(|&position| hits.get(position));
        let ranked: Vec<_> = groups.iter().filter_map(first).map(|tree| (rank(&tree.hit), &tree.hit.object)).collect();
        let order: Vec<usize> = match self.boost.weight == 0.0 {
            true => (0..groups.len()).collect(),
            false => self.boost.order(&ranked).into_iter().map(|(position, _)| position).collect(),
        };
        let mut groups: Vec<Option<Group>> = groups.into_iter().map(Some).collect();
        let page = order.into_iter().skip(self.offset).take(self.limit);
        page.filter_map(|position| groups.get_mut(position)?.take()).collect()
    }
}

/// The groups of these hits. Of a member's metadata only id, distance and vectors are told.
///
/// # Errors
/// When the request may have no more memory.
pub(super) fn results(
    selection: &Selection,
    hits: &[HitTree],
    by: &GroupBy,
    boost: Option<&BoostOfGroups>,
) -> Result<Vec<GroupByResult>> {
    let mut selection = selection.clone();
    selection.metadata.asked.creation_time_unix = false;
    selection.metadata.asked.last_update_time_unix = false;
    let mut results = Vec::new();
    let mut groups = grouping::group(hits.iter().map(|tree| &tree.hit), by, groups::names);
    if let Some(boost) = boost {
        groups = boost.page(groups, hits);
    }
    for group in groups {
        let members = group.members.iter().map(|&position| {
            interrupt::check()?;
            let HitTree { hit, references } = &hits[position];
            let ranked = Ranked { distance: hit.distance.filter(|_| hit.score.is_none()), ..Ranked::default() };
            // A hit is in the group of each member of its list.
            let vectors: usize = hit.object.vectors.values().map(weight::vector).sum();
            request_memory::charge(weight::object(&hit.object) + vectors)?;
            result(&selection, hit.object.clone(), references, ranked)
        });
        let objects = members.collect::<Result<Vec<_>>>()?;
        results.push(GroupByResult {
            name: group.value,
            min_distance: group.distances.0,
            max_distance: group.distances.1,
            number_of_objects: i64::try_from(objects.len()).unwrap_or(i64::MAX),
            objects,
            ..GroupByResult::default()
        });
    }
    Ok(results)
}
