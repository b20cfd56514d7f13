//! Objects whose rows cannot be decoded, as far as reads and commands met them.
//!
//! The row itself is the record: it stays unchanged until the object is replaced or deleted. This module keeps in
//! memory the doc ids of the unreadable versions that were met since the shard was loaded: each is reported once, and
//! listings skip known ones without reading them. docs/guarantees.md says how each request treats such an object.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use roaring::RoaringTreemap;

use crate::Error;
use crate::ids::{DocId, ShardKey};

/// Versions remembered per shard.
const KNOWN_MAX: u64 = 1 << 20;

/// The unreadable objects of a shard.
#[derive(Default)]
pub(crate) struct Unreadable {
    /// How many are known: asked without the lock.
    count: AtomicU64,
    known: Mutex<RoaringTreemap>,
}

impl Unreadable {
    /// Notes a version and logs it once. Returns the error for a request for this very object.
    pub(crate) fn note(&self, at: ShardKey, doc_id: DocId, why: &Error) -> Error {
        let mut known = self.known.lock();
        if known.len() < KNOWN_MAX && known.insert(doc_id.0) {
            self.count.store(known.len(), Ordering::Release);
            tracing::error!(
                collection = at.collection.0,
                shard = at.shard.0,
                doc_id = doc_id.0,
                why = %why,
                "an object cannot be read and is left out of listings and searches: replace or delete it"
            );
        }
        Error::Unreadable(format!("the stored object cannot be read ({why}); it can be replaced or deleted"))
    }

    /// The versions known by now; `None` if there is none.
    pub(crate) fn known(&self) -> Option<RoaringTreemap> {
        if self.len() == 0 { None } else { Some(self.known.lock().clone()) }
    }

    /// How many are known by now.
    pub(crate) fn len(&self) -> u64 {
        self.count.load(Ordering::Acquire)
    }

    /// Forgets versions that are gone.
    pub(crate) fn forget(&self, gone: &[DocId]) {
        if self.len() == 0 {
            return;
        }
        let mut known = self.known.lock();
        for doc_id in gone {
            known.remove(doc_id.0);
        }
        self.count.store(known.len(), Ordering::Release);
    }
}
