//! What a call on the application can end with, named by what the caller must do; each front end gives it its own shape.

use azimuth_engine::interrupt::Cause;
use azimuth_raft::ProposeError;

use super::search::SearchError;
use crate::auth::Forbidden;
use crate::request_memory::Refusal;

/// Why a call failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AppError {
    /// The request is wrong and will stay so. REST 422, gRPC UNKNOWN.
    #[error("{0}")]
    Invalid(String),
    /// A collection or an object would exceed a limit of the engine. REST 422, gRPC UNKNOWN.
    #[error("{0}")]
    Limit(String),
    /// The engine refuses a read: it does not fit the schema, or lacks an index. REST 422, gRPC UNKNOWN.
    #[error(transparent)]
    Query(azimuth_engine::Error),
    /// A search was refused. REST 422, gRPC UNKNOWN.
    #[error(transparent)]
    Search(Box<SearchError>),
    /// The caller may not do that. REST 403, gRPC PERMISSION_DENIED.
    #[error(transparent)]
    Forbidden(Box<Forbidden>),
    /// A limit that the operator set is reached. REST 429, gRPC RESOURCE_EXHAUSTED.
    #[error("there may be {max} {what}, and there are so many")]
    UsageLimit {
        /// The counted things, in the plural.
        what: &'static str,
        /// The limit.
        max: usize,
    },
    /// It cannot be done now; the same request can succeed later. REST 503, gRPC UNAVAILABLE.
    #[error("{0}")]
    Unavailable(String),
    /// The request took longer than it may. REST 504, gRPC `DEADLINE_EXCEEDED`.
    #[error("{0}")]
    Deadline(String),
    /// The answer takes more memory than one request may have. REST 413, gRPC RESOURCE_EXHAUSTED.
    #[error("{0}")]
    TooLarge(String),
    /// Other requests have taken the memory that the answer needs. REST 503, gRPC RESOURCE_EXHAUSTED.
    #[error("{0}")]
    Busy(String),
    /// The server is at fault. REST 500.
    #[error("{0}")]
    Internal(String),
}

impl AppError {
    /// Whether the request is wrong and will stay so.
    pub(crate) fn is_invalid(&self) -> bool {
        matches!(self, Self::Invalid(_) | Self::Limit(_) | Self::Query(_) | Self::Search(_))
    }
}

/// Result of a call on the application.
pub(crate) type AppResult<T> = Result<T, AppError>;

impl From<azimuth_engine::Error> for AppError {
    fn from(error: azimuth_engine::Error) -> Self {
        use azimuth_engine::Error;
        match error {
            Error::Invalid(text) => Self::Invalid(text),
            Error::Limit(text) => Self::Limit(text),
            Error::UnknownShard(_) | Error::Filter(_) | Error::Sort(_) | Error::WrongDimension { .. } => {
                Self::Query(error)
            }
            Error::TooLarge(text) => Self::TooLarge(text),
            Error::Busy(text) => Self::Busy(text),
            Error::Unsupported(_) => Self::Invalid(error.to_string()),
            // The error was logged where it was met.
            Error::Unreadable(text) => Self::Internal(text),
            // The error was logged where it was noticed.
            Error::DamagedIndex(_) => Self::Unavailable(error.to_string()),
            Error::Interrupted(Cause::Deadline) => Self::Deadline(error.to_string()),
            // The caller is gone: no client reads this text.
            Error::Interrupted(Cause::Cancelled) => Self::Unavailable(error.to_string()),
            Error::Damaged(_) | Error::Storage(_) | Error::NewerLevel { .. } => {
                tracing::error!(%error, "read from storage");
                Self::Internal(error.to_string())
            }
        }
    }
}

impl From<SearchError> for AppError {
    fn from(error: SearchError) -> Self {
        match error {
            SearchError::Read(error) => error.into(),
            refused => Self::Search(Box::new(refused)),
        }
    }
}

impl From<Forbidden> for AppError {
    fn from(refusal: Forbidden) -> Self {
        Self::Forbidden(Box::new(refusal))
    }
}

impl From<Refusal> for AppError {
    fn from(refusal: Refusal) -> Self {
        let text = refusal.to_string();
        if refusal.is_for_now() { Self::Busy(text) } else { Self::TooLarge(text) }
    }
}

impl From<ProposeError> for AppError {
    fn from(error: ProposeError) -> Self {
        match error {
            ProposeError::TooLarge { .. } => Self::Limit(error.to_string()),
            _ => Self::Unavailable(error.to_string()),
        }
    }
}
