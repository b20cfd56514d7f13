//! A data group: state, maintenance and applied log together.
//!
//! An installed checkpoint of another replica replaces the store, and the files of vector indexes stay: they belong to the
//! group and not to a generation. Replicas of a group give the same doc ids to the same objects, so the new state brings
//! the indexes up to date by the difference, as every start does.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Effects, GroupOptions, State, apply};
use crate::Result;
use crate::command::{Command, Outcome};
use crate::exec::ReadContext;
use crate::ids::{CollectionId, ShardKey};
use crate::level::FeatureLevel;
use crate::maintain::{Maintenance, WorkBudget, WorkReport};
use crate::replica::{self, Applied, AppliedLog, AppliedState, Attempt, Entry, LogPosition, StateMachine};
use crate::storage::{OpenReport, Store};

/// A group that holds objects.
///
/// Reads may come from any number of threads and never wait for compaction, indexing or checkpoints. Each answers from
/// one moment: a batch is seen whole or not at all.
pub struct DataGroup {
    pub(crate) state: State,
    pub(crate) maintenance: Maintenance,
    log: AppliedLog,
    pub(super) counters: Counters,
    options: GroupOptions,
}

/// Counts since the group was opened.
#[derive(Default)]
pub(super) struct Counters {
    /// Entries applied.
    pub entries_applied: AtomicU64,
    /// Commands applied.
    pub commands_applied: AtomicU64,
    /// Commands refused because they could not be carried out.
    pub commands_contained: AtomicU64,
    /// Versions of objects written.
    pub versions_written: AtomicU64,
}

impl DataGroup {
    /// Opens the group in `dir`, or creates it. `gen-<n>/` holds its RocksDB, `hnsw/` the vector indexes' files, which may
    /// be removed while it is closed.
    ///
    /// # Errors
    /// [`Error::Damaged`](crate::Error::Damaged) when stored data fail their checks or are of a later version,
    /// [`Error::NewerLevel`](crate::Error::NewerLevel) when this program does not support the group's feature level.
    pub fn open(dir: &Path, options: GroupOptions) -> Result<(Arc<Self>, OpenReport)> {
        let (store, mut report) = Store::open(dir, options.group, &options.storage)?;
        let this = Self::with_store(store, &dir.join("hnsw"), options)?;
        report.collections = this.state.collection_count();
        this.maintenance.inspect_due(&this.state, this.log.position())?;
        Ok((Arc::new(this), report))
    }

    fn with_store(store: Store, index_dir: &Path, options: GroupOptions) -> Result<Self> {
        let log = AppliedLog::load(&store, options.group)?;
        Ok(Self {
            state: State::load(store, options.group, options.segment_entries_min)?,
            maintenance: Maintenance::new(index_dir, &options),
            log,
            counters: Counters::default(),
            options,
        })
    }

    pub(crate) fn context(&self) -> ReadContext<'_> {
        ReadContext { state: &self.state, maintenance: &self.maintenance }
    }

    fn apply_entries(
        &self,
        entries: Vec<Entry>,
        again: Option<&dyn Fn(usize) -> Result<Entry>>,
    ) -> Result<Vec<Vec<Outcome>>> {
        let nothing = Command::DeleteCollection(CollectionId(0));
        let mut attempt = |applied: &mut AppliedState, entries: Vec<Entry>, attempt: &Attempt| {
            let (outcomes, effects) = apply::apply(&self.state, applied, entries, attempt)?;
            if let Some(effects) = effects {
                self.publish(effects);
            }
            Ok(outcomes)
        };
        let contained = self.log.apply(entries, again, &nothing, &mut attempt)?;
        let commands = contained.outcomes.iter().map(|outcomes| outcomes.len() as u64).sum();
        self.counters.entries_applied.fetch_add(contained.outcomes.len() as u64, Ordering::Relaxed);
        self.counters.commands_applied.fetch_add(commands, Ordering::Relaxed);
        self.counters.commands_contained.fetch_add(contained.refused, Ordering::Relaxed);
        Ok(contained.outcomes)
    }

    /// Makes schema changes of an apply visible, and hands its effects to maintenance.
    fn publish(&self, effects: Effects) {
        self.counters.versions_written.fetch_add(effects.versions_written, Ordering::Relaxed);
        let ended = self.state.publish(&effects);
        self.maintenance.note(&self.state, effects, ended);
    }

    /// One bounded step of background work: links pending vectors, repairs graphs, compacts the inverted index, removes
    /// dropped data. Callers loop from their own threads; several at once are fine.
    ///
    /// # Errors
    /// Storage errors; the node must stop.
    pub fn work(&self, budget: &WorkBudget) -> Result<WorkReport> {
        let Some(_present) = self.maintenance.indexes.while_present() else { return Ok(WorkReport::default()) };
        self.maintenance.work(&self.state, budget)
    }

    /// Asks for a shard's inverted index to be written anew from its objects, in the background; filters are right meanwhile.
    pub fn rebuild_inverted(&self, at: ShardKey) {
        self.maintenance.rebuild_inverted(at);
    }

    /// Writes the files of all vector indexes that have any, so that the next open need not build them.
    ///
    /// # Errors
    /// [`Error::Storage`](crate::Error::Storage) naming the first that failed; the others are written.
    pub fn save_indexes(&self) -> Result<()> {
        let Some(_present) = self.maintenance.indexes.while_present() else { return Ok(()) };
        self.maintenance.indexes.save()
    }

    /// Writes the files of the vector indexes that have grown much since they were written. After a crash only vectors that
    /// are newer than the files are read and linked again, and originals leave memory while a long import goes on.
    ///
    /// # Errors
    /// As [`save_indexes`](Self::save_indexes).
    pub fn save_grown_indexes(&self) -> Result<()> {
        let Some(_present) = self.maintenance.indexes.while_present() else { return Ok(()) };
        self.maintenance.indexes.save_grown()
    }

    /// Whether the vector indexes of all groups that share [`GroupOptions::index_budget`] hold more than the budget although
    /// every index that could leave memory has left, as of the last step of background work. No vector should be added
    /// while it holds.
    pub fn index_memory_full(&self) -> bool {
        self.maintenance.indexes.budget().is_full()
    }
}

impl StateMachine for DataGroup {
    fn applied(&self) -> Result<Applied> {
        Ok(self.log.applied())
    }

    fn level(&self) -> FeatureLevel {
        self.log.level()
    }

    fn durable(&self) -> Option<LogPosition> {
        self.log.durable()
    }

    fn apply(&self, entries: Vec<Entry>) -> Result<Vec<Vec<Outcome>>> {
        self.apply_entries(entries, None)
    }

    fn apply_contained(
        &self,
        entries: Vec<Entry>,
        again: &dyn Fn(usize) -> Result<Entry>,
    ) -> Result<Vec<Vec<Outcome>>> {
        self.apply_entries(entries, Some(again))
    }

    fn flush(&self) -> Result<Option<LogPosition>> {
        let removed = self.maintenance.take_removed();
        let position =
            self.log.flush(&self.state.store, |position| self.maintenance.record_queue(&self.state, position))?;
        self.maintenance.remove_files(&self.state.store, &removed)?;
        Ok(position)
    }

    fn checkpoint(&self, dir: &Path) -> Result<Applied> {
        self.log.checkpoint(&self.state.store, dir)
    }

    fn inspect(&self, dir: &Path) -> Result<Applied> {
        replica::inspect(dir, self.state.group)
    }

    fn install(&self, dir: &Path, position: LogPosition) -> Result<Arc<Self>> {
        // Waits for the present steps of background work. None begins until the new state has taken over.
        let mut replaced = self.maintenance.indexes.replacing();
        let store = replica::open_beside(&self.state.store, dir, self.state.group, position)?;
        let next = Self::with_store(store, self.maintenance.indexes.dir(), self.options.clone())?;
        // The record of the queue is the other replica's, whose vector indexes are not these.
        next.maintenance.remove_marked(&next.state)?;
        next.maintenance.inspect_all(&next.state);
        self.state.store.give_way_to(&next.state.store)?;
        *replaced = true;
        next.maintenance.remove_unknown_indexes(&next.state);
        Ok(Arc::new(next))
    }

    fn check_storage(&self) -> Result<()> {
        self.state.store.check_background()
    }

    fn reclaim_space(&self) -> Result<()> {
        self.flush()?;
        self.state.store.compact();
        Ok(())
    }
}
