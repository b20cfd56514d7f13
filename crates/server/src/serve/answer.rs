//! Answers of REST and GraphQL: made, in their turn if memory is short, and written.

use std::sync::Arc;

use axum::body::Body;
use http::header::{self, HeaderValue};
use http::{Method, Response, StatusCode};
use parking_lot::Mutex;

use super::reply;
use crate::app::{App, AppError, deadline};
use crate::request_memory::{self, Refusal, Share};
use crate::weaviate::rest::message::Reply;
use crate::weaviate::tree::Tree;
use crate::weaviate::weight;
use crate::weaviate::{graphql, rest};

/// A request that holds more than this has its answer written on a thread that may block: a vector's text is three times as
/// long as its floats.
const LARGE_BYTES: usize = 256 << 10;

/// The kind of a REST answer, which decides how its memory is charged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Objects or GraphQL, charged while they were read.
    Read { graphql: bool },
    /// Something small, or a description of the server.
    Other,
    /// The answer to a write, which must be sent.
    Written,
}

impl Kind {
    /// The kind of the answer to such a request.
    pub(super) fn of(method: &Method, path: &str) -> Self {
        if path.starts_with("/v1/graphql") {
            Self::Read { graphql: true }
        } else if *method != Method::GET {
            Self::Written
        } else if path.starts_with("/v1/objects") {
            Self::Read { graphql: false }
        } else {
            Self::Other
        }
    }

    fn refuse(self, refusal: Refusal) -> Reply {
        match self {
            Self::Read { graphql: true } => graphql::no_memory(refusal),
            _ => AppError::from(refusal).into(),
        }
    }
}

/// Answers a request whose body was read. Reads that find no memory wait for their turn.
pub(super) async fn answered(
    app: Arc<App>,
    accepted: rest::Accepted,
    head_only: bool,
    kind: Kind,
    share: Arc<Mutex<Share>>,
) -> Response<Body> {
    let answer = || async {
        let reply = rest::handle(&app, &accepted).await;
        render(&app, reply, head_only, kind, share.clone()).await
    };
    match kind {
        Kind::Read { .. } => request_memory::in_turn(deadline::of_request(app.settings.read_time_max), answer).await,
        Kind::Other | Kind::Written => answer().await,
    }
}

/// The answer on the wire. A large one is written off the threads that serve connections, with a low priority.
pub(super) async fn render(
    app: &App,
    reply: Reply,
    head_only: bool,
    kind: Kind,
    share: Arc<Mutex<Share>>,
) -> Response<Body> {
    let Reply { status, body } = reply;
    let Some(tree) = body.filter(|_| !head_only) else { return plain(status) };
    if share.lock().bytes() < LARGE_BYTES {
        return written(status, tree, kind);
    }
    let write = move || request_memory::within(Some(share), || written(status, tree, kind));
    match app.long_work(write).await {
        Ok(response) => response,
        Err(error) => {
            tracing::error!(%error, "write an answer");
            plain(StatusCode::INTERNAL_SERVER_ERROR)
        }
    }
}

fn written(status: StatusCode, tree: Tree, kind: Kind) -> Response<Body> {
    let charged = if kind == Kind::Other { request_memory::charge(weight::tree(&tree)) } else { Ok(()) };
    let body = charged.and_then(|()| reply::json(&tree, kind == Kind::Written));
    // The tree is dropped before anything else is made.
    drop(tree);
    let (status, body) = match body {
        Ok(body) => (status, body),
        Err(refusal) => {
            let Reply { status, body } = kind.refuse(refusal);
            (status, body.map_or_else(Body::empty, |tree| Body::from(serde_json::to_string(&tree).unwrap_or_default())))
        }
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// An answer without a body.
pub(super) fn plain(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    if status == StatusCode::MOVED_PERMANENTLY {
        response.headers_mut().insert(header::LOCATION, HeaderValue::from_static("/v1"));
    }
    response
}
