//! Background work: graphs, the inverted index, dropped data. Bounded steps, fair between collections.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::LogPosition;
use super::data::DataGroup;
use super::doc_index::DocIndex;
use super::due::{Due, DueRecord};
use super::memory::index_memory;
use super::metrics::GroupMetrics;
use super::rebuilds::Rebuilds;
use super::records::{RebuildRecord, SweepRecord};
use super::shard::{Shard, ShardState};
use super::store::Family;
use super::vectors::index_dir;
use crate::command::At;
use crate::ids::{CollectionId, VectorId};
use crate::inverted::{promote, sweep};
use crate::key::{self, MetaKey, ShardPrefix};
use crate::schema::{Collection, VectorIndexKind};
use crate::vector::VectorIndex;
use crate::{Error, Result};

/// How much one step may do. Counts, not time: the engine reads no clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkBudget {
    /// What a vector index may do.
    pub vectors: crate::vector::WorkBudget,
    /// Keys of the inverted index or of dropped shards to look at, at most.
    pub keys_max: usize,
}

impl Default for WorkBudget {
    fn default() -> Self {
        Self { vectors: crate::vector::WorkBudget::default(), keys_max: 4_096 }
    }
}

/// What one step did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WorkReport {
    /// Vectors linked into a graph.
    pub linked: usize,
    /// Vectors coded for a change of codes.
    pub coded: usize,
    /// Slots that vector indexes gave back: written anew, their files are smaller.
    pub given_back: usize,
    /// Shards looked at, to see what is due there.
    pub looked: usize,
    /// Keys of the inverted index looked at.
    pub swept: usize,
    /// Keys of dropped collections and shards removed.
    pub purged: usize,
    /// Whether another step would find something to do.
    pub more: bool,
}

/// Shards looked at for due work in one step.
const SURVEY_MAX: usize = 64;
/// A shard is looked at whenever so many more doc ids were given out, or sooner if it is swept sooner.
const SURVEY_CHANGES: u64 = 256;

/// Rows that an object with several vectors is taken to have, before its index is opened and knows.
const ROWS_TYPICAL: u64 = 16;

/// What background work knows between its steps.
pub(super) struct Agenda {
    due: Mutex<Due>,
    /// Indexes in memory; the next turn is the one at `turn`.
    pub(super) indexes: Mutex<Vec<(Arc<Shard>, VectorId)>>,
    turn: AtomicUsize,
    /// Whether something was dropped and not yet removed.
    purge: AtomicBool,
    /// Dropped shards whose memory is to be freed.
    pub(super) ended: Mutex<Vec<Arc<Shard>>>,
    /// Whether the vector indexes hold more than they may, with nothing left to drop.
    pub(super) memory_full: AtomicBool,
    /// Held by whoever writes to families in the background.
    writing: Mutex<()>,
    /// Held by whoever drops indexes from memory.
    pub(super) dropping: Mutex<()>,
    /// Inverted indexes that are rebuilt.
    pub(super) rebuilds: Rebuilds,
    /// How often threads other than apply asked for work.
    asked: AtomicU64,
    /// Shards whose indexes keep deleted documents for readers of older states.
    departing: Mutex<BTreeMap<At, Arc<Shard>>>,
    /// Steps begun, and threads in one.
    entered: AtomicU64,
    workers: AtomicUsize,
    /// [`DataGroup::activity`] when a step began that found nothing to do.
    rested_at: AtomicU64,
}

impl Default for Agenda {
    fn default() -> Self {
        Self {
            due: Mutex::default(),
            indexes: Mutex::default(),
            turn: AtomicUsize::default(),
            purge: AtomicBool::default(),
            ended: Mutex::default(),
            memory_full: AtomicBool::default(),
            writing: Mutex::default(),
            dropping: Mutex::default(),
            rebuilds: Rebuilds::default(),
            asked: AtomicU64::default(),
            departing: Mutex::default(),
            entered: AtomicU64::default(),
            workers: AtomicUsize::default(),
            rested_at: AtomicU64::new(u64::MAX),
        }
    }
}

impl Agenda {
    /// Asks for a sweep of a shard.
    pub(super) fn sweep(&self, at: At) {
        self.due.lock().sweep(at);
        self.asked.fetch_add(1, Ordering::AcqRel);
    }

    /// Asks for a look at these shards.
    pub(super) fn look_at(&self, shards: impl IntoIterator<Item = At>) {
        self.due.lock().look_at(shards);
    }

    /// Asks for the deletion of departed documents from the shard's indexes when no reader's state has them any more.
    pub(super) fn let_go_later(&self, shard: Arc<Shard>) {
        self.departing.lock().insert(shard.at, shard);
    }

    /// Deletes departed documents from indexes, as far as no reader's state has them any more.
    fn let_go(&self) {
        let shards: Vec<_> = self.departing.lock().values().cloned().collect();
        for shard in shards {
            if !shard.let_go() {
                // An apply that leaves departed documents meanwhile lists the shard again afterwards.
                self.departing.lock().remove(&shard.at);
                if !shard.is_settled() {
                    self.let_go_later(shard);
                }
            }
        }
    }

    /// Forgets shards that are gone.
    pub(super) fn forget(&self, gone: impl Fn(&At) -> bool) {
        self.indexes.lock().retain(|(shard, _)| !gone(&shard.at));
        self.departing.lock().retain(|at, _| !gone(at));
        self.due.lock().forget(gone);
    }

    /// Asks for what was dropped to be removed.
    pub(super) fn remove_dropped(&self) {
        self.purge.store(true, Ordering::Release);
    }
}

impl DataGroup {
    /// One bounded step of background work: links pending vectors, repairs graphs, joins and cleans the inverted index,
    /// removes what was dropped. Callers loop from their own threads; several at once are fine.
    ///
    /// # Errors
    /// Storage errors; the node must stop.
    pub fn work(&self, budget: &WorkBudget) -> Result<WorkReport> {
        let mut report = WorkReport::default();
        let Some(_present) = self.while_present() else { return Ok(report) };
        let activity = self.activity();
        self.agenda.let_go();
        if self.agenda.rested_at.load(Ordering::Acquire) == activity {
            return Ok(report);
        }
        let turn = self.agenda.entered.fetch_add(1, Ordering::AcqRel) + 1;
        let others = self.agenda.workers.fetch_add(1, Ordering::AcqRel);
        let result = self.step(budget, &mut report);
        self.agenda.workers.fetch_sub(1, Ordering::AcqRel);
        result?;
        // Who works beside this one may leave something behind.
        if !report.more && others == 0 && self.agenda.entered.load(Ordering::Acquire) == turn {
            self.agenda.rested_at.store(activity, Ordering::Release);
        }
        Ok(report)
    }

    fn step(&self, budget: &WorkBudget, report: &mut WorkReport) -> Result<()> {
        report.looked = self.survey()?;
        self.work_on_vectors(budget, report);
        if let Some(_writing) = self.agenda.writing.try_lock() {
            self.purge(budget.keys_max, report)?;
            self.sweep(budget.keys_max, report)?;
        }
        report.more |= self.agenda.due.lock().has_looks();
        self.keep_memory_budget();
        Ok(())
    }

    /// Grows whenever something happens that background work could follow from.
    fn activity(&self) -> u64 {
        let counts = [&self.entries_applied, &self.uses, &self.agenda.asked];
        counts.iter().fold(0, |sum, count| sum.wrapping_add(count.load(Ordering::Acquire)))
    }

    /// Writes the files of all vector indexes that have any, so that the next open need not build them.
    ///
    /// # Errors
    /// [`Error::Storage`] naming the first that failed; the others are written.
    pub fn save_indexes(&self) -> Result<()> {
        self.save_those(|_| true)
    }

    /// Writes the files of those vector indexes that have grown much since they were written: what came since is all that
    /// is read and linked again after a crash, and the originals leave memory while a long import goes on.
    ///
    /// # Errors
    /// As [`save_indexes`](Self::save_indexes).
    pub fn save_grown_indexes(&self) -> Result<()> {
        self.save_those(|index| index.has_grown(self.options.save_growth_min))
    }

    fn save_those(&self, wanted: impl Fn(&VectorIndex) -> bool) -> Result<()> {
        let mut failed = None;
        let Some(_present) = self.while_present() else { return Ok(()) };
        for (shard, vector, index) in self.loaded_indexes() {
            if wanted(index.vectors())
                && let Err(error) = index.vectors().save()
            {
                failed.get_or_insert(format!("save vector {vector} of {:?}: {error}", shard.at));
            }
        }
        failed.map_or(Ok(()), |what| Err(Error::Storage(what)))
    }

    /// Figures for metrics.
    pub fn metrics(&self) -> GroupMetrics {
        let shards: Vec<_> = self.shards.read().values().cloned().collect();
        let indexes = self.loaded_indexes();
        GroupMetrics {
            collections: self.collections.read().len() as u64,
            shards_loaded: shards.len() as u64,
            objects: shards.iter().map(|shard| shard.state().live.len()).sum(),
            vector_queue: indexes.iter().map(|(_, _, index)| index.vectors().pending_len() as u64).sum(),
            indexes_loaded: indexes.len() as u64,
            index_memory: index_memory(&indexes),
            index_bytes_max: self.options.index_bytes_max,
            write_buffer_bytes: self.store.write_buffer_bytes(),
            block_cache_bytes: self.store.block_cache_bytes(),
            disk_bytes: self.store.disk_bytes(),
            inverted_rebuilds: self.agenda.rebuilds.begun(),
            inverted_damaged: self.agenda.rebuilds.given_up(),
            entries_applied: self.entries_applied.load(Ordering::Relaxed),
            commands_applied: self.commands_applied.load(Ordering::Relaxed),
            objects_unreadable: shards.iter().map(|shard| shard.unreadable.len()).sum(),
            index_failures: shards.iter().map(|shard| shard.indexes.failures()).sum(),
            commands_contained: self.commands_contained.load(Ordering::Relaxed),
            objects_laid_down: self.objects_laid_down.load(Ordering::Relaxed),
        }
    }

    pub(super) fn loaded_indexes(&self) -> Vec<(Arc<Shard>, VectorId, Arc<DocIndex>)> {
        let listed = self.agenda.indexes.lock().clone();
        let loaded = listed.into_iter().filter_map(|(shard, vector)| {
            let index = shard.indexes.loaded(vector)?;
            Some((shard, vector, index))
        });
        loaded.collect()
    }

    /// Looks at some shards and notes what is due there. Returns how many.
    fn survey(&self) -> Result<usize> {
        for looked in 0..SURVEY_MAX {
            let Some(at) = self.agenda.due.lock().next_look() else { return Ok(looked) };
            self.look(at)?;
            self.agenda.due.lock().done(at);
        }
        Ok(SURVEY_MAX)
    }

    fn look(&self, at: At) -> Result<()> {
        let Some(schema) = self.collection(at.collection) else { return Ok(()) };
        let loaded = self.shards.read().get(&at).cloned();
        // A shard that nobody has asked for is looked at and let go.
        let shard = match loaded {
            Some(shard) => shard,
            None => Arc::new(Shard::load(&self.store, self.group, at)?),
        };
        let state = shard.state();
        if self.sweep_is_due(at, &state)?
            || promote::is_due(&shard.view(&self.store), shard.prefix)?
            || RebuildRecord::load(&self.store, self.group, at)?.is_some()
        {
            self.agenda.due.lock().sweep(at);
        }
        for vector in self.graphs(&schema, &state) {
            if let (Ok((schema, shard)), true) = (self.known(at), shard.indexes.loaded(vector).is_none())
                && let Some(opening) = self.opening(&schema, vector)
                && let Err(error) = shard.index(vector, &opening)
            {
                // A search of the index ends with the same error; everything else goes on.
                if error.is_fatal() {
                    return Err(error);
                }
                tracing::error!(?at, vector = vector.0, %error, "open a vector index");
            }
        }
        Ok(())
    }

    /// Records what is due, for the next start.
    pub(super) fn note_due(&self, position: Option<LogPosition>) -> Result<()> {
        let mut shards = self.agenda.due.lock().all();
        let loaded: Vec<_> = self.shards.read().values().cloned().collect();
        // Their graphs are opened at the start, not by the first query.
        let with_graph = loaded.iter().filter(|shard| {
            let schema = self.collection(shard.at.collection);
            schema.is_some_and(|schema| !self.graphs(&schema, &shard.state()).is_empty())
        });
        shards.extend(with_graph.map(|shard| shard.at));
        DueRecord { position, shards: shards.into_iter().collect() }.put(&self.store, self.group)
    }

    /// Notes a change of a shard, and asks for a look when it grew over a threshold of background work.
    pub(super) fn note_growth(&self, shard: &Shard, before: &ShardState, after: &ShardState) {
        let changes = self.options.sweep_changes_min.clamp(1, SURVEY_CHANGES);
        let steps = |state: &ShardState| (state.record.next_doc_id + state.removals) / changes;
        let mut due = self.agenda.due.lock();
        if steps(before) == steps(after) {
            due.touch(shard.at);
        } else {
            due.look_at([shard.at]);
        }
    }

    /// Vectors of a shard that deserve a graph.
    pub(super) fn graphs(&self, schema: &Collection, state: &ShardState) -> Vec<VectorId> {
        let large = state.with_vector.iter().filter_map(|(&vector, members)| {
            let (_, config) = schema.vector_by_id(vector)?;
            let indexed = !config.index.skip && config.kind != VectorIndexKind::None;
            let each = if config.multi && config.muvera.is_none() { ROWS_TYPICAL } else { 1 };
            (indexed && members.len().saturating_mul(each) > self.options.index.graph_cutoff as u64).then_some(vector)
        });
        large.collect()
    }

    fn work_on_vectors(&self, budget: &WorkBudget, report: &mut WorkReport) {
        let indexes = self.loaded_indexes();
        let mut worked = false;
        for n in 0..indexes.len() {
            let turn = self.agenda.turn.fetch_add(1, Ordering::Relaxed) % indexes.len();
            let (shard, vector, index) = &indexes[turn];
            if worked {
                report.more |= indexes.iter().any(|(_, _, index)| index.vectors().pending_len() > 0);
                return;
            }
            let work = || Ok(index.vectors().work(budget.vectors));
            let Some(progress) = shard.indexes.contained(shard.at, *vector, work) else { continue };
            report.linked += progress.linked;
            report.coded += progress.coded;
            report.given_back += progress.given_back;
            report.more |= progress.more;
            worked = progress.linked + progress.coded + progress.repaired + progress.freed + progress.moved > 0;
            tracing::trace!(at = ?shard.at, vector = vector.0, n, ?progress, "worked on a vector index");
        }
    }

    /// Removes keys of what was dropped.
    fn purge(&self, keys_max: usize, report: &mut WorkReport) -> Result<()> {
        if !self.agenda.purge.load(Ordering::Acquire) {
            return Ok(());
        }
        let ended = std::mem::take(&mut *self.agenda.ended.lock());
        drop(ended);
        let marks = key::meta(self.group, MetaKey::Purge, &[]);
        let view = self.store.view();
        let mut first = view.cursor(Family::Meta, &marks, None);
        first.seek(&marks);
        let Some(mark) = first.item()?.map(|(mark, _)| mark.to_vec()) else {
            self.agenda.purge.store(false, Ordering::Release);
            return Ok(());
        };
        drop(first);
        report.more = true;
        let dropped = &mark[marks.len()..];
        let prefix = [&self.group.0.to_be_bytes(), dropped].concat();
        let end =
            key::after_prefix(&prefix).ok_or_else(|| Error::Damaged("drop mark of the last collection".into()))?;
        let mut changes = self.store.changes();
        let mut left = keys_max.max(1);
        for family in Family::OF_SHARDS {
            self.store.drop_files(family, &prefix, &end)?;
            let view = self.store.view();
            let mut cursor = view.cursor(family, &prefix, None);
            cursor.seek(&prefix);
            while let Some((key, _)) = cursor.item()?.filter(|_| left > 0) {
                changes.delete(family, key);
                left -= 1;
                report.purged += 1;
                cursor.next();
            }
        }
        if left > 0 {
            for tag in [MetaKey::Shard, MetaKey::Sweep, MetaKey::Rebuild] {
                for (key, _) in self.store.entries(Family::Meta, &key::meta(self.group, tag, dropped))? {
                    changes.delete(Family::Meta, &key);
                }
            }
            changes.delete(Family::Meta, &mark);
            self.remove_index_files(dropped)?;
        }
        changes.write()
    }

    fn remove_index_files(&self, dropped: &[u8]) -> Result<()> {
        let name = match dropped.try_into() {
            Ok(collection) => format!("c{}-", CollectionId(u32::from_be_bytes(collection))),
            Err(_) => {
                let at = key::parse_shard(dropped)?;
                let sample = index_dir(&self.index_dir, at, VectorId::UNNAMED);
                let sample = sample.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                sample.trim_end_matches(|c: char| c.is_ascii_digit()).to_owned()
            }
        };
        let entries = match std::fs::read_dir(&self.index_dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        for entry in entries {
            let entry = entry?;
            if entry.file_name().to_str().is_some_and(|found| found.starts_with(&name)) {
                std::fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(())
    }

    fn sweep_is_due(&self, at: At, state: &ShardState) -> Result<bool> {
        let sweep = SweepRecord::load(&self.store, self.group, at)?;
        let came = state.record.next_doc_id.saturating_sub(sweep.upto);
        let live = if sweep.upto == 0 { 0 } else { state.live.rank(sweep.upto - 1) };
        let went = sweep.live.saturating_sub(live);
        Ok(sweep.cursor.is_some() || came + went > self.options.sweep_changes_min.max(sweep.live / 2))
    }

    /// Joins and cleans a part of one shard's inverted index.
    fn sweep(&self, keys_max: usize, report: &mut WorkReport) -> Result<()> {
        let Some(at) = self.agenda.due.lock().next_sweep() else { return Ok(()) };
        let goes_on = match self.sweep_shard(at, keys_max, report) {
            Err(Error::DamagedIndex(what)) => self.begin_rebuild(at, &what),
            other => other?,
        };
        let mut due = self.agenda.due.lock();
        due.done(at);
        if goes_on {
            due.sweep(at);
        }
        report.more |= due.has_sweeps();
        Ok(())
    }

    /// Whether the shard has to be swept further.
    fn sweep_shard(&self, at: At, keys_max: usize, report: &mut WorkReport) -> Result<bool> {
        let Ok((schema, shard)) = self.known(at) else { return Ok(false) };
        if self.rebuild_step(&schema, &shard, keys_max, report)? {
            return Ok(true);
        }
        let view = shard.newest(&self.store);
        if promote::is_due(&view, shard.prefix)? {
            let mut changes = self.store.changes();
            let step = promote::step(&view, shard.prefix, &mut changes)?;
            let sweep = SweepRecord { promoted: step.upto.0, ..SweepRecord::load(&self.store, self.group, at)? };
            sweep.put(&mut changes, self.group, at)?;
            changes.write()?;
            shard.fresh_from.store(step.upto.0, Ordering::Release);
            report.swept += step.entries;
            return Ok(true);
        }
        let mut sweep = SweepRecord::load(&self.store, self.group, at)?;
        if sweep.cursor.is_none() {
            if !self.sweep_is_due(at, &view.state)? {
                return Ok(false);
            }
            sweep.upto = view.state.record.next_doc_id;
            sweep.live = view.state.live.len();
        }
        let prefix = ShardPrefix::new(self.group, at);
        let mut changes = self.store.changes();
        let step = sweep::step(&view, prefix, sweep.cursor.as_deref(), keys_max, &mut changes)?;
        report.swept += step.keys;
        sweep.cursor = step.cursor;
        let running = sweep.cursor.is_some();
        sweep.put(&mut changes, self.group, at)?;
        changes.write()?;
        Ok(running)
    }
}
