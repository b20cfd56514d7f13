//! openraft's own suite, on the real log and on the adapter of state machines.

use std::sync::Arc;

use azimuth_engine::ids::GroupId;
use azimuth_engine::replica::LogPosition;
use openraft::testing::{StoreBuilder, Suite};
use tempfile::TempDir;
use uuid::Uuid;

use super::double::Double;
use super::log_store::LogStore;
use super::snapshot::SnapshotStore;
use super::state_machine::StateAdapter;
use super::types::{StorageError, TypeConfig};
use crate::raftlog::RaftLog;

struct Builder;

/// Keeps directory and log for as long as a case runs.
struct Guard(#[allow(dead_code)] (TempDir, RaftLog));

impl StoreBuilder<TypeConfig, LogStore, StateAdapter<Double>, Guard> for Builder {
    async fn build(&self) -> Result<(Guard, LogStore, StateAdapter<Double>), StorageError> {
        let dir = tempfile::tempdir().unwrap();
        let store = Uuid::new_v4();
        let log_dir = dir.path().join("raftlog");
        let log = tokio::task::spawn_blocking(move || RaftLog::open(&log_dir, store)).await.unwrap().unwrap();
        // The suite purges entries that it never applied.
        let no_limit = || Some(LogPosition { term: u64::MAX, node: 0, index: u64::MAX });
        let log_store = LogStore::new(log.group(GroupId(7)).unwrap(), Arc::new(no_limit));
        let snapshots = SnapshotStore::open(dir.path().join("snap"), GroupId(7), store).unwrap();
        let double = Arc::new(Double::open(dir.path()).unwrap());
        let machine = StateAdapter::new(double, Arc::new(snapshots), Double::install, Arc::default());
        Ok((Guard((dir, log)), log_store, machine))
    }
}

#[test]
fn openraft_suite() {
    Suite::test_all(Builder).unwrap();
}
