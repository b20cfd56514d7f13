//! Errors of the engine, named by what the caller must do. They know no wire: each front end words them.

mod filter;
mod sort;

use std::any::Any;
use std::io;

use serde::{Deserialize, Serialize};

pub use filter::{FilterError, IndexedPart, ValueKind};
pub use sort::{SortError, SortRefusal};

use crate::ids::ShardKey;

/// Why a read was ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cause {
    /// It took longer than it may.
    Deadline,
    /// Its caller is gone.
    Cancelled,
}

/// Errors, by the caller's next step. Answers of shards carry them by the position of their variant: new ones are added at the
/// end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
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
    /// The disk failed. The node must stop: it cannot know which writes are durable.
    #[error("storage: {0}")]
    Storage(String),
    /// The group does not know the shard.
    #[error("shard {} of collection {} does not exist", .0.shard, .0.collection)]
    UnknownShard(ShardKey),
    /// The filter cannot be answered.
    #[error("filter: {0}")]
    Filter(#[from] FilterError),
    /// These sort clauses cannot be followed; not empty.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))]
    Sort(Vec<SortError>),
    /// The vector of a search has another length than the stored ones.
    #[error("the search vector for {vector:?} has {given} dimensions, stored ones have {expected}")]
    WrongDimension {
        /// Name of the vector; empty for the unnamed one.
        vector: String,
        /// Whether objects have several vectors of that name.
        multi: bool,
        /// Whether the index compares all vectors.
        flat: bool,
        /// Length of the vector of the search.
        given: usize,
        /// Length of the stored vectors.
        expected: usize,
    },
    /// The group was raised to a feature level that this program does not know. The node must stop: it would apply the log
    /// in another way than the other members.
    #[error(
        "the data has feature level {level}, and this version of the program supports levels up to {supported}: \
         run a version that supports it, on every node"
    )]
    NewerLevel {
        /// Level of the group.
        level: u32,
        /// Highest level that this program supports.
        supported: u32,
    },
}

/// Result of an engine call.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// Whether the node must stop, because it can no longer keep its guarantees.
    pub fn is_fatal(&self) -> bool {
        matches!(self, Self::Damaged(_) | Self::Storage(_) | Self::NewerLevel { .. })
    }

    /// Whether the request is wrong and will stay so.
    pub fn is_invalid(&self) -> bool {
        match self {
            Self::Invalid(_)
            | Self::UnknownShard(_)
            | Self::Filter(_)
            | Self::Sort(_)
            | Self::WrongDimension { .. } => true,
            Self::Unsupported(_)
            | Self::Limit(_)
            | Self::Unreadable(_)
            | Self::Interrupted(_)
            | Self::TooLarge(_)
            | Self::Busy(_)
            | Self::Damaged(_)
            | Self::DamagedIndex(_)
            | Self::Storage(_)
            | Self::NewerLevel { .. } => false,
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{CollectionId, ShardId};

    #[test]
    fn variants_keep_their_positions() {
        let at = ShardKey { collection: CollectionId(1), shard: ShardId(2) };
        let none = String::new;
        let errors = [
            Error::Invalid(none()),
            Error::Unsupported(none()),
            Error::Limit(none()),
            Error::Unreadable(none()),
            Error::Interrupted(Cause::Deadline),
            Error::TooLarge(none()),
            Error::Busy(none()),
            Error::Damaged(none()),
            Error::DamagedIndex(none()),
            Error::Storage(none()),
            Error::UnknownShard(at),
            Error::Filter(FilterError::OnlyStopwords),
            Error::Sort(vec![SortError { position: 1, reason: SortRefusal::NoProperty }]),
            Error::WrongDimension { vector: none(), multi: true, flat: false, given: 2, expected: 3 },
        ];
        for (position, error) in (0..).zip(errors) {
            let bytes = postcard::to_extend(&error, Vec::new()).unwrap();
            assert_eq!((bytes[0], postcard::from_bytes(&bytes)), (position, Ok(error)));
        }
    }
}
