//! Records of a shard in the `meta` family.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::ids::{GroupId, PropertyId, ShardKey, VectorId};
use crate::inverted::DocSet;
use crate::storage::key::{self, MetaKey};
use crate::storage::{Changes, Family, Store, StoreView, record};

/// State of a shard that is not derivable from its rows, or costly to derive.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ShardRecord {
    /// Next doc id to give out.
    pub next_doc_id: u64,
    /// Length of the vectors, fixed by the first object.
    pub dimensions: BTreeMap<VectorId, u32>,
    /// Statistics of searchable properties over the live objects, exact.
    pub lengths: BTreeMap<PropertyId, LengthStats>,
}

impl ShardRecord {
    /// Subtracts an object with so many tokens from a property's statistics. An object that could not be read when it
    /// was removed stays counted, so the statistics may be above the true figures, and are never below zero.
    pub(crate) fn uncount(&mut self, property: PropertyId, tokens: u32) {
        let Some(stats) = self.lengths.get_mut(&property) else { return };
        stats.objects = stats.objects.saturating_sub(1);
        stats.tokens = stats.tokens.saturating_sub(u64::from(tokens)).max(stats.objects);
        if stats.objects == 0 {
            self.lengths.remove(&property);
        }
    }
}

/// Statistics of a searchable property.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LengthStats {
    /// Live objects with at least one token.
    pub objects: u64,
    /// Tokens of these objects.
    pub tokens: u64,
}

/// The progress of the compaction of a shard's inverted index.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CompactionRecord {
    /// Key to go on from; `None` when no compaction is running.
    pub cursor: Option<Vec<u8>>,
    /// Doc ids below this one are covered by the compaction that runs or ran last.
    pub upto: u64,
    /// Doc ids below `upto` that were live when that compaction began.
    pub live: u64,
    /// Segments that begin below this doc id are merged.
    pub merged_below: u64,
}

impl CompactionRecord {
    /// Reads a shard's record; a record that was never written is empty. An unreadable record costs a compaction
    /// of the whole index.
    pub(crate) fn load(store: &Store, group: GroupId, at: ShardKey) -> Result<Self> {
        let bytes = store.get(Family::Meta, &key::meta(group, MetaKey::Compaction, &key::shard_bytes(at)))?;
        Ok(bytes.and_then(|bytes| record::decode("compaction", &bytes).ok()).unwrap_or_default())
    }

    /// As [`CompactionRecord::load`], at the moment of a view.
    pub(crate) fn at(view: &StoreView<'_>, group: GroupId, at: ShardKey) -> Result<Self> {
        let bytes = view.get(Family::Meta, &key::meta(group, MetaKey::Compaction, &key::shard_bytes(at)))?;
        Ok(bytes.and_then(|bytes| record::decode("compaction", &bytes).ok()).unwrap_or_default())
    }

    /// Entries whose doc ids are all below this one, and that have keys of their own, hold doc ids of `live` alone: a
    /// compaction has removed the others, and none has died since.
    pub(crate) fn clean_below(&self, live: &DocSet) -> u64 {
        let is_clean = self.cursor.is_none() && self.upto > 0 && live.rank(self.upto - 1) == self.live;
        if is_clean { self.upto } else { 0 }
    }

    /// Adds the record to `changes`.
    pub(crate) fn put(&self, changes: &mut Changes<'_>, group: GroupId, at: ShardKey) -> Result<()> {
        changes.put(
            Family::Meta,
            &key::meta(group, MetaKey::Compaction, &key::shard_bytes(at)),
            &record::encode(self)?,
        );
        Ok(())
    }
}

/// A part of the inverted index that earlier versions did not write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    /// Column values.
    Columns,
    /// Values inside of objects.
    Nested,
}

impl Part {
    /// All parts.
    pub(crate) const ALL: [Self; 2] = [Self::Columns, Self::Nested];

    fn tag(self) -> MetaKey {
        match self {
            Self::Columns => MetaKey::Columns,
            Self::Nested => MetaKey::Nested,
        }
    }
}

/// Which objects of a shard have entries of a part.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PartRecord {
    /// Objects from this doc id on have them.
    pub from: u64,
    /// `began_at` of the running rebuild that gives them to all objects.
    pub rebuild: Option<u64>,
}

impl PartRecord {
    /// Reads a shard's record; `None` for a shard that an earlier version wrote. An unreadable record costs a rebuild.
    pub(crate) fn load(store: &Store, group: GroupId, at: ShardKey, part: Part) -> Result<Option<Self>> {
        let bytes = store.get(Family::Meta, &key::meta(group, part.tag(), &key::shard_bytes(at)))?;
        Ok(bytes.and_then(|bytes| record::decode("part of the index", &bytes).ok()))
    }

    /// Adds the record to `changes`.
    pub(crate) fn put(&self, changes: &mut Changes<'_>, group: GroupId, at: ShardKey, part: Part) -> Result<()> {
        let key = key::meta(group, part.tag(), &key::shard_bytes(at));
        changes.put(Family::Meta, &key, &record::encode(self)?);
        Ok(())
    }
}

/// The progress of the rebuild of a shard's inverted index; there is no record when no rebuild is running.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RebuildRecord {
    /// Doc ids below this one had been given out when the rebuild began.
    pub began_at: u64,
    /// Rows below this doc id are still to be indexed; `None` when all are.
    pub rows_below: Option<u64>,
    /// Key from which on entries are still to be checked; `None` for the shard's first.
    pub cursor: Option<Vec<u8>>,
}

impl RebuildRecord {
    /// Reads a shard's record. An unreadable record counts as no record: the damage to the index will be noticed again.
    pub(crate) fn load(store: &Store, group: GroupId, at: ShardKey) -> Result<Option<Self>> {
        let bytes = store.get(Family::Meta, &key::meta(group, MetaKey::Rebuild, &key::shard_bytes(at)))?;
        Ok(bytes.and_then(|bytes| record::decode("rebuild", &bytes).ok()))
    }

    /// Adds the record, or its end, to `changes`.
    pub(crate) fn put(record: Option<&Self>, changes: &mut Changes<'_>, group: GroupId, at: ShardKey) -> Result<()> {
        let key = key::meta(group, MetaKey::Rebuild, &key::shard_bytes(at));
        match record {
            Some(record) => changes.put(Family::Meta, &key, &record::encode(record)?),
            None => changes.delete(Family::Meta, &key),
        }
        Ok(())
    }
}
