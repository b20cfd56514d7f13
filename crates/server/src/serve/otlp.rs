//! Spans of requests, sent to an OpenTelemetry collector as OTLP over HTTP, in the names of OpenTelemetry's settings.
//!
//! Off unless `OTEL_EXPORTER_OTLP_ENDPOINT` (or `.._TRACES_ENDPOINT`) names a collector. A span is one request, child of
//! the caller's span; the caller decides whether its trace is recorded. Spans wait in a bounded queue and are lost,
//! counted, when the collector is away: no request ever waits for it. docs/adr/2026-11-21-traces.md has the reasons.

mod message;
mod settings;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::Method;
use prost::Message;
use rand::RngExt;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::router::Outcome;
use super::trace::TraceParent;
use crate::metrics;
use message::{KeyValue, TraceRequest};
use settings::{OtlpSettings, Sampler};

/// Spans that wait at most; more are lost.
const QUEUE_SPANS_MAX: usize = 4_096;
/// Spans in one message at most.
const BATCH_SPANS_MAX: usize = 512;
/// How long a message may take, and how long the last ones may take at shutdown.
const TIMEOUT: Duration = Duration::from_secs(5);
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// One request.
#[derive(Debug)]
pub(super) struct Span {
    /// The caller's span.
    pub(super) parent: Option<TraceParent>,
    /// When its head was there.
    pub(super) began: SystemTime,
    /// When the head of its answer was there.
    pub(super) ended: SystemTime,
    /// The method.
    pub(super) method: Method,
    /// The path, without the query.
    pub(super) path: String,
    /// `rest`, `grpc` or `grpc-web`.
    pub(super) wire: &'static str,
    /// How it ended.
    pub(super) outcome: Outcome,
}

/// Where spans are handed over.
pub(super) struct Exporter {
    queue: mpsc::Sender<message::Span>,
    sampler: Sampler,
}

/// The task that sends them.
pub(super) struct Sending(JoinHandle<()>);

impl Exporter {
    /// An exporter and its task, if the environment names a collector.
    ///
    /// # Errors
    /// Names the setting that cannot be used.
    pub(super) fn from_environment() -> Result<Option<(Self, Sending)>, String> {
        let Some(settings) = OtlpSettings::from_environment()? else { return Ok(None) };
        // Whoever installed one before did it for the same library.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().timeout(TIMEOUT).default_headers(settings.headers.clone()).build();
        let http = http.map_err(|error| format!("set up the export of spans: {error}"))?;
        let (queue, spans) = mpsc::channel(QUEUE_SPANS_MAX);
        tracing::info!(collector = settings.url, "spans are exported");
        let sampler = settings.sampler;
        Ok(Some((Self { queue, sampler }, Sending(tokio::spawn(send_all(http, settings, spans))))))
    }

    /// Hands a span over, if its trace is recorded. Never waits.
    pub(super) fn export(&self, span: &Span) {
        let trace_id = span.parent.map_or_else(|| rand::rng().random_range(1..=u128::MAX), |parent| parent.trace_id);
        if !self.sampler.samples(span.parent, trace_id) || is_probe(&span.path) {
            return;
        }
        if self.queue.try_send(to_message(span, trace_id)).is_err() {
            metrics::SPANS_LOST.inc();
        }
    }
}

impl Sending {
    /// Lets the last spans go, once every [`Exporter`] is dropped, for a moment.
    pub(super) async fn close(self) {
        // Spans of the last moment are lost if the collector does not answer.
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, self.0).await;
    }
}

/// Requests of orchestrators and scrapers: every second one, and nobody's trace.
fn is_probe(path: &str) -> bool {
    path.starts_with("/v1/.well-known/") || path.starts_with("/grpc.health.") || path == "/metrics"
}

fn to_message(span: &Span, trace_id: u128) -> message::Span {
    let nanos = |time: SystemTime| {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    };
    let mut attributes = vec![KeyValue::text("url.path", &span.path), KeyValue::text("azimuth.wire", span.wire)];
    let name = match span.outcome {
        Outcome::Grpc(code) => {
            let mut parts = span.path.trim_start_matches('/').rsplitn(2, '/');
            let (method, service) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
            attributes.push(KeyValue::text("rpc.system", "grpc"));
            attributes.push(KeyValue::text("rpc.service", service));
            attributes.push(KeyValue::text("rpc.method", method));
            attributes.push(KeyValue::integer("rpc.grpc.status_code", i64::from(i32::from(code))));
            format!("{service}/{method}")
        }
        Outcome::Http(status) => {
            attributes.push(KeyValue::text("http.request.method", span.method.as_str()));
            attributes.push(KeyValue::integer("http.response.status_code", i64::from(status.as_u16())));
            span.method.as_str().to_owned()
        }
    };
    let parent_id = span.parent.map_or_else(Vec::new, |parent| parent.parent_id.to_be_bytes().to_vec());
    message::Span {
        trace_id: trace_id.to_be_bytes().to_vec(),
        span_id: rand::rng().random_range(1..=u64::MAX).to_be_bytes().to_vec(),
        parent_span_id: parent_id,
        name,
        kind: message::KIND_SERVER,
        start_time_unix_nano: nanos(span.began),
        end_time_unix_nano: nanos(span.ended),
        attributes,
        status: span.outcome.is_fault().then(message::Status::error),
    }
}

/// Sends until every sender is gone and the queue is empty.
async fn send_all(http: reqwest::Client, settings: OtlpSettings, mut queue: mpsc::Receiver<message::Span>) {
    let mut away = false;
    let mut batch = Vec::new();
    while queue.recv_many(&mut batch, BATCH_SPANS_MAX).await > 0 {
        gather(&mut queue, &mut batch, settings.delay).await;
        let count = batch.len() as u64;
        let spans = std::mem::take(&mut batch);
        let body = TraceRequest::new(settings.resource.clone(), spans).encode_to_vec();
        let request = http.post(&settings.url).header("content-type", "application/x-protobuf").body(body);
        let outcome = request.send().await.and_then(reqwest::Response::error_for_status);
        // Said once when it begins, not for every message while it lasts.
        match &outcome {
            Err(error) if !away => tracing::warn!(%error, collector = settings.url, "export spans"),
            Ok(_) if away => tracing::info!(collector = settings.url, "spans are exported again"),
            _ => {}
        }
        away = outcome.is_err();
        if away {
            metrics::SPANS_LOST.inc_by(count);
        }
    }
}

/// Waits for more spans, until the batch is full, the time is over, or there will be none.
async fn gather(queue: &mut mpsc::Receiver<message::Span>, batch: &mut Vec<message::Span>, delay: Duration) {
    let full = async {
        while batch.len() < BATCH_SPANS_MAX {
            let room = BATCH_SPANS_MAX - batch.len();
            if queue.recv_many(batch, room).await == 0 {
                return;
            }
        }
    };
    // Both ends are good: a full batch, and one that waited long enough.
    let _ = tokio::time::timeout(delay, full).await;
}
