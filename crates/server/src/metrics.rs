//! Prometheus metrics of the process, in the text format, from one registry. docs/metrics.md lists them.
//!
//! Counts of requests are kept here. Everything else is read from the node when it is scraped: `node`, `process`.

mod families;
mod node;
mod process;

use std::sync::{Arc, LazyLock, Weak};

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry, TextEncoder};

use crate::app::App;
use families::Families;

/// The media type of the text format.
pub(crate) const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

static REGISTRY: LazyLock<Registry> = LazyLock::new(Registry::new);

/// Requests by wire, method and status; each is one of a few words.
static REQUESTS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let opts = Opts::new("azimuth_requests_total", "Requests answered.");
    let vec = IntCounterVec::new(opts, &["wire", "method", "status"]).expect("the names are valid");
    REGISTRY.register(Box::new(vec.clone())).expect("registered once");
    vec
});

/// Seconds until the head of the answer, by wire.
static SECONDS: LazyLock<HistogramVec> = LazyLock::new(|| {
    let opts = HistogramOpts::new("azimuth_request_seconds", "Seconds until an answer's head.")
        .buckets(vec![0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0]);
    let vec = HistogramVec::new(opts, &["wire"]).expect("the names are valid");
    REGISTRY.register(Box::new(vec.clone())).expect("registered once");
    vec
});

/// Connections that are open.
pub(crate) static CONNECTIONS: LazyLock<IntGauge> = LazyLock::new(|| {
    let gauge = IntGauge::new("azimuth_connections", "Open connections.").expect("the name is valid");
    REGISTRY.register(Box::new(gauge.clone())).expect("registered once");
    gauge
});

/// Reads that have a thread.
pub(crate) static READS_RUNNING: LazyLock<IntGauge> = LazyLock::new(|| {
    let gauge = IntGauge::new("azimuth_reads_running", "Reads that run on a thread of their own.");
    let gauge = gauge.expect("the name is valid");
    REGISTRY.register(Box::new(gauge.clone())).expect("registered once");
    gauge
});

/// Spans that were not exported.
pub(crate) static SPANS_LOST: LazyLock<IntCounter> = LazyLock::new(|| {
    let help = "Spans that could not be exported.";
    let counter = IntCounter::new("azimuth_spans_lost_total", help).expect("the name is valid");
    REGISTRY.register(Box::new(counter.clone())).expect("registered once");
    counter
});

/// Counts an answered request. Every argument but the last is one of a few words.
pub(crate) fn observe(wire: &str, method: &str, status: &str, seconds: f64) {
    REQUESTS.with_label_values(&[wire, method, status]).inc();
    SECONDS.with_label_values(&[wire]).observe(seconds);
}

/// The metrics that are read at each scrape: of the process, and of the node of an application.
struct AtScrape(Weak<App>);

impl Collector for AtScrape {
    fn desc(&self) -> Vec<&Desc> {
        Vec::new()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut families = Families::default();
        process::read(&mut families);
        if let Some(app) = self.0.upgrade() {
            node::read(&mut families, &app);
        }
        families.finish()
    }
}

/// Adds the metrics of the process and of the node of `app`, the only application of the process.
///
/// # Errors
/// For a second application.
pub(crate) fn register(app: &Arc<App>) -> Result<(), String> {
    // Each registers itself when it is first used.
    let _ = (&*REQUESTS, &*SECONDS, &*CONNECTIONS, &*READS_RUNNING, &*SPANS_LOST);
    let build =
        Opts::new("azimuth_build_info", "The running version.").const_label("version", env!("CARGO_PKG_VERSION"));
    let build = IntGauge::with_opts(build).expect("the names are valid");
    build.set(1);
    let registered = REGISTRY.register(Box::new(build));
    let registered = registered.and_then(|()| REGISTRY.register(Box::new(AtScrape(Arc::downgrade(app)))));
    registered.map_err(|error| format!("register the metrics: {error}"))
}

/// All metrics in the text format.
pub(crate) fn render() -> String {
    let mut text = String::new();
    if let Err(error) = TextEncoder::new().encode_utf8(&REGISTRY.gather(), &mut text) {
        tracing::error!(%error, "encode metrics");
    }
    text
}
