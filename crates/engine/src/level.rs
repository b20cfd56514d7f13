//! Feature levels: the version of apply on which all replicas of a group agree.
//!
//! The same log gives the same state on every replica only if all replicas apply it by the same rules. During a rolling
//! upgrade the members of a group run different programs, so a new rule, a new kind of command and a changed limit of apply
//! take effect at a level of their own, and [`Command::RaiseLevel`](crate::command::Command::RaiseLevel) raises a group to
//! that level once every member supports it. The level of a group is part of its state: it is applied from the log, stored,
//! and copied by checkpoints. A program refuses to open, to install and to apply a level above [`FeatureLevel::SUPPORTED`].
//!
//! To add a level: increment `SUPPORTED`, append a row to `LIMITS`, give new commands the level in
//! [`Command::level`](crate::command::Command::level), and append a line to `level/frozen.txt`. Rows and lines of earlier
//! levels never change.

#[cfg(test)]
mod tests;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// The version of apply that a group uses. Levels only grow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FeatureLevel(u32);

/// Limits that decide the outcomes of commands, as of a level. The wires check the newest values before they propose a
/// command; apply checks the values of the group's level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ApplyLimits {
    /// Most dimensions of a vector.
    pub dimensions: usize,
    /// Most vectors of a multi-vector.
    pub rows: usize,
    /// Most containers around a value.
    pub value_depth: usize,
    /// Most shards of a collection.
    pub shards: usize,
    /// Most bytes of a shard's name.
    pub shard_name_bytes: usize,
    /// Most shards in a command.
    pub shards_at_once: usize,
    /// Proposers that are remembered; the one that was silent for longest is forgotten first.
    pub proposers: usize,
}

const LEVEL_0: ApplyLimits = ApplyLimits {
    dimensions: 65_535,
    rows: 16_384,
    value_depth: 128,
    shards: 1_000_000,
    shard_name_bytes: 255,
    shards_at_once: 10_000,
    proposers: 1_024,
};

/// Limits by level.
const LIMITS: [ApplyLimits; FeatureLevel::SUPPORTED.0 as usize + 1] = [LEVEL_0, LEVEL_0, LEVEL_0];

impl FeatureLevel {
    /// The level of a new group, and of groups from versions that knew no levels.
    pub const INITIAL: Self = Self(0);
    /// The first level that a group stores. Commands on shards need it.
    pub const SHARD_COMMANDS: Self = Self(1);
    /// Commands on aliases need it.
    pub const ALIASES: Self = Self(2);
    /// The highest level that this program applies.
    pub const SUPPORTED: Self = Self(2);

    /// The level with this number.
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// The number of the level.
    pub const fn number(self) -> u32 {
        self.0
    }

    /// The highest level that all members support, from the level that each member has reported. `None` if a member has not
    /// reported, or if there are no members: the group keeps its level.
    pub fn common(reported: impl IntoIterator<Item = Option<Self>>) -> Option<Self> {
        reported.into_iter().reduce(|common, next| Some(common?.min(next?))).flatten()
    }

    /// Checks that this program can apply the level, which a group has or is raised to.
    ///
    /// # Errors
    /// [`Error::NewerLevel`]
    pub(crate) fn check_supported(self) -> Result<()> {
        match self <= Self::SUPPORTED {
            true => Ok(()),
            false => Err(Error::NewerLevel { level: self.0, supported: Self::SUPPORTED.0 }),
        }
    }

    /// The limits of the level. Groups of unsupported levels are never opened.
    pub(crate) fn limits(self) -> &'static ApplyLimits {
        &LIMITS[self.min(Self::SUPPORTED).0 as usize]
    }
}

impl fmt::Display for FeatureLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
