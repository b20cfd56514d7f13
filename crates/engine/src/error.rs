//! Errors of the engine, named by what the caller must do.

use std::any::Any;
use std::io;

use serde::{Deserialize, Serialize};

/// Why a read was ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cause {
    /// It took longer than it may.
    Deadline,
    /// Its caller is gone.
    Cancelled,
}

/// Errors, by the caller's next step.
#[derive(Debug, Clone, PartialEq, thiserror::Error, Serialize, Deserialize)]
pub enum Error {
    /// The request can never succeed as it is; the text says why, for the person who sent it.
    #[error("{0}")]
    Invalid(String),
    /// The engine does not do this yet; the text names the capability.
    #[error("{0} is not supported yet")]
    Unsupported(String),
    /// A limit was reached; asking for less, or later, can succeed.
    #[error("{0}")]
    Limit(String),
    /// One stored object cannot be decoded. It can be replaced or deleted; everything else is served.
    #[error("{0}")]
    Unreadable(String),
    /// A read was ended from outside before it had its answer.
    #[error("{}", match .0 {
        Cause::Deadline => "the read took longer than it may",
        Cause::Cancelled => "the caller of the read is gone",
    })]
    Interrupted(Cause),
    /// The answer takes more memory than its caller may have; a smaller request can succeed.
    #[error("{0}")]
    TooLarge(String),
    /// Other requests have taken the memory that the answer needs; the same request can succeed later.
    #[error("{0}")]
    Busy(String),
    /// Stored data fails its checks. The node must stop: it would answer wrongly.
    #[error("damaged data: {0}")]
    Damaged(String),
    /// Entries of an inverted index fail their checks. The index is derived: it is being rebuilt from the objects, and
    /// the node goes on; the same request can succeed later.
    #[error("damaged inverted index, which is rebuilt from the objects: {0}")]
    DamagedIndex(String),
    /// The disk failed. The node must stop: what was not made durable is unknown.
    #[error("storage: {0}")]
    Storage(String),
}

/// Result of an engine call.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// Whether the node must stop, because it can no longer keep what it promised.
    pub fn is_fatal(&self) -> bool {
        matches!(self, Self::Damaged(_) | Self::Storage(_))
    }
}

impl From<rocksdb::Error> for Error {
    fn from(error: rocksdb::Error) -> Self {
        match error.kind() {
            rocksdb::ErrorKind::Corruption => Self::Damaged(error.to_string()),
            _ => Self::Storage(error.to_string()),
        }
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::Storage(error.to_string())
    }
}

/// `None` for an object whose row cannot be decoded; other errors stay errors.
pub(crate) fn readable<T>(read: Result<T>) -> Result<Option<T>> {
    match read {
        Err(Error::Unreadable(_)) => Ok(None),
        read => read.map(Some),
    }
}

/// The message of a panic.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("a panic without a text").to_owned()
}
