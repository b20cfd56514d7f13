//! One step of background work: bounded, and fair between vector indexes.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::Maintenance;
use crate::Result;
use crate::data::State;

/// How much one step may do. Counts, not time: the engine reads no clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkBudget {
    /// Budget of a step on a vector index.
    pub vectors: crate::vector::StepBudget,
    /// Keys of the inverted index to read, at most.
    pub keys_max: usize,
}

impl Default for WorkBudget {
    fn default() -> Self {
        Self { vectors: crate::vector::StepBudget::default(), keys_max: 4_096 }
    }
}

/// What one step did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WorkReport {
    /// Vectors linked into a graph.
    pub linked: usize,
    /// Vectors quantised for a change of codes.
    pub coded: usize,
    /// Slots that vector indexes gave back: written anew, their files are smaller.
    pub given_back: usize,
    /// Shards inspected for due work.
    pub inspected: usize,
    /// Keys of the inverted index that compaction, merges and rebuilds read.
    pub compacted: usize,
    /// Dropped collections and shards removed.
    pub purged: usize,
    /// Whether another step would find something to do.
    pub more: bool,
}

/// Which threads are in a step, and when the last one found nothing to do.
pub(super) struct Turns {
    /// Steps begun.
    begun: AtomicU64,
    /// Threads in a step.
    workers: AtomicUsize,
    /// [`Maintenance::activity`] when a step began that found nothing to do.
    idle_at: AtomicU64,
}

impl Default for Turns {
    fn default() -> Self {
        Self { begun: AtomicU64::default(), workers: AtomicUsize::default(), idle_at: AtomicU64::new(u64::MAX) }
    }
}

impl Maintenance {
    /// One bounded step of background work on the group: links pending vectors, repairs graphs, compacts the inverted
    /// index, removes dropped data.
    ///
    /// # Errors
    /// Storage errors; the node must stop.
    pub(crate) fn work(&self, state: &State, budget: &WorkBudget) -> Result<WorkReport> {
        let mut report = WorkReport::default();
        self.let_go();
        self.free_ended();
        self.unload(state);
        let activity = self.activity();
        if self.turns.idle_at.load(Ordering::Acquire) == activity {
            return Ok(report);
        }
        let turn = self.turns.begun.fetch_add(1, Ordering::AcqRel) + 1;
        let others = self.turns.workers.fetch_add(1, Ordering::AcqRel);
        let result = self.step(state, budget, &mut report);
        self.turns.workers.fetch_sub(1, Ordering::AcqRel);
        result?;
        // Another worker may still produce work, so only a lone worker may mark the group idle.
        if !report.more && others == 0 && self.turns.begun.load(Ordering::Acquire) == turn {
            self.turns.idle_at.store(activity, Ordering::Release);
        }
        Ok(report)
    }

    fn step(&self, state: &State, budget: &WorkBudget, report: &mut WorkReport) -> Result<()> {
        report.inspected = self.inspect_some(state)?;
        self.indexes.work(budget.vectors, report);
        if let Some(_writing) = self.writing.try_lock() {
            self.purge(state, report)?;
            self.compact(state, budget.keys_max, report)?;
        }
        report.more |= self.queue.lock().has_inspections();
        self.indexes.keep_budget();
        Ok(())
    }

    /// Grows with every event that background work can follow from.
    fn activity(&self) -> u64 {
        self.requests.load(Ordering::Acquire).wrapping_add(self.indexes.uses())
    }
}
