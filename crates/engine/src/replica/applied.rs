//! The applied state of a group: position of the last applied entry, members, and the newest batch of each proposer.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Applied, Entry, EntryBody, LogPosition};
use crate::command::{Command, Outcome};
use crate::ids::GroupId;
use crate::level::FeatureLevel;
use crate::storage::key::{self, MetaKey};
use crate::storage::{Changes, Family, Store, record};
use crate::{Error, Result};

/// The newest batch of a proposer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct ProposerRecord {
    /// Sequence number of the batch.
    sequence: u64,
    /// Index of the entry that holds the batch.
    index: u64,
}

/// The newest membership entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct MembershipRecord {
    position: LogPosition,
    members: Vec<u8>,
}

/// The state that the log itself gives a group, whatever the commands in it do.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct AppliedState {
    pub applied: Applied,
    /// The feature level, by which the next entry is applied.
    pub level: FeatureLevel,
    proposers: BTreeMap<u64, ProposerRecord>,
}

/// The part of an apply that carries out commands: the data group's or the meta group's.
pub(crate) trait Executor<'a> {
    /// The write batch of the apply, which the records of the log go into as well.
    fn changes(&mut self) -> &mut Changes<'a>;

    /// Carries out the commands of one entry by the rules of `level` and returns their outcomes, in order.
    /// [`Command::RaiseLevel`] is carried out by the caller: its outcome is [`Outcome::Done`].
    ///
    /// # Errors
    /// Those of the storage, and others that follow from a command that cannot be carried out.
    fn execute(&mut self, commands: Vec<Command>, level: FeatureLevel) -> Result<Vec<Outcome>>;
}

impl AppliedState {
    /// Reads the state from the store.
    ///
    /// # Errors
    /// [`Error::Damaged`], and [`Error::NewerLevel`] when this program does not support the level of the group.
    pub(crate) fn load(store: &Store, group: GroupId) -> Result<Self> {
        let level = load_level(store, group)?;
        let mut state = Self { applied: load_applied(store, group)?, level, proposers: BTreeMap::new() };
        let prefix = key::meta(group, MetaKey::Proposer, &[]);
        for (key, value) in store.entries(Family::Meta, &prefix)? {
            let proposer = key[prefix.len()..].try_into().map(u64::from_be_bytes);
            let proposer = proposer.map_err(|_| Error::Damaged("key of a proposer".into()))?;
            state.proposers.insert(proposer, record::decode("proposer", &value)?);
        }
        Ok(state)
    }

    /// Goes through entries in log order and has `executor` carry out their commands, except those of repeated batches.
    /// Nothing is written: all records are in the executor's write batch. Returns the outcomes of each entry's commands.
    ///
    /// # Errors
    /// [`Error::Damaged`] when an entry is not above the last one, [`Error::NewerLevel`] when it raises the group to a level
    /// that this program does not support, and the executor's errors.
    pub(crate) fn apply<'a>(
        &mut self,
        group: GroupId,
        entries: Vec<Entry>,
        executor: &mut impl Executor<'a>,
    ) -> Result<Vec<Vec<Outcome>>> {
        let mut outcomes = Vec::with_capacity(entries.len());
        for entry in entries {
            self.advance(executor.changes(), group, entry.position)?;
            outcomes.push(match entry.body {
                EntryBody::Blank => Vec::new(),
                EntryBody::Membership(members) => {
                    self.set_members(executor.changes(), group, entry.position, members)?;
                    Vec::new()
                }
                EntryBody::Batch(batch) => {
                    let record = ProposerRecord { sequence: batch.sequence, index: entry.position.index };
                    if self.admit(executor.changes(), group, batch.proposer, record)? {
                        let raised = raised_level(&batch.commands);
                        let outcomes = executor.execute(batch.commands, self.level)?;
                        if let Some(level) = raised {
                            self.raise(executor.changes(), group, level)?;
                        }
                        outcomes
                    } else {
                        vec![Outcome::Repeated; batch.commands.len()]
                    }
                }
            });
        }
        Ok(outcomes)
    }

    /// Records that the entry at `position` is applied by the batch that `changes` becomes.
    ///
    /// # Errors
    /// [`Error::Damaged`] when the entry is not above the last one: the log and the state do not belong together.
    fn advance(&mut self, changes: &mut Changes<'_>, group: GroupId, position: LogPosition) -> Result<()> {
        if let Some(last) = self.applied.position
            && position.index <= last.index
        {
            return Err(Error::Damaged(format!("entry {position:?} comes after {last:?} was applied")));
        }
        self.applied.position = Some(position);
        changes.put(Family::Meta, &key::meta(group, MetaKey::Applied, &[]), &record::encode(&position)?);
        Ok(())
    }

    /// Records a membership entry.
    fn set_members(
        &mut self,
        changes: &mut Changes<'_>,
        group: GroupId,
        position: LogPosition,
        members: Vec<u8>,
    ) -> Result<()> {
        let record = MembershipRecord { position, members };
        changes.put(Family::Meta, &key::meta(group, MetaKey::Membership, &[]), &record::encode(&record)?);
        self.applied.membership = Some((position, record.members));
        Ok(())
    }

    /// Raises the level, if it is lower.
    fn raise(&mut self, changes: &mut Changes<'_>, group: GroupId, level: FeatureLevel) -> Result<()> {
        level.check_supported()?;
        if level > self.level {
            self.level = level;
            changes.put(Family::Meta, &key::meta(group, MetaKey::Level, &[]), &record::encode(&level)?);
        }
        Ok(())
    }

    /// Records a batch; `false` if it was applied before.
    fn admit(
        &mut self,
        changes: &mut Changes<'_>,
        group: GroupId,
        proposer: u64,
        record: ProposerRecord,
    ) -> Result<bool> {
        if self.proposers.get(&proposer).is_some_and(|last| record.sequence <= last.sequence) {
            return Ok(false);
        }
        self.proposers.insert(proposer, record);
        let proposer_key = |proposer: u64| key::meta(group, MetaKey::Proposer, &proposer.to_be_bytes());
        changes.put(Family::Meta, &proposer_key(proposer), &record::encode(&record)?);
        if self.proposers.len() > self.level.limits().proposers {
            let silent = self.proposers.iter().min_by_key(|(_, record)| record.index).map(|(&proposer, _)| proposer);
            if let Some(proposer) = silent {
                self.proposers.remove(&proposer);
                changes.delete(Family::Meta, &proposer_key(proposer));
            }
        }
        Ok(true)
    }
}

/// The level to which commands raise the group.
fn raised_level(commands: &[Command]) -> Option<FeatureLevel> {
    let raised = commands.iter().filter_map(|command| match command {
        Command::RaiseLevel(level) => Some(*level),
        _ => None,
    });
    raised.max()
}

/// Reads the feature level from a store.
///
/// # Errors
/// [`Error::NewerLevel`] when this program does not support the level.
pub(super) fn load_level(store: &Store, group: GroupId) -> Result<FeatureLevel> {
    let level = match store.get(Family::Meta, &key::meta(group, MetaKey::Level, &[]))? {
        Some(bytes) => record::decode("feature level", &bytes)?,
        None => FeatureLevel::INITIAL,
    };
    level.check_supported()?;
    Ok(level)
}

/// Reads position and members from a store.
pub(super) fn load_applied(store: &Store, group: GroupId) -> Result<Applied> {
    let position = match store.get(Family::Meta, &key::meta(group, MetaKey::Applied, &[]))? {
        Some(bytes) => Some(record::decode("applied", &bytes)?),
        None => None,
    };
    let membership = match store.get(Family::Meta, &key::meta(group, MetaKey::Membership, &[]))? {
        Some(bytes) => {
            let record: MembershipRecord = record::decode("membership", &bytes)?;
            Some((record.position, record.members))
        }
        None => None,
    };
    Ok(Applied { position, membership })
}
