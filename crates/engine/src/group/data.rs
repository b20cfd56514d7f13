//! A data group: objects and their indexes.

use std::path::Path;
use std::sync::Arc;

use uuid::Uuid;

use super::{
    Applied, Entry, GroupMetrics, GroupOptions, LogPosition, OpenReport, ShardStatus, StateMachine, WorkBudget,
    WorkReport,
};
use crate::command::{At, Outcome};
use crate::ids::{CollectionId, VectorId};
use crate::object::StoredObject;
use crate::query::{Filter, Hit, Include, Plan, Query};
use crate::schema::Collection;
use crate::{Error, Result};

/// A group that holds objects.
pub struct DataGroup {
    _private: (),
}

#[allow(unused_variables, missing_docs)]
impl DataGroup {
    pub fn open(dir: &Path, options: GroupOptions) -> Result<(Arc<Self>, OpenReport)> {
        Err(Error::Unsupported("data groups".into()))
    }
    pub fn collection(&self, id: CollectionId) -> Option<Arc<Collection>> {
        None
    }
    pub fn collections(&self) -> Vec<Arc<Collection>> {
        Vec::new()
    }
    pub fn get(&self, at: At, id: Uuid, include: &Include) -> Result<Option<StoredObject>> {
        Err(Error::Unsupported("get".into()))
    }
    pub fn exists(&self, at: At, id: Uuid) -> Result<bool> {
        Err(Error::Unsupported("exists".into()))
    }
    pub fn search(&self, at: At, query: &Query) -> Result<Vec<Hit>> {
        Err(Error::Unsupported("search".into()))
    }
    pub fn plan(&self, at: At, query: &Query) -> Result<Plan> {
        Err(Error::Unsupported("plan".into()))
    }
    pub fn count(&self, at: At, filter: Option<&Filter>) -> Result<u64> {
        Err(Error::Unsupported("count".into()))
    }
    /// In doc id order, with the number of all matches.
    pub fn matching_ids(&self, at: At, filter: &Filter, limit: usize) -> Result<(Vec<Uuid>, u64)> {
        Err(Error::Unsupported("matching_ids".into()))
    }
    pub fn vector_dimension(&self, at: At, vector: VectorId) -> Option<u32> {
        None
    }
    pub fn shard_status(&self, at: At) -> Result<ShardStatus> {
        Err(Error::Unsupported("shard_status".into()))
    }
    pub fn state_hash(&self) -> Result<[u8; 16]> {
        Err(Error::Unsupported("state_hash".into()))
    }
    pub fn work(&self, budget: &WorkBudget) -> Result<WorkReport> {
        Err(Error::Unsupported("work".into()))
    }
    pub fn save_indexes(&self) -> Result<()> {
        Err(Error::Unsupported("save_indexes".into()))
    }
    pub fn metrics(&self) -> GroupMetrics {
        GroupMetrics::default()
    }
}

impl StateMachine for DataGroup {
    fn applied(&self) -> Result<Applied> {
        Ok(Applied::default())
    }
    fn durable(&self) -> Option<LogPosition> {
        None
    }
    fn apply(&self, _entries: Vec<Entry>) -> Result<Vec<Vec<Outcome>>> {
        Err(Error::Unsupported("apply".into()))
    }
    fn flush(&self) -> Result<Option<LogPosition>> {
        Ok(None)
    }
    fn checkpoint(&self, _dir: &Path) -> Result<Applied> {
        Ok(Applied::default())
    }
}
