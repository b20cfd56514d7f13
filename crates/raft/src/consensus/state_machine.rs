//! A group's state machine as openraft wants to see it.
//!
//! The engine is synchronous: everything that touches the disk runs on threads that may block. Any error stops the
//! core, and with it the node: state that missed an entry must not answer.

use std::iter::Peekable;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use azimuth_engine::command::Outcome;
use azimuth_engine::replica::{Entry, EntryBody, LogPosition, StateMachine};
use bytes::Bytes;
use openraft::storage::RaftStateMachine;
use openraft::{EntryPayload, LogId, RaftSnapshotBuilder, Snapshot, SnapshotMeta, StoredMembership};

use super::membership::{self, Peer};
use super::proposal::Proposal;
use super::snapshot::SnapshotStore;
use super::types::{self, SnapshotDir, StorageError, TypeConfig};

/// Bytes of entries that are applied in one write, or one larger entry.
const PART_BYTES_MAX: usize = 4 << 20;

/// Replaces the state by what a snapshot directory holds.
pub(crate) type Install<S> = fn(&S, &Path) -> azimuth_engine::Result<()>;

/// Refuses: a group with one voter never gets a snapshot from somebody else.
pub(crate) fn refuse_install<S>(_state: &S, _dir: &Path) -> azimuth_engine::Result<()> {
    Err(azimuth_engine::Error::Unsupported("installing a snapshot from another node".into()))
}

/// The state machine of a group.
pub(crate) struct StateAdapter<S> {
    state: Arc<S>,
    snapshots: Arc<SnapshotStore>,
    install: Install<S>,
    /// Microseconds spent on applying entries.
    apply_us: Arc<AtomicU64>,
}

impl<S: StateMachine> StateAdapter<S> {
    /// Gives openraft a state machine. The time spent on applying entries is added to `apply_us`.
    pub(crate) fn new(
        state: Arc<S>,
        snapshots: Arc<SnapshotStore>,
        install: Install<S>,
        apply_us: Arc<AtomicU64>,
    ) -> Self {
        Self { state, snapshots, install, apply_us }
    }
}

impl<S> Clone for StateAdapter<S> {
    fn clone(&self) -> Self {
        Self {
            state: self.state.clone(),
            snapshots: self.snapshots.clone(),
            install: self.install,
            apply_us: self.apply_us.clone(),
        }
    }
}

/// Runs `work` on a thread that may block. A panic in it is a failure of the state.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StorageError> + Send + 'static,
) -> Result<T, StorageError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(panic) => Err(types::state_failed(&panic)),
    }
}

impl<S: StateMachine> RaftSnapshotBuilder<TypeConfig> for StateAdapter<S> {
    async fn build_snapshot(&mut self) -> Result<Snapshot<TypeConfig>, StorageError> {
        let (state, snapshots) = (self.state.clone(), self.snapshots.clone());
        blocking(move || snapshots.build(state.as_ref())).await
    }
}

impl<S: StateMachine> RaftStateMachine<TypeConfig> for StateAdapter<S> {
    type SnapshotBuilder = Self;

    async fn applied_state(&mut self) -> Result<(Option<LogId<u64>>, StoredMembership<u64, Peer>), StorageError> {
        let applied = self.state.applied().map_err(|error| types::state_failed(&error))?;
        Ok((applied.position.map(types::log_id), membership::stored(applied.membership.as_ref())?))
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<Vec<Outcome>>, StorageError>
    where
        I: IntoIterator<Item = openraft::Entry<TypeConfig>> + Send,
        I::IntoIter: Send,
    {
        let entries: Vec<_> = entries.into_iter().collect();
        let (state, apply_us) = (self.state.clone(), self.apply_us.clone());
        blocking(move || {
            let started = Instant::now();
            let mut outcomes = Vec::with_capacity(entries.len());
            let mut entries = entries.into_iter().peekable();
            while entries.peek().is_some() {
                outcomes.extend(apply_part(state.as_ref(), next_part(&mut entries))?);
            }
            let took_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
            apply_us.fetch_add(took_us, Ordering::Relaxed);
            Ok(outcomes)
        })
        .await
    }

    async fn get_snapshot_builder(&mut self) -> Self {
        self.clone()
    }

    async fn begin_receiving_snapshot(&mut self) -> Result<Box<SnapshotDir>, StorageError> {
        Ok(Box::new(self.snapshots.receiving()))
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta<u64, Peer>,
        snapshot: Box<SnapshotDir>,
    ) -> Result<(), StorageError> {
        let this = self.clone();
        let expected = meta.last_log_id.as_ref().map(types::position);
        blocking(move || {
            (this.install)(&this.state, &snapshot.path).map_err(|error| types::state_failed(&error))?;
            let built = this.snapshots.build(this.state.as_ref())?;
            if built.meta.last_log_id.as_ref().map(types::position) != expected {
                return Err(types::state_failed("an installed snapshot holds another position than it said"));
            }
            Ok(())
        })
        .await
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot<TypeConfig>>, StorageError> {
        self.snapshots.current()
    }
}

/// The next entries that are applied at once: a start has many to apply, whose effects are in memory until they are written.
fn next_part(
    entries: &mut Peekable<impl Iterator<Item = openraft::Entry<TypeConfig>>>,
) -> Vec<openraft::Entry<TypeConfig>> {
    let (mut part, mut bytes) = (Vec::new(), 0);
    while let Some(entry) = entries.next_if(|entry| part.is_empty() || bytes + payload_bytes(entry) <= PART_BYTES_MAX) {
        bytes += payload_bytes(&entry);
        part.push(entry);
    }
    part
}

fn payload_bytes(entry: &openraft::Entry<TypeConfig>) -> usize {
    match &entry.payload {
        EntryPayload::Normal(proposal) => proposal.payload().len(),
        EntryPayload::Blank | EntryPayload::Membership(_) => 0,
    }
}

fn apply_part<S: StateMachine>(
    state: &S,
    entries: Vec<openraft::Entry<TypeConfig>>,
) -> Result<Vec<Vec<Outcome>>, StorageError> {
    let count = entries.len();
    let kept: Vec<_> = entries.iter().map(Kept::new).collect();
    let entries = entries.into_iter().map(engine_entry).collect::<Result<Vec<_>, _>>()?;
    let again = |number: usize| kept[number].entry();
    let outcomes = state.apply_contained(entries, &again).map_err(|error| types::state_failed(&error))?;
    if outcomes.len() != count {
        let text = format!("{} answers for {count} entries", outcomes.len());
        return Err(types::state_failed(&text));
    }
    Ok(outcomes)
}

fn engine_entry(entry: openraft::Entry<TypeConfig>) -> Result<Entry, StorageError> {
    let body = match entry.payload {
        EntryPayload::Blank => EntryBody::Blank,
        EntryPayload::Membership(members) => EntryBody::Membership(membership::encode(&members)?),
        EntryPayload::Normal(proposal) => EntryBody::Batch(Arc::unwrap_or_clone(proposal).into_batch()),
    };
    Ok(Entry { position: types::position(&entry.log_id), body })
}

/// An entry in a form that costs nothing to keep while its commands are applied.
enum Kept {
    /// Commands, as the log has them.
    Batch(LogPosition, Bytes),
    Other(openraft::Entry<TypeConfig>),
}

impl Kept {
    fn new(entry: &openraft::Entry<TypeConfig>) -> Self {
        match &entry.payload {
            EntryPayload::Normal(proposal) => Self::Batch(types::position(&entry.log_id), proposal.payload().clone()),
            EntryPayload::Blank | EntryPayload::Membership(_) => Self::Other(entry.clone()),
        }
    }

    /// The entry once more, for an apply that has to find out which of its commands cannot be carried out.
    fn entry(&self) -> azimuth_engine::Result<Entry> {
        let damaged = |error: &dyn ToString| azimuth_engine::Error::Damaged(error.to_string());
        match self {
            Self::Batch(position, payload) => {
                let proposal = Proposal::decode(payload.clone()).map_err(|error| damaged(&error))?;
                Ok(Entry { position: *position, body: EntryBody::Batch(proposal.into_batch()) })
            }
            Self::Other(entry) => engine_entry(entry.clone()).map_err(|error| damaged(&error)),
        }
    }
}
