//! Settings of a node, with the values that are documented as defaults.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use azimuth_engine::storage::StorageBudget;
use azimuth_engine::vector::IndexOptions;
use tokio::sync::watch;

use crate::progress::Progress;

/// What a node is started with. `NodeOptions::new(path)` is a complete configuration.
#[derive(Clone)]
pub struct NodeOptions {
    /// Directory of everything that the node keeps. Created when missing.
    pub data_path: PathBuf,
    /// Clocks of every group.
    pub timings: RaftTimings,
    /// Limits of every group's proposer.
    pub proposer: ProposerLimits,
    /// When state is made durable, so that the log can be purged.
    pub flush: FlushLimits,
    /// Memory for the RocksDBs of all groups.
    pub storage: StorageBudget,
    /// Settings of vector indexes that belong to the process.
    pub index: IndexOptions,
    /// Bytes of vector indexes in memory, over all groups; see [`IndexBudget`](azimuth_engine::maintain::IndexBudget).
    pub index_bytes_max: u64,
    /// Bytes of small vector indexes in memory, over all groups.
    pub small_index_bytes_max: u64,
    /// Threads that do the background work of the data groups; with 0 the caller does it.
    pub background_threads: usize,
    /// Percent of the disk in use at which proposals are refused, until it is below again. 100 switches it off.
    pub disk_used_percent_max: u8,
    /// Where start-up reports how far it is; subscribe before the start.
    pub progress: Arc<watch::Sender<Progress>>,
}

impl NodeOptions {
    /// Defaults for a data directory.
    pub fn new(data_path: impl Into<PathBuf>) -> Self {
        Self {
            data_path: data_path.into(),
            timings: RaftTimings::default(),
            proposer: ProposerLimits::default(),
            flush: FlushLimits::default(),
            storage: StorageBudget::default(),
            index: IndexOptions::default(),
            index_bytes_max: u64::MAX,
            small_index_bytes_max: 96 << 20,
            background_threads: 0,
            disk_used_percent_max: 90,
            progress: Arc::new(watch::channel(Progress::default()).0),
        }
    }
}

/// Clocks of a Raft group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RaftTimings {
    /// Between heartbeats; also the time that an append to a follower may take.
    pub heartbeat: Duration,
    /// Shortest time without a leader before an election.
    pub election_min: Duration,
    /// Longest.
    pub election_max: Duration,
}

impl Default for RaftTimings {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_millis(500),
            election_min: Duration::from_millis(1_500),
            election_max: Duration::from_millis(3_000),
        }
    }
}

/// Limits of a proposer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProposerLimits {
    /// Bytes of commands in one entry. A single larger command gets an entry of its own.
    pub entry_bytes_max: usize,
    /// Commands in one entry.
    pub entry_commands_max: usize,
    /// Bytes of one command; a larger one is refused.
    pub command_bytes_max: usize,
    /// How long a batch that is not full waits for more, while an earlier one is under way. An idle proposer does
    /// not wait.
    pub linger: Duration,
    /// Entries under way at once.
    pub in_flight_max: usize,
    /// Bytes of commands that may wait or be under way; more is back-pressure.
    pub queue_bytes_max: usize,
    /// Proposals that may wait.
    pub queue_proposals_max: usize,
    /// How long a proposal waits for room in the queue before it is refused as overloaded.
    pub queue_timeout: Duration,
    /// How long a proposal that was taken may be under way before its fate is reported as unknown.
    pub write_timeout: Duration,
}

impl Default for ProposerLimits {
    fn default() -> Self {
        Self {
            entry_bytes_max: 1 << 20,
            entry_commands_max: 512,
            command_bytes_max: 32 << 20,
            linger: Duration::from_millis(2),
            in_flight_max: 3,
            queue_bytes_max: 64 << 20,
            queue_proposals_max: 4_096,
            queue_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(30),
        }
    }
}

/// When the state of a group is made durable by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlushLimits {
    /// Bytes that went into the log since the last time: bounds replay after a crash.
    pub log_bytes_max: u64,
    /// Time spent on applying entries since the last time: bounds replay too, where entries are short and costly.
    pub apply_time_max: Duration,
    /// Time since the last time, if anything was applied.
    pub interval: Duration,
    /// How often the two are looked at.
    pub check_interval: Duration,
    /// How long a clean stop may spend on it.
    pub shutdown_timeout: Duration,
}

impl Default for FlushLimits {
    fn default() -> Self {
        Self {
            log_bytes_max: 256 << 20,
            apply_time_max: Duration::from_secs(10),
            interval: Duration::from_secs(300),
            check_interval: Duration::from_secs(1),
            shutdown_timeout: Duration::from_secs(10),
        }
    }
}
