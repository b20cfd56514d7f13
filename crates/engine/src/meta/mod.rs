//! The meta group: which collections there are.

mod catalog;

use std::path::Path;
use std::sync::Arc;

pub use catalog::Catalog;

use crate::command::Outcome;
use crate::group::{Applied, Entry, GroupOptions, LogPosition, OpenReport, StateMachine};
use crate::{Error, Result};

/// The group that holds the schema.
pub struct MetaGroup {
    catalog: Arc<Catalog>,
}

#[allow(unused_variables, missing_docs)]
impl MetaGroup {
    pub fn open(dir: &Path, options: GroupOptions) -> Result<(Arc<Self>, OpenReport)> {
        Err(Error::Unsupported("meta groups".into()))
    }
    pub fn catalog(&self) -> Arc<Catalog> {
        self.catalog.clone()
    }
    pub fn state_hash(&self) -> Result<[u8; 16]> {
        Err(Error::Unsupported("state_hash".into()))
    }
}

impl StateMachine for MetaGroup {
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
