//! What a group knows of its log: the last entry applied, the members, and which batches it has seen.

use std::collections::BTreeMap;

use super::{Applied, LogPosition};
use crate::ids::GroupId;
use crate::storage::key::{self, MetaKey};
use crate::storage::record::{self, MembershipRecord, ProposerRecord};
use crate::storage::{Changes, Family, Store};
use crate::{Error, Result};

/// Proposers remembered; the one that was silent for longest is forgotten first.
const PROPOSERS_MAX: usize = 1_024;

/// The log as a group knows it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Ledger {
    pub applied: Applied,
    proposers: BTreeMap<u64, ProposerRecord>,
}

impl Ledger {
    /// Reads what is stored.
    pub(crate) fn load(store: &Store, group: GroupId) -> Result<Self> {
        let mut ledger = Self { applied: load_applied(store, group)?, proposers: BTreeMap::new() };
        let prefix = key::meta(group, MetaKey::Proposer, &[]);
        for (key, value) in store.entries(Family::Meta, &prefix)? {
            let proposer = key[prefix.len()..].try_into().map(u64::from_be_bytes);
            let proposer = proposer.map_err(|_| Error::Damaged("key of a proposer".into()))?;
            ledger.proposers.insert(proposer, record::decode("proposer", &value)?);
        }
        Ok(ledger)
    }

    /// Records that the entry at `position` is applied by the batch that `changes` becomes.
    ///
    /// # Errors
    /// [`Error::Damaged`] when the entry is not above the last one: the log and the state do not belong together.
    pub(crate) fn advance(&mut self, changes: &mut Changes<'_>, group: GroupId, position: LogPosition) -> Result<()> {
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
    pub(crate) fn set_members(
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

    /// Records a batch; `false` if it was applied before.
    pub(crate) fn admit(
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
        if self.proposers.len() > PROPOSERS_MAX {
            let silent = self.proposers.iter().min_by_key(|(_, record)| record.index).map(|(&proposer, _)| proposer);
            if let Some(proposer) = silent {
                self.proposers.remove(&proposer);
                changes.delete(Family::Meta, &proposer_key(proposer));
            }
        }
        Ok(true)
    }
}

/// Reads position and members from a store.
pub(crate) fn load_applied(store: &Store, group: GroupId) -> Result<Applied> {
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
