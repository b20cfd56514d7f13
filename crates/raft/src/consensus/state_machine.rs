//! A group's state machine as openraft wants to see it.
//!
//! The engine is synchronous: everything that touches the disk runs on threads that may block. Any error stops the
//! core, and with it the node: state that missed an entry must not answer.

use std::iter::Peekable;
use std::sync::Arc;
use std::time::Instant;

use azimuth_engine::command::Outcome;
use azimuth_engine::replica::{Entry, EntryBody, LogPosition, StateMachine};
use openraft::storage::RaftStateMachine;
use openraft::{EntryPayload, LogId, RaftSnapshotBuilder, Snapshot, SnapshotMeta, StoredMembership};

use super::installation::{Installation, Step};
use super::membership::{self, Peer};
use super::snapshot::SnapshotStore;
use super::types::{self, SnapshotDir, StorageError, TypeConfig};
use crate::metrics::ReplicaMetrics;
use crate::raftlog::{GroupLog, LogError};
use crate::state::StateCell;

/// Bytes of entries that are applied in one write, or one larger entry.
const PART_BYTES_MAX: usize = 4 << 20;

/// The state machine of a group. It also tells the log of the group when a snapshot is installed.
pub(crate) struct StateAdapter<S> {
    state: Arc<StateCell<S>>,
    log: GroupLog,
    snapshots: Arc<SnapshotStore>,
    installation: Installation,
    metrics: Arc<ReplicaMetrics>,
}

impl<S: StateMachine> StateAdapter<S> {
    /// Gives openraft a state machine that counts into `metrics`.
    pub(crate) fn new(
        state: Arc<StateCell<S>>,
        log: GroupLog,
        snapshots: Arc<SnapshotStore>,
        installation: Installation,
        metrics: Arc<ReplicaMetrics>,
    ) -> Self {
        Self { state, log, snapshots, installation, metrics }
    }

    /// Reports an error, which ends the task of the state machine, to the log that may wait for it.
    fn reported<T>(&self, result: Result<T, StorageError>) -> Result<T, StorageError> {
        result.inspect_err(|error| self.installation.failed(error))
    }

    async fn apply_all(&self, entries: Vec<openraft::Entry<TypeConfig>>) -> Result<Vec<Vec<Outcome>>, StorageError> {
        let (state, metrics) = (self.state.get(), self.metrics.clone());
        blocking(move || {
            let started = Instant::now();
            let mut outcomes = Vec::with_capacity(entries.len());
            let mut entries = entries.into_iter().peekable();
            while entries.peek().is_some() {
                outcomes.extend(apply_part(state.as_ref(), &next_part(&mut entries))?);
            }
            metrics.apply_us.add_time(started.elapsed());
            Ok(outcomes)
        })
        .await
    }

    /// Makes a snapshot that is on the disk the state: see [`Installation`] for the order.
    async fn install(&self, position: Option<LogPosition>, snapshot: SnapshotDir) -> Result<(), StorageError> {
        let (Some(position), SnapshotDir(Some(files))) = (position, snapshot) else {
            return Err(types::state_failed("an empty snapshot cannot be installed"));
        };
        self.installation.at(Step::Begun);
        self.log.begin_install(position).await.map_err(|error| types::log_failed(true, &error))?;
        self.installation.at(Step::Noted);
        let (this, started) = (self.clone(), Instant::now());
        let bytes = files.manifest().bytes();
        blocking(move || {
            let next = this.state.get().install(&files.state_dir(), position);
            let next = next.map_err(|error| types::state_failed(&error))?;
            this.state.replace(next.clone());
            this.installation.at(Step::Replaced);
            let built = this.snapshots.build(next.as_ref())?;
            if built.manifest().position != Some(position) {
                return Err(types::state_failed("an installed snapshot holds another position than it said"));
            }
            this.installation.at(Step::Built);
            Ok(())
        })
        .await?;
        self.metrics.installed(started.elapsed(), bytes.unwrap_or_default());
        self.installation.installed(position);
        Ok(())
    }
}

impl<S> Clone for StateAdapter<S> {
    fn clone(&self) -> Self {
        Self {
            state: self.state.clone(),
            log: self.log.clone(),
            snapshots: self.snapshots.clone(),
            installation: self.installation.clone(),
            metrics: self.metrics.clone(),
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
        let (state, snapshots, started) = (self.state.get(), self.snapshots.clone(), Instant::now());
        let built = blocking(move || snapshots.build(state.as_ref())?.snapshot()).await;
        self.metrics.built(started.elapsed(), built.is_ok());
        built
    }
}

impl<S: StateMachine> RaftStateMachine<TypeConfig> for StateAdapter<S> {
    type SnapshotBuilder = Self;

    async fn applied_state(&mut self) -> Result<(Option<LogId<u64>>, StoredMembership<u64, Peer>), StorageError> {
        let applied = self.state.get().applied().map_err(|error| types::state_failed(&error))?;
        Ok((applied.position.map(types::log_id), membership::stored(applied.membership.as_ref())?))
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<Vec<Outcome>>, StorageError>
    where
        I: IntoIterator<Item = openraft::Entry<TypeConfig>> + Send,
        I::IntoIter: Send,
    {
        let applied = self.apply_all(entries.into_iter().collect()).await;
        self.reported(applied)
    }

    async fn get_snapshot_builder(&mut self) -> Self {
        self.clone()
    }

    async fn begin_receiving_snapshot(&mut self) -> Result<Box<SnapshotDir>, StorageError> {
        Ok(Box::default())
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta<u64, Peer>,
        snapshot: Box<SnapshotDir>,
    ) -> Result<(), StorageError> {
        let installed = self.install(meta.last_log_id.as_ref().map(types::position), *snapshot).await;
        self.reported(installed)
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot<TypeConfig>>, StorageError> {
        let current = self.snapshots.current().map(|files| files.snapshot()).transpose();
        self.reported(current)
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
    entries: &[openraft::Entry<TypeConfig>],
) -> Result<Vec<Vec<Outcome>>, StorageError> {
    let count = entries.len();
    let mut decoded = Vec::with_capacity(count);
    let mut undecodable = None;
    for entry in entries {
        match engine_entry(entry) {
            Ok(entry) => decoded.push(entry),
            Err(error) => {
                undecodable = Some(error);
                break;
            }
        }
    }
    // A later version may have written commands that this one cannot decode. An entry before them raised the feature level
    // then, and applying that entry fails with an error that names the levels.
    // For an apply that has to find out which of its commands cannot be carried out.
    let again = |number: usize| {
        engine_entry(&entries[number]).map_err(|error| azimuth_engine::Error::Damaged(error.to_string()))
    };
    let outcomes = state.apply_contained(decoded, &again).map_err(|error| types::state_failed(&error))?;
    if let Some(error) = undecodable {
        return Err(error);
    }
    if outcomes.len() != count {
        let text = format!("{} answers for {count} entries", outcomes.len());
        return Err(types::state_failed(&text));
    }
    Ok(outcomes)
}

fn engine_entry(entry: &openraft::Entry<TypeConfig>) -> Result<Entry, StorageError> {
    let position = types::position(&entry.log_id);
    let body = match &entry.payload {
        EntryPayload::Blank => EntryBody::Blank,
        EntryPayload::Membership(members) => EntryBody::Membership(membership::encode(members)?),
        EntryPayload::Normal(proposal) => {
            let batch = proposal.decode().map_err(|error| {
                let text = format!("commands of entry {}: {error}", position.index);
                types::log_failed(false, &LogError::Damaged(text))
            });
            EntryBody::Batch(batch?)
        }
    };
    Ok(Entry { position, body })
}

#[cfg(test)]
mod tests {
    use azimuth_engine::command::Command;
    use azimuth_engine::ids::{CollectionId, GroupId};
    use azimuth_engine::level::FeatureLevel;
    use azimuth_engine::meta::MetaGroup;
    use azimuth_engine::storage::StorageBudget;
    use bytes::Bytes;

    use super::*;
    use crate::consensus::{EncodedCommand, Proposal};

    fn entry(index: u64, proposal: Proposal) -> openraft::Entry<TypeConfig> {
        let position = LogPosition { term: 1, node: 1, index };
        openraft::Entry { log_id: types::log_id(position), payload: EntryPayload::Normal(proposal) }
    }

    fn proposal(sequence: u64, command: &Command) -> Proposal {
        Proposal::new(7, sequence, &[EncodedCommand::new(command).unwrap()]).unwrap()
    }

    /// The log of a group that a later version has raised and written to, opened by this version.
    #[test]
    fn entries_of_a_later_level_are_refused_by_that_level() {
        let dir = tempfile::tempdir().unwrap();
        let state = MetaGroup::open(dir.path(), GroupId::META, &StorageBudget::default()).unwrap().0;
        let known = || entry(1, proposal(1, &Command::DropCollection(CollectionId(1))));
        let unknown = || entry(3, Proposal::of_payload(Bytes::from_static(&[7, 2, 1, 0xfe, 0xff, 3])));
        let later = FeatureLevel::new(FeatureLevel::SUPPORTED.number() + 1);
        let raise = entry(2, proposal(2, &Command::RaiseLevel(later)));
        let error = apply_part(state.as_ref(), &[known(), raise, unknown()]).unwrap_err().to_string();
        let has = format!("has feature level {later}");
        let supports = format!("supports levels up to {}", FeatureLevel::SUPPORTED);
        assert!(error.contains(&has) && error.contains(&supports), "{error}");
        assert_eq!((state.applied().unwrap().position, state.level()), (None, FeatureLevel::INITIAL));

        let error = apply_part(state.as_ref(), &[known(), unknown()]).unwrap_err().to_string();
        assert!(error.contains("commands of entry 3"), "{error}");
        assert_eq!(state.applied().unwrap().position.map(|at| at.index), Some(1), "the entries before it are applied");
    }
}
