//! The application: what every front end calls. It knows the engine and Raft, and no wire.

mod access;
#[cfg(test)]
pub(crate) mod access_tests;
pub(crate) mod aggregate;
pub(crate) mod aliases;
mod calls;
mod change;
pub(crate) mod deadline;
pub(crate) mod effort;
mod error;
mod inline;
pub(crate) mod objects;
mod permitted;
pub(crate) mod read_threads;
mod reads;
mod reconcile;
pub(crate) mod schema;
pub(crate) mod search;
pub(crate) mod shards;
pub(crate) mod tenants;

use std::sync::{Arc, OnceLock};
use std::time::{SystemTime, UNIX_EPOCH};

use azimuth_engine::command::{Command, Outcome};
use azimuth_engine::data::{DataGroup, GroupMetrics};
use azimuth_engine::ids::{GroupId, ShardKey};
use azimuth_engine::meta::Catalog;
use azimuth_engine::schema::Collection;
use azimuth_raft::{DiskUse, LogMetrics, Node, Progress};
use tokio::sync::{Mutex, watch};

use access::check;
pub(crate) use change::Change;
use change::Order;
pub(crate) use error::{AppError, AppResult};
pub(crate) use permitted::Permitted;
use reads::Reads;
use schema::defaults::Conventions;

use crate::auth::{Access, Auth, Permit, Resource};
use crate::modules::Modules;
use crate::settings::Settings;

/// Bytes of objects that one proposal may change; see [`App::propose_in_turns`].
const TURN_BYTES_MAX: usize = 4 << 20;

/// The application of one process.
pub(crate) struct App {
    /// What the process was told.
    pub(crate) settings: Settings,
    /// Services that make vectors and texts.
    pub(crate) modules: Modules,
    /// Who may call what.
    auth: Arc<Auth>,
    /// What collections are like that come into being because an object needs them.
    conventions: Conventions,
    node: OnceLock<Arc<Node>>,
    /// How far the start of the node is, once it began.
    progress: OnceLock<watch::Receiver<Progress>>,
    reads: Reads,
    /// Changes of one collection's schema follow one another; changes of other collections run beside them.
    order: Order,
    /// Held while tenants are created, where they are counted.
    counted_tenants: Arc<Mutex<()>>,
    /// Becomes true when the process is asked to end.
    stopping: watch::Sender<bool>,
}

/// Metrics of the node and of its groups.
pub(crate) struct NodeMetrics {
    pub disk: DiskUse,
    /// The log of all groups.
    pub log: LogMetrics,
    /// Groups of objects.
    pub data: Vec<(GroupId, GroupMetrics)>,
    /// The replicas of all groups on this node.
    pub replicas: Vec<(GroupId, azimuth_raft::GroupMetrics)>,
}

impl App {
    /// An application whose node is still starting.
    pub(crate) fn new(settings: Settings, auth: Arc<Auth>, conventions: Conventions) -> Arc<Self> {
        Arc::new(Self {
            conventions,
            order: Order::new(settings.collections_max.is_some()),
            modules: Modules::new(settings.modules.clone()),
            settings,
            auth,
            node: OnceLock::new(),
            progress: OnceLock::new(),
            reads: Reads::new(),
            counted_tenants: Arc::default(),
            stopping: watch::Sender::new(false),
        })
    }

    /// Makes the node known, after data groups and schema were brought together.
    ///
    /// # Errors
    /// What a write can end with.
    pub(crate) async fn attach(&self, node: Arc<Node>) -> AppResult<()> {
        node.ready().await;
        reconcile::reconcile(&node).await?;
        self.node.set(node).map_err(|_| AppError::Internal("a node is attached already".to_owned()))
    }

    /// Stores the receiver of the start's progress; called before the start begins.
    pub(crate) fn follow(&self, progress: watch::Receiver<Progress>) {
        // The node of a process is started once.
        let _ = self.progress.set(progress);
    }

    /// How far the start of the node is.
    pub(crate) fn progress(&self) -> Progress {
        self.progress.get().map(|progress| progress.borrow().clone()).unwrap_or_default()
    }

    /// Calls that have no end of their own must end from now on.
    pub(crate) fn stop(&self) {
        self.stopping.send_replace(true);
    }

    /// Whether the process was asked to end.
    pub(crate) fn stopping(&self) -> watch::Receiver<bool> {
        self.stopping.subscribe()
    }

    /// Whether queries are answered.
    pub(crate) fn is_ready(&self) -> bool {
        self.node.get().is_some_and(|node| node.is_ready())
    }

    /// Metrics of the node and of its groups.
    ///
    /// # Errors
    /// [`AppError::Unavailable`] while the node starts.
    pub(crate) fn metrics(&self) -> AppResult<NodeMetrics> {
        let node = self.node()?;
        let (meta, data) = (node.meta(), node.data());
        Ok(NodeMetrics {
            disk: node.disk(),
            log: node.log_metrics(),
            data: vec![(data.id(), data.state().metrics())],
            replicas: vec![(meta.id(), meta.metrics()), (data.id(), data.metrics())],
        })
    }

    /// The node.
    ///
    /// # Errors
    /// [`AppError::Unavailable`] while it starts.
    fn node(&self) -> AppResult<&Arc<Node>> {
        self.node.get().ok_or_else(|| AppError::Unavailable("the node is starting".to_owned()))
    }

    /// The present state of the data group; taken anew for each use, as a snapshot can replace it.
    ///
    /// # Errors
    /// [`AppError::Unavailable`] while the node starts.
    fn data(&self) -> AppResult<Arc<DataGroup>> {
        Ok(self.node()?.data().state())
    }

    /// The schema as of now.
    ///
    /// # Errors
    /// [`AppError::Unavailable`] while the node starts.
    fn catalog(&self) -> AppResult<Arc<Catalog>> {
        Ok(self.node()?.meta().state().catalog())
    }

    /// Writes to the data group; one outcome per command, in order. They survive once this returns.
    ///
    /// # Errors
    /// [`AppError::Unavailable`] when they could not be taken or their fate is not known.
    async fn propose(&self, commands: Vec<Command>) -> AppResult<Vec<Outcome>> {
        if commands.is_empty() {
            return Ok(Vec::new());
        }
        let data = self.node()?.data();
        if commands.iter().any(brings_vectors) {
            self.check_index_memory()?;
        }
        Ok(data.propose(commands).await?)
    }

    /// Like [`App::propose`], for commands that change existing objects. Each comes with the size of its object in
    /// bytes: the commands of one proposal touch at most [`TURN_BYTES_MAX`], or one object, so that the writes of other
    /// requests get in between.
    ///
    /// # Errors
    /// As [`App::propose`]; a part from the front may have been carried out.
    async fn propose_in_turns(&self, commands: Vec<(usize, Command)>) -> AppResult<Vec<Outcome>> {
        let mut outcomes = Vec::with_capacity(commands.len());
        let (mut turn, mut turn_bytes) = (Vec::new(), 0_usize);
        for (bytes, command) in commands {
            if !turn.is_empty() && turn_bytes.saturating_add(bytes) > TURN_BYTES_MAX {
                outcomes.extend(self.propose(std::mem::take(&mut turn)).await?);
                turn_bytes = 0;
            }
            turn_bytes = turn_bytes.saturating_add(bytes);
            turn.push(command);
        }
        outcomes.extend(self.propose(turn).await?);
        Ok(outcomes)
    }

    /// Writes the inverted indexes of the collection's shards anew from the stored objects, in the background; filters are right
    /// meanwhile. With `names` only those shards.
    ///
    /// # Errors
    /// [`AppError::Unavailable`] while the node starts.
    pub(crate) fn rebuild_inverted(
        &self,
        permit: &Permit,
        collection: &Collection,
        names: Option<&[String]>,
    ) -> AppResult<()> {
        check(permit, Access::Update, &Resource::collection(&collection.name))?;
        let data = self.data()?;
        let shards = data.shards(collection.id);
        for shard in shards.iter().filter(|shard| names.is_none_or(|names| names.contains(&shard.name))) {
            data.rebuild_inverted(ShardKey { collection: collection.id, shard: shard.id });
        }
        Ok(())
    }

    /// Whether the vector indexes have room for vectors.
    pub(crate) fn takes_vectors(&self) -> bool {
        self.data().is_ok_and(|data| !data.index_memory_full())
    }

    /// Refuses vectors while the indexes hold as much memory as they may.
    ///
    /// # Errors
    /// [`AppError::Unavailable`]
    fn check_index_memory(&self) -> AppResult<()> {
        if !self.data()?.index_memory_full() {
            return Ok(());
        }
        let bytes_max = self.settings.index_bytes_max;
        Err(AppError::Unavailable(format!(
            "the vector indexes hold more memory than AZIMUTH_INDEX_MEMORY allows ({} MiB): no vector is taken until \
             those that wait are indexed, something is deleted, or it is raised",
            bytes_max >> 20
        )))
    }
}

fn brings_vectors(command: &Command) -> bool {
    match command {
        Command::Put { object, .. } => !object.vectors.is_empty(),
        Command::Merge { patch, .. } => patch.vectors.values().any(Option::is_some),
        _ => false,
    }
}

/// Unix time in milliseconds.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
