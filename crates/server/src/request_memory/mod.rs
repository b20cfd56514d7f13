//! Memory of the requests under way: for their bodies, for the data read and written to answer them, and for answers
//! that have not left the process yet.
//!
//! Each request has a [`Share`], which is charged piece by piece and gives released memory back. A read that finds no room
//! gives its memory back and waits for its [turn](in_turn); a request that finds none in time is refused, and the process
//! goes on. Three accounts are kept: of the process, of the peer address and of the connection. One peer, one connection
//! and one request get three quarters of the whole at most, and the last eighth is kept for small requests: a request or
//! peer that holds much cannot shut out others.

mod queue;
mod share;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use queue::Queue;
pub(crate) use queue::in_turn;
pub(crate) use share::{
    BodyShare, Share, charge, charge_or_wait, current, force, reading, refusal, wait_for, within, within_async,
};

/// The smallest and the largest part by which a share grows: a request that takes little touches the accounts once.
const STEP_MIN: usize = 1 << 10;
const STEP_MAX: usize = 16 << 10;
/// A request that holds no more than this is small.
const SMALL_MAX: usize = 1 << 20;

/// Memory of all requests under way.
#[derive(Debug)]
pub(crate) struct RequestMemory {
    used: Account,
    limits: Limits,
    /// Notified when a share gave memory back while a request waits.
    released: Notify,
    /// Requests that wait.
    waiting: AtomicUsize,
    queue: Queue,
}

/// Registers a request as waiting for memory; until this is dropped the request is notified when memory is released.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[derive(Debug, Clone, Copy)]
struct Limits {
    /// Of all requests.
    process: usize,
    /// Of all requests that are not small.
    large: usize,
    /// Of one request, and of one connection.
    one: usize,
    /// Of one peer address.
    peer: usize,
    /// Bytes up to which a request is small.
    small: usize,
    step: usize,
    /// How long a request waits for memory.
    wait_max: Duration,
}

/// Bytes that are in use.
#[derive(Debug, Default)]
pub(crate) struct Account(AtomicUsize);

impl Account {
    fn try_take(&self, bytes: usize, max: usize) -> bool {
        let take = |used: usize| used.checked_add(bytes).filter(|used| *used <= max);
        self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).is_ok()
    }

    fn take(&self, bytes: usize) {
        self.0.fetch_add(bytes, Ordering::SeqCst);
    }

    fn give(&self, bytes: usize) {
        self.0.fetch_sub(bytes, Ordering::SeqCst);
    }

    /// Bytes that are in use now.
    pub(crate) fn bytes(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

/// The accounts from which a request takes memory.
#[derive(Debug, Clone, Default)]
pub(crate) struct Payer {
    /// The account of its connection.
    pub(crate) connection: Arc<Account>,
    /// The account of the peer's address.
    pub(crate) peer: Arc<Account>,
}

/// Why there is no memory for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// The request needs more memory than one request may take.
    #[error(
        "the request with its answer is larger than max: one request may take {bytes_max} bytes of memory (three quarters \
         of AZIMUTH_REQUESTS_BYTES_MAX, at most AZIMUTH_PEER_BYTES_MAX); ask for less at a time"
    )]
    TooLarge {
        /// The limit.
        bytes_max: usize,
    },
    /// Other requests have taken the memory.
    #[error("the memory for requests (AZIMUTH_REQUESTS_BYTES_MAX) is taken by others; try again later")]
    Busy,
    /// Other requests of the same connection have taken the memory.
    #[error("other requests of this connection have taken the memory that it may have; try again later")]
    ConnectionBusy,
    /// Other requests from the same address have taken the memory.
    #[error(
        "other requests from this address have taken the memory that it may have (AZIMUTH_PEER_BYTES_MAX); try again later"
    )]
    PeerBusy,
}

impl Refusal {
    /// Whether the same request can succeed later.
    pub(crate) fn is_for_now(self) -> bool {
        !matches!(self, Self::TooLarge { .. })
    }
}

impl From<Refusal> for azimuth_engine::Error {
    fn from(refusal: Refusal) -> Self {
        let text = refusal.to_string();
        if refusal.is_for_now() { Self::Busy(text) } else { Self::TooLarge(text) }
    }
}

impl RequestMemory {
    /// `bytes_max` in all; of one peer `peer_bytes_max`, or three quarters of all. `Some(0)` is no limit of a peer. A
    /// request waits for memory at most for `wait_max`.
    pub(crate) fn new(bytes_max: usize, peer_bytes_max: Option<usize>, wait_max: Duration) -> Arc<Self> {
        let part = bytes_max / 4 * 3;
        let peer = match peer_bytes_max {
            None => part,
            Some(0) => usize::MAX,
            Some(bytes) => bytes,
        };
        let limits = Limits {
            process: bytes_max,
            large: bytes_max / 8 * 7,
            one: part.min(peer),
            peer,
            small: SMALL_MAX.min(bytes_max / 64),
            step: (bytes_max >> 16).clamp(STEP_MIN, STEP_MAX),
            wait_max,
        };
        Arc::new(Self {
            used: Account::default(),
            limits,
            released: Notify::new(),
            waiting: AtomicUsize::new(0),
            queue: Queue::default(),
        })
    }

    /// A share with nothing in it.
    pub(crate) fn share(self: &Arc<Self>, payer: Payer) -> Share {
        Share::new(self.clone(), payer)
    }

    /// Takes `bytes` for a request that will hold `total` then.
    fn take(&self, payer: &Payer, bytes: usize, total: usize) -> Result<(), Refusal> {
        let limits = &self.limits;
        if total <= limits.small {
            if !self.used.try_take(bytes, limits.process) {
                return Err(Refusal::Busy);
            }
            payer.connection.take(bytes);
            payer.peer.take(bytes);
            return Ok(());
        }
        if !payer.peer.try_take(bytes, limits.peer) {
            return Err(Refusal::PeerBusy);
        }
        if !payer.connection.try_take(bytes, limits.one) {
            payer.peer.give(bytes);
            return Err(Refusal::ConnectionBusy);
        }
        if !self.used.try_take(bytes, limits.large) {
            payer.connection.give(bytes);
            payer.peer.give(bytes);
            return Err(Refusal::Busy);
        }
        Ok(())
    }

    /// Takes `bytes` whether there is room or not.
    fn take_anyway(&self, payer: &Payer, bytes: usize) {
        self.used.take(bytes);
        payer.connection.take(bytes);
        payer.peer.take(bytes);
    }

    fn give(self: &Arc<Self>, payer: &Payer, bytes: usize) {
        self.used.give(bytes);
        payer.connection.give(bytes);
        payer.peer.give(bytes);
        // A notification takes a lock, which all requests would share.
        if self.waiting.load(Ordering::SeqCst) > 0 {
            self.released.notify_waiters();
        }
        self.serve_queue();
    }

    /// A request begins to wait.
    fn waiting(&self) -> Waiting<'_> {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        Waiting(&self.waiting)
    }
}

#[cfg(test)]
mod tests;
