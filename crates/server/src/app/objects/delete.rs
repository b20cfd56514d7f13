//! Deleting all objects that match a filter, so many per call.

use azimuth_engine::command::{At, Command, Outcome};
use azimuth_engine::query::Filter;
use uuid::Uuid;

use crate::app::{App, AppResult};

/// What a deletion by filter did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Deleted {
    /// How many objects match, beyond the limit too.
    pub(crate) matches: u64,
    /// Those that were within the limit, in doc id order, and whether they are gone (on a dry run: would be).
    pub(crate) objects: Vec<(Uuid, bool)>,
}

/// Deletes the first `QUERY_MAXIMUM_RESULTS` objects that match; on a dry run only finds them.
///
/// # Errors
/// What the search or the write ends with.
pub(crate) async fn matching(app: &App, at: At, filter: Filter, dry_run: bool) -> AppResult<Deleted> {
    let limit = app.settings.query_maximum_results;
    let (ids, matches) = app.read(move |data| data.matching_ids(at, &filter, limit)).await?;
    if dry_run {
        return Ok(Deleted { matches, objects: ids.into_iter().map(|id| (id, true)).collect() });
    }
    let outcomes = app.propose(ids.iter().map(|id| Command::Delete { at, id: *id }).collect()).await?;
    let gone = |outcome| matches!(outcome, Outcome::Done | Outcome::NotFound);
    Ok(Deleted { matches, objects: ids.into_iter().zip(outcomes.into_iter().map(gone)).collect() })
}
