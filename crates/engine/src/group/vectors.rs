//! The vector indexes of a shard: opened when first needed, brought up to date from the rows, dropped when idle and small.
//!
//! An index is derived state. Opening one compares what its files hold with the doc ids that have the vector, and inserts
//! and deletes the difference; vectors never change under a doc id. From then on apply tells it of every change.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::{Mutex, ReentrantMutex, ReentrantMutexGuard, RwLock};
use roaring::RoaringTreemap;

use super::contain::panic_text;
use super::doc_index::DocIndex;
use super::shard::{Shard, ShardView};
use super::store::{Family, Store};
use crate::command::At;
use crate::ids::{DocId, VectorId};
use crate::key;
use crate::object::{Vector, codec};
use crate::schema::VectorConfig;
use crate::vector::{IndexOptions, VectorError};
use crate::{Error, Result};

/// The vector indexes of one shard.
#[derive(Default)]
pub(crate) struct ShardIndexes {
    /// Held by an apply from before it tells the indexes of what it adds until they know all of it, and by whoever needs
    /// indexes and published state to agree.
    steady: ReentrantMutex<()>,
    slots: Mutex<BTreeMap<VectorId, Arc<Slot>>>,
    /// How often an index failed since the shard was loaded.
    failures: AtomicU64,
}

/// Where the index of one vector is, when it is in memory.
#[derive(Default)]
struct Slot {
    /// Held while an index is being opened, so that it is opened once.
    opening: Mutex<()>,
    open: RwLock<Option<Arc<DocIndex>>>,
    /// Time of the last use, as the group's clock of uses counts.
    used: AtomicU64,
    /// Documents that waited for nothing when the index last left memory.
    settled: AtomicU64,
    /// It failed: it is not to be used, and its files are not to be read.
    failed: AtomicBool,
}

/// What opening an index needs to know beside the shard.
pub(crate) struct Opening<'a> {
    pub store: &'a Store,
    /// Folder of the group's index files.
    pub dir: &'a Path,
    pub config: &'a VectorConfig,
    pub options: IndexOptions,
    /// The group's clock of uses.
    pub uses: &'a AtomicU64,
    /// Where an index that was opened is listed.
    pub opened: &'a Mutex<Vec<(Arc<Shard>, VectorId)>>,
}

impl ShardIndexes {
    /// Keeps apply out: while the guard lives, the indexes hold what is published.
    pub(crate) fn hold(&self) -> ReentrantMutexGuard<'_, ()> {
        self.steady.lock()
    }

    fn slot(&self, vector: VectorId) -> Arc<Slot> {
        self.slots.lock().entry(vector).or_default().clone()
    }

    /// The index, if it is in memory.
    pub(crate) fn loaded(&self, vector: VectorId) -> Option<Arc<DocIndex>> {
        let slot = self.slots.lock().get(&vector).cloned()?;
        slot.open.read().clone()
    }

    /// The index with the time of its last use, if it is in memory.
    pub(crate) fn loaded_since(&self, vector: VectorId) -> Option<(u64, Arc<DocIndex>)> {
        let slot = self.slots.lock().get(&vector).cloned()?;
        let index = slot.open.read().clone()?;
        Some((slot.used.load(Ordering::Relaxed), index))
    }

    /// Vectors that wait to be linked into the graph; for an index that is not in memory as many documents of `members` as
    /// came since it was, all of them before it is first opened.
    pub(crate) fn waiting(&self, vector: VectorId, members: u64) -> u64 {
        let Some(slot) = self.slots.lock().get(&vector).cloned() else { return members };
        match &*slot.open.read() {
            Some(index) => index.vectors().pending_len() as u64,
            None => members.saturating_sub(slot.settled.load(Ordering::Relaxed)),
        }
    }

    /// All indexes in memory.
    pub(crate) fn all_loaded(&self) -> Vec<(VectorId, Arc<DocIndex>)> {
        let slots = self.slots.lock();
        slots.iter().filter_map(|(vector, slot)| Some((*vector, slot.open.read().clone()?))).collect()
    }

    /// Drops the index from memory; its files stay.
    pub(crate) fn unload(&self, vector: VectorId) {
        let slot = self.slot(vector);
        let _steady = self.hold();
        if let Some(index) = slot.open.write().take() {
            let settled = if index.vectors().pending_len() == 0 { index.live_ids().len() } else { 0 };
            slot.settled.store(settled, Ordering::Relaxed);
        }
    }

    /// Adds vectors to the indexes in memory. An apply does so before it is published, holding [`ShardIndexes::hold`] on to
    /// [`ShardIndexes::remove`]: a reader that sees it finds them.
    /// An index that fails is built anew from the rows when it is needed next; the apply goes on.
    pub(crate) fn add(&self, at: At, added: &BTreeMap<VectorId, Vec<Added<'_>>>) {
        for (vector, added) in added {
            let Some(index) = self.loaded(*vector) else { continue };
            let insert = |(doc_id, values): &Added<'_>| insert(&index, *doc_id, values);
            self.contained(at, *vector, || added.iter().try_for_each(insert));
        }
    }

    /// Takes doc ids out of the indexes in memory, after the apply was published. What fails, as in [`ShardIndexes::add`].
    pub(crate) fn remove(&self, at: At, removed: &BTreeMap<VectorId, Vec<DocId>>) {
        for (vector, removed) in removed {
            let Some(index) = self.loaded(*vector) else { continue };
            self.contained(at, *vector, || {
                removed.iter().for_each(|doc_id| _ = index.delete(*doc_id));
                Ok(())
            });
        }
    }

    /// Works on an index. When that fails or panics, the index is dropped with its files, to be built from the rows.
    pub(crate) fn contained<T>(&self, at: At, vector: VectorId, work: impl FnOnce() -> Result<T>) -> Option<T> {
        let why = match catch_unwind(AssertUnwindSafe(work)) {
            Ok(Ok(done)) => return Some(done),
            Ok(Err(error)) => error.to_string(),
            Err(panic) => panic_text(panic.as_ref()),
        };
        self.failed(at, vector, &why);
        None
    }

    /// Drops an index that failed.
    fn failed(&self, at: At, vector: VectorId, why: &str) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        let (collection, shard, vector_id) = (at.collection.0, at.shard.0, vector.0);
        tracing::error!(
            collection,
            shard,
            vector_id,
            why,
            "a vector index failed and is built anew; please report this"
        );
        let slot = self.slot(vector);
        slot.failed.store(true, Ordering::Release);
        slot.settled.store(0, Ordering::Relaxed);
        *slot.open.write() = None;
    }

    /// How often an index failed since the shard was loaded.
    pub(crate) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }
}

/// A vector that an apply adds.
pub(crate) type Added<'v> = (DocId, &'v Vector);

impl Shard {
    /// The index of a vector, opened if need be.
    ///
    /// # Errors
    /// [`Error::Limit`] when it cannot be built; everything but searches by this vector goes on.
    pub(crate) fn index(self: &Arc<Self>, vector: VectorId, opening: &Opening<'_>) -> Result<Arc<DocIndex>> {
        let slot = self.indexes.slot(vector);
        slot.used.store(opening.uses.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
        if let Some(index) = slot.open.read().clone() {
            return Ok(index);
        }
        let _opening = slot.opening.lock();
        if let Some(index) = slot.open.read().clone() {
            return Ok(index);
        }
        catch_unwind(AssertUnwindSafe(|| self.open_index(vector, opening, &slot))).unwrap_or_else(|panic| {
            let why = panic_text(panic.as_ref());
            self.indexes.failed(self.at, vector, &why);
            Err(Error::Limit(format!("the index of vector {vector} cannot be built: {why}")))
        })
    }

    fn open_index(self: &Arc<Self>, vector: VectorId, opening: &Opening<'_>, slot: &Slot) -> Result<Arc<DocIndex>> {
        let view = self.view(opening.store);
        let dimension = view.state.record.dimensions.get(&vector).map(|&dim| dim as usize);
        let dir = index_dir(opening.dir, self.at, vector);
        if slot.failed.swap(false, Ordering::AcqRel) && dir.exists() {
            std::fs::remove_dir_all(&dir)?;
        }
        let (index, report) = DocIndex::open(&dir, dimension, opening.config, opening.options);
        for dropped in &report.dropped {
            tracing::warn!(collection = self.at.collection.0, shard = self.at.shard.0, vector = vector.0, "{dropped}");
        }
        // Most of the difference without keeping apply out, the rest with.
        reconcile(&index, self, vector, &view)?;
        drop(view);
        let _steady = self.indexes.hold();
        reconcile(&index, self, vector, &self.view(opening.store))?;
        let index = Arc::new(index);
        *slot.open.write() = Some(index.clone());
        opening.opened.lock().push((self.clone(), vector));
        Ok(index)
    }
}

/// Brings an index to the doc ids that have the vector.
fn reconcile(index: &DocIndex, shard: &Shard, vector: VectorId, view: &ShardView<'_>) -> Result<()> {
    let none = RoaringTreemap::new();
    let wanted = view.state.with_vector.get(&vector).unwrap_or(&none);
    let held = index.live_ids();
    for doc_id in &held - wanted {
        index.delete(DocId(doc_id));
    }
    let missing = wanted - &held;
    index.reserve(missing.len());
    each_vector(shard, vector, view, &missing, |doc_id, values| match values {
        Ok(values) => insert(index, doc_id, &values),
        Err(error) => {
            shard.unreadable.note(shard.at, doc_id, &error);
            Ok(())
        }
    })
}

/// Reads the vectors of `doc_ids`, ascending; each must be there. `take` is told of those that cannot be decoded.
pub(crate) fn each_vector(
    shard: &Shard,
    vector: VectorId,
    view: &ShardView<'_>,
    doc_ids: &RoaringTreemap,
    mut take: impl FnMut(DocId, Result<Vector>) -> Result<()>,
) -> Result<()> {
    if doc_ids.is_empty() {
        return Ok(());
    }
    let first = shard.prefix.vector(vector, DocId(0));
    let mut cursor = view.store.cursor(Family::Vectors, &first[..first.len() - key::DOC_BYTES], None);
    let mut placed = false;
    for doc_id in doc_ids {
        let wanted = shard.prefix.vector(vector, DocId(doc_id));
        if placed {
            cursor.next();
        }
        // The next row is the wanted one where doc ids are dense; anything else is looked for.
        placed = placed && cursor.item()?.is_some_and(|(key, _)| key == wanted.as_slice());
        if !placed {
            cursor.seek(&wanted);
        }
        match cursor.item()? {
            Some((key, row)) if key == wanted.as_slice() => take(DocId(doc_id), codec::decode_vector(row))?,
            _ => return Err(Error::Damaged(format!("vector {vector} of doc id {doc_id} has no row"))),
        }
        placed = true;
    }
    Ok(())
}

/// Folder of an index' files.
pub(crate) fn index_dir(dir: &Path, at: At, vector: VectorId) -> PathBuf {
    dir.join(format!("c{}-s{}-v{vector}", at.collection, at.shard))
}

fn insert(index: &DocIndex, doc_id: DocId, values: &Vector) -> Result<()> {
    index.insert(doc_id, values).map_err(|error| match error {
        VectorError::Full => Error::Limit(error.to_string()),
        VectorError::Dimension { .. }
        | VectorError::DimensionRange(_)
        | VectorError::NotFinite(_)
        | VectorError::Rows { .. } => Error::Invalid(format!("vector of doc id {doc_id}: {error}")),
        VectorError::Skipped => Error::Invalid(error.to_string()),
    })
}
