//! One entrance for everything: gRPC by its content type, metrics, and REST with GraphQL.
//!
//! Each request gets an id (`X-Request-Id`, the caller's if there is one) and a span that takes over W3C
//! `traceparent`; answers carry the CORS headers that browsers ask for.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use axum::body::{Body, Bytes};
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body::Body as _;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use tower::ServiceExt;
use tracing::Instrument;
use uuid::Uuid;

use crate::app::App;
use crate::rest::BodyError;
use crate::rest::message::Reply;
use crate::{grpc, metrics, rest};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const ALLOW_HEADERS: &str = "Content-Type, Authorization, Batch, X-Openai-Api-Key, X-Cohere-Api-Key, \
    X-Huggingface-Api-Key, X-Weaviate-Client, X-Weaviate-Cluster-Url, X-Grpc-Web, X-User-Agent, grpc-timeout";

/// The service that connections are given.
#[derive(Clone)]
pub(super) struct Router {
    app: Arc<App>,
    grpc: Option<axum::Router>,
}

impl Router {
    /// Serves everything.
    pub(super) fn new(app: Arc<App>) -> Self {
        let grpc = Some(grpc::routes(app.clone()));
        Self { app, grpc }
    }

    /// Serves `/metrics` only.
    pub(super) fn metrics_only(app: Arc<App>) -> Self {
        Self { app, grpc: None }
    }

    async fn answer(self, request: Request<Incoming>) -> Response<Body> {
        let started = Instant::now();
        let wire = if is_grpc(request.headers()) { "grpc" } else { "rest" };
        let method = request.method().as_str().to_owned();
        let id = request_id(request.headers());
        let parent = request.headers().get("traceparent").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let span =
            tracing::info_span!("request", wire, %method, path = request.uri().path(), id = ?id, traceparent = parent);
        let mut response = self.route(request).instrument(span.clone()).await;
        let seconds = started.elapsed().as_secs_f64();
        metrics::observe(wire, &method, response.status().as_u16(), seconds);
        span.in_scope(|| tracing::debug!(status = response.status().as_u16(), seconds, "answered"));
        response.headers_mut().insert(REQUEST_ID, id);
        response
    }

    async fn route(self, request: Request<Incoming>) -> Response<Body> {
        let Self { app, grpc } = self;
        if request.method() == Method::GET && request.uri().path() == "/metrics" {
            return Response::new(Body::from(metrics::render(&app)));
        }
        let Some(grpc) = grpc else { return plain(StatusCode::NOT_FOUND) };
        if is_grpc(request.headers()) {
            return match grpc.oneshot(request.map(Body::new)).await {
                Ok(response) => response,
                Err(never) => match never {},
            };
        }
        rest(app, request).await
    }
}

impl tower::Service<Request<Incoming>> for Router {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let this = self.clone();
        Box::pin(async move { Ok(this.answer(request).await) })
    }
}

async fn rest(app: Arc<App>, request: Request<Incoming>) -> Response<Body> {
    let (head, body) = request.into_parts();
    if head.uri.path() == "/" {
        return plain(StatusCode::MOVED_PERMANENTLY);
    }
    if head.method == Method::OPTIONS {
        let mut response = plain(StatusCode::OK);
        allow_origins(response.headers_mut());
        return response;
    }
    let body = read_body(body, app.settings.body_bytes_max).await;
    let token = head
        .uri
        .query()
        .and_then(|query| query.split('&').find_map(|pair| pair.strip_prefix("access_token=").map(str::to_owned)));
    let principal = app.auth.authenticate_rest(&head.headers, token.as_deref());
    let head_only = head.method == Method::HEAD;
    let probe = head.uri.path().starts_with("/v1/.well-known/");
    let reply = rest::handle(app, principal, head.method, head.uri, head.headers, body).await;
    let mut response = render(reply, head_only);
    if !probe {
        allow_origins(response.headers_mut());
        response.headers_mut().append(header::VARY, HeaderValue::from_static("Origin"));
    }
    response
}

/// The whole body, or why there is none.
async fn read_body(body: Incoming, bytes_max: usize) -> Result<Bytes, BodyError> {
    if body.size_hint().lower() > bytes_max as u64 {
        return Err(BodyError::TooLarge { bytes_max });
    }
    match Limited::new(body, bytes_max).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(BodyError::TooLarge { bytes_max }),
        Err(error) => Err(BodyError::Unreadable(format!("read the body: {error}"))),
    }
}

fn render(reply: Reply, head_only: bool) -> Response<Body> {
    let Some(value) = reply.body.filter(|_| !head_only) else { return plain(reply.status) };
    let mut response = match serde_json::to_vec(&value) {
        Ok(bytes) => Response::new(Body::from(bytes)),
        Err(error) => {
            tracing::error!(%error, "write an answer");
            return plain(StatusCode::INTERNAL_SERVER_ERROR);
        }
    };
    *response.status_mut() = reply.status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn plain(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    if status == StatusCode::MOVED_PERMANENTLY {
        response.headers_mut().insert(header::LOCATION, HeaderValue::from_static("/v1"));
    }
    response
}

fn allow_origins(headers: &mut HeaderMap) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("*"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(ALLOW_HEADERS));
}

fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}

/// The caller's id if it is short and plain, else a new one.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let given = headers.get(REQUEST_ID).filter(|id| id.len() <= 128 && id.to_str().is_ok());
    given.cloned().unwrap_or_else(|| {
        HeaderValue::from_str(&Uuid::new_v4().to_string()).expect("a uuid is made of plain characters")
    })
}
