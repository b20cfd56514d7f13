//! The share of one request, and the request that a task or a thread works for.

use std::pin::pin;
use std::sync::Arc;

use azimuth_engine::query::Charge;
use parking_lot::Mutex;
use tokio::time::{Instant, timeout_at};

use super::queue::Reserved;
use super::{Payer, Refusal, RequestMemory};

/// The memory that one request holds; given back when dropped.
#[derive(Debug)]
pub(crate) struct Share {
    memory: Arc<RequestMemory>,
    payer: Payer,
    /// Bytes that the request was charged with.
    used: usize,
    /// Bytes taken from the accounts: `used`, rounded up to steps.
    held: usize,
    /// The first refusal. Every later charge is refused the same way: the request has failed.
    refused: Option<Refusal>,
    /// The read that runs, if it can be run again.
    read: Option<Read>,
}

/// The memory of the body of a stream of requests: of the message that comes in.
#[derive(Debug, Clone)]
pub(crate) struct BodyShare(pub(crate) Arc<Mutex<Share>>);

impl BodyShare {
    /// An empty share from the accounts of `request`.
    pub(crate) fn beside(request: &Share) -> Self {
        Self(Arc::new(Mutex::new(Share::new(request.memory.clone(), request.payer.clone()))))
    }

    /// A message is complete: its bytes are charged elsewhere, or the message is gone.
    pub(crate) fn message_ended(&self) {
        self.0.lock().settle(0);
    }

    /// An empty share for a message that was received.
    pub(crate) fn of_message(&self) -> Arc<Mutex<Share>> {
        Self::beside(&self.0.lock()).0
    }
}

/// A read that can be run again.
#[derive(Debug, Default)]
struct Read {
    /// Whether memory was set aside for it.
    reserved: bool,
    /// Bytes that the request would have held when it was refused.
    wanted: usize,
}

tokio::task_local! {
    /// The share of the request for which this task, or this thread while it reads, works.
    static SHARE: Arc<Mutex<Share>>;
}

/// The share of the request for which the current task or thread works.
pub(crate) fn current() -> Option<Arc<Mutex<Share>>> {
    SHARE.try_with(Arc::clone).ok()
}

/// Runs `work` on behalf of the request that has the share.
pub(crate) fn within<T>(share: Option<Arc<Mutex<Share>>>, work: impl FnOnce() -> T) -> T {
    match share {
        Some(share) => SHARE.sync_scope(share, work),
        None => work(),
    }
}

/// The same for a future.
pub(crate) async fn within_async<F: Future>(share: Arc<Mutex<Share>>, work: F) -> F::Output {
    SHARE.scope(share, work).await
}

/// Charges the request for which the current task or thread works, if there is one.
///
/// # Errors
/// There is no room.
pub(crate) fn charge(bytes: usize) -> Result<(), Refusal> {
    SHARE.try_with(|share| share.lock().try_add(bytes)).unwrap_or(Ok(()))
}

/// Charges a request with more memory; waits for it while others have it, for the time that the settings allow. What the
/// request holds already it keeps meanwhile: this is for bodies and for writes, which cannot be run again.
///
/// # Errors
/// There was no room.
pub(crate) async fn charge_or_wait(share: &Mutex<Share>, bytes: usize) -> Result<(), Refusal> {
    let first = share.lock().grow(bytes);
    let Err(mut refusal) = first else { return Ok(()) };
    let memory = share.lock().memory.clone();
    let _waiting = memory.waiting();
    let deadline = Instant::now() + memory.limits.wait_max;
    while refusal.is_for_now() {
        let mut released = pin!(memory.released.notified());
        released.as_mut().enable();
        // Memory released before this task was registered as waiting sent no notification.
        let grown = share.lock().grow(bytes);
        let Err(again) = grown else { return Ok(()) };
        refusal = again;
        if timeout_at(deadline, released).await.is_err() {
            break;
        }
    }
    share.lock().refused = Some(refusal);
    Err(refusal)
}

/// The same for the request for which the current task works, if there is one.
///
/// # Errors
/// There was no room.
pub(crate) async fn wait_for(bytes: usize) -> Result<(), Refusal> {
    match current() {
        Some(share) => charge_or_wait(&share, bytes).await,
        None => Ok(()),
    }
}

/// Charges the request whether there is room or not: for the answer to a completed write.
pub(crate) fn force(bytes: usize) {
    let _ = SHARE.try_with(|share| share.lock().force(bytes));
}

/// Why the current request was refused memory, if it was.
pub(crate) fn refusal() -> Option<Refusal> {
    SHARE.try_with(|share| share.lock().refused).ok().flatten()
}

/// The charge that reads make before they decode an object: [`charge`].
pub(crate) fn reading() -> Charge {
    Charge::new(|bytes| Ok(charge(bytes)?))
}

impl Share {
    /// An empty share.
    pub(super) fn new(memory: Arc<RequestMemory>, payer: Payer) -> Self {
        Self { memory, payer, used: 0, held: 0, refused: None, read: None }
    }

    /// Bytes that it was charged with.
    pub(crate) fn bytes(&self) -> usize {
        self.used
    }

    /// Charges the request with more memory, at once.
    ///
    /// # Errors
    /// There is no room now, or an earlier charge was refused.
    pub(crate) fn try_add(&mut self, bytes: usize) -> Result<(), Refusal> {
        if let Some(refusal) = self.refused {
            return Err(refusal);
        }
        self.grow(bytes).inspect_err(|refusal| {
            self.refused = Some(*refusal);
            if let Some(read) = &mut self.read {
                read.wanted = self.used.saturating_add(bytes);
            }
        })
    }

    /// The memory of all requests.
    pub(super) fn memory(&self) -> &Arc<RequestMemory> {
        &self.memory
    }

    /// A read begins that can be run again. Returns the bytes that the request holds without it.
    pub(super) fn begin_read(&mut self) -> usize {
        self.read = Some(Read::default());
        self.used
    }

    /// The read has ended. If there was no memory for it for now, returns the bytes that the request would have held; else
    /// gives back the memory that was set aside for the read and not used.
    pub(super) fn end_read(&mut self) -> Option<usize> {
        if let (Some(read), Some(refusal)) = (&self.read, self.refused)
            && refusal.is_for_now()
        {
            return Some(read.wanted);
        }
        self.read = None;
        self.settle(self.used);
        None
    }

    /// Gives back the memory that the read held above `base` bytes. Returns the number of bytes missing to `total`, and
    /// the accounts from which to take them.
    pub(super) fn begin_turn(&mut self, base: usize, total: usize) -> (Payer, usize) {
        self.settle(base);
        (self.payer.clone(), total.saturating_sub(self.held))
    }

    /// Memory was set aside for the read, which is run again and is not refused any more.
    pub(super) fn reserve(&mut self, reserved: Reserved) {
        self.held += reserved.take();
        self.refused = None;
        self.read = Some(Read { reserved: true, wanted: 0 });
    }

    fn grow(&mut self, bytes: usize) -> Result<(), Refusal> {
        let used = self.used.saturating_add(bytes);
        if used > self.held {
            let bytes_max = self.memory.limits.one;
            if used > bytes_max {
                return Err(Refusal::TooLarge { bytes_max });
            }
            let held = self.rounded(used);
            if self.must_queue(held) {
                return Err(Refusal::Busy);
            }
            self.memory.take(&self.payer, held - self.held, held)?;
            self.held = held;
        }
        self.used = used;
        Ok(())
    }

    /// Whether other reads were there before this one, which becomes large.
    fn must_queue(&self, held: usize) -> bool {
        let small = self.memory.limits.small;
        let newcomer = self.read.as_ref().is_some_and(|read| !read.reserved);
        newcomer && self.held <= small && held > small && !self.memory.queue.is_empty()
    }

    /// Charges the request whether there is room or not.
    pub(crate) fn force(&mut self, bytes: usize) {
        self.used = self.used.saturating_add(bytes);
        if self.used > self.held {
            self.memory.take_anyway(&self.payer, self.used - self.held);
            self.held = self.used;
        }
    }

    /// The request holds `bytes` from now on, whatever it was charged with.
    pub(crate) fn settle(&mut self, bytes: usize) {
        if bytes > self.used {
            return self.force(bytes - self.used);
        }
        self.used = bytes;
        let held = self.rounded(bytes).min(self.held);
        if held < self.held {
            self.memory.give(&self.payer, self.held - held);
            self.held = held;
        }
    }

    /// Reduces the charge of the request by so many bytes.
    pub(crate) fn give(&mut self, bytes: usize) {
        self.settle(self.used.saturating_sub(bytes));
    }

    fn rounded(&self, bytes: usize) -> usize {
        bytes.div_ceil(self.memory.limits.step) * self.memory.limits.step
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if self.held > 0 {
            self.memory.give(&self.payer, self.held);
        }
    }
}
