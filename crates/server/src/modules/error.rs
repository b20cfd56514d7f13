//! Why a module did not answer.

/// Why a module did not answer; the text is the client's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ModuleError {
    /// The module is not enabled, or there is none of that name.
    #[error("no module with name {0:?} present")]
    NotEnabled(String),
    /// The service wants a key, and neither the request nor the environment has one.
    #[error(
        "API Key: no api key found neither in request header: {header} nor in environment variable under {variable}"
    )]
    NoKey {
        /// The header of requests.
        header: &'static str,
        /// The variable of the environment.
        variable: &'static str,
    },
    /// A setting of the module that cannot be used.
    #[error("{0}")]
    Setting(String),
    /// The service answered with an error.
    #[error("connection to: {service} failed with status: {status} error: {text}")]
    Refused {
        /// The service.
        service: &'static str,
        /// Its HTTP status.
        status: u16,
        /// The text of the service.
        text: String,
    },
    /// The service did not answer in time, or could not be reached.
    #[error("send POST request to {service}: {why}")]
    Unreachable {
        /// The service.
        service: &'static str,
        /// The reason.
        why: String,
    },
    /// The answer of the service does not fit the request.
    #[error("{service}: unexpected answer: {why}")]
    Answer {
        /// The service.
        service: &'static str,
        /// The reason.
        why: String,
    },
    /// The memory of the request does not hold the answer.
    #[error(transparent)]
    Memory(#[from] crate::request_memory::Refusal),
    /// A text of the request that cannot be used.
    #[error("{0}")]
    Input(String),
}
