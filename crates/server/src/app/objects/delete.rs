//! Deleting all objects that match a filter, so many per call.

use std::collections::HashMap;

use azimuth_engine::command::{Command, Outcome};
use azimuth_engine::ids::ShardKey;
use azimuth_engine::query::Filter;
use uuid::Uuid;

use crate::app::access::check_target;
use crate::app::shards::{FoundIn, ShardTarget};
use crate::app::{App, AppResult};
use crate::auth::{Access, Permit};

/// How often an object that is written again meanwhile is checked again.
const ATTEMPTS_MAX: usize = 8;

/// What a deletion by filter did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Deleted {
    /// How many objects match, beyond the limit too. Those that were overwritten before they were deleted, and match no
    /// more, are not counted.
    pub(crate) matches: u64,
    /// Those that were within the limit, in the order of a listing, and whether they are gone (on a dry run: would be).
    pub(crate) objects: Vec<(Uuid, bool)>,
    /// Whether nothing was deleted because a shard is read-only.
    pub(crate) read_only: bool,
}

/// Deletes the first `QUERY_MAXIMUM_RESULTS` objects that match; on a dry run only finds them.
///
/// Each object is deleted in the version that was found to match. One that was overwritten meanwhile is deleted in its new
/// version if that matches too, and left alone if not; one that is overwritten again and again is reported as not deleted.
/// Of shards of which one is `read_only` nothing is deleted.
///
/// # Errors
/// What the search or the write ends with.
pub(crate) async fn matching(
    app: &App,
    permit: &Permit,
    target: ShardTarget,
    filter: Filter,
    dry_run: bool,
    read_only: bool,
) -> AppResult<Deleted> {
    check_target(permit, Access::Delete, &target)?;
    let limit = app.settings.query_maximum_results;
    let (shards_of_target, first) = (target.clone(), filter.clone());
    let (found, mut matches) = app.read(move |shards| shards.matching(&shards_of_target, &first, limit)).await?;
    if dry_run || read_only {
        let fate = |found: &FoundIn| (found.version.id, dry_run);
        return Ok(Deleted { matches, objects: found.iter().map(fate).collect(), read_only: !dry_run });
    }
    let ids: Vec<Uuid> = found.iter().map(|found| found.version.id).collect();
    let mut fates: HashMap<Uuid, bool> = HashMap::with_capacity(ids.len());
    let mut due = found;
    for _ in 0..ATTEMPTS_MAX {
        let changed = delete(app, due, &mut fates).await?;
        if changed.is_empty() {
            due = Vec::new();
            break;
        }
        let (target, filter) = (target.clone(), filter.clone());
        let (before, asked) = (changed.len() as u64, changed);
        due = app.read(move |shards| shards.matching_of(&target, &asked, &filter)).await?;
        matches = matches.saturating_sub(before - due.len() as u64);
    }
    fates.extend(due.iter().map(|found| (found.version.id, false)));
    let objects = ids.into_iter().filter_map(|id| Some((id, *fates.get(&id)?))).collect();
    Ok(Deleted { matches, objects, read_only: false })
}

/// Deletes these versions, notes which objects are gone, and returns the objects that have another version by now.
async fn delete(
    app: &App,
    versions: Vec<FoundIn>,
    fates: &mut HashMap<Uuid, bool>,
) -> AppResult<Vec<(ShardKey, Uuid)>> {
    let command = |found: &FoundIn| {
        let FoundIn { at, version } = *found;
        (version.row_bytes, Command::DeleteVersion { at, id: version.id, doc_id: version.doc_id })
    };
    let outcomes = app.propose_in_turns(versions.iter().map(command).collect()).await?;
    let mut changed = Vec::new();
    for (FoundIn { at, version }, outcome) in versions.into_iter().zip(outcomes) {
        let id = version.id;
        match outcome {
            Outcome::Done | Outcome::NotFound => drop(fates.insert(id, true)),
            Outcome::Conflict(_) => changed.push((at, id)),
            _ => drop(fates.insert(id, false)),
        }
    }
    Ok(changed)
}
