//! Reads that found no memory: each waits for its turn, and is run again once the memory for it is set aside.
//!
//! A waiting read holds nothing but its request, and no thread. So no two reads wait for memory that the other one holds,
//! and the memory that running requests give back is all the memory there is. The queue is in the order of arrival; a read
//! that only its own peer or connection keeps waiting holds up no read of another peer.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::{Payer, Refusal, RequestMemory, current};

/// Reads that wait at once.
const PLACES_MAX: usize = 256;
/// The same of one peer.
const PLACES_OF_PEER_MAX: usize = PLACES_MAX / 4 * 3;
/// Part of the largest share that is set aside for a read that found no memory, unless it asked for more. If it finds none
/// again, it gets all but this part, which is left to the small requests of the same peer.
const PART: usize = 8;

/// The reads that wait.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: Mutex<VecDeque<Waiting>>,
    /// Length of `waiting`.
    count: AtomicUsize,
}

#[derive(Debug)]
struct Waiting {
    payer: Payer,
    /// Bytes to set aside.
    bytes: usize,
    granted: oneshot::Sender<Reserved>,
}

/// A place in the queue; left when dropped.
struct Place {
    memory: Arc<RequestMemory>,
    turn: Option<oneshot::Receiver<Reserved>>,
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(self.turn.take());
        // The next in the queue may need less.
        self.memory.serve_queue();
    }
}

/// Memory that was set aside for a request; given back when dropped.
#[derive(Debug)]
pub(super) struct Reserved {
    memory: Arc<RequestMemory>,
    payer: Payer,
    bytes: usize,
}

impl Reserved {
    /// The bytes, which are the caller's to give back from now on.
    pub(super) fn take(mut self) -> usize {
        std::mem::take(&mut self.bytes)
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.memory.give(&self.payer, self.bytes);
        }
    }
}

/// Runs a read that answers the current request. If there is no memory for it now, gives back what the read holds, waits
/// until memory is set aside, and runs it again, until `deadline` or for the time that the settings allow. The output of the
/// last run is returned, which of a read without memory is a refusal.
///
/// `read` must have no effect, and must have ended when its future returns.
pub(crate) async fn in_turn<F: Future>(deadline: Instant, read: impl Fn() -> F) -> F::Output {
    let Some(share) = current() else { return read().await };
    let memory = share.lock().memory().clone();
    let base = share.lock().begin_read();
    let mut until = None;
    let one = memory.limits.one;
    let (mut part, most) = (one / PART, one - one / PART);
    loop {
        let output = read().await;
        let Some(wanted) = share.lock().end_read() else { return output };
        let until = *until.get_or_insert_with(|| deadline.min(Instant::now() + memory.limits.wait_max));
        let total = wanted.saturating_mul(2).max(part).min(most).max(wanted);
        part = most;
        let (payer, bytes) = share.lock().begin_turn(base, total);
        match memory.turn(payer, bytes, until).await {
            Some(reserved) => share.lock().reserve(reserved),
            None => return output,
        }
    }
}

impl RequestMemory {
    /// Waits until so many bytes are set aside. `None` if the queue is full or the time is over.
    async fn turn(self: &Arc<Self>, payer: Payer, bytes: usize, until: Instant) -> Option<Reserved> {
        let (granted, turn) = oneshot::channel();
        self.queue.enter(Waiting { payer, bytes, granted })?;
        let mut place = Place { memory: self.clone(), turn: Some(turn) };
        // Memory may have been given back before this read was in the queue.
        self.serve_queue();
        timeout_at(until, place.turn.as_mut()?).await.ok()?.ok()
    }

    /// Sets memory aside for the reads whose turn it is.
    pub(super) fn serve_queue(self: &Arc<Self>) {
        if self.queue.is_empty() {
            return;
        }
        let mut granted = Vec::new();
        let mut waiting = self.queue.waiting.lock();
        waiting.retain(|waiting| !waiting.granted.is_closed());
        let mut place = 0;
        while let Some(next) = waiting.get(place) {
            match self.take(&next.payer, next.bytes, usize::MAX) {
                Ok(()) => granted.extend(waiting.remove(place)),
                Err(Refusal::PeerBusy | Refusal::ConnectionBusy) => place += 1,
                Err(Refusal::Busy | Refusal::TooLarge { .. }) => break,
            }
        }
        self.queue.count.store(waiting.len(), Ordering::SeqCst);
        drop(waiting);
        for Waiting { payer, bytes, granted } in granted {
            // A read that is gone gives its memory back at once.
            let _ = granted.send(Reserved { memory: self.clone(), payer, bytes });
        }
    }
}

impl Queue {
    /// Whether no read waits.
    pub(super) fn is_empty(&self) -> bool {
        self.count.load(Ordering::SeqCst) == 0
    }

    /// Takes the last place. `None` if there is none left.
    fn enter(&self, new: Waiting) -> Option<()> {
        let mut waiting = self.waiting.lock();
        waiting.retain(|waiting| !waiting.granted.is_closed());
        let of_peer = waiting.iter().filter(|waiting| Arc::ptr_eq(&waiting.payer.peer, &new.payer.peer)).count();
        let has_room = waiting.len() < PLACES_MAX && of_peer < PLACES_OF_PEER_MAX;
        if has_room {
            waiting.push_back(new);
        }
        self.count.store(waiting.len(), Ordering::SeqCst);
        has_room.then_some(())
    }
}
