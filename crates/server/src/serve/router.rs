//! One entrance for everything: gRPC and gRPC-Web by content type, metrics, and REST with GraphQL.
//!
//! Each request gets an id (`X-Request-Id`, the caller's if there is one) and a span in the caller's trace (W3C
//! `traceparent`); answers carry the CORS headers that browsers ask for.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use axum::body::{Body, Bytes};
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, Version};
use hyper::body::Incoming;
use parking_lot::Mutex;
use serde_json::json;
use tonic::{Code, Status};
use tonic_web::GrpcWebLayer;
use tower::{Layer, ServiceExt};
use tracing::Instrument;
use tracing::field::{Empty, display};
use uuid::Uuid;

use super::answer::{Kind, answered, plain, render};
use super::body::{self, Metered, Pace};
use super::cors::Cors;
use super::flow::Flow;
use super::large::LargeRequests;
use super::otlp::{Exporter, Span};
use super::peers::Connection;
use super::reply::Held;
use super::socket::{self, HALF_CLOSED_MAX};
use super::streams;
use super::trace::TraceParent;
use crate::app::{App, deadline, effort};
use crate::metrics;
use crate::modules::credentials::{self, Credentials};
use crate::request_memory::{self, BodyShare, RequestMemory, Share};
use crate::weaviate::{grpc, rest};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// How long a gRPC caller waits.
const GRPC_TIMEOUT: &str = "grpc-timeout";
/// Seconds after which a request that was refused for now may come again.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");
/// Bytes of a request beside its head and body: its task, its stream, its span.
const REQUEST_BYTES: usize = 4 << 10;
/// Where Weaviate has gRPC-Web; the paths without this prefix are served as well.
const GRPC_WEB_PREFIX: &str = "/v1/grpc-web";
/// The one call whose body has no end: its messages are charged one by one.
const STREAMING_METHOD: &str = "/BatchStream";

/// What each connection is given.
#[derive(Clone)]
pub(super) struct Router {
    shared: Arc<Shared>,
    grpc: Option<axum::Router>,
}

struct Shared {
    app: Arc<App>,
    cors: Cors,
    memory: Arc<RequestMemory>,
    exporter: Option<Exporter>,
    large: LargeRequests,
}

/// The protocol that a request speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wire {
    Rest,
    Grpc,
    GrpcWeb,
}

impl Wire {
    fn of(headers: &HeaderMap) -> Self {
        let given = headers.get(header::CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
        match given.strip_prefix(b"application/grpc") {
            None => Self::Rest,
            Some(rest) if rest.starts_with(b"-web") => Self::GrpcWeb,
            Some(_) => Self::Grpc,
        }
    }

    /// Also the label of metrics.
    fn name(self) -> &'static str {
        match self {
            Self::Rest => "rest",
            Self::Grpc => "grpc",
            Self::GrpcWeb => "grpc-web",
        }
    }
}

impl Router {
    /// Serves everything.
    ///
    /// # Errors
    /// Names the setting that cannot be used.
    pub(super) fn new(app: Arc<App>, exporter: Option<Exporter>) -> Result<Self, String> {
        let grpc = Some(grpc::routes(app.clone()));
        Ok(Self { shared: Shared::new(app, exporter)?, grpc })
    }

    /// Serves `/metrics` only.
    ///
    /// # Errors
    /// As [`Router::new`].
    pub(super) fn metrics_only(app: Arc<App>) -> Result<Self, String> {
        Ok(Self { shared: Shared::new(app, None)?, grpc: None })
    }

    /// Answers one request; every error has become an answer. The memory of the request is released with the answer's
    /// last byte.
    pub(super) async fn answer(
        self,
        request: Request<Incoming>,
        connection: Arc<Connection>,
    ) -> Result<Response<Body>, Infallible> {
        let (started, began) = (Instant::now(), SystemTime::now());
        let wire = Wire::of(request.headers());
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let id = request_id(request.headers());
        let parent = TraceParent::of(request.headers());
        let shown = id.to_str().unwrap_or_default();
        let span = tracing::info_span!("request", wire = wire.name(), %method, path, id = shown, trace_id = Empty, parent_id = Empty);
        if let Some(parent) = parent {
            span.record("trace_id", display(format_args!("{:032x}", parent.trace_id)));
            span.record("parent_id", display(format_args!("{:016x}", parent.parent_id)));
        }
        let shared = self.shared.clone();
        let (http2, way) = (request.version() == Version::HTTP_2, streams::on_the_way());
        let share = Arc::new(Mutex::new(shared.memory.share(connection.payer())));
        let call = Call { connection: &connection, answered: false };
        let running = connection.begin();
        let admitted = if is_probe(&path) {
            Ok(())
        } else if running.is_none() {
            Err("this address has as many requests under way as it may (AZIMUTH_PEER_REQUESTS_MAX)".to_owned())
        } else {
            share.lock().try_add(head_bytes(&request)).map_err(|refusal| refusal.to_string())
        };
        let answered = match admitted {
            Ok(()) => {
                let routed =
                    request_memory::within_async(share.clone(), self.route(wire, request)).instrument(span.clone());
                tokio::select! {
                    response = routed => Some(response),
                    () = socket::deserted(&connection), if !http2 => None,
                }
            }
            Err(why) => Some(busy(wire, request.headers(), &why)),
        };
        let mut response = match answered {
            Some(response) => {
                call.answered();
                response
            }
            None => {
                drop(call);
                deserted()
            }
        };
        let seconds = started.elapsed().as_secs_f64();
        let outcome = Outcome::of(wire, &response);
        metrics::observe(wire.name(), method_label(&method), outcome.label(), seconds);
        span.in_scope(|| match outcome.is_fault() && !outcome.is_for_now() {
            true => tracing::warn!(status = outcome.label(), seconds, "answered"),
            false => tracing::debug!(status = outcome.label(), seconds, "answered"),
        });
        if let Some(exporter) = &shared.exporter {
            exporter.export(&Span {
                parent,
                began,
                ended: SystemTime::now(),
                method,
                path,
                wire: wire.name(),
                outcome,
            });
        }
        response.headers_mut().insert(REQUEST_ID, id);
        Ok(response.map(|body| Body::new(Held::new(body, share, way, running, (connection, http2)))))
    }

    async fn route(self, wire: Wire, request: Request<Incoming>) -> Response<Body> {
        let Self { shared, grpc } = self;
        if request.method() == Method::GET && request.uri().path() == "/metrics" {
            let mut response = Response::new(Body::from(metrics::render()));
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(metrics::CONTENT_TYPE));
            return response;
        }
        let Some(grpc) = grpc else { return plain(StatusCode::NOT_FOUND) };
        match wire {
            Wire::Rest => shared.rest(request).await,
            Wire::Grpc => shared.grpc(grpc, request.map(Body::new)).await,
            Wire::GrpcWeb => shared.grpc_web(grpc, request).await,
        }
    }
}

impl Shared {
    fn new(app: Arc<App>, exporter: Option<Exporter>) -> Result<Arc<Self>, String> {
        let cors = Cors::new(&app.settings)?;
        let settings = &app.settings;
        let memory = RequestMemory::new(settings.requests_bytes_max, settings.peer_bytes_max, settings.memory_wait_max);
        Ok(Arc::new(Self { app, cors, memory, exporter, large: LargeRequests::default() }))
    }

    async fn rest(&self, request: Request<Incoming>) -> Response<Body> {
        let app = self.app.clone();
        let (head, body) = request.into_parts();
        if head.uri.path() == "/" {
            return plain(StatusCode::MOVED_PERMANENTLY);
        }
        let origin = head.headers.get(header::ORIGIN).cloned();
        if head.method == Method::OPTIONS {
            let mut response = plain(StatusCode::OK);
            self.cors.allow(origin.as_ref(), response.headers_mut());
            return response;
        }
        let token = head
            .uri
            .query()
            .and_then(|query| query.split('&').find_map(|pair| pair.strip_prefix("access_token=").map(str::to_owned)));
        let authorization = head.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let caller = app.authenticate(authorization, token.as_deref());
        let head_only = head.method == Method::HEAD;
        let probe = head.uri.path().starts_with("/v1/.well-known/");
        let credentials = Credentials::of(&head.headers);
        let pace = Pace::new(app.settings.stall_max);
        let share = request_memory::current().unwrap_or_else(|| self.unpaid());
        let body = if caller.is_ok() {
            body::read(body, app.settings.body_bytes_max, pace, &share).await
        } else {
            body::discard(body, pace).await;
            Ok(Ok(Bytes::new()))
        };
        let kind = Kind::of(&head.method, head.uri.path());
        let accepted = body.and_then(|body| rest::accept(&app, caller, head.method, &head.uri, head.headers, body));
        let mut response = match accepted {
            Ok(accepted) => {
                let is_large = LargeRequests::takes(accepted.body_bytes());
                let limit = app.settings.read_time_max;
                // Boxed, as each future around it holds it twice, and all of them are moved with every request of any wire.
                let answer = Box::pin(answered(app, accepted, head_only, kind, share.clone()));
                let answer = effort::counted(credentials::within(credentials, answer));
                let answer = deadline::within(limit, answer);
                if is_large {
                    let answer = self.large.run(request_memory::within_async(share, answer)).await;
                    answer.unwrap_or_else(|| plain(StatusCode::INTERNAL_SERVER_ERROR))
                } else {
                    answer.await
                }
            }
            Err(reply) => render(&self.app, reply, head_only, kind, share).await,
        };
        if response.status() == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        if !probe {
            self.cors.allow(origin.as_ref(), response.headers_mut());
            response.headers_mut().append(header::VARY, HeaderValue::from_static("Origin"));
        }
        response
    }

    /// A share for a request without a connection.
    fn unpaid(&self) -> Arc<Mutex<Share>> {
        Arc::new(Mutex::new(self.memory.share(request_memory::Payer::default())))
    }

    async fn grpc(&self, grpc: axum::Router, request: Request<Body>) -> Response<Body> {
        let (mut head, body) = request.into_parts();
        let bytes_max = self.app.settings.grpc_max_message_bytes;
        let share = request_memory::current().unwrap_or_else(|| self.unpaid());
        let body = if head.uri.path().ends_with(STREAMING_METHOD) {
            // The share of the request is that of its answer, and is set to the answer's bytes again and again.
            let share = BodyShare::beside(&share.lock());
            head.extensions.insert(share.clone());
            Body::new(Flow::new(body, &head.headers, bytes_max, self.app.settings.stall_max, share.0))
        } else {
            let pace = Pace::new(self.app.settings.stall_max);
            Body::new(Metered::new(body, &head.headers, bytes_max, pace, share))
        };
        let given = head.headers.get(GRPC_TIMEOUT).and_then(|given| deadline::grpc_timeout(given.to_str().ok()?));
        let limit = given.unwrap_or(self.app.settings.read_time_max);
        let credentials = Credentials::of(&head.headers);
        let call = credentials::within(credentials, grpc.oneshot(Request::from_parts(head, body)));
        match deadline::within(limit, effort::counted(call)).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }

    async fn grpc_web(self: Arc<Self>, grpc: axum::Router, mut request: Request<Incoming>) -> Response<Body> {
        if let Some(uri) = without_prefix(request.uri()) {
            *request.uri_mut() = uri;
        }
        let origin = request.headers().get(header::ORIGIN).cloned();
        let shared = self.clone();
        let inner = tower::service_fn(move |request: Request<tonic::body::Body>| {
            let (shared, grpc) = (shared.clone(), grpc.clone());
            async move { Ok::<_, Infallible>(shared.grpc(grpc, request.map(Body::new)).await) }
        });
        let mut response = match GrpcWebLayer::new().layer(inner).oneshot(request).await {
            Ok(response) => response.map(Body::new),
            Err(never) => match never {},
        };
        self.cors.allow_grpc(origin.as_ref(), response.headers_mut());
        response
    }
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Status of HTTP.
    Http(StatusCode),
    /// Code of gRPC.
    Grpc(Code),
}

impl Outcome {
    /// gRPC has its code in the headers when a call failed; a call that was answered may still end otherwise.
    fn of(wire: Wire, response: &Response<Body>) -> Self {
        match wire {
            Wire::Grpc | Wire::GrpcWeb if response.status() == StatusCode::OK => {
                Self::Grpc(Status::from_header_map(response.headers()).map_or(Code::Ok, |status| status.code()))
            }
            _ => Self::Http(response.status()),
        }
    }

    /// One of some dozens of words: the label of metrics.
    pub(super) fn label(&self) -> &str {
        match self {
            Self::Http(status) => status.as_str(),
            Self::Grpc(code) => code_name(*code),
        }
    }

    /// Whether the same request may succeed in a moment: while the server starts, or has too much to do.
    fn is_for_now(self) -> bool {
        matches!(self, Self::Http(StatusCode::SERVICE_UNAVAILABLE) | Self::Grpc(Code::Unavailable))
    }

    /// Whether the server is to blame.
    pub(super) fn is_fault(self) -> bool {
        match self {
            Self::Http(status) => status.is_server_error(),
            Self::Grpc(code) => matches!(code, Code::Internal | Code::Unavailable | Code::DataLoss),
        }
    }
}

fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

/// Methods are free text on the wire; a label is not.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

/// The address without the prefix of gRPC-Web.
fn without_prefix(uri: &Uri) -> Option<Uri> {
    let path = uri.path_and_query()?.as_str().strip_prefix(GRPC_WEB_PREFIX)?;
    path.parse().ok()
}

/// A call until it is answered; one that is dropped before was given up.
struct Call<'a> {
    connection: &'a Connection,
    answered: bool,
}

impl Call<'_> {
    fn answered(mut self) {
        self.answered = true;
        self.connection.answered();
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        if !self.answered {
            self.connection.given_up();
        }
    }
}

/// Whether the path must be answered however busy the server is: it reports the server's state.
fn is_probe(path: &str) -> bool {
    path.starts_with("/v1/.well-known/") || path == "/metrics"
}

/// Memory that the head of a request takes, with its task.
fn head_bytes(request: &Request<Incoming>) -> usize {
    let headers: usize = request.headers().iter().map(|(name, value)| 64 + name.as_str().len() + value.len()).sum();
    let uri = request.uri();
    REQUEST_BYTES + headers + uri.path().len() + uri.query().map_or(0, str::len)
}

/// The answer to a request that is refused before it begins.
fn busy(wire: Wire, headers: &HeaderMap, why: &str) -> Response<Body> {
    let mut response = match wire {
        Wire::Rest => coded(StatusCode::SERVICE_UNAVAILABLE, why),
        Wire::Grpc | Wire::GrpcWeb => Status::resource_exhausted(why).into_http(),
    };
    if let (Wire::GrpcWeb, Some(kind)) = (wire, headers.get(header::CONTENT_TYPE)) {
        response.headers_mut().insert(header::CONTENT_TYPE, kind.clone());
    }
    response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER);
    response
}

/// The answer to a client that seems to be gone.
fn deserted() -> Response<Body> {
    let seconds = HALF_CLOSED_MAX.as_secs();
    let why = format!("the client closed its sending side, and the answer was not made within {seconds} s");
    coded(StatusCode::REQUEST_TIMEOUT, &why)
}

fn coded(status: StatusCode, why: &str) -> Response<Body> {
    let mut response = Response::new(Body::from(json!({"code": status.as_u16(), "message": why}).to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The caller's id if it is short and plain, else a new one.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let given = headers.get(REQUEST_ID).filter(|id| id.len() <= 128 && id.to_str().is_ok());
    given.cloned().unwrap_or_else(|| {
        HeaderValue::from_str(&Uuid::new_v4().to_string()).expect("a uuid is made of plain characters")
    })
}
