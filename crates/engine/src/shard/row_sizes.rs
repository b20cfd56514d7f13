//! The number of object rows that a read takes from the store at once.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Rows read at once, at most; each keeps a block of the store in memory meanwhile.
const BATCH_ROWS_MAX: usize = 64;
/// The same for a shard of which no row has been read yet.
const BATCH_ROWS_FIRST: usize = 8;
/// Bytes that the rows of one read from the store should add up to.
const BATCH_BYTES: usize = 1 << 20;

/// The size of a shard's rows as reads saw them lately: of the largest, which is forgotten slowly. Reading many small
/// rows at once is cheaper than one by one; many large ones would keep blocks in memory that are charged to no request.
#[derive(Debug, Default)]
pub(crate) struct RowSizes(AtomicUsize);

impl RowSizes {
    /// Rows to read at once; at least one.
    pub(crate) fn batch_rows(&self) -> usize {
        match self.0.load(Ordering::Relaxed) {
            0 => BATCH_ROWS_FIRST,
            bytes => (BATCH_BYTES / bytes).clamp(1, BATCH_ROWS_MAX),
        }
    }

    /// Takes the largest row of a read into account.
    pub(crate) fn note(&self, bytes: usize) {
        let known = self.0.load(Ordering::Relaxed);
        // Two threads at a time may lose one of their sizes: the next read stores it again.
        let now = bytes.max(known - known / 8).max(1);
        if now != known {
            self.0.store(now, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_rows_are_read_one_by_one_until_they_are_forgotten() {
        let rows = RowSizes::default();
        assert_eq!(rows.batch_rows(), BATCH_ROWS_FIRST);
        rows.note(500);
        assert_eq!(rows.batch_rows(), BATCH_ROWS_MAX);
        rows.note(1 << 20);
        assert_eq!(rows.batch_rows(), 1);
        for _ in 0..100 {
            rows.note(500);
        }
        assert_eq!(rows.batch_rows(), BATCH_ROWS_MAX);
    }
}
