//! Comparisons of values inside of objects and lists of objects.
//!
//! Comparisons on one property that are joined by `And`, `Or` and `Not` are satisfied by the same element of the innermost
//! list of objects around them. `Not` and `NotEqual` ask for an element that does not match, `IsNull` for one without a
//! value. The index knows which objects have a value at a path and gives candidates ([`candidates`]); where several values
//! or elements are compared, the rows of the candidates decide ([`evaluate`]).
//!
//! Read in this order: [`query`] (the comparisons), [`candidates`], [`positions`] (the values of one object), [`plan`] (which
//! comparisons meet in which list), [`evaluate`].

mod candidates;
mod evaluate;
mod plan;
mod positions;
mod query;
mod set;
mod test;

use roaring::RoaringTreemap;

use super::lookup::Lookup;
use crate::ids::DocId;
use crate::object::codec::{self, Wanted};
use crate::query::{Filter, Projection};
use crate::schema::Property;
use crate::storage::Family;
use crate::{Error, Result, interrupt};
use evaluate::{Decision, Evaluation};
use plan::Planner;
use positions::Positions;
use query::{NestedQuery, Node};
use test::Test;

pub(super) use query::root;

/// Live objects that match operands whose comparisons are all about `root`: all of the operands, or one of them. Of
/// `among` alone, if it is given.
///
/// # Errors
/// [`Error::Filter`] when a path or a value does not fit the schema.
pub(super) fn matches(
    lookup: &Lookup<'_>,
    root: &Property,
    (all, operands): (bool, &[&Filter]),
    among: Option<&RoaringTreemap>,
) -> Result<RoaringTreemap> {
    let mut query = NestedQuery::of(lookup, root, all, operands)?;
    // The property as a whole is null where it has no element: this is decided by object.
    let is_null = matches!(query.node, Node::Leaf(leaf) if query.leaves[leaf].asks_for_no_element());
    if is_null {
        query.leaves.iter_mut().for_each(|leaf| leaf.test = Test::IsNull(false));
    }
    let found = search(lookup, &query, among)?;
    Ok(match (is_null, among) {
        (false, _) => found,
        (true, Some(among)) => among - found,
        (true, None) => lookup.complement(&found),
    })
}

fn search(lookup: &Lookup<'_>, query: &NestedQuery<'_>, among: Option<&RoaringTreemap>) -> Result<RoaringTreemap> {
    let within = |set: RoaringTreemap| match among {
        Some(among) => set & among,
        None => set,
    };
    let candidates = candidates::of(lookup, query, &query.node)?;
    let unindexed = lookup.view.without_nested();
    if !unindexed.is_empty() {
        lookup.context.outdated();
    }
    let candidates_known = within(candidates.set - &unindexed);
    let unknown = within(unindexed);
    if candidates.exact {
        return Ok(verified(lookup, query, &unknown)? | candidates_known);
    }
    verified(lookup, query, &(candidates_known | unknown))
}

/// Those of `candidates` whose rows match.
fn verified(lookup: &Lookup<'_>, query: &NestedQuery<'_>, candidates: &RoaringTreemap) -> Result<RoaringTreemap> {
    let planner = Planner { query };
    let decision = Decision::of(&planner);
    let projection = Projection::of([query.root.name.as_str()]);
    let wanted = Wanted::new(lookup.schema, &projection);
    let mut found = RoaringTreemap::new();
    for doc_id in candidates {
        interrupt::check()?;
        let row = lookup.view.store.get(Family::Objects, &lookup.view.prefix.object(DocId(doc_id)))?;
        let row = row.ok_or_else(|| Error::Damaged(format!("live doc id {doc_id} has no row")))?;
        let object = match codec::decode(&row, &wanted) {
            Ok((_, object)) => object,
            Err(error) => {
                lookup.context.unreadable(DocId(doc_id), &error);
                continue;
            }
        };
        let Some(value) = object.properties.get(&query.root.name) else { continue };
        let positions = Positions::of(query.root, value);
        if Evaluation::new(&planner, &positions).decide(&decision) {
            found.insert(doc_id);
        }
    }
    Ok(found)
}
