//! Prometheus metrics of the process, in the text format.

use std::fmt::Write;
use std::sync::LazyLock;

use prometheus::{
    Encoder, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry, TextEncoder,
};

use crate::app::App;

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

/// Everything, as Prometheus scrapes it.
pub(crate) fn render(app: &App) -> String {
    let mut bytes = Vec::new();
    if let Err(error) = TextEncoder::new().encode(&REGISTRY.gather(), &mut bytes) {
        tracing::error!(%error, "encode metrics");
    }
    let mut text = String::from_utf8_lossy(&bytes).into_owned();
    let mut line = |kind: &str, name: &str, help: &str, value: f64| {
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}");
    };
    process(&mut line);
    line("gauge", "azimuth_ready", "1 when queries are answered.", f64::from(u8::from(app.is_ready())));
    let replays = app.progress().replays;
    let left = replays.iter().map(|replay| replay.last_index.saturating_sub(replay.applied_index)).sum::<u64>();
    line("gauge", "azimuth_replay_entries_left", "Entries of the log that the start has yet to apply.", left as f64);
    if let Ok((disk, group)) = app.metrics() {
        line(
            "gauge",
            "azimuth_disk_used_percent",
            "Disk in use, of all that a user may have.",
            disk.used_percent.into(),
        );
        let refused = f64::from(u8::from(disk.refuses()));
        line("gauge", "azimuth_writes_refused", "1 while writes are refused because the disk is full.", refused);
        // Counts are far below 2^53.
        let mut gauge = |name: &str, help: &str, value: u64| line("gauge", name, help, value as f64);
        gauge("azimuth_collections", "Collections.", group.collections);
        gauge("azimuth_objects", "Objects of the shards in memory.", group.objects);
        gauge("azimuth_vector_queue", "Vectors that wait to be linked into a graph.", group.vector_queue);
        gauge("azimuth_vector_indexes_loaded", "Vector indexes in memory.", group.indexes_loaded);
        gauge("azimuth_vector_index_bytes_max", "Bytes that vector indexes may hold in memory.", group.index_bytes_max);
        gauge("azimuth_write_buffer_bytes", "Bytes not flushed yet.", group.write_buffer_bytes);
        gauge("azimuth_block_cache_bytes", "Bytes of cached blocks.", group.block_cache_bytes);
        gauge("azimuth_disk_bytes", "Bytes of tables and blobs on disk.", group.disk_bytes);
        let help = "Shards whose inverted index is damaged and was rebuilt in vain.";
        gauge("azimuth_inverted_indexes_damaged", help, group.inverted_damaged);
        let help = "Rebuilds of damaged inverted indexes since the start.";
        line("counter", "azimuth_inverted_rebuilds_total", help, group.inverted_rebuilds as f64);
        let help = "Commands applied since the start.";
        line("counter", "azimuth_commands_applied_total", help, group.commands_applied as f64);
        let help = "Objects that cannot be decoded, as far as they were met.";
        line("gauge", "azimuth_objects_unreadable", help, group.objects_unreadable as f64);
        let help = "Failures of vector indexes since the start; each was built anew.";
        line("counter", "azimuth_vector_index_failures_total", help, group.index_failures as f64);
        let help = "Commands refused because they could not be carried out since the start: faults of this program.";
        line("counter", "azimuth_commands_contained_total", help, group.commands_contained as f64);
        let _ = writeln!(text, "# HELP azimuth_vector_index_bytes Bytes of the loaded vector indexes, by part.");
        let _ = writeln!(text, "# TYPE azimuth_vector_index_bytes gauge");
        for (part, bytes) in group.index_memory.parts() {
            let _ = writeln!(text, "azimuth_vector_index_bytes{{part=\"{part}\"}} {bytes}");
        }
    }
    let version = env!("CARGO_PKG_VERSION");
    let _ = writeln!(text, "# HELP azimuth_build_info The version that runs.\n# TYPE azimuth_build_info gauge");
    let _ = writeln!(text, "azimuth_build_info{{version=\"{version}\"}} 1");
    text
}

/// What the system knows of this process, under the names that every Prometheus client has for it. Left out where there
/// is no `/proc`.
fn process(line: &mut impl FnMut(&str, &str, &str, f64)) {
    let Ok(stat) = std::fs::read_to_string("/proc/self/stat") else { return };
    // The name of the program may hold blanks; what follows it is field 3.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
    // SAFETY: asks for constants of the system; no memory is passed.
    let (ticks, page) = unsafe { (libc::sysconf(libc::_SC_CLK_TCK), libc::sysconf(libc::_SC_PAGESIZE)) };
    let (ticks, page) = (ticks.max(1) as f64, page.max(1) as f64);
    let seconds = (field(14) + field(15)) / ticks;
    line("counter", "process_cpu_seconds_total", "Seconds of processor time.", seconds);
    line("gauge", "process_threads", "Threads.", field(20));
    line("gauge", "process_virtual_memory_bytes", "Bytes of address space.", field(23));
    line("gauge", "process_resident_memory_bytes", "Bytes in memory.", field(24) * page);
    let files = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    line("gauge", "process_open_fds", "Open files.", files as f64);
}
