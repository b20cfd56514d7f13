//! The charge that a read makes to its caller before it takes memory for objects.

use crate::Result;

/// Charges the caller for the memory of a read's objects. The read calls it before each object is decoded, with the
/// bytes that the object will take; the first error ends the read.
///
/// A plain function, which finds by itself the request for which the thread reads. [`Charge::default`] accepts every
/// charge.
#[derive(Debug, Clone, Copy)]
pub struct Charge(fn(usize) -> Result<()>);

impl Charge {
    /// Asks `charge` for each object.
    pub fn new(charge: fn(usize) -> Result<()>) -> Self {
        Self(charge)
    }

    /// Asks for `bytes` more.
    ///
    /// # Errors
    /// The caller's refusal: [`Error::TooLarge`](crate::Error::TooLarge) or [`Error::Busy`](crate::Error::Busy).
    pub(crate) fn take(self, bytes: usize) -> Result<()> {
        (self.0)(bytes)
    }
}

impl Default for Charge {
    fn default() -> Self {
        Self(|_| Ok(()))
    }
}

/// A charge does not change the result of a query: all charges are equal.
impl PartialEq for Charge {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Charge {}
