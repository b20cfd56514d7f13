//! Prometheus metrics of the process, in the text format.

use std::fmt::Write;
use std::sync::LazyLock;

use prometheus::{Encoder, HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry, TextEncoder};

use crate::app::App;

static REGISTRY: LazyLock<Registry> = LazyLock::new(Registry::new);

/// Requests by wire, method and status.
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

/// Counts an answered request.
pub(crate) fn observe(wire: &str, method: &str, status: u16, seconds: f64) {
    REQUESTS.with_label_values(&[wire, method, &status.to_string()]).inc();
    SECONDS.with_label_values(&[wire]).observe(seconds);
}

/// Everything, as Prometheus scrapes it.
pub(crate) fn render(app: &App) -> String {
    let mut bytes = Vec::new();
    if let Err(error) = TextEncoder::new().encode(&REGISTRY.gather(), &mut bytes) {
        tracing::error!(%error, "encode metrics");
    }
    let mut text = String::from_utf8_lossy(&bytes).into_owned();
    let mut gauge = |name: &str, help: &str, value: u64| {
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}");
    };
    gauge("azimuth_ready", "1 when queries are answered.", u64::from(app.is_ready()));
    let Ok(data) = app.data() else { return text };
    let group = data.metrics();
    gauge("azimuth_collections", "Collections.", group.collections);
    gauge("azimuth_objects", "Objects of the shards in memory.", group.objects);
    gauge("azimuth_vector_queue", "Vectors that wait to be linked into a graph.", group.vector_queue);
    gauge("azimuth_vector_indexes_loaded", "Vector indexes in memory.", group.indexes_loaded);
    gauge("azimuth_small_index_bytes", "Bytes of vector indexes without files.", group.small_index_bytes);
    gauge("azimuth_write_buffer_bytes", "Bytes not flushed yet.", group.write_buffer_bytes);
    gauge("azimuth_block_cache_bytes", "Bytes of cached blocks.", group.block_cache_bytes);
    gauge("azimuth_disk_bytes", "Bytes of tables and blobs on disk.", group.disk_bytes);
    gauge("azimuth_commands_applied", "Commands applied since the start.", group.commands_applied);
    text
}
