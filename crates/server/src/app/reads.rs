//! Running reads: on which thread a read runs, how many run at once, and when a read is ended.
//!
//! A read that is short for sure runs on the thread that serves the connection ([`App::read_inline`]); every other one has a
//! thread that may block, and is ended by the deadline of its request or when its caller is gone: both raise the interrupt
//! that the engine looks at while it works. An index that has to be opened first is opened outside of the permits that
//! reads hold, once for all that wait ([`App::open_indexes`]), so that reads of others go on meanwhile.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use azimuth_engine::ids::{ShardKey, VectorId};
use azimuth_engine::interrupt::{Cause, Interrupt};
use azimuth_engine::object::StoredObject;
use azimuth_engine::query::Include;
use azimuth_raft::Node;
use tokio::sync::{Mutex, Semaphore};
use tokio::time::timeout_at;
use uuid::Uuid;

use super::effort::Effort;
use super::inline::InlineReads;
use super::read_threads::ReadThreads;
use super::shards::{Encoded, Local, ShardTarget, Shards};
use super::{App, AppError, AppResult, deadline};
use crate::{metrics, request_memory};

/// Reads at once, over all connections; more wait.
const READS_MAX: usize = 64;
/// Locks that openings of indexes share.
const OPENING_LOCKS: usize = 64;

/// State that all reads share.
pub(super) struct Reads {
    /// Reads that may run at once: each has a thread and an answer in memory.
    permits: Arc<Semaphore>,
    threads: Arc<ReadThreads>,
    /// For work of low priority.
    low_threads: Arc<ReadThreads>,
    inline: Arc<InlineReads>,
    /// Held while the indexes of a shard are opened, by shard, so that as many threads wait for it as there are locks.
    openings: [Arc<Mutex<()>>; OPENING_LOCKS],
}

impl Reads {
    pub(super) fn new() -> Self {
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            permits: Arc::new(Semaphore::new(READS_MAX)),
            threads: Arc::default(),
            low_threads: Arc::new(ReadThreads::low()),
            inline: Arc::new(InlineReads::new(workers)),
            openings: std::array::from_fn(|_| Arc::default()),
        }
    }
}

/// Ends a read whose caller is gone.
struct EndWhenDropped(Interrupt);

impl Drop for EndWhenDropped {
    fn drop(&mut self) {
        self.0.raise(Cause::Cancelled);
    }
}

/// Counts a read while it runs.
struct Running;

impl Running {
    fn new() -> Self {
        metrics::READS_RUNNING.inc();
        Self
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        metrics::READS_RUNNING.dec();
    }
}

impl App {
    /// Reads shards, off the threads that serve connections, until the deadline of the request and for as long
    /// as the returned future lives. Damage and failures of the disk, which a read may be the first to meet, end the node.
    ///
    /// # Errors
    /// The error of the read; [`AppError::Deadline`].
    pub(super) async fn read<T, F>(&self, read: F) -> AppResult<T>
    where
        T: Send + 'static,
        F: FnOnce(Shards<'_>) -> azimuth_engine::Result<T> + Send + 'static,
    {
        let node = self.node()?.clone();
        let deadline = deadline::of_request(self.settings.read_time_max);
        let permit = timeout_at(deadline, self.reads.permits.clone().acquire_owned()).await;
        let permit = permit.map_err(|_| self.too_late())?;
        let permit = permit.map_err(|_| AppError::Internal("reads are closed".to_owned()))?;
        let interrupt = Interrupt::new();
        let _caller = EndWhenDropped(interrupt.clone());
        let (watched, encoded) = (interrupt.clone(), self.settings.encode_reads);
        let (share, effort) = (request_memory::current(), Effort::of_request());
        let threads = if effort.is_long() { &self.reads.low_threads } else { &self.reads.threads };
        let running = threads.run(effort, move || {
            let (_permit, _running) = (permit, Running::new());
            if let Some(cause) = watched.cause() {
                return Err(azimuth_engine::Error::Interrupted(cause));
            }
            let read = || watched.watch(|| with_shards(&node, encoded, read));
            request_memory::within(share, read).inspect_err(|error| node.report(error))
        });
        let running = running.map_err(|error| AppError::Internal(format!("no thread for a read: {error}")))?;
        let Ok(result) = timeout_at(deadline, running).await else {
            interrupt.raise(Cause::Deadline);
            return Err(self.too_late());
        };
        Ok(result.map_err(|_| AppError::Internal("a read panicked".to_owned()))??)
    }

    /// Runs work that takes long and needs no shard on a thread of low priority.
    ///
    /// # Errors
    /// [`AppError::Internal`] if the work panics, or if the system refuses another thread.
    pub(crate) async fn long_work<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> AppResult<T> {
        let running = self.reads.low_threads.run(Effort::default(), work);
        let running = running.map_err(|error| AppError::Internal(format!("no thread for long work: {error}")))?;
        running.await.map_err(|_| AppError::Internal("long work panicked".to_owned()))
    }

    /// As [`App::read`], but on the calling thread if `is_short`: the caller knows from counts that the read takes
    /// about a millisecond at most, and such reads were short lately.
    ///
    /// # Errors
    /// The error of the read.
    pub(super) async fn read_inline<T, F>(&self, is_short: bool, read: F) -> AppResult<T>
    where
        T: Send + 'static,
        F: FnOnce(Shards<'_>) -> azimuth_engine::Result<T> + Send + 'static,
    {
        if !is_short {
            return self.read(read).await;
        }
        if let Some(_here) = self.reads.inline.enter() {
            let node = self.node()?;
            let read = || self.reads.inline.timed(|| with_shards(node, self.settings.encode_reads, read));
            let result = catch_unwind(AssertUnwindSafe(read));
            let result = result.map_err(|_| AppError::Internal("a read panicked".to_owned()))?;
            return Ok(result.inspect_err(|error| node.report(error))?);
        }
        let inline = self.reads.inline.clone();
        self.read(move |shards| inline.timed(|| read(shards))).await
    }

    /// Vector components that a search without a filter compares, as [`near_cost`](azimuth_engine::data::DataGroup::near_cost) estimates it for each shard.
    /// `None` when the number is not known.
    pub(super) fn near_cost(&self, target: &ShardTarget, vectors: &[VectorId], k: usize) -> Option<u64> {
        let data = self.data().ok()?;
        let cost = |at| data.near_cost(at, vectors.iter().copied(), k);
        target.all().try_fold(0_u64, |sum, at| Some(sum.saturating_add(cost(at)?)))
    }

    /// Whether the shard is in memory: a read of any other shard loads it first.
    ///
    /// # Errors
    /// [`AppError::Unavailable`] while the node starts.
    pub(super) fn is_loaded(&self, at: ShardKey) -> AppResult<bool> {
        Ok(self.data()?.is_loaded(at))
    }

    /// The object with that id.
    ///
    /// # Errors
    /// The error of the read.
    pub(super) async fn get(&self, at: ShardKey, id: Uuid, include: Include) -> AppResult<Option<StoredObject>> {
        self.read(move |shards| shards.get(at, id, include)).await
    }

    /// Opens the indexes of these vectors, if they are not in memory. The read itself reports errors of the indexes.
    ///
    /// # Errors
    /// [`AppError::Deadline`]; the opening goes on.
    pub(super) async fn open_indexes(&self, target: &ShardTarget, vectors: &[VectorId]) -> AppResult<()> {
        for at in target.all() {
            self.open_indexes_of(at, vectors).await?;
        }
        Ok(())
    }

    async fn open_indexes_of(&self, at: ShardKey, vectors: &[VectorId]) -> AppResult<()> {
        let node = self.node()?.clone();
        if vectors.is_empty() || node.data().state().has_open(at, vectors) {
            return Ok(());
        }
        let deadline = deadline::of_request(self.settings.read_time_max);
        let (vectors, encoded) = (vectors.to_vec(), self.settings.encode_reads);
        let opened = timeout_at(deadline, async {
            let alone = self.opening_of(at).clone().lock_owned().await;
            let task = tokio::task::spawn_blocking(move || {
                let _alone = alone;
                let open = |shards: Shards<'_>| shards.open_indexes(at, vectors);
                with_shards(&node, encoded, open).inspect_err(|error| node.report(error))
            });
            task.await
        });
        match opened.await.map_err(|_| self.too_late())? {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "open an index"),
            Err(error) => return Err(AppError::Internal(format!("an index was not opened: {error}"))),
        }
        Ok(())
    }

    fn opening_of(&self, at: ShardKey) -> &Arc<Mutex<()>> {
        let mut hasher = DefaultHasher::new();
        at.hash(&mut hasher);
        &self.reads.openings[(hasher.finish() % OPENING_LOCKS as u64) as usize]
    }

    fn too_late(&self) -> AppError {
        let seconds = self.settings.read_time_max.as_secs();
        AppError::Deadline(format!(
            "deadline exceeded: the request took longer than its time limit (grpc-timeout, or {seconds} s by \
             AZIMUTH_READ_SECONDS_MAX)"
        ))
    }
}

/// Reads the shards of this node, through the encoded form of reads and answers if so set.
fn with_shards<T>(node: &Node, encoded: bool, read: impl FnOnce(Shards<'_>) -> T) -> T {
    let (data, catalog) = (node.data().state(), node.meta().state().catalog());
    let local = Local(&data);
    if encoded { read(Shards::new(&Encoded(local), &catalog)) } else { read(Shards::new(&local, &catalog)) }
}
