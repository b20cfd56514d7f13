//! Feature levels in the life of a group: who may propose what.
//!
//! A command that older members could not decode, or would apply by other rules, needs a
//! [`FeatureLevel`]. A group is raised to a level only when every member has reported that it supports the level
//! ([`Group::raise_level`](crate::Group::raise_level)); until then proposals that need it are refused. A group whose only
//! member is this node is raised by the first entry that the node writes after its start.

use std::collections::BTreeMap;

use azimuth_engine::command::Command;
use azimuth_engine::level::FeatureLevel;

use crate::error::ProposeError;

/// The highest level that each node supports, by node id, as far as the nodes have reported it.
pub type ReportedLevels = BTreeMap<u64, FeatureLevel>;

/// Checks that a group at the level `reached` may get `commands`.
///
/// # Errors
/// [`ProposeError::LevelTooLow`]
pub(crate) fn check(commands: &[Command], reached: impl FnOnce() -> FeatureLevel) -> Result<(), ProposeError> {
    let needed = commands.iter().map(Command::level).max().unwrap_or_default();
    if needed == FeatureLevel::INITIAL {
        return Ok(());
    }
    match reached() {
        reached if needed > reached => Err(ProposeError::LevelTooLow { needed, reached }),
        _ => Ok(()),
    }
}
