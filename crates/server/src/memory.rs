//! Memory that the requests under way may take together: a request that finds no room is refused, the process goes on.
//!
//! Each request has a [`Share`], charged while its body is read and decoded, given back when it is answered.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::Status;

/// A request waits this long for memory that others have taken; then it is refused.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// Memory for the bodies of all requests under way.
pub(crate) struct RequestMemory {
    /// Free KiB.
    free: Arc<Semaphore>,
    kib_max: usize,
}

/// Why there is no memory for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// It needs more than all requests may take together.
    #[error("the request takes more memory than all requests together may: AZIMUTH_REQUESTS_BYTES_MAX")]
    TooLarge,
    /// Others have taken it.
    #[error("the memory for requests is taken by others; try again later")]
    Busy,
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::TooLarge => Self::resource_exhausted(refusal.to_string()),
            Refusal::Busy => Self::unavailable(refusal.to_string()),
        }
    }
}

tokio::task_local! {
    /// The share of the request that this task answers.
    pub(crate) static SHARE: Arc<Mutex<Share>>;
}

/// Charges the request that this task answers, if it is one that is charged.
///
/// # Errors
/// There is no room.
pub(crate) fn charge(bytes: usize) -> Result<(), Refusal> {
    SHARE.try_with(|share| share.lock().try_add(bytes)).unwrap_or(Ok(()))
}

/// The share of one request; given back when dropped.
pub(crate) struct Share {
    memory: Arc<RequestMemory>,
    bytes: usize,
    held: Option<OwnedSemaphorePermit>,
}

impl RequestMemory {
    /// So much in all.
    pub(crate) fn new(bytes_max: usize) -> Arc<Self> {
        let kib_max = (bytes_max >> 10).clamp(1, Semaphore::MAX_PERMITS.min(u32::MAX as usize));
        Arc::new(Self { free: Arc::new(Semaphore::new(kib_max)), kib_max })
    }

    /// Nothing so far.
    pub(crate) fn share(self: &Arc<Self>) -> Share {
        Share { memory: self.clone(), bytes: 0, held: None }
    }
}

impl Share {
    /// KiB that are missing once the request takes `bytes` more.
    fn missing(&self, bytes: usize) -> Result<u32, Refusal> {
        let kib = self.bytes.saturating_add(bytes).div_ceil(1 << 10);
        if kib > self.memory.kib_max {
            return Err(Refusal::TooLarge);
        }
        let held = self.held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        u32::try_from(kib.saturating_sub(held)).map_err(|_| Refusal::TooLarge)
    }

    fn take(&mut self, bytes: usize, permit: OwnedSemaphorePermit) {
        self.bytes += bytes;
        match &mut self.held {
            Some(held) => held.merge(permit),
            None => self.held = Some(permit),
        }
    }

    /// Charges the request with more memory, at once.
    ///
    /// # Errors
    /// There is no room.
    pub(crate) fn try_add(&mut self, bytes: usize) -> Result<(), Refusal> {
        let missing = self.missing(bytes)?;
        let permit = self.memory.free.clone().try_acquire_many_owned(missing).map_err(|_| Refusal::Busy)?;
        self.take(bytes, permit);
        Ok(())
    }

    /// The same, after a short wait for others.
    ///
    /// # Errors
    /// There was no room.
    pub(crate) async fn add(&mut self, bytes: usize) -> Result<(), Refusal> {
        let missing = self.missing(bytes)?;
        let permit = self.memory.free.clone().acquire_many_owned(missing);
        let permit = tokio::time::timeout(WAIT_MAX, permit).await;
        self.take(bytes, permit.map_err(|_| Refusal::Busy)?.map_err(|_| Refusal::Busy)?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_given_back() {
        let memory = RequestMemory::new(10 << 10);
        let (mut one, mut other) = (memory.share(), memory.share());
        assert_eq!(one.try_add(11 << 10), Err(Refusal::TooLarge));
        assert_eq!(one.try_add(1), Ok(()));
        assert_eq!(one.try_add(1_023), Ok(()), "a KiB is used up before the next one is taken");
        assert_eq!(memory.free.available_permits(), 9);
        assert_eq!(one.try_add(5 << 10), Ok(()));
        assert_eq!(other.try_add(5 << 10), Err(Refusal::Busy));
        assert_eq!(other.try_add(4 << 10), Ok(()));
        drop(one);
        assert_eq!(other.try_add(6 << 10), Ok(()));
        drop(other);
        assert_eq!(memory.free.available_permits(), 10);
    }
}
