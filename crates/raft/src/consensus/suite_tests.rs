//! openraft's own suite, on the real log and on the adapter of state machines.

use std::sync::Arc;

use azimuth_engine::ids::GroupId;
use azimuth_engine::replica::LogPosition;
use openraft::testing::{StoreBuilder, Suite};
use tempfile::TempDir;
use uuid::Uuid;

use super::double::Double;
use super::installation::Installation;
use super::log_store::LogStore;
use super::snapshot::{Owner, SnapshotStore};
use super::state_machine::StateAdapter;
use super::types::{StorageError, TypeConfig};
use crate::raftlog::RaftLog;
use crate::state::StateCell;

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
        let (group_log, installation) = (log.group(GroupId(7)).unwrap(), Installation::new());
        let log_store = LogStore::new(group_log.clone(), Arc::new(no_limit), installation.clone());
        // The suite installs a snapshot of one node on another by its directory.
        let owner = Owner { cluster: Uuid::from_u128(1), store, group: GroupId(7) };
        let snapshots = Arc::new(SnapshotStore::open(dir.path().join("snap"), owner).unwrap());
        let double = Arc::new(StateCell::new(Arc::new(Double::open(dir.path()).unwrap())));
        let machine = StateAdapter::new(double, group_log, snapshots, installation, Arc::default());
        Ok((Guard((dir, log)), log_store, machine))
    }
}

#[test]
fn openraft_suite() {
    Suite::test_all(Builder).unwrap();
}
