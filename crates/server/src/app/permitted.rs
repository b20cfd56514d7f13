//! Values of a request together with the decision that the caller may have them written.

use std::ops::Deref;

use crate::auth::{Access, Grant};

/// A value of a request that its caller may have written. It can be read everywhere; only the application changes it, so
/// that it keeps naming the resource that the decision was about.
#[derive(Debug, Clone)]
pub(crate) struct Permitted<T> {
    grant: Grant,
    value: T,
}

impl<T> Permitted<T> {
    /// `grant` must be about the resource that `value` names.
    pub(super) fn new(grant: Grant, value: T) -> Self {
        Self { grant, value }
    }

    /// The value without its permit.
    pub(crate) fn into_inner(self) -> T {
        self.value
    }

    pub(super) fn value_mut(&mut self) -> &mut T {
        &mut self.value
    }

    pub(super) fn grant(&self) -> Grant {
        self.grant
    }

    /// Whether the decision is about this access.
    pub(super) fn allows(&self, access: Access) -> bool {
        self.grant.allows(access)
    }
}

impl<T> Deref for Permitted<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}
