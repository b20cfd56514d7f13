//! Checks and repairs of a group's log and state before its replica starts.
//!
//! An install of a snapshot changes both, one after the other, and notes in the log that it has begun. A crash leaves one
//! of two cases. Either the state is the old one: the install did not happen, and the note is taken back. Or the state is
//! the snapshot's: the purge of the log that belongs to the install is carried out now. The replica starts in both.

use azimuth_engine::replica::{LogPosition, StateMachine};

use crate::error::StartError;
use crate::raftlog::GroupLog;

/// Settles an install that a crash interrupted, then holds the state against the log. Returns how many entries the state
/// lacks. Without such an install nothing is written.
///
/// # Errors
/// [`StartError::Damaged`] when acknowledged entries are gone.
pub(crate) async fn recover<S: StateMachine>(state: &S, log: &GroupLog) -> Result<u64, StartError> {
    let applied = state.applied()?.position;
    if let Some(installing) = log.installing() {
        if applied >= Some(installing) {
            tracing::info!(group = %log.group(), ?installing, "a snapshot was installed; purging the log up to it");
            log.purge(installing).await?;
        } else {
            tracing::info!(group = %log.group(), ?installing, "the install of a snapshot did not happen");
            log.abandon_install().await?;
        }
    }
    check_against_log(applied, log)
}

/// Holds a group's state against its log.
///
/// openraft would take a state that is ahead of its log for one that was installed from a snapshot, and drop the log.
/// Without the note of an install it means that acknowledged entries are gone, or that the two belong to different times.
fn check_against_log(applied: Option<LogPosition>, log: &GroupLog) -> Result<u64, StartError> {
    let (bounds, group) = (log.bounds(), log.group());
    if applied > bounds.last {
        let text = format!("group {group}: the state has applied {applied:?}, but the log ends at {:?}", bounds.last);
        return Err(StartError::Damaged(text));
    }
    if applied < bounds.purged {
        let text = format!(
            "group {group}: the state has applied {applied:?}, but the log was purged up to {:?}",
            bounds.purged
        );
        return Err(StartError::Damaged(text));
    }
    let next = |position: Option<LogPosition>| position.map_or(0, |at| at.index + 1);
    Ok(next(bounds.last) - next(applied))
}
