//! `selection` of a vector or hybrid search: diversity among its hits.

use azimuth_engine::schema::Collection;
use tonic::Status;

use super::{hybrid, near};
use crate::app::search::diversity::Diversity;
use crate::app::search::target::Chosen;
use crate::pb::weaviate::selection::{Mmr, Selection as Kind};
use crate::pb::weaviate::{SearchRequest, Selection};

/// The diversity that a request asks for, among the hits of a page of `limit`. `chosen` are the vectors that its search
/// compares.
///
/// # Errors
/// Numbers out of their range, several vectors, or a multi-vector.
pub(super) fn diversity(
    collection: &Collection,
    request: &SearchRequest,
    chosen: &[Chosen<'_>],
    limit: usize,
) -> Result<Option<Diversity>, Status> {
    let selection = |selection: &Option<Selection>| {
        let Kind::Mmr(mmr) = selection.and_then(|selection| selection.selection)?;
        Some(mmr)
    };
    let (near_vector, near_object) = (&request.near_vector, &request.near_object);
    let of_near = near_vector.as_ref().map(|near| &near.selection).or(near_object.as_ref().map(|near| &near.selection));
    if let Some(mmr) = of_near.and_then(selection) {
        return of(chosen, mmr, limit).map(Some);
    }
    let Some(hybrid) = &request.hybrid_search else { return Ok(None) };
    let Some(mmr) = selection(&hybrid.selection) else { return Ok(None) };
    // A hybrid search that compares no vectors has targets all the same.
    of(&near::targets(collection, &hybrid::with_targets(hybrid))?, mmr, limit).map(Some)
}

fn of(chosen: &[Chosen<'_>], given: Mmr, query_limit: usize) -> Result<Diversity, Status> {
    let refuse = |why: String| Err(Status::unknown(format!("MMR {why}")));
    let (limit, balance) = (given.limit.unwrap_or_default() as usize, given.balance.unwrap_or_default());
    if limit == 0 {
        return refuse("limit must be at least 1".to_owned());
    }
    if limit > query_limit {
        return refuse(format!("limit ({limit}) cannot be larger than the query limit ({query_limit})"));
    }
    if !(0.0..=1.0).contains(&balance) {
        return refuse("balance must be between 0 and 1".to_owned());
    }
    let target = match chosen {
        [only] => only,
        _ => return refuse(format!("selection is not supported with several target vectors ({})", chosen.len())),
    };
    if target.config.multi {
        let name = target.name;
        return refuse(format!("selection is not supported with multi-vector indexes (target vector {name:?})"));
    }
    Ok(Diversity { limit, balance, vector: target.config.id, distance: target.config.index.distance })
}
