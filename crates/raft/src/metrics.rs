//! Metrics of a group and of the log, for `/metrics`.

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

    /// Adds a time, in microseconds.
    pub(crate) fn add_time(&self, time: Duration) {
        self.add(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
    }

    pub(crate) fn snapshot(&self) -> Histogram {
        let counts = std::array::from_fn(|bucket| self.counts[bucket].load(Ordering::Relaxed));
        Histogram { counts, sum: self.sum.load(Ordering::Relaxed) }
    }
}

/// Counts of the flusher.
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
        self.sync_us.add_time(took);
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

/// Counts of the log of a node since it was opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FlushSnapshot {
    /// Time of each fsync, in microseconds, by [`TIME_BOUNDS_US`].
    pub sync_us: Histogram,
    /// Requests that were made durable.
    pub requests: u64,
    /// Entries among them.
    pub entries: u64,
}

/// Counts of a replica.
#[derive(Debug)]
pub(crate) struct ReplicaMetrics {
    pub(crate) apply_us: Distribution,
    snapshot_build_us: Distribution,
    snapshot_install_us: Distribution,
    snapshots_failed: AtomicU64,
    snapshot_bytes_installed: AtomicU64,
}

impl Default for ReplicaMetrics {
    fn default() -> Self {
        Self {
            apply_us: Distribution::new(&TIME_BOUNDS_US),
            snapshot_build_us: Distribution::new(&TIME_BOUNDS_US),
            snapshot_install_us: Distribution::new(&TIME_BOUNDS_US),
            snapshots_failed: AtomicU64::new(0),
            snapshot_bytes_installed: AtomicU64::new(0),
        }
    }
}

impl ReplicaMetrics {
    /// Time spent on applying entries since the start.
    pub(crate) fn apply_time(&self) -> Duration {
        Duration::from_micros(self.apply_us.sum.load(Ordering::Relaxed))
    }

    /// Counts a snapshot that was built, or could not be.
    pub(crate) fn built(&self, took: Duration, done: bool) {
        match done {
            true => self.snapshot_build_us.add_time(took),
            false => drop(self.snapshots_failed.fetch_add(1, Ordering::Relaxed)),
        }
    }

    /// Counts a snapshot of another node that was installed.
    pub(crate) fn installed(&self, took: Duration, bytes: u64) {
        self.snapshot_install_us.add_time(took);
        self.snapshot_bytes_installed.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn snapshot_metrics(&self, bytes: u64) -> SnapshotMetrics {
        SnapshotMetrics {
            bytes,
            build_us: self.snapshot_build_us.snapshot(),
            install_us: self.snapshot_install_us.snapshot(),
            failed: self.snapshots_failed.load(Ordering::Relaxed),
            bytes_installed: self.snapshot_bytes_installed.load(Ordering::Relaxed),
        }
    }
}

/// Counts of the snapshots of a replica since its start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SnapshotMetrics {
    /// Bytes of the files of the current snapshot; 0 if there is none.
    pub bytes: u64,
    /// Time of each snapshot that was built, in microseconds, by [`TIME_BOUNDS_US`].
    pub build_us: Histogram,
    /// Time of each snapshot of another node that was installed, in microseconds, by [`TIME_BOUNDS_US`].
    pub install_us: Histogram,
    /// Snapshots that could not be built.
    pub failed: u64,
    /// Bytes of the installed snapshots.
    pub bytes_installed: u64,
}

/// Counts of a proposer.
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

/// Metrics of a group.
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
    /// Time of each apply of one or more entries, in microseconds, by [`TIME_BOUNDS_US`].
    pub apply_us: Histogram,
    /// Snapshots of the group on this node.
    pub snapshots: SnapshotMetrics,
    /// Milliseconds since a quorum last answered, on a leader with followers.
    pub quorum_ack_age_ms: Option<u64>,
}

/// Metrics of the log of a node, which all groups share.
#[derive(Debug, Clone, Default)]
pub struct LogMetrics {
    /// Bytes on the disk.
    pub bytes: u64,
    /// Writes since the log was opened.
    pub flushes: FlushSnapshot,
}
