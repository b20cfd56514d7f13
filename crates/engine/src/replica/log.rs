//! The applied part of a group's log: how far the state in memory and the store are, apply, flush and checkpoint.

use std::path::Path;

use parking_lot::{Mutex, RwLock};

use super::applied::load_applied;
use super::{Applied, AppliedState, Attempt, Contained, Entry, LogPosition, contained};
use crate::Result;
use crate::command::{Command, Outcome};
use crate::ids::GroupId;
use crate::level::FeatureLevel;
use crate::storage::Store;

/// How far a group has applied its log, and how far the store has made that durable.
pub(crate) struct AppliedLog {
    group: GroupId,
    /// Locked while entries are applied: one thread applies at a time.
    state: Mutex<AppliedState>,
    applied: RwLock<Applied>,
    level: RwLock<FeatureLevel>,
    durable: Mutex<Option<LogPosition>>,
}

/// Tries to apply entries to a copy of the applied state; see [`AppliedLog::apply`].
pub(crate) type Attempts<'a> = dyn FnMut(&mut AppliedState, Vec<Entry>, &Attempt) -> Result<Vec<Vec<Outcome>>> + 'a;

impl AppliedLog {
    /// Reads the applied state from the store of a group that is opened.
    pub(crate) fn load(store: &Store, group: GroupId) -> Result<Self> {
        let state = AppliedState::load(store, group)?;
        let applied = state.applied.clone();
        Ok(Self {
            group,
            level: RwLock::new(state.level),
            state: Mutex::new(state),
            durable: Mutex::new(applied.position),
            applied: RwLock::new(applied),
        })
    }

    /// Position and members as of the last applied entry.
    pub(crate) fn applied(&self) -> Applied {
        self.applied.read().clone()
    }

    /// Position of the last applied entry.
    pub(crate) fn position(&self) -> Option<LogPosition> {
        self.applied.read().position
    }

    /// Feature level as of the last applied entry.
    pub(crate) fn level(&self) -> FeatureLevel {
        *self.level.read()
    }

    /// Position that a crash falls back to.
    pub(crate) fn durable(&self) -> Option<LogPosition> {
        *self.durable.lock()
    }

    /// Applies entries by `attempt`, contained if `again` reads an entry once more (see [`contained`]). `attempt` changes a
    /// copy of the applied state, which takes the place of the state if the attempt writes. `nothing` is a command that
    /// the group refuses.
    ///
    /// # Errors
    /// As [`contained`].
    pub(crate) fn apply(
        &self,
        entries: Vec<Entry>,
        again: Option<&dyn Fn(usize) -> Result<Entry>>,
        nothing: &Command,
        attempt: &mut Attempts<'_>,
    ) -> Result<Contained> {
        let mut state = self.state.lock();
        let mut attempt = |entries: Vec<Entry>, tried: &Attempt| {
            let mut next = state.clone();
            let outcomes = attempt(&mut next, entries, tried)?;
            if tried.is_written() {
                *state = next;
                *self.level.write() = state.level;
                *self.applied.write() = state.applied.clone();
            }
            Ok(outcomes)
        };
        contained(self.group, entries, again, nothing, &mut attempt)
    }

    /// Makes the applied entries durable and returns their position. `before` writes records that belong to the position.
    pub(crate) fn flush(
        &self,
        store: &Store,
        before: impl FnOnce(Option<LogPosition>) -> Result<()>,
    ) -> Result<Option<LogPosition>> {
        let position = self.position();
        before(position)?;
        store.flush()?;
        Ok(self.note_durable(position))
    }

    /// Writes a checkpoint of the store to `dir` and returns position and members as the checkpoint has them.
    pub(crate) fn checkpoint(&self, store: &Store, dir: &Path) -> Result<Applied> {
        store.checkpoint(dir)?;
        let applied = load_applied(&Store::open_read_only(dir)?, self.group)?;
        self.note_durable(applied.position);
        Ok(applied)
    }

    fn note_durable(&self, position: Option<LogPosition>) -> Option<LogPosition> {
        let mut durable = self.durable.lock();
        *durable = position.max(*durable);
        *durable
    }
}
