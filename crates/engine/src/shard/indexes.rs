//! The vector indexes of a shard: opened when first needed, brought up to date from the rows, dropped when idle and small.
//!
//! An index is derived state. Opening one compares the content of its files with the doc ids that have the vector, and
//! inserts and deletes the difference; vectors never change under a doc id. Apply adds to an index as soon as its files
//! are read, so that no write waits for the opening.
//!
//! An index in memory holds every document of every state that a reader may hold, from the state on at which it was
//! opened ([`ShardIndexes::holding`]): apply adds documents before it publishes them, and documents are deleted when no
//! reader's state has them any more ([`Shard::depart`]). So an index may return documents that a reader's state does
//! not have, and never lacks a document that the state has.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard, RwLock};
use roaring::RoaringTreemap;

use super::doc_index::DocIndex;
use super::{Shard, ShardView};
use crate::error::panic_text;
use crate::ids::{CollectionId, DocId, ShardId, ShardKey, VectorId};
use crate::inverted::DocSet;
use crate::object::{Vector, codec};
use crate::schema::VectorConfig;
use crate::storage::{Family, Store, key};
use crate::vector::{IndexOptions, VectorError};
use crate::{Error, Result, interrupt};

/// A read that waits for an index to be opened checks its interrupt this often.
const OPENING_LOOK: Duration = Duration::from_millis(20);

/// The vector indexes of one shard.
#[derive(Default)]
pub(crate) struct ShardIndexes {
    /// Serialises apply with index loading: an apply holds it from the addition to the indexes until its publication.
    committing: Mutex<()>,
    slots: Mutex<BTreeMap<VectorId, Arc<Slot>>>,
    /// How often an index failed since the shard was loaded.
    failures: AtomicU64,
}

/// The index of one vector: whether it is in memory, and its counters.
#[derive(Default)]
struct Slot {
    /// Held while an index is being opened, so that it is opened once.
    opening: Mutex<()>,
    residency: RwLock<Residency>,
    /// Time of the last use, by the logical clock of the index cache.
    used: AtomicU64,
    /// Documents that waited for nothing when the index last left memory.
    settled: AtomicU64,
    /// The index failed: it must not be used, and its files must not be read.
    failed: AtomicBool,
}

/// Whether an index is in memory.
#[derive(Clone, Default)]
enum Residency {
    #[default]
    OnDisk,
    /// Apply adds to it; searches do not use it yet.
    Opening(Arc<DocIndex>),
    /// `since`: [`removals`](super::shard::ShardState::removals) of the state that it was opened by.
    InMemory { index: Arc<DocIndex>, since: u64 },
}

impl Slot {
    /// The index, if searches may use it.
    fn loaded(&self) -> Option<Arc<DocIndex>> {
        match &*self.residency.read() {
            Residency::InMemory { index, .. } => Some(index.clone()),
            Residency::OnDisk | Residency::Opening(_) => None,
        }
    }

    /// The index, if apply adds to it.
    fn known(&self) -> Option<Arc<DocIndex>> {
        match &*self.residency.read() {
            Residency::InMemory { index, .. } | Residency::Opening(index) => Some(index.clone()),
            Residency::OnDisk => None,
        }
    }

    /// Waits until no other thread opens the index.
    fn lock_opening(&self) -> Result<MutexGuard<'_, ()>> {
        loop {
            if let Some(guard) = self.opening.try_lock_for(OPENING_LOOK) {
                return Ok(guard);
            }
            interrupt::check()?;
        }
    }
}

/// The inputs for opening an index, beside the shard.
pub(crate) struct Opening<'a> {
    pub store: &'a Store,
    /// Folder of the group's index files.
    pub dir: &'a Path,
    pub config: &'a VectorConfig,
    pub options: IndexOptions,
    /// The logical clock for LRU eviction.
    pub clock: &'a AtomicU64,
    /// Counts the uses of the group's indexes.
    pub uses: &'a AtomicU64,
    /// List that an opened index is added to.
    pub opened: &'a Mutex<Vec<(Arc<Shard>, VectorId)>>,
}

impl ShardIndexes {
    /// Held by an apply before it adds to the indexes and until it is published; other threads hold it only for a
    /// moment.
    pub(crate) fn committing(&self) -> MutexGuard<'_, ()> {
        self.committing.lock()
    }

    fn slot(&self, vector: VectorId) -> Arc<Slot> {
        self.slots.lock().entry(vector).or_default().clone()
    }

    /// The index, if it is in memory.
    pub(crate) fn loaded(&self, vector: VectorId) -> Option<Arc<DocIndex>> {
        let slot = self.slots.lock().get(&vector).cloned()?;
        slot.loaded()
    }

    /// The index, if it is in memory and holds every document of the view. If it does not, it was opened after the view was
    /// taken, and holds every document of a newer one.
    pub(crate) fn holding(&self, vector: VectorId, view: &ShardView<'_>) -> Option<Arc<DocIndex>> {
        let slot = self.slots.lock().get(&vector).cloned()?;
        match &*slot.residency.read() {
            Residency::InMemory { index, since } if *since <= view.state.removals => Some(index.clone()),
            _ => None,
        }
    }

    /// The index, if apply adds to it: it is in memory, or is being opened.
    fn known(&self, vector: VectorId) -> Option<Arc<DocIndex>> {
        let slot = self.slots.lock().get(&vector).cloned()?;
        slot.known()
    }

    /// The index with the time of its last use, if it is in memory.
    pub(crate) fn loaded_since(&self, vector: VectorId) -> Option<(u64, Arc<DocIndex>)> {
        let slot = self.slots.lock().get(&vector).cloned()?;
        let index = slot.loaded()?;
        Some((slot.used.load(Ordering::Relaxed), index))
    }

    /// Vectors that wait to be linked into the graph; for an index that is not in memory as many documents of `members` as
    /// came since it was, all of them before it is first opened.
    pub(crate) fn waiting(&self, vector: VectorId, members: u64) -> u64 {
        let Some(slot) = self.slots.lock().get(&vector).cloned() else { return members };
        match slot.loaded() {
            Some(index) => index.vectors().pending_len() as u64,
            None => members.saturating_sub(slot.settled.load(Ordering::Relaxed)),
        }
    }

    /// All indexes in memory, those that are being opened too.
    pub(crate) fn all_known(&self) -> Vec<(VectorId, Arc<DocIndex>)> {
        let slots = self.slots.lock();
        slots.iter().filter_map(|(vector, slot)| Some((*vector, slot.known()?))).collect()
    }

    /// Drops the index from memory; its files stay.
    pub(crate) fn unload(&self, vector: VectorId) {
        let slot = self.slot(vector);
        let Some(index) = slot.loaded() else { return };
        let settled = if index.vectors().pending_len() == 0 { index.live_ids().len() } else { 0 };
        let mut residency = slot.residency.write();
        if matches!(&*residency, Residency::InMemory { index: present, .. } if Arc::ptr_eq(present, &index)) {
            slot.settled.store(settled, Ordering::Relaxed);
            *residency = Residency::OnDisk;
        }
        // Its memory is given back outside of the lock.
        drop(residency);
    }

    /// Adds vectors to the indexes in memory. An apply does so before it is published, and holds
    /// [`ShardIndexes::committing`] until it is published: a reader that sees the apply finds the vectors. An index
    /// that fails is built anew from the rows when it is needed next; the apply goes on.
    pub(crate) fn add(&self, at: ShardKey, added: &BTreeMap<VectorId, Vec<Added<'_>>>) {
        for (vector, added) in added {
            let Some(index) = self.known(*vector) else { continue };
            let insert = |(doc_id, values): &Added<'_>| insert(&index, *doc_id, values);
            self.contained(at, *vector, || added.iter().try_for_each(insert));
        }
    }

    /// Takes documents out of the indexes in memory, once no reader's state has them. Failures are handled as in
    /// [`ShardIndexes::add`].
    pub(crate) fn remove(&self, at: ShardKey, removed: &[(VectorId, DocId)]) {
        let mut by_vector: BTreeMap<VectorId, Vec<DocId>> = BTreeMap::new();
        for &(vector, doc_id) in removed {
            by_vector.entry(vector).or_default().push(doc_id);
        }
        for (vector, removed) in by_vector {
            let Some(index) = self.known(vector) else { continue };
            self.contained(at, vector, || {
                removed.iter().for_each(|doc_id| _ = index.delete(*doc_id));
                Ok(())
            });
        }
    }

    /// Works on an index. When that fails or panics, the index is dropped with its files, to be built from the rows.
    pub(crate) fn contained<T>(&self, at: ShardKey, vector: VectorId, work: impl FnOnce() -> Result<T>) -> Option<T> {
        let why = match catch_unwind(AssertUnwindSafe(work)) {
            Ok(Ok(done)) => return Some(done),
            Ok(Err(error)) => error.to_string(),
            Err(panic) => panic_text(panic.as_ref()),
        };
        self.failed(at, vector, &why);
        None
    }

    /// Drops an index that failed.
    fn failed(&self, at: ShardKey, vector: VectorId, why: &str) {
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
        *slot.residency.write() = Residency::OnDisk;
    }

    /// Whether an index failed and was not opened since: its files must not be read.
    pub(crate) fn has_failed(&self) -> bool {
        self.slots.lock().values().any(|slot| slot.failed.load(Ordering::Acquire))
    }

    /// How often an index failed since the shard was loaded.
    pub(crate) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }
}

/// A vector that an apply adds.
pub(crate) type Added<'v> = (DocId, &'v Vector);

impl Shard {
    /// The index of a vector, opened if need be. Once begun, opening goes on when the read that began it is interrupted.
    ///
    /// # Errors
    /// [`Error::Limit`] when it cannot be built; everything but searches by this vector goes on.
    pub(crate) fn index(self: &Arc<Self>, vector: VectorId, opening: &Opening<'_>) -> Result<Arc<DocIndex>> {
        let slot = self.indexes.slot(vector);
        slot.used.store(opening.clock.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
        opening.uses.fetch_add(1, Ordering::Relaxed);
        if let Some(index) = slot.loaded() {
            return Ok(index);
        }
        let _opening = slot.lock_opening()?;
        if let Some(index) = slot.loaded() {
            return Ok(index);
        }
        let open = || interrupt::shielded(|| self.open_index(vector, opening, &slot));
        catch_unwind(AssertUnwindSafe(open)).unwrap_or_else(|panic| {
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
        // Deletes while no other thread knows the index. Files may hold doc ids that a crash took back and apply gives
        // out again.
        let present = members(&view, vector);
        for doc_id in &index.live_ids() - &present {
            index.delete(DocId(doc_id));
        }
        drop(view);
        let index = Arc::new(index);
        *slot.residency.write() = Residency::Opening(index.clone());
        let caught_up = self.catch_up(vector, opening.store, &index, present);
        let mut residency = slot.residency.write();
        // The index failed when apply added to it.
        if !matches!(&*residency, Residency::Opening(of) if Arc::ptr_eq(of, &index)) {
            return Err(Error::Limit(format!("the index of vector {vector} failed while it was opened")));
        }
        *residency = Residency::OnDisk;
        let since = caught_up?;
        *residency = Residency::InMemory { index: index.clone(), since };
        drop(residency);
        opening.opened.lock().push((self.clone(), vector));
        Ok(index)
    }

    /// Brings an index that apply adds to, and that holds none but `present` documents of an earlier state, to the state of
    /// now. Returns the removals of that state.
    fn catch_up(&self, vector: VectorId, store: &Store, index: &DocIndex, present: RoaringTreemap) -> Result<u64> {
        // An apply that did not know of the index is published when this returns, so its documents are in the view.
        drop(self.indexes.committing());
        let view = self.view(store);
        let wanted = members(&view, vector);
        for doc_id in present - &wanted {
            index.delete(DocId(doc_id));
        }
        let missing = wanted - index.live_ids();
        index.reserve(missing.len());
        each_vector(self, vector, &view, &missing, |doc_id, values| match values {
            Ok(values) => insert(index, doc_id, &values),
            Err(error) => {
                self.unreadable.note(self.at, doc_id, &error);
                Ok(())
            }
        })?;
        Ok(view.state.removals)
    }
}

/// Documents of the view that have the vector.
fn members(view: &ShardView<'_>, vector: VectorId) -> RoaringTreemap {
    view.state.with_vector.get(&vector).map(DocSet::to_treemap).unwrap_or_default()
}

/// Reads the vectors of `doc_ids`, ascending; each must have a row. `take` gets the error of each row that cannot be
/// decoded.
pub(crate) fn each_vector(
    shard: &Shard,
    vector: VectorId,
    view: &ShardView<'_>,
    doc_ids: impl IntoIterator<Item = u64>,
    mut take: impl FnMut(DocId, Result<Vector>) -> Result<()>,
) -> Result<()> {
    let mut doc_ids = doc_ids.into_iter().peekable();
    if doc_ids.peek().is_none() {
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
pub(crate) fn index_dir(dir: &Path, at: ShardKey, vector: VectorId) -> PathBuf {
    dir.join(format!("c{}-s{}-v{vector}", at.collection, at.shard))
}

/// The shard in the name of an index folder; see [`index_dir`].
pub(crate) fn shard_of_index_dir(name: &str) -> Option<ShardKey> {
    let (collection, rest) = name.strip_prefix('c')?.split_once("-s")?;
    let (shard, _) = rest.split_once("-v")?;
    Some(ShardKey { collection: CollectionId(collection.parse().ok()?), shard: ShardId(shard.parse().ok()?) })
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
