//! Compaction of inverted indexes: which step a shard needs next, and its record.

use super::{Maintenance, WorkReport};
use crate::data::State;
use crate::ids::ShardKey;
use crate::inverted::writer::{compaction, merge};
use crate::shard::ShardState;
use crate::shard::records::CompactionRecord;
use crate::{Error, Result};

impl Maintenance {
    /// Whether enough doc ids came or went since the last compaction, or one is running.
    pub(super) fn compaction_is_due(&self, state: &State, at: ShardKey, present: &ShardState) -> Result<bool> {
        let last = CompactionRecord::load(&state.store, state.group, at)?;
        let came = present.record.next_doc_id.saturating_sub(last.upto);
        let live = if last.upto == 0 { 0 } else { present.live.rank(last.upto - 1) };
        let went = last.live.saturating_sub(live);
        Ok(last.cursor.is_some() || came + went > self.compaction_changes_min.max(last.live / 2))
    }

    /// Compacts a part of one shard's inverted index.
    pub(super) fn compact(&self, state: &State, keys_max: usize, report: &mut WorkReport) -> Result<()> {
        let Some(at) = self.queue.lock().next_compaction() else { return Ok(()) };
        let goes_on = match self.compact_shard(state, at, keys_max, report) {
            Err(Error::DamagedIndex(why)) => self.begin_rebuild(at, &why),
            other => other?,
        };
        let mut queue = self.queue.lock();
        queue.done(at);
        if goes_on {
            queue.compact(at);
        }
        report.more |= queue.has_compactions();
        Ok(())
    }

    /// One step of a rebuild, a merge or a compaction. Returns whether the shard needs another step.
    ///
    /// An inactive shard takes no step, so that background work does not load it again: its next inspection, when it becomes
    /// active, goes on from the records.
    fn compact_shard(&self, state: &State, at: ShardKey, keys_max: usize, report: &mut WorkReport) -> Result<bool> {
        if state.is_inactive(at) {
            return Ok(false);
        }
        let Ok((schema, shard)) = state.known(at) else { return Ok(false) };
        if self.rebuild_step(state, &schema, &shard, keys_max, report)? {
            return Ok(true);
        }
        let view = shard.newest(&state.store);
        if merge::is_due(&view.index())? {
            let mut changes = state.store.changes();
            let step = merge::step(&view.index(), &mut changes)?;
            let record = CompactionRecord::load(&state.store, state.group, at)?;
            CompactionRecord { merged_below: step.upto.0, ..record }.put(&mut changes, state.group, at)?;
            changes.write()?;
            shard.set_segments_from(step.upto.0);
            report.compacted += step.entries;
            return Ok(true);
        }
        let mut record = CompactionRecord::load(&state.store, state.group, at)?;
        if record.cursor.is_none() {
            if !self.compaction_is_due(state, at, &view.state)? {
                return Ok(false);
            }
            record.upto = view.state.record.next_doc_id;
            record.live = view.state.live.len();
        }
        let mut changes = state.store.changes();
        let step = compaction::step(&view.index(), record.cursor.as_deref(), keys_max, &mut changes)?;
        report.compacted += step.keys;
        record.cursor = step.cursor;
        let running = record.cursor.is_some();
        record.put(&mut changes, state.group, at)?;
        changes.write()?;
        Ok(running)
    }
}
