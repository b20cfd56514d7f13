//! Peers: accounts and limits of each address and of each of its connections.
//!
//! A peer is the address of a connection (of IPv6 its first 64 bits: one host can choose the other bits freely). A
//! proxy is one peer, however many clients it serves. Limits per peer leave room for others; none of them is needed to
//! protect the process.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::streams::OnTheWay;
use crate::request_memory::{Account, Payer};

/// Calls that a connection may give up before they are answered, at once. Proxies carry the calls of many users, and
/// callers with short deadlines give up many at a time.
const GIVEN_UP_MAX: i64 = 10_000;
/// The same for each second, on the average.
const GIVEN_UP_PER_SECOND: i64 = 500;

/// All peers that have a connection.
#[derive(Debug)]
pub(super) struct Peers {
    connections_max: usize,
    requests_max: usize,
    peers: Mutex<HashMap<IpAddr, Arc<Peer>>>,
    next: AtomicU64,
}

/// Memory, requests and connections of one address.
#[derive(Debug, Default)]
struct Peer {
    memory: Arc<Account>,
    requests: AtomicUsize,
    connections: Mutex<BTreeMap<u64, Arc<Connection>>>,
}

/// A connection, from accepting it to its end.
#[derive(Debug)]
pub(super) struct Connection {
    number: u64,
    address: IpAddr,
    peer: Arc<Peer>,
    requests_max: usize,
    memory: Arc<Account>,
    /// Requests that have no whole answer yet.
    requests: AtomicUsize,
    /// Requests so far.
    asked: AtomicU64,
    /// Calls that may be given up before the connection is closed.
    credit: AtomicI64,
    /// Notified when the connection is to end.
    close: Notify,
    /// The socket.
    descriptor: OnceLock<RawFd>,
    /// Small answers on HTTP/2 that were not taken yet, by the millisecond since `began` in which they were given.
    waiting: Mutex<BTreeMap<u64, usize>>,
    began: Instant,
    /// Large answers that are on the way over HTTP/2, by the order in which their streams began.
    large: Mutex<BTreeMap<u64, Arc<OnTheWay>>>,
    /// Millisecond since `began` in which the peer's system last took no more.
    blocked_ms: AtomicU64,
    /// Whether the peer's system takes no more at the moment.
    blocked: AtomicBool,
    /// Millisecond since `began` in which a piece of an answer last left HTTP.
    left_ms: AtomicU64,
    /// Pieces of answers that have left HTTP.
    left: AtomicU64,
}

/// A request under way; dropped when its answer has left.
#[derive(Debug)]
pub(super) struct Running(Arc<Connection>);

impl Peers {
    /// Of each: so many connections, and so many requests at once.
    pub(super) fn new(connections_max: usize, requests_max: usize) -> Arc<Self> {
        Arc::new(Self { connections_max, requests_max, peers: Mutex::default(), next: AtomicU64::new(0) })
    }

    /// A new connection. A peer that has as many as it may loses its oldest one without a request; if all have requests,
    /// `None`: the new one is refused.
    pub(super) fn connect(&self, address: IpAddr) -> Option<Arc<Connection>> {
        let key = key(address);
        let peer = self.peers.lock().entry(key).or_default().clone();
        let connection = Arc::new(Connection {
            number: self.next.fetch_add(1, Ordering::Relaxed),
            address: key,
            peer: peer.clone(),
            requests_max: self.requests_max,
            memory: Arc::default(),
            requests: AtomicUsize::new(0),
            asked: AtomicU64::new(0),
            credit: AtomicI64::new(GIVEN_UP_MAX),
            close: Notify::new(),
            descriptor: OnceLock::new(),
            waiting: Mutex::default(),
            began: Instant::now(),
            large: Mutex::default(),
            blocked_ms: AtomicU64::new(0),
            blocked: AtomicBool::new(false),
            left_ms: AtomicU64::new(0),
            left: AtomicU64::new(0),
        });
        let mut connections = peer.connections.lock();
        if connections.len() >= self.connections_max {
            let idle = connections.values().find(|connection| connection.is_idle());
            let idle = idle.map(|connection| connection.number)?;
            if let Some(idle) = connections.remove(&idle) {
                idle.close.notify_one();
            }
        }
        connections.insert(connection.number, connection.clone());
        drop(connections);
        Some(connection)
    }

    /// A connection has ended.
    pub(super) fn disconnect(&self, connection: &Connection) {
        let mut peers = self.peers.lock();
        let mut connections = connection.peer.connections.lock();
        connections.remove(&connection.number);
        // A peer whose requests still hold memory is checked again when its next connection ends.
        if connections.is_empty() && connection.peer.memory.bytes() == 0 {
            peers.remove(&connection.address);
        }
    }
}

/// The key of an address in the table of peers.
fn key(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address => address,
    }
}

impl Connection {
    /// A request begins; `None` if the peer has as many as it may.
    pub(super) fn begin(self: &Arc<Self>) -> Option<Running> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let running = self.peer.requests.fetch_add(1, Ordering::AcqRel) < self.requests_max;
        self.requests.fetch_add(1, Ordering::AcqRel);
        // Dropping it at once takes both counts back.
        Some(Running(self.clone())).filter(|_| running)
    }

    /// The connection has that socket.
    pub(super) fn opened(&self, descriptor: RawFd) {
        // A connection has one socket.
        let _ = self.descriptor.set(descriptor);
    }

    /// The socket, which is open as long as HTTP serves it.
    pub(super) fn descriptor(&self) -> Option<RawFd> {
        self.descriptor.get().copied()
    }

    /// Whether no request is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.requests.load(Ordering::Acquire) == 0
    }

    /// Whether the connection has received a request.
    pub(super) fn was_asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed) > 0
    }

    /// The accounts that its requests are charged to.
    pub(super) fn payer(&self) -> Payer {
        Payer { connection: self.memory.clone(), peer: self.peer.memory.clone() }
    }

    /// Returns when the connection is to end: another one takes its place, or it gives up too many calls.
    pub(super) async fn closed(&self) {
        self.close.notified().await;
    }

    /// A call was answered: the connection does work.
    pub(super) fn answered(&self) {
        if self.credit.load(Ordering::Relaxed) < GIVEN_UP_MAX {
            self.credit.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A call was given up before it was answered. A connection that gives up too many calls while few are answered is
    /// closed gracefully: calls under way are answered.
    pub(super) fn given_up(&self) {
        if self.credit.fetch_sub(1, Ordering::Relaxed) == 0 {
            tracing::warn!(peer = %self.address, "a connection is closed: it gives up call after call");
            self.close.notify_one();
        }
    }

    /// To be called now and then, `elapsed` after the last time: time makes good for calls that were given up.
    pub(super) fn refill(&self, elapsed: Duration) {
        let ms = i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX);
        let more = GIVEN_UP_PER_SECOND.saturating_mul(ms) / 1_000;
        let refill = |credit: i64| Some(credit.saturating_add(more).min(GIVEN_UP_MAX));
        let _ = self.credit.fetch_update(Ordering::Relaxed, Ordering::Relaxed, refill);
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Whether the peer's system took nothing more for now.
    pub(super) fn set_blocked(&self, blocked: bool) {
        if blocked {
            self.blocked_ms.store(self.now_ms(), Ordering::Relaxed);
        }
        self.blocked.store(blocked, Ordering::Relaxed);
    }

    /// Whether the last write must wait for the peer's system.
    pub(super) fn is_blocked(&self) -> bool {
        self.blocked.load(Ordering::Relaxed)
    }

    /// A large answer is on the way over HTTP/2.
    pub(super) fn large_begins(&self, way: &Arc<OnTheWay>) {
        self.large.lock().insert(way.number(), way.clone());
    }

    /// It has ended.
    pub(super) fn large_ends(&self, way: &OnTheWay) {
        self.large.lock().remove(&way.number());
    }

    /// Pieces that have left of the large answers on the way whose streams are older than that one.
    pub(super) fn pieces_left_before(&self, number: u64) -> u64 {
        self.large.lock().range(..number).map(|(_, way)| way.pieces_left()).sum()
    }

    /// A small answer was given to HTTP/2; the time to hand to [`Connection::taken`].
    pub(super) fn given(&self) -> u64 {
        let now = self.now_ms();
        *self.waiting.lock().entry(now).or_default() += 1;
        now
    }

    /// The small answer of that time has left.
    pub(super) fn taken(&self, at: u64) {
        let mut waiting = self.waiting.lock();
        if let Some(count) = waiting.get_mut(&at) {
            *count -= 1;
            if *count == 0 {
                waiting.remove(&at);
            }
        }
    }

    /// Whether a small answer has waited longer than `max`, in which no piece of any answer left, though the peer's system
    /// took everything that HTTP/2 let pass: the peer gives HTTP/2 no room.
    pub(super) fn is_stalled(&self, max: Duration) -> bool {
        let before = self.now_ms().saturating_sub(u64::try_from(max.as_millis()).unwrap_or(u64::MAX));
        let blocked = self.blocked_ms.load(Ordering::Relaxed) > before;
        let moving = self.left_ms.load(Ordering::Relaxed) > before;
        !blocked && !moving && self.waiting.lock().first_key_value().is_some_and(|(at, _)| *at < before)
    }

    /// A piece of an answer has left HTTP.
    pub(super) fn piece_left(&self) {
        self.left.fetch_add(1, Ordering::Relaxed);
        self.left_ms.store(self.now_ms(), Ordering::Relaxed);
    }

    /// Pieces of answers that have left HTTP so far.
    pub(super) fn pieces_left(&self) -> u64 {
        self.left.load(Ordering::Relaxed)
    }

    /// Requests that have no whole answer yet.
    pub(super) fn requests(&self) -> usize {
        self.requests.load(Ordering::Acquire)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.requests.fetch_sub(1, Ordering::AcqRel);
        self.0.peer.requests.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[tokio::test]
    async fn a_peer_replaces_its_own_idle_connections() {
        let peers = Peers::new(2, 1);
        let one = peers.connect(address("10.0.0.1")).expect("room");
        let other = peers.connect(address("::ffff:10.0.0.1")).expect("room");
        let running = one.begin().expect("room");
        assert!(other.begin().is_none(), "one request at once");
        let third = peers.connect(address("10.0.0.1")).expect("the idle one makes room");
        other.closed().await;
        drop(running);
        let _busy = (third.begin().expect("room"), peers.connect(address("10.0.0.2")).expect("another peer"));
        peers.disconnect(&other);
        peers.disconnect(&one);
        let fourth = peers.connect(address("10.0.0.1")).expect("room");
        peers.disconnect(&fourth);
        peers.disconnect(&third);
        assert_eq!(peers.peers.lock().len(), 1);
    }

    #[test]
    fn connections_with_requests_are_not_replaced() {
        let peers = Peers::new(1, 10);
        let one = peers.connect(address("fe80::1")).expect("room");
        let _running = one.begin().expect("room");
        assert!(peers.connect(address("fe80::2")).is_none(), "the same 64 bits");
        assert!(peers.connect(address("fe80:1::2")).is_some());
    }

    #[tokio::test]
    async fn calls_that_are_given_up_use_the_credit() {
        let peers = Peers::new(1, 10);
        let one = peers.connect(address("10.0.0.1")).expect("room");
        for _ in 0..GIVEN_UP_MAX {
            one.given_up();
        }
        one.refill(Duration::from_secs(1));
        for _ in 0..=GIVEN_UP_PER_SECOND {
            one.given_up();
        }
        one.closed().await;
    }

    #[test]
    fn small_answers_that_nobody_takes_are_noticed() {
        let peers = Peers::new(1, 10);
        let one = peers.connect(address("10.0.0.1")).expect("room");
        let at = one.given();
        std::thread::sleep(Duration::from_millis(5));
        assert!(one.is_stalled(Duration::from_millis(1)) && !one.is_stalled(Duration::from_secs(60)));
        one.taken(at);
        assert!(!one.is_stalled(Duration::from_millis(1)));
    }
}
