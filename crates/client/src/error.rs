//! What can go wrong, named by what the caller has to do about it.
//!
//! Every transport failure, HTTP status and gRPC code is mapped here, and nowhere else, so that both wires report the
//! same cause by the same kind. Errors of single objects inside a batch are not errors of the call: see
//! [`crate::ObjectFailure`].

use std::error::Error as StdError;

/// Why a call did not give what was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The request can never succeed as it is: change it. Also what this client refuses before sending.
    #[error("invalid request: {0}")]
    Invalid(String),
    /// What the request names does not exist.
    #[error("not found: {0}")]
    NotFound(String),
    /// Something of that name or id exists already.
    #[error("already exists: {0}")]
    AlreadyExists(String),
    /// No credentials, or credentials that the server does not know.
    #[error("not authenticated: {0}")]
    Unauthenticated(String),
    /// The credentials are good, but may not do this.
    #[error("permission denied: {0}")]
    PermissionDenied(String),
    /// The request or the answer is larger than one side accepts: send or ask for less at a time.
    #[error("too large: {0}")]
    TooLarge(String),
    /// The server asks to slow down, or a limit on what it holds is reached: try again later, or make room.
    #[error("limit reached: {0}")]
    Limited(String),
    /// Nobody answers, or the server says that it cannot serve now: try again later.
    #[error("unavailable: {0}")]
    Unavailable(String),
    /// No answer in the time allowed. Whether a write took effect is unknown.
    #[error("timed out: {0}")]
    Timeout(String),
    /// The server does not have this feature.
    #[error("not supported by the server: {0}")]
    Unsupported(String),
    /// The server failed; its log says why.
    #[error("server error: {0}")]
    Server(String),
    /// The answer is not what the wire promises.
    #[error("unexpected answer: {0}")]
    Protocol(String),
}

/// The one result type of this crate.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// Whether the same request, sent again after a pause, may succeed.
    pub fn is_transient(&self) -> bool {
        matches!(self, Error::Unavailable(_) | Error::Limited(_))
    }
}

/// An error together with what a retry needs to know: whether the server can have acted on the request.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) error: Error,
    /// False when the request certainly had no effect: it was never sent, or the server refused it.
    pub(crate) may_have_run: bool,
}

impl Failure {
    fn refused(error: Error) -> Failure {
        Failure { error, may_have_run: false }
    }

    /// What a gRPC status says.
    pub(crate) fn from_status(status: &tonic::Status) -> Failure {
        use tonic::Code;
        let text = status.message().to_owned();
        // A status without a source came from the server; one with a source was made here, out of a broken connection.
        if let Some(source) = status.source() {
            if is_timeout(source) {
                return Failure { error: Error::Timeout(text), may_have_run: true };
            }
            if status.code() != Code::OutOfRange {
                let error = Error::Unavailable(format!("{text}{}", causes(source)));
                return Failure { error, may_have_run: !is_connect(source) };
            }
        }
        let error = match status.code() {
            Code::Unauthenticated => Error::Unauthenticated(text),
            // Weaviate answers UNKNOWN to whatever is wrong with the request, bad credentials included.
            Code::Unknown if text.starts_with("extract auth:") => Error::Unauthenticated(text),
            Code::Unknown if text.contains("could not find class") => Error::NotFound(text),
            Code::Unknown | Code::InvalidArgument | Code::FailedPrecondition => Error::Invalid(text),
            Code::OutOfRange => Error::TooLarge(text),
            Code::ResourceExhausted if text.contains("larger than max") => Error::TooLarge(text),
            Code::ResourceExhausted => Error::Limited(text),
            Code::NotFound => Error::NotFound(text),
            Code::AlreadyExists => Error::AlreadyExists(text),
            Code::PermissionDenied => Error::PermissionDenied(text),
            Code::Unavailable | Code::Aborted => Error::Unavailable(text),
            Code::DeadlineExceeded | Code::Cancelled => {
                return Failure { error: Error::Timeout(text), may_have_run: true };
            }
            Code::Unimplemented => Error::Unsupported(text),
            Code::Internal | Code::DataLoss => Error::Server(text),
            Code::Ok => Error::Protocol("an error status with code OK".to_owned()),
        };
        Failure::refused(error)
    }

    /// What an HTTP exchange without an answer says.
    pub(crate) fn from_exchange(error: &reqwest::Error) -> Failure {
        let text = format!("{error}{}", error.source().map(causes).unwrap_or_default());
        if error.is_connect() {
            return Failure::refused(Error::Unavailable(text));
        }
        let error = if error.is_timeout() {
            Error::Timeout(text)
        } else if error.is_builder() {
            return Failure::refused(Error::Invalid(text));
        } else if error.is_decode() {
            Error::Protocol(text)
        } else {
            Error::Unavailable(text)
        };
        Failure { error, may_have_run: true }
    }

    /// What an HTTP answer outside 2xx says; `body` is in one of the three envelopes of the wire, or plain text.
    pub(crate) fn from_answer(status: u16, body: &[u8]) -> Failure {
        let text = message_of(body);
        let text = if text.is_empty() { format!("status {status}") } else { text };
        let error = match status {
            401 => Error::Unauthenticated(text),
            403 => Error::PermissionDenied(text),
            404 => Error::NotFound(text),
            409 => Error::AlreadyExists(text),
            413 => Error::TooLarge(text),
            422 if text.contains("already exists") => Error::AlreadyExists(text),
            429 => Error::Limited(text),
            501 => Error::Unsupported(text),
            502..=504 => Error::Unavailable(text),
            507 => Error::Limited(text),
            400..=499 => Error::Invalid(text),
            500..=599 => Error::Server(text),
            _ => Error::Protocol(format!("unexpected status {status}: {text}")),
        };
        Failure::refused(error)
    }
}

/// The message of an error body: `{"error":[{"message"}]}`, `{"code","message"}`, or the text itself, at most 2 KB of it.
fn message_of(body: &[u8]) -> String {
    const MESSAGE_BYTES_MAX: usize = 2048;
    if let Ok(value) = serde_json::from_slice::<serde_json::Value>(body) {
        let listed = value["error"]
            .as_array()
            .map(|errors| errors.iter().filter_map(|error| error["message"].as_str()).collect::<Vec<_>>().join("; "));
        if let Some(text) = listed.filter(|text| !text.is_empty()) {
            return text;
        }
        if let Some(text) = value["message"].as_str() {
            return text.to_owned();
        }
    }
    let cut = &body[..body.len().min(MESSAGE_BYTES_MAX)];
    String::from_utf8_lossy(cut).trim().to_owned()
}

fn chain<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error| StdError::source(*error))
}

fn is_timeout(error: &(dyn StdError + 'static)) -> bool {
    chain(error).any(<dyn StdError>::is::<tonic::TimeoutExpired>)
}

fn is_connect(error: &(dyn StdError + 'static)) -> bool {
    chain(error).any(<dyn StdError>::is::<tonic::ConnectError>)
}

fn causes(error: &(dyn StdError + 'static)) -> String {
    chain(error).map(|cause| format!(": {cause}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http_answers_map_to_what_the_caller_must_do() {
        let json = br#"{"error":[{"message":"id 'x' already exists"}]}"#;
        let cases: [(u16, &[u8], Error); 9] = [
            (401, b"anonymous access not enabled", Error::Unauthenticated("anonymous access not enabled".into())),
            (403, br#"{"error":[{"message":"a"},{"message":"b"}]}"#, Error::PermissionDenied("a; b".into())),
            (404, b"", Error::NotFound("status 404".into())),
            (422, json, Error::AlreadyExists("id 'x' already exists".into())),
            (422, br#"{"code":602,"message":"body is required"}"#, Error::Invalid("body is required".into())),
            (429, b"slow", Error::Limited("slow".into())),
            (413, b"big", Error::TooLarge("big".into())),
            (503, b"", Error::Unavailable("status 503".into())),
            (500, b"{}", Error::Server("{}".into())),
        ];
        for (status, body, expected) in cases {
            let failure = Failure::from_answer(status, body);
            assert_eq!(failure.error, expected);
            assert!(!failure.may_have_run, "a refusal has no effect");
        }
    }

    #[test]
    fn statuses_of_the_server_map_by_code_and_text() {
        use tonic::{Code, Status};
        let map = |code, text: &str| Failure::from_status(&Status::new(code, text)).error;
        assert_eq!(map(Code::Unknown, "bad filter"), Error::Invalid("bad filter".into()));
        let auth = "extract auth: unauthorized: invalid api key";
        assert_eq!(map(Code::Unknown, auth), Error::Unauthenticated(auth.into()));
        assert!(map(Code::Unavailable, "starting").is_transient());
        assert!(map(Code::ResourceExhausted, "slow down").is_transient());
        assert!(!map(Code::ResourceExhausted, "message larger than max (5 vs. 4)").is_transient());
        assert!(matches!(map(Code::OutOfRange, "decoded message length too large"), Error::TooLarge(_)));
    }
}
