//! The share of one request, and the request that a task or a thread works for.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use azimuth_engine::query::Charge;
use parking_lot::Mutex;
use tokio::runtime::{Handle, RuntimeFlavor};

use super::{Payer, Refusal, RequestMemory};

/// A request whose body is read waits this long for memory that others have taken; then it is refused.
const WAIT_MAX: Duration = Duration::from_secs(5);
/// Pause between two attempts of the oldest large request to get memory.
const WAIT_STEP: Duration = Duration::from_millis(2);

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
    /// Place among the large requests that are not answered yet.
    number: Option<u64>,
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
    SHARE.try_with(|share| charge_to(share, bytes)).unwrap_or(Ok(()))
}

/// Charges a request. Of large requests that ask for more than there is, the oldest waits for memory that the others give
/// back, and the others are refused: so requests that would each succeed alone do not all fail.
fn charge_to(share: &Mutex<Share>, bytes: usize) -> Result<(), Refusal> {
    let first = share.lock().try_grow(bytes);
    let Err(mut refusal) = first else { return Ok(()) };
    let deadline = Instant::now() + WAIT_MAX;
    let mut wait = || {
        while refusal.is_for_now() && share.lock().is_oldest() && Instant::now() < deadline {
            std::thread::sleep(WAIT_STEP);
            match share.lock().try_grow(bytes) {
                Ok(()) => return Ok(()),
                Err(again) => refusal = again,
            }
        }
        share.lock().refused = Some(refusal);
        Err(refusal)
    };
    // Other tasks of this thread go on elsewhere. A runtime of one thread has no elsewhere.
    match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
        Ok(RuntimeFlavor::CurrentThread) => {
            share.lock().refused = Some(refusal);
            Err(refusal)
        }
        Ok(_) => tokio::task::block_in_place(wait),
        Err(_) => wait(),
    }
}

/// Charges a request with more memory, after a short wait for others.
///
/// # Errors
/// There was no room.
pub(crate) async fn charge_or_wait(share: &Mutex<Share>, bytes: usize) -> Result<(), Refusal> {
    let first = share.lock().grow(bytes);
    let Err(mut refusal) = first else { return Ok(()) };
    let memory = share.lock().memory.clone();
    let _waiting = memory.waiting();
    let deadline = tokio::time::Instant::now() + WAIT_MAX;
    while refusal.is_for_now() {
        let mut released = pin!(memory.released.notified());
        released.as_mut().enable();
        // Memory released before this task was registered as waiting sent no notification.
        let grown = share.lock().grow(bytes);
        let Err(again) = grown else { return Ok(()) };
        refusal = again;
        if tokio::time::timeout_at(deadline, released).await.is_err() {
            break;
        }
    }
    share.lock().refused = Some(refusal);
    Err(refusal)
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
        Self { memory, payer, used: 0, held: 0, refused: None, number: None }
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
        self.grow(bytes).inspect_err(|refusal| self.refused = Some(*refusal))
    }

    /// The same while the answer is made, but a refusal is not final.
    fn try_grow(&mut self, bytes: usize) -> Result<(), Refusal> {
        if let Some(refusal) = self.refused {
            return Err(refusal);
        }
        if self.number.is_none() && self.used.saturating_add(bytes) > self.memory.limits.small {
            self.number = Some(self.memory.enter());
        }
        self.grow(bytes)
    }

    /// Whether no other large request waits for its answer for longer.
    fn is_oldest(&self) -> bool {
        self.number.is_some_and(|number| self.memory.growing.lock().first() == Some(&number))
    }

    fn grow(&mut self, bytes: usize) -> Result<(), Refusal> {
        let used = self.used.saturating_add(bytes);
        if used > self.held {
            let bytes_max = self.memory.limits.one;
            if used > bytes_max {
                return Err(Refusal::TooLarge { bytes_max });
            }
            let held = self.rounded(used);
            self.memory.take(&self.payer, held - self.held, held)?;
            self.held = held;
        }
        self.used = used;
        Ok(())
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
        self.leave();
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

    /// The answer is complete, or the request has ended.
    fn leave(&mut self) {
        if let Some(number) = self.number.take() {
            self.memory.growing.lock().remove(&number);
        }
    }

    fn rounded(&self, bytes: usize) -> usize {
        bytes.div_ceil(self.memory.limits.step) * self.memory.limits.step
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.leave();
        if self.held > 0 {
            self.memory.give(&self.payer, self.held);
        }
    }
}
