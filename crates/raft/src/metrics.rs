//! Figures of a group and of the log, for the metrics page.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use azimuth_engine::level::FeatureLevel;

/// Upper bounds of the buckets of a [`Histogram`] of times, in microseconds; a last bucket without bound follows.
pub const TIME_BOUNDS_US: [u64; 14] =
    [100, 250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 125_000, 500_000, 2_000_000, 10_000_000];

/// Upper bounds of the buckets of a [`Histogram`] of commands per entry.
pub const COMMANDS_BOUNDS: [u64; 14] = [1, 2, 4, 8, 16, 32, 64, 100, 128, 192, 256, 384, 512, 1_024];

/// A distribution, as Prometheus counts it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Histogram {
    /// Values up to each bound, not cumulated; the last counts those above all bounds.
    pub counts: [u64; 15],
    /// Sum of all values.
    pub sum: u64,
}

impl Histogram {
    /// How many values there were.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

/// A [`Histogram`] that threads add to.
#[derive(Debug)]
pub(crate) struct Distribution {
    bounds: &'static [u64; 14],
    counts: [AtomicU64; 15],
    sum: AtomicU64,
}

impl Distribution {
    pub(crate) fn new(bounds: &'static [u64; 14]) -> Self {
        Self { bounds, counts: Default::default(), sum: AtomicU64::new(0) }
    }

    pub(crate) fn add(&self, value: u64) {
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        self.counts[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(value, Ordering::Relaxed);
    }

    pub(crate) fn snapshot(&self) -> Histogram {
        let counts = std::array::from_fn(|bucket| self.counts[bucket].load(Ordering::Relaxed));
        Histogram { counts, sum: self.sum.load(Ordering::Relaxed) }
    }
}

/// What the flusher counts.
#[derive(Debug)]
pub(crate) struct FlushMetrics {
    sync_us: Distribution,
    requests: AtomicU64,
    entries: AtomicU64,
}

impl Default for FlushMetrics {
    fn default() -> Self {
        Self { sync_us: Distribution::new(&TIME_BOUNDS_US), requests: AtomicU64::new(0), entries: AtomicU64::new(0) }
    }
}

impl FlushMetrics {
    pub(crate) fn synced(&self, took: Duration, requests: usize, entries: usize) {
        self.sync_us.add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
        self.requests.fetch_add(requests as u64, Ordering::Relaxed);
        self.entries.fetch_add(entries as u64, Ordering::Relaxed);
    }

    pub(crate) fn snapshot(&self) -> FlushSnapshot {
        FlushSnapshot {
            sync_us: self.sync_us.snapshot(),
            requests: self.requests.load(Ordering::Relaxed),
            entries: self.entries.load(Ordering::Relaxed),
        }
    }
}

/// What the log of a node has done since it was opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FlushSnapshot {
    /// Time of each fsync, in microseconds, by [`TIME_BOUNDS_US`].
    pub sync_us: Histogram,
    /// Requests that were made durable.
    pub requests: u64,
    /// Entries among them.
    pub entries: u64,
}

/// What a proposer counts.
#[derive(Debug)]
pub(crate) struct ProposerMetrics {
    pub(crate) entry_commands: Distribution,
    pub(crate) entry_us: Distribution,
    pub(crate) overloaded: AtomicU64,
    pub(crate) unknown: AtomicU64,
}

impl Default for ProposerMetrics {
    fn default() -> Self {
        Self {
            entry_commands: Distribution::new(&COMMANDS_BOUNDS),
            entry_us: Distribution::new(&TIME_BOUNDS_US),
            overloaded: AtomicU64::new(0),
            unknown: AtomicU64::new(0),
        }
    }
}

/// Figures of a group.
#[derive(Debug, Clone, Default)]
pub struct GroupMetrics {
    /// Term of the group.
    pub term: u64,
    /// Whether this node leads it.
    pub leader: bool,
    /// Feature level.
    pub level: FeatureLevel,
    /// Bytes of commands that wait or are in flight.
    pub queue_bytes: u64,
    /// Most bytes that may wait; more is back-pressure.
    pub queue_bytes_max: u64,
    /// Commands per proposed entry, by [`COMMANDS_BOUNDS`].
    pub entry_commands: Histogram,
    /// Time from proposing an entry until it is applied, in microseconds, by [`TIME_BOUNDS_US`].
    pub entry_us: Histogram,
    /// Proposals refused because the queue stayed full.
    pub overloaded: u64,
    /// Proposals whose fate was not known in time.
    pub unknown: u64,
    /// Index of the last entry in the log.
    pub last_index: Option<u64>,
    /// Index of the last entry that is known to be committed.
    pub committed_index: Option<u64>,
    /// Index of the last entry that is applied.
    pub applied_index: Option<u64>,
    /// Index of the last entry whose effect needs no log any more.
    pub durable_index: Option<u64>,
    /// Index of the last entry that was purged.
    pub purged_index: Option<u64>,
    /// Bytes of the log of all groups of the node.
    pub log_bytes: u64,
    /// Milliseconds since a quorum last answered, on a leader with followers.
    pub quorum_ack_age_ms: Option<u64>,
    /// The log of the node, shared by all groups.
    pub flushes: FlushSnapshot,
}
