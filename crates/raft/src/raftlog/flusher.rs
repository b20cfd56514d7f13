//! The one thread that writes the log.
//!
//! It takes every request that waits, of all groups, writes them as one batch, syncs once, and then answers them all.
//! So requests become durable in the order in which they were made, and groups share the cost of an fsync.
//! After the first failure nothing is written any more: what the disk holds is unknown until it is read again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use azimuth_engine::ids::GroupId;
use parking_lot::{Condvar, Mutex};
use tokio::sync::{oneshot, watch};

use super::database::Database;
use super::tail::Tail;
use super::{FlushMetrics, LogError, Result};

/// Values that are written along with the next request, by key: they need no sync of their own.
type Ridealong = BTreeMap<Vec<u8>, Vec<u8>>;

/// Bytes that one write takes at most, beyond its first request.
const BATCH_BYTES_MAX: usize = 16 << 20;

/// A step of a [`Change`].
pub(crate) enum Step {
    /// Encoded entries with their indexes.
    Entries(GroupId, Vec<(u64, Vec<u8>)>),
    /// Removes entries with indexes in `[from, to)`.
    Delete { group: GroupId, from: u64, to: u64 },
    /// Sets a value of family `meta`.
    Meta(Vec<u8>, Vec<u8>),
    /// Removes a value of family `meta`.
    DeleteMeta(Vec<u8>),
}

/// What one request changes, all of it or nothing.
pub(crate) struct Change(pub(crate) Vec<Step>);

impl Change {
    /// Sets one value of family `meta`.
    pub(crate) fn put_meta(key: Vec<u8>, value: Vec<u8>) -> Self {
        Self(vec![Step::Meta(key, value)])
    }

    fn bytes(&self) -> usize {
        let step_bytes = |step: &Step| match step {
            Step::Entries(_, entries) => entries.iter().map(|(_, encoded)| encoded.len()).sum(),
            Step::Delete { .. } => 0,
            Step::Meta(key, value) => key.len() + value.len(),
            Step::DeleteMeta(key) => key.len(),
        };
        self.0.iter().map(step_bytes).sum()
    }
}

/// The answer that a request will get. Dropping it does not take the request back.
pub(crate) struct Ticket(oneshot::Receiver<Result<()>>);

impl Ticket {
    /// Waits until the change is durable.
    pub(crate) async fn durable(self) -> Result<()> {
        self.0.await.unwrap_or(Err(LogError::Closed))
    }

    /// The same for a thread that may block; never call it from async code.
    pub(crate) fn wait(self) -> Result<()> {
        self.0.blocking_recv().unwrap_or(Err(LogError::Closed))
    }
}

struct Request {
    change: Change,
    answer: oneshot::Sender<Result<()>>,
}

#[derive(Default)]
struct Queue {
    requests: Vec<Request>,
    /// Values that ride along with the next write, the newest per key.
    riders: BTreeMap<Vec<u8>, Vec<u8>>,
    closed: bool,
}

struct Shared {
    queue: Mutex<Queue>,
    wake: Condvar,
    metrics: FlushMetrics,
    failure: watch::Sender<Option<String>>,
    #[cfg(test)]
    faults: Faults,
}

/// What a test can do to the disk.
#[cfg(test)]
#[derive(Default)]
struct Faults {
    fail_next_sync: std::sync::atomic::AtomicBool,
    /// Syncs that were begun.
    begun: std::sync::atomic::AtomicU64,
    /// Whoever holds it holds every sync up.
    hold: Arc<Mutex<()>>,
}

/// Handle of the thread.
pub(crate) struct Flusher {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Flusher {
    /// Starts the thread.
    pub(crate) fn start(database: Arc<Database>, tail: Tail) -> Result<Self> {
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            wake: Condvar::new(),
            metrics: FlushMetrics::default(),
            failure: watch::channel(None).0,
            #[cfg(test)]
            faults: Faults::default(),
        });
        let mut writer = Writer { database, tail, shared: shared.clone() };
        let thread = std::thread::Builder::new()
            .name("raftlog-flusher".into())
            .spawn(move || writer.run())
            .map_err(|error| LogError::Storage(format!("flusher thread: {error}")))?;
        Ok(Self { shared, thread: Mutex::new(Some(thread)) })
    }

    /// Asks for a change. Changes become durable in the order of the calls.
    pub(crate) fn submit(&self, change: Change) -> Ticket {
        let (answer, ticket) = oneshot::channel();
        let mut queue = self.shared.queue.lock();
        if queue.closed {
            // The receiver is in our hands, so the answer arrives.
            let _ = answer.send(Err(LogError::Closed));
        } else {
            queue.requests.push(Request { change, answer });
            self.shared.wake.notify_one();
        }
        Ticket(ticket)
    }

    /// Sets a value of family `meta` with the next write, whenever that is. Costs no write of its own.
    pub(crate) fn ride_along(&self, key: Vec<u8>, value: Vec<u8>) {
        self.shared.queue.lock().riders.insert(key, value);
    }

    /// The value that waits for the next write.
    pub(crate) fn rider(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.shared.queue.lock().riders.get(key).cloned()
    }

    /// Figures.
    pub(crate) fn metrics(&self) -> &FlushMetrics {
        &self.shared.metrics
    }

    /// The text of the first failure, once there was one.
    pub(crate) fn failure(&self) -> watch::Receiver<Option<String>> {
        self.shared.failure.subscribe()
    }

    /// Writes what waits, riders too, and ends the thread. Later requests answer [`LogError::Closed`].
    pub(crate) fn close(&self) -> Result<()> {
        self.shared.queue.lock().closed = true;
        self.shared.wake.notify_one();
        if let Some(thread) = self.thread.lock().take() {
            thread.join().map_err(|_| LogError::Storage("the flusher thread panicked".into()))?;
        }
        self.shared.failure.borrow().clone().map_or(Ok(()), |text| Err(LogError::Storage(text)))
    }

    /// Lets the next sync fail, as a disk would.
    #[cfg(test)]
    pub(crate) fn fail_next_sync(&self) {
        self.shared.faults.fail_next_sync.store(true, std::sync::atomic::Ordering::SeqCst);
    }

    /// Requests that nobody works on yet.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        self.shared.queue.lock().requests.len()
    }

    /// Syncs that were begun.
    #[cfg(test)]
    pub(crate) fn writes(&self) -> u64 {
        self.shared.faults.begun.load(std::sync::atomic::Ordering::SeqCst)
    }

    /// Syncs wait as long as what this gives is locked.
    #[cfg(test)]
    pub(crate) fn hold(&self) -> Arc<Mutex<()>> {
        self.shared.faults.hold.clone()
    }
}

impl Drop for Flusher {
    fn drop(&mut self) {
        // A failure was reported when it happened.
        let _ = self.close();
    }
}

struct Writer {
    database: Arc<Database>,
    tail: Tail,
    shared: Arc<Shared>,
}

impl Writer {
    fn run(&mut self) {
        while let Some((requests, riders)) = self.next() {
            let outcome = self.write(&requests, &riders);
            if let Err(error) = &outcome {
                self.fail(error);
            }
            for request in requests {
                // Whoever asked may be gone.
                let _ = request.answer.send(outcome.clone());
            }
            if outcome.is_err() {
                break;
            }
        }
        if self.shared.failure.borrow().is_none()
            && let Err(error) = self.tail.sync()
        {
            self.fail(&error);
        }
        let mut queue = self.shared.queue.lock();
        queue.closed = true;
        let failure = self.shared.failure.borrow().clone();
        for request in queue.requests.drain(..) {
            let _ = request.answer.send(Err(failure.clone().map_or(LogError::Closed, LogError::Storage)));
        }
    }

    /// Waits for work and takes it; `None` when there will be no more.
    fn next(&self) -> Option<(Vec<Request>, Ridealong)> {
        let mut queue = self.shared.queue.lock();
        while queue.requests.is_empty() && !queue.closed {
            self.shared.wake.wait(&mut queue);
        }
        if queue.requests.is_empty() && queue.riders.is_empty() {
            return None;
        }
        let mut bytes = 0;
        let within = |request: &Request| {
            bytes += request.change.bytes();
            bytes <= BATCH_BYTES_MAX
        };
        let count = queue.requests.iter().map(within).take_while(|fits| *fits).count();
        let count = count.max(1).min(queue.requests.len());
        Some((queue.requests.drain(..count).collect(), std::mem::take(&mut queue.riders)))
    }

    fn write(&mut self, requests: &[Request], riders: &BTreeMap<Vec<u8>, Vec<u8>>) -> Result<()> {
        let mut batch = self.database.batch();
        let mut entries = 0;
        for step in requests.iter().flat_map(|request| &request.change.0) {
            match step {
                Step::Entries(group, encoded) => {
                    entries += encoded.len();
                    for (index, encoded) in encoded {
                        batch.put_entry(*group, *index, encoded);
                    }
                }
                Step::Delete { group, from, to } => batch.delete_entries(*group, *from, *to),
                Step::Meta(key, value) => batch.put_meta(key, value),
                Step::DeleteMeta(key) => batch.delete_meta(key),
            }
        }
        for (key, value) in riders {
            batch.put_meta(key, value);
        }
        self.database.write(batch)?;
        let started = Instant::now();
        self.sync()?;
        self.shared.metrics.synced(started.elapsed(), requests.len(), entries);
        self.tail.note(self.database.sequence())?;
        // Before anything is acknowledged.
        self.tail.check_place()
    }

    fn sync(&self) -> Result<()> {
        #[cfg(test)]
        self.shared.faults.begun.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        #[cfg(test)]
        let _held = self.shared.faults.hold.lock();
        #[cfg(test)]
        if self.shared.faults.fail_next_sync.swap(false, std::sync::atomic::Ordering::SeqCst) {
            return Err(LogError::Storage("injected failure of fsync".into()));
        }
        self.database.sync()
    }

    fn fail(&self, error: &LogError) {
        tracing::error!(%error, "the raft log cannot be written; the node must stop");
        self.shared.failure.send_replace(Some(error.to_string()));
    }
}
