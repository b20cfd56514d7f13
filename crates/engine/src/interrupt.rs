//! Interrupts: how a read is ended from outside.
//!
//! The engine reads no clock and knows no caller. The caller may run a read under an [`Interrupt`], which another
//! thread raises when the read took too long or its client is gone. Every long operation of a read checks the interrupt
//! at bounded intervals: for every row and index entry that is read, for every batch of vectors that is compared.
//!
//! A read runs on one thread from beginning to end, so the interrupt belongs to the thread while the read goes on.
//! Loops that cannot return an error ([`is_raised`]) stop early; their caller, which can return one ([`check`]), drops
//! the partial result: once raised, an interrupt stays raised.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

pub use crate::error::Cause;
use crate::{Error, Result};

const DEADLINE: u8 = 1;
const CANCELLED: u8 = 2;

/// A flag that ends a read. Clones are the same flag.
#[derive(Debug, Clone, Default)]
pub struct Interrupt(Arc<AtomicU8>);

thread_local! {
    static PRESENT: RefCell<Option<Interrupt>> = const { RefCell::new(None) };
}

impl Interrupt {
    /// A flag that is not raised.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Ends the read soon. The first cause stays.
    pub fn raise(&self, cause: Cause) {
        let raised = match cause {
            Cause::Deadline => DEADLINE,
            Cause::Cancelled => CANCELLED,
        };
        // The assignment fails only if there is an earlier cause.
        let _ = self.0.compare_exchange(0, raised, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Why the interrupt was raised, if it was.
    #[must_use]
    pub fn cause(&self) -> Option<Cause> {
        match self.0.load(Ordering::Relaxed) {
            0 => None,
            DEADLINE => Some(Cause::Deadline),
            _ => Some(Cause::Cancelled),
        }
    }

    /// Runs a read on this thread that ends when this is raised.
    pub fn watch<T>(&self, read: impl FnOnce() -> T) -> T {
        under(Some(self.clone()), read)
    }
}

/// Runs work that other reads need as well; it goes on when the read that began it is interrupted.
pub(crate) fn shielded<T>(work: impl FnOnce() -> T) -> T {
    under(None, work)
}

fn under<T>(interrupt: Option<Interrupt>, run: impl FnOnce() -> T) -> T {
    /// Restores the previous interrupt of the thread, also after a panic.
    struct Restore(Option<Interrupt>);
    impl Drop for Restore {
        fn drop(&mut self) {
            PRESENT.set(self.0.take());
        }
    }
    let _restore = Restore(PRESENT.replace(interrupt));
    run()
}

/// Whether the read of this thread is to end.
#[inline]
pub fn is_raised() -> bool {
    cause().is_some()
}

/// Ends a read that was interrupted.
///
/// # Errors
/// [`Error::Interrupted`]
#[inline]
pub fn check() -> Result<()> {
    cause().map_or(Ok(()), |cause| Err(Error::Interrupted(cause)))
}

#[inline]
fn cause() -> Option<Cause> {
    PRESENT.with_borrow(|present| present.as_ref().and_then(Interrupt::cause))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_sees_its_own_interrupt_only() {
        let (outer, inner) = (Interrupt::new(), Interrupt::new());
        outer.watch(|| {
            inner.raise(Cause::Cancelled);
            inner.raise(Cause::Deadline);
            assert!(!is_raised());
            inner.watch(|| {
                assert!(matches!(check(), Err(Error::Interrupted(Cause::Cancelled))), "the first cause stays");
                shielded(|| assert!(!is_raised()));
                assert!(is_raised());
            });
            outer.raise(Cause::Deadline);
            assert!(matches!(check(), Err(Error::Interrupted(Cause::Deadline))));
        });
        assert!(!is_raised());
    }
}
