//! A network in one process, for tests: messages are late, lost, doubled, damaged and cut off as a seed says.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use azimuth_engine::replica::StateMachine;
use openraft::error::{
    Fatal, NetworkError, RPCError, RaftError, RemoteError, ReplicationClosed, StreamingError, Unreachable,
};
use openraft::network::RPCOption;
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse};
use openraft::{ChangeMembers, RaftNetwork, RaftNetworkFactory, Snapshot};
use parking_lot::Mutex;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use uuid::Uuid;

use super::Core;
use super::membership::Peer;
use super::receiver::{ReceivedSnapshot, SnapshotReader, SnapshotReceiver};
use super::types::{self, SnapshotDir, TypeConfig};
use crate::error::SnapshotError;
use crate::group::Group;
use crate::raftlog::Vote;

/// Bytes of a part of a snapshot, at most.
const PART_BYTES_MAX: usize = 64 << 10;

/// What goes wrong, in percent of the messages.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Faults {
    pub(crate) lost: u32,
    pub(crate) doubled: u32,
    /// Of transfers of snapshots: cut off on the way, or with a wrong byte.
    pub(crate) torn: u32,
    pub(crate) delay_ms_max: u64,
}

/// A replica that can be reached.
pub(crate) trait Endpoint: Send + Sync {
    fn core(&self) -> &Arc<Core>;
    fn receive(&self, manifest: &[u8]) -> Result<SnapshotReceiver, SnapshotError>;
    fn install(&self, leader: Vote, snapshot: ReceivedSnapshot) -> Installing<'_>;
}

type Installing<'a> = Pin<Box<dyn Future<Output = Result<Vote, SnapshotError>> + Send + 'a>>;

impl<S: StateMachine> Endpoint for Group<S> {
    fn core(&self) -> &Arc<Core> {
        self.core()
    }

    fn receive(&self, manifest: &[u8]) -> Result<SnapshotReceiver, SnapshotError> {
        self.receive(manifest)
    }

    fn install(&self, leader: Vote, snapshot: ReceivedSnapshot) -> Installing<'_> {
        Box::pin(self.install(leader, snapshot))
    }
}

/// The network.
pub(crate) struct FakeNetwork {
    nodes: Mutex<BTreeMap<u64, Arc<dyn Endpoint>>>,
    cut: Mutex<BTreeSet<u64>>,
    random: Mutex<StdRng>,
    faults: Mutex<Faults>,
    /// Snapshots that arrived whole, and those that did not.
    pub(crate) transfers: Mutex<(usize, usize)>,
}

impl FakeNetwork {
    pub(crate) fn new(seed: u64, faults: Faults) -> Arc<Self> {
        Arc::new(Self {
            nodes: Mutex::default(),
            cut: Mutex::default(),
            random: Mutex::new(StdRng::seed_from_u64(seed)),
            faults: Mutex::new(faults),
            transfers: Mutex::default(),
        })
    }

    /// Lets a node be reached.
    pub(crate) fn attach(&self, node: u64, endpoint: Arc<dyn Endpoint>) {
        self.nodes.lock().insert(node, endpoint);
    }

    /// Takes a node off the network, for good.
    pub(crate) fn detach(&self, node: u64) {
        self.nodes.lock().remove(&node);
    }

    /// Cuts a node off, or connects it again.
    pub(crate) fn cut(&self, node: u64, cut: bool) {
        match cut {
            true => self.cut.lock().insert(node),
            false => self.cut.lock().remove(&node),
        };
    }

    /// The network as one node sees it.
    pub(crate) fn of(self: &Arc<Self>, node: u64) -> Wire {
        Wire { network: self.clone(), from: node }
    }

    fn happens(&self, percent: u32) -> bool {
        self.random.lock().random_range(0..100) < percent
    }

    /// Whether a message from one to the other arrives, after a while.
    async fn pass(&self, from: u64, to: u64) -> io::Result<Arc<dyn Endpoint>> {
        let faults = *self.faults.lock();
        let delay = self.random.lock().random_range(0..=faults.delay_ms_max);
        if delay > 0 {
            tokio::time::sleep(Duration::from_millis(delay)).await;
        }
        let (cut, lost) = (self.cut.lock().clone(), self.happens(faults.lost));
        if lost || cut.contains(&from) || cut.contains(&to) {
            return Err(io::Error::other("lost on the way"));
        }
        self.nodes.lock().get(&to).cloned().ok_or_else(|| io::Error::other("nobody there"))
    }
}

/// Adds a node to the group: as a learner, or as a voter.
pub(crate) async fn add_member(leader: &Core, node: u64, voter: bool) -> Result<(), String> {
    let peer = Peer { store: Uuid::from_u128(node.into()), address: format!("node-{node}") };
    leader.raft().add_learner(node, peer, true).await.map_err(|error| error.to_string())?;
    if voter {
        let change = ChangeMembers::AddVoterIds(BTreeSet::from([node]));
        leader.raft().change_membership(change, false).await.map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// The network as one node sees it.
pub(crate) struct Wire {
    network: Arc<FakeNetwork>,
    from: u64,
}

/// The way from one node to another.
pub(crate) struct Link {
    network: Arc<FakeNetwork>,
    from: u64,
    to: u64,
}

impl RaftNetworkFactory<TypeConfig> for Wire {
    type Network = Link;

    async fn new_client(&mut self, target: u64, _node: &Peer) -> Link {
        Link { network: self.network.clone(), from: self.from, to: target }
    }
}

type Failed<E> = RPCError<u64, Peer, E>;

impl Link {
    async fn request<E: std::error::Error>(&self) -> Result<Arc<dyn Endpoint>, Failed<E>> {
        let passed = self.network.pass(self.from, self.to).await;
        passed.map_err(|error| RPCError::Unreachable(Unreachable::new(&error)))
    }

    /// Carries an answer back. A request whose answer is lost has been carried out.
    async fn answer<T, E: std::error::Error>(&self, answer: Result<T, E>) -> Result<T, Failed<E>> {
        let answer = answer.map_err(|error| RPCError::RemoteError(RemoteError::new(self.to, error)))?;
        let passed = self.network.pass(self.to, self.from).await;
        passed.map_err(|error| RPCError::Network(NetworkError::new(&error)))?;
        Ok(answer)
    }

    /// Sends a snapshot in parts of random sizes.
    async fn transfer(&self, files: &SnapshotDir, leader: Vote) -> Result<Vote, SnapshotError> {
        let lost = |error: io::Error| SnapshotError::Storage(error.to_string());
        let endpoint = self.network.pass(self.from, self.to).await.map_err(lost)?;
        let files = files.0.clone().ok_or_else(|| SnapshotError::Refused("empty".into()))?;
        let reader = SnapshotReader::new(files)?;
        let mut receiver = endpoint.receive(reader.manifest())?;
        let torn = self.network.faults.lock().torn;
        // A file without content has no byte to damage.
        let sizes = reader.sizes().enumerate().filter(|(_, bytes)| *bytes > 0);
        let files: Vec<usize> = sizes.map(|(file, _)| file).collect();
        let torn_file = self.network.happens(torn).then(|| {
            let number = self.network.random.lock().random_range(0..files.len());
            files[number]
        });
        while let Some((file, offset)) = receiver.next() {
            let mut part = vec![0; self.network.random.lock().random_range(1..=PART_BYTES_MAX)];
            let read = reader.read(file, offset, &mut part)?;
            part.truncate(read);
            if torn_file == Some(file) {
                if self.network.happens(50) {
                    return Err(SnapshotError::Storage("cut off on the way".into()));
                }
                part[read / 2] ^= 0x10;
            }
            // Cut off in the middle, too.
            if self.network.cut.lock().contains(&self.to) {
                return Err(SnapshotError::Storage("cut off".into()));
            }
            receiver.write(file, offset, &part)?;
        }
        assert_eq!(torn_file, None, "a snapshot with a wrong byte was taken");
        let vote = endpoint.install(leader, receiver.finish()?).await?;
        self.network.pass(self.to, self.from).await.map_err(lost)?;
        Ok(vote)
    }
}

impl RaftNetwork<TypeConfig> for Link {
    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Result<AppendEntriesResponse<u64>, Failed<RaftError<u64>>> {
        let endpoint = self.request().await?;
        if self.network.happens(self.network.faults.lock().doubled) {
            let _ = endpoint.core().raft().append_entries(rpc.clone()).await;
        }
        self.answer(endpoint.core().raft().append_entries(rpc).await).await
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<u64>,
        _option: RPCOption,
    ) -> Result<VoteResponse<u64>, Failed<RaftError<u64>>> {
        let endpoint = self.request().await?;
        self.answer(endpoint.core().raft().vote(rpc).await).await
    }

    async fn full_snapshot(
        &mut self,
        vote: openraft::Vote<u64>,
        snapshot: Snapshot<TypeConfig>,
        cancel: impl Future<Output = ReplicationClosed> + Send + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<u64>, StreamingError<TypeConfig, Fatal<u64>>> {
        let sent = tokio::select! {
            sent = self.transfer(&snapshot.snapshot, types::stored_vote(&vote)) => sent,
            closed = cancel => return Err(StreamingError::Closed(closed)),
        };
        let mut transfers = self.network.transfers.lock();
        match sent {
            Ok(vote) => {
                transfers.0 += 1;
                Ok(SnapshotResponse { vote: types::openraft_vote(vote) })
            }
            Err(error) => {
                transfers.1 += 1;
                Err(StreamingError::Network(NetworkError::new(&io::Error::other(error))))
            }
        }
    }
}
