//! Decoding of values that hold values of their own kind: the depth is bounded, because malformed bytes must not overflow
//! the stack.

use std::cell::Cell;

use serde::de::{Deserialize, Deserializer, Error};

thread_local! {
    /// Levels that are being decoded on this thread.
    static DEPTH: Cell<usize> = const { Cell::new(0) };
}

/// Leaves a level, also when decoding ends early.
struct Level;

impl Drop for Level {
    fn drop(&mut self) {
        DEPTH.set(DEPTH.get() - 1);
    }
}

/// Decodes the values within a value; at most `MAX` such levels, counted over all kinds of values.
///
/// # Errors
/// Those of the decoder, and one of its own for a value below too many levels.
pub(crate) fn within<'de, const MAX: usize, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    if DEPTH.get() >= MAX {
        return Err(D::Error::custom("a value is nested too deeply"));
    }
    DEPTH.set(DEPTH.get() + 1);
    let _level = Level;
    T::deserialize(deserializer)
}
