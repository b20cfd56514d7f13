//! Which shards the background has to look at or to clean, while the group is open and over a restart.
//!
//! A flush records what is due beside the position that it makes durable. A group that opens at that very position has
//! nothing else to look at; one that opens at another looks at every shard once.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::ids::{GroupId, ShardKey};
use crate::replica::LogPosition;
use crate::storage::key::{self, MetaKey};
use crate::storage::{Family, Store, record};

/// The shards with something due.
#[derive(Debug, Default)]
pub(crate) struct Due {
    /// To be looked at.
    looks: BTreeSet<ShardKey>,
    /// Their inverted index is to be swept.
    sweeps: BTreeSet<ShardKey>,
    /// Taken from one of the two and not given back yet.
    in_hand: Vec<ShardKey>,
    /// Changed since they were last looked at, too little for another look now.
    touched: BTreeSet<ShardKey>,
}

impl Due {
    /// Asks for a look at these shards.
    pub(crate) fn look_at(&mut self, shards: impl IntoIterator<Item = ShardKey>) {
        self.looks.extend(shards);
    }

    /// Notes a change that a look after the next start may find worth something.
    pub(crate) fn touch(&mut self, at: ShardKey) {
        self.touched.insert(at);
    }

    /// A shard to look at; [`Due::done`] gives it back.
    pub(crate) fn next_look(&mut self) -> Option<ShardKey> {
        let at = self.looks.pop_first()?;
        self.touched.remove(&at);
        self.in_hand.push(at);
        Some(at)
    }

    /// Asks for a sweep.
    pub(crate) fn sweep(&mut self, at: ShardKey) {
        self.sweeps.insert(at);
    }

    /// A shard to sweep; [`Due::done`] gives it back.
    pub(crate) fn next_sweep(&mut self) -> Option<ShardKey> {
        let at = self.sweeps.pop_first()?;
        self.in_hand.push(at);
        Some(at)
    }

    /// The look or the sweep is over. What failed stays in hand: it is due after the next start.
    pub(crate) fn done(&mut self, at: ShardKey) {
        if let Some(place) = self.in_hand.iter().position(|held| *held == at) {
            self.in_hand.swap_remove(place);
        }
    }

    /// Whether a shard waits to be looked at.
    pub(crate) fn has_looks(&self) -> bool {
        !self.looks.is_empty()
    }

    /// Whether a shard waits to be swept.
    pub(crate) fn has_sweeps(&self) -> bool {
        !self.sweeps.is_empty()
    }

    /// Forgets shards that are gone.
    pub(crate) fn forget(&mut self, gone: impl Fn(&ShardKey) -> bool) {
        for set in [&mut self.looks, &mut self.sweeps, &mut self.touched] {
            set.retain(|at| !gone(at));
        }
    }

    /// Everything that a look after a restart could find worth something.
    pub(crate) fn all(&self) -> BTreeSet<ShardKey> {
        let sets = [&self.looks, &self.sweeps, &self.touched];
        sets.into_iter().flatten().chain(&self.in_hand).copied().collect()
    }
}

/// What was due when a flush began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DueRecord {
    /// Everything up to here was applied.
    pub position: Option<LogPosition>,
    /// Ascending.
    pub shards: Vec<ShardKey>,
}

impl DueRecord {
    /// The shards to look at in a group at `position`; `None` when that is not known, and all of them are.
    pub(crate) fn load(store: &Store, group: GroupId, position: Option<LogPosition>) -> Result<Option<Vec<ShardKey>>> {
        let bytes = store.get(Family::Meta, &key::meta(group, MetaKey::Due, &[]))?;
        // A record that cannot be read costs a look at everything, not the group.
        let record = bytes.and_then(|bytes| record::decode::<Self>("due", &bytes).ok());
        Ok(record.filter(|record| record.position == position).map(|record| record.shards))
    }

    /// Replaces the record, if it says something else.
    pub(crate) fn put(&self, store: &Store, group: GroupId) -> Result<()> {
        let (key, bytes) = (key::meta(group, MetaKey::Due, &[]), record::encode(self)?);
        if store.get(Family::Meta, &key)?.is_some_and(|present| *present == *bytes) {
            return Ok(());
        }
        let mut changes = store.changes();
        changes.put(Family::Meta, &key, &bytes);
        changes.write()
    }
}
